"""What Build_an_LLM.ipynb reads and asks: pages about the town, stories, and requests for both."""

import textwrap
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from toytown.dialogues import HOURS
from toytown.sentences import ENGLISH
from toytown.skills import task
from toytown.stories import PLOTS, Story, fluent, story, told
from toytown.tasks import Task, task_of
from training import in_evaluation
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from writers import seed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLACES = tuple(HOURS)
PLOTS_READ = PLOTS[:4]  # of fourteen: a minute is short


def text(split: str, number: int) -> str:
    """Text number `number` of a split: a page about a place, or a story."""
    return page(seed(split, number)) if number % 2 else _story(split, number).text


def page(random: np.random.Generator) -> str:
    """Three facts about a place of the town, in any order."""
    name = PLACES[random.integers(len(PLACES))]
    opens, closes, beside = HOURS[name]
    facts = [
        f"The {name} opens at {ENGLISH.number_to_words(opens)} o'clock.",
        f"The {name} closes at {ENGLISH.number_to_words(closes)} o'clock.",
        f"The {name} is next to the {beside}.",
    ]
    random.shuffle(facts)
    return " ".join(facts)


def _story(split: str, number: int) -> Story:
    random = seed(split, number)
    return story(random, plot=PLOTS_READ[random.integers(len(PLOTS_READ))])


def tale(split: str, number: int) -> Task:
    """A request for a story, the story, and the check of any answer."""
    one = _story(split, number)
    asked = f"Write a story about {one.who} at {one.where}."
    return task_of("story", asked, one.text, lambda said: fluent(said, one.who, one.where))


def questions(split: str, places: Collection[str]) -> Iterator[Task]:
    """Questions about some places, without end: when they open and close, where they are.

    Raises ValueError, when the first is asked for, where one is no place of the town.
    """
    if not places or set(places) - set(PLACES):
        raise ValueError(f"Ask about places of the town: {', '.join(PLACES)}.")
    number = 0
    while True:
        one = task(seed(split, number), "town")
        asked = f"{one.messages[-1]['content']} "
        if any(f" the {place}{end}" in asked for place in places for end in (" ", "?")):
            yield one
        number += 1


def passages(axes: "Axes", rows: list[tuple[str, str]], width: int = 62, lines: int = 4) -> None:
    """Write passages of text below one another, each under its name, in place of a plot."""
    axes.axis("off")
    at = 0.6  # of lines, below the title
    for name, said in rows:
        # The font lacks the letters that an untrained model makes of single bytes.
        said = "".join(
            c if c.isprintable() and (c < "\u0250" or c == "…") else "\ufffd" for c in said
        )
        short = "\n".join(textwrap.wrap(said.strip(), width, max_lines=lines, placeholder=" …"))
        axes.text(0, at, name, va="top", weight="bold", color="#0072B2")
        axes.text(0, at + 1.1, short, va="top", size=9, parse_math=False)
        at += 2.9 + short.count("\n")
    axes.set(xlim=(0, 1), ylim=(max(at, 28), 0))  # so many lines do not crowd a figure


PEOPLE = 4 * (("Ben", "library"), ("Ada", "zoo"), ("Leo", "market"), ("Nora", "harbour"))


@in_evaluation
@torch.inference_mode()
def sampled(model: PreTrainedModel, words: PreTrainedTokenizerBase) -> tuple[str, float]:
    """How a model goes on with the first of sixteen openings, and its share of sentences well said.

    Temperature 0.6, always the same seed. Well said: as Toytown's stories say it.
    """
    random = torch.random.get_rng_state()
    torch.manual_seed(0)
    openings = [f"On Monday morning {who} took the bus to the {where}." for who, where in PEOPLE]
    inputs = words(openings, padding=True, return_tensors="pt").to(model.device)
    how = {"max_new_tokens": 50, "do_sample": True, "temperature": 0.6}
    ids = model.generate(inputs["input_ids"], attention_mask=inputs["attention_mask"], **how)
    wrote = [one.strip() for one in words.batch_decode(ids, skip_special_tokens=True)]
    well = [told(one, who, f"the {where}") for one, (who, where) in zip(wrote, PEOPLE, strict=True)]
    torch.random.set_rng_state(random)
    more = wrote[0].removeprefix(openings[0]).strip()
    return f"… {more}", float(np.mean([sum(one[1:]) / max(1, len(one) - 1) for one in well]))
