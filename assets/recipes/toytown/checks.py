"""What an answer says, whatever its capitals and commas: the words that skills.py checks it by."""

import json
import re
from collections.abc import Callable, Iterable

DENIED = {"not", "no", "never", "cannot", "isn't", "doesn't", "don't", "didn't", "can't", "won't"}
SMALL = "a an the of in on to is are and or for from as that which who it its"


def plain(text: str) -> str:
    """The words of a text, in small letters: `("It's 4, Leo!")` -> "it's 4 leo"."""
    return " ".join(re.findall(r"[\w']+", text.lower()))


def says(answer: str, wanted: str) -> bool:
    """Whether the words of `wanted` stand in an answer, one after the other."""
    return f" {plain(wanted)} " in f" {plain(answer)} "


def says_any(answer: str, wanted: Iterable[str]) -> bool:
    """Whether it says one of them."""
    return any(says(answer, one) for one in wanted)


def denies(answer: str, allowed: str = "") -> bool:
    """Whether there is a "not" or the like in it, which is not in `allowed`, too."""
    return bool(DENIED & set(plain(answer).split()) - set(plain(allowed).split()))


def weighty(text: str) -> set[str]:
    """The words of a text without "a", "of" and the like."""
    return set(plain(text).split()) - set(SMALL.split())


def same(wanted: str) -> Callable[[str], bool]:
    """A check that an answer is `wanted`, word for word."""
    return lambda answer: plain(answer) == plain(wanted)


def holds(wanted: str) -> Callable[[str], bool]:
    """A check that an answer says `wanted`."""
    return lambda answer: says(answer, wanted)


def is_unknown(answer: str) -> bool:
    """Whether it says that it does not know, and nothing long beside."""
    return says_any(answer, ("don't know", "do not know")) and len(answer.split()) <= 12


def is_json(wanted: object) -> Callable[[str], bool]:
    """A check that an answer is JSON with the values of `wanted`."""

    def right(answer: str) -> bool:
        try:
            return json.loads(answer) == wanted
        except json.JSONDecodeError:
            return False

    return right
