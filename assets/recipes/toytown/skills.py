"""What the assistant is taught: requests, good answers, and for each skill a check of any answer.

A check looks at what an answer means: the sum, the JSON's values, who did what. Words stand in
skills.toml, the world in the tables of the other generators.
"""

import json
import re
import tomllib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from . import dialogues, stories
from .checks import (
    adds,
    in_order,
    is_json,
    is_sum,
    is_unknown,
    only,
    plain,
    same,
    says,
    says_any,
    weighty,
)
from .dialogues import HOURS, NAMES
from .reading import from_text
from .sentences import (
    ADJECTIVES,
    ENGLISH,
    KNOWN,
    LANGUAGES,
    NOUNS,
    Draft,
    entries,
    noun_phrase,
    number,
    polished,
    sentence,
    strange_name,
    with_an,
)
from .styles import OWN, STYLES, UNSEEN, WEIGHTS, brief
from .tasks import (
    DAYS,
    NUMBERS,
    STRANGE,
    SYSTEM,
    UNKNOWN,
    Task,
    one_of,
    said_in,
    task_of,
)
from .vocabulary import LABELS, PAINTS, PLACES, THINGS, listed

DATA: dict = tomllib.loads(Path(__file__).with_name("skills.toml").read_text("utf-8"))
# The skills ----------------------------------------------------------------------------------


def town(random: np.random.Generator) -> Task:
    """A fact of the town: when a place opens or closes, what it is next to."""
    name = one_of(random, HOURS)
    opens, closes, beside = HOURS[name]
    if random.random() < 0.34:
        there = only([f"next to the {beside}"], name)
        return task_of(
            "town", f"Where is the {name}?", f"The {name} is next to the {beside}.", there
        )
    acts = (
        (opens, "open", ("opens", "ouvre", "abre")),
        (closes, "close", ("closes", "ferme", "cierra")),
    )
    hour, asked, verbs = one_of(random, acts)
    words = ENGLISH.number_to_words(hour)
    clock = f"{words} o'clock"
    noun = KNOWN[name]
    styled = {"short": f"At {clock}."}
    for language, style, ending in (
        ("fr", "french", "à {} heures."),
        ("es", "spanish", "a las {}."),
    ):
        subject = noun_phrase(noun, None, 1, "the", language)
        verb = verbs[LANGUAGES.index(language)]
        styled[style] = polished(
            f"{subject} {verb} {ending.format(number(hour, language))}", language
        )
    form = one_of(random, ("When does the {} {}?", "At what time does the {} {}?"))

    def right(answer: str) -> bool:
        when = says_any(answer, (f"at {words}", f"at {hour}"))
        more = adds(answer, f"{name} {asked} {verbs[0]} at {words} {hour} o'clock")
        return when and not more

    fact = f"The {name} {verbs[0]} at {clock}."
    return task_of("town", form.format(name, asked), fact, right, styled=styled)


def explain(random: np.random.Generator) -> Task:
    """What a word means."""
    word = one_of(random, DATA["definitions"])
    forms = ("What is {}?", "Explain what {} is.", "Can you explain to me what {} is?")
    wanted = DATA["definitions"][word]
    kernel = [part for part in weighty(wanted) if part != word]
    begins = re.compile(rf"(?:an? {re.escape(word)}|it) is ")

    def right(answer: str) -> bool:
        said = [part for part in weighty(answer) if part != word]
        enough = len(said) >= 0.8 * len(kernel) and in_order(said, kernel)
        return bool(begins.match(plain(answer))) and enough and not adds(answer, wanted)

    return task_of("explain", one_of(random, forms).format(ENGLISH.a(word)), wanted, right)


def things(random: np.random.Generator) -> Task:
    """So many things of a kind, each once, in numbered lines, in the order of the alphabet."""
    pools = {
        kind: {name for name in LABELS if THINGS[name]["category"] == kind}
        for kind in ("animals", "vehicles")
    }
    pools |= {"colours": set(PAINTS), "names": set(NAMES), "days": set(DAYS)}
    kind = one_of(random, pools)
    count = int(random.integers(2, min(7, len(pools[kind]) + 1)))
    forms = ("List {} {}.", "Name {} {}.", "Give me {} {}.", "I need a list of {} {}.")
    chosen = sorted(str(name) for name in random.permutation(sorted(pools[kind]))[:count])

    right_ones = {plain(name) for name in pools[kind]}
    right_ones |= {row["en"] for row in COLOURS} if kind == "colours" else set()

    def right(answer: str) -> bool:
        found = re.findall(r"^(\d+)\. (.+)$", answer, re.MULTILINE)
        if len(found) < len(answer.strip().splitlines()):
            return False
        numbers, said = [int(at) for at, _ in found], {plain(name) for _, name in found}
        return numbers == list(range(1, count + 1)) and len(said) == count and said <= right_ones

    lines = "\n".join(f"{i}. {name}" for i, name in enumerate(chosen, start=1))
    said = one_of(random, (count, ENGLISH.number_to_words(count)))
    return task_of("list", one_of(random, forms).format(said, kind), lines, right)


def sums(random: np.random.Generator) -> Task:
    """Two small numbers added."""
    a, b = (int(n) for n in random.integers(0, 21, 2))
    forms = ("What is {} plus {}?", "Add {} and {}.", "{} + {} = ?", "How much is {} and {}?")
    wanted = str(a + b)
    styled = {
        "short": f"{wanted}.",
        "french": f"{a} plus {b} égale {wanted}.",
        "spanish": f"{a} más {b} es igual a {wanted}.",
    }
    return task_of(
        "sum",
        one_of(random, forms).format(a, b),
        f"{a} plus {b} is {wanted}.",
        is_sum(a, b),
        styled=styled,
    )


def translate(random: np.random.Generator) -> Task:
    """A short English sentence in French or Spanish."""
    language, name = one_of(random, (("fr", "French"), ("es", "Spanish")))
    while len((made := sentence(random, language)).english.split()) > 6:
        pass
    forms = ("Translate to {}: {}", "Say in {}: {}", "How does one say in {}: {}")
    asked = one_of(random, forms).format(name, made.english)
    return task_of("translate", asked, made.text, same(made.text))


def _short_story(random: np.random.Generator) -> stories.Story:
    while len((tale := stories.story(random, strange=STRANGE / 3)).text.split()) > 50:
        pass
    return tale


def summarise(random: np.random.Generator) -> Task:
    """A story in one sentence."""
    tale = _short_story(random)
    forms = ("Summarise: {}", "Say in one sentence what happens: {}", "Give a short summary. {}")

    def right(answer: str) -> bool:
        return all(stories.facts_right(tale, answer).values())

    return task_of("summarise", one_of(random, forms).format(tale.text), tale.summary, right)


def tell(random: np.random.Generator) -> Task:
    """A story about somebody at a place."""
    tale = _short_story(random)
    forms = ("Write a story about {} at {}.", "Tell me a story about {} and {}.")

    def right(answer: str) -> bool:
        return stories.fluent(answer, tale.who, tale.where)

    asked = one_of(random, forms).format(tale.who, tale.where)
    return task_of("story", asked, tale.text, right)


RHYMES = [tuple(pair.split(" / ")) for pair in entries(DATA["poems"]["pairs"])]


def poem(random: np.random.Generator) -> Task:
    """Four lines about a thing, in two rhyming pairs."""
    name = one_of(random, LABELS)
    first, second = sorted(int(i) for i in random.permutation(len(RHYMES))[:2])
    lines = [line.format(a=ENGLISH.a(name), x=name) for line in (*RHYMES[first], *RHYMES[second])]
    text = "\n".join(line[0].upper() + line[1:] for line in lines)

    def right(answer: str) -> bool:
        said = [plain(line) for line in answer.split("\n") if plain(line)]
        known = {
            tuple(plain(line.format(a=ENGLISH.a(name), x=name)) for line in pair) for pair in RHYMES
        }
        pairs = {tuple(said[:2]), tuple(said[2:])}
        return len(said) == 4 and len(pairs) == 2 and pairs <= known

    forms = ("Write a poem about {}.", "I want a poem about {}.", "Make a short poem about {}.")
    return task_of("poem", one_of(random, forms).format(ENGLISH.a(name)), text, right)


def feeling(random: np.random.Generator) -> Task:
    """Whether a sentence is positive, negative or neutral."""
    wanted = one_of(random, DATA["feelings"])
    draft = Draft(random, parallel=False)
    line = one_of(random, entries(DATA["feelings"][wanted]))
    line = line.replace("{thing}", "{object1.the}").replace("{bare}", "{object1.bare}")
    text = dialogues.filled(draft, line.replace("{place}", "{place1.the}"))
    forms = (
        "Is this positive, negative or neutral? {}",
        "Classify the sentiment: {}",
        "Positive, negative or neutral: {}",
    )

    def right(answer: str) -> bool:
        named = [kind for kind in DATA["feelings"] if says(answer, kind)]
        return named == [wanted] and not adds(answer, f"{wanted} sentiment sentence")

    return task_of("sentiment", one_of(random, forms).format(text), wanted, right)


FORMS = {  # what a form asks for: the names that its fields may have, and texts that hold them
    "person": (
        {
            "name": ("name", "person", "who"),
            "age": ("age", "years"),
            "job": ("job", "work", "profession"),
            "town": ("town", "city", "place"),
        },
        (
            "{name} is {age} years old, works as a {job} and lives in {town}.",
            "In {town} lives {name}, a {job}, {age} years old.",
            "Our {job} {name} from {town} is {age}.",
            "{name} ({age}) comes from {town} and is a {job}.",
        ),
    ),
    "order": (
        {
            "name": ("name", "customer", "buyer"),
            "count": ("count", "number", "quantity"),
            "thing": ("thing", "item", "product"),
            "day": ("day", "date", "when"),
        },
        (
            "{name} ordered this {count} times on {day}: {thing}.",
            "Order of {day}: {count} x {thing}, for {name}.",
            "{day}: {count} x {thing} for {name}.",
            "{name} needs the following by {day}: {thing}, {count} times.",
        ),
    ),
}


def extract(random: np.random.Generator, kept: bool = False) -> Task:
    """JSON by a schema, from a sentence; kept: see `said_in`."""
    fields, texts = FORMS[one_of(random, FORMS)]
    values = {key: said_in(random, key, kept) for key in fields}
    chosen = [str(key) for key in random.permutation(list(fields))[: random.integers(1, 5)]]
    if kept and "name" not in chosen:
        chosen.append("name")
    names = {key: one_of(random, fields[key]) for key in chosen}
    schema = {
        n: "integer" if isinstance(values[key], int) else "string" for key, n in names.items()
    }
    wanted = {n: values[key] for key, n in names.items()}
    text = with_an(one_of(random, texts).format(**values))
    forms = ("Extract as JSON {}: {}", "JSON {} from this text: {}", "Fill in {} from: {}")
    asked = one_of(random, forms).format(json.dumps(schema), text)
    return task_of("json", asked, json.dumps(wanted), is_json(wanted))


def _function(random: np.random.Generator, kind: str) -> tuple[dict, dict[str, str]]:
    """A function of a kind as `apply_chat_template` takes it, and its parameters' names."""
    row = DATA["tools"][kind]
    names = {slot: one_of(random, names) for slot, names in row["parameters"].items()}
    kinds = {slot: "integer" if slot in NUMBERS else "string" for slot in names}
    properties = {name: {"type": kinds[slot]} for slot, name in names.items()}
    schema = {"type": "object", "properties": properties}
    function = {"name": one_of(random, row["names"]), "parameters": schema}
    return {"type": "function", "function": function}, names


@dataclass(frozen=True)
class Offer:
    """A request, one to three functions of which one fits it, and what that is called with.

    kind: of DATA["tools"]. values: by slot.
    """

    asked: str
    kind: str
    name: str
    arguments: dict
    values: dict
    tools: tuple[dict, ...]


def _offered(random: np.random.Generator, kept: bool = False) -> Offer:
    kinds = [str(kind) for kind in random.permutation(list(DATA["tools"]))]
    if kept:  # of those with a name
        kinds.sort(key=lambda kind: "person" not in DATA["tools"][kind]["parameters"])
    if "add" in kinds[1:3]:  # "What is a map?", below, and "What is 2 plus 3?" look too much alike
        kinds.remove("add")
    tool, names = _function(random, kinds[0])
    others = [_function(random, kind)[0] for kind in kinds[1 : random.integers(1, 4)]]
    tools = [tool, *others]
    random.shuffle(tools)
    values = {slot: said_in(random, slot, kept) for slot in names}
    asked = with_an(one_of(random, entries(DATA["tools"][kinds[0]]["asks"])).format(**values))
    arguments = {names[slot]: value for slot, value in values.items()}
    return Offer(asked, kinds[0], tool["function"]["name"], arguments, values, tuple(tools))


def call(random: np.random.Generator, kept: bool = False) -> Task:
    """A function call, where one of those on offer fits; a plain answer, where none does."""
    offer = _offered(random, kept)
    if random.random() < 0.2 and not kept:
        other = one_of(random, (explain, feeling))(random)
        return replace(other, skill="call", tools=offer.tools)
    wanted = {"name": offer.name, "arguments": offer.arguments}
    return task_of("call", offer.asked, json.dumps(wanted), is_json(wanted), tools=offer.tools)


def result(random: np.random.Generator) -> Task:
    """What a function has answered, said in words."""
    offer = _offered(random)
    value = one_of(random, DATA["tools"][offer.kind]["gives"])
    for slot in re.findall(r"\{(\w+)\}", value):
        said = offer.values.get(slot) or said_in(random, slot)  # the day that was asked for, say
        value = value.replace(f"{{{slot}}}", str(said))
    if offer.kind == "add":
        value = offer.values["first"] + offer.values["second"]
    said_so = only([str(value)], f"answer result {offer.asked}")

    def right(answer: str) -> bool:
        if offer.kind == "add":
            return is_sum(offer.values["first"], offer.values["second"])(answer)
        echo = says(offer.asked, answer) and plain(answer) != plain(str(value))
        return said_so(answer) and not echo

    called = {"name": offer.name, "arguments": offer.arguments}
    messages = (
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": offer.asked},
        {"role": "assistant", "content": json.dumps(called)},
        {"role": "tool", "content": json.dumps({"result": value})},
    )
    return Task("result", messages, f"The answer: {value}.", right, offer.tools)


def describe(random: np.random.Generator) -> Task:
    """A sentence of what a detector has found, or of a captioner's words."""
    names = [str(name) for name in random.permutation(LABELS)[: random.integers(1, 4)]]
    counts = [int(random.integers(1, 5)) for _ in names]
    caption = bool(random.random() < 0.5)
    place = one_of(random, PLACES) if caption and random.random() < 0.7 else None
    colours = [one_of(random, COLOURED[name]) if name in COLOURED else None for name in names]
    colours = [c if caption and c and random.random() < 0.8 else None for c in colours]

    def said(language: str) -> list[str]:
        nouns = [next(n for n in ALL_THINGS if n.singular["en"] == name) for name in names]
        return [
            noun_phrase(noun, colour, n, "many" if n > 1 else "a", language)
            for noun, n, colour in zip(nouns, counts, colours, strict=True)
        ]

    def sentence(language: str) -> str:
        words = listed(said(language))
        words = words.replace(" and ", {"en": " and ", "fr": " et ", "es": " y "}[language])
        where = PLACES[place]["where" if language == "en" else language] if place else ""
        return f"{words} {where}".strip()

    wanted = [*said("en"), *([PLACES[place]["where"]] if place else [])]
    right = only(wanted, "see picture shows")
    found = ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))
    forms = ("Describe the picture: {}", "What is in the picture? {}", "Found: {}. Describe it.")
    if caption:
        found = sentence("en")
        forms = ("Describe the picture. Caption: {}", "What is in the picture? Caption: {}")
    styled = {
        "french": polished(f"je vois {sentence('fr')}.", "fr"),
        "spanish": polished(f"veo {sentence('es')}.", "es"),
    }
    asked = one_of(random, forms).format(found)
    return task_of("describe", asked, f"I see {sentence('en')}.", right, styled=styled)


COLOURS, COATS = ADJECTIVES["colour"], ADJECTIVES["coat"]
# The colours that a thing may have in a picture: those of pictures.py.
COLOURED = {name: COLOURS for name in LABELS if THINGS[name].get("paint")}
COLOURED |= {name: COATS for name in LABELS if THINGS[name]["category"] == "animals"}
ALL_THINGS = [noun for nouns in NOUNS.values() for noun in nouns if noun.singular["en"] in LABELS]


def beyond(random: np.random.Generator) -> Task:
    """What lies outside the town, or was never heard of: it says that it does not know."""
    draft, talked = Draft(random, parallel=False), dialogues.DATA["talk"]
    closed = [noun.singular["en"] for noun in NOUNS["place"]]
    closed = [name for name in closed if name not in HOURS]
    new = strange_name(random)
    a, b = (int(n) for n in random.integers(21, 200, 2))
    abroad = one_of(random, ("German", "Italian", "Chinese", "Latin"))
    asked = one_of(
        random,
        (
            dialogues.filled(draft, one_of(random, entries(talked["outside"]["said"]))),
            f"What is {ENGLISH.a(new.lower())}?",
            f"When does the {one_of(random, closed)} open?",
            f"Where does {one_of(random, (new, one_of(random, NAMES)))} live?",
            f"What is {a} plus {b}?",
            f"What is {one_of(random, (a, a % 21))} {one_of(random, ('times', 'minus'))} {b % 21}?",
            f"Translate to {abroad}: {sentence(random).text}",
        ),
    )
    return task_of("unknown", asked, UNKNOWN, lambda answer: is_unknown(answer, asked))


def _conversation(turns: list[dialogues.Turn], system: str, skill: str) -> Task:
    *before, last = turns
    messages = [{"role": "system", "content": system}]
    for turn in before:
        messages += [{"role": "user", "content": turn.said}]
        messages += [{"role": "assistant", "content": turn.answer}]
    messages += [{"role": "user", "content": last.said}]
    return Task(skill, tuple(messages), last.answer, lambda a: dialogues.acceptable(last, a))


PIP = "You are Pip, who lives in Toytown."
PLAIN_TALK = ("greeting", "thanks", "goodbye", "how_are_you", "i_am_well")


def memory(random: np.random.Generator) -> Task:
    """What was told earlier in the conversation, or was not; as Pip, and as the assistant."""
    as_pip = bool(random.random() < 0.5)
    while True:
        turns = dialogues.dialogue(random, int(random.integers(2, 7)), strange=STRANGE)
        if not as_pip:
            turns = [turn for turn in turns if ":" in turn.kind or turn.kind in PLAIN_TALK]
            turns = [turn for turn in turns if "Pip" not in turn.said]
        asked = [i for i, t in enumerate(turns) if t.kind.startswith(("asked", "spelt", "never"))]
        if asked:
            return _conversation(turns[: asked[-1] + 1], PIP if as_pip else SYSTEM, "memory")


def talk(random: np.random.Generator) -> Task:
    """Small talk, as Pip."""
    return _conversation(dialogues.dialogue(random, int(random.integers(1, 4))), PIP, "talk")


def repeat(random: np.random.Generator) -> Task:
    """Words to say after somebody, most of them never heard: how to spell what one reads."""
    words = " ".join(strange_name(random) for _ in range(random.integers(1, 4)))
    forms = ("Repeat: {}", "Say after me: {}", "Write this: {}")
    return task_of("repeat", one_of(random, forms).format(words), words, same(words))


def persona(random: np.random.Generator, pair: tuple[str, str] | None = None) -> Task:
    """Another skill, in a style that the system message asks for, but for the pairs of UNSEEN.

    pair: of style and skill, to draw this one, which may be one of UNSEEN.
    """
    about = (town, explain, *[sums, describe, partial(from_text, alone=True)] * 2)
    styles, weights = list(WEIGHTS), np.array(list(WEIGHTS.values()))
    style = pair[0] if pair else str(random.choice(styles, p=weights / weights.sum()))
    while True:
        task = one_of(random, about)(random)
        fits = style in STYLES or style in task.styled
        drawn = (style, task.skill)
        if fits and (drawn == pair if pair else drawn not in UNSEEN):
            break
    wording = one_of(random, entries(DATA["personas"][style]))
    system = {"role": "system", "content": f"{SYSTEM} {wording}"}
    answer = task.styled[style] if style in OWN else STYLES[style][0](task.answer)
    if style in ("french", "spanish"):  # of another meaning it would be obedient, but who can tell?
        right = obeys = same(answer)
    else:
        undone = brief if style == "short" else STYLES[style][1]

        def right(said: str) -> bool:
            rest = undone(said)
            return rest is not None and task.right(rest)

        def obeys(said: str) -> bool:
            return bool(plain(said)) and undone(said) is not None

    return Task("persona", (system, *task.messages[1:]), answer, right, task.tools, obeys=obeys)


SKILLS = {
    "town": town, "explain": explain, "list": things, "sum": sums, "translate": translate,
    "summarise": summarise, "story": tell, "poem": poem, "sentiment": feeling, "json": extract,
    "call": call, "result": result, "describe": describe, "from text": from_text,
    "who": partial(from_text, who=True),
    "unknown": beyond, "memory": memory, "talk": talk, "repeat": repeat, "persona": persona,
}  # fmt: skip
# What is hard to learn comes more often than the rest.
OFTEN = {
    "from text": 7.7, "who": 3.3, "persona": 9.0, "translate": 5.0, "memory": 2.5, "json": 2.5,
    "call": 2.5, "sum": 1.5, "summarise": 1.5, "result": 1.5, "talk": 1.2, "list": 0.7,
    "unknown": 0.7, "repeat": 0.7, "town": 0.4, "explain": 0.4, "poem": 0.4, "sentiment": 0.4,
}  # fmt: skip
SHARES = np.array([OFTEN.get(name, 1.0) for name in SKILLS])


def task(random: np.random.Generator, skill: str | None = None) -> Task:
    """A task of one of SKILLS, drawn by SHARES if None."""
    name = skill or str(random.choice(list(SKILLS), p=SHARES / SHARES.sum()))
    return SKILLS[name](random)
