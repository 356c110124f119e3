"""2.3 Zero-Shot Audio Classification: what it printed carries the lesson that its prose tells."""

import re
import tomllib

import pytest
from conftest import ROOT
from outputs import outputs

NAME = "2.3. Zero_Shot_Audio_Classification"
LIMITS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))["sound_notebook"]


@pytest.fixture(scope="module")
def printed(cells) -> str:
    """All that the executed notebook printed."""
    return "\n".join(
        content for cell in cells for kind, content in outputs(cell) if kind == "text/stdout"
    )


def accuracy(printed: str, wording: str) -> float:
    return float(re.search(rf"(\d\.\d\d) {wording}, as in", printed)[1])


def test_both_animals_of_the_farm_come_before_all_else(printed: str):
    first, second = re.findall(r"^\d\.\d\d (a .+|rain.+|an .+)$", printed, re.MULTILINE)[:2]
    assert {first, second} == {"a dog barking", "a cow mooing"}


def test_a_wrong_rate_changes_the_answer_and_resampling_mends_most(printed: str):
    blocks = re.findall(
        r"^(.+)\n +right rate: \S+ (.+)\n +wrong rate: \S+ (.+)\n +resampled: \S+ (.+)$",
        printed,
        re.MULTILINE,
    )
    assert len(blocks) == 4
    assert all(right == kind for kind, right, *_ in blocks)
    assert all(wrong != kind for kind, _, wrong, _ in blocks)
    mended = [back == kind for kind, _, _, back in blocks]
    assert sum(mended) == 3 and not mended[-1], "what lay above 4,000 Hz does not come back"


def test_rewording_the_labels_changes_the_winner_and_denying_them_does_not(printed: str):
    assert accuracy(printed, "in the pipeline's sentence") >= LIMITS["accuracy"]
    assert accuracy(printed, "denied") >= LIMITS["accuracy"]
    assert accuracy(printed, "the last word alone") <= LIMITS["last_word_at_most"]
    assert accuracy(printed, "imitated") <= LIMITS["imitated_at_most"]


def test_a_threshold_keeps_what_is_offered_and_refuses_what_is_not(printed: str):
    kept = float(re.search(r"named, and its label is there: (\S+)", printed)[1])
    fooled = float(re.search(r"named, though its label is not: (\S+)", printed)[1])
    assert kept >= LIMITS["kept"] and fooled <= LIMITS["fooled_at_most"]
    assert printed.count("none of these  said:") == 3, "a voice is no sound that it knows"


def test_one_example_is_as_good_as_a_good_sentence(printed: str):
    found = re.findall(r"(\d) of each: (\d\.\d\d)", printed)
    assert [k for k, _ in found] == ["1", "2", "4", "8"]
    assert min(float(score) for _, score in found) >= LIMITS["probe"]


def test_the_narrator_names_both_of_two_sounds(printed: str):
    for name, two in {
        "farm": ("a dog barking", "a cow mooing"),
        "storm": ("rain falling", "thunder rumbling"),
        "street": ("a siren wailing", "footsteps"),
    }.items():
        said = re.search(rf"^{name} +I hear (.+)\.$", printed, re.MULTILINE)[1]
        assert set(said.split(" and ")) == set(two)
