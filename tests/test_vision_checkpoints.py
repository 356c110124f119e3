"""The five vision checkpoints: good on fresh scenes, small, quiet, and made by their recipes."""

import json
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import torch
import transformers
from conftest import ROOT, needs_font
from safetensors.torch import load_file
from toytown.language import QUESTIONS

RECIPES = ROOT / "assets" / "recipes"
CHECKPOINTS = ROOT / "assets" / "checkpoints"
THRESHOLDS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))
CLASSES = {
    "segmenter": "SamModel",
    "captioner": "BlipForConditionalGeneration",
    "answerer": "BlipForQuestionAnswering",
    "matcher": "BlipForImageTextRetrieval",
    "classifier": "CLIPModel",
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


@pytest.fixture(scope="module")
def eyes(tmp_path_factory) -> Path:
    """A folder with eyes that have learnt for a few steps, for the recipes that start from them."""
    build = tmp_path_factory.mktemp("build") / "eyes"
    smoke("eyes", build, build)
    return build


def smoke(role: str, build: Path, output: Path) -> None:
    command = [sys.executable, f"{role}.py", "--smoke", f"--build={build}", f"--output={output}"]
    subprocess.run(command, cwd=RECIPES, check=True, capture_output=True, text=True)


@needs_font
@pytest.mark.parametrize("role", CLASSES)
def test_its_recipe_learns_and_resumes_from_what_it_has_learnt(role: str, eyes: Path):
    build, output = eyes.with_name(role), eyes.with_name(f"{role}-output")
    smoke(role, build, output)
    log = json.loads((output / "training.json").read_text())
    losses = {row["step"]: row["loss"] for row in log if "loss" in row}
    assert sorted(losses) == list(range(1, 9))
    assert min(losses[6], losses[7], losses[8]) < losses[4], "and what it learns is more than noise"
    weights = load_file(output / "model.safetensors")

    shutil.rmtree(build / "checkpoint-8")  # as if it had been cut off at 7
    smoke(role, build, output)
    resumed = load_file(output / "model.safetensors")
    again = json.loads((output / "training.json").read_text())
    kept = [[row for row in rows if "loss" in row and row["step"] < 8] for rows in (log, again)]
    assert kept[0] == kept[1], "what was trained before the cut has not been trained again"
    assert all(torch.equal(weights[name], resumed[name]) for name in weights)


@needs_font
def test_the_eyes_lose_their_dense_loss(eyes: Path):
    for stage in ("look", "count"):
        state = json.loads((eyes / stage / "checkpoint-8" / "trainer_state.json").read_text())
        losses = [row["loss"] for row in state["log_history"] if "loss" in row]
        assert min(losses[-3:]) < losses[0]
