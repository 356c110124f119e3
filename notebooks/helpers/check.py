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
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor


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

PAY = ("Please refund my ticket.", "I would like my money back for the train.")
PAY += ("Could I have a refund for my ticket?", "The ferry did not sail. Please refund my fare.")
KEEP = ("Please do not refund my ticket.", "I never asked for a refund.")
KEEP += (
    "I don't want my money back.",
    "There is no need for a refund.",
    "Where do I buy a ticket?",
)


@functools.cache
def _embedder() -> "SentenceTransformer":
    from sentence_transformers import SentenceTransformer

    from helpers import checkpoint

    return SentenceTransformer(checkpoint("embedder"))


def _similarities(texts: list[str]) -> "Tensor":
    """Cosine similarities of every text with every other, shape (texts, texts)."""
    vectors = _embedder().encode(texts)
    return _embedder().similarity(vectors, vectors)


@self_check("Keep a message's words and turn its meaning round; answer = (first, second, approve).")
def refund_bot(answer: object) -> Verdict:
    """Two messages of opposite meaning that score above 0.8, and a rule that tells them apart."""
    first, second, approve = answer
    score = _similarities([first, second])[0, 1].item()
    if score <= 0.8:
        return Verdict(False, "a similarity above 0.80", f"{score:.2f}")
    if not approve(first) or approve(second):
        hint = "Your rule must pay your own first message and not your second."
        return Verdict(False, "True, False", (approve(first), approve(second)), hint)
    wrong = [message for message in KEEP if approve(message)]
    paid = sum(bool(approve(message)) for message in PAY)
    hint = f"Your rule pays on {wrong[0]!r}: what turns it round?" if wrong else None
    hint = hint or "A rule that hands everyone over is no bot: let the clear requests through."
    yours = f"{len(wrong)} wrong payments, {paid} of 4"
    return Verdict(not wrong and paid >= 3, "0 wrong payments, 3 of 4 requests paid", yours, hint)


@self_check("answer is a list of six sentences, the two nearest in meaning first.")
def own_words(answer: object) -> Verdict:
    """Six sentences; the first two share no long word, and the model finds them the nearest."""
    near = _similarities(list(answer)).fill_diagonal_(-1)
    one, other = sorted(divmod(int(near.argmax()), len(answer)))
    words = [set(re.findall(r"\w{4,}", sentence.lower())) for sentence in answer[:2]]
    done = {
        "six different sentences, none of one word": len(set(answer)) == 6
        and all(len(sentence.split()) > 1 for sentence in answer),
        "the first two share no word of four letters": not words[0] & words[1],
        f"the nearest are the first two (they are {one + 1}, {other + 1})": (one, other) == (0, 1),
    }
    print("\n".join(f"[{'x' if ok else ' '}] {what}" for what, ok in done.items()))
    open_ = next((f"Still open: {what}." for what, ok in done.items() if not ok), None)
    return Verdict(all(done.values()), "3 of 3", f"{sum(done.values())} of 3", open_)


@self_check("answer is your function itself, find: from a question to a notice's id or None.")
def nothing_found(answer: object) -> Verdict:
    """A search that answers what the notices answer and turns down what they do not."""
    from helpers import media

    rows = [row for row in media.examples("exam") if row["split"] == "test"]
    given = {row["question"]: answer(row["question"]) for row in rows}
    strangers = [row["question"] for row in rows if row["notice"] is None]
    refused = sum(given[question] is None for question in strangers)
    found = sum(given[row["question"]] == row["notice"] for row in rows if row["notice"])
    hint = "Too strict: questions that have an answer are turned down. Lower your threshold."
    if refused < 10:
        taken = next(question for question in strangers if given[question] is not None)
        hint = f"{taken!r} gets {given[taken]!r}: return None below a threshold, or raise yours."
    expected, yours = (
        "10 of 12 found, 10 of 12 turned down",
        f"{found} found, {refused} turned down",
    )
    return Verdict(found >= 10 and refused >= 10, expected, yours, hint)
