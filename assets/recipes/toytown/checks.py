"""What an answer says, whatever its capitals and commas: the words that skills.py checks it by."""

import json
import re
from collections.abc import Callable, Iterable

from .sentences import ENGLISH

SMALL = "a an the of in on to is are and or for from as that which who it its"
# What may stand beside what is asked for: it adds nothing.
NEUTRAL = SMALL + " he she they his her this there yes i you can tell text says but was were"
UNKNOWNS = (
    r"(?:(?:i'm |i am )?sorry )?i (?:don't|do not) know"
    r"(?: (?:that|it|yet|more)| (?:about|what|where|how|who|when) .*)?"
    r"|i have no idea"
    r"|the text (?:does not|doesn't) say(?: (?:that|what|where|how|who) .*)?"
)


def plain(text: str) -> str:
    """The words of a text, in small letters: `("It's 4:30, Leo!")` -> "it's 4:30 leo"."""
    return " ".join(re.findall(r"\w+(?:[':.-]\w+)*", text.lower().replace("’", "'")))


def says(answer: str, wanted: str) -> bool:
    """Whether the words of `wanted` stand in an answer, one after the other."""
    return f" {plain(wanted)} " in f" {plain(answer)} "


def says_any(answer: str, wanted: Iterable[str]) -> bool:
    """Whether it says one of them."""
    return any(says(answer, one) for one in wanted)


def adds(answer: str, known: str) -> bool:
    """Whether an answer has words that neither `known` has nor are NEUTRAL: it tells more."""
    return not set(plain(answer).split()) <= set(plain(known).split()) | set(NEUTRAL.split())


def only(wanted: Iterable[str], known: str = "") -> Callable[[str], bool]:
    """A check that an answer says all of `wanted`, and beside it only words of `known`.

    A "not" is no such word, where `known` has none: what denies is never right.
    """
    wanted = tuple(wanted)
    known = " ".join((known, *wanted))
    return lambda answer: all(says(answer, one) for one in wanted) and not adds(answer, known)


def weighty(text: str) -> set[str]:
    """The words of a text without "a", "of" and the like."""
    return set(plain(text).split()) - set(SMALL.split())


def same(wanted: str) -> Callable[[str], bool]:
    """A check that an answer is `wanted`, word for word."""
    return lambda answer: plain(answer) == plain(wanted)


NOT_KNOWN = "sorry I'm I don't know do not have no idea say does doesn't yet more about"


def is_unknown(answer: str, about: str) -> bool:
    """Whether it says that it does not know, and nothing else, but what it was asked `about`."""
    one = not re.search(r"[.!?,;:] | but | and | because ", re.sub(r"(?i)(sorry),", r"\1", answer))
    unknown = bool(re.fullmatch(UNKNOWNS, plain(answer)))
    return one and unknown and not adds(answer, f"{NOT_KNOWN} {about}")


def is_sum(a: int, b: int) -> Callable[[str], bool]:
    """A check that an answer is the sum of two numbers, alone or after or before the two."""
    wanted = a + b
    words = " ".join(ENGLISH.number_to_words(number) for number in (a, b, wanted))

    def right(answer: str) -> bool:
        answer = re.sub(r"\s*([+=])\s*", r" \1 ", answer)
        figures = [int(figure) for figure in re.findall(r"-?\d+", answer)]
        if adds(answer, f"{a} {b} {wanted} {words} plus sum answer equals result"):
            return False
        if not figures:  # in words
            return plain(answer).split()[-1:] == [ENGLISH.number_to_words(wanted)]
        return figures in ([wanted], *([x, y, wanted] for x, y in ((a, b), (b, a)))) or figures in (
            [wanted, a, b],
            [wanted, b, a],
        )

    return right


def is_json(wanted: object) -> Callable[[str], bool]:
    """A check that an answer is JSON with the values of `wanted`."""
    text = json.dumps(wanted, sort_keys=True)

    def right(answer: str) -> bool:
        try:  # as text: 40.0 is no integer, though it equals 40
            return json.dumps(json.loads(answer), sort_keys=True) == text
        except json.JSONDecodeError:
            return False

    return right
