"""Toytown's sentences in English, French and Spanish, as they are written and as they are spoken.

Words and frames stand in sentences.toml: a new word is a line of a table, a new frame a paragraph.
A frame is one text in three languages: its slots are chosen once, and each language says the choice
by its own rules of agreement and elision. French is written without a space before "?".
"""

import re
import tomllib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import inflect
import numpy as np

from .vocabulary import COLOURS, PLACES, THINGS, VOCABULARY

DATA: dict = tomllib.loads(Path(__file__).with_name("sentences.toml").read_text("utf-8"))
LANGUAGES = ("en", "fr", "es")
KINDS = tuple(DATA["frames"])
LENGTHS = range(4, 17)  # words of the English sentence
ENGLISH = inflect.engine()
SLOT = re.compile(r"\{(?P<table>[a-z]+?)(?P<digit>\d?)(?:\.(?P<form>\w+)|:(?P<noun>\w+))?\}")
EITHER = re.compile(r"\[([^|\]]*)\|([^\]]*)\]")  # [24|twenty-four]: as written, as spoken


@dataclass(frozen=True)
class Sentence:
    """A sentence as written, as spoken (no digit, no abbreviation), and its written English."""

    text: str
    spoken: str
    language: str
    english: str
    kind: str


# The tables ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Noun:
    """A noun, by language: its singular, its plural and its gender ("m" or "f")."""

    singular: dict[str, str]
    plural: dict[str, str]
    gender: dict[str, str]


def _rows(table: str) -> list[dict[str, str]]:
    """One dict from language to text for each line; English alone where there is no other."""
    return [dict(zip(LANGUAGES, line.split(" | "), strict=False)) for line in entries(table)]


def entries(table: str, at: str = "\n") -> list[str]:
    """The lines of a table, or what stands between other separators; paragraphs, say."""
    return table.strip().split(at)


KNOWN: dict[str, Noun] = {}  # by the English word, so that a later table can name it alone


def _noun(row: dict[str, str]) -> Noun:
    english = row["en"]
    if english in KNOWN and len(row) == 1:
        return KNOWN[english]
    if english in THINGS:
        thing = THINGS[english]
        others = {language: thing[language] for language in LANGUAGES[1:]}
        return Noun(
            {"en": english} | {key: other["word"] for key, other in others.items()},
            {"en": thing["plural"]} | {key: other["plural"] for key, other in others.items()},
            {key: other["gender"] for key, other in others.items()},
        )
    split = {key: row[key].rsplit(" ", 1) for key in LANGUAGES[1:] if key in row}
    singular = {"en": english} | {key: word for key, (word, _) in split.items()}
    plural = {"en": ENGLISH.plural_noun(english)}
    plural |= {key: _plural(word, key) for key, (word, _) in split.items()}
    noun = Noun(singular, plural, {key: gender for key, (_, gender) in split.items()})
    return KNOWN.setdefault(english, noun)


def _plural(word: str, language: str) -> str:
    """`("gâteau", "fr")` -> "gâteaux"; `("buzón", "es")` -> "buzones"; the first of more words."""
    first, *rest = word.split(" ")
    if language == "fr":
        if first.endswith(("eau", "eu")):
            first += "x"
        elif first.endswith("al") and first not in ("bal", "festival"):
            first = first[:-2] + "aux"
        elif first[-1] not in "sxz":
            first += "s"
    elif first[-1] in "aeiouáéó":
        first += "s"
    elif first.endswith("z"):
        first = first[:-1] + "ces"
    elif first[-2:] in ("ón", "án", "ín"):
        first = first[:-2] + {"ó": "o", "á": "a", "í": "i"}[first[-2]] + "nes"
    else:
        first += "es"
    return " ".join([first, *rest])


NOUNS = {name: [_noun(row) for row in _rows(table)] for name, table in DATA["nouns"].items()}
NOUNS |= {
    name: [_noun({"en": thing}) for thing, row in THINGS.items() if row["category"] == category]
    for name, category in DATA["things"].items()
}
ADJECTIVES = {name: _rows(table) for name, table in DATA["adjectives"].items()}
ADJECTIVES["colour"] = [
    {"en": name, "fr": " ".join(row["fr"]), "es": " ".join(row["es"])}
    for name, row in COLOURS.items()
]
ADJECTIVES["coat"] = [  # the colours of animals have no hue
    row for row in ADJECTIVES["colour"] if "hue" not in COLOURS[row["en"]]
]
BEFORE = {row["en"] for row in ADJECTIVES["size"] + ADJECTIVES["age"]}
VERBS = {
    name: [line.split(" | ") for line in entries(table)] for name, table in DATA["verbs"].items()
}
VERBS["task"] = VERBS["errand"] + VERBS["plan"]
PHRASES = {name: _rows(table) for name, table in DATA["phrases"].items()}
AT_NIGHT = {"en": " at night", "fr": ", la nuit", "es": ", de noche"}  # pictures say it, we do not
PHRASES["where"] = [
    {key: row["where" if key == "en" else key].removesuffix(AT_NIGHT[key]) for key in LANGUAGES}
    for row in PLACES.values()
]
PEOPLE = [(name, "f") for name in VOCABULARY["names"]["female"]]
PEOPLE += [(name, "m") for name in VOCABULARY["names"]["male"] if name != "Will"]  # "Will will"
INDOORS = ("kitchen", "bedroom")
PHRASES["outdoors"] = [
    row for name, row in zip(PLACES, PHRASES["where"], strict=True) if name not in INDOORS
]
FRAMES = {
    kind: [dict(zip(LANGUAGES, entries(frame), strict=False)) for frame in entries(table, "\n\n")]
    for kind, table in DATA["frames"].items()
}
RANGES = DATA["ranges"]


# Numbers, as one says them -------------------------------------------------------------------

UNITS = {language: DATA["numbers"][language].split() for language in LANGUAGES[1:]}
TENS = {language: DATA["numbers"][f"{language}_tens"].split() for language in LANGUAGES[1:]}
HUNDREDS = DATA["numbers"]["es_hundreds"].split()


@cache
def number(value: int, language: str, gender: str = "m") -> str:
    """A number from 0 to 699 in words: `(80, "fr")` -> "quatre-vingts".

    The Spanish hundreds agree with what is counted: "doscientas personas".
    """
    if language == "en":
        return ENGLISH.number_to_words(value)
    hundreds, rest = divmod(value, 100)
    if language == "fr":
        hundred = (
            [] if not hundreds else ["cent"] if hundreds == 1 else [UNITS["fr"][hundreds], "cent"]
        )
        if hundreds > 1 and not rest:
            hundred[-1] = "cents"
        return " ".join(hundred + ([_french(rest)] if rest or not hundreds else []))
    if value == 100:
        return "cien"
    hundred = [HUNDREDS[hundreds - 1]] if hundreds else []
    if hundreds > 1 and gender == "f":
        hundred[0] = hundred[0][:-2] + "as"
    return " ".join(hundred + ([_spanish(rest)] if rest or not hundreds else []))


def _french(value: int) -> str:
    if value < 20:
        return UNITS["fr"][value]
    tens, ones = divmod(value, 10)
    word = TENS["fr"][tens - 2]
    ones += 10 if tens in (7, 9) else 0
    if ones == 0:
        return word + "s" if tens == 8 else word
    if ones in (1, 11) and tens < 8:
        return f"{word} et {UNITS['fr'][ones]}"
    return f"{word}-{UNITS['fr'][ones]}"


def _spanish(value: int) -> str:
    if value < 30:
        return UNITS["es"][value]
    tens, ones = divmod(value, 10)
    return TENS["es"][tens - 3] + (f" y {UNITS['es'][ones]}" if ones else "")


def _counted(value: int, language: str, gender: str = "m") -> str:
    """In words up to ten, in digits above, as newspapers do."""
    words = number(value, language, gender)
    return words if value <= 10 else f"[{value}|{words}]"


def _time(hour: int, minute: int, in_words: bool, language: str) -> str:
    """As in "9:15", "4 o'clock", "a quarter past nine"; with its article "las 9:15" in Spanish."""
    now, then = number(hour, language), number(hour + 1, language)
    if language == "en":
        if in_words:
            quarter = {15: f"a quarter past {now}", 30: f"half past {now}"}
            return quarter.get(minute, f"a quarter to {then}")
        if minute == 0:
            return f"[{hour}|{now}] o'clock"
        spoken = f"{now} {'oh ' if minute < 10 else ''}{number(minute, 'en')}"
        return f"[{hour}:{minute:02}|{spoken}]"
    if language == "fr":
        if in_words:
            quarter = {15: f"{now} heures et quart", 30: f"{now} heures et demie"}
            return quarter.get(minute, f"{then} heures moins le quart")
        if minute == 0:
            return f"[{hour}|{now}] heures"
        return f"[{hour} h {minute:02}|{now} heures {number(minute, 'fr')}]"
    if in_words:
        quarter = {15: f"las {now} y cuarto", 30: f"las {now} y media"}
        return quarter.get(minute, f"las {then} menos cuarto")
    if minute == 0:
        return f"las [{hour}|{now}]"
    return f"las [{hour}:{minute:02}|{now} {'cero ' if minute < 10 else ''}{number(minute, 'es')}]"


def _date(day: int, month: dict[str, str], language: str) -> str:
    """As in "June 14" ("June fourteenth"); "14 juin", the first "1er"; "14 de junio" in Spanish."""
    if language == "en":
        return f"{month['en']} [{day}|{ENGLISH.number_to_words(ENGLISH.ordinal(day))}]"
    if language == "fr":
        said = "1er|premier" if day == 1 else f"{day}|{number(day, 'fr')}"
        return f"[{said}] {month['fr']}"
    return f"[{day}|{number(day, 'es')}] de {month['es']}"


# Agreement -----------------------------------------------------------------------------------


def _agreeing(adjective: dict[str, str], noun: Noun, language: str, plural: bool = False) -> str:
    """The adjective's form for a noun; "nouvel" before a vowel is `noun_phrase`'s matter."""
    if language == "en":
        return adjective["en"]
    forms = adjective[language].split(" ")
    feminine = noun.gender[language] == "f"
    if len(forms) == 4:  # a colour: m, f, m plural, f plural
        return forms[2 * plural + feminine]
    return _plural(forms[feminine], language) if plural else forms[feminine]


def noun_phrase(
    noun: Noun, adjective: dict[str, str] | None, count: int, form: str, language: str
) -> str:
    """What a noun's slot says: `form` is the, a, these, many, plural or bare."""
    if form in ("o", "he"):
        forms = {"o": ("o", "a"), "he": ("il", "elle")}
        return "" if language == "en" else forms[form][noun.gender[language] == "f"]
    plural = form in ("these", "many", "plural")
    word = (noun.plural if plural else noun.singular)[language]
    if adjective:
        said = _agreeing(adjective, noun, language, plural)
        first = language == "en" or (language == "fr" and adjective["en"] in BEFORE)
        forms = adjective.get(language, "").split(" ")
        if first and len(forms) == 3 and said == forms[0] and word[0].lower() in VOWELS:
            said = forms[2]
        word = f"{said} {word}" if first else f"{word} {said}"
    if form in ("plural", "bare"):
        return word
    gender = noun.gender.get(language)
    if form == "many":
        return f"{_counted(count, language, gender or 'm')} {word}"
    if language == "en":
        return f"{_article(word) if form == 'a' else 'the'} {word}"
    if language == "fr":
        articles = {"the": ("le", "la"), "a": ("un", "une"), "these": ("les", "les")}
    else:
        articles = {"the": ("el", "la"), "a": ("un", "una"), "these": ("los", "las")}
    # "el agua": before a stressed a, a Spanish feminine takes the masculine article
    feminine = gender == "f" and not (language == "es" and word.startswith("agua") and not plural)
    return f"{articles[form][feminine]} {word}"


def _article(word: str) -> str:
    return "an" if re.match(AN, word) else "a"


def with_an(text: str) -> str:
    """The text, with "an" for "a" where the next word asks for it."""
    return re.sub(rf"\ba (?={AN})", "an ", text)


AN = r"(?:[aeio]|u(?!ni|se))"  # how a word begins that takes it
VOWELS = "aeiouâàéèêîôœh"  # every h of ours is mute, but those of numbers
CONTRACTIONS = {
    "fr": [
        (rf"\b(le|la|de|que|je|ne|se) (?=[{VOWELS}](?!uit|nze))", None),
        (r"\bde le ", "du "),
        (r"\bde les ", "des "),
        (r"\bà le ", "au "),
        (r"\bà les ", "aux "),
    ],
    "es": [
        (r"\bde el ", "del "),
        (r"\ba el ", "al "),
        (r"\by (?=h?i(?!e))", "e "),
        (r"\bo (?=h?[oó])", "u "),
    ],
    "en": [],
}


def polished(text: str, language: str) -> str:
    """Elision and contraction, and a capital at the start."""
    for pattern, new in CONTRACTIONS[language]:
        text = re.sub(
            pattern, new or (lambda match: match[1][:-1] + "'"), text, flags=re.IGNORECASE
        )
    return re.sub(r"^([¿]?)(\w)", lambda match: match[1] + match[2].upper(), text)


# Drawing -------------------------------------------------------------------------------------


class Draft:
    """The choices of one sentence (or of one meeting): a slot is drawn at its first use."""

    def __init__(self, random: np.random.Generator, parallel: bool):
        self.random = random
        self.parallel = parallel  # whether only words with French and Spanish may be drawn
        self.chosen: dict[str, object] = {}

    def pick(self, options: list):
        """One of the options, evenly."""
        return options[self.random.integers(len(options))]

    def text(self, frame: str, language: str, digit: str = "") -> str:
        """The frame with its slots filled; `digit` is that of the slot in which this one stands."""
        return SLOT.sub(lambda match: self._said(match, language, digit), frame)

    def _said(self, match: re.Match, language: str, digit: str) -> str:
        table, form, noun = match["table"], match["form"], match["noun"]
        digit = match["digit"] or digit
        key = table + digit
        if key not in self.chosen:
            self.chosen[key] = self._drawn(table)
        choice = self.chosen[key]
        if table == "who":
            name, gender = choice
            forms = {"e": ("", "e"), "he": ("he", "she"), "his": ("his", "her")}
            masculine, feminine = forms.get(form, (name, name))
            return feminine if gender == "f" else masculine
        if table in NOUNS:
            return noun_phrase(*choice, form, language)
        if table in ADJECTIVES:
            return _agreeing(choice, self._noun(noun), language)
        if table in VERBS:
            verb, place = choice
            column = 2 * LANGUAGES.index(language) + (form == "did")
            return f"{verb[column]} {self.text(place, language, digit)}"
        if table in RANGES:
            return _counted(choice, language, form or "m")
        if table == "time":
            return _time(*choice, language)
        if table == "date":
            return _date(*choice, language)
        return self.text(choice[language], language, digit)

    def _noun(self, key: str) -> Noun:
        choice = self.chosen[key]
        if isinstance(choice[0], Noun):
            return choice[0]
        return Noun({}, {}, {"fr": choice[1], "es": choice[1]})

    def _drawn(self, table: str):
        if table == "who":
            return self._fresh(PEOPLE)
        if table in NOUNS:
            nouns = [n for n in NOUNS[table] if not self.parallel or "fr" in n.gender]
            taken = [c[0] for key, c in self.chosen.items() if key.rstrip("0123456789") == table]
            noun = self.pick([n for n in nouns if n not in taken])
            adjective = None
            if table in DATA["described"] and self.random.random() < 0.4:
                adjective = self.pick(
                    self._allowed(ADJECTIVES[self.pick(DATA["described"][table].split(" "))])
                )
            large = table == "object" and self.random.random() < 0.5
            return noun, adjective, self._number(*((11, 300) if large else (2, 9)))
        if table in VERBS:
            verb = self.pick([v for v in VERBS[table] if not self.parallel or len(v) == 7])
            # English alone, "update | updated", is said of papers
            place = verb[6] if len(verb) == 7 else "paper.the"
            return verb, f"{{{place}}}"
        if table in RANGES:
            return self._number(*RANGES[table])
        if table == "time":
            in_words = bool(self.random.random() < 0.3)
            minutes = [15, 30, 45] if in_words else [0, *range(0, 60, 5)]
            return int(self.random.integers(2, 12)), self.pick(minutes), in_words
        if table == "date":
            return int(self.random.integers(1, 31)), self.pick(PHRASES["month"])
        return self._fresh(self._allowed(ADJECTIVES.get(table) or PHRASES[table]))

    def _allowed(self, rows: list[dict[str, str]]) -> list[dict[str, str]]:
        return [row for row in rows if "fr" in row] if self.parallel else rows

    def _fresh(self, options: list):
        return self.pick([option for option in options if option not in self.chosen.values()])

    def _number(self, least: int, greatest: int) -> int:
        """Small ones as often as large ones; none that ends in one, which would have a gender."""
        low, high = np.log(least), np.log(greatest + 1)
        while True:
            value = int(np.exp(self.random.uniform(low, high)))
            if value % 10 != 1:
                return value


def pattern(text: str, known: Callable[[re.Match], str | None] = lambda slot: None) -> str:
    """A regular expression for all that an English text with slots may say.

    known: what a slot says, where that is settled; None where it may be any word of its table.
    """
    parts, at = [], 0
    for slot in SLOT.finditer(text):
        said = known(slot)
        parts += [re.escape(text[at : slot.start()])]
        parts += [_any_of(slot["table"], slot["form"]) if said is None else re.escape(said)]
        at = slot.end()
    return "".join(parts) + re.escape(text[at:])


@cache
def _any_of(table: str, form: str | None) -> str:
    if table == "who":
        name = r"(?-i:[A-Z]\w+)"  # of a whole that may ignore case
        return {"he": "(?:he|she)", "his": "(?:his|her)"}.get(form, name)
    if table in NOUNS:
        kinds = DATA["described"].get(table, "").split()
        adjectives = [row["en"] for kind in kinds for row in ADJECTIVES[kind]]
        plural = form in ("these", "many", "plural")
        nouns = [(noun.plural if plural else noun.singular)["en"] for noun in NOUNS[table]]
        a = f"(?:an (?={AN})|a (?!{AN}))"
        before = {"the": "the ", "these": "the ", "a": a, "many": r"[\w-]+ "}.get(form, "")
        described = f"(?:(?:{'|'.join(map(re.escape, adjectives))}) )?" if adjectives else ""
        return f"{before}{described}(?:{'|'.join(map(re.escape, nouns))})"
    if table in RANGES:
        words = "|".join(number(value, "en") for value in range(11))
        return f"(?:\\d+|{words})"
    if table == "date":
        return r"\w+ \d+"
    if table in PHRASES:
        texts = [EITHER.sub(r"\1", row["en"]) for row in PHRASES[table]]
        return f"(?:{'|'.join(map(pattern, texts))})"
    raise ValueError(f"There is no pattern for a slot {table!r} yet: add it to sentences._any_of.")


def strange_name(random: np.random.Generator, kept: bool = False) -> str:
    """A name of two or three syllables, such as "Bodilan"; nobody in Toytown has it.

    kept: one of the tenth of them that no training reads.
    """
    while True:
        parts = [
            "bdfgjklmnprstvz"[random.integers(15)] + "aeiou"[random.integers(5)]
            for _ in range(random.integers(2, 4))
        ]
        name = "".join(parts).capitalize() + ["n", "l", "r", "s", "", "", ""][random.integers(7)]
        known = (name, "f") in PEOPLE or (name, "m") in PEOPLE
        if not known and (zlib.crc32(name.encode()) % 10 == 0) == kept:
            return name


def _sentence(draft: Draft, frame: dict[str, str], language: str, kind: str) -> Sentence:
    english = draft.text(frame["en"], "en")
    said = english if language == "en" else draft.text(frame[language], language)
    text, spoken = (polished(EITHER.sub(part, said), language) for part in (r"\1", r"\2"))
    return Sentence(text, spoken, language, polished(EITHER.sub(r"\1", english), "en"), kind)


def sentence(
    random: np.random.Generator, language: str = "en", kind: str | None = None
) -> Sentence:
    """A random sentence of 4 to 16 English words; `kind` is one of KINDS, evenly drawn if None.

    French and Spanish come with the English that the same choices give. Raises ValueError for a
    language or a kind that Toytown does not have.
    """
    if language not in LANGUAGES:
        raise ValueError(f"Toytown speaks {', '.join(LANGUAGES)}, not {language!r}.")
    if kind is not None and kind not in KINDS:
        raise ValueError(f"The kinds of sentences are {', '.join(KINDS)}, not {kind!r}.")
    while True:
        draft = Draft(random, parallel=language != "en")
        drawn = kind or draft.pick(KINDS)
        frame = draft.pick([frame for frame in FRAMES[drawn] if language in frame])
        made = _sentence(draft, frame, language, drawn)
        if len(made.english.split()) in LENGTHS:
            return made


def meeting(random: np.random.Generator) -> list[tuple[str, Sentence]]:
    """A meeting of three in English: 8 to 12 turns, each a name and what he or she says.

    One topic, a budget, a decision, and two or three tasks, each with a person and a day.
    """
    draft = Draft(random, parallel=False)
    draft.text("{who1} {who2} {who3}", "en")
    turns = script(draft, DATA["scripts"]["meeting"])
    return [
        (draft.chosen[f"who{turn[0]}"][0], _english(draft, turn[2:], "meeting")) for turn in turns
    ]


def story(random: np.random.Generator) -> list[Sentence]:
    """A story of 5 or 6 English sentences about one person, an animal and what was lost."""
    draft = Draft(random, parallel=False)
    return [_english(draft, line, "story") for line in script(draft, DATA["scripts"]["story"])]


def script(draft: Draft, text: str) -> list[str]:
    """One line of each paragraph; of paragraphs that begin with "?", three in five."""
    parts = [entries(part) for part in entries(text, "\n\n")]
    lines = [draft.pick(part) for part in parts]
    return [
        line.removeprefix("?")
        for line, part in zip(lines, parts, strict=True)
        if part[0][0] != "?" or draft.random.random() < 0.6
    ]


def _english(draft: Draft, line: str, kind: str) -> Sentence:
    return _sentence(draft, {"en": line}, "en", kind)
