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
import re
import reprlib
from collections.abc import Callable
from dataclasses import dataclass

from helpers import media
from helpers.checkpoints import checkpoint


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


def _short(value: object) -> str:
    """One short line for any value, even one whose own text fails."""
    try:
        text = str(value) if isinstance(value, str | Exception) else reprlib.repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= 100 else f"{text[:97]}..."


# ------------------------------------------------------------------------------ 2.2. Embeddings


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
    print("\n".join(f"[{'x' if ok else ' '}] {what}" for what, ok in done.items()))
    hint = next((f"Still open: {what}." for what, ok in done.items() if not ok), None)
    return Verdict(all(done.values()), "3 of 3", f"{sum(done.values())} of 3", hint)


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


# --- 2.6. Object Detection -----------------------------------------------------------------------


@functools.cache
def _detector() -> Callable:
    from transformers import pipeline

    return pipeline("object-detection", model=checkpoint("detector"))


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


@self_check("answer = (a path, an address or a name such as 'coffee', [what you see in it]).")
def own_picture(answer: object) -> Verdict:
    """A picture of the reader's and what is in it, beside what the detector says."""
    source, there = answer
    found = {detection["label"] for detection in _detector()(media.image(source))}
    known = set(_detector().model.config.id2label.values())
    several = isinstance(there, list | tuple | set)
    words = {word.strip().lower() for word in there} if several else set()
    scenes = [name for row in media.scenes() for name in (row["place"], row["file_name"])]
    done = {
        "you wrote down what is in it, as a list of words": bool(words),
        "some of your words are names that it knows": bool(words & known),
        "it is no scene of Toytown": str(source).replace("\\", "/").split("/")[-1] not in scenes,
    }
    print("\n".join(f"[{'x' if ok else ' '}] {what}" for what, ok in done.items()))
    print(f"Named and there: {', '.join(sorted(found & words)) or 'nothing'}")
    print(f"Named, not there: {', '.join(sorted(found - words)) or 'nothing'}")
    print(f"There, not named: {', '.join(sorted(words - found)) or 'nothing'}")
    still = next((f"Still open: {what}." for what, ok in done.items() if not ok), None)
    return Verdict(all(done.values()), "3 of 3", f"{sum(done.values())} of 3", still)


@self_check("answer is your function itself: sort by score, keep what overlaps no kept box.")
def suppress(answer: object) -> Verdict:
    """A function that keeps the best of boxes that lie over one another."""

    def boxes(*rows: tuple) -> list[dict]:
        sides = ("xmin", "ymin", "xmax", "ymax")
        return [
            {"label": name, "score": score, "box": dict(zip(sides, box, strict=True))}
            for name, score, *box in rows
        ]

    cases = {
        "keep the best of two, not the first": (
            boxes(("dog", 0.6, 0, 0, 100, 100), ("dog", 0.9, 5, 0, 105, 100)),
            [0.9],
        ),
        "a dog on a bed is no double: compare labels": (
            boxes(("dog", 0.9, 0, 0, 100, 100), ("bed", 0.8, 5, 0, 105, 100)),
            [0.9, 0.8],
        ),
        "two dogs apart are two dogs": (
            boxes(("dog", 0.9, 0, 0, 50, 50), ("dog", 0.8, 60, 0, 110, 50)),
            [0.9, 0.8],
        ),
        "compare with kept boxes alone: what is gone suppresses nothing": (
            boxes(
                ("dog", 0.9, 0, 0, 100, 100),
                ("dog", 0.8, 30, 0, 130, 100),
                ("dog", 0.7, 60, 0, 160, 100),
            ),
            [0.9, 0.7],
        ),
        "nothing in, nothing out": ([], []),
    }
    for hint, (given, expected) in cases.items():
        scores = sorted((kept["score"] for kept in answer(given)), reverse=True)
        if scores != expected:
            return Verdict(False, f"the scores {expected}", scores, f"{hint[0].upper()}{hint[1:]}.")
    return Verdict(True, f"{len(cases)} cases of {len(cases)}", f"{len(cases)} cases")
