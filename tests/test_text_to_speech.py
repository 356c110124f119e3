"""2.5 Text to Speech: the stages are the library's own, and what is heard is what was measured."""

import json
import re
import tomllib

import numpy as np
import pytest
import soundfile
import speaker
from conftest import ROOT, cell_with, defined, printed
from nbformat import NotebookNode

NAME = "2.5. Text_to_Speech"
THRESHOLDS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))
NEEDED = {"say", "versions", "spoilt", "normalise", "read_aloud", "by_hand", "evidence", "marked"}


@pytest.fixture(scope="module")
def names(execution, cells):  # after the notebooks' run, so as not to compete with it
    """What the notebook's own cells define, but for the app.

    What the transcriber hears was said in the execution; here it is not asked again.
    """
    silent = "hear = lambda sounds, **how: [{'text': 'words'}] * len(sounds)"
    changed = [
        NotebookNode(cell | {"source": re.sub(r"^hear = .*$", silent, cell.source, flags=re.M)})
        for cell in cells
    ]
    return defined(changed, NEEDED)


# ------------------------------------------------------------------------ one text, many voices


def test_the_versions_are_different_sounds_and_the_same_take_is_the_same_sound(names, said):
    versions = names["versions"]
    groups = [re.sub(r" [\d.]+$", "", name) for name in versions]
    assert [groups.count(kind) for kind in ("voice", "rate", "noise", "take")] == [4, 3, 3, 5]
    sounds = {waveform.tobytes() for waveform in versions.values()}
    assert len(sounds) == len(versions) - 3, "the first of each group is one take"
    assert f"{len(sounds)} different waveforms" in said


def test_a_rate_changes_how_long_it_takes_and_a_noise_scale_does_not(names):
    lengths = {name: len(waveform) for name, waveform in names["versions"].items()}
    assert lengths["rate 1.4"] < lengths["rate 1.0"] < lengths["rate 0.75"]
    assert lengths["noise 0.0"] == lengths["noise 0.667"] == lengths["noise 1.0"]
    assert len({lengths[f"take {seed}"] for seed in range(5)}) >= 3


def test_without_noise_in_the_rhythm_every_take_lasts_as_long(names):
    say, sentence = names["say"], names["sentence"]
    assert len({len(say(sentence, rhythm=0.0, seed=seed)) for seed in range(3)}) == 1


# ----------------------------------------------------------------------------- stage by stage


def test_each_character_has_its_frames_and_a_frame_its_samples(names):
    durations, hop = names["durations"], speaker.HOP
    assert len(durations) == len(names["ids"]) == len(names["sentence"])
    assert min(durations) >= 1
    assert sum(durations) * hop == len(names["versions"]["take 0"])
    # Vowels last longer than silent letters.
    of_letter = dict(zip(enumerate(names["sentence"].lower()), durations, strict=True))
    assert of_letter[5, "o"] > of_letter[1, "h"]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (".exp().ceil()", ".exp().floor()"),
        ("deviations * model.noise_scale", "deviations"),
        ("prior_log_variances.repeat_interleave", "prior_means.repeat_interleave"),
        ("set_seed(0)", "set_seed(1)"),
        ("embed_speaker.weight[0]", "embed_speaker.weight[1]"),
        ("numbers, reverse=True)", "numbers)"),
    ],
)
def test_the_claim_to_equal_the_library_would_notice_a_slip(names, cells, right, wrong):
    source = cell_with(cells, "np.testing.assert_allclose(by_hand")
    assert right in source
    exec(source, names.copy())
    with pytest.raises((AssertionError, RuntimeError)):
        exec(source.replace(right, wrong), names.copy())


def test_the_stages_of_the_training_curve_are_the_recipes(cells):
    source = cell_with(cells, "the recipe's STAGES")
    ends = np.cumsum([stage["max_steps"] for stage in speaker.STAGES.values()])
    written = re.search(r"ends = \(([\d_, ]+)\)", source)[1]
    assert [int(number) for number in written.split(",")] == ends.tolist()
    log = json.loads((ROOT / "assets/checkpoints/speaker/training.json").read_text())
    assert log[-1]["step"] == ends[-1]


# ------------------------------------------------------------------------- what the judge hears


def test_perfect_wer_ugly_voice_or_there_is_no_surprise(said):
    rates = {
        name: float(rate)
        for name, rate in re.findall(r"(as it is|robot|whisper|telephone) +WER (\d\.\d+)", said)
    }
    limits = THRESHOLDS["speech_spoilt"]
    assert len(rates) == 4
    assert rates["as it is"] <= limits["as_it_is"]
    for name in ("robot", "whisper"):
        assert rates[name] <= rates["as it is"] + limits["no_voice"], "understood as well"
    assert rates["telephone"] >= rates["as it is"] + limits["telephone"], "never taught by one"


def test_the_telephone_lets_no_high_tone_through(names):
    take, spoilt, rate = names["takes"][0], names["spoilt"], names["rate"]

    def high(waveform):  # the share of the power above 4,000 Hz
        power = np.abs(np.fft.rfft(waveform)) ** 2
        return power[len(power) * 8_000 // rate :].sum() / power.sum()

    assert high(spoilt["telephone"](take)) < 0.01 * high(take)


def test_the_robot_keeps_how_loud_each_frequency_is_but_not_the_melody(names):
    whole, robot = names["takes"][0], names["spoilt"]["robot"](names["takes"][0])

    def bands(waveform):  # as a transcriber looks: loudness in 40 bands, 25 ms at a time
        return (
            speaker.mel_filters(400, 40).numpy().T
            @ np.abs(
                np.fft.rfft(
                    np.lib.stride_tricks.sliding_window_view(waveform, 400)[::160] * np.hanning(400)
                )
            ).T
        )

    ours, theirs = (np.log(bands(w[: len(whole)]) + 0.01) for w in (whole, robot))
    frames = min(ours.shape[1], theirs.shape[1])
    alike = np.corrcoef(ours[:, :frames].ravel(), theirs[:, :frames].ravel())[0, 1]
    assert alike > 0.8
    samples = min(len(whole), len(robot))
    assert abs(np.corrcoef(whole[:samples], robot[:samples])[0, 1]) < 0.5


# -------------------------------------------------------------------- texts, files, watermarks


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        (
            "Dr. Brown asks for €24 at 3:40.",
            "Doctor Brown asks for twenty-four euros at three forty.",
        ),
        ("at 7:00", "at seven o'clock"),
        ("at 7:05", "at seven oh five"),
        ("at 10:30", "at ten thirty"),
        ("3 km, e.g. to Mr. Lee", "three kilometres, for example to Mister Lee"),
        ("The Drs. met.", "The Drs. met."),
    ],
)
def test_what_is_written_short_is_said_in_words(names, written, spoken):
    assert names["normalise"](written) == spoken


def test_as_written_the_figures_are_lost_and_normalised_they_are_not(cells):
    first, second = re.findall(r"^read: (.*)$", printed(cells), re.MULTILINE)[:2]
    assert "24" not in first and "euro" not in first
    assert "twenty-four euros at three forty" in second


def test_a_long_text_is_saved_with_pauses_at_the_speakers_rate(names, tmp_path):
    path = tmp_path / "said.wav"
    names["read_aloud"]("One box. Two boxes.", path, pause=0.7)
    samples, rate = soundfile.read(path)
    assert rate == names["rate"] == speaker.SAMPLING_RATE
    still = np.convolve(np.abs(samples) < 1e-4, np.ones(round(0.6 * rate)), "valid")
    assert still.max() >= 0.6 * rate - 1
    assert len(samples) / rate == pytest.approx(
        0.7 + sum(len(names["say"](text)) for text in ("One box.", "Two boxes.")) / rate, abs=0.02
    )


def test_the_watermark_is_found_with_its_key_alone_and_dies_of_a_change_of_speed(names):
    evidence = {name: names["evidence"](w, 2026) for name, w in names["changed"].items()}
    assert min(evidence[name] for name in ("marked", "half as loud", "through MP3")) > 5
    assert max(abs(evidence[name]) for name in ("unmarked", "1 % faster")) < 4
    assert abs(names["evidence"](names["marked"], 7)) < 4
