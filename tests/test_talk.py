"""Toytown's language: stories, small talk and requests; what they hold, and how it is judged."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
from toytown import skills
from toytown.dialogues import FACTS, HOURS, INTENTS, LATER, NAMES, acceptable, dialogue, mistyped
from toytown.reading import Fact, from_text, is_who, lacks, tells, tells_all
from toytown.sentences import ADJECTIVES, ENGLISH, NOUNS, strange_name
from toytown.stories import PLOTS, facts_right, fluent, story
from toytown.styles import STYLES, UNSEEN
from toytown.tasks import UNKNOWN, Task
from toytown.vocabulary import THINGS


def drawn(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


# ---- stories


@pytest.mark.parametrize("plot", PLOTS)
def test_a_story_has_four_to_ten_sentences_and_a_summary_that_holds_who_what_and_where(plot: str):
    for seed in range(40):
        tale = story(drawn(seed), plot)
        # An opening of two sentences is one line of a story.
        assert 4 <= len(re.findall(r"[.!?](?= |$)", tale.text)) <= 11
        assert tale.summary == f"{tale.who} {tale.what} at {tale.where}."
        assert tale.who in tale.text
        assert tale.where in tale.text
        assert all(facts_right(tale, tale.summary).values())
        assert not re.search(r"\{|\}|  |\[|\|", tale.text + tale.summary)


def test_a_summary_with_another_person_deed_or_place_is_noticed():
    tale, other = story(drawn(1), PLOTS[0]), story(drawn(2), PLOTS[3])
    for fact in ("who", "what", "where"):
        right = facts_right(tale, tale.summary.replace(getattr(tale, fact), getattr(other, fact)))
        assert [name for name, ok in right.items() if not ok] == [fact]
    assert not any(facts_right(tale, "Nobody did anything.").values())
    both = tale.summary.replace(tale.who, f"{tale.who} and Zoe", 1)
    assert not any(facts_right(tale, both).values())


@pytest.mark.parametrize("plot", PLOTS)
def test_a_story_is_fluent_and_is_not_with_a_word_missing_or_two_exchanged(plot: str):
    spoilt = 0
    for seed in range(20):
        tale = story(drawn(seed), plot, strange=0.3)
        assert fluent(tale.text, tale.who, tale.where)
        words = tale.text.split(" ")
        at = seed % (len(words) - 1)
        less = [*words[:at], *words[at + 1 :]]
        turned = [*words[:at], words[at + 1], words[at], *words[at + 2 :]]
        spoilt += fluent(" ".join(less), tale.who, tale.where)
        spoilt += fluent(" ".join(turned), tale.who, tale.where)
    assert spoilt <= 6, "an adjective or a name may well be missing"


STORY = (
    "Leo was at the zoo that day. It had rained all night. He sat down on a bench. "
    "Under the bench he found a key. He put it into a box."
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (STORY.replace("Leo", "Mia"), "about somebody else"),
        (STORY.replace("the zoo", "the bank"), "somewhere else"),
        (STORY.replace("Leo", "The"), "a name is no article"),
        (STORY.replace(" a key", " a old key"), "an old key"),
        (STORY.replace("Under the bench he found a key. ", ""), "nothing happens"),
        (STORY + " Under the bench he found a key.", "it happens twice"),
        (STORY + " The baker knew at once.", "a word is missing"),
        (STORY + " Nobody won.", "a line of another story"),
        (STORY.partition(" ")[2], "it does not begin"),
        (STORY + " Later Leo told Leo all about it.", "he tells it to himself"),
        (
            "Leo was at the zoo that day. It had rained all night. He put it into a box. "
            "Under the bench he found a key.",
            "the end stands before the event",
        ),
        (STORY.partition("It had")[0] + "Under the bench he found a key.", "too short"),
    ],
)
def test_no_story_is_fluent_that_is(text: str, why: str):
    assert fluent(STORY, "Leo", "the zoo")
    assert not fluent(text, "Leo", "the zoo"), why


def test_people_may_have_names_that_nobody_in_toytown_has():
    for seed in range(30):
        assert strange_name(drawn(seed)) not in NAMES
        assert story(drawn(seed), strange=1.0).who not in NAMES
        assert story(drawn(seed), strange=0.0).who in NAMES


def test_a_name_that_is_kept_for_tests_is_never_drawn_in_training():
    names = {strange_name(drawn(seed)) for seed in range(2_000)}
    kept = {strange_name(drawn(seed), kept=True) for seed in range(200)}
    assert not names & kept
    for seed in range(200):
        task = skills.extract(drawn(seed), kept=True)
        wanted = json.loads(task.answer)
        said = {wanted.get(key) for key in ("name", "person", "who", "customer", "buyer")} - {None}
        assert not said & (names | set(NAMES))


# ---- small talk


def test_there_are_thirty_intents_and_more_and_several_facts_to_tell():
    assert len(INTENTS) >= 30
    assert {"name", "food", "pet", "town", "colour", "hobby", "role"} <= set(FACTS)


def test_what_is_asked_for_was_told_at_most_four_turns_ago_or_never():
    kinds = set()
    for seed in range(300):
        told: dict[str, int] = {}
        for at, turn in enumerate(dialogue(drawn(seed))):
            kind, _, fact = turn.kind.partition(":")
            kinds.add(kind if fact else "talk")
            if kind == "told":
                told[fact] = at
            elif kind in ("asked", "spelt"):
                assert at - told[fact] <= LATER
            elif kind == "never":
                assert fact not in told
    assert kinds == {"talk", "told", "asked", "spelt", "never"}


def test_every_good_answer_is_acceptable_and_that_of_another_turn_is_not():
    for seed in range(200):
        turns = dialogue(drawn(seed), 6)
        assert all(acceptable(turn, turn.answer) for turn in turns)
    asked = next(t for s in range(99) for t in dialogue(drawn(s)) if t.kind == "asked:name")
    (name,) = [name for name in NAMES if name in asked.answer]
    other = next(one for one in NAMES if one != name)
    assert not acceptable(asked, asked.answer.replace(name, other))
    assert not acceptable(asked, "You have not told me your name.")


def test_what_pip_may_choose_is_of_its_kind():
    turn = next(t for s in range(99) for t in dialogue(drawn(s)) if t.kind == "event")
    venues = [noun.singular["en"] for noun in NOUNS["venue"]]
    venue = next(name for name in venues if name in turn.answer)
    other = next(name for name in venues if name != venue)
    assert acceptable(turn, turn.answer.replace(venue, other))
    assert not acceptable(turn, turn.answer.replace(venue, "butterfly"))


def test_pip_says_of_the_town_what_stands_in_the_table_that_the_assistant_learns_from():
    looked = 0
    for seed in range(400):
        for turn in dialogue(drawn(seed)):
            if turn.kind in ("open", "close", "directions"):
                place = next((name for name in HOURS if f"the {name}" in turn.said), None)
                if not place:
                    continue  # it is mistyped
                looked += 1
                opens, closes, beside = HOURS[place]
                hour = {"open": opens, "close": closes}.get(turn.kind)
                assert (ENGLISH.number_to_words(hour) if hour else beside) in turn.answer
    assert looked > 50
    for place, (_, _, beside) in HOURS.items():
        assert HOURS.get(beside, (0, 0, place))[2] == place, "next to each other"


def test_a_typo_spares_short_words_and_names():
    texts = {mistyped(drawn(seed), "Where is the library of Amsterdam?", 1.0) for seed in range(50)}
    assert len(texts) > 3
    assert {len(text) for text in texts} == {33, 34}, "one letter is missing, or two are exchanged"
    for text in texts:
        assert text.startswith("Where is the l")
        assert text.endswith(" of Amsterdam?")


# ---- requests


@pytest.mark.parametrize("skill", skills.SKILLS)
def test_a_skills_own_answers_are_right_and_those_to_another_request_are_not(skill: str):
    tasks = [skills.task(drawn(seed), skill) for seed in range(60)]
    assert all(one.right(one.answer) for one in tasks)
    others = [one.right(two.answer) for one in tasks for two in tasks if one.answer != two.answer]
    assert not others or np.mean(others) < 0.06
    assert not any(one.right("") for one in tasks)


def one(skill: str, has: str) -> Task:
    """The first task of a skill whose request has these words in it."""
    tasks = (skills.task(drawn(seed), skill) for seed in range(999))
    return next(task for task in tasks if re.search(has, task.messages[-1]["content"]))


@pytest.mark.parametrize(
    ("skill", "has", "right", "wrong"),
    [
        ("town", "does the castle close",
         ["The castle closes at 4.", "It closes at four.", "At four o'clock."],
         ["The zoo closes at four.", "The castle opens at four.", "The castle closes at 5.",
          "The castle never closes at four.", "The castle and the zoo close at four.",
          "Four closes at the castle.",
          "The castle closes at 4:30.", "The moon closes at four.",
          "The castle closes at four, and the king sleeps."]),
        ("town", "Where is the zoo", ["The zoo is next to the castle.", "Next to the castle."],
         ["The castle is next to the zoo.", "The zoo is next to the park.",
          "The zoo is not next to the castle.", "The bank is next to the castle.",
          "The moon is next to the castle."]),
        ("explain", "penguin", ["It is a penguin: a bird that swims and cannot fly.",
          "A penguin is a bird that swims, and cannot fly!"],
         ["A penguin is not a bird that swims and cannot fly.", "A penguin is a fish.",
          "A zoo is a bird that swims and cannot fly.", "A penguin is a bird that swims.",
          "A penguin is a small bird that swims and cannot fly.",
          "A bird is a penguin that swims and cannot fly.",
          "A penguin is a bird that cannot swim and fly."]),
        ("sum", "9 plus 8|9 and 8|9 [+] 8",
         ["17", "9 plus 8 is 17.", "Seventeen.", "17 = 9 + 8", "17 is 9 plus 8.", "It's 17.",
          "Seventeen is nine plus eight.", "The sum of 9 and 8 is 17."],
         ["I can't add.", "9 and 8", "It is not 17.", "170", "Eighteen.", "Sixty-seventeen.",
          "The answer is -17.", "9 plus 9 is 17.", "The moon weighs 17.",
          "17 plus 9 is 8.", "9 is 8 plus 17.", "Eight plus eight is seventeen.", "17 9 8"]),
        ("sentiment", "glad", ["Positive.", "It is positive."],
         ["negative", "positive, negative", "It is not positive.",
          "Positive. The moon is cheese."]),
        ("unknown", "", ["I do not know.", "I don't know that.", "Sorry, I don't know."],
         ["It is nine o'clock.", "I don't know, but it opens at nine o'clock.",
          "I don't know. It opens at nine o'clock.", "I know.",
          "I don't know about that but it opens at nine o'clock.",
          "I don't know when it opens and it closes at nine.",
          "I don't know because the capital is Toronto."]),
        ("list", "(two|2) colours", ["1. red\n2. blue", "1. Black\n2. white"],
         ["red, blue", "1. red\n2. red", "1. red", "2. red\n1. blue", "1. red\n1. blue"]),
        ("poem", "a cat",
         ["A cat came to town one day\nand looked around and went away\n"
          "They say the cat can sing a song\nbut I have waited here so long"],
         ["...", "day\naway\ngo\nsnow", "cat cat cat cat day\ncat cat cat cat away\n"
          "cat cat cat cat song\ncat cat cat cat long",
          "A cat came to town one day\nand looked around and went away"]),
    ],
)  # fmt: skip
def test_a_checker_looks_at_what_is_meant(skill: str, has: str, right: list, wrong: list):
    task = one(skill, has)
    assert [text for text in right if not task.right(text)] == []
    assert [text for text in wrong if task.right(text)] == []


def test_a_description_names_all_that_is_there_and_nothing_else():
    for seed in range(60):
        task = skills.describe(drawn(seed))
        other = next(
            f"three {row['plural']}"
            for row in THINGS.values()
            if row["plural"][:4] not in task.answer
        )
        assert task.right(task.answer.replace("I see", "There is"))
        assert not task.right(f"{task.answer} And {other}.")
        assert not task.right(f"{task.answer} {task.answer.removeprefix('I see ')}"), "twice"
        assert not task.right(task.answer.replace("I see", "I do not see"))


def test_only_what_comes_in_colours_in_a_picture_is_described_with_one():
    painted = {row["plural"].split()[-1]: name for name, row in THINGS.items()}
    painted |= {name: name for name in THINGS}
    coloured = {row["en"] for kind in ("colour", "coat") for row in ADJECTIVES[kind]}
    described = set()
    for seed in range(300):
        words = re.findall(r"[\w-]+", skills.describe(drawn(seed)).answer)
        described |= {painted[b] for a, b in pairwise(words) if a in coloured and b in painted}
    known = {name for name, row in THINGS.items() if row.get("paint")}
    known |= {name for name, row in THINGS.items() if row["category"] == "animals"}
    assert described <= known, "a green baby"
    assert len(described) > 10


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("Mia bought a hat.", True),
        ("She bought a hat.", True),
        ("The text says that Mia bought a hat.", True),
        ("A hat.", True),
        ("Leo bought a hat.", False),
        ("Mia lost a hat.", False),
        ("Mia bought a coat.", False),
        ("Mia did not buy a hat.", False),
        ("Mia hasn't bought a hat.", False),
        ("Mia stole a hat.", False),
        ("Oscar bought a hat.", False),
        ("Mira bought a hat.", False),
        ("Mia bought a hat, a coat and a dog.", False),
        ("Mia bought a hat. Leo lives in Rome.", False),
        ("A hat bought Mia.", False),
        ("I don't know.", False),
    ],
)
def test_an_answer_from_a_text_tells_the_one_fact_that_was_asked_for(answer: str, right: bool):
    assert tells(Fact("Mia", "bought", "a hat"))(answer) == right


def test_a_whole_text_said_again_is_no_answer_to_a_question_about_it():
    for seed in range(60):
        task = from_text(drawn(seed))
        assert not task.right(task.messages[1]["content"])


def test_questions_about_one_text_are_each_answered_by_it():
    for seed in range(100):
        turns = from_text(drawn(seed)).messages[1:]
        text = turns[0]["content"]
        for turn in turns:
            if turn["role"] == "assistant" and turn["content"] != UNKNOWN:
                said = re.sub(r", but I don't know .*", ".", turn["content"])
                said = re.sub(r"The one who (.*) is (\w+)\.", r"\2 \1.", said)
                assert all(line in text for line in re.split(r"(?<=\.) ", said))


def test_all_of_somebody_is_told_and_who_did_a_thing():
    facts = [
        Fact("Leo", "lives", "Rome"),
        Fact("Mia", "lives", "Rome"),
        Fact("Leo", "lost", "a hat"),
    ]
    everything = tells_all([facts[0], facts[2]])
    assert everything("Leo lives in Rome. He lost a hat.")
    assert not everything("Leo lives in Rome.")
    assert not everything("Leo and Mia live in Rome. Leo lost a hat.")
    lost_it = is_who(facts[2])
    assert lost_it("Leo.")
    assert lost_it("Leo lost a hat.")
    assert lost_it("The one who lost a hat is Leo.")
    assert not lost_it("The one who lost a hat is Mia.")
    assert not lost_it("A hat lost Leo.")
    assert not lost_it("Leo and Mia lost a hat.")
    assert not lost_it("Leo did not lose a hat.")
    assert not everything("Leo hates Rome. He stole a hat.")
    assert not everything("Leo lost Rome. He lives in a hat.")


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("I don't know.", True),
        ("I don't know how old Mia is.", True),
        ("Mia lost a hat, but I don't know how old Mia is.", True),
        ("Mia lost a hat, but I don't know how old she is.", True),
        ("She lost a hat, but I don't know how old she is.", True),
        ("The text does not say.", True),
        ("I have no idea.", True),
        ("Mia is 40 years old.", False),
        ("I don't know, Mia lives in Rome.", False),
        ("I don't know. She is 40.", False),
        ("Mia lost a hat, but I don't know where Leo lives.", False),
        ("Leo lost a hat, but I don't know how old Mia is.", False),
        ("Mia lost a hat.", False),
    ],
)
def test_what_the_text_lacks_is_not_known_and_nothing_is_made_up(answer: str, right: bool):
    facts = [Fact("Leo", "lives", "Rome"), Fact("Mia", "lost", "a hat")]
    assert lacks("Mia", "how old Mia is", facts)(answer) == right


def test_what_a_function_gives_back_fits_what_it_was_asked():
    sums = days = 0
    for seed in range(400):
        task = skills.result(drawn(seed))
        asked, call, said = (turn["content"] for turn in task.messages[1:])
        arguments, given = json.loads(call)["arguments"], str(json.loads(said)["result"])
        if " plus " in asked:
            sums += 1
            assert given == str(sum(arguments.values()))
        if re.search(r"emind", asked) and "day" in given:
            days += 1
            assert given.split()[-1] in arguments.values(), "on the day that was asked for"
        assert not task.right(asked), "an echo"
        if "not" not in given:
            assert not task.right(f"The answer is not {given}.")
    assert min(sums, days) > 5


@pytest.mark.parametrize(
    ("style", "obeys", "does_not"),
    [
        ("pirate", "Arr! 2 plus 3 is 5.", "2 plus 3 is 5."),
        ("robot", "Beep. 2 plus 3 is 5.", "Beep 2 plus 3 is 5."),
        ("king", "We say: 2 plus 3 is 5.", "The king says: 2 plus 3 is 5."),
        ("dashes", "- 2 plus 3 is 5.", "2 plus 3 is 5."),
        ("loud", "2 PLUS 3 IS 5.", "2 plus 3 IS 5."),
        ("quiet", "2 plus 3 is 5", "2 plus 3 is 5."),
        ("polite", "2 plus 3 is 5, at your service.", "2 plus 3 is 5."),
        ("quoted", '{"answer": "2 plus 3 is 5."}', '{"reply": "2 plus 3 is 5."}'),
        ("quoted", '{"answer": "2 plus 3 is 5."}', '{"answer": 5}'),
    ],
)
def test_a_style_is_recognised(style: str, obeys: str, does_not: str):
    put_on, taken_off = STYLES[style]
    assert put_on("2 plus 3 is 5.") == obeys
    assert taken_off(obeys) is not None
    assert taken_off(does_not) is None


def test_a_persona_must_have_both_the_style_and_the_answer_right():
    for seed in range(200):
        one = skills.persona(drawn(seed))
        assert one.right(one.answer)
        assert one.obeys(one.answer)
        assert not one.obeys("")
        if one.answer.startswith("Arr! "):
            assert not one.right(one.answer[5:])
            assert not one.right("Arr! I am a pirate.")
            assert one.obeys("Arr! I am a pirate.")


@pytest.mark.parametrize(("style", "skill"), sorted(UNSEEN))
def test_training_never_puts_together_what_is_kept_for_the_test(style: str, skill: str):
    wordings = tuple(skills.DATA["personas"][style].strip().split("\n"))

    def pair(task: Task) -> bool:
        asked = task.messages[-1]["content"]
        put = {
            "sum": r"\d.*(plus|\+|and) ?\d",
            "explain": r"^(What is an?|.*xplain)",
            "town": r"^(When does|At what time does|Where is) the",
            "describe": r"picture|Describe",
        }[skill]
        return task.messages[0]["content"].endswith(wordings) and bool(re.search(put, asked))

    assert all(pair(skills.persona(drawn(seed), pair=(style, skill))) for seed in range(20))
    assert not any(pair(skills.persona(drawn(seed))) for seed in range(1_500))


def test_a_function_call_names_a_function_on_offer_and_its_parameters():
    calls = [skills.call(drawn(seed)) for seed in range(100)]
    made = [one for one in calls if one.answer.startswith("{")]
    assert 0.6 < len(made) / len(calls) < 0.95, "sometimes none fits"
    for one in made:
        wanted = json.loads(one.answer)
        offered = {t["function"]["name"]: t["function"]["parameters"] for t in one.tools}
        assert set(wanted["arguments"]) == set(offered[wanted["name"]]["properties"])
        for key, value in wanted["arguments"].items():
            kind = offered[wanted["name"]]["properties"][key]["type"]
            assert isinstance(value, {"integer": int, "string": str}[kind])
        assert not one.right(json.dumps(wanted | {"name": "another"}))


def test_a_question_that_the_text_does_not_answer_wants_an_i_do_not_know():
    asked = [from_text(drawn(seed), alone=True) for seed in range(200)]
    unknown = [one for one in asked if "don't know" in one.answer]
    assert 0.2 < len(unknown) / len(asked) < 0.5
    for one in asked:
        assert one.right(UNKNOWN) == ("don't know" in one.answer)
