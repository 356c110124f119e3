"""Toytown's one vocabulary, read from vocabulary.toml."""

import tomllib
from pathlib import Path

VOCABULARY: dict = tomllib.loads(Path(__file__).with_name("vocabulary.toml").read_text("utf-8"))
THINGS: dict[str, dict] = VOCABULARY["things"]
PLACES: dict[str, dict] = VOCABULARY["places"]
COLOURS: dict[str, dict] = VOCABULARY["colours"]
NUMBERS: list[str] = VOCABULARY["numbers"]["en"]
LABELS: list[str] = list(THINGS)  # a detector's label ids are positions in this list
PAINTS: list[str] = [name for name, colour in COLOURS.items() if "hue" in colour]


def counted(thing: str, count: int, colour: str | None = None) -> str:
    """`("dog", 2)` -> "two dogs"; `("car", 1, "orange")` -> "an orange car"."""
    noun = THINGS[thing]["plural"] if count > 1 else thing
    words = f"{colour} {noun}" if colour else noun
    if count > 1:
        return f"{NUMBERS[count - 1]} {words}"
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def listed(phrases: list[str]) -> str:
    """`["a dog", "a cat", "a bus"]` -> "a dog, a cat and a bus"."""
    return " and ".join(filter(None, [", ".join(phrases[:-1]), phrases[-1]]))
