"""The audio recipes: each learns in a few steps, and goes on from where it was cut off."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file
from speaker import HOP, Said, Spelling, character_ends, frame_lengths, said
from toytown.speech import LIBRARY, SAMPLING_RATE

RECIPES = ROOT / "assets" / "recipes"
STAGES = {"speaker": ("sound", "read", "time", "polish")}  # folders of states

needs_espeak = pytest.mark.skipif(not LIBRARY, reason="speaking needs espeak-ng")


def smoke(role: str, build: Path, output: Path) -> None:
    command = [sys.executable, f"{role}.py", "--smoke", f"--build={build}", f"--output={output}"]
    subprocess.run(command, cwd=RECIPES, check=True, capture_output=True, text=True)


@needs_espeak
@pytest.mark.parametrize("role", ["speaker"])
def test_its_recipe_learns_and_resumes_from_what_it_has_learnt(role: str, tmp_path: Path):
    build, output = tmp_path / "build", tmp_path / "output"
    smoke(role, build, output)
    log = json.loads((output / "training.json").read_text())
    losses = {row["step"]: row["loss"] for row in log if "loss" in row}
    stages = STAGES[role]
    assert sorted(losses) == list(range(1, 1 + 8 * len(stages)))
    assert min(losses[6], losses[7], losses[8]) < losses[1], "the first stage learns"
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


def test_a_spelling_learns_which_letters_are_silent():
    words = {
        ("knight", ("n", "aI", "t")): 3,
        ("night", ("n", "aI", "t")): 3,
        ("tin", ("t", "I", "n")): 9,
        ("kin", ("k", "I", "n")): 5,
        ("hit", ("h", "I", "t")): 9,
        ("knit", ("n", "I", "t")): 3,
        ("tight", ("t", "aI", "t")): 3,
        ("no", ("n", "oU")): 5,
        ("sit", ("s", "I", "t")): 4,
    }
    spelling = Spelling(Counter(words))
    parts = spelling.align("knight", ("n", "aI", "t"))
    assert parts[0] == () and parts[1] == ("n",) and parts[-1] == ("t",)
    assert spelling.align("knot", ("n", "oU", "t"))[0] == (), "in a word it has not met, too"


def test_each_character_has_a_frame_and_all_frames_are_given_out():
    random = np.random.default_rng(0)
    for _ in range(100):
        ends = np.sort(random.uniform(0, 2, 40))  # some of no length at all
        frames = int(2 * SAMPLING_RATE / HOP)
        lengths = frame_lengths(ends, frames)
        assert lengths.min() >= 1 and lengths.sum() == frames


@needs_espeak
def test_a_comma_lasts_as_long_as_its_pause_and_a_letter_as_its_sound():
    utterance: Said = next(u for i in range(50) if "," in (u := said("train", i)).text)
    spelling = Spelling(Counter())
    ends = character_ends(utterance, spelling)
    assert (np.diff(ends) >= 0).all()
    comma = utterance.text.index(",")
    pause = [p for p, owner in zip(utterance.phonemes, utterance.owner, strict=True) if owner < 0]
    lasts = ends[comma] - ends[comma - 1]
    assert lasts > 0.08
    assert any(abs(start - ends[comma - 1]) < 0.02 for _, start, _ in pause)
