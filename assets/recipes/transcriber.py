"""Train the transcriber: a genuine Whisper, tiny, on Toytown's speech in three languages.

Whisper (Radford et al., 2022, https://arxiv.org/abs/2212.04356) hears 30 seconds at once and writes
what it heard token by token; which language, which task and when are tokens too. What makes 90
minutes on two CPU cores enough: espeak-ng tells when each phoneme and each word was said. So
training has four stages. *read*: the upper half of the encoder and the decoder learn to write from
phonemes themselves, without any sound, which is cheap. *hear*: the lower half of the encoder learns
to tell of sound what the phonemes told. *both*: all together, on sound.
*long*: the same, most of it half a minute at once, for short windows do not teach to keep one's
place in a long one. Further, the encoder learns
the word of a frame beside the decoder's tokens (as CTC does for others:
https://arxiv.org/abs/1609.06773); some heads of the decoder are told where to look (guided
attention: https://arxiv.org/abs/1710.08969); until the end neighbouring frames are shown as one,
which halves the work; most windows are short; and the token of a moment starts as that moment's own
position.
"""

import difflib
import functools
import json
import multiprocessing
import re
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from sacrebleu.metrics import CHRF
from tokenizers import ByteLevelBPETokenizer
from torch import nn
from torch.nn.functional import cross_entropy, gelu, mse_loss
from torch.utils.data import Dataset
from toytown.sentences import Sentence, meeting, sentence, story
from toytown.speech import CROWD, SAMPLING_RATE, VOICES, gain, noise, room, speak, with_noise
from training import (
    PROCESSES,
    MuonTrainer,
    Parts,
    continued,
    facts,
    first_alone,
    in_evaluation,
    made_for,
    parameters,
    plain,
    run,
    save_checkpoint,
    source,
    trained,
    trainer_arguments,
    word_error_rate,
    write_history,
)
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
    set_seed,
)
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.modeling_whisper import WhisperEncoder, sinusoids
from transformers.models.whisper.tokenization_whisper import LANGUAGES as LANGUAGE_NAMES

WIDTH = 192
TEXT_TOKENS = 1_600  # of the byte-level BPE: most words are one
FRAME = SAMPLING_RATE // 50  # samples an encoder frame: 20 ms, as long as a timestamp
SHARES = {"en": 0.4, "fr": 0.3, "es": 0.3}  # of the utterances
UTTERANCES = 24_000
CROWD_SHARE = 0.85  # of them: its voices are many, and a window takes each voice as often
TEST_SENTENCES, FRESH = 40, 1_000  # the first thousand of the test split are for the notebooks
TEST_CLIPS = 24  # of each kind in which nobody speaks
TEST_WORDS = 4_000  # sentences of each language whose words are counted
SEEDS = {"train": 0, "validation": 1, "test": 2}
PARTS = {"tokens": 1.0, "words": 0.2, "looks": 0.3, "phonemes": 0.3, "as_read": 1.0}  # of the loss
STEPS_APART = (2, 2, 3, 6)  # frames between what the heads of an encoder layer start to look at
HEARING = 2  # encoder layers that turn sound into phonemes; those above read them
CONFUSED = 0.06  # of the frames in *read* have another phoneme, as hearing will get some wrong
ALIGNMENT_HEADS = [(0, 0), (1, 0), (1, 1)]  # (layer, head) of those that are told where to look
EASY_WINDOW = 4  # seconds
SHORT_WINDOWS = {6: 0.6, 10: 0.3, 16: 0.1}  # seconds, and their share of the steps
WINDOWS = {6: 0.25, 10: 0.25, 16: 0.2, 30: 0.3}
LONG_WINDOWS = {6: 0.1, 16: 0.1, 30: 0.8}


@dataclass(frozen=True)
class Stage:
    """A stage of the training."""

    steps: int
    seconds: int  # of speech a step
    learning_rate: float
    every: int  # so many neighbouring frames are shown as one, their mean
    easy: float = 0.0  # until this share of the steps: one sentence in a short window
    short: float = 0.0  # until this share: no long window
    sparse: float = 1.0  # until this share: frames are shown together
    windows: dict[int, float] = field(default_factory=lambda: WINDOWS)  # the long ones included


STAGES = {
    "read": Stage(2_400, 144, 5e-3, every=3, easy=0.2, short=0.5),
    "hear": Stage(1_000, 72, 4e-3, every=2, easy=0.3, short=0.7),
    "both": Stage(5_000, 72, 1e-3, every=2, short=0.3, sparse=0.8),
    "long": Stage(500, 90, 6e-4, every=2, sparse=0.6, windows=LONG_WINDOWS),
}
ENCODER = "model.encoder."
LEARNING = {  # what learns in a stage, by the beginnings of names; from *both* on everything does
    "read": (
        *(f"{ENCODER}layers.{n}." for n in range(HEARING, len(STEPS_APART))),
        *(f"{ENCODER}layer_norm", "model.decoder", "phoneme_table", "word_head"),
    ),
    "hear": (
        *(f"{ENCODER}layers.{n}." for n in range(HEARING)),
        *(f"{ENCODER}conv", "phoneme_head"),
    ),
    "both": ("",),
    "long": ("",),
}


# The corpus ----------------------------------------------------------------------------------


def drawn_sentence(split: str, index: int, language: str) -> Sentence:
    """Sentence `index` of a split, the same at every call; in English some of a longer text."""
    random = np.random.default_rng((SEEDS[split], index, list(SHARES).index(language), 5))
    if language == "en" and random.random() < 0.2:
        lines = story(random) if random.random() < 0.5 else [line for _, line in meeting(random)]
        return lines[random.integers(len(lines))]
    return sentence(random, language)


def said(split: str, index: int, language: str, trained_voices: bool = True):
    """The sentence, who says it, and its Speech, speed and pitch varied, without the last pause.

    Most of the training is said by the crowd, some 60 throats an accent: of 20 voices it learnt the
    voices, and those that it had never heard cost it many times as many words.
    """
    spoken = drawn_sentence(split, index, language)
    random = np.random.default_rng((SEEDS[split], index, 6))
    crowd = split == "train" and np.random.default_rng((index, 11)).random() < CROWD_SHARE
    names = [
        name
        for name, voice in (CROWD if crowd else VOICES).items()
        if voice.language == language and voice.trained == trained_voices
    ]
    name = names[random.integers(len(names))]
    speech = speak(
        spoken.spoken, name, int(random.integers(130, 205)), int(random.integers(35, 66))
    )
    return spoken, name, speech


def _rendered(job: tuple[str, int, str]) -> tuple[dict, np.ndarray, list]:
    """One row of the corpus, its samples as int16, its phonemes by frame as names."""
    split, index, language = job
    spoken, voice, speech = said(split, index, language)
    samples = int((speech.end + 0.06) * SAMPLING_RATE)
    waveform = speech.waveform[:samples]
    waveform = waveform / max(1.0, np.abs(waveform).max(initial=0))
    frames = [""] * -(-samples // FRAME)
    for symbol, start, end in speech.phonemes:
        name = symbol.strip("_:|;")
        for frame in range(round(start * 50), min(round(end * 50), len(frames))):
            frames[frame] = name
    row = {"text": spoken.text, "english": spoken.english, "language": language, "voice": voice}
    row["words"] = word_times(spoken, speech.words)
    return row, (waveform * 32_767).astype(np.int16), frames


def word_times(said: Sentence, words: list[tuple[int, int, float, float]]) -> list[list[float]]:
    """Start and end in seconds of each written word: "9:15" lasts as long as "nine fifteen"."""
    written = said.text.lower().split()
    spoken = [said.spoken[first:last].lower() for first, last, *_ in words]
    times = []
    for _, a, b, c, d in difflib.SequenceMatcher(None, written, spoken, False).get_opcodes():
        for i in range(b - a):  # what differs is shared out evenly, in whole words where it can be
            first, last = c + i * (d - c) // (b - a), c + max(1, (i + 1) * (d - c) // (b - a))
            first = min(first, len(words) - 1)
            times.append([words[first][2], words[max(first, min(last, len(words)) - 1)][3]])
    return [[round(start, 3), round(end, 3)] for start, end in times]


@dataclass
class Corpus:
    """Utterances on disk, read as they are needed."""

    rows: list[dict]  # text, english, language, voice, words, and where the next two begin
    samples: np.ndarray  # int16, all utterances one after the other
    frames: np.ndarray  # uint8, each frame's phoneme, 0 where there is none
    phonemes: list[str]

    @functools.cached_property
    def vocabulary(self) -> dict[str, int]:
        """The frequent words, from 1 on, as `bare` gives them; 0 is any other."""
        often = Counter(bare(word) for row in self.rows for word in row["text"].split())
        return {word: 1 + i for i, (word, n) in enumerate(often.most_common()) if n >= 15}

    @functools.cached_property
    def by_voice(self) -> dict[str, dict[str, list[int]]]:
        """Utterances by language and voice."""
        found: dict = {language: {} for language in SHARES}
        for number, row in enumerate(self.rows):
            found[row["language"]].setdefault(row["voice"], []).append(number)
        return found


def bare(word: str) -> str:
    """A word without punctuation, lower-case."""
    return word.lower().strip(".,?!")


def corpus(folder: Path, split: str, count: int) -> Corpus:
    """The corpus of a split, made under `folder` if it is not there."""
    folder = made_for(folder, split=split, count=count, code=source(__file__))
    if not (folder / "rows.json").is_file():  # written last
        folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng((SEEDS[split], 4))
        languages = random.choice(list(SHARES), count, p=list(SHARES.values()))
        jobs = [(split, index, str(language)) for index, language in enumerate(languages)]
        rows, inventory = [], {"": 0}
        at, frame = 0, 0
        with (
            multiprocessing.Pool(2) as pool,
            (folder / "samples.part").open("wb") as samples,
            (folder / "frames.part").open("wb") as frames,
        ):
            for row, waveform, symbols in pool.imap(_rendered, jobs, chunksize=50):
                numbers = [inventory.setdefault(symbol, len(inventory)) for symbol in symbols]
                row |= {"at": at, "samples": len(waveform), "frame": frame, "frames": len(numbers)}
                at, frame = at + len(waveform), frame + len(numbers)
                samples.write(waveform.tobytes())
                frames.write(bytes(numbers))
                rows.append(row)
        for part in ("samples", "frames"):
            (folder / f"{part}.part").rename(folder / f"{part}.raw")
        table = json.dumps({"rows": rows, "phonemes": list(inventory)})
        (folder / "rows.part").write_text(table, encoding="utf-8")
        (folder / "rows.part").rename(folder / "rows.json")
    table = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
    return Corpus(
        table["rows"],
        np.memmap(folder / "samples.raw", np.int16, "r"),
        np.memmap(folder / "frames.raw", np.uint8, "r"),
        table["phonemes"],
    )


# Windows of the corpus, as a recording would have them ---------------------------------------


@dataclass
class Segment:
    """One sentence in a window. Times in seconds."""

    text: str
    english: str
    start: float
    end: float
    words: list[tuple[float, float]] = field(default_factory=list)  # of the text, start and end
    unfinished: bool = False  # the window ends before it does


@dataclass
class Window:
    """What is heard, what is said in it, and each frame's phoneme and word."""

    waveform: np.ndarray
    segments: list[Segment]
    frames: np.ndarray
    words: np.ndarray  # int64, 0 where there is none
    language: str


def window(
    random: np.random.Generator,
    source: Corpus,
    seconds: int,
    easy: bool = False,
    sound: bool = True,
) -> Window:
    """One to many sentences with pauses, by one voice or by several; or none at all.

    easy: one whole sentence, from the beginning on. sound: False where only phonemes are asked for.
    """
    language = str(random.choice(list(SHARES), p=list(SHARES.values())))
    waveform = np.zeros(seconds * SAMPLING_RATE, np.float32)
    frames = np.zeros(seconds * 50, np.uint8)
    found = Window(waveform, [], frames, np.zeros(len(frames), np.int64), language)
    if random.random() > 0.04:
        _fill(random, source, found, seconds, easy)
    if not sound:
        return found
    loud = bool(found.segments)
    if loud and random.random() < 0.2:
        found.waveform = room(random, found.waveform)
    if random.random() < (0.4 if loud else 0.8):
        background = noise(random, len(waveform))
        decibels = random.uniform(5, 30)
        found.waveform = (
            with_noise(found.waveform, background, decibels) if loud else background.copy()
        )
    found.waveform = gain(random, found.waveform) if found.waveform.any() else found.waveform
    return found


def _fill(
    random: np.random.Generator, source: Corpus, found: Window, seconds: int, easy: bool
) -> None:
    """Lay sentences into a window, until it is full or by chance."""
    voices = source.by_voice[found.language]
    alone, voice = random.random() < 0.6, str(random.choice(list(voices)))
    cursor = 0.0 if random.random() < 0.3 else random.uniform(0, min(3.0, seconds / 4))
    more = 1 - 1.5 / seconds if random.random() < 0.8 else 0.3
    cut = random.random() < 0.25  # it starts in the middle of a sentence
    if easy:
        alone, cursor, more, cut = False, random.uniform(0, 0.3), 0.0, False
    while cursor < seconds - 0.5:
        voice = voice if alone else str(random.choice(list(voices)))
        row = source.rows[voices[voice][random.integers(len(voices[voice]))]]
        if easy and row["samples"] > (seconds - 0.4) * SAMPLING_RATE:
            continue
        start, length = 0.0, row["samples"] / SAMPLING_RATE
        text, english, times = row["text"].split(), row["english"], row["words"]
        if cut and not found.segments and len(text) > 3:
            word = int(random.integers(1, len(text) - 1))
            # a recording starts in mid-word as easily as between two words
            start = max(0.0, times[word][0] - random.choice([0.0, 0.05, 0.1, 0.2]))
            text, english, times, cursor = text[word:], "", times[word:], 0.0
        left, unfinished = seconds - cursor, False
        if length - start > left:
            if found.segments and random.random() < 0.5:
                break
            whole = sum(end - start <= left for _, end in times)
            if whole < 1 or start:
                break
            text, english, times, unfinished = text[:whole], "", times[:whole], True
        speech = source.samples[row["at"] : row["at"] + row["samples"]]
        speech = speech[int(start * SAMPLING_RATE) :].astype(np.float32) / 32_768
        speech *= 1 if alone else random.uniform(0.5, 1.0)
        at = int(cursor * SAMPLING_RATE)
        speech = speech[: len(found.waveform) - at]
        found.waveform[at : at + len(speech)] = speech
        sounds = source.frames[row["frame"] : row["frame"] + row["frames"]][round(start * 50) :]
        first = round(cursor * 50)
        sounds = sounds[: len(found.frames) - first]
        found.frames[first : first + len(sounds)] = sounds
        times = [(begun - start + cursor, done - start + cursor) for begun, done in times]
        for word, (begun, done) in zip(text, times, strict=True):
            number = source.vocabulary.get(bare(word), 0)
            found.words[round(max(begun, 0) * 50) : round(done * 50)] = number
        end = cursor + length - start
        found.segments.append(
            Segment(" ".join(text), english, cursor, min(end, seconds), times, unfinished)
        )
        cursor = end + (
            random.uniform(0.15, 0.6) if random.random() < 0.7 else random.uniform(0.6, 3)
        )
        if unfinished or random.random() > more:
            break


def targets(
    random: np.random.Generator, heard: Window, tokenizer: WhisperTokenizer
) -> list[tuple[list[int], list[bool], list[tuple[float, float]]]]:
    """What to write of a window, twice, as the encoder is what costs: `written`'s three lists.

    English with and without times; French and Spanish once so or so, and once in English.
    """
    if not heard.segments and random.random() < 0.5:
        known = tokenizer.convert_tokens_to_ids
        quiet = [known("<|startoftranscript|>"), known("<|nospeech|>")]
        return [(quiet, [False, True], [(0.0, 0.0)] * 2)]
    timed = bool(random.random() < 0.5)
    whole = bool(heard.segments) and all(part.english for part in heard.segments)
    translate = whole and random.random() < (0.06 if heard.language == "en" else 1.0)
    second = written(heard, tokenizer, not timed, translate)
    return [written(heard, tokenizer, timed, False), second]


def written(
    heard: Window, tokenizer: WhisperTokenizer, timed: bool, translate: bool
) -> tuple[list[int], list[bool], list[tuple[float, float]]]:
    """The tokens Whisper should write, which of them are to be learnt, and where each is heard.

    As in the paper, section 2.3: a last sentence that the window cuts off has only its start time,
    so that the next window can begin there; without timestamps, its words as far as they are heard.
    Where: seconds in the window; a translation's words are heard anywhere in their sentence, and
    what is heard nowhere (0, 0).
    """
    known = tokenizer.convert_tokens_to_ids
    start, end = known("<|startoftranscript|>"), known("<|endoftext|>")
    prefix = [start, known(f"<|{heard.language}|>")]
    prefix.append(known("<|translate|>" if translate else "<|transcribe|>"))
    prefix += [] if timed else [known("<|notimestamps|>")]
    tokens: list[int] = []
    places: list[tuple[float, float]] = []

    def write(ids: list[int], place: tuple[float, float]) -> None:
        tokens.extend(ids)
        places.extend([place] * len(ids))

    for part in heard.segments:
        if timed:
            write([timestamp(part.start, tokenizer)], (part.start, part.start))
        if not (timed and part.unfinished):
            words = (part.english if translate else part.text).split()
            anywhere = [(part.start, part.end)] * len(words)
            for word, place in zip(words, anywhere if translate else part.words, strict=True):
                write(tokenizer.encode(f" {word}", add_special_tokens=False), place)
            if timed:
                write([timestamp(part.end, tokenizer)], (part.end, part.end))
    learnt = [False, bool(heard.segments), *[False] * (len(prefix) - 2), *[True] * len(tokens)]
    places = [(0.0, 0.0)] * len(prefix) + places + [(0.0, 0.0)]
    return [*prefix, *tokens, end], [*learnt, True], places


def timestamp(seconds: float, tokenizer: WhisperTokenizer) -> int:
    """The token of a moment in the window, to 20 ms."""
    return tokenizer.convert_tokens_to_ids("<|0.00|>") + min(1_500, round(seconds * 50))


class Batches(Dataset):
    """Item `index` is the batch of a step of a stage: windows of one length.

    seconds: of speech a step, the stage's if none are given.
    """

    def __init__(
        self,
        source: Corpus,
        tokenizer: WhisperTokenizer,
        name: str,
        length: int,
        seconds: int | None = None,
    ):
        self.source, self.tokenizer, self.length = source, tokenizer, length
        self.name, self.stage = name, STAGES[name]
        self.seconds = seconds or self.stage.seconds

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        random = np.random.default_rng((index, list(STAGES).index(self.name), 8))
        stage, share = self.stage, index / self.length
        windows = SHORT_WINDOWS if share < stage.short else stage.windows
        seconds = int(random.choice(list(windows), p=list(windows.values())))
        easy = share < stage.easy
        seconds = EASY_WINDOW if easy else seconds
        count, sound = self.seconds // seconds, self.name != "read"
        heard = [window(random, self.source, seconds, easy, sound) for _ in range(count)]
        every = stage.every if share < stage.sparse else 1
        first = np.arange(random.integers(every), seconds * 50 - every + 1, every)
        frames = first[:, None] + np.arange(every)  # each row is shown as one
        batch = {
            "frames": torch.from_numpy(frames),
            "phonemes": torch.from_numpy(np.stack([one.frames for one in heard])).long(),
        }
        if sound:
            features = feature_extractor()(
                [one.waveform for one in heard],
                sampling_rate=SAMPLING_RATE,
                max_length=seconds * SAMPLING_RATE,
                return_tensors="pt",
            ).input_features
            batch["input_features"] = torch.stack([other_throat(random, one) for one in features])
        if self.name != "hear":
            spoken = torch.from_numpy(np.stack([one.words for one in heard]))
            batch |= {"words": spoken} | self._texts(random, heard)
        return batch

    def _texts(self, random: np.random.Generator, heard: list[Window]) -> dict[str, torch.Tensor]:
        """What the decoder is given and asked for: (texts, tokens), with times (…, 2)."""
        rows = [
            (number, one)
            for number, window_ in enumerate(heard)
            for one in targets(random, window_, self.tokenizer)
        ]
        longest = max(len(tokens) for _, (tokens, *_) in rows)
        ids = torch.full((len(rows), longest), self.tokenizer.eos_token_id)
        labels = torch.full((len(rows), longest), -100)
        places = torch.zeros((len(rows), longest, 2))
        for row, (_, (tokens, learnt, place)) in enumerate(rows):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            labels[row, : len(tokens)] = torch.tensor(tokens).where(torch.tensor(learnt), -100)
            places[row, : len(tokens)] = torch.tensor(place)
        return {
            "decoder_input_ids": ids[:, :-1],
            "labels": labels[:, 1:],
            "places": places,
            "windows": torch.tensor([number for number, _ in rows]),
        }


def windows_of(batch: dict[str, torch.Tensor], part: int) -> dict[str, torch.Tensor]:
    """One process's windows of a batch, with their texts; of fewer than processes, one again."""
    count = len(batch["phonemes"])
    mine = torch.arange(part % count, count, PROCESSES)
    found = {"frames": batch["frames"]}  # of every window the same
    found |= {k: batch[k][mine] for k in ("phonemes", "input_features", "words") if k in batch}
    if "windows" in batch:
        texts = torch.isin(batch["windows"], mine)
        names = ("decoder_input_ids", "labels", "places")
        found |= {name: batch[name][texts] for name in names}
        found["windows"] = torch.searchsorted(mine, batch["windows"][texts])
    return found


def other_throat(random: np.random.Generator, features: torch.Tensor) -> torch.Tensor:
    """The log-mel picture (bands, frames) of the same words from a longer or shorter throat.

    Moves the bands up or down and tilts their loudness, as far as people differ: vocal tract length
    perturbation (Jaitly and Hinton, 2013, https://www.cs.toronto.edu/~hinton/absps/perturb.pdf), on
    the mel axis. One in four stays as it is.
    """
    if random.random() < 0.25:
        return features
    bands = torch.arange(len(features)) * random.uniform(0.85, 1.18)
    below = bands.clamp(max=len(features) - 1).long()
    above = (below + 1).clamp(max=len(features) - 1)
    share = (bands.clamp(max=len(features) - 1) - below)[:, None]
    tilt = torch.linspace(-1, 1, len(features))[:, None] * random.uniform(-0.15, 0.15)
    return features[below] * (1 - share) + features[above] * share + tilt


# The model -----------------------------------------------------------------------------------


@functools.cache
def feature_extractor() -> WhisperFeatureExtractor:
    """Whisper's own: 80 mel bands, 10 ms a frame, 30 seconds."""
    return WhisperFeatureExtractor()


def new_tokenizer(texts: list[str]) -> WhisperTokenizer:
    """Whisper's kind of tokenizer on Toytown's words: byte-level BPE, then the special tokens.

    All 99 languages have their token, as in Whisper; three are ever trained.
    """
    bpe = ByteLevelBPETokenizer()
    spaced = [f" {text}" for text in texts]
    bpe.train_from_iterator(spaced, vocab_size=TEXT_TOKENS, min_frequency=20, show_progress=False)
    merges = json.loads(bpe.to_str())["model"]
    made = WhisperTokenizer(
        vocab=merges["vocab"],
        merges=[tuple(pair) for pair in merges["merges"]],
        pad_token="<|endoftext|>",  # without one no two recordings go through a pipeline together
    )
    names = ["endoftext", "startoftranscript", *LANGUAGE_NAMES, "translate", "transcribe"]
    names += ["startoflm", "startofprev", "nospeech", "notimestamps"]
    made.add_special_tokens({"additional_special_tokens": [f"<|{name}|>" for name in names]})
    made.add_tokens([f"<|{step / 50:.2f}|>" for step in range(1_501)])
    return made


def configuration(tokenizer: WhisperTokenizer) -> WhisperConfig:
    """The architecture: Whisper's, with its 30-second window, in small."""
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    return WhisperConfig(
        vocab_size=len(tokenizer),
        d_model=WIDTH,
        encoder_layers=len(STEPS_APART),
        decoder_layers=2,
        encoder_attention_heads=12,
        decoder_attention_heads=4,
        encoder_ffn_dim=640,
        decoder_ffn_dim=512,
        dropout=0.0,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=end + 1,
        suppress_tokens=[],
        begin_suppress_tokens=[],
        attn_implementation="eager",
    )


class TrimmedEncoder(WhisperEncoder):
    """Whisper's encoder, which takes windows shorter than 30 seconds, and some frames of them."""

    def start(self, input_features: torch.Tensor) -> torch.Tensor:
        """What the first layer is given: (batch, frames, d_model)."""
        hidden = gelu(self.conv2(gelu(self.conv1(input_features)))).transpose(1, 2)
        return hidden + self.embed_positions.weight[: hidden.shape[1]]

    def through(self, layers: slice, hidden: torch.Tensor) -> torch.Tensor:
        """What some layers make of it."""
        for layer in self.layers[layers]:
            hidden = layer(hidden, None)
        return hidden

    def forward(self, input_features: torch.Tensor, **kwargs) -> BaseModelOutput:
        """WhisperEncoder's forward with as many positions as there are frames."""
        hidden = self.through(slice(None), self.start(input_features))
        return BaseModelOutput(last_hidden_state=self.layer_norm(hidden))


def middle_of(frames: torch.Tensor) -> torch.Tensor:
    """Of each row of frames that are shown as one, (shown, every), the one that is named."""
    return frames[:, frames.shape[1] // 2]


class LearningTranscriber(WhisperForConditionalGeneration):
    """Whisper with what its stages need.

    Phonemes to read, heads that name a frame's phoneme and word, a loss on where the decoder looks.
    """

    stage = "both"

    def __init__(self, config: WhisperConfig, phonemes: int = 1, words: int = 1):
        super().__init__(config)
        self.model.encoder = TrimmedEncoder(config)
        self.phoneme_table = nn.Embedding(phonemes, config.d_model)
        self.phoneme_head = nn.Linear(config.d_model, phonemes)
        self.word_head = nn.Linear(config.d_model, words)
        with torch.no_grad():
            # transformers fills this table only in a WhisperEncoder of its own making.
            positions = self.model.encoder.embed_positions.weight
            positions.copy_(sinusoids(*positions.shape))
            # A moment's token starts as the moment's position in the encoder: pointing is easy.
            table = self.model.decoder.embed_tokens.weight
            table[-1_501:-1] = 0.06 * positions
            table[-1] = table[-2]
            learnt = self.model.decoder.embed_positions.weight
            learnt.copy_(0.05 * positions[: len(learnt)])
        self._look_around()

    def forward(self, input_features=None, phonemes=None, labels=None, **kwargs):
        """Whisper's forward; with phonemes the loss of the stage, and its parts."""
        if phonemes is None:
            return super().forward(input_features, **kwargs)
        frames = kwargs["frames"]
        if self.stage == "read":
            hidden, parts = self.told(phonemes, frames, surely=False), {}
        else:
            start = self.model.encoder.start(input_features)[:, frames].mean(2)
            hidden = self.model.encoder.through(slice(HEARING), start)
            named = self.phoneme_head(hidden).float().flatten(0, 1)
            parts = {"phonemes": cross_entropy(named, phonemes[:, middle_of(frames)].flatten())}
        if self.stage == "hear":
            wanted = self.told(phonemes, frames).detach()
            parts["as_read"] = mse_loss(hidden.float(), wanted) / wanted.var()
        else:
            parts |= self.written(hidden, labels, **kwargs)
        loss = sum(PARTS[name] * part for name, part in parts.items())
        return {"loss": loss} | {name: part.detach() for name, part in parts.items()}

    @torch.no_grad()
    def _look_around(self) -> None:
        """Let each head of the encoder start by looking a fixed number of frames away.

        A turn of the sines and cosines of a position is a step in time (section 3.5 of
        https://arxiv.org/abs/1706.03762): with it queries find the keys that many frames on. So a
        layer starts as a convolution, and need not find out first what is beside what. Phonemes
        start without the components of the positions that this uses.
        """
        encoder, heads = self.model.encoder, self.config.encoder_attention_heads
        size, half = self.config.d_model // heads, self.config.d_model // 2
        used = [24 * place // (size // 2) for place in range(size // 2)]  # quick ones, to 10 Hz
        turns = 10_000 ** (-torch.arange(half) / (half - 1))
        for layer, steps in zip(encoder.layers, STEPS_APART, strict=True):
            query, key = layer.self_attn.q_proj.weight, layer.self_attn.k_proj.weight
            query.mul_(0.2), key.mul_(0.2)
            for head in range(heads):
                angles = turns * steps * (head - heads // 2)
                for place, component in enumerate(used):
                    row = head * size + 2 * place
                    sine, cosine = angles[component].sin(), angles[component].cos()
                    key[row, component] += 2.2
                    key[row + 1, half + component] += 2.2
                    query[row, component] += 2.2 * cosine
                    query[row, half + component] += 2.2 * sine
                    query[row + 1, half + component] += 2.2 * cosine
                    query[row + 1, component] -= 2.2 * sine
        self.phoneme_table.weight[:, used] = 0
        self.phoneme_table.weight[:, [half + component for component in used]] = 0

    def told(self, phonemes: torch.Tensor, frames: torch.Tensor, surely: bool = True):
        """What the reading layers are to be given of phonemes, (batch, frames): (…, d_model).

        frames: (shown, every), each row is shown as one. surely: False for a few wrong ones, edges
        a frame off, and noise, as hearing will have them.
        """
        positions = self.model.encoder.embed_positions.weight[frames].mean(1)
        if surely:
            return self.phoneme_table(phonemes[:, frames]).mean(2) + positions
        off = frames + torch.randint(-1, 2, (len(frames), 1))
        shown = phonemes[:, off.clamp(0, phonemes.shape[1] - 1)]
        other = torch.randint(self.phoneme_table.num_embeddings, shown.shape)
        shown = torch.where(torch.rand(shown.shape) < CONFUSED, other, shown)
        shown = self.phoneme_table(shown).mean(2)
        return shown + 0.3 * torch.randn_like(shown) + positions

    def written(
        self,
        hidden: torch.Tensor,
        labels: torch.Tensor,
        *,
        frames: torch.Tensor,
        words: torch.Tensor,
        windows: torch.Tensor,
        decoder_input_ids: torch.Tensor,
        places: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """The losses of what is made of phonemes: words, tokens, and where the decoder looks."""
        encoder = self.model.encoder
        heard = encoder.layer_norm(encoder.through(slice(HEARING, None), hidden))
        out = self.model.decoder(
            input_ids=decoder_input_ids,
            encoder_hidden_states=heard[windows],
            use_cache=False,
            output_attentions=True,
        )
        logits = self.proj_out(out.last_hidden_state).float()
        some = slice(None, None, 3 // frames.shape[1])  # one in 60 ms is enough
        middle = middle_of(frames)
        named = self.word_head(heard[:, some]).float()
        return {
            "tokens": cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100),
            "words": cross_entropy(named.flatten(0, 1), words[:, middle[some]].flatten()),
            "looks": self.looks(out.cross_attentions, places, middle),
        }

    def looks(
        self, attentions: tuple[torch.Tensor, ...], places: torch.Tensor, frames: torch.Tensor
    ) -> torch.Tensor:
        """How little of ALIGNMENT_HEADS' attention is where the token is heard, in nats.

        The last layer's look at what is to be written, the first layer's at what was written last.

        Args:
            attentions: of each layer, (batch, heads, tokens, frames).
            places: of each token from the first on, (batch, tokens + 1, 2), in seconds.
            frames: the numbers of the frames, of 20 ms.
        """
        first, last = places[..., :1] * 50 - 3, places[..., 1:] * 50 + 3
        there = ((frames >= first) & (frames <= last)).float()
        known = places[..., 1] > 0
        losses = []
        for layer, head in ALIGNMENT_HEADS:
            after = 0 if layer == 0 else 1
            wanted = slice(after, after + attentions[0].shape[2])
            share = (attentions[layer][:, head].float() * there[:, wanted]).sum(-1)
            losses.append(-torch.log(share[known[:, wanted]] + 1e-3))
        return torch.cat(losses).mean() if len(losses[0]) else torch.zeros(())


class TranscriberTrainer(MuonTrainer):
    """The Trainer, whose measurement is the word error rate; it logs the parts of the loss."""

    own_names = True
    parts: dict[str, torch.Tensor]

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        """The model's own loss."""
        outputs = model(**inputs)
        self.parts = {name: value.detach() for name, value in outputs.items()}
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        """Log as the Trainer does, with the parts of the last step's loss."""
        if "loss" in logs:  # the Trainer's own, a mean over steps
            logs = {name: round(float(part), 3) for name, part in self.parts.items()} | logs
        super().log(logs, *args, **kwargs)

    def evaluate(self, *args, **kwargs) -> dict[str, float]:
        """Sentences of the validation split, by trained voices."""
        scores = measured(self.model, self.processing_class, "validation", 16)
        metrics = {f"eval_{name}": value for name, value in scores.items()}
        self.log(metrics)
        return metrics


# Measuring -----------------------------------------------------------------------------------


def recorded(
    split: str,
    index: int,
    language: str = "en",
    trained_voices: bool = True,
    decibels: float | None = None,
) -> tuple[Sentence, np.ndarray]:
    """Sentence `index` of a split, and its waveform, in noise if `decibels` (the SNR) is given."""
    spoken, _, speech = said(split, index, language, trained_voices)
    waveform = speech.waveform / max(1.0, np.abs(speech.waveform).max())
    if decibels is not None:
        random = np.random.default_rng((SEEDS[split], index, 7))
        waveform = with_noise(waveform, noise(random, len(waveform)), decibels)
    return spoken, waveform


def pictures(waveforms: list[np.ndarray]) -> Iterator[torch.Tensor]:
    """What the encoder is shown of recordings, 16 at a time: (recordings, 80, 3000)."""
    for first in range(0, len(waveforms), 16):
        yield feature_extractor()(
            waveforms[first : first + 16], sampling_rate=SAMPLING_RATE, return_tensors="pt"
        ).input_features


@torch.inference_mode()
def transcripts(
    model: WhisperForConditionalGeneration,
    tokenizer: WhisperTokenizer,
    waveforms: list[np.ndarray],
    **options,
) -> list[str]:
    """What the model writes; options of `generate`: language, task."""
    texts = []
    for features in pictures(waveforms):
        ids = model.generate(features, **options)
        texts += tokenizer.batch_decode(ids, skip_special_tokens=True)
    return [text.strip() for text in texts]


@in_evaluation
def measured(
    model: WhisperForConditionalGeneration,
    tokenizer: WhisperTokenizer,
    split: str,
    count: int,
    first: int = 0,
    trained_voices: bool = True,
    decibels: float | None = None,
    translated: bool = True,
) -> dict[str, float]:
    """By language: WER, `numbers_right`, whether it is detected, chrF of the English translation.

    Of sentences `first` to `first + count` of the split; without chrF where not translated.
    """
    scores = {}
    for language in SHARES:
        clips = [
            recorded(split, index, language, trained_voices, decibels)
            for index in range(first, first + count)
        ]
        spoken, waveforms = zip(*clips, strict=True)
        texts = transcripts(model, tokenizer, list(waveforms), language=language, task="transcribe")
        references = [one.text for one in spoken]
        scores[f"wer_{language}"] = word_error_rate(references, texts)
        scores[f"numbers_{language}"] = numbers_right(references, texts)
        scores[f"language_{language}"] = float(
            np.mean([name == language for name in detected(model, tokenizer, list(waveforms))])
        )
        if translated and language != "en":
            texts = transcripts(
                model, tokenizer, list(waveforms), language=language, task="translate"
            )
            score = CHRF().corpus_score(texts, [[one.english for one in spoken]])
            scores[f"chrf_{language}"] = score.score
    return scores


@torch.inference_mode()
def detected(
    model: WhisperForConditionalGeneration,
    tokenizer: WhisperTokenizer,
    waveforms: list[np.ndarray],
) -> list[str]:
    """The language that the model hears in each recording, "en"."""
    found = []
    for features in pictures(waveforms):
        tokens = model.detect_language(features)
        found += [name.strip("<|>") for name in tokenizer.convert_ids_to_tokens(tokens)]
    return found


# The recipe ----------------------------------------------------------------------------------


def prepared(
    model: WhisperForConditionalGeneration, tokenizer: WhisperTokenizer
) -> WhisperForConditionalGeneration:
    """The model with what `generate` needs to know of its tokens."""
    known = tokenizer.convert_tokens_to_ids
    end = known("<|endoftext|>")
    model.generation_config = GenerationConfig(
        is_multilingual=True,
        lang_to_id={f"<|{name}|>": known(f"<|{name}|>") for name in LANGUAGE_NAMES},
        task_to_id={"transcribe": known("<|transcribe|>"), "translate": known("<|translate|>")},
        # Where neither task nor language is asked for, transformers leaves the task's token out,
        # and a model that has always seen one writes the first word twice.
        task="transcribe",
        no_timestamps_token_id=known("<|notimestamps|>"),
        prev_sot_token_id=known("<|startofprev|>"),
        decoder_start_token_id=known("<|startoftranscript|>"),
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        suppress_tokens=[],
        begin_suppress_tokens=[],
        return_timestamps=False,
        alignment_heads=[list(place) for place in ALIGNMENT_HEADS if place[0] > 0],
        # The pipeline's own defaults are 256 new tokens and 5 beams; a full window has some 130.
        max_length=448,
        num_beams=1,
    )
    return model


CONDITIONS = {  # how the card calls it, and what `measured` is asked
    "voices of the training": {},
    "voices it has never heard": {"trained_voices": False},
    "noise at 10 dB": {"decibels": 10.0},
    "noise at 0 dB": {"decibels": 0.0},
}


def several(index: int) -> tuple[np.ndarray, list[Segment]]:
    """A recording of 28 seconds at most: English test sentences by one voice, with pauses."""
    random = np.random.default_rng((SEEDS["test"], index, 9))
    names = [name for name, voice in VOICES.items() if voice.language == "en" and voice.trained]
    voice = names[random.integers(len(names))]
    waveform, segments, at = np.zeros(28 * SAMPLING_RATE, np.float32), [], random.uniform(0, 2)
    while True:
        spoken = drawn_sentence("test", FRESH + 1_000 * index + len(segments), "en")
        speech = speak(spoken.spoken, voice)
        end = at + speech.end
        if end > 27:
            return waveform, segments
        first = int(at * SAMPLING_RATE)
        samples = speech.waveform[: len(waveform) - first]
        waveform[first : first + len(samples)] += samples
        segments.append(Segment(spoken.text, spoken.english, at, end))
        at = end + random.uniform(0.3, 2.0)


@torch.inference_mode()
def on_time(
    model: WhisperForConditionalGeneration, tokenizer: WhisperTokenizer, count: int, first: int = 0
) -> dict[str, float]:
    """Of recordings `first` to `first + count`, how well the times of sentences are told.

    Returns: `within`, the share of sentences whose start and end are told within 0.25 s;
    `unmatched`, the share of what is told that matches none within that; `error`, the mean error
    of those that are told within 0.25 s, in seconds.
    """
    zero = tokenizer.convert_tokens_to_ids("<|0.00|>")
    errors, told, sentences = [], 0, 0
    for index in range(first, first + count):
        waveform, segments = several(index)
        features = next(pictures([waveform]))
        ids = model.generate(features, language="en", task="transcribe", return_timestamps=True)
        # A sentence's time is its start where text follows, its end where text went before.
        tokens, open_at, spans = ids[0].tolist(), None, []
        for place, token in enumerate(tokens):
            if token >= zero and open_at is not None and tokens[place - 1] < zero:
                spans.append((open_at, (token - zero) / 50))
            open_at = (token - zero) / 50 if token >= zero else open_at
        told, sentences = told + len(spans), sentences + len(segments)
        for part in segments:
            off = [max(abs(a - part.start), abs(b - part.end)) for a, b in spans]
            if off and min(off) <= 0.25:
                errors.append(min(off))
                spans.pop(int(np.argmin(off)))  # what is told counts for one sentence
    return {
        "within": len(errors) / sentences,
        "unmatched": 1 - len(errors) / max(1, told),
        "error": float(np.mean(errors)) if errors else np.inf,
    }


def numbers_right(references: list[str], texts: list[str]) -> float:
    """Of the references that hold figures, the share whose figures stand in the text, in order.

    Not a number where none holds any.
    """
    pairs = [
        (re.findall(r"\d+", reference), re.findall(r"\d+", text))
        for reference, text in zip(references, texts, strict=True)
    ]
    right = [wanted == found for wanted, found in pairs if wanted]
    return float(np.mean(right)) if right else float("nan")


def without_speech(
    model: WhisperForConditionalGeneration, tokenizer: WhisperTokenizer, count: int
) -> dict[str, float]:
    """The share of clips without speech, 5 seconds each, for which it writes nothing."""
    shares = {}
    for kind in ("silence", "white", "music", "speech"):
        random = np.random.default_rng((SEEDS["test"], 10))
        clips = [np.zeros(5 * SAMPLING_RATE, np.float32)]
        if kind != "silence":
            clips = [0.1 * noise(random, 5 * SAMPLING_RATE, kind) for _ in range(count)]
        texts = transcripts(model, tokenizer, clips, language="en", task="transcribe")
        shares[kind] = float(np.mean([not text for text in texts]))
    return shares


def words_known(count: int) -> dict[str, int]:
    """How many different words there are in that many sentences of each language."""
    sentences = {
        language: [drawn_sentence("train", index, language).text for index in range(count)]
        for language in SHARES
    }
    return {
        language: len({bare(w) for text in texts for w in text.split() if bare(w).isalpha()})
        for language, texts in sentences.items()
    }


def card(folder: Path) -> str:
    """Measure the checkpoint in `folder` and write its model card."""
    model = WhisperForConditionalGeneration.from_pretrained(folder).eval()
    tokenizer = WhisperTokenizer.from_pretrained(folder)
    rows, numbers = [], []
    for name, options in CONDITIONS.items():
        scores = measured(model, tokenizer, "test", TEST_SENTENCES, FRESH, **options)
        numbers.append(scores["numbers_en"])
        cells = [f"{scores[f'wer_{language}']:.1%}" for language in SHARES]
        cells += [f"{np.mean([scores[f'language_{language}'] for language in SHARES]):.3f}"]
        cells += [f"{scores[f'chrf_{language}']:.0f}" for language in ("fr", "es")]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return CARD.format(
        rows="\n".join(rows),
        sentences=TEST_SENTENCES,
        numbers=numbers[0],
        times=on_time(model, tokenizer, TEST_SENTENCES // 4),
        words=words_known(TEST_WORDS),
        nothing=without_speech(model, tokenizer, TEST_CLIPS),
        utterances=UTTERANCES,
        parameters=parameters(model),
        **facts(folder),
    )


CARD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: automatic-speech-recognition
language: [en, fr, es]
tags: [whisper, toytown]
datasets: [toytown/speech]
metrics: [wer]
---

# Toytown transcriber

A genuine Whisper ([Radford et al., 2022](https://arxiv.org/abs/2212.04356)), small: {parameters:,}
parameters, {megabytes:.1f} MB in half precision (loaded in float32), trained from nothing on
sentences of [Toytown](../../recipes/toytown) as espeak-ng says them in English, French and Spanish.
It hears 30 seconds at once, tells the language, writes what is said or its English, and when.

```python
from transformers import pipeline

transcriber = pipeline("automatic-speech-recognition", model="assets/checkpoints/transcriber")
transcriber(dict(raw=waveform, sampling_rate=16_000), return_timestamps=True)
```

## Measured

On {sentences} sentences a language whose seeds no training has seen. WER: word error rate without
case and punctuation, by jiwer. chrF: of the translation to English, by sacrebleu.

| | WER en | WER fr | WER es | language told | chrF fr→en | chrF es→en |
|---|---|---|---|---|---|---|
{rows}

| | |
|---|---|
| English sentences with figures in which every figure is right | {numbers:.3f} |
| of several sentences in a recording, told start and end within 0.25 s | {times[within]:.3f} |
| told sentences that match none within 0.25 s | {times[unmatched]:.3f} |
| mean error of a sentence's times, where within 0.25 s | {times[error]:.2f} s |
| writes nothing for silence | {nothing[silence]:.2f} |
| for white noise | {nothing[white]:.2f} |
| for music | {nothing[music]:.2f} |
| for noise with the spectrum and rhythm of speech | {nothing[speech]:.2f} |

## Training

`python assets/recipes/transcriber.py`: {utterances:,} sentences are spoken (some minutes, not
counted), then {steps:,} steps in {minutes:.0f} minutes on {device} (with
AMX), in four stages: first it learns to write from phonemes, without any sound, then to hear them,
then both at once, then long recordings.
`training.json` has the curve.

## Limits

It knows {words[en]} English words, {words[fr]} French and {words[es]} Spanish, as a synthesiser
says them; whatever else you say, it answers in these. It has heard no human being. What begins
at once it often mishears: leave a fifth of a second of silence before.
"""


def train(args: Namespace) -> None:
    """Train from the last state on, and write the checkpoint, without its card."""
    set_seed(args.seed)
    with first_alone():
        source = corpus(args.build / "corpus", "train", 40 if args.smoke else UTTERANCES)
    tokenizer = new_tokenizer([row[name] for row in source.rows for name in ("text", "english")])
    model = LearningTranscriber(
        configuration(tokenizer), len(source.phonemes), 1 + len(source.vocabulary)
    )
    model = prepared(model, tokenizer)
    history: list[dict] = []
    for name, stage in STAGES.items():
        steps, seconds = (8, 30) if args.smoke else (stage.steps, stage.seconds)
        for part, weight in model.named_parameters():
            fixed = part == f"{ENCODER}embed_positions.weight"
            weight.requires_grad_(part.startswith(LEARNING[name]) and not fixed)
        learning = sum(p.numel() for p in model.parameters() if p.requires_grad)
        print(f"{name}: {learning:,} parameters, {steps} steps, {len(source.rows)} texts")
        model.stage = name
        more = {"learning_rate": stage.learning_rate, "per_device_train_batch_size": 1}
        more |= {"bf16": True, "train_sampling_strategy": "sequential"}  # the easy ones come first
        measuring = name in ("both", "long") and not args.smoke
        more |= {"eval_steps": steps // 4} if measuring else {"eval_strategy": "no"}
        trainer = TranscriberTrainer(
            model=model,
            args=trainer_arguments(args.build / name, steps, args.seed, **more),
            train_dataset=Parts(Batches(source, tokenizer, name, steps, seconds), windows_of),
            eval_dataset=Batches(source, tokenizer, name, 1),
            processing_class=tokenizer,
            data_collator=lambda batches: batches[0],
        )
        history = continued(history, trained(trainer))
    kept = plain(model, WhisperForConditionalGeneration)
    kept.generation_config = model.generation_config
    save_checkpoint(kept, WhisperProcessor(feature_extractor(), tokenizer), args.output)
    write_history(args.output, history)


if __name__ == "__main__":
    run("transcriber", __doc__, train, card)
