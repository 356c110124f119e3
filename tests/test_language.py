"""Toytown's language: what is said of a scene is true, and a word away it is false."""

import re
from collections import Counter

import numpy as np
import pytest
from conftest import needs_font
from toytown.language import (
    QUESTIONS,
    RELATIONS,
    Group,
    Statement,
    claims,
    description,
    is_true,
    question,
    related,
    remark,
    swapped,
    understand,
    vocabulary,
    written,
)
from toytown.pictures import Scene, Thing, render, scene
from toytown.vocabulary import PLACES

PARK = Scene(
    "park",
    1,
    (
        Thing("bed", 0.3, 0.6, 0.4),
        Thing("cat", 0.3, 0.45, 0.2, on=0),
        Thing("car", 0.75, 0.6, 0.3, colour="red"),
        Thing("car", 0.75, 0.8, 0.3, colour="blue"),
    ),
)


def test_a_description_says_all_of_a_scene_the_largest_first():
    statement = description(PARK)
    assert statement.text() == (
        "a bed, a red car, a blue car and a cat in the park. the cat is on the bed"
    )
    assert written(statement) == (
        "A bed, a red car, a blue car and a cat in the park. The cat is on the bed."
    )
    assert statement.text("a photo of").startswith("a photo of a bed, ")


@pytest.mark.parametrize(
    "text, truth",
    [
        ("a cat on the street", {"a cat": True, "on the street": False}),
        ("two cars", {"two cars": True}),
        ("a car", {"a car": False}),
        ("two red cars", {"two red cars": False}),
        ("a dog and a red car", {"a dog": False, "a red car": True}),
        ("the cat is left of the car", {"cat left of car": True}),
        ("the car is left of the cat", {"car left of cat": False}),
        ("the bed is on the cat", {"bed on cat": False}),
        ("a photo of three sheep in the kitchen", {"three sheep": False, "in the kitchen": False}),
    ],
)
def test_a_sentence_is_understood_and_judged_by_the_scene(text: str, truth: dict[str, bool]):
    assert claims(understand(text), PARK) == truth


@needs_font
def test_descriptions_and_remarks_are_true_and_are_understood():
    for index in range(200):
        chosen, rng = scene("test", index), np.random.default_rng(index)
        whole = description(chosen, rng)
        assert understand(whole.text("this is")) == whole
        named = Counter({group: group.count for group in whole.groups})
        assert named.total() == len(chosen.things), "every thing is counted"
        assert is_true(whole, chosen)
        assert is_true(remark(chosen, rng), chosen)


@needs_font
def test_a_swapped_word_makes_it_false_and_nothing_else_is_changed():
    kinds = Counter()
    for index in range(300):
        chosen, rng = scene("test", index), np.random.default_rng(index)
        statement = remark(chosen, rng)
        kind, wrong = swapped(statement, chosen, rng)
        assert not is_true(wrong, chosen)
        before, after = (re.findall(r"\w+", s.text()) for s in (statement, wrong))
        if kind == "number":
            assert sum((Counter(after) - Counter(before)).values()) <= 2, "and its noun agrees"
        if kind == "relation":
            assert statement.groups == wrong.groups
        kinds[kind] += 1
    assert kinds.keys() == {"thing", "number", "colour", "place", "relation"}


def test_nothing_false_can_be_said_of_an_empty_statement():
    assert swapped(Statement(), PARK, np.random.default_rng(0)) is None


@needs_font
def test_relations_hold_in_the_picture():
    found = Counter()
    for index in range(200):
        chosen = scene("test", index)
        picture = render(chosen, 128)
        centres = picture.boxes[:, :2] + picture.boxes[:, 2:] / 2
        where = dict(zip(picture.labels, centres, strict=True))
        for relation in RELATIONS:
            for subject, _, other in related(chosen, relation):
                (x, y), (other_x, other_y) = where[subject], where[other]
                assert {
                    "left of": x < other_x,
                    "right of": x > other_x,
                    "above": y < other_y,
                    "below": y > other_y,
                    "on": y < other_y,
                }[relation], (index, subject, relation, other)
                found[relation] += 1
    assert min(found[relation] for relation in RELATIONS) >= 5


def test_questions_have_the_answers_that_the_scene_gives():
    asked = {}
    for attempt in range(300):
        rng = np.random.default_rng(attempt)
        for kind in QUESTIONS:
            pair = question(PARK, kind, rng)
            asked |= dict([pair]) if pair else {}
    assert asked["how many cars do you see?"] == "2"
    assert asked["where is this?"] == "park"
    assert asked["is there a cat?"] == "yes"
    assert asked["do you see an elephant?"] == "no"
    assert asked["what is on the bed?"] == "cat"
    assert asked["what animal is this?"] == "cat"
    assert "what vehicle is this?" in asked, "both cars are vehicles, and of one name"
    assert not [text for text in asked if text.startswith("what colo")], "the two cars differ"
    assert asked["what is right of the bed?"] == "car"


@needs_font
def test_every_word_is_in_the_vocabulary():
    known = set(vocabulary())
    for index in range(200):
        chosen, rng = scene("test", index), np.random.default_rng(index)
        pairs = [question(chosen, kind, rng) or ("", "") for kind in QUESTIONS]
        texts = [description(chosen, rng).text("a photo of"), *(t for pair in pairs for t in pair)]
        unknown = set(re.findall(r"\w+|[^\w\s]", " ".join(texts))) - known
        assert not unknown
    assert {row["where"].split()[-1] for row in PLACES.values()} <= known
    assert Group("dog", 2).text() == "two dogs"
