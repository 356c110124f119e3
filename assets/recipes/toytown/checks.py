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
    """A check that an answer says each of `wanted` once, and beside it only words of `known`.

    A "not" is no such word, where `known` has none: what denies is never right.
    """
    wanted = sorted(map(plain, wanted), key=len, reverse=True)

    def right(answer: str) -> bool:
        rest = f" {plain(answer)} "
        for one in wanted:
            rest, count = re.subn(f" {re.escape(one)} ", "  ", rest, count=1)
            if not count:
                return False
        return not adds(rest, known)

    return right


def weighty(text: str) -> list[str]:
    """The words of a text, without "a", "of" and the like."""
    return [word for word in plain(text).split() if word not in SMALL.split()]


def in_order(words: list[str], wanted: list[str]) -> bool:
    """Whether `words` are some of `wanted`, each once and in their order."""
    rest = iter(wanted)
    return all(word in rest for word in words)


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
    """A check that an answer is the sum of two numbers, alone or in an equation that is right."""
    total, figures = a + b, {ENGLISH.number_to_words(n): str(n) for n in (a, b, a + b)}
    figures |= {"+": " plus ", "=": " is ", "-": " minus "}
    marks = "|".join(map(re.escape, sorted(figures, key=len, reverse=True)))
    two = rf"(?:{a} (?:plus|and) {b}|{b} (?:plus|and) {a})"
    begin = r"(?:it's|it is|that's|that is|equals|(?:the )?(?:answer|result|sum)(?: is)?)"
    begin = rf"(?:{begin}|the sum of {two} is)"
    way = (
        rf"(?:{begin} )?{total}|{two} (?:is|are|equals?|makes?) {total}|{total} (?:is|equals) {two}"
    )

    def right(answer: str) -> bool:
        written = re.sub(marks, lambda mark: figures[mark[0]], answer.lower())
        return bool(re.fullmatch(way, plain(written)))

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
