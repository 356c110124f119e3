"""The three writers on fresh texts: what they answer, translate and sum up."""

import re
import tomllib

import chatbot
import numpy as np
import pytest
import summarizer
import translator
from conftest import ROOT
from recipes import assert_card_is_current
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
)

CHECKPOINTS = ROOT / "assets" / "checkpoints"
LIMITS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))
ROLES = ["chatbot", "translator", "summarizer"]
FRESH = 100_000  # behind what the cards were measured on


def loaded(role: str) -> tuple:
    folder = CHECKPOINTS / role
    return AutoModelForSeq2SeqLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(
        folder
    )


def test_the_chatbot_answers_acceptably_remembers_and_says_what_it_was_never_told():
    limits = LIMITS["chatbot"]
    scores = chatbot.measured(*loaded("chatbot"), "test", limits["dialogues"], first=FRESH)
    for kind in ("all", "asked", "spelt", "never"):
        assert scores[kind] >= limits[kind], scores


def test_the_translator_translates_the_four_ways_that_it_was_trained_and_no_fifth():
    limits = LIMITS["translator"]
    never = ("es", "fr")
    scores = translator.measured(
        *loaded("translator"),
        "test",
        limits["sentences"],
        first=FRESH,
        ways=(*translator.TRAINED, never),
    )
    assert scores.pop("_".join(never)) <= limits["never_trained_at_most"], "2.1 says that it can't"
    assert min(scores.values()) >= limits["chrf"], scores


def test_the_summarizer_has_who_what_and_where_right():
    limits = LIMITS["summarizer"]
    scores = summarizer.measured(*loaded("summarizer"), "test", limits["stories"], first=FRESH)
    assert scores["rouge_l"] >= limits["rouge_l"], scores
    assert scores["facts"] >= limits["facts"], scores


@pytest.mark.parametrize("role", ROLES)
def test_it_is_small_and_together_they_are(role: str):
    sizes = {
        name: (CHECKPOINTS / name / "model.safetensors").stat().st_size / 1e6 for name in ROLES
    }
    assert sizes[role] <= LIMITS["writers"]["megabytes"]
    assert sum(sizes.values()) <= LIMITS["writers"]["megabytes_together"]


@pytest.mark.parametrize(
    ("recipe", "few"),
    [
        (chatbot, {"TEST_DIALOGUES": 80}),
        (translator, {"TEST_SENTENCES": 6}),
        (summarizer, {"TEST_STORIES": 20}),
    ],
    ids=ROLES,
)
def test_its_card_is_what_the_recipe_writes_but_for_the_figures(monkeypatch, recipe, few: dict):
    assert_card_is_current(monkeypatch, recipe, few, varies="Plots in which")


def test_what_it_makes_of_what_is_outside_is_in_every_card():
    for role in ROLES:
        card = (CHECKPOINTS / role / "README.md").read_text("utf-8")
        outside = card.partition("## What it can't do")[2].partition("## Training")[0]
        assert len(re.findall(r"^\| .+ \| .+ \|$", outside, re.MULTILINE)) >= 5, role
        assert np.all([word not in outside for word in ("nan", "None")])
