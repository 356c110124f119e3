"""2.3 Zero-Shot Audio Classification: by hand it is the library's, and the lesson holds."""

import re
import tomllib

import numpy as np
import pytest
import torch
from conftest import ROOT, assert_notices_a_slip, cell_with, defined, printed

NAME = "2.3. Zero_Shot_Audio_Classification"
LIMITS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))["sound_notebook"]
NEEDED = {"heard", "read", "in_noise", "library", "probe"}
RIGHT, LOSES, WINS = (
    ("a dog barking", "dog", "the bark of a dog"),
    ("a puppy", "an animal", "woof", "a silent dog"),
    ("no dog", "a hot dog", "the bark of a tree"),
)


@pytest.fixture(scope="module")
def said(cells) -> str:
    """All that the executed notebook printed."""
    return printed(cells)


def number(said: str, line: str) -> float:
    """The one number that stands where {} stands in a printed line, given as a pattern."""
    found = re.findall(line.replace("{}", r"(\d+\.\d+)"), said, re.MULTILINE)
    assert len(found) == 1, f"{len(found)} lines read {line!r}"
    return float(found[0])


@pytest.fixture(scope="module")
def names(execution, cells):  # after the notebooks' run, so as not to compete with it
    """What the notebook's own cells define, up to the probe, run here."""
    return defined(cells, NEEDED)


# ------------------------------------------------------------------------------- its own functions


def test_embeddings_have_length_one_and_a_row_for_each_however_many(names):
    sounds = names["heard"](names["waveforms"][:9])
    texts = names["read"](["a dog barking", "rain", "a bell that rings far away"])
    for vectors, rows in ((sounds, 9), (texts, 3)):
        assert vectors.shape == (rows, names["model"].config.projection_dim)
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(rows))
    torch.testing.assert_close(sounds[8], names["heard"]([names["waveforms"][8]])[0])


def test_a_text_is_embedded_the_same_beside_a_longer_one(names):
    alone, beside = names["read"](["rain"]), names["read"](["rain", "a bell that rings far away"])
    torch.testing.assert_close(alone[0], beside[0], atol=1e-5, rtol=0)


def test_the_noise_is_twice_as_strong_as_the_sound(names):
    waveform = names["waveforms"][0]
    noise = names["in_noise"](waveform, np.random.default_rng(0)) - waveform
    assert noise.var() == pytest.approx(2 * waveform.var(), rel=0.02)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("scale * cosines", "cosines"),
        ("logit_scale_a", "logit_scale_t"),
        ("heard(waveforms[:1])", "heard(waveforms[1:2])"),
        ("sentences.T", "read(kinds).T"),
    ],
)
def test_the_claim_to_equal_the_library_would_notice_a_slip(names, cells, right, wrong):
    assert_notices_a_slip(cell_with(cells, "library = "), right, wrong, names)


# ------------------------------------------------------------------------------- what it measured


def test_both_animals_of_the_farm_come_before_all_else(said):
    first, second = re.findall(r"^0\.\d\d (an? .+|rain.+)$", said, re.MULTILINE)[:2]
    assert {first, second} == {"a dog barking", "a cow mooing"}


@pytest.mark.parametrize("recorded", ["8,000", "16,000"])
def test_a_wrong_rate_ruins_the_names_and_resampling_mends_most(said, recorded):
    wrong = number(said, rf"^ ?{recorded} Hz, taken for 48,000 Hz: {{}} right$")
    assert wrong <= LIMITS["wrong_rate_at_most"]
    assert number(said, rf"^ ?{recorded} Hz, resampled: {{}} right$") >= LIMITS["resampled"]


def test_what_a_slow_recorder_missed_does_not_come_back(said):
    answers = re.findall(r"^ ?a bicycle bell ringing is (.+)$", said, re.MULTILINE)
    assert answers[1] != "a bicycle bell ringing" == answers[3]


def test_rewording_one_label_changes_the_winner_and_not_as_the_truth_would(said):
    winner = dict(re.findall(r"^([^\d\n]+) 0\.\d\d ([^\d\n]+)$", said, re.MULTILINE))
    for wording in (*RIGHT, *WINS):
        assert winner[wording] == wording
    for wording in LOSES:
        assert winner[wording] == "a person laughing"


def test_a_denial_changes_nothing_and_single_words_and_imitations_do(said):
    for way in ("the pipeline's", "never met", "denied"):
        assert number(said, f"^{{}} {way}: .+$") >= LIMITS["accuracy"]
    assert number(said, "^{} the last word: barking$") <= LIMITS["last_word_at_most"]
    assert number(said, "^{} imitated: woof$") <= LIMITS["imitated_at_most"]


def test_a_line_drawn_in_the_quiet_holds_there_and_fails_in_noise(said):
    kept, wrong, fooled = {}, {}, {}
    for place, *shares in re.findall(
        r"^(quiet|loud) offered: (.+) named right, (.+) wrong; left out: (.+) named$",
        said,
        re.MULTILINE,
    ):
        kept[place], wrong[place], fooled[place] = map(float, shares)
    assert kept["quiet"] >= LIMITS["kept"]
    assert fooled["quiet"] <= LIMITS["fooled_at_most"]
    assert wrong["quiet"] <= LIMITS["fooled_at_most"]
    assert kept["quiet"] - kept["loud"] >= LIMITS["lost_in_noise"]
    assert fooled["loud"] - fooled["quiet"] >= LIMITS["lost_in_noise"]


def test_the_real_saxophone_passes_the_line_as_a_cat(said):
    assert re.search(r"^a saxophone playing 0\.\d\d a cat meowing named", said, re.MULTILINE)
    assert re.search(r"^a (wo)?man speaking 0\.\d\d .+ named", said, re.MULTILINE)


def test_its_own_label_does_not_help_a_sound_that_was_never_met(said):
    rows = re.findall(r"^a .+ing (0\.\d\d) .+own label (-?0\.\d\d)$", said, re.MULTILINE)
    assert len(rows) == 3
    assert all(float(own) < float(nearest) for nearest, own in rows)


def test_examples_pay_where_they_come_from_the_place(said):
    curves = dict(re.findall(r"^examples from (.+?)((?: [01]\.\d\d){4})$", said, re.MULTILINE))
    street, quiet = ([float(n) for n in curves[w].split()] for w in ("the street", "the quiet"))
    sentences = number(said, "^no example, sentences {}$")
    assert min(street) >= LIMITS["probe"] > sentences
    assert quiet[0] < sentences < quiet[-1], "from elsewhere it takes more than one"


def test_one_voice_finds_what_no_words_find(said):
    for words in ("a person speaking", "speech", "a person"):
        assert number(said, f"^{words}: {{}}$") <= 0.5
    assert number(said, "^one example: {}$") >= LIMITS["one_voice"]


def test_a_search_brings_something_for_words_that_it_half_knows(said):
    for text, verdict in {
        "a piano playing": "nothing found",
        "someone whispering": "nothing found",
        "a baby crying": "brought",
        "glass breaking": "brought",
    }.items():
        assert re.search(rf"^{text} 0\.\d\d .+ {verdict}$", said, re.MULTILINE), text


def test_the_narrator_names_two_sounds_knows_silence_and_is_fooled_by_a_voice(said):
    places = "farm|storm|street|greeting|silence|hiss"
    heard = dict(re.findall(rf"^({places}): +(.+)$", said, re.MULTILINE))
    for place, two in {
        "farm": {"a dog barking", "a cow mooing"},
        "storm": {"rain falling", "thunder rumbling"},
        "street": {"a siren wailing", "footsteps"},
    }.items():
        assert set(heard[place].replace("perhaps ", "").split(" and ")) == two
    assert heard["silence"] == "nothing I know" != heard["hiss"]
    assert heard["greeting"] != "nothing I know", "then the lesson is another"
