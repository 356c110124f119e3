"""The audio recipes: each learns in a few steps, and goes on from where it was cut off."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, needs_espeak
from recipes import assert_learns_and_resumes
from toytown.sentences import Sentence
from training import options
from transcriber import (
    LearningTranscriber,
    configuration,
    new_tokenizer,
    other_throat,
    word_times,
)
from transformers.models.whisper.modeling_whisper import sinusoids

STAGES = {  # where it has some: folders of states
    "speaker": ("sound", "read", "time"),
    "transcriber": ("read", "hear", "both", "long"),
}


@needs_espeak
@pytest.mark.parametrize("role", ["listener", "transcriber", "speaker"])
def test_its_recipe_learns_and_resumes_from_what_it_has_learnt(role: str, tmp_path: Path):
    seeded = role != "listener"  # the tokenizers library has no seed for BPE-dropout
    assert_learns_and_resumes(role, tmp_path / "build", STAGES.get(role, ("",)), seeded=seeded)


def test_a_few_steps_to_try_a_recipe_touch_neither_its_checkpoint_nor_its_corpus(monkeypatch):
    folders = {}
    for command in (["listener.py"], ["listener.py", "--smoke"]):
        monkeypatch.setattr("sys.argv", command)
        args = options("listener", "A recipe.")
        folders[args.smoke] = (args.build, args.output)
    assert folders[False] == (ROOT / "training/listener", ROOT / "assets/checkpoints/listener")
    assert folders[True][0] != folders[False][0]
    assert folders[True][1].is_relative_to(ROOT / "training")


def test_a_written_word_lasts_as_long_as_what_is_said_for_it():
    said = Sentence("It is 9:15 now.", "It is nine fifteen now.", "en", "", "")
    starts = (0, 3, 6, 11, 19)
    words = [(at, at + len(said.spoken[at:].split()[0]), i, i + 0.9) for i, at in enumerate(starts)]
    assert word_times(said, words) == [[0, 0.9], [1, 1.9], [2, 3.9], [4, 4.9]]


def test_the_frames_of_the_transcriber_have_their_places():
    """transformers leaves the table random in an encoder that it has not made itself."""
    model = LearningTranscriber(configuration(new_tokenizer(["a word or two"])))
    table = model.model.encoder.embed_positions.weight
    assert table.equal(sinusoids(*table.shape))
    assert not table.requires_grad


def test_another_throat_says_the_same_at_the_same_time_higher_or_lower():
    picture = torch.zeros(80, 100)
    picture[30:40, 20:50] = 1
    middles = set()
    for seed in range(20):
        other = other_throat(np.random.default_rng(seed), picture)
        loud = other - other[:, :1]
        assert loud.amax(0).gt(0.5).nonzero().flatten().tolist() == list(range(20, 50))
        middles.add(round(loud[:, 30].argmax().item()))
    assert min(middles) < 30 < max(middles), "lower and higher"
