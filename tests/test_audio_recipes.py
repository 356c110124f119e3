"""The audio recipes: each learns in a few steps, and goes on from where it was cut off."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, needs_espeak
from recipes import assert_learns_and_resumes
from speaker import HOP, Said, Spelling, character_ends, frame_lengths, said
from toytown.sentences import Sentence
from toytown.speech import SAMPLING_RATE
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
