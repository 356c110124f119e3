"""The exercises' self-checks: a hint, never a traceback, whatever the answer is.

To add one, write a function from the answer to a Verdict and decorate it with a hint:

    @self_check("Read the row of the first sentence: which other column is highest?")
    def closest_pair(answer: object) -> Verdict:
        pair = tuple(sorted(answer))
        return Verdict(pair == (0, 1), expected="(0, 1)", yours=pair)

An answer that makes the function fail (None, a function, an array of another shape …) gets the
hint too. Where one wrong answer deserves a hint of its own, give `Verdict(…, hint="…")`.
"""

import functools
import json
import math
import re
import reprlib
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from helpers import media
from helpers.checkpoints import ASSETS, checkpoint


@dataclass(frozen=True)
class Verdict:
    """What a check found: is it right, what was expected, what came, and a hint of its own."""

    right: bool
    expected: str
    yours: object
    hint: str | None = None


def self_check(hint: str) -> Callable[[Callable[[object], Verdict]], Callable[[object], None]]:
    """Turn a function from answer to Verdict into a self-check, which prints and never raises.

    Args:
        hint: where to look next; also for an untouched cell and an answer of the wrong kind.
    """

    def decorate(function: Callable[[object], Verdict]) -> Callable[[object], None]:
        @functools.wraps(function)
        def check(answer: object) -> None:
            if answer is ...:
                print(f"Not answered yet: put your answer in place of the dots.\nHint: {hint}")
                return
            try:
                verdict = function(answer)
                right = bool(verdict.right)  # here, because an array has no single truth
            except Exception as error:  # the answer is a learner's: it may do anything
                kind = type(answer).__name__
                print(f"Not yet. This {kind} cannot be checked: {_short(error)}\nHint: {hint}")
                return
            line = f"Expected {verdict.expected} / yours {_short(verdict.yours)}"
            print(f"Right. {line}" if right else f"Not yet. {line}\nHint: {verdict.hint or hint}")

        return check

    return decorate


def _checklist(done: dict[str, bool]) -> Verdict:
    """Print what is asked for, ticked where it is done; the hint is the first that is not."""
    print("\n".join(f"[{'x' if ok else ' '}] {what}" for what, ok in done.items()))
    still = next((f"Still open: {what}." for what, ok in done.items() if not ok), None)
    asked = f"of {len(done)}"
    return Verdict(
        all(done.values()), f"{len(done)} {asked}", f"{sum(done.values())} {asked}", still
    )


def _short(value: object) -> str:
    """One short line for any value, even one whose own text fails."""
    try:
        text = str(value) if isinstance(value, str | Exception) else reprlib.repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= 100 else f"{text[:97]}..."


@functools.cache
def _pipeline(task: str, role: str) -> Callable:
    """The pipeline of a role, loaded once."""
    from transformers import pipeline

    return pipeline(task, model=checkpoint(role))


# --- 2.1. Intro to NLP ---------------------------------------------------------------------------


def _writer(role: str) -> tuple:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    name = checkpoint(role)
    return AutoTokenizer.from_pretrained(name), AutoModelForSeq2SeqLM.from_pretrained(name)


@self_check("answer is your function itself: from a story and a summary to True or False.")
def invented(answer: object) -> Verdict:
    """A function that suspects summaries in which something is not in the story."""
    rows = list(media.examples("stories"))[60:]
    others = [*rows[7:], *rows[:7]]
    told = [(row["text"], row["summary"]) for row in rows]
    false = []
    for row, other in zip(rows, others, strict=True):
        for fact in ("who", "what", "where"):
            if other[fact] not in row["text"]:
                false.append((row["text"], row["summary"].replace(row[fact], other[fact])))
    people = {row["who"] for row in media.examples("stories")}
    mixed = [
        (row["text"], row["summary"].replace(row["who"], name, 1))
        for row in rows
        for name in sorted(set(re.findall(r"\w+", row["text"])) & people - {row["who"]})
    ]
    caught, alarms, lost = (
        np.mean([bool(answer(*pair)) for pair in pairs]) for pairs in (false, told, mixed)
    )
    print(f"Of summaries with two people of the story exchanged you suspect {lost:.0%}.")
    hint = "True summaries are stopped, too: which of their words does the story not have?"
    if caught < 0.9:
        hint = "Inventions pass: compare every word, the names above all, with the story's."
    found = f"{caught:.0%} and {alarms:.0%}"
    return Verdict(
        caught >= 0.9 and alarms <= 0.1,
        f"at least 90% of {len(false)} inventions, at most 10% of true ones",
        found,
        hint,
    )


@self_check('answer = [("English.", "French or Spanish."), ("One word changed.", "The same.")]')
def own_sentence(answer: object) -> Verdict:
    """Two sentences of the reader's, a word apart: the translator does one, and not the other."""
    from sacrebleu.metrics import CHRF

    from helpers.checkpoints import current_tier, row

    words, model = _writer("translator")
    codes = row("translator", current_tier().name)["languages"]
    scores = []
    for english, wanted in answer:
        found = []
        for language in ("French", "Spanish"):
            words.src_lang, words.tgt_lang = codes["English"], codes[language]
            first = words(text_target="")["input_ids"][0]
            ids = model.generate(**words(english, return_tensors="pt"), forced_bos_token_id=first)
            text = words.decode(ids[0], skip_special_tokens=True)
            found.append((CHRF().sentence_score(text, [wanted]).score, text))
        print(f"{english} → {max(found)[1]} (chrF with yours: {max(found)[0]:.0f})")
        scores.append(max(found)[0])
    texts = [english.split() for english, _ in answer]
    changed = [one != other for one, other in zip(*texts, strict=False)]
    known = media.examples("parallel")["English"]
    done = {
        "two English sentences of four words or more": len(texts) == 2 and min(map(len, texts)) > 3,
        "one word changed, the others kept": len({*map(len, texts)}) == 1 and sum(changed) == 1,
        "the first is none of our examples": answer[0][0] not in known,
        "the first is translated as you would (70 or more)": scores[0] >= 70,
        "the second is not (at least 20 less)": scores[1] <= scores[0] - 20,
    }
    return _checklist(done)


@self_check("answer is your function itself: from a list of turns and a limit to a shorter list.")
def lasting_memory(answer: object) -> Verdict:
    """A function that chooses which turns fit into the window, so that a name comes back."""
    words, model = _writer("chatbot")
    mark, limit = f"{words.eos_token} {words.bos_token}", words.model_max_length
    rows = [row for row in media.examples("introductions") if not row["new"]]
    right = []
    for row in rows:
        talk = [line for pair in row["talk"] for line in pair]
        name = row["name"]
        begin = 2 * (len(right) % 3)  # the name is not always told at the same place
        told = [f"My name is {name}.", f"Nice to meet you, {name}."]
        turns = [*talk[:begin], *told, *talk[begin:], "What is my name?"]
        kept, rest = list(answer(list(turns), limit)), iter(turns)
        if kept[-1:] != turns[-1:] or not all(turn in rest for turn in kept):
            return Verdict(
                False,
                "turns in their order, with the last",
                kept[-2:],
                "Leave turns out, change none, and keep the question.",
            )
        inputs = words(mark.join(kept), return_tensors="pt")
        if len(inputs["input_ids"][0]) > limit:
            size = len(inputs["input_ids"][0])
            return Verdict(
                False, f"at most {limit} tokens", size, "Count the tokens of the joined turns."
            )
        right.append(name in words.decode(model.generate(**inputs)[0], skip_special_tokens=True))
    hint = "Keep what people say of themselves, and fill the rest with the last turns."
    return Verdict(
        sum(right) >= 0.8 * len(rows),
        f"at least {math.ceil(0.8 * len(rows))} of {len(rows)} names",
        sum(right),
        hint,
    )


# --- 2.2. Embeddings -----------------------------------------------------------------------------


def _similarities(texts: list[str]):
    """The embedder's cosine similarity of every text with every other, shape (texts, texts)."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(checkpoint("embedder"))
    vectors = model.encode(texts)
    return model.similarity(vectors, vectors)


@self_check("Keep a message's words and turn its meaning round; answer = (first, second, approve).")
def refund_bot(answer: object) -> Verdict:
    """Two messages of opposite meaning that score above 0.8, and a rule that tells them apart."""
    first, second, approve = answer
    score = float(_similarities([first, second])[0, 1])
    if score <= 0.8:
        return Verdict(False, "a similarity above 0.80", f"{score:.2f}")
    if not approve(first) or approve(second):
        hint = "Your rule must pay your own first message and not your second."
        return Verdict(False, "True, False", (approve(first), approve(second)), hint)
    rows = media.examples("refunds")
    wrong = [row["message"] for row in rows if not row["pay"] and approve(row["message"])]
    missed = [row["message"] for row in rows if row["pay"] and not approve(row["message"])]
    yours = f"{len(wrong)} wrong payments, {4 - len(missed)} of 4"
    right = not wrong and len(missed) <= 1
    hint = None
    if wrong:
        asks = "which words should stop it?"
        if not re.search("refund|money", wrong[0].lower()):  # a question about tickets
            asks = "is your comparison sentence about refunds, or about tickets?"
        hint = f"Your rule pays on {wrong[0]!r}: {asks}"
    elif missed:
        hint = f"No wrong payment; now let the clear requests through, such as {missed[0]!r}."
    return Verdict(right, "0 wrong payments, at least 3 of 4 requests paid", yours, hint)


@self_check("answer is a list of six sentences, the two nearest in meaning first.")
def own_words(answer: object) -> Verdict:
    """Six sentences; the first two share no long word, and the model finds them the nearest."""
    near = _similarities(list(answer)).fill_diagonal_(-1)
    pair = sorted(divmod(int(near.argmax()), len(answer)))
    long_words = [set(re.findall(r"\w{4,}", sentence.lower())) for sentence in answer[:2]]
    several = all(len(sentence.split()) > 1 for sentence in answer)
    done = {
        "six different sentences of several words": len(set(answer)) == 6 and several,
        "no word of four letters shared by the first two": not set.intersection(*long_words),
        f"the first two are the nearest, not {pair[0] + 1} and {pair[1] + 1}": pair == [0, 1],
    }
    return _checklist(done)


@self_check("answer is your function itself, find: from a question to a notice's id or None.")
def nothing_found(answer: object) -> Verdict:
    """A search that answers what the notices answer and turns down what they do not."""
    rows = [row for row in media.examples("exam") if row["split"] == "test"]
    given = [(row, answer(row["question"])) for row in rows]
    taken = [(row["question"], got) for row, got in given if row["notice"] is None and got]
    found = sum(got == row["notice"] for row, got in given if row["notice"])
    hint = "Too many questions that have an answer get None or another: lower your threshold."
    if len(taken) > 2:
        question, got = taken[0]
        hint = f"{question!r} gets {got!r}: answer None below a threshold, or raise it."
    yours = f"{found} found, {12 - len(taken)} None"
    right = found >= 6 and len(taken) <= 2
    return Verdict(right, "at least 6 of 12 found and 10 of 12 None", yours, hint)


# --- 2.3. Zero-Shot Audio Classification ---------------------------------------------------------


_listener = functools.partial(_pipeline, "zero-shot-audio-classification", "listener")


@functools.cache
def _cosines_in_noise() -> tuple[np.ndarray, np.ndarray]:
    """Cosines of sounds of all kinds with the first twelve labels, and the sounds' true kinds.

    The sounds are not those on which 2.3 draws its line, and the noise is another; it is as loud.
    """
    from torch import inference_mode
    from torch.nn.functional import cosine_similarity

    listen, rows = _listener(), list(media.examples("sounds"))
    rate = listen.feature_extractor.sampling_rate
    kinds = list(dict.fromkeys(row["label"] for row in rows))
    by_kind = [[row for row in rows if row["label"] == kind] for kind in kinds]
    chosen = [row for some in by_kind for row in some[4:6] or some[-2:]]
    random, waveforms = np.random.default_rng(1), []
    for row in chosen:
        waveform, _ = media.audio(row["audio"], rate)
        noise = random.standard_normal(len(waveform), dtype=np.float32)
        waveforms.append(waveform + 2**0.5 * waveform.std() * noise)
    texts = [f"This is a sound of {kind}." for kind in kinds[:12]]
    with inference_mode():
        tokens = listen.tokenizer(texts, padding=True, return_tensors="pt")
        told = listen.model.get_text_features(**tokens).pooler_output
        cosines = []
        for waveform in waveforms:
            features = listen.feature_extractor(waveform, sampling_rate=rate, return_tensors="pt")
            heard = listen.model.get_audio_features(**features).pooler_output
            cosines.append(cosine_similarity(heard, told).numpy())
    return np.stack(cosines), np.array([kinds.index(row["label"]) for row in chosen])


def _charged(line: float, of_silence: int, of_wrong: int) -> int:
    """What the sounds in noise cost at a line: silence about one of the twelve, a wrong name."""
    cosines, truth = _cosines_in_noise()
    near, named = cosines.max(1), cosines.argmax(1)
    silent, wrong = (near < line) & (truth < 12), (near >= line) & (named != truth)
    return of_silence * int(silent.sum()) + of_wrong * int(wrong.sum())


@self_check("For each customer add up the costs at every line from 0 to 1; take the cheapest.")
def two_lines(answer: object) -> Verdict:
    """Two thresholds for two price lists, charged on sounds and noise not used to choose them."""
    paid, limits = [], []
    for line, of_silence, of_wrong in zip(answer, (5, 1), (1, 5), strict=True):
        if not -1 <= float(line) <= 1:
            return Verdict(False, "two cosines", answer, "A cosine lies between -1 and 1.")
        costs = [
            _charged(cut, of_silence, of_wrong) for cut in (float(line), *np.linspace(0, 1, 201))
        ]
        paid.append(costs[0])
        limits.append(round(1.25 * min(costs[1:])))
    late = [name for name, cost, most in zip("AB", paid, limits, strict=True) if cost > most]
    hint = f"{' and '.join(late)} can be served cheaper: what does silence cost there, what a name?"
    expected = f"A pays at most {limits[0]} and B {limits[1]}"
    return Verdict(not late, expected, f"A {paid[0]}, B {paid[1]}", hint)


@self_check('answer = ("sound.wav", ["a label", "another", …], "the right one").')
def own_sound(answer: object) -> Verdict:
    """A sound of the reader's and labels for it, beside what the listener says."""
    source, labels, right = answer
    rate = _listener().feature_extractor.sampling_rate
    waveform, _ = media.audio(source, sampling_rate=rate)
    found = _listener()(waveform, candidate_labels=list(labels))
    for one in found[:3]:
        print(f"{one['score']:.2f} {one['label']}")
    agrees = "as you said" if found[0]["label"] == right else "not what you said: why not?"
    print(f"It says: {found[0]['label']}, {agrees}")
    done = {
        "your labels are a list of three or more": isinstance(labels, list) and len(labels) > 2,
        "the right one is among them": right in labels,
        "it lasts at least a second": len(waveform) >= rate,
        "it is louder than silence": float(np.abs(waveform).max()) > 0.01,
    }
    return _checklist(done)


@self_check("answer is your function itself: from a text to a row of tests, or None.")
def sound_search(answer: object) -> Verdict:
    """A search that brings a fitting sound, and nothing where no sound is near."""
    kinds = {"a dog barks": "a dog barking", "it is raining": "rain falling"}
    kinds |= {"somebody laughs": "a person laughing", "a cow moos": "a cow mooing"}
    nowhere = ("a piano playing", "frying an egg", "silence")
    found = {text: answer(text) for text in (*kinds, *nowhere)}
    labels = {text: row and row["label"] for text, row in found.items()}
    wrong = [text for text, kind in kinds.items() if labels[text] != kind]
    taken = [text for text in nowhere if labels[text]]
    hint = None
    if wrong:
        hint = f"{wrong[0]!r} brings {labels[wrong[0]]}: take the largest cosine, and a lower line."
    elif taken:
        hint = f"{taken[0]!r} brings {labels[taken[0]]}: answer None below the line, or raise it."
    yours = f"{4 - len(wrong)} found, {3 - len(taken)} None"
    return Verdict(not wrong + taken, "4 found, 3 None", yours, hint)


# --- 2.4. Automatic Speech Recognition -----------------------------------------------------------


_transcriber = functools.partial(_pipeline, "automatic-speech-recognition", "transcriber")


def _words(text: str) -> list[str]:
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    return BasicTextNormalizer()(text).split()


@self_check("answer is your function itself: from a text to the same text, made comparable.")
def normalised(answer: object) -> Verdict:
    """A function that makes texts comparable where they mean the same, and only there."""
    same, apart = "must become the same", "must stay apart"
    cases = {
        "capitals and punctuation are not heard": ("Hello, Rosa!", same, "hello rosa"),
        "Dr and doctor are one word": ("Dr Stone is in", same, "doctor Stone is in"),
        "Dr. with a point is doctor, too": ("Ask Dr. Stone.", same, "ask doctor Stone"),
        "only whole words: Dr is no part of drive": ("Drive on", apart, "doctorive on"),
        "fifteen is not fifty": ("fifteen euros", apart, "fifty euros"),
        "15 is not 50": ("15 euros", apart, "50 euros"),
        "a mark between two digits is part of the number": ("3.50 euros", apart, "350 euros"),
        "a time of day is no number of three digits": ("at 3:40", apart, "at 340"),
        "a full stop after a number is no part of it": ("It costs 350.", same, "it costs 350"),
        "two words are not one": ("a bus stop", apart, "a busstop"),
        "spaces do not count, however many": ("a  bus - stop", same, "a bus stop"),
    }
    for hint, (first, wanted, second) in cases.items():
        texts = answer(first), answer(second)
        if not all(isinstance(text, str) for text in texts):
            return Verdict(False, "a text", texts[0], "Return a text, a str.")
        if (texts[0].strip() == texts[1].strip()) != (wanted == same):
            expected = f"{first!r} and {second!r} {wanted}"
            return Verdict(False, expected, texts, f"{hint[0].upper()}{hint[1:]}.")
    return Verdict(True, f"{len(cases)} cases of {len(cases)}", f"{len(cases)} cases")


@self_check("answer = (a path, an address or a name such as 'greeting', the words that you said).")
def own_voice(answer: object) -> Verdict:
    """A recording of the reader's and what is said in it, beside what the transcriber writes."""
    import jiwer

    source, said = answer
    waveform, rate = media.audio(source)
    seconds, words = len(waveform) / rate, _words(said)
    loud = float(np.sqrt(np.mean(waveform**2)))
    done = {
        "it lasts from 1 to 30 seconds": 1 <= seconds <= 30,
        "something can be heard in it": loud > 0.003,
        "you wrote down three words or more": len(words) >= 3,
        "they can be said in that time": len(words) <= 6 * seconds,
    }
    verdict = _checklist(done)
    if verdict.right:
        heard = _transcriber()(waveform)["text"].strip()
        wer = jiwer.wer(" ".join(words), " ".join(_words(heard)))
        print(f"said:  {said}\nheard: {heard}\nWER {wer:.0%} of {len(words)} words")
    return verdict


@self_check("answer is your function itself: from text, start and end to a list of subtitles.")
def subtitles(answer: object) -> Verdict:
    """A function that makes of a phrase subtitles of two lines of at most 42 characters."""
    short = "That was everything, thank you."
    two = "My grandmother and I will order twenty-three gloves by Monday."
    long = " ".join(f"Then Oscar has to repair window {number} by Monday." for number in range(9))
    for text, start, end in ((short, 1.0, 3.0), (two, 0.0, 4.0), (long, 12.5, 40.0)):
        shown = [(float(begin), float(finish), str(part)) for begin, finish, part in
                 answer(text, start, end)]  # fmt: skip
        lines = [line for *_, part in shown for line in part.split("\n")]
        begins, ends = [row[0] for row in shown], [row[1] for row in shown]
        shares = [(finish - begin) / max(1, len(part)) for begin, finish, part in shown]
        faults = {
            "No line has over 42 characters.": max(map(len, lines)) > 42,
            "A subtitle has at most two lines.": any(p.count("\n") > 1 for *_, p in shown),
            "Cut and lose no word; a hyphen stays inside its word.": (
                " ".join(lines).split() != text.split()
            ),
            "Put two lines on the screen where there are two.": (
                len(shown) > math.ceil(len(lines) / 2)
            ),
            "Fill the lines: start another where the next word would not fit.": (
                len(lines) > len(textwrap.wrap(text, 42, break_on_hyphens=False))
            ),
            "The first begins at start, the last ends at end.": not np.allclose(
                [begins[0], ends[-1]], [start, end], atol=0.01
            ),
            "Each begins where the one before ends.": not np.allclose(
                begins[1:], ends[:-1], atol=0.05
            ),
            "Share the time out by length: long ones stay longer.": min(shares) <= 0
            or max(shares) > 1.5 * min(shares),
        }
        for hint, faulty in faults.items():
            if faulty:
                return Verdict(False, "subtitles that fit and lose nothing", shown, hint)
    return Verdict(True, "3 phrases of 3", "3 phrases")


# --- 2.5. Text to Speech -------------------------------------------------------------------------


_speaker = functools.partial(_pipeline, "text-to-audio", "speaker")


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
    return _transcriber()({"raw": sound, "sampling_rate": 16_000})["text"].strip()


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
        counts = jiwer.process_words(" ".join(_words(text)), " ".join(_words(_heard(noisy))))
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
        "it has eight words or more": len(_words(spoken)) >= 8,
    }
    verdict = _checklist(done)
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


# --- 2.6. Object Detection -----------------------------------------------------------------------


_detector = functools.partial(_pipeline, "object-detection", "detector")


@functools.cache
def _foggy_scenes() -> list[tuple[list[dict], dict]]:
    """All proposals and the truth for the labelled scenes from the fortieth on, in fog."""
    rows = media.examples("detection")
    rows = rows.select(range(40, len(rows)))  # the notebook chooses on the first forty
    return [(_detector()(media.fog(row["image"]), threshold=0.0), row["objects"]) for row in rows]


def _iou(a: list[float], b: list[float]) -> float:
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    shared = max(0, width) * max(0, height)
    return shared / (sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - shared)


@functools.cache
def _misses_and_alarms(threshold: float) -> tuple[int, int]:
    misses = alarms = 0
    for proposals, truth in _foggy_scenes():
        boxes = [[x, y, x + w, y + h] for x, y, w, h in truth["bbox"]]
        there = list(zip(truth["category"], boxes, strict=True))
        for found in sorted(proposals, key=lambda found: -found["score"]):
            box = list(found["box"].values())
            same = [t for t in there if t[0] == found["label"] and _iou(t[1], box) >= 0.5]
            if found["score"] >= threshold and same:
                there.remove(same[0])
            elif found["score"] >= threshold:
                alarms += 1
        misses += len(there)
    return misses, alarms


@self_check(
    "For each customer add up the costs at every threshold on your half; take the cheapest."
)
def two_thresholds(answer: object) -> Verdict:
    """Two thresholds for two price lists, charged on foggy scenes not used to choose them."""
    for_a, for_b = answer
    paid, limits = [], []
    for threshold, miss, alarm in ((for_a, 5, 1), (for_b, 1, 5)):
        threshold = round(float(threshold), 3)
        if not 0 <= threshold <= 1:
            return Verdict(False, "two scores", answer, "A score lies between 0 and 1.")
        costs = [
            miss * misses + alarm * alarms
            for misses, alarms in map(_misses_and_alarms, (threshold, *(t / 50 for t in range(50))))
        ]
        paid.append(costs[0])
        limits.append(round(1.18 * min(costs[1:])))
    late = [name for name, cost, most in zip("AB", paid, limits, strict=True) if cost > most]
    hint = (
        f"{' and '.join(late)} can be served cheaper: what does a miss cost there, what an alarm?"
    )
    expected = f"A pays at most {limits[0]} and B {limits[1]}"
    return Verdict(not late, expected, f"A {paid[0]}, B {paid[1]}", hint)


def _in_toytown(source: object) -> bool:
    scenes = [name for row in media.scenes() for name in (row["place"], row["file_name"])]
    return str(source).replace("\\", "/").split("/")[-1] in scenes


@self_check("answer = (a path, an address or a name such as 'coffee', [what you see in it]).")
def own_picture(answer: object) -> Verdict:
    """A picture of the reader's and what is in it, beside what the detector says."""
    source, there = answer
    found = {detection["label"] for detection in _detector()(media.image(source))}
    known = set(_detector().model.config.id2label.values())
    several = isinstance(there, list | tuple | set)
    words = {word.strip().lower() for word in there} if several else set()
    done = {
        "you wrote down what is in it, as a list of words": bool(words),
        "some of your words are names that it knows": bool(words & known),
        "it is no scene of Toytown": not _in_toytown(source),
    }
    verdict = _checklist(done)
    print(f"Named and there: {', '.join(sorted(found & words)) or 'nothing'}")
    print(f"Named, not there: {', '.join(sorted(found - words)) or 'nothing'}")
    print(f"There, not named: {', '.join(sorted(words - found)) or 'nothing'}")
    return verdict


@self_check("answer is your function itself: sort by score, keep what overlaps no kept box.")
def suppress(answer: object) -> Verdict:
    """A function that keeps the best of boxes that lie over one another."""

    def boxes(text: str) -> list[dict]:
        """What "dog 0.9 5-105" says: a dog, score 0.9, from x = 5 to 105."""
        return [
            {"label": name, "score": float(score),
             "box": {"xmin": int(left), "ymin": 0, "xmax": int(right), "ymax": 100}}
            for name, score, left, right in re.findall(r"(\w+) (\S+) (\d+)-(\d+)", text)
        ]  # fmt: skip

    cases = {
        "keep the best of two, not the first": ("dog 0.6 0-100, dog 0.9 5-105", [0.9]),
        "a dog on a bed is no double: compare labels": (
            "dog 0.9 0-100, bed 0.8 5-105", [0.9, 0.8],
        ),
        "two dogs apart are two dogs": ("dog 0.9 0-50, dog 0.8 60-110", [0.9, 0.8]),
        "compare with kept boxes alone: what is gone suppresses nothing": (
            "dog 0.9 0-100, dog 0.8 30-130, dog 0.7 60-160", [0.9, 0.7],
        ),
        "nothing in, nothing out": ("", []),
    }  # fmt: skip
    for hint, (given, expected) in cases.items():
        scores = sorted((kept["score"] for kept in answer(boxes(given))), reverse=True)
        if scores != expected:
            return Verdict(False, f"the scores {expected}", scores, f"{hint[0].upper()}{hint[1:]}.")
    return Verdict(True, f"{len(cases)} cases of {len(cases)}", f"{len(cases)} cases")


# --- 2.7. Image Segmentation ---------------------------------------------------------------------


@functools.cache
def _segmenter() -> tuple:
    from transformers import SamModel, SamProcessor

    name = checkpoint("segmenter")
    return SamModel.from_pretrained(name), SamProcessor.from_pretrained(name)


def _masks(picture: Image.Image, points: list, labels: list) -> tuple[np.ndarray, np.ndarray]:
    """For each thing's clicks one mask, bool (things, height, width), and its score (things,)."""
    import torch

    model, processor = _segmenter()
    inputs = processor(picture, input_points=[points], input_labels=[labels], return_tensors="pt")
    sizes = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes")
    with torch.inference_mode():
        outputs = model(**inputs, multimask_output=False)
    masks = processor.post_process_masks(outputs.pred_masks, *sizes)[0]
    return masks[:, 0].numpy(), outputs.iou_scores[0, :, 0].numpy()


@functools.cache
def _first_masks() -> tuple[np.ndarray, np.ndarray]:
    """Scores of one click on each thing of twenty scenes that 2.7 leaves out, and the true IoU."""
    from pycocotools import mask as coco_mask
    from scipy.ndimage import distance_transform_edt

    annotations = json.loads((ASSETS / "images/toytown/annotations.json").read_text("utf-8"))
    scores, overlaps = [], []
    for number, row in enumerate(media.examples("segmentation").select(range(20, 40)), start=20):
        rows = [one for one in annotations["annotations"] if one["image_id"] == number]
        truths = np.stack([coco_mask.decode(one["segmentation"]) > 0 for one in rows])
        points = []
        for truth in truths:
            depth = distance_transform_edt(np.pad(truth, 1))[1:-1, 1:-1]
            y, x = np.unravel_index(depth.argmax(), depth.shape)
            points.append([[int(x), int(y)]])
        masks, found = _masks(row["image"], points, [[1]] * len(points))
        scores += found.tolist()
        overlaps += ((masks & truths).sum((1, 2)) / (masks | truths).sum((1, 2))).tolist()
    return np.array(scores), np.array(overlaps)


@self_check("answer is your function itself: from the scores to ten places, all different.")
def ten_corrections(answer: object) -> Verdict:
    """A function that says from the scores of masks which ten a person redraws."""
    scores, overlaps = _first_masks()
    chosen = [int(place) for place in answer(scores.copy())]
    there = set(range(len(scores)))
    if len(chosen) != 10 or len(set(chosen) & there) != 10:
        expected = f"ten different places from 0 to {len(scores) - 1}"
        return Verdict(False, expected, chosen, f"Return {expected}.")
    gains = 1 - overlaps  # redrawn by hand, a mask is perfect
    yours, anywhere, best = gains[chosen].mean(), gains.mean(), np.sort(gains)[-10:].mean()
    print(f"IoU that a correction adds: {anywhere:.2f} anywhere, {best:.2f} if the truth is known.")
    least = (anywhere + best) / 2
    hint = "Let people redraw where the model doubts its mask: which scores say so?"
    return Verdict(yours >= least, f"at least {least:.2f} a correction", f"{yours:.2f}", hint)


@self_check("answer = (a picture, [[x, y], …], [1 or 0 for each], the share you expect).")
def own_click(answer: object) -> Verdict:
    """A picture of the reader's, clicks on it, and how large they think the thing is."""
    source, points, labels, share = answer
    picture = media.image(source)
    done = {
        "it is no scene of Toytown": not _in_toytown(source),
        "every click lies in the picture": all(
            0 <= x < picture.width and 0 <= y < picture.height for x, y in points
        ),
        "a 1 or a 0 for each click, and at least one 1": len(labels) == len(points)
        and 1 in labels
        and set(labels) <= {0, 1},
        "your guess is a share, between 0 and 1": 0 < share < 1,
    }
    verdict = _checklist(done)
    if verdict.right:
        (mask,), (score,) = _masks(picture, [points], [labels])
        pairs = zip(points, labels, strict=True)
        obeyed = sum(mask[int(y), int(x)] == label for (x, y), label in pairs)
        print(f"The mask covers {mask.mean():.0%} of the picture, you expected {share:.0%}.")
        print(f"It does as {obeyed} of your {len(points)} clicks say; its score is {score:.2f}.")
    return verdict


@self_check("answer is your function itself: from mask, x and y to a mask of the same shape.")
def clean(answer: object) -> Verdict:
    """A function that keeps the piece of a mask under a click, and fills its holes."""
    cases = {
        "keep only the piece under the click": ("##..# ##...", 0, 1, "##... ##..."),
        "x counts from the left, y from the top: mask[y, x]": ("#...# ....#", 4, 1, "....# ....#"),
        "fill the hole": ("##### #.#.# #####", 0, 0, "##### ##### #####"),
        "an open bay is no hole": ("###.. #.... ###..", 0, 0, "###.. #.... ###.."),
        "pieces that meet at a corner alone are two": (
            "##... ##... ..##.", 0, 0, "##... ##... .....",
        ),
        "a crumb inside the hole belongs to it": (
            "##### #...# #.#.# #...# #####", 0, 0, "##### ##### ##### ##### #####",
        ),
        "a click beside the mask gives an empty mask": ("##... ##...", 4, 0, "..... ....."),
    }  # fmt: skip
    for hint, (before, x, y, after) in cases.items():
        mask, expected = (
            np.array([[c == "#" for c in row] for row in t.split()]) for t in (before, after)
        )
        found = np.asarray(answer(mask.copy(), x, y))
        if found.shape != mask.shape or not np.array_equal(found.astype(bool), expected):
            drawn = " ".join("".join(".#"[bool(p)] for p in row) for row in np.atleast_2d(found))
            return Verdict(False, after, drawn, f"{hint[0].upper()}{hint[1:]}.")
    return Verdict(True, f"{len(cases)} cases of {len(cases)}", f"{len(cases)} cases")


# --- 2.8. Multimodal Models ----------------------------------------------------------------------


@functools.cache
def _answerer() -> tuple:
    from transformers import BlipForQuestionAnswering, BlipProcessor

    name = checkpoint("answerer")
    return BlipProcessor.from_pretrained(name), BlipForQuestionAnswering.from_pretrained(name)


@functools.cache
def _said() -> list[tuple[float, bool]]:
    """For each question about the scenes from the fortieth on: how sure, and whether right."""
    processor, model = _answerer()
    said = []
    rows = media.examples("captions")
    for row in rows.select(range(40, len(rows))):  # the notebook chooses on the first forty
        inputs = processor(
            images=[row["image"]] * len(row["questions"]),
            text=[asked["question"] for asked in row["questions"]],
            padding=True,
            return_tensors="pt",
        )
        keep = {"output_scores": True, "return_dict_in_generate": True}
        written = model.generate(**inputs, num_beams=1, max_new_tokens=10, **keep)
        steps = model.text_decoder.compute_transition_scores(
            written.sequences, written.scores, normalize_logits=True
        )
        # What follows an answer's end is padding, and no part of it.
        steps[written.sequences[:, 1:] == processor.tokenizer.pad_token_id] = 0
        answers = processor.batch_decode(written.sequences, skip_special_tokens=True)
        rights = [a == q["answer"] for a, q in zip(answers, row["questions"], strict=True)]
        said += zip(steps.sum(1).exp().tolist(), rights, strict=True)
    return said


@self_check("Add up the costs at every threshold on the first forty scenes; take the cheapest.")
def when_to_be_silent(answer: object) -> Verdict:
    """A threshold under which the answerer is silent, charged on scenes not used to choose it."""
    threshold = round(float(answer), 3)
    if not 0 <= threshold <= 1:
        return Verdict(False, "a probability", threshold, "A probability lies between 0 and 1.")

    def silences_and_mistakes(least: float) -> tuple[int, int]:
        silent = sum(sure < least for sure, _ in _said())
        return silent, sum(sure >= least and not right for sure, right in _said())

    def cost(least: float) -> int:
        silent, wrong = silences_and_mistakes(least)
        return silent + 10 * wrong

    most = round(1.25 * min(cost(step / 50) for step in range(51)))
    silent, wrong = silences_and_mistakes(threshold)
    hint = f"It is silent {silent} times: lower the threshold."
    if 10 * wrong > silent:
        hint = f"{wrong} wrong answers pass, at 10 each: raise the threshold."
    yours = f"{cost(threshold)}: {silent} silences, {wrong} mistakes"
    return Verdict(cost(threshold) <= most, f"a cost of at most {most}", yours, hint)


@self_check("answer = (a picture, a true sentence, the same with one word exchanged).")
def own_negative(answer: object) -> Verdict:
    """A picture of the reader's, a sentence about it, and a hard negative."""
    import torch
    from transformers import BlipForImageTextRetrieval, BlipProcessor

    source, true, false = answer
    picture = media.image(source)
    words = [re.findall(r"\w+", text.lower()) for text in (true, false)]
    apart = sum(a != b for a, b in zip(*words, strict=False))
    done = {
        "it is no scene of Toytown": not _in_toytown(source),
        "a sentence of three words or more": len(words[0]) >= 3,
        "both differ in just one word": len(words[0]) == len(words[1]) and apart == 1,
    }
    verdict = _checklist(done)
    name = checkpoint("matcher")
    processor = BlipProcessor.from_pretrained(name)
    matcher = BlipForImageTextRetrieval.from_pretrained(name)
    inputs = processor(images=[picture] * 2, text=[true, false], padding=True, return_tensors="pt")
    with torch.inference_mode():
        fits = matcher(**inputs).itm_score.softmax(1)[:, 1].tolist()
    unknown = processor.tokenizer.unk_token_id
    for kind, text, share, ids in zip(
        ("true", "false"), (true, false), fits, inputs["input_ids"].tolist(), strict=True
    ):
        print(f"{kind:5} fits {share:.2f}: {text} ({ids.count(unknown)} words unknown to it)")
    return verdict


@self_check("answer is your function itself: from a picture and a question to a colour or None.")
def doubt_the_question(answer: object) -> Verdict:
    """A function that names the colour of what is there, and None for what is not."""
    rows = media.examples("captions")
    there = [
        (row["image"], f"what color is the {thing}?", asked["answer"])
        for row in rows
        for asked in row["questions"]
        for thing in dict.fromkeys(row["objects"]["category"])
        if asked["kind"] == "which colour" and asked["question"].endswith(f" is the {thing}?")
    ][:12]
    absent = [
        (row["image"], f"what color is the {thing}?")
        for row, thing in zip(rows.select(range(12)), ["car", "umbrella", "book"] * 4, strict=True)
        if thing not in row["objects"]["category"]
    ]
    named = sum(answer(picture, question) == colour for picture, question, colour in there)
    silent = sum(answer(picture, question) is None for picture, question in absent)
    right = named >= 0.75 * len(there) and silent >= 0.75 * len(absent)
    hint = "It is silent about things that are there: for them return what the model says."
    if silent < 0.75 * len(absent):
        hint = "It names a colour of what is not there: first ask whether there is one."
    least = [math.ceil(0.75 * len(asked)) for asked in (there, absent)]
    expected = f"at least {least[0]} colours and {least[1]} times None"
    return Verdict(right, expected, f"{named} colours, {silent} times None", hint)
