"""Questions about a text: what it says of its people, of whom it says something, what it lacks."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .checks import is_unknown, plain
from .sentences import EITHER, Draft, polished
from .tasks import SYSTEM, UNKNOWN, Task, one_of, said_in

RELATIONS = {  # what a text says of somebody, how one asks, what one may not know, and a slot
    "lost": ("{} lost {}.", "What did {} lose?", "what {} lost", "{object1.a}"),
    "bought": ("{} bought {}.", "What did {} buy?", "what {} bought", "{object1.a}"),
    "saw": ("{} saw {}.", "What did {} see?", "what {} saw", "{animal1.a}"),
    "likes": ("{} likes {}.", "What does {} like?", "what {} likes", "{meal1}"),
    "works": ("{} works at {}.", "Where does {} work?", "where {} works", "{place1.the}"),
    "lives": ("{} lives in {}.", "Where does {} live?", "where {} lives", "{town1}"),
    "age": ("{} is {} years old.", "How old is {}?", "how old {} is", ""),
}
ABOUT = ("What do you know about {}?", "Tell me about {}.", "What does the text say about {}?")


@dataclass(frozen=True)
class Fact:
    """What a text says of somebody: kind is of RELATIONS."""

    name: str
    kind: str
    what: str

    def __str__(self) -> str:
        return RELATIONS[self.kind][0].format(self.name, self.what)

    @property
    def told(self) -> str:
        """What is said of the one who has the name: "lost a hat"."""
        return str(self).removeprefix(f"{self.name} ").rstrip(".")


def _facts(random: np.random.Generator, kept: bool) -> list[Fact]:
    """One or two facts about each of two to four people, in any order."""
    people: list[str] = []
    count = int(random.integers(2, 5))
    while len(people) < count:
        if (name := said_in(random, "person", kept)) not in people:
            people.append(name)
    facts: list[Fact] = []
    for name in people:
        for kind in random.permutation(list(RELATIONS))[: random.integers(1, 3)]:
            slot = RELATIONS[str(kind)][3]
            what = str(said_in(random, "age"))
            if slot:
                what = EITHER.sub(r"\1", Draft(random, parallel=False).text(slot, "en"))
            if all(what != fact.what for fact in facts):  # else several did the same
                facts.append(Fact(name, str(kind), what))
    random.shuffle(facts)
    return facts


SAYS = r"(?:yes |(?:the )?text says (?:that )?)?"  # how an answer may begin


def tells(fact: Fact) -> Callable[[str], bool]:
    """A check that an answer tells a fact, and nothing else; it may say "she" for the name."""
    name, told = (re.escape(plain(text)) for text in (fact.name, fact.told))
    told = told.replace(r"\ years\ old", r"(?:\ years\ old)?")
    way = (
        rf"{SAYS}(?:(?:{name}|s?he) {told}|{told.partition(' ')[2]}|{re.escape(plain(fact.what))})"
    )
    return lambda answer: bool(re.fullmatch(way, plain(answer)))


def tells_all(facts: list[Fact]) -> Callable[[str], bool]:
    """A check that an answer tells all these facts of somebody, in any order, and nothing else."""

    def right(answer: str) -> bool:
        rest = re.sub(f"^{SAYS}", "", plain(answer))
        for fact in facts:
            who = rf"(?:{re.escape(plain(fact.name))}|s?he)"
            way = rf"(?:^| )(?:and )?(?:{who} )?{re.escape(plain(fact.told))}(?= |$)"
            rest, count = re.subn(way, "", rest, count=1)
            if not count:
                return False
        return not rest

    return right


def is_who(fact: Fact) -> Callable[[str], bool]:
    """A check that an answer names the one of whom a fact is, and nobody else."""
    name, told = (re.escape(plain(text)) for text in (fact.name, fact.told))
    way = rf"{SAYS}(?:(?:the one who {told}|it) (?:is|was) )?{name}(?: {told})?"
    return lambda answer: bool(re.fullmatch(way, plain(answer)))


def lacks(name: str, unknown: str, facts: list[Fact]) -> Callable[[str], bool]:
    """A check that an answer says that it does not know, and of `name` nothing that is not so.

    unknown: what it does not know, "where Leo lives".
    """
    of_it = [fact for fact in facts if fact.name == name]
    told = {plain(f"{who} {fact.told}") for fact in of_it for who in (name, "he", "she")}

    def right(answer: str) -> bool:
        before, but, rest = answer.lower().rpartition(", but ")
        return is_unknown(rest, unknown) and (not but or plain(before) in told)

    return right


def _missing(random: np.random.Generator, facts: list[Fact], kept: bool) -> tuple[str, str]:
    """A name and a kind of fact that a text lacks, though it has the two apart, if there are such.

    The person is there, with something else; what is asked is there, of somebody else.
    """
    people, kinds = ({getattr(fact, key) for fact in facts} for key in ("name", "kind"))
    near = {(name, kind) for name in people for kind in kinds}
    near -= {(fact.name, fact.kind) for fact in facts}
    if near and random.random() < 0.7:
        return one_of(random, sorted(near))
    while (name := said_in(random, "person", kept)) in people:
        pass
    return name, one_of(random, sorted(kinds))


@dataclass(frozen=True)
class Asked:
    """A question about a text, a good answer, its check, and the fact that it tells, if one."""

    question: str
    answer: str
    right: Callable[[str], bool]
    fact: Fact | None = None


def _asked_one(random: np.random.Generator, facts: list[Fact], kept: bool) -> Asked:
    """A question about one fact, which the text may lack.

    Where it does, the answer begins with what the text does say of the person: what has been
    written is easier to compare with the question than to find out beforehand that nothing fits.
    """
    if random.random() < 0.6:
        fact = one_of(random, facts)
        question = RELATIONS[fact.kind][1].format(fact.name)
        return Asked(question, str(fact), tells(fact), fact)
    name, kind = _missing(random, facts, kept)
    question, unknown = (part.format(name) for part in RELATIONS[kind][1:3])
    of_them = next((str(fact)[:-1] for fact in facts if fact.name == name), None)
    answer = f"{of_them}, but I don't know {unknown}." if of_them else UNKNOWN
    return Asked(question, answer, lacks(name, unknown, facts))


def _asked_all(random: np.random.Generator, facts: list[Fact], kept: bool) -> Asked:
    """A question about all that the text says of somebody."""
    people = {fact.name for fact in facts}
    name = one_of(random, sorted(people))
    if random.random() < 0.2:
        while (name := said_in(random, "person", kept)) in people:
            pass
    of_them = [fact for fact in facts if fact.name == name]
    right = tells_all(of_them) if of_them else lacks(name, name, facts)
    return Asked(one_of(random, ABOUT).format(name), " ".join(map(str, of_them)) or UNKNOWN, right)


def _asked_who(random: np.random.Generator, facts: list[Fact], kept: bool) -> Asked:
    """A question about who it was.

    The answer says first what was done: from there one finds the line, and in it the name.
    """
    fact = one_of(random, facts)
    question = RELATIONS[fact.kind][0].format("who", fact.what)[:-1]
    answer = f"The one {question} is {fact.name}."
    return Asked(polished(f"{question}?", "en"), answer, is_who(fact))


def from_text(
    random: np.random.Generator, kept: bool = False, alone: bool = False, who: bool = False
) -> Task:
    """An answer from a given text, and that it does not know where the text lacks it.

    alone: one question about one fact; else often several. kept: see `said_in`. who: the last one
    asks who it was; else it never does.
    """
    facts = _facts(random, kept)
    form = one_of(random, ("Text: {} Question: {}", "{} {}", "Answer from this text. {} {}"))
    count = 1 if alone or random.random() < 0.4 else int(random.integers(2, 4))
    system = {"role": "system", "content": SYSTEM}
    messages, text = [system], " ".join(map(str, facts))
    for at in range(count):
        last = at == count - 1
        kind = random.random() * (0.7 if last else 1.0)  # who it was is the last 0.3
        ask = _asked_one if alone or kind < 0.45 else _asked_all if kind < 0.7 else _asked_who
        ask = _asked_who if who and last else ask
        one = ask(random, facts, kept)
        said = one.question if at else form.format(text, one.question)
        messages += [{"role": "user", "content": said}]
        messages += [{"role": "assistant", "content": one.answer}]
    styled = {"short": f"{one.fact.what[0].upper()}{one.fact.what[1:]}."} if one.fact else {}
    return Task(
        "who" if who else "from text", tuple(messages[:-1]), one.answer, one.right, styled=styled
    )
