"""The five vision checkpoints are good on fresh scenes, and together small."""

import tomllib
from importlib import import_module

import transformers
from conftest import ROOT, needs_font
from toytown.language import QUESTIONS

CHECKPOINTS = ROOT / "assets" / "checkpoints"
THRESHOLDS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))
CLASSES = {
    "segmenter": "SamModel",
    "answerer": "BlipForQuestionAnswering",
    "matcher": "BlipForImageTextRetrieval",
    "classifier": "CLIPModel",
    "captioner": "BlipForConditionalGeneration",
}
FRESH = 100_000  # behind the scenes that the cards were measured on


def measured(role: str, count: str) -> dict[str, float]:
    """What the role's recipe measures of the shipped checkpoint on scenes that nothing has seen."""
    model = getattr(transformers, CLASSES[role]).from_pretrained(CHECKPOINTS / role)
    recipe = import_module(role)
    return recipe.measured(model, "test", THRESHOLDS[role][count], first=FRESH)


@needs_font
def test_the_segmenter_cuts_out_what_is_clicked_or_boxed():
    scores, limits = measured("segmenter", "scenes"), THRESHOLDS["segmenter"]
    assert scores["click"] >= limits["click"]
    assert scores["box"] >= limits["box"]
    assert scores["rank"] >= limits["rank"]
    assert scores["background"] <= limits["background_at_most"] < scores["thing"]


@needs_font
def test_the_captioner_tells_the_truth_and_leaves_nothing_out():
    scores, limits = measured("captioner", "scenes"), THRESHOLDS["captioner"]
    assert scores["true"] >= limits["true"]
    assert scores["named"] >= limits["named"]


@needs_font
def test_the_answerer_answers_each_kind_of_question_and_says_no():
    scores, limits = measured("answerer", "questions"), THRESHOLDS["answerer"]
    assert scores["overall"] >= limits["overall"]
    assert min(scores[kind] for kind in (*QUESTIONS, "no")) >= limits["each"], scores


@needs_font
def test_the_matcher_sees_one_wrong_word():
    scores, limits = measured("matcher", "pairs"), THRESHOLDS["matcher"]
    assert scores["random"] >= limits["random"]
    assert scores["swapped"] >= limits["swapped"]


@needs_font
def test_the_classifier_names_things_and_places_and_finds_pictures():
    scores, limits = measured("classifier", "scenes"), THRESHOLDS["classifier"]
    for name in ("thing", "place", "recall"):
        assert scores[name] >= limits[name], scores


def test_all_five_are_within_their_budget():
    total = sum((CHECKPOINTS / r / "model.safetensors").stat().st_size for r in CLASSES)
    assert total <= THRESHOLDS["vision"]["megabytes"] * 1e6
