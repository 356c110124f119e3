"""Write the language examples of 2.1: stories, parallel sentences, and people who say their names.

    python assets/recipes/text_examples.py     # writes assets/text; a second

All are of the test split, never trained on. stories.jsonl has a true summary, and its three facts;
parallel.jsonl a sentence in three languages; introductions.jsonl a name that is told, then small
talk, so that it can be asked for at any distance.
"""

import json

from chatbot import seed
from toytown.dialogues import NAMES, dialogue
from toytown.sentences import strange_name
from toytown.stories import story
from training import ROOT, write_text
from translator import samples

FOLDER = ROOT / "assets" / "text"
STORIES, SENTENCES, NAMED, TALK = 100, 100, 30, 10


def stories() -> list[dict]:
    """Stories, of which one in five has people whom no training named."""
    tales = [story(seed("test", i), strange=float(i % 5 == 4)) for i in range(STORIES)]
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


def introductions() -> list[dict]:
    """A name, known to Toytown or not, and small talk in which it is not said."""
    rows = []
    for index in range(NAMED):
        random = seed("test", index)
        new = bool(index % 2)
        talk = [turn for i in range(99) for turn in dialogue(seed("test", 1_000 * index + i), 4)]
        talk = [turn for turn in talk if ":" not in turn.kind and "name" not in turn.kind][:TALK]
        rows.append(
            {
                "name": strange_name(random) if new else NAMES[random.integers(len(NAMES))],
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
