"""The vision recipes: each learns in a few steps, and goes on from where it was cut off."""

import json
from pathlib import Path

import pytest
import torch
from conftest import needs_font
from recipes import assert_learns_and_resumes, smoke
from safetensors.torch import save_file
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


@pytest.mark.parametrize(
    ("steps", "state", "told"),
    [
        (6000, "{}", "checkpoint-6000 is past the recipe's 3200 steps: move"),
        (
            1600,
            '{"max_steps": 2400}',
            "checkpoint-1600 is of 2400 steps, the recipe has 3200: move",
        ),
    ],
)
def test_a_state_of_a_training_of_another_length_is_refused(
    tmp_path: Path, steps: int, state: str, told: str
):
    folder = tmp_path / f"checkpoint-{steps}"
    folder.mkdir()
    (folder / "trainer_state.json").write_text(state)
    model = torch.nn.Linear(1, 1)
    trainer = TimedTrainer(model, trainer_arguments(tmp_path, 3200, 0, eval_strategy="no"))
    with pytest.raises(ValueError, match=told):
        trained(trainer)


def test_a_state_of_another_model_is_refused_not_half_loaded(tmp_path: Path):
    folder = tmp_path / "checkpoint-8"
    folder.mkdir()
    (folder / "trainer_state.json").write_text('{"log_history": []}')
    save_file({"other": torch.zeros(1)}, folder / "model.safetensors")
    trainer = TimedTrainer(
        torch.nn.Linear(1, 1), trainer_arguments(tmp_path, 8, 0, eval_strategy="no")
    )
    trainer.own_names = True
    with pytest.raises(ValueError, match=r"checkpoint-8 is of another model \(weight differs\)"):
        trained(trainer)
