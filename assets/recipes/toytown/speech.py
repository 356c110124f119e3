"""Toytown's speech: espeak-ng's voices, the time of each phoneme and word, rooms and noise.

The C library is called, not the program: it reports, beside the sound, when each phoneme and each
word begins, and takes some 10 ms a sentence. Needs espeak-ng (Debian: espeak-ng) to make speech,
nothing to read what is shipped. `COURSE_ESPEAK` names the library where it lies elsewhere.
"""

import ctypes
import ctypes.util
import functools
import os
import re
from dataclasses import dataclass

import numpy as np
import soxr
from scipy.signal import fftconvolve, lfilter

SAMPLING_RATE = 16_000  # Hz: what Whisper and VITS are given here
LIBRARY = os.environ.get("COURSE_ESPEAK") or ctypes.util.find_library("espeak-ng")


@dataclass(frozen=True)
class Voice:
    """One voice: espeak-ng's name for it, and what a listener would say of it."""

    espeak: str
    language: str  # en, fr or es
    accent: str
    sex: str  # of the voice that the variant imitates: f or m
    trained: bool = True  # False: kept out of every training, for tests


def _voices(accent: str, language: str, base: str, variants: str, kept: str = "") -> dict:
    """Voices of one accent: `american_f2` is `base` with espeak-ng's variant f2."""
    return {
        f"{accent}_{variant.lower()}": Voice(
            f"{base}+{variant}",
            language,
            accent,
            "f" if variant in WOMEN else "m",
            variant not in kept.split(),
        )
        for variant in f"{variants} {kept}".split()
    }


WOMEN = ("f1", "f2", "f3", "f4", "f5", "Annie", "linda", "belinda", "Alicia", "steph", "aunty")
VOICES: dict[str, Voice] = (
    _voices("american", "en", "gmw/en-US", "m1 m3 m7 f2 f3 Annie edward", "m5 f5")
    | _voices("british", "en", "gmw/en", "m1 m2 m4 f1 f3 belinda", "f4 Andy")
    | _voices("scottish", "en", "gmw/en-GB-scotland", "m3 m4 f2 linda", "m8")
    | _voices("received", "en", "gmw/en-GB-x-rp", "m2 f1 Alicia rob")
    | _voices("caribbean", "en", "gmw/en-029", "m7 f3", "steph")
    | _voices("french", "fr", "roa/fr", "m1 m3 m7 f1 f2 f3 Alicia edward", "m5 f5")
    | _voices("swiss", "fr", "roa/fr-CH", "m2 f3", "f4")
    | _voices("spanish", "es", "roa/es", "m1 m3 m7 f1 f2 f3 Alicia edward", "m5 f5")
    | _voices("mexican", "es", "roa/es-419", "m2 f3", "f4")
)
# The crowd of the transcriber's training: each accent in many more throats, none of them one that
# is kept out above (AnxiousAndy, steph2 and steph3 are too near to one).
THROATS = (
    "m1 m2 m3 m4 m6 m7 f1 f2 f3 Annie edward belinda linda Alicia Alex Andrea Denis Diogo Gene "
    "Gene2 Henrique Hugo Jacky Lee Marco Michael Mike Nguyen adam anika antonio aunty benjamin "
    "boris caleb david ed grandma grandpa gustave iven iven2 john marcelo max michel miguel "
    "norbert pablo paul pedro quincy rob robert sandro shelby travis victor zac klatt klatt2"
)
CROWD: dict[str, Voice] = {
    name: voice
    for kept in VOICES.values()
    for name, voice in _voices(
        f"crowd_{kept.accent}", kept.language, kept.espeak.partition("+")[0], THROATS
    ).items()
}


@dataclass(frozen=True)
class Speech:
    """What was said, and when. Times in seconds from the first sample."""

    waveform: np.ndarray  # float32, shape (samples,), in [-1, 1]
    sampling_rate: int  # Hz
    phonemes: list[tuple[str, float, float]]  # espeak-ng's mnemonic, start, end
    words: list[
        tuple[int, int, float, float]
    ]  # the word's place in the text, [from, to); its times. "on the" may be said as one: "on"

    @property
    def end(self) -> float:
        """When the last word ends; a pause follows."""
        return self.words[-1][3]


def speak(text: str, voice: str, speed: int = 165, pitch: int = 50) -> Speech:
    """Say a text.

    Args:
        text: one or a few sentences; espeak-ng reads figures and abbreviations in its own way, so
            give it `Sentence.spoken`.
        voice: a key of VOICES, or of CROWD.
        speed: words per minute, 80 to 400.
        pitch: 0 to 99; 50 is the voice's own.

    Raises:
        ValueError: an unknown voice, an empty text, a speed or pitch out of range.
        OSError: espeak-ng is not installed.
    """
    known = VOICES.get(voice) or CROWD.get(voice)
    if known is None:
        raise ValueError(f"There is no voice {voice!r}: choose one of {', '.join(VOICES)}.")
    if not re.search(r"\w", text):
        raise ValueError("There is nothing to say: give a text.")
    if not (80 <= speed <= 400 and 0 <= pitch <= 99):
        raise ValueError(f"speed is {speed} and pitch {pitch}: 80 to 400, and 0 to 99.")
    espeak = _espeak()
    espeak.choose(known.espeak, speed, pitch)
    samples, events = espeak.synthesize(text)
    rate = espeak.sampling_rate
    seconds = len(samples) / rate
    waveform = soxr.resample(samples.astype(np.float32) / 32_768, rate, SAMPLING_RATE)
    sounds = [(name, sample / rate) for kind, sample, _, name in events if kind == PHONEME]
    ends = [start for _, start in sounds[1:]] + [seconds]
    phonemes = [
        (name, start, end) for (name, start), end in zip(sounds, ends, strict=True) if end > start
    ]
    voiced = [(start, end) for name, start, end in phonemes if name.strip("_:")]
    # espeak-ng reports a word a little before its first sound, and the figures of "twenty-four" or
    # an apostrophe as words of their own: a word here is what blanks enclose.
    begun = {place: sample / rate for kind, sample, place, _ in reversed(events) if kind == WORD}
    words = []
    for match in re.finditer(r"\S+", text):
        times = [time for place, time in begun.items() if match.start() <= place < match.end()]
        if times:
            after = [start for start, _ in voiced if start >= min(times) - 0.003]
            words.append([match.start(), match.end(), min(after, default=min(times))])
    for number, word in enumerate(words):
        until = words[number + 1][2] if number + 1 < len(words) else seconds
        # A word ends where its last sound does, not where the pause after it ends.
        within = [end for start, end in voiced if word[2] <= start < until - 0.003]
        words[number] = (*word, max(within, default=until))
    return Speech(waveform, SAMPLING_RATE, phonemes, words)


def room(random: np.random.Generator, waveform: np.ndarray, size: float | None = None):
    """The waveform as heard across a room: a first arrival, then an exponential tail of echoes.

    Args:
        random: draws the room.
        waveform: shape (samples,) at 16 kHz.
        size: seconds in which the echo falls by 60 dB; 0.08 (a car) to 0.5 (a hall) if None.
    """
    size = random.uniform(0.08, 0.5) if size is None else size
    length = int(size * SAMPLING_RATE)
    tail = random.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    tail[: int(0.004 * SAMPLING_RATE)] = 0
    tail *= random.uniform(0.1, 0.6) / np.sqrt((tail**2).sum() + 1e-9)
    tail[0] = 1
    heard = fftconvolve(waveform, tail)[: len(waveform)]
    return (heard * _level(waveform) / max(_level(heard), 1e-9)).astype(np.float32)


def noise(random: np.random.Generator, samples: int, kind: str | None = None) -> np.ndarray:
    """Background noise of level 1: white, pink, brown, hum, music or speech-shaped."""
    kind = kind or random.choice([*COLOURS, "hum", "music", "speech"])
    if kind == "hum":
        time = np.arange(samples) / SAMPLING_RATE
        base = random.choice([50, 60, 100, 120])
        tones = sum(
            np.sin(2 * np.pi * base * k * time + random.uniform(0, 6.28)) / k for k in range(1, 9)
        )
        heard = tones + 0.3 * random.standard_normal(samples)
    elif kind == "music":  # notes of a scale, plucked
        heard = np.zeros(samples)
        root, beat = random.uniform(110, 330), int(random.uniform(0.15, 0.5) * SAMPLING_RATE)
        for start in range(0, samples, beat):
            for step in random.choice([0, 2, 4, 7, 9, 12], random.integers(1, 4), replace=False):
                time = np.arange(min(3 * beat, samples - start)) / SAMPLING_RATE
                tone = root * 2 ** (step / 12)
                note = sum(np.sin(2 * np.pi * tone * k * time) / k for k in (1, 2, 3))
                heard[start : start + len(time)] += note * np.exp(-5 * time)
    elif kind == "speech":  # the long-term spectrum of speech, in syllables' rhythm
        heard = lfilter([1], [1, -0.9], random.standard_normal(samples))
        time = np.arange(samples) / SAMPLING_RATE
        heard *= 1 + 0.6 * np.sin(2 * np.pi * random.uniform(2, 5) * time + random.uniform(0, 6.28))
    elif kind in COLOURS:
        spectrum = np.fft.rfft(random.standard_normal(samples))
        frequencies = np.maximum(np.fft.rfftfreq(samples, 1 / SAMPLING_RATE), 40)
        heard = np.fft.irfft(spectrum / frequencies ** COLOURS[kind], samples)
    else:
        raise ValueError(f"There is no noise {kind!r}: white, pink, brown, hum, music or speech.")
    return (heard / max(_level(heard), 1e-9)).astype(np.float32)


COLOURS = {"white": 0.0, "pink": 0.5, "brown": 1.0}  # amplitude falls as 1 / frequency ** this


def with_noise(waveform: np.ndarray, background: np.ndarray, decibels: float) -> np.ndarray:
    """The waveform with a background so loud that speech lies `decibels` above it (the SNR).

    The speech's level is taken where there is speech: pauses do not make the noise quieter.
    """
    blocks = waveform[: len(waveform) // 400 * 400].reshape(-1, 400)
    power = (blocks**2).mean(axis=1)
    loud = power[power > power.max(initial=0) / 1_000]
    level = np.sqrt(loud.mean()) if loud.size else 0.0
    part = background[: len(waveform)]
    return (waveform + part * level / max(_level(part), 1e-9) / 10 ** (decibels / 20)).astype(
        np.float32
    )


def gain(random: np.random.Generator, waveform: np.ndarray) -> np.ndarray:
    """The waveform at another loudness, its peak between 0.05 and 0.95."""
    peak = 10 ** random.uniform(np.log10(0.05), np.log10(0.95))
    return (waveform * peak / max(np.abs(waveform).max(initial=0), 1e-6)).astype(np.float32)


def _level(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(waveform)))) if waveform.size else 0.0


# --- espeak-ng's C library (speak_lib.h) ---------------------------------------------------------

WORD, PHONEME = 1, 7  # espeak_EVENT_TYPE
RETRIEVAL = 1  # espeak_AUDIO_OUTPUT: samples come back, nothing plays
PHONEME_EVENTS, DONT_EXIT = 1, 0x8000  # espeakINITIALIZE
RATE, PITCH = 1, 3  # espeak_PARAMETER
UTF8 = 1


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # in characters, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("string", ctypes.c_char * 8),  # a union; for a phoneme its mnemonic
    ]


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class _Espeak:
    """The library, once a process; it is not thread-safe."""

    def __init__(self):
        if not LIBRARY:
            raise OSError("Toytown speaks with espeak-ng: install it (apt install espeak-ng).")
        self.library = ctypes.CDLL(LIBRARY)
        self.sampling_rate = self.library.espeak_Initialize(
            RETRIEVAL, 200, None, PHONEME_EVENTS | DONT_EXIT
        )
        if self.sampling_rate <= 0:
            raise OSError("espeak-ng finds no data: install espeak-ng-data.")
        self.callback = _CALLBACK(self._take)  # kept: ctypes does not
        self.library.espeak_SetSynthCallback(self.callback)
        self.chosen = None

    def choose(self, voice: str, speed: int, pitch: int) -> None:
        if self.chosen != voice:
            if self.library.espeak_SetVoiceByName(voice.encode()):
                raise OSError(f"This espeak-ng has no voice {voice}: install its data (1.51).")
            self.chosen = voice
        self.library.espeak_SetParameter(RATE, int(speed), 0)
        self.library.espeak_SetParameter(PITCH, int(pitch), 0)

    def synthesize(self, text: str) -> tuple[np.ndarray, list[tuple]]:
        self.parts, self.events = [], []
        data = text.encode() + b"\0"
        size = ctypes.c_size_t(len(data))
        if self.library.espeak_Synth(data, size, 0, 1, 0, UTF8, None, None):
            raise OSError("espeak-ng could not say it: try a shorter text.")
        self.library.espeak_Synchronize()
        return np.concatenate(self.parts or [np.zeros(0, np.int16)]), self.events

    def _take(self, samples, count, events) -> int:
        if count > 0:
            self.parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        for number in range(10_000):
            event = events[number]
            if event.type == 0:
                break
            if event.type in (WORD, PHONEME):
                start = event.text_position - 1
                # Of a word the union holds its number, which need not be UTF-8.
                name = event.string.decode() if event.type == PHONEME else ""
                self.events.append((event.type, event.sample, start, name))
        return 0


@functools.cache
def _espeak() -> _Espeak:
    return _Espeak()
