"""The detector: as good as promised on fresh scenes, small, fast, quiet, remade by its recipe."""

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from conftest import ROOT, needs_font
from recipes import smoke
from safetensors.torch import load_file

CHECKPOINT = ROOT / "assets" / "checkpoints" / "detector"
THRESHOLDS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))["detector"]

from toytown.vocabulary import LABELS


@pytest.fixture(scope="module")
def recipe():
    import detector

    return detector


@needs_font
def test_it_finds_things_in_fresh_scenes_as_well_as_promised(recipe):
    model = recipe.DetrForObjectDetection.from_pretrained(CHECKPOINT)
    # Behind the scenes that the card was measured on: neither it nor any training has seen these.
    scores = recipe.coco_scores(model, "test", THRESHOLDS["scenes"], first=100_000)
    assert scores["map50"] >= THRESHOLDS["map50"]
    assert scores["map"] >= THRESHOLDS["map"]
    assert scores["per_class"].keys() == set(LABELS)


@needs_font
def test_it_names_each_thing_once(recipe):
    share = recipe.exact_share(CHECKPOINT, first=200_000, count=200)
    assert share >= THRESHOLDS["exact_scenes"]


@needs_font
def test_it_is_small_and_fast_on_one_core(recipe):
    assert (CHECKPOINT / "model.safetensors").stat().st_size <= THRESHOLDS["megabytes"] * 1e6
    seconds = recipe.speed(CHECKPOINT)
    assert seconds["first"] <= THRESHOLDS["first_seconds"]
    assert seconds["again"] <= THRESHOLDS["again_seconds"]


def test_the_pipeline_takes_it_without_a_warning():
    code = (
        "from transformers import pipeline\n"
        f"detect = pipeline('object-detection', model={str(CHECKPOINT)!r})\n"
        f"found = detect({str(ROOT / 'assets/images/toytown')!r} + '/' + {first_scene()!r})\n"
        "print([d['label'] for d in found])"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    noise = [
        line for line in run.stderr.splitlines() if line.strip() and "Loading weights" not in line
    ]
    assert noise == []
    labels = json.loads(run.stdout.replace("'", '"'))
    assert set(labels) & set(truth()["category"]), "it names something that is in the picture"


def first_scene() -> str:
    return json.loads(metadata()[0])["file_name"]


def truth() -> dict:
    return json.loads(metadata()[0])["objects"]


def metadata() -> list[str]:
    return (ROOT / "assets/images/toytown/metadata.jsonl").read_text().splitlines()


def test_its_labels_are_the_vocabularys_and_its_card_has_its_figures(recipe):
    config = json.loads((CHECKPOINT / "config.json").read_text())
    assert [config["id2label"][str(i)] for i in range(len(LABELS))] == LABELS
    card = (CHECKPOINT / "README.md").read_text()
    assert "| mAP at IoU 0.50 | 0." in card
    assert "license: apache-2.0" in card


@needs_font
def test_the_recipe_learns_and_resumes_from_what_it_has_learnt(tmp_path: Path):
    build, output = tmp_path / "build", tmp_path / "detector"
    smoke("detector", build, output)
    log = json.loads((output / "training.json").read_text())
    losses = {row["step"]: row["loss"] for row in log if "loss" in row}
    assert sorted(losses) == list(range(1, 17)), "eight steps of each of two stages"
    assert losses[4] < losses[1], "the dense loss falls"
    assert losses[8] < losses[5], "the whole loss falls"
    weights = load_file(output / "model.safetensors")

    (last,) = (build / "settle").glob("*/checkpoint-8")
    shutil.rmtree(last)  # as if it had been cut off at 7
    half_made = last.with_name("checkpoint-99")
    half_made.mkdir()
    shutil.copy(CHECKPOINT / "config.json", half_made)
    smoke("detector", build, output)
    again = json.loads((output / "training.json").read_text())
    resumed = load_file(output / "model.safetensors")
    # The seconds too: what was trained before the cut has not been trained again.
    kept = [[row for row in rows if "loss" in row and row["step"] < 16] for rows in (log, again)]
    assert kept[0] == kept[1]
    assert all(torch.equal(weights[name], resumed[name]) for name in weights)
    assert not half_made.exists()
