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
from recipes import assert_card_is_current
from toytown import skills
from toytown.tasks import SYSTEM
from training import TWO, facts
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    pipeline,
)
from writers import seed

CHECKPOINTS = ROOT / "assets" / "checkpoints"
LIMITS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))
ROLES = ["chatbot", "translator", "summarizer", "assistant"]
FRESH = 100_000  # behind what the cards were measured on


def loaded(role: str) -> tuple:
    folder = CHECKPOINTS / role
    kind = AutoModelForCausalLM if role == "assistant" else AutoModelForSeq2SeqLM
    return kind.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def helper() -> tuple:
    return loaded("assistant")


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


@pytest.mark.parametrize("skill", skills.SKILLS)
def test_the_assistant_has_each_skill(skill: str, helper: tuple):
    limits = LIMITS["assistant"]
    tasks = [skills.task(seed("test", FRESH + i), skill) for i in range(limits["each"])]
    assert assistant.right(*helper, tasks) >= limits["skills"][skill]


def test_the_assistant_obeys_its_persona(helper: tuple):
    limits = LIMITS["assistant"]
    assert assistant.obedient(*helper, 2 * limits["each"], FRESH) >= limits["obedient"]


def test_the_assistant_reads_names_that_no_training_had(helper: tuple):
    limits = LIMITS["assistant"]
    scores = assistant.with_new_names(*helper, limits["each"], FRESH)
    assert {name for name, score in scores.items() if score < limits["new_names"][name]} == set()


def test_the_assistant_puts_together_some_styles_and_skills_that_training_kept_apart(
    helper: tuple,
):
    limits = LIMITS["assistant"]
    scores = assistant.unseen(*helper, 20, FRESH)
    for pair, least in limits["unseen"].items():
        assert scores[pair] >= least, pair


def test_the_assistant_says_the_same_at_temperature_zero_and_different_things_at_one(helper: tuple):
    assert assistant.repeatable(*helper, first=FRESH)
    stories = assistant.distinct(*helper, first=FRESH)
    assert np.mean(stories) >= LIMITS["assistant"]["distinct"]


def test_the_assistant_works_in_its_pipeline_with_a_system_message():
    ask = pipeline("text-generation", model=str(CHECKPOINTS / "assistant"))
    said = [
        ask([{"role": "system", "content": SYSTEM + more}, {"role": "user", "content": text}])
        for more, text in (
            ("", "What is 2 plus 3?"),
            (" Use only capital letters.", "What is a castle?"),
        )
    ]
    answers = [one[0]["generated_text"][-1]["content"] for one in said]
    assert re.findall(r"\d+", answers[0])[-1] == "5"
    assert answers[1] == answers[1].upper()
    assert "KING" in answers[1]


@pytest.mark.parametrize("role", ROLES)
def test_the_config_names_the_tokens_that_its_tokenizer_has(role: str):
    model, words = loaded(role)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        for config in (model.config, model.generation_config):
            assert getattr(config, name) == getattr(words, name), name


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
        (assistant, {"TEST_EACH": 2, "SEEN": 100}),
    ],
    ids=ROLES,
)
def test_its_card_is_what_the_recipe_writes_but_for_the_figures(monkeypatch, recipe, few: dict):
    assert_card_is_current(monkeypatch, recipe, few, varies="Plots in which")


@pytest.mark.parametrize("recipe", [chatbot, translator, summarizer, assistant], ids=ROLES)
def test_the_recipe_says_how_long_the_checkpoint_was_trained(recipe):
    took = facts(CHECKPOINTS / recipe.__name__)
    assert took["steps"] == recipe.STEPS
    minutes = recipe.STEPS * recipe.SECONDS / 60
    if took["device"] == TWO:
        assert took["minutes"] == pytest.approx(minutes, rel=0.2)
    said = int(re.search(r"# (\d+) minutes on two CPU cores", recipe.__doc__)[1])
    assert minutes <= said <= 1.2 * minutes + 1, "its measurements take some, too"
    assert said <= LIMITS["writers"]["minutes"][recipe.__name__]


def test_what_it_makes_of_what_is_outside_is_in_every_card():
    for role in ROLES:
        card = (CHECKPOINTS / role / "README.md").read_text("utf-8")
        outside = card.partition("## What it can't do")[2].partition("## Training")[0]
        rows = re.findall(r"^\| .+ \| .+ \|$", outside.partition("|---|")[2], re.MULTILINE)
        assert len(rows) >= 4, role
        assert not re.search(r"\b(nan|None)\b", card)
