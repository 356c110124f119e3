"""What the tests of the recipes have in common: a short training, cut off and taken up again."""

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file
from training import CHECKPOINTS

STEPS = 8  # of each stage, with --smoke


# They speak: espeak-ng has a thread of its own, and whoever is forked from here would wait for it.
SPEAKING = {"transcriber", "speaker"}


def smoke(role: str, build: Path, output: Path) -> None:
    """Run a recipe's command for a few steps.

    In this process, where it can: a new one imports for longer than the steps take.
    """
    recipes = ROOT / "assets" / "recipes"
    command = [f"{role}.py", "--smoke", f"--build={build}", f"--output={output}"]
    if role in SPEAKING:
        new = [sys.executable, *command]
        subprocess.run(new, cwd=recipes, check=True, capture_output=True, text=True)
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", command)
        # As the command finds it: neither the folders that conftest.py adds nor what comes of them.
        found = [path for path in sys.path if Path(path).parent != ROOT]
        patch.setattr("sys.path", [str(recipes), *found])
        for name in [name for name in sys.modules if name.partition(".")[0] == "helpers"]:
            patch.delitem(sys.modules, name)
        runpy.run_path(str(recipes / command[0]), run_name="__main__")


# They share the loop of one that is cut off: of the translator, or of the matcher.
SHARED = {"chatbot", "summarizer", "assistant", "captioner", "answerer", "classifier"}


def assert_learns_and_resumes(
    role: str,
    build: Path,
    stages: tuple[str, ...] = ("",),
    before: int = 1,
    seeded: bool = True,
) -> None:
    """Its loss falls below that of step `before`; cut off, it goes on from what it has learnt.

    stages: the folders of its states, in order. seeded: False where a library draws from a
    generator of its own, so that a step is not the same twice.
    """
    output = build.with_name(f"{build.name}-output")
    smoke(role, build, output)
    log = json.loads((output / "training.json").read_text())
    losses = {row["step"]: row["loss"] for row in log if "loss" in row}
    assert sorted(losses) == list(range(1, 1 + STEPS * len(stages)))
    assert min(losses[6], losses[7], losses[8]) < losses[before], "the first stage learns"
    weights = load_file(output / "model.safetensors")
    (last,) = (build / stages[-1]).glob(f"*/checkpoint-{STEPS}")  # to go on from
    if role in SHARED:
        return

    shutil.rmtree(last)  # as if it had been cut off before
    smoke(role, build, output)
    resumed = load_file(output / "model.safetensors")
    again = json.loads((output / "training.json").read_text())
    kept = [
        [row for row in rows if "loss" in row and row["step"] < max(losses)]
        for rows in (log, again)
    ]
    assert kept[0] == kept[1], "what was trained before the cut has not been trained again"
    assert weights.keys() == resumed.keys()
    if seeded:
        assert all(torch.equal(weights[name], resumed[name]) for name in weights)


def assert_card_is_current(monkeypatch, recipe: ModuleType, few: dict[str, int], varies: str):
    """A recipe's card on a few samples is the stored one, but for figures and lines with `varies`.

    A card is written when the training has ended: a slip in it would come an hour late.
    """
    for name, count in few.items():
        monkeypatch.setattr(recipe, name, count)
    folder = CHECKPOINTS / recipe.__name__
    cards = [recipe.card(folder), (folder / "README.md").read_text("utf-8")]
    written, stored = (re.sub(r"\d[\d,.]*%?", "#", card).splitlines() for card in cards)
    assert [line for line in written if varies not in line] == [
        line for line in stored if varies not in line
    ]
