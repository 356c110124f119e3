"""Record the sounds of the notebooks: sentences, a meeting, a bulletin and the town's noises.

    python assets/recipes/audio_examples.py     # writes assets/audio; needs espeak-ng

All are of the test split, never trained on. speech.jsonl lists single sentences, recordings.jsonl
what has several turns or sounds, sounds.jsonl one noise each. Opus, some 3 KB a second of speech.
"""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from listener import drawn
from toytown.sentences import PEOPLE, Sentence, meeting, story
from toytown.sounds import KINDS, LABELS, mixture, sound
from toytown.speech import SAMPLING_RATE, VOICES, noise, room, speak, with_noise
from tqdm import tqdm
from training import ROOT, write_text
from transcriber import SEEDS, said

FOLDER = ROOT / "assets" / "audio"
SENTENCES = {"en": (20, 12), "fr": (8, 4), "es": (8, 4)}  # by trained voices, by others
EACH, SECONDS, RATE = 12, 2.0, 48_000  # noises of a kind
# Seeds, chosen for a meeting that has numbers and three tasks, and mixtures that are both heard.
MEETING, MIXTURE = 77, 50
CAST = {
    "f": ("british_f1", "american_f3", "scottish_f2"),
    "m": ("american_m3", "scottish_m4", "british_m2"),
}
BULLETIN_SECONDS = 120
GREETING = "Good morning, Rosa, you look happy, are you going to the market?"
MIXTURES = {"farm": ("bark", "moo"), "storm": ("rain", "thunder"), "street": ("siren", "footsteps")}


def save(path: Path, waveform: np.ndarray, sampling_rate: int) -> dict:
    """Write a waveform beside its list; its file and sampling rate, for the list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    waveform = waveform / max(1.0, np.abs(waveform).max())
    # Some 26 kbit/s for speech, 33 for noises: 4 MB for all.
    level = 0.92 if sampling_rate == SAMPLING_RATE else 0.9
    soundfile.write(
        path, waveform, sampling_rate, format="OGG", subtype="OPUS", compression_level=level
    )
    return {
        "file": path.relative_to(path.parents[1]).as_posix(),
        "sampling_rate": sampling_rate,
    }


def sentences(folder: Path) -> list[dict]:
    """Single sentences in three languages, each voice in turn as the split draws it."""
    rows = []
    for language, counts in SENTENCES.items():
        for known, count in zip((True, False), counts, strict=True):
            for index in range(count):
                index += 0 if known else 500
                sentence, voice, speech = said("test", index, language, known)
                name = f"{language}-{len(rows):02}.ogg"
                row = save(folder / "speech" / name, speech.waveform, SAMPLING_RATE)
                row |= {"text": sentence.text, "english": sentence.english, "language": language}
                row |= {"voice": voice, "accent": VOICES[voice].accent, "known_voice": known}
                rows.append(row)
    return rows


def performed(lines: list[tuple[str, str, Sentence]], random: np.random.Generator):
    """The waveform of (name, voice, sentence) after one another, and who says what when."""
    parts, turns, at = [np.zeros(SAMPLING_RATE // 2, np.float32)], [], 0.5
    for name, voice, sentence in lines:
        speech = speak(sentence.spoken, voice, 160)
        end = speech.end
        turn = {"name": name, "voice": voice, "text": sentence.text}
        turns.append({"start": round(at, 2), "end": round(at + end, 2)} | turn)
        pause = random.uniform(0.3, 0.8)
        length = int((end + pause) * SAMPLING_RATE)
        part = np.zeros(length, np.float32)
        part[: len(speech.waveform)] = speech.waveform[:length]
        parts.append(part)
        at += length / SAMPLING_RATE
    waveform = room(random, np.concatenate(parts), 0.2)
    return with_noise(waveform, noise(random, len(waveform), "pink"), 30), turns


def recordings(folder: Path) -> list[dict]:
    """A greeting, a meeting of three, a bulletin of two minutes, and two noises at once."""
    random = np.random.default_rng((SEEDS["test"], 0))
    hello = Sentence(GREETING, GREETING, "en", "", "")
    turns = meeting(np.random.default_rng((SEEDS["test"], MEETING)))
    names = list(dict.fromkeys(name for name, _ in turns))
    sexes, voices = dict(PEOPLE), {}
    for name in names:
        voices[name] = next(v for v in CAST[sexes[name]] if v not in voices.values())
    tales, seconds, index = [], 0.0, 0
    while seconds < BULLETIN_SECONDS:
        for line in story(np.random.default_rng((SEEDS["test"], 1000 + index))):
            tales.append(("Reader", "received_f1", line))
            seconds += speak(line.spoken, "received_f1", 160).end + 0.55
        index += 1
    rows = []
    for name, lines in {
        "greeting": [("Reader", "american_f3", hello)],
        "meeting": [(name, voices[name], sentence) for name, sentence in turns],
        "bulletin": tales,
    }.items():
        waveform, spoken = performed(lines, random)
        row = save(folder / "recordings" / f"{name}.ogg", waveform, SAMPLING_RATE)
        rows.append(row | {"text": " ".join(turn["text"] for turn in spoken), "turns": spoken})
    for number, (name, kinds) in enumerate(MIXTURES.items()):
        both = mixture(np.random.default_rng((SEEDS["test"], MIXTURE + number)), kinds, 5.0, RATE)
        row = save(folder / "recordings" / f"{name}.ogg", both, RATE)
        rows.append(row | {"text": "; ".join(LABELS[kind] for kind in kinds), "turns": []})
    return rows


def noises(folder: Path) -> list[dict]:
    """Each kind EACH times."""
    rows = []
    for kind in tqdm(KINDS, desc="kinds"):
        for number in range(EACH):
            random = drawn("test", KINDS.index(kind) * EACH + number)
            waveform = sound(random, kind, SECONDS, RATE)
            row = save(
                folder / "sounds" / f"{kind.replace(' ', '-')}-{number:02}.ogg", waveform, RATE
            )
            rows.append({"label": LABELS[kind]} | row)
    return rows


def main() -> None:
    """Record all beside, then rename the folder."""
    beside = Path(tempfile.mkdtemp(dir=FOLDER.parent, prefix=".audio-"))
    beside.chmod(0o755)
    for name, rows in {
        "speech": sentences(beside),
        "recordings": recordings(beside),
        "sounds": noises(beside),
    }.items():
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        write_text(beside / f"{name}.jsonl", "\n".join(lines) + "\n")
    shutil.rmtree(FOLDER, ignore_errors=True)
    beside.rename(FOLDER)


if __name__ == "__main__":
    main()
