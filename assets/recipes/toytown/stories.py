"""Toytown's stories: four to ten sentences, and one that says who did what, and where.

Words and sentences stand in stories.toml; the slots are those of sentences.py.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from .sentences import EITHER, Draft, entries, pattern, polished, script, strange_name

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


def story(
    random: np.random.Generator,
    plot: str | None = None,
    strange: float = 0.0,
    kept: bool = False,
) -> Story:
    """A story of 4 to 10 sentences; `plot` is one of PLOTS, evenly drawn if None.

    strange: how many of the people have a name from outside Toytown's vocabulary. kept: of those
    names, one that no training reads.
    """
    name = plot or PLOTS[random.integers(len(PLOTS))]
    parts = DATA["plots"][name]
    while True:
        draft = Draft(random, parallel=False)
        draft.text("{who1} {who2}", "en")
        for key in ("who1", "who2"):
            if random.random() < strange:
                draft.chosen[key] = (strange_name(random, kept), draft.chosen[key][1])
        opening = draft.text(draft.pick(entries(DATA["opening"])), "en")
        draft.text(parts["did"], "en")
        lines = [opening]
        around = [key for key in ("scene", "aside") if random.random() < 0.5]
        lines += [draft.pick(entries(DATA[key])) for key in around]
        lines += script(draft, parts["before"])
        lines += [draft.pick(entries(parts["event"]))]
        lines += script(draft, parts["after"])
        lines += [draft.pick(entries(DATA["ending"]))] if random.random() < 0.5 else []
        if 4 <= len(lines) <= 10:
            break
    for at in range(1, len(lines)):  # after somebody else, "he" would be somebody else
        if re.search(r"\{(who2|role|animal)", lines[at - 1]):
            lines[at] = _named(lines[at])
    said = [_written(draft, line) for line in lines]
    who, what, where = (draft.text(part, "en") for part in ("{who1}", parts["did"], "{place1.the}"))
    what = EITHER.sub(r"\1", what)
    return Story(" ".join(said), f"{who} {what} at {where}.", who, what, where)


def _named(line: str) -> str:
    """The line, in which the first "he" of its hero is the name."""
    at = line.find("{who1")
    return line[:at] + line[at:].replace("{who1.he}", "{who1}", 1) if at >= 0 else line


def _written(draft: Draft, line: str) -> str:
    return polished(EITHER.sub(r"\1", draft.text(line, "en")), "en")


HERO, HERE = "Hero", "the Place"  # stand for who and where while a story is read
ORDER = ("opening", "scene", "aside", "before", "event", "after", "ending")


@cache
def _lines(plot: str) -> re.Pattern:
    """Any line of a plot's stories about HERO at HERE; the group is its place in ORDER."""
    known = {"{who1}": HERO, "{place1.the}": HERE}
    ways = []
    for kind in ORDER:
        text = (DATA | DATA["plots"][plot])[kind]
        lines = {line.removeprefix("?") for line in entries(text) if line}
        lines = sorted(lines | {_named(line) for line in lines}, key=len, reverse=True)
        said = "|".join(pattern(line, lambda slot: known.get(slot[0])) for line in lines)
        ways.append(f"(?P<{kind}>{said})")
    return re.compile(f"(?:{'|'.join(ways)})(?: |$)", re.IGNORECASE)


def fluent(text: str, who: str, where: str) -> bool:
    """Whether a text tells a story about `who` at `where` as Toytown tells them.

    It begins as one, tells one event and what belongs to it, in 4 to 10 lines and in their order,
    none of them twice. Whether "it" and "she" have somebody to stand for is not looked at.
    """
    marked = _marked(text, who, where)
    return any(_told(marked, _lines(plot)) for plot in PLOTS)


def told(text: str, who: str, where: str) -> list[bool]:
    """For each sentence of a text, whether it is of a line that Toytown's stories have.

    So a text that is no story yet can be seen to come near one: of `who` at `where`.
    """
    sentences = re.split(r"(?<=[.!?]) +", _marked(text, who, where).strip())
    found: list[bool] = []
    while len(found) < len(sentences):
        rest = " ".join(sentences[len(found) :])
        matches = [line[0] for plot in PLOTS if (line := _lines(plot).match(rest))]
        longest = len(re.findall(r"[.!?](?: |$)", max(matches, key=len, default="")))
        found += [True] * longest or [False]
    return found[: len(sentences)]


def _marked(text: str, who: str, where: str) -> str:
    marked = re.sub(rf"\b{re.escape(who)}\b", HERO, text)
    return re.sub(rf"\b{re.escape(where)}\b", HERE, marked, flags=re.IGNORECASE)


def _told(text: str, lines: re.Pattern) -> bool:
    found: list[re.Match] = []
    at = 0
    while at < len(text):
        if not (line := lines.match(text, at)):
            return False
        found.append(line)
        at = line.end()
    kinds = [str(line.lastgroup) for line in found]
    said = [line[0].strip() for line in found]
    begins = kinds[:1] == ["opening"] and kinds.count("opening") == kinds.count("event") == 1
    ordered = kinds == sorted(kinds, key=ORDER.index)
    once = len(set(said)) == len(said) and all(line.count(HERO) <= 1 for line in said)
    return begins and ordered and once and 4 <= len(found) <= 10


def facts_right(story: Story, summary: str) -> dict[str, bool]:
    """Which of who, what and where a summary has right; one with two people or places has not."""
    found = re.fullmatch(r"(\w+) (?!and\b)(.+) at (the .+?)\.?", summary.strip())
    who, what, where = found.groups() if found else ("", "", "")
    return {
        "who": who == story.who,
        "what": what == story.what,
        "where": where == story.where,
    }
