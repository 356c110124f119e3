"""The self-checks of 2.5. Text to Speech."""

import functools
import re

import numpy as np

from helpers import media
from helpers.check.recognition import transcriber, words_of
from helpers.check.verdict import Verdict, checklist, pipeline_of, self_check

_speaker = functools.partial(pipeline_of, "text-to-audio", "speaker")


def _last_voice() -> int:
    """The number of the speaker's last voice; a model of one voice may count none."""
    return max(1, _speaker().model.config.num_speakers) - 1


def _say(text: str, voice: int = 0, rate: float = 1.0, noise: float | None = None) -> np.ndarray:
    """A text as the speaker says it with seed 0, shape (samples,); noise None is its own."""
    from transformers import set_seed

    model = _speaker().model
    model.noise_scale = model.config.noise_scale if noise is None else noise
    set_seed(0)
    said = _speaker()(text, forward_params={"speaker_id": voice, "speaking_rate": rate})
    return said["audio"].squeeze()


def _heard(waveform: np.ndarray) -> str:
    import soxr

    rate = _speaker().sampling_rate
    sound = soxr.resample(np.pad(waveform, (rate // 5, 0)).astype(np.float32), rate, 16_000)
    return transcriber()({"raw": sound, "sampling_rate": 16_000})["text"].strip()


@functools.cache
def _announced(voice: int, rate: float, noise: float) -> tuple[float, int]:
    """Seconds and wrong words of five announcements through noise, which 2.5 does not use."""
    import jiwer

    texts = [row["text"] for row in media.examples("speech") if row["language"] == "en"]
    texts = [text for text in texts if not re.search(r"\d", text)]
    seconds, wrong = 0.0, 0
    for text in [text for text in texts if 5 <= len(text.split()) <= 10][5:10]:
        waveform = _say(text, voice, rate, noise)
        loud = 0.32 * waveform.std()
        noisy = waveform + np.random.default_rng(0).normal(0, loud, len(waveform))
        counts = jiwer.process_words(" ".join(words_of(text)), " ".join(words_of(_heard(noisy))))
        seconds += len(waveform) / _speaker().sampling_rate
        wrong += counts.substitutions + counts.deletions + counts.insertions
    return seconds, wrong


@self_check("Try each voice at several rates; answer = (voice, rate, noise).")
def announcement(answer: object) -> Verdict:
    """A voice, a rate and a noise scale that cost a railway less than what it uses today."""
    voice, rate, noise = answer
    if not 0.25 <= rate <= 4:
        return Verdict(False, "a rate from 0.25 to 4", rate, "Choose a rate from 0.25 to 4.")
    today = min(1, _last_voice())
    (before, missed), (after, wrong) = _announced(today, 1.0, 1.2), _announced(voice, rate, noise)
    most, cost = 0.9 * (before + missed), after + wrong
    hint = f"It speaks for {after:.0f} seconds, against {before:.0f} today: speak faster."
    if wrong > after:
        hint = f"{wrong} words are wrong, at 1 each: try another voice, or another rate."
    yours = f"{cost:.1f}: {after:.1f} seconds, {wrong} wrong words"
    return Verdict(cost <= most, f"at most {most:.1f}", yours, hint)


@self_check("answer = (a text with a figure and an abbreviation, the same as it should be spoken).")
def own_text(answer: object) -> Verdict:
    """A text of the reader's as written and as spoken, and what the transcriber hears of it."""
    written, spoken = answer
    # "approx. 5", "e.g.", "Dr. Brown", "BBC", "5 km"; the end of a sentence is none.
    short = r"\b(?:[A-Za-z]+\.(?=\s+[a-z\d]|[a-z]\.|,)|(?:[DM]r|Mrs|St|Prof)\.|[A-Z]{2,}\b)"
    short += r"|(?<=\d)\s?(?:[kcm]?[gml]|min|h|tsp|tbsp|[ap]m)\b"
    tokenizer = _speaker().tokenizer
    read = spoken if tokenizer.phonemize else tokenizer.decode(tokenizer(spoken)["input_ids"])
    lost = sorted(set(spoken.lower()) - set(read.lower()) - set(' "()!:;'))
    ours = {row["text"] for row in media.examples("speech")}
    done = {
        "it is your own, no sentence of the course": written not in ours,
        "as written, it holds a figure": bool(re.search(r"\d", written)),
        "as written, it holds an abbreviation": bool(re.search(short, written)),
        "as spoken, it holds no figure": not re.search(r"\d", spoken),
        "as spoken, it holds no abbreviation": not re.search(short, spoken),
        f"the speaker can read every character{f': not {lost[0]!r}' if lost else ''}": not lost,
        "it has eight words or more": len(words_of(spoken)) >= 8,
    }
    verdict = checklist(done)
    if verdict.right:
        waveform = _say(spoken)
        media.play(waveform, _speaker().sampling_rate, spoken)
        print(f"said:  {spoken}\nheard: {_heard(waveform)}")
    return verdict


@self_check("answer is your function itself: it writes lines, a voice and a text each, to a path.")
def dialogue(answer: object) -> Verdict:
    """A function that writes a dialogue with pauses to a WAV file at the speaker's rate."""
    import tempfile

    import soundfile

    rate, last = _speaker().sampling_rate, _last_voice()
    lines = [(voice, "77 boxes and 77 cups.") for voice in (0, min(1, last), 0)]
    with tempfile.TemporaryDirectory() as folder:
        answer(lines, f"{folder}/dialogue.wav")
        samples, found = soundfile.read(f"{folder}/dialogue.wav", dtype="float32")
        kind = soundfile.info(f"{folder}/dialogue.wav").format
    if (kind, found) != ("WAV", rate):
        hint = "Give soundfile.write the speaker's own sampling rate."
        return Verdict(False, f"WAV at {rate:,} Hz", f"{kind} at {found:,} Hz", hint)
    # Stretches between silences of 0.3 seconds; quieter than a thousandth counts as silent.
    loud = np.flatnonzero(np.abs(samples) > 0.001 * np.abs(samples).max())
    said = np.split(loud, np.flatnonzero(np.diff(loud) > 0.3 * rate) + 1)
    if len(said) != 3:
        hint = "Put half a second of silence, zeros, between two lines."
        return Verdict(False, "3 lines between pauses", f"{len(said)} lines", hint)
    parts = [samples[part[0] : part[-1] + 1] for part in said]
    if (shortest := min(map(len, parts)) / rate) < 1.5:
        hint = "The figures are left out: normalise."
        return Verdict(False, "1.5 seconds a line or more", f"{shortest:.1f} seconds", hint)
    first, second, third = (_timbre(part) for part in parts)
    if last and np.abs(second - first).mean() <= np.abs(third - first).mean():
        hint = "Give each line its own voice, the first of the pair."
        return Verdict(False, "two voices in turn", "one voice", hint)
    return Verdict(True, "3 lines, 2 pauses, the rate right", "the same")


def _timbre(waveform: np.ndarray) -> np.ndarray:
    """The mean loudness of 30 bands of frequency, in nepers."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform, 512)[::256] * np.hanning(512)
    power = (np.abs(np.fft.rfft(frames)[:, 1:241]) ** 2).mean(0)
    return np.log(power.reshape(30, 8).mean(1) + 1e-9) / 2
