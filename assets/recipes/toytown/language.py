"""What can be truly said about a scene: statements, false ones a word away, questions, checks.

A sentence is a `Statement` before it is text, so that its truth is looked up in the scene and not
guessed from strings; `understand` turns a text back into one, to judge what a model has said.
"""

import re
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from .pictures import Scene
from .vocabulary import LABELS, NUMBERS, PAINTS, PLACES, THINGS, counted, listed

OTHER_WORDS = """
a an the and is are it no not yes nothing of how many what which where place was taken
there do you see in picture photo image color colour does has to be with some without many
things thing large small one drawing sketch
"""
RELATIONS = ("left of", "right of", "above", "below", "on")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
STARTS = ("a picture of", "a photo of", "an image of", "this is", "there is", "we see")
CATEGORIES = {
    "animals": "animal",
    "vehicles": "vehicle",
    "food": "food",
    "people": "person",
    "nature": "plant",
}
QUESTIONS = ("what", "how many", "where", "which colour", "is there", "left of")


@dataclass(frozen=True)
class Group:
    """So many things of a name, and of a colour where one is said."""

    name: str
    count: int
    colour: str | None = None

    def text(self) -> str:
        """`two red cars`."""
        return counted(self.name, self.count, self.colour)


@dataclass(frozen=True)
class Statement:
    """What a sentence claims: groups, a place, one relation between two things."""

    groups: tuple[Group, ...] = ()
    place: str | None = None
    relation: tuple[str, str, str] | None = None

    def text(self, start: str = "") -> str:
        """The sentence, in lower case: "two dogs and a red car in the park. the dog is …"."""
        words = [start] if start else []
        words += [listed([group.text() for group in self.groups])] if self.groups else []
        words += [PLACES[self.place]["where"]] if self.place else []
        sentences = [" ".join(words)] if words else []
        if self.relation:
            subject, relation, other = self.relation
            sentences.append(f"the {subject} is {relation} the {other}")
        return ". ".join(sentences)


# What is true --------------------------------------------------------------------------------


def related(scene: Scene, relation: str) -> list[tuple[str, str, str]]:
    """Clear relations between things that are there once: (thing, relation, thing) triples.

    "on" comes from how the scene was built; the others need a gap of a quarter of the side between
    the centres, and less than a fifth the other way. The widest gap comes first.
    """
    times = Counter(thing.name for thing in scene.things)
    once = [thing for thing in scene.things if times[thing.name] == 1]
    found = []
    for a in once:
        for b in once:
            right, down = b.x - a.x, b.y - a.y
            holds = {
                "on": a.on is not None and scene.things[a.on] is b,
                "left of": right > 0.25 and abs(down) < 0.2,
                "right of": right < -0.25 and abs(down) < 0.2,
                "above": down > 0.25 and abs(right) < 0.2,
                "below": down < -0.25 and abs(right) < 0.2,
            }
            if a is not b and holds[relation]:
                found.append((max(abs(right), abs(down)), (a.name, relation, b.name)))
    return [triple for _, triple in sorted(found, reverse=True)]


def claims(statement: Statement, scene: Scene) -> dict[str, bool]:
    """Each fact that a statement claims, in words, and whether it is so in the scene.

    "two dogs" is true if there are just two. A relation is true of centres: if any dog is left of
    any car, "the dog is left of the car".
    """
    truth = {}
    for group in statement.groups:
        fitting = [t for t in scene.things if t.name == group.name]
        if group.colour:
            fitting = [t for t in fitting if t.colour == group.colour]
        truth[group.text()] = len(fitting) == group.count
    if statement.place:
        truth[PLACES[statement.place]["where"]] = statement.place == scene.place
    if statement.relation:
        truth[" ".join(statement.relation)] = _holds(scene, *statement.relation)
    return truth


def is_true(statement: Statement, scene: Scene) -> bool:
    """Whether all that a statement claims is so."""
    return all(claims(statement, scene).values())


def _holds(scene: Scene, subject: str, relation: str, other: str) -> bool:
    for a in (thing for thing in scene.things if thing.name == subject):
        for b in (thing for thing in scene.things if thing.name == other and thing is not a):
            on = a.on is not None and scene.things[a.on] is b
            if {
                "left of": a.x < b.x,
                "right of": a.x > b.x,
                "above": a.y < b.y,
                "below": a.y > b.y,
                "on": on,
            }[relation]:
                return True
    return False


# Saying it -----------------------------------------------------------------------------------


def description(scene: Scene, rng: np.random.Generator | None = None) -> Statement:
    """All that is to be said of a scene: every group, the place, one relation where one is clear.

    The largest come first; with `rng` the order varies. The relation is the first of what stands
    on what, and of the widest gap from left to right, and from above to below.
    """
    largest: dict[tuple, float] = {}
    for thing in scene.things:
        key = (thing.name, thing.colour)
        largest[key] = max(largest.get(key, 0), thing.scale)
    noise = {key: rng.gumbel(0, 0.12) if rng else 0 for key in largest}
    counts = Counter((thing.name, thing.colour) for thing in scene.things)
    order = sorted(largest, key=lambda key: noise[key] - largest[key])
    groups = tuple(Group(name, counts[name, colour], colour) for name, colour in order)
    found = [triple for kind in ("on", "left of", "above") for triple in related(scene, kind)]
    return Statement(groups, scene.place, found[0] if found else None)


def written(statement: Statement) -> str:
    """A statement as people write it: "Two dogs in the park. The dog is left of the car."."""
    sentences = statement.text().split(". ")
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)


def remark(scene: Scene, rng: np.random.Generator) -> Statement:
    """Something true of a scene, anything from "two dogs" to a full description."""
    if rng.random() < 0.35 or not scene.things:
        return description(scene, rng)
    found = [triple for kind in RELATIONS for triple in related(scene, kind)]
    if found and rng.random() < 0.3:
        return Statement(relation=found[rng.integers(len(found))])
    full = description(scene, rng)
    groups = list(full.groups)
    rng.shuffle(groups)
    groups = groups[: rng.integers(1, len(groups) + 1)]
    counts = Counter(thing.name for thing in scene.things)
    if rng.random() < 0.35:  # colours left out: then all of that name are counted together
        names = dict.fromkeys(group.name for group in groups)
        groups = [Group(name, counts[name]) for name in names]
    if rng.random() < 0.1:
        return Statement(place=scene.place)
    return Statement(tuple(groups), scene.place if rng.random() < 0.5 else None)


def swapped(
    statement: Statement, scene: Scene, rng: np.random.Generator
) -> tuple[str, Statement] | None:
    """The statement with one word exchanged so that it is false, and which kind of word it was.

    Kinds: thing, number, colour, place, relation. None where no exchange makes it false.
    """
    options = []
    for i, group in enumerate(statement.groups):
        options += [("thing", i)] * 2 + [("number", i)] + [("colour", i)] * 2 * bool(group.colour)
    options += [("place", 0)] * 2 * bool(statement.place)
    options += [("relation", 0)] * 3 * bool(statement.relation)
    rng.shuffle(options)
    for kind, i in options:
        for _ in range(4):
            other = _exchange(statement, kind, int(i), rng)
            if other and not is_true(other, scene):
                return str(kind), other
    return None


def _exchange(
    statement: Statement, kind: str, index: int, rng: np.random.Generator
) -> Statement | None:
    if kind == "place":
        return replace(statement, place=_other(list(PLACES), statement.place, rng))
    if kind == "relation":
        subject, relation, other = statement.relation
        if relation in OPPOSITE and rng.random() < 0.5:
            return replace(statement, relation=(subject, OPPOSITE[relation], other))
        return replace(statement, relation=(other, relation, subject))
    group = statement.groups[index]
    if kind == "thing":
        alike = [n for n in LABELS if THINGS[n]["category"] == THINGS[group.name]["category"]]
        names = alike if rng.random() < 0.5 else LABELS
        new = replace(group, name=_other(names, group.name, rng))
        new = new if "paint" in THINGS[new.name] else replace(new, colour=None)
        if any(new.name == other.name for other in statement.groups):
            return None
    elif kind == "number":
        near = [n for n in (group.count - 1, group.count + 1) if 1 <= n <= 4]
        new = replace(group, count=int(near[rng.integers(len(near))]))
    else:
        new = replace(group, colour=_other(PAINTS, group.colour, rng))
    groups = (*statement.groups[:index], new, *statement.groups[index + 1 :])
    return replace(statement, groups=groups)


def _other(names: list[str], name: str, rng: np.random.Generator) -> str:
    others = [other for other in names if other != name]
    return others[rng.integers(len(others))]


# Asking --------------------------------------------------------------------------------------


def question(scene: Scene, kind: str, rng: np.random.Generator) -> tuple[str, str] | None:
    """A question of one of the kinds QUESTIONS and its answer, or None where the scene has none.

    Only what has one right answer is asked: no colour of two cars that differ, and nothing "left of
    the car" unless all that is to be seen there, at its height, has one name.
    """
    names = Counter(thing.name for thing in scene.things)
    if kind == "where":
        forms = ("where is this", "what place is this", "where was this picture taken")
        return _pick(forms, rng) + "?", scene.place
    if not scene.things:
        return None
    if kind == "what":
        return _what(scene, names, rng)
    name = str(_pick(list(names), rng))
    if kind == "how many":
        if rng.random() < 0.08:
            name = str(_other([n for n in LABELS if n not in names], "", rng))
        count = names.get(name, 0)
        forms = (
            "how many {} are there",
            "how many {} do you see",
            "how many {} are in the picture",
        )
        return _pick(forms, rng).format(THINGS[name]["plural"]) + "?", str(count)
    if kind == "is there":
        if rng.random() < 0.5:
            name = _absent(names, rng)
        article = "an" if name[0] in "aeiou" else "a"
        forms = ("is there {} {}", "is there {} {} in the picture", "do you see {} {}")
        answer = "yes" if name in names else "no"
        return _pick(forms, rng).format(article, name) + "?", answer
    if kind == "which colour":
        colours: dict[str, set] = {}
        for thing in scene.things:
            colours.setdefault(thing.name, set()).add(thing.colour)
        sure = [n for n, found in colours.items() if len(found) == 1 and None not in found]
        if not sure:
            return None
        name = _pick(sure, rng)
        noun, verb = (THINGS[name]["plural"], "are") if names[name] > 1 else (name, "is")
        forms = ("what color {1} the {0}", "what colour {1} the {0}", "which color {1} the {0}")
        (colour,) = colours[name]
        return _pick(forms, rng).format(noun, verb) + "?", colour
    return _beside(scene, names, rng)


def _what(scene: Scene, names: Counter, rng: np.random.Generator) -> tuple[str, str] | None:
    standing = related(scene, "on")
    if standing and rng.random() < 0.4:
        above, _, below = _pick(standing, rng)
        if sum(t.on is not None and scene.things[t.on].name == below for t in scene.things) == 1:
            return f"what is on the {below}?", above
    if len(names) == 1:
        forms = ("what is this", "what is in the picture", "what do you see")
        return _pick(forms, rng) + "?", next(iter(names))
    groups: dict[str, list] = {}
    for name in names:
        groups.setdefault(THINGS[name]["category"], []).append(name)
    alone = [c for c, members in groups.items() if len(members) == 1 and c in CATEGORIES]
    if not alone:
        return None
    category = _pick(alone, rng)
    forms = ("what {} is this", "what {} is in the picture", "which {} do you see")
    return _pick(forms, rng).format(CATEGORIES[category]) + "?", groups[category][0]


def _beside(scene: Scene, names: Counter, rng: np.random.Generator) -> tuple[str, str] | None:
    """What is left (or right) of a thing that is there once."""
    options = []
    for other in (thing for thing in scene.things if names[thing.name] == 1):
        for side, sign in (("left", 1), ("right", -1)):
            level = [t for t in scene.things if abs(t.y - other.y) < 0.25 and t is not other]
            there = [t for t in level if (other.x - t.x) * sign > 0.04]
            clear = [t for t in there if (other.x - t.x) * sign > 0.18]
            if clear and len({t.name for t in there}) == 1:
                options.append((f"what is {side} of the {other.name}?", clear[0].name))
    if not options:
        return None
    return options[rng.integers(len(options))]


def _absent(names: Counter, rng: np.random.Generator) -> str:
    """A thing that is not there; half the time one like what is there."""
    alike = {THINGS[name]["category"] for name in names}
    away = [name for name in LABELS if name not in names]
    near = [name for name in away if THINGS[name]["category"] in alike]
    return str(_pick(near if near and rng.random() < 0.5 else away, rng))


def _pick(options, rng: np.random.Generator):
    return options[rng.integers(len(options))]


# Understanding -------------------------------------------------------------------------------

_NOUNS = {row["plural"]: name for name, row in THINGS.items()} | {name: name for name in THINGS}
_COUNTS = {"a": 1, "an": 1} | {word: i for i, word in enumerate(NUMBERS, start=1)}
_LONGEST = "|".join(sorted(_NOUNS, key=len, reverse=True))
_GROUP = re.compile(rf"\b({'|'.join(_COUNTS)}) (?:({'|'.join(PAINTS)}) )?({_LONGEST})\b")
_RELATION = re.compile(rf"\bthe ({_LONGEST}) is ({'|'.join(RELATIONS)}) the ({_LONGEST})\b")


def understand(text: str) -> Statement:
    """What a sentence in Toytown's words claims; what it does not understand it leaves out."""
    text = text.lower()
    groups = tuple(
        Group(_NOUNS[noun], _COUNTS[count], colour or None)
        for count, colour, noun in _GROUP.findall(text)
    )
    places = [name for name, row in PLACES.items() if row["where"] in text]
    relation = _RELATION.search(text)
    triple = relation and (_NOUNS[relation[1]], relation[2], _NOUNS[relation[3]])
    return Statement(groups, places[0] if places else None, triple)


def vocabulary() -> list[str]:
    """Every word that statements and questions are made of, each once, in a fixed order."""
    words = [*THINGS, *(row["plural"] for row in THINGS.values()), *PAINTS, *NUMBERS]
    words += [str(count) for count in range(13)]
    words += " ".join(row["where"] for row in PLACES.values()).split() + list(PLACES)
    words += " ".join([*STARTS, *RELATIONS, *CATEGORIES.values()]).split()
    words += OTHER_WORDS.split()
    return list(dict.fromkeys([*words, ".", ",", "?", "!", "'", "-"]))
