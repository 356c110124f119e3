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
import reprlib
from collections.abc import Callable
from dataclasses import dataclass


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
