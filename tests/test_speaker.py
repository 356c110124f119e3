"""The speaker's recipe: letters find their sounds, frames add up, what is drawn was trained."""

from collections import Counter

import numpy as np
import pytest
import torch
from speaker import LearningVits, Spelling, configuration, frame_lengths, sampling, spread
from training import plain
from transformers import VitsModel


def test_letters_find_the_sounds_that_they_stand_for():
    words = {
        "ship": ("S", "I", "p"),
        "shop": ("S", "0", "p"),
        "hop": ("h", "0", "p"),
        "hip": ("h", "I", "p"),
        "sip": ("s", "I", "p"),
    }
    spelling = Spelling(Counter(dict.fromkeys(words.items(), 5)))
    assert spelling.align("hop", words["hop"]) == [("h",), ("0",), ("p",)]
    first, second, *_ = spelling.align("ship", words["ship"])
    assert first + second == ("S",), "two letters share one sound"


@pytest.mark.parametrize(
    "ends",
    [[0.1, 0.3, 0.5], [0.2, 0.2, 0.2, 0.2], [0.001, 0.002, 0.003], [0.48, 0.49, 0.5]],
    ids=["as they are", "silent letters", "all at once", "late"],
)
def test_every_letter_has_a_frame_and_no_frame_is_lost(ends: list[float]):
    lengths = frame_lengths(np.array(ends), frames=31)
    assert lengths.min() >= 1
    assert lengths.sum() == 31


def test_a_letter_is_repeated_for_each_of_its_frames():
    assert spread(torch.tensor([[2, 1, 3]]), 6).tolist() == [[0, 0, 1, 2, 2, 2]]


def test_the_durations_that_are_drawn_are_those_that_were_learnt():
    """transformers' predictor draws along another path than the one it is trained on."""
    torch.manual_seed(0)
    model = LearningVits(configuration(), 5)
    learning = torch.optim.Adam(model.duration_predictor.parameters(), 3e-3)
    ids = torch.tensor([[2, 9, 3, 9, 4, 9]] * 16)
    durations = torch.where(ids == 9, 12, 3)
    for _ in range(120):
        loss = model.time_loss(ids, durations, torch.zeros(16, dtype=torch.long))["loss"]
        learning.zero_grad()
        loss.backward()
        learning.step()

    drawn = sampling(plain(model, VitsModel))
    with torch.inference_mode():
        hidden = drawn.text_encoder(ids, torch.ones(16, 6, 1)).last_hidden_state.transpose(1, 2)
        logarithms = drawn.duration_predictor(
            hidden, torch.ones(16, 1, 6), drawn.embed_speaker.weight[:1, :, None], reverse=True
        )
    found = logarithms.exp().ceil().squeeze(1).median(0).values
    assert found[[1, 3, 5]].sub(12).abs().max() <= 3, found
    assert found[[0, 2, 4]].sub(3).abs().max() <= 1, found
