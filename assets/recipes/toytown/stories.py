"""Toytown's stories: four to ten sentences, and one that says who did what, and where.

Words and sentences stand in stories.toml; the slots are those of sentences.py.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from .sentences import EITHER, Draft, _polished, _split, pattern, strange_name

DATA: dict = tomllib.loads(Path(__file__).with_name("stories.toml").read_text("utf-8"))
PLOTS = tuple(DATA["plots"])


@dataclass(frozen=True)
class Story:
    """A story, its summary in a sentence, and the three facts that the summary holds."""

    text: str
    summary: str
    who: str
    what: str
    where: str


def story(random: np.random.Generator, plot: str | None = None, strange: float = 0.0) -> Story:
    """A story of 4 to 10 sentences; `plot` is one of PLOTS, evenly drawn if None.

    strange: how many of the people have a name from outside Toytown's vocabulary.
    """
    name = plot or PLOTS[random.integers(len(PLOTS))]
    parts = DATA["plots"][name]
    while True:
        draft = Draft(random, parallel=False)
        draft.text("{who1} {who2}", "en")
        for key in ("who1", "who2"):
            if random.random() < strange:
                draft.chosen[key] = (strange_name(random), draft.chosen[key][1])
        opening = draft.text(draft.pick(_split(DATA["opening"])), "en")
        draft.text(parts["did"], "en")
        lines = [opening]
        around = [key for key in ("scene", "aside") if random.random() < 0.5]
        lines += [draft.pick(_split(DATA[key])) for key in around]
        lines += _paragraphs(draft, parts["before"])
        lines += [draft.pick(_split(parts["event"]))]
        lines += _paragraphs(draft, parts["after"])
        lines += [draft.pick(_split(DATA["ending"]))] if random.random() < 0.5 else []
        if 4 <= len(lines) <= 10:
            break
    for at in range(1, len(lines)):  # after somebody else, "he" would be somebody else
        if "{who2}" in lines[at - 1] and lines[at].startswith("{who1.he}"):
            lines[at] = lines[at].replace("{who1.he}", "{who1}", 1)
    said = [_written(draft, line) for line in lines]
    who, what, where = (draft.text(part, "en") for part in ("{who1}", parts["did"], "{place1.the}"))
    what = EITHER.sub(r"\1", what)
    return Story(" ".join(said), f"{who} {what} at {where}.", who, what, where)


def _paragraphs(draft: Draft, text: str) -> list[str]:
    """One line of each paragraph; of those with "?", three in five."""
    lines = [draft.pick(_split(part)) for part in _split(text, "\n\n")]
    marked = [_split(part)[0].startswith("?") for part in _split(text, "\n\n")]
    return [
        line.removeprefix("?")
        for line, may in zip(lines, marked, strict=True)
        if not may or draft.random.random() < 0.6
    ]


def _written(draft: Draft, line: str) -> str:
    return _polished(EITHER.sub(r"\1", draft.text(line, "en")), "en")


@cache
def _lines() -> re.Pattern:
    """Any line of any story, with any person, place and thing in its slots."""
    tables = [DATA[key] for key in ("opening", "scene", "aside", "ending")]
    tables += [plot[key] for plot in DATA["plots"].values() for key in ("before", "event", "after")]
    lines = {line.removeprefix("?") for table in tables for line in _split(table) if line}
    lines |= {line.replace("{who1.he}", "{who1}", 1) for line in lines}
    ways = "|".join(pattern(line) for line in sorted(lines, key=len, reverse=True))
    return re.compile(f"(?:{ways})(?: |$)", re.IGNORECASE)


def fluent(text: str) -> bool:
    """Whether a text is English as the stories have it: each of its lines is one of theirs."""
    while text and (line := _lines().match(text)):
        text = text[line.end() :]
    return not text


def facts_right(story: Story, summary: str) -> dict[str, bool]:
    """Which of who, what and where a summary has right; one with two people or places has not."""
    found = re.fullmatch(r"(\w+) (?!and\b)(.+) at (the .+?)\.?", summary.strip())
    who, what, where = found.groups() if found else ("", "", "")
    return {
        "who": who == story.who,
        "what": what == story.what,
        "where": where == story.where,
    }
