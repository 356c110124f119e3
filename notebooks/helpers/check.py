"""The exercises' self-checks: a hint, never a traceback, whatever the answer is.

To add one, write a function that takes the answer and returns a Verdict, and put `@self_check` on it:

    @self_check("Look at the row of the first sentence: which other column is highest?")
    def closest_pair(answer: object) -> Verdict:
        pair = tuple(sorted(answer))
        return Verdict(pair == (0, 1), expected="the pair 0, 1", yours=pair)

An answer that makes the function fail (a string where a list is wanted, None, nan …) gets the hint too. Give
`Verdict(…, hint="…")` where one wrong answer deserves a hint of its own.
"""

import functools
import reprlib
from collections.abc import Callable
from dataclasses import dataclass

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80


@dataclass(frozen=True)
class Verdict:
    """What a check found: right or not, what was expected, what the learner gave, and a hint of its own."""

    right: bool
    expected: str
    yours: object
    hint: str | None = None


def self_check(hint: str) -> Callable[[Callable[[object], Verdict]], Callable[[object], None]]:
    """Turn a function from answer to Verdict into a self-check that prints one line, or two with a hint.

    Args:
        hint: what to look at next; it also answers an untouched cell and an answer of the wrong kind.
    """

    def decorate(function: Callable[[object], Verdict]) -> Callable[[object], None]:
        @functools.wraps(function)
        def run(answer: object) -> None:
            if answer is ...:
                print(f"Not answered yet: replace the ... above.\nHint: {hint}")
                return
            try:
                verdict = function(answer)
                # bool() here, within the try: an array or a tensor as a verdict has no single truth.
                right, own_hint = bool(verdict.right), verdict.hint
                line = f"Expected {verdict.expected} / yours: {_show(verdict.yours)}"
            except Exception as error:  # whatever a learner's own code raises
                print(
                    f"This answer cannot be checked ({type(error).__name__}): {_show(answer)}\nHint: {hint}"
                )
                return
            print(f"Right. {line}" if right else f"Not yet. {line}\nHint: {own_hint or hint}")

        return run

    return decorate


def _show(value: object) -> str:
    """A short text for any value, even one whose own repr fails."""
    try:
        text = value if isinstance(value, str) else _short.repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    text = " ".join(text.split())
    return text if len(text) <= 100 else f"{text[:97]}..."
