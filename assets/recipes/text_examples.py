"""Write the language examples of 2.1: stories, parallel sentences, and people who say their names.

    python assets/recipes/text_examples.py     # writes assets/text; a second

All are of the test split, never trained on. stories.jsonl has a true summary, and its three facts;
parallel.jsonl a sentence in three languages; introductions.jsonl a name that is told, then small
talk, so that it can be asked for at any distance.
"""

import json
import re
from collections.abc import Iterator
from itertools import count, islice

from toytown.dialogues import NAMES, Turn, dialogue
from toytown.sentences import strange_name
from toytown.stories import story
from training import ROOT, write_text
from translator import samples
from writers import seed

FOLDER = ROOT / "assets" / "text"
STORIES, SENTENCES, NAMED, TALK = 100, 100, 30, 10


def stories() -> list[dict]:
    """Stories, of which one in five has people whom no training named."""
    tales = [story(seed("test", i), strange=float(i % 5 == 4), kept=True) for i in range(STORIES)]
    return [
        {"text": t.text, "summary": t.summary, "who": t.who, "what": t.what, "where": t.where}
        for t in tales
    ]


def parallel() -> list[dict]:
    """Sentences in English, French and Spanish."""
    french, spanish = (samples("test", ("en", to), SENTENCES, 0) for to in ("fr", "es"))
    return [
        {"English": one.source, "French": one.target, "Spanish": other.target}
        for one, other in zip(french, spanish, strict=True)
    ]


def _nameless(number: int) -> Iterator[Turn]:
    """Small talk without end in which no name is said or asked for."""
    for i in count(1_000 * number):
        for turn in dialogue(seed("test", i), 4):
            text = f"{turn.said} {turn.answer}"
            named = re.search(r"(?<=[a-z,] )(?!I |Toytown)[A-Z]", text)
            if ":" not in turn.kind and "name" not in turn.kind and not named:
                yield turn


def introductions() -> list[dict]:
    """A name, known to Toytown or not, and small talk in which it is not said."""
    rows = []
    for index in range(NAMED):
        random = seed("test", index)
        new = bool(index % 2)
        known = NAMES[random.integers(len(NAMES))]
        talk = islice(_nameless(index), TALK)
        rows.append(
            {
                "name": strange_name(random, kept=True) if new else known,
                "new": new,
                "talk": [[turn.said, turn.answer] for turn in talk],
            }
        )
    return rows


def main() -> None:
    """Write the three lists."""
    for make in (stories, parallel, introductions):
        lines = [json.dumps(row, ensure_ascii=False) for row in make()]
        write_text(FOLDER / f"{make.__name__}.jsonl", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
