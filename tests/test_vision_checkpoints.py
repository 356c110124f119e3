"""The five vision checkpoints: good on fresh scenes, small, and quiet."""

import json
import subprocess
import sys
import tomllib
from importlib import import_module

import pytest
import transformers
from conftest import ROOT, needs_font
from toytown.language import QUESTIONS

CHECKPOINTS = ROOT / "assets" / "checkpoints"
THRESHOLDS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))
CLASSES = {
    "segmenter": "SamModel",
    "answerer": "BlipForQuestionAnswering",
    "matcher": "BlipForImageTextRetrieval",
    "classifier": "CLIPModel",
    "captioner": "BlipForConditionalGeneration",
}
PROCESSORS = {"segmenter": "SamProcessor", "classifier": "CLIPProcessor"}
FRESH = 100_000  # behind the scenes that the cards were measured on


def measured(role: str, count: str) -> dict[str, float]:
    """What the role's recipe measures of the shipped checkpoint on scenes that nothing has seen."""
    model = getattr(transformers, CLASSES[role]).from_pretrained(CHECKPOINTS / role)
    recipe = import_module(role)
    return recipe.measured(model, "test", THRESHOLDS[role][count], first=FRESH)


@needs_font
def test_the_segmenter_cuts_out_what_is_clicked_or_boxed():
    scores, limits = measured("segmenter", "scenes"), THRESHOLDS["segmenter"]
    assert scores["click"] >= limits["click"]
    assert scores["box"] >= limits["box"]
    assert scores["rank"] >= limits["rank"]
    assert scores["background"] <= limits["background_at_most"] < scores["thing"]


@needs_font
def test_the_captioner_tells_the_truth_and_leaves_nothing_out():
    scores, limits = measured("captioner", "scenes"), THRESHOLDS["captioner"]
    assert scores["true"] >= limits["true"]
    assert scores["named"] >= limits["named"]


@needs_font
def test_the_answerer_answers_each_kind_of_question_and_says_no():
    scores, limits = measured("answerer", "questions"), THRESHOLDS["answerer"]
    assert scores["overall"] >= limits["overall"]
    assert min(scores[kind] for kind in (*QUESTIONS, "no")) >= limits["each"], scores


@needs_font
def test_the_matcher_sees_one_wrong_word():
    scores, limits = measured("matcher", "pairs"), THRESHOLDS["matcher"]
    assert scores["random"] >= limits["random"]
    assert scores["swapped"] >= limits["swapped"]


@needs_font
def test_the_classifier_names_things_and_places_and_finds_pictures():
    scores, limits = measured("classifier", "scenes"), THRESHOLDS["classifier"]
    for name in ("thing", "place", "recall"):
        assert scores[name] >= limits[name], scores


@pytest.mark.parametrize("role", CLASSES)
def test_it_is_small_and_its_card_and_its_curve_are_there(role: str):
    weights = (CHECKPOINTS / role / "model.safetensors").stat().st_size / 1e6
    assert weights <= THRESHOLDS[role]["megabytes"]
    card = (CHECKPOINTS / role / "README.md").read_text()
    assert f"{weights:.1f} MB" in card
    assert "license: apache-2.0" in card
    assert "{" not in card, "every figure is filled in"
    assert json.loads((CHECKPOINTS / role / "training.json").read_text())[-1]["step"] >= 1000


def test_all_five_are_within_their_budget():
    total = sum((CHECKPOINTS / r / "model.safetensors").stat().st_size for r in CLASSES)
    assert total <= THRESHOLDS["vision"]["megabytes"] * 1e6


@pytest.mark.parametrize("role", CLASSES)
def test_its_class_and_processor_load_it_without_a_warning(role: str):
    processor = PROCESSORS.get(role, "BlipProcessor")
    code = (
        f"from transformers import {CLASSES[role]}, {processor}\n"
        f"model = {CLASSES[role]}.from_pretrained({str(CHECKPOINTS / role)!r})\n"
        f"processor = {processor}.from_pretrained({str(CHECKPOINTS / role)!r})\n"
        "print(type(processor).__name__)"
    )
    command = [sys.executable, "-W", "error::UserWarning", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line for line in run.stderr.splitlines() if line.strip()]
    assert [line for line in lines if "Loading weights" not in line] == []
    assert run.stdout.strip() == processor
