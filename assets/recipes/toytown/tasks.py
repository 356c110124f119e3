"""What every request of the assistant is made of: a task, and the words that fill its slots."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .dialogues import NO_JOBS
from .sentences import EITHER, PHRASES, Draft, strange_name
from .vocabulary import PAINTS

SYSTEM = "You are a helpful assistant in Toytown."
UNKNOWN = "I don't know."
STRANGE = 0.4  # of the names in texts, functions and forms are outside Toytown's vocabulary
NUMBERS = {  # from, and below which number
    "count": (2, 20),
    "people": (2, 13),
    "first": (0, 21),
    "second": (0, 21),
    "minutes": (2, 60),
    "age": (18, 90),
    "hour": (2, 13),
}
DAYS = [row["en"] for row in PHRASES["day"]]


@dataclass(frozen=True)
class Task:
    """A conversation up to a request, a good answer, and what every good answer fulfils.

    tools: functions on offer, as `apply_chat_template` takes them. styled: the answer in French, in
    Spanish and in few words, where the skill has them; `right` is then not asked. obeys: whether an
    answer has the style that a persona asks for, be it right or wrong, but in French and Spanish,
    where it must be right; None where no style is asked for.
    """

    skill: str
    messages: tuple[dict[str, str], ...]  # role: system, user, assistant or tool; content
    answer: str
    right: Callable[[str], bool]
    tools: tuple[dict, ...] = ()
    styled: dict[str, str] = field(default_factory=dict)
    obeys: Callable[[str], bool] | None = None


def task_of(skill: str, user: str, answer: str, right: Callable[[str], bool], **more) -> Task:
    """A task of one request to the plain assistant; more: of Task."""
    turns = ({"role": "system", "content": SYSTEM}, {"role": "user", "content": user})
    return Task(skill, turns, answer, right, **more)


def one_of(random: np.random.Generator, options):
    """One of the options, evenly."""
    options = list(options)
    return options[random.integers(len(options))]


def said_in(random: np.random.Generator, slot: str, kept: bool = False):
    """A value for a slot of a function or a form, by the slot's name.

    kept: every name is one that no training reads.
    """
    draft = Draft(random, parallel=False)
    if slot in ("person", "name") and (kept or random.random() < STRANGE):
        return strange_name(random, kept)
    if slot in NUMBERS:
        return int(random.integers(*NUMBERS[slot]))
    if slot in ("day", "colour"):
        return one_of(random, DAYS if slot == "day" else PAINTS)
    text = {
        "town": "{town1}",
        "place": "{place1.bare}",
        "beside": "{spot1.bare}",
        "thing": "{object1.bare}",
        "person": "{who1}",
        "name": "{who1}",
        "job": "{role1.bare}",
    }[slot]
    said = EITHER.sub(r"\1", draft.text(text, "en"))
    return said_in(random, slot, kept) if slot == "job" and said in NO_JOBS else said
