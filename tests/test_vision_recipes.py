"""The vision recipes: each learns in a few steps, and goes on from where it was cut off."""

import json
from pathlib import Path

import pytest
import torch
from conftest import needs_font
from recipes import assert_learns_and_resumes, smoke
from training import TimedTrainer, trained, trainer_arguments

STAGES = {"segmenter": ("draw", "point", "cut", "hone")}  # where it has some: folders of states
ROLES = ("segmenter", "captioner", "answerer", "matcher", "classifier")


@pytest.fixture(scope="module")
def eyes(tmp_path_factory) -> Path:
    """A folder with eyes that have learnt for a few steps, for the recipes that start from them."""
    build = tmp_path_factory.mktemp("build") / "eyes"
    smoke("eyes", build, build)
    return build


@needs_font
@pytest.mark.parametrize("role", ROLES)
def test_its_recipe_learns_and_resumes_from_what_it_has_learnt(role: str, eyes: Path):
    assert_learns_and_resumes(role, eyes.with_name(role), STAGES.get(role, ("",)), before=4)


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
