"""What a self-check is: a hint, never a traceback, whatever the answer is."""

import functools
import reprlib
from collections.abc import Callable
from dataclasses import dataclass

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
                print(f"Not yet. This {kind} cannot be checked: {short(error)}\nHint: {hint}")
                return
            line = f"Expected {verdict.expected} / yours {short(verdict.yours)}"
            print(f"Right. {line}" if right else f"Not yet. {line}\nHint: {verdict.hint or hint}")

        return check

    return decorate


def checklist(done: dict[str, bool]) -> Verdict:
    """Print what is asked for, ticked where it is done; the hint is the first that is not."""
    print("\n".join(f"[{'x' if ok else ' '}] {what}" for what, ok in done.items()))
    still = next((f"Still open: {what}." for what, ok in done.items() if not ok), None)
    asked = f"of {len(done)}"
    return Verdict(
        all(done.values()), f"{len(done)} {asked}", f"{sum(done.values())} {asked}", still
    )


def short(value: object) -> str:
    """One short line for any value, even one whose own text fails."""
    try:
        text = str(value) if isinstance(value, str | Exception) else reprlib.repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= 100 else f"{text[:97]}..."


@functools.cache
def pipeline_of(task: str, role: str) -> Callable:
    """The pipeline of a role, loaded once."""
    from transformers import pipeline

    return pipeline(task, model=checkpoint(role))
