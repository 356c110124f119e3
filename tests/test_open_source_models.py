"""2. Open Source Models: what it finds, forbids, runs and publishes is what its words say."""

import re
import tomllib
from types import SimpleNamespace

import pytest
from conftest import ROOT, cell_with
from outputs import outputs

NAME = "2. Open_Source_Models"
LIMITS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))["open_source_models"]


def under(said: str, question: str) -> list[str]:
    """The ids that a search printed under its question."""
    after = said.split(question, 1)[1].strip("\n")
    return [line.split()[0] for line in after.split("\n\n")[0].splitlines() if "/" in line]


@pytest.fixture(scope="module")
def said(cells) -> str:
    """All that the page printed, line by line, with spaces made even."""
    kept = [text for cell in cells for kind, text in outputs(cell) if kind == "text/stdout"]
    return re.sub(" +", " ", "".join(kept))


# ---- finding


def test_each_filter_finds_what_it_asks_for_and_no_more(said):
    assert "facebook/m2m100_418M" in under(said, "who translates?")
    assert under(said, "learnt from MS MARCO?") == ["sentence-transformers/all-MiniLM-L6-v2"]
    assert "openai/clip-vit-base-patch32" in under(said, "under MIT?")
    small = under(said, "at most 50 M?")
    assert set(small) == {"toytown/transcriber", "openai/whisper-tiny"}


@pytest.mark.parametrize(
    ("licences", "verdict"),
    [
        (["mit"], "yes, with its notice"),
        (["apache-2.0", "mit"], "yes, with its notice"),
        (["cc-by-nc-4.0"], "no"),
        (["apache-2.0", "cc-by-nc-sa-4.0"], "no"),
        (["gpl-3.0"], "yes, if you share alike"),
        (["cc-by-sa-4.0"], "yes, if you share alike"),
        (["llama2"], "read its conditions"),
        (["gpl-3.0", "llama2"], "read its conditions"),
        (["gpl-3.0", "mit"], "yes, if you share alike"),
        (["bigscience-bloom-rail-1.0"], "read its conditions"),
        (["other"], "unknown: ask the owner"),
        (["mit", "unknown"], "unknown: ask the owner"),
        ([], "unknown: ask the owner"),
        (["a-licence-of-tomorrow"], "read its conditions"),
    ],
)
def test_it_never_says_yes_where_it_does_not_know(cells, licences, verdict):
    source = cell_with(cells, "def may_i_sell").partition("asked = [")[0]
    space = {}
    exec(source, space)
    info = SimpleNamespace(tags=["pytorch", *(f"license:{name}" for name in licences)])
    assert space["may_i_sell"](info) == verdict


def test_two_translators_that_do_the_same_differ_in_what_one_may_do(said):
    verdicts = dict(re.findall(r"^(facebook/\S+) +\S+ +(no|yes.*)$", said, re.M))
    assert verdicts["facebook/nllb-200-distilled-600M"] == "no"
    assert verdicts["facebook/m2m100_418M"].startswith("yes")


# ---- looking inside


def test_a_pickle_runs_code_when_it_is_loaded_and_the_careful_way_refuses(cells, said):
    loading = said[said.index("loading ...") :]
    assert loading.index("I am running.") < loading.index("... loaded ['weight', 'note']")
    assert "UnpicklingError · Weights only load failed" in loading
    assert re.search(r"GLOBAL +__builtin__ print", said), "seen without being run"


def test_the_weights_are_the_largest_file(said):
    sizes = {name: int(size.replace(",", "")) for size, name in
             re.findall(r"([\d,]+) bytes (\S+)", said)}  # fmt: skip
    assert max(sizes, key=sizes.get) == "model.safetensors"
    assert {"README.md", "config.json", "preprocessor_config.json"} <= set(sizes)


def test_by_hand_is_checked_against_the_library_in_both_places(cells):
    assert "assert shapes == " in cell_with(cells, "struct.unpack")
    assert "assert labels == " in cell_with(cells, "post_process_object_detection")


def test_the_three_pipelines_say_what_is_there(said):
    assert "The bakery opens at" in said
    assert "Good morning, Rosa, you look happy" in said
    assert re.search(r"toytown/detector found \{'score': 0\.\d+, 'label': 'balloon'", said)


# ---- learning and publishing


def test_the_fine_tuned_model_sorts_new_messages_as_its_curve_says(said):
    before, after = map(
        float, re.search(r"new messages: ([\d.]+) before, ([\d.]+) after", said).groups()
    )
    assert before <= LIMITS["untrained_at_most"]
    assert after >= LIMITS["accuracy"]
    right, of = map(int, re.search(r"^(\d+) of (\d+) right; wrong:", said, re.M).groups())
    assert (of, right / of) == (40, pytest.approx(after, abs=0.026)), "as loaded back by its name"
    assert "learner/town-post private" in said


def test_main_moves_and_a_pinned_commit_does_not(said):
    assert re.search(r"^main +TRANSPORT$", said, re.M)
    assert re.search(r"^pinned +transport$", said, re.M)


def test_the_app_sorts_a_message_about_noise(said):
    assert re.search(r"\{'label': 'noise', 'confidences'", said)


def test_minilm_has_the_fingerprint_of_the_published_file(said):
    assert "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db" in said


def test_a_licence_that_does_not_exist_and_a_gated_file_are_refused(said):
    assert "'free for all' is none of the Hub's" in said
    assert "GatedRepoError · 403" in said


def test_nothing_of_it_stays_on_the_hub(said):
    assert "learner/town-post is deleted." in said
    assert "learner/two-messages is deleted." in said


def test_the_narrator_knows_which_tier_may_be_sold(said):
    assert re.search(r"^micro +May be sold, with their notices: detector, answerer,", said, re.M)
    assert re.search(r"^small +May not be sold without asking: speaker \(cc-by-nc", said, re.M)
    assert re.search(r"^full +May not be sold without asking: translator \(cc-by-nc", said, re.M)
