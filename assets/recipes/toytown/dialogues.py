"""Small talk with Pip: exchanges, what is told and remembered, and what an answer may be.

Words stand in dialogues.toml. An answer is judged by what it means: `acceptable` asks whether it is
one of the ways to say what the exchange calls for, with the names and things that were told.
"""

import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .sentences import (
    EITHER,
    ENGLISH,
    PEOPLE,
    PHRASES,
    Draft,
    entries,
    pattern,
    polished,
    strange_name,
)
from .vocabulary import PAINTS

DATA: dict = tomllib.loads(Path(__file__).with_name("dialogues.toml").read_text("utf-8"))
INTENTS, FACTS = tuple(DATA["talk"]), tuple(DATA["facts"])
NAMES = tuple(name for name, _ in PEOPLE)
TOWNS = tuple(row["en"] for row in PHRASES["town"])
LATER = 4  # turns after which a fact is still asked for
NO_JOBS = ("customer", "neighbour", "mayor", "student")  # one does not work "as a mayor"
HOURS: dict[str, tuple[int, int, str]] = {  # a place: opens, closes, is next to
    name: tuple(row) for name, row in DATA["hours"].items()
}
# What a fact may be, as a slot of sentences.py; a name is drawn by itself.
SLOTS = {
    "food": "{meal1}",
    "pet": "{animal1.a}",
    "town": "{town1}",
    "hobby": "{hobby}",
    "role": "{role1.a}",
}


@dataclass(frozen=True)
class Turn:
    """What somebody says, a good answer, and the ways in which it may be said.

    kind: the intent, or "told:X", "asked:X" (it was told) and "never:X" (it was not), X of FACTS;
    "spelt:X" is asked for, too: X is then a name or a town outside Toytown's vocabulary.
    """

    said: str
    answer: str
    kind: str
    ways: tuple[str, ...]  # patterns


def dialogue(
    random: np.random.Generator,
    turns: int | None = None,
    strange: float = 0.3,
    kept: bool = False,
) -> list[Turn]:
    """A conversation of 1 to 8 turns.

    strange: how many of the names and towns that people give are outside Toytown's vocabulary.
    kept: of those, one that no training reads.
    """
    turns = turns or int(random.integers(1, 9))
    told: dict[str, tuple[str, int]] = {}  # what, and at which turn
    made: list[Turn] = []
    while len(made) < turns:
        at = len(made)
        asks = [name for name, (_, when) in told.items() if at - when <= LATER]
        chance = random.random()
        if chance < 0.25:
            name = FACTS[random.integers(len(FACTS))]
            if name in told:
                continue
            value = _value(random, name, strange, kept)
            told[name] = (value, at)
            made.append(_fact(random, "told", name, value))
        elif chance < 0.5 and asks:
            name = asks[random.integers(len(asks))]
            value = told[name][0]
            made.append(_fact(random, "spelt" if _new(name, value) else "asked", name, value))
        elif chance < 0.58:
            name = FACTS[random.integers(len(FACTS))]
            if name not in told:
                made.append(_fact(random, "never", name, ""))
        else:
            made.append(_talk(random, INTENTS[random.integers(len(INTENTS))]))
    return [replace(turn, said=mistyped(random, turn.said)) for turn in made]


def acceptable(turn: Turn, answer: str) -> bool:
    """Whether an answer is one that the turn calls for; case and spaces do not count."""
    answer = " ".join(answer.split())
    return any(re.fullmatch(way, answer, re.IGNORECASE) for way in turn.ways)


def mistyped(random: np.random.Generator, text: str, share: float = 0.08) -> str:
    """The text; in some, a word of five letters or more lacks one, or has two exchanged."""
    words = text.split(" ")
    long = [
        i for i, word in enumerate(words) if len(word) > 4 and word.isalpha() and word.islower()
    ]
    if not long or random.random() >= share:
        return text
    i = long[random.integers(len(long))]
    at = int(random.integers(1, len(words[i]) - 2))
    a, b = words[i][at], words[i][at + 1]
    words[i] = words[i][:at] + (b if random.random() < 0.5 else b + a) + words[i][at + 2 :]
    return " ".join(words)


def _value(random: np.random.Generator, name: str, strange: float, kept: bool) -> str:
    if name in ("name", "town") and random.random() < strange:
        return strange_name(random, kept)
    if name == "name":
        return Draft(random, parallel=False).text("{who1}", "en")
    if name == "colour":
        return PAINTS[random.integers(len(PAINTS))]
    text = EITHER.sub(r"\1", Draft(random, parallel=False).text(SLOTS[name], "en"))
    return _value(random, name, strange, kept) if text.endswith(NO_JOBS) else text


def _new(name: str, value: str) -> bool:
    """Whether a value is spelt from pieces: no name and no town of Toytown."""
    known = {"name": NAMES, "town": TOWNS}
    return name in known and value not in known[name]


def _fact(random: np.random.Generator, kind: str, name: str, value: str) -> Turn:
    rows = DATA["facts"][name]
    said = _pick(random, rows["told" if kind == "told" else "asked"])
    ways = entries(rows[{"told": "noted", "never": "unknown"}.get(kind, "recalled")])
    fill = [_sentence(way.replace("{fact}", value)) for way in ways]
    answer = fill[random.integers(len(fill))]
    return Turn(
        _sentence(said.replace("{fact}", value)),
        answer,
        f"{kind}:{name}",
        tuple(map(re.escape, fill)),
    )


def _talk(random: np.random.Generator, intent: str) -> Turn:
    rows = _about_a_place(random, DATA["talk"][intent])
    draft = Draft(random, parallel=False)
    said = filled(draft, _pick(random, rows["said"]))
    chosen = set(draft.chosen)

    def told(slot: re.Match) -> str | None:  # what was said stands fixed, Pip may choose the rest
        return draft.text(slot[0], "en") if slot["table"] + slot["digit"] in chosen else None

    ways = [pattern(way, told) for way in entries(rows["answer"])]
    answer = filled(draft, _pick(random, rows["answer"]))
    return Turn(said, answer, intent, tuple(ways))


def _about_a_place(random: np.random.Generator, rows: dict[str, str]) -> dict[str, str]:
    name = list(HOURS)[random.integers(len(HOURS))]
    opens, closes, beside = HOURS[name]
    known = {"{there}": f"the {name}", "{beside}": f"the {beside}"}
    known |= {"{opens}": ENGLISH.number_to_words(opens)}
    known |= {"{closes}": ENGLISH.number_to_words(closes)}
    for slot, text in known.items():
        rows = {key: row.replace(slot, text) for key, row in rows.items()}
    return rows


def filled(draft: Draft, text: str) -> str:
    """The text with its slots filled, every sentence of it begun with a capital."""
    for table in ("far", "abroad"):
        if f"{{{table}}}" in text:
            text = text.replace(f"{{{table}}}", draft.pick(entries(DATA[table])))
    return _sentence(EITHER.sub(r"\1", draft.text(text, "en")))


def _sentence(text: str) -> str:
    """Every sentence of the text begins with a capital."""
    return " ".join(polished(part, "en") for part in re.split(r"(?<=[.!?]) ", text))


def _pick(random: np.random.Generator, table: str) -> str:
    lines = entries(table)
    return lines[random.integers(len(lines))]
