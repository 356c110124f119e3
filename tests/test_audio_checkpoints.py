"""The listener on fresh sounds, and in its pipeline."""

import tomllib

import listener
import numpy as np
import pytest
from conftest import ROOT
from transformers import ClapModel, pipeline

CHECKPOINTS = ROOT / "assets" / "checkpoints"
THRESHOLDS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))
FRESH = 100_000  # behind what the cards were measured on


def test_the_listener_names_sounds_and_both_of_two_and_finds_what_a_text_says():
    model, limits = ClapModel.from_pretrained(CHECKPOINTS / "listener"), THRESHOLDS["listener"]
    scores = listener.measured(model, "test", limits["each"], first=FRESH)
    for name in ("accuracy", "both", "recall"):
        assert scores[name] >= limits[name], scores


@pytest.mark.parametrize("sampling_rate", [8_000, 22_050, 44_100])
def test_the_listener_does_not_mind_what_rate_a_sound_was_recorded_at(sampling_rate: int):
    model, limits = ClapModel.from_pretrained(CHECKPOINTS / "listener"), THRESHOLDS["listener"]
    waveforms = [
        listener.resampled(waveform, sampling_rate)
        for waveform in listener.alone("test", limits["each_resampled"], FRESH)
    ]
    labels = [listener.TEMPLATE.format(listener.LABELS[kind]) for kind in listener.KINDS]
    right = listener.named_right(model, listener.embedded(model, waveforms), labels)
    assert np.mean(right) >= limits["resampled"]


def test_the_listener_works_in_its_pipeline():
    listen = pipeline("zero-shot-audio-classification", model=str(CHECKPOINTS / "listener"))
    waveform = listener.alone("test", 1, FRESH)[0]
    found = listen(waveform, candidate_labels=list(listener.LABELS.values()))
    assert found[0]["label"] == listener.LABELS[listener.KINDS[0]]
    assert sum(one["score"] for one in found) == pytest.approx(1, abs=1e-4)
