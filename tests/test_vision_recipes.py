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
        (state,) = (eyes / stage).glob("*/checkpoint-8/trainer_state.json")
        state = json.loads(state.read_text())
        losses = [row["loss"] for row in state["log_history"] if "loss" in row]
        assert min(losses[-3:]) < losses[0]


class Learning(torch.nn.Linear):
    """One weight, which a loss draws to 3."""

    def forward(self, at):
        return {"loss": (super().forward(at) - 3).square().mean()}


class Ones(torch.utils.data.Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        return {"at": torch.ones(1)}


def test_a_changed_recipe_trains_anew_and_an_unchanged_one_does_not(tmp_path: Path):
    def learnt(steps: int = 4, seed: int = 0, **more) -> float:
        model = Learning(1, 1, bias=False)
        torch.nn.init.zeros_(model.weight)
        arguments = trainer_arguments(tmp_path, steps, seed, eval_strategy="no", **more)
        trainer = TimedTrainer(model, arguments, train_dataset=Ones())
        trainer.own_names = True  # it is no model of transformers
        trained(trainer)
        return model.weight.item()

    def states() -> int:
        return len(list(tmp_path.glob("*/checkpoint-*/trainer_state.json")))

    first = learnt()
    made = states()
    assert learnt() == first and states() == made
    for change in ({"steps": 5}, {"seed": 1}, {"learning_rate": 0.1}):
        before = states()
        learnt(**change)
        assert states() > before, f"{change} takes an old state for its own"


def test_a_state_of_another_model_is_refused_not_half_loaded(tmp_path: Path):
    save_file({"other": torch.zeros(1)}, tmp_path / "model.safetensors")
    arguments = trainer_arguments(tmp_path, 8, 0, eval_strategy="no")
    trainer = TimedTrainer(torch.nn.Linear(1, 1), arguments)
    trainer.own_names = True
    with pytest.raises(ValueError, match=r"is of another model \(weight differs\)"):
        trainer._load_from_checkpoint(str(tmp_path))
