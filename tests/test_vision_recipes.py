"""The vision recipes: each learns in a few steps, and goes on from where it was cut off."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT, needs_font
from safetensors.torch import load_file
from training import TimedTrainer, trained, trainer_arguments

RECIPES = ROOT / "assets" / "recipes"
STAGES = {"segmenter": ("draw", "point", "cut", "hone")}  # where it has some: folders of states
ROLES = ("segmenter", "captioner", "answerer", "matcher", "classifier")


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
@pytest.mark.parametrize("role", ROLES)
def test_its_recipe_learns_and_resumes_from_what_it_has_learnt(role: str, eyes: Path):
    build, output = eyes.with_name(role), eyes.with_name(f"{role}-output")
    smoke(role, build, output)
    log = json.loads((output / "training.json").read_text())
    losses = {row["step"]: row["loss"] for row in log if "loss" in row}
    stages = STAGES.get(role, ("",))
    assert sorted(losses) == list(range(1, 1 + 8 * len(stages)))
    assert min(losses[6], losses[7], losses[8]) < losses[4], "and what it learns is more than noise"
    weights = load_file(output / "model.safetensors")

    shutil.rmtree(build / stages[-1] / "checkpoint-8")  # as if it had been cut off just before
    smoke(role, build, output)
    resumed = load_file(output / "model.safetensors")
    again = json.loads((output / "training.json").read_text())
    kept = [
        [row for row in rows if "loss" in row and row["step"] < max(losses)]
        for rows in (log, again)
    ]
    assert kept[0] == kept[1], "what was trained before the cut has not been trained again"
    assert all(torch.equal(weights[name], resumed[name]) for name in weights)


@needs_font
def test_the_eyes_lose_their_dense_loss(eyes: Path):
    for stage in ("look", "count"):
        state = json.loads((eyes / stage / "checkpoint-8" / "trainer_state.json").read_text())
        losses = [row["loss"] for row in state["log_history"] if "loss" in row]
        assert min(losses[-3:]) < losses[0]


def test_a_state_that_is_past_the_recipes_steps_is_refused(tmp_path: Path):
    state = tmp_path / "checkpoint-6000"
    state.mkdir()
    (state / "trainer_state.json").write_text("{}")
    model = torch.nn.Linear(1, 1)
    trainer = TimedTrainer(model, trainer_arguments(tmp_path, 3200, 0, eval_strategy="no"))
    with pytest.raises(ValueError, match=r"checkpoint-6000 is past the recipe's 3200 steps: move"):
        trained(trainer)
