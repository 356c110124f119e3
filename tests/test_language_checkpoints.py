"""The four models of language on fresh texts: what they answer, translate, sum up and obey."""

import re
import tomllib

import assistant
import chatbot
import numpy as np
import pytest
import summarizer
import translator
from conftest import ROOT
from toytown import skills
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    pipeline,
)
from writers import seed

CHECKPOINTS = ROOT / "assets" / "checkpoints"
LIMITS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))
FRESH = 100_000  # behind what the cards were measured on


def loaded(role: str) -> tuple:
    kind = AutoModelForCausalLM if role == "assistant" else AutoModelForSeq2SeqLM
    folder = CHECKPOINTS / role
    return kind.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def helper() -> tuple:
    return loaded("assistant")


def test_the_chatbot_answers_acceptably_remembers_and_says_what_it_was_never_told():
    limits = LIMITS["chatbot"]
    scores = chatbot.measured(*loaded("chatbot"), "test", limits["dialogues"], first=FRESH)
    for kind in ("all", "asked", "spelt", "never"):
        assert scores[kind] >= limits[kind], scores


def test_the_translator_translates_four_ways_and_a_fifth_that_it_never_trained():
    limits = LIMITS["translator"]
    ways = (*translator.TRAINED, ("es", "fr"))
    scores = translator.measured(
        *loaded("translator"), "test", limits["sentences"], first=FRESH, ways=ways
    )
    for way, score in scores.items():
        assert score >= limits["never_trained" if way == "es_fr" else "chrf"], scores


def test_the_summarizer_has_who_what_and_where_right():
    limits = LIMITS["summarizer"]
    scores = summarizer.measured(*loaded("summarizer"), "test", limits["stories"], first=FRESH)
    assert scores["rouge_l"] >= limits["rouge_l"], scores
    assert scores["facts"] >= limits["facts"], scores


@pytest.mark.parametrize("skill", skills.SKILLS)
def test_the_assistant_has_each_skill(skill: str, helper: tuple):
    limits = LIMITS["assistant"]
    tasks = [skills.task(seed("test", FRESH + i), skill) for i in range(limits["each"])]
    assert assistant.right(*helper, tasks) >= limits["skills"][skill]


def test_the_assistant_says_the_same_at_temperature_zero_and_different_things_at_one(helper):
    found = assistant.examined(*helper, each=1, first=FRESH)
    assert found["repeatable"]
    assert found["distinct"] >= LIMITS["assistant"]["distinct"]


def test_the_assistant_works_in_its_pipeline_with_a_system_message():
    ask = pipeline("text-generation", model=str(CHECKPOINTS / "assistant"))
    said = [
        ask(
            [{"role": "system", "content": skills.SYSTEM + more}, {"role": "user", "content": text}]
        )
        for more, text in (
            ("", "What is 2 plus 3?"),
            (" Use only capital letters.", "What is a zoo?"),
        )
    ]
    answers = [one[0]["generated_text"][-1]["content"] for one in said]
    assert re.findall(r"\d+", answers[0])[-1] == "5"
    assert answers[1] == answers[1].upper()


@pytest.mark.parametrize("role", ["chatbot", "translator", "summarizer", "assistant"])
def test_it_is_small_and_together_they_are(role: str):
    sizes = {
        name: (CHECKPOINTS / name / "model.safetensors").stat().st_size / 1e6
        for name in ("chatbot", "translator", "summarizer", "assistant")
    }
    assert sizes[role] <= LIMITS["writers"]["megabytes"]
    assert sum(sizes.values()) <= LIMITS["writers"]["megabytes_together"]


@pytest.mark.parametrize(
    ("recipe", "few"),
    [
        (chatbot, {"TEST_DIALOGUES": 20}),
        (translator, {"TEST_SENTENCES": 6}),
        (summarizer, {"TEST_STORIES": 20}),
        (assistant, {"TEST_EACH": 2}),
    ],
    ids=["chatbot", "translator", "summarizer", "assistant"],
)
def test_its_card_is_what_the_recipe_writes_but_for_the_figures(monkeypatch, recipe, few: dict):
    for name, count in few.items():
        monkeypatch.setattr(recipe, name, count)
    folder = CHECKPOINTS / recipe.__name__
    cards = [recipe.card(folder), (folder / "README.md").read_text("utf-8")]
    written, stored = (re.sub(r"\d[\d,.]*%?", "#", card).splitlines() for card in cards)
    varies = "least often in the plots"
    assert [line for line in written if varies not in line] == [
        line for line in stored if varies not in line
    ]


def test_what_it_makes_of_what_is_outside_is_in_every_card():
    for role in ("chatbot", "translator", "summarizer", "assistant"):
        card = (CHECKPOINTS / role / "README.md").read_text("utf-8")
        outside = card.partition("## What it can't do")[2].partition("## Training")[0]
        assert len(re.findall(r"^\| .+ \| .+ \|$", outside, re.MULTILINE)) >= 5, role
        assert np.all([word not in outside for word in ("nan", "None")])
