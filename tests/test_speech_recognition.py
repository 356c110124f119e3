"""2.4 Speech Recognition: by hand it is the library's, and what it measured is the lesson."""

import re
import tomllib
from itertools import pairwise

import numpy as np
import pytest
import transcriber
from conftest import ROOT, assert_notices_a_slip, cell_with, defined, printed
from exercises import exercises_of
from helpers import media
from training import word_error_rate

GREETING = "good morning rosa you look happy are you going to the market"
NAME = "2.4. Automatic_Speech_Recognition"
LIMITS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))["speech_notebook"]


@pytest.fixture(scope="module")
def said(cells):
    """All that the executed notebook printed."""
    return printed(cells)


def shares(said, line):
    """The percentages in each line that begins with these words, as shares."""
    found = re.findall(rf"^{line}.*$", said, re.MULTILINE)
    assert found, f"the notebook no longer prints a line {line!r}"
    return [[float(n) / 100 for n in re.findall(r"([\d.]+)%", row)] for row in found]


# --------------------------------------------------------------------- by hand it is the library's


@pytest.fixture(scope="module")
def names(execution, cells):
    """What the notebook's first cells define, up to the tokens by hand, run here."""
    return defined(cells, {"generated"})


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("np.hanning(401)[:-1]", "np.hanning(400)"),  # symmetric, not periodic
        ('mode="reflect"', 'mode="constant"'),
        ("by_hand.max() - 8", "by_hand.max() - 7"),
        ("np.log10", "np.log"),
        ("shares.argmax()", "shares.topk(2).indices[-1]"),
        ("tokens[len(prompt) : -1]", "tokens[len(prompt) :]"),
    ],
)
def test_each_claim_to_equal_the_library_would_notice_a_slip(names, cells, right, wrong):
    assert_notices_a_slip(cell_with(cells, right), right, wrong, names)


# ------------------------------------------------------------------------------- what it measured


def test_the_greeting_is_written_as_it_is_said(said):
    written = re.search(r"^\d+ numbers, [\d.]+ seconds\s+(\S.*)$", said, re.MULTILINE)[1]
    assert word_error_rate([GREETING], [written]) <= LIMITS["greeting_wer"]


def test_known_voices_are_heard_better_than_new_ones_and_both_well(said):
    ((known, cer, *_),), ((new, new_cer, *_),) = (
        shares(said, f"{kind} voices: WER") for kind in ("known", "new")
    )
    assert known <= LIMITS["known_voices_wer"]
    assert known < new
    assert new <= LIMITS["new_voices_wer"]
    assert cer <= known + 0.02
    assert new_cer <= new + 0.02


def test_each_language_is_detected_and_french_becomes_english(said):
    for language in ("en", "fr", "es"):
        assert re.search(rf"^<\|{language}\|> (0\.[5-9]\d|1\.00)", said, re.MULTILINE), language
    pairs = re.findall(r"^translate (.+)\nsaid (.+)$", said, re.MULTILINE)
    assert len(pairs) == 3
    first = {row["language"]: row for row in reversed(media.examples("speech").to_list())}
    english = [row["english"] for row in first.values()]
    written = [text for text, _ in pairs]
    assert word_error_rate(sorted(english), sorted(written)) <= LIMITS["translation_wer"]


def test_noise_ruins_a_number_while_the_rate_is_low(said):
    levels = re.findall(
        r"^ ?(\d+) dB WER ([\d.]+)% \d+ of \d+ right lost:(.*) written instead:(.*)$", said, re.M
    )
    assert [int(level) for level, *_ in levels] == [25, 20, 15, 10, 5]
    ruined = [float(wer) / 100 for _, wer, lost, new in levels if (lost + new).strip()]
    assert ruined, "no number breaks: then the lesson needs another case"
    assert len(ruined) < len(levels), "in the least noise all of them are right"
    assert min(ruined) <= LIMITS["ruined_meeting_wer_at_most"]


def test_the_meeting_comes_out_with_its_speakers_and_tasks(said):
    ((right,),) = shares(said, "speaker right for")
    assert right >= LIMITS["speaker_time"]
    tasks = {
        source: re.findall(rf"^{source} (\w+): (.+)$", said, re.MULTILINE)
        for source in ("said", "heard")
    }
    assert len(tasks["said"]) == 3
    assert len(set(tasks["heard"]) & set(tasks["said"])) >= LIMITS["tasks"]


def test_a_normaliser_can_only_be_compared_with_itself(said):
    rates = [
        shares(said, name)[0][0]
        for name in ("as written", "lower case", "no punctuation", "every digit")
    ]
    assert rates[0] >= rates[1] > 0
    assert len(set(rates)) > 2, "the steps change nothing: then the lesson is another"


def test_silence_is_known_for_silence_and_speech_for_speech(said):
    lines = re.findall(r"^(.+) no speech ([\d.]+) certain (-?[\d.]+)", said, re.MULTILINE)
    silent = {name: float(share) for name, share, _ in lines}
    certain = {name: float(score) for name, _, score in lines}
    assert silent["silence"] > 0.5 > silent["speech"]
    assert certain["speech"] > -0.5


def test_what_is_invented_where_nobody_speaks_is_doubted_and_speech_is_not(said):
    lines = re.findall(r"^(.+) no speech \S+ certain \S+ (doubt|pass)(.*)$", said, re.MULTILINE)
    verdicts = {name: (verdict, text.strip()) for name, verdict, text in lines}
    assert len(verdicts) == 7
    invented = [name for name in ("murmur", "melody", "farm") if verdicts[name][1]]
    assert invented, "then the lesson is another"
    assert {verdicts[name][0] for name in invented} == {"doubt"}
    assert verdicts["silence"][1] == ""
    assert verdicts["speech"][0] == "pass"


def test_two_minutes_want_more_than_cuts(said):
    cut, sewn, after = (
        shares(said, way)[0][0] for way in ("cut every 20 s", "30 s, stride 5 s", "one after")
    )
    assert min(sewn, after) < cut
    assert after <= LIMITS["bulletin_wer"]


def test_both_subtitle_files_are_read_back(said):
    found = re.findall(r"^meeting\.(srt|vtt): (\d+) captions, (\d+) of them faulty$", said, re.M)
    assert [ending for ending, *_ in found] == ["srt", "vtt"]
    assert all(int(count) >= 8 and faulty == "0" for _, count, faulty in found)
    assert "WEBVTT" in said


def test_the_stages_of_the_training_curve_are_the_recipes(cells):
    source = cell_with(cells, "the recipe's STAGES")
    ends = np.cumsum([stage.steps for stage in transcriber.STAGES.values()])
    written = re.search(r"ends = \(([\d_, ]+),", source)[1]
    assert [int(number) for number in written.split(",")] == [0, *ends[:-1]]


def test_short_sounds_have_the_worst_factor(said):
    factors = [float(f) for f in re.findall(r"RTF ([\d.]+)$", said, re.MULTILINE)]
    assert len(factors) == 3
    assert factors[0] > factors[2]


def test_the_app_hears_the_greeting(said):
    answer = said[said.rindex("RTF") :].split("\n", 1)[1].strip().splitlines()[0]
    assert word_error_rate([GREETING], [answer]) <= LIMITS["greeting_wer"]


def test_each_token_listens_later_than_the_one_before(execution, cells, names):
    import torch

    model, tokens, prompt = names["model"], names["tokens"], names["prompt"]
    model.set_attn_implementation("eager")
    layer, head = model.generation_config.alignment_heads[-1]
    with torch.inference_mode():
        looks = model(
            names["library"],
            decoder_input_ids=torch.tensor([tokens[:-1]]),
            output_attentions=True,
        ).cross_attentions[layer][0, head, len(prompt) - 1 : -1]
    places = looks.argmax(dim=1).tolist()
    assert np.mean([a <= b for a, b in pairwise(places)]) >= 0.8


def test_it_has_its_three_exercises(executed):
    names_of = [exercise.check for exercise in exercises_of(executed[NAME])]
    assert names_of == ["normalised", "own_voice", "subtitles"]
