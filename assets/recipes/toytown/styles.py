"""The styles that a system message may ask for, and how one takes them off an answer again.

A style is two functions: what it does to an answer, and what is left of an answer to be judged,
None if it does not obey.
"""

import json
from collections.abc import Callable


def _quoted(answer: str) -> str | None:
    try:
        found = json.loads(answer)
    except json.JSONDecodeError:
        return None
    answer = found.get("answer") if isinstance(found, dict) and len(found) == 1 else None
    return answer if isinstance(answer, str) else None


def brief(answer: str) -> str | None:
    """The answer if it has at most three words, None if it has more."""
    return answer if len(answer.split()) <= 3 else None


STYLES: dict[str, tuple[Callable[[str], str], Callable[[str], str | None]]] = {
    "pirate": (lambda a: f"Arr! {a}", lambda a: a[5:] if a.startswith("Arr! ") else None),
    "robot": (lambda a: f"Beep. {a}", lambda a: a[6:] if a.startswith("Beep. ") else None),
    "king": (lambda a: f"We say: {a}", lambda a: a[8:] if a.startswith("We say: ") else None),
    "dashes": (lambda a: f"- {a}", lambda a: a[2:] if a.startswith("- ") else None),
    "loud": (lambda a: a.upper(), lambda a: a if a == a.upper() else None),
    "quiet": (
        lambda a: a.lower().rstrip("."),
        lambda a: a if a == a.lower() and not a.endswith(".") else None,
    ),
    "polite": (
        lambda a: f"{a.rstrip('.')}, at your service.",
        lambda a: a[: -len(", at your service.")] if a.endswith(", at your service.") else None,
    ),
    "quoted": (lambda a: json.dumps({"answer": a}), _quoted),
}
OWN = ("short", "french", "spanish")  # styles in which the skill itself has another answer
# How often a style is drawn: those oftener that change every word.
HARD = {"short": 3.0, "french": 2.0, "spanish": 2.0, "loud": 4.0, "quiet": 3.0, "quoted": 1.5}
WEIGHTS = {style: HARD.get(style, 1.0) for style in (*STYLES, *OWN)}
# Pairs of style and skill that training never shows: can it put together what it knows?
UNSEEN = {("pirate", "sum"), ("robot", "explain"), ("loud", "town"), ("french", "describe")}
