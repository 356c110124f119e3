"""2.8 Multimodal Models: by hand it is the library's, and what it measured is the lesson."""

import re
import tomllib
from pathlib import Path

import pytest
import torch
from conftest import assert_notices_a_slip, cell_with, defined, printed

ROOT = Path(__file__).resolve().parent.parent
NAME = "2.8. Multimodal_Models"
LIMITS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))["multimodal_notebook"]
NEEDED = {"match", "caption", "ask", "similar", "captions", "by_hand", "picture_vectors"}
SHORT = "a bus"
LONG = "a green bus, a bicycle and two men in the park. the bicycle is left of the bus"


@pytest.fixture(scope="module")
def said(cells) -> str:
    """All that the executed notebook printed."""
    return printed(cells)


@pytest.fixture(scope="module")
def names(execution, cells):  # after the notebooks' run, so as not to compete with it
    """What the notebook's own cells define, up to the shared space by hand, run here."""
    return defined(cells, NEEDED)


# ------------------------------------------------------------------------------- its own functions


def test_match_gives_the_true_text_a_high_probability_and_others_a_low_one(names):
    fits = names["match"](
        [names["image"]] * 3, ["two men in the park", "two men by the sea", "a dog"]
    )
    assert fits.shape == (3,)
    assert 0.5 < fits[0] <= 1
    assert (fits[1:] < 0.5).all()


@pytest.mark.parametrize("matching", [True, False], ids=["matching head", "contrastive head"])
def test_a_sentence_scores_the_same_beside_a_longer_one(names, matching):
    image = names["image"]
    alone = names["match"]([image], [SHORT], matching).flatten()
    beside = names["match"]([image, image], [SHORT, LONG], matching).flatten()
    torch.testing.assert_close(alone[0], beside[0], atol=1e-4, rtol=0)


def test_cosines_have_a_row_a_text_and_a_column_a_picture(names):
    other = names["examples"][2]["image"]
    cosines = names["similar"]([names["image"], other, names["image"]], [SHORT, LONG])
    assert cosines.shape == (2, 3)
    assert cosines.abs().max() <= 1 + 1e-5
    torch.testing.assert_close(cosines[:, 0], cosines[:, 2])  # the same picture


@pytest.mark.parametrize("space", ["CLIP's", "BLIP's"])
def test_in_each_shared_space_pictures_find_their_own_captions(names, space):
    rows = [names["examples"][i] for i in (0, 2, 3, 73)]
    pictures = [row["image"] for row in rows]
    texts = [row["caption"].removesuffix(".") for row in rows]
    if space == "CLIP's":
        cosines = names["similar"](pictures, texts).T
    else:
        cosines = names["match"](pictures, texts, matching=False)
    assert cosines.argmax(dim=1).tolist() == [0, 1, 2, 3]


def test_a_caption_goes_on_from_its_start_even_from_a_lie_and_holds_no_special_token(names):
    image = names["image"]
    (free,), (begun,), (lie,) = (
        names["caption"](image, s) for s in (None, "a picture of", "a cat")
    )
    assert {"bus", "park"} <= set(re.findall(r"\w+", free))
    assert begun.startswith("a picture of ")
    assert len(begun.split()) > 4
    assert lie.startswith("a cat")
    assert "[" not in free + begun + lie


def test_a_picture_has_the_same_caption_alone_and_among_others(names):
    pictures = [names["image"], names["examples"][2]["image"]]
    alone = [names["caption"](picture)[0] for picture in pictures]
    assert names["caption"](pictures) == alone


def test_the_answerer_answers_the_questions_of_scenes_that_it_never_saw(names):
    rights = [
        given == asked["answer"]
        for row in names["examples"].select(range(20))
        for asked in row["questions"]
        for given, _ in names["ask"](row["image"], asked["question"])
    ]
    assert sum(rights) / len(rights) >= LIMITS["answers"]


def test_an_answers_probability_is_the_product_of_its_words_probabilities(names):
    model, processor = names["answerer"], names["asking"]
    image, question = names["image"], "where is this?"
    ((answer, probability),) = names["ask"](image, question)
    inputs = processor(images=image, text=question, return_tensors="pt")
    with torch.inference_mode():
        seen = model.vision_model(inputs.pop("pixel_values")).last_hidden_state
        read = model.text_encoder(**inputs, encoder_hidden_states=seen).last_hidden_state
        written = processor.tokenizer(answer, return_tensors="pt").input_ids
        written[:, 0] = model.decoder_start_token_id
        logits = model.text_decoder(written[:, :-1], encoder_hidden_states=read).logits
    steps = logits.softmax(-1)[0].gather(1, written[0, 1:, None])
    assert probability == pytest.approx(steps.prod().item(), abs=1e-3)
    assert 0 < probability <= 1


def test_what_is_not_there_is_denied(names):
    absent = ["dog", "rocket", "pizza", "train"]
    rows = names["examples"].select(range(10))
    answers = [
        names["ask"](row["image"], f"is there a {thing}?")[0][0]
        for row in rows
        for thing in absent
        if thing not in row["objects"]["category"]
    ]
    assert answers.count("no") / len(answers) >= LIMITS["absent"]


# --------------------------------------------------------------------- by hand it is the library's


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("powers[:, 1]", "powers[:, 0]"),  # the probability of "does not fit"
        ("powers.sum(dim=1)", "powers.sum()"),  # over the sentences, too
        ("clip.logit_scale.exp().item() * cosines", "cosines"),
        ("powers / powers.sum()", "powers / powers.max()"),
        ("normalize(matcher.text_proj(read), dim=-1)", "matcher.text_proj(read)"),
        ("normalize(matcher.vision_proj(seen), dim=-1)", "matcher.vision_proj(seen)"),
    ],
)
def test_each_claim_to_equal_the_library_would_notice_a_slip(names, cells, right, wrong):
    assert_notices_a_slip(cell_with(cells, right), right, wrong, names)


# ------------------------------------------------------------------------------- what it measured


def numbers(said, line):
    """The numbers in the first line that begins with these words; percentages as shares."""
    found = re.search(rf"^{re.escape(line)}\s(.+)$", said, re.MULTILINE)
    assert found, f"the notebook no longer prints a line {line!r}"
    return [
        float(number) / (100 if percent else 1)
        for number, percent in re.findall(r"(\d+(?:\.\d+)?)(%?)", found[1])
    ]


def test_the_first_cell_tells_the_true_sentence_from_those_one_word_away(said):
    true, *false = [
        numbers(said, f"{words} in the {place}")[-1]
        for words, place in [
            ("two men", "park"),
            ("two men", "kitchen"),
            ("two women", "park"),
            ("three men", "park"),
        ]
    ]
    assert true > 0.5 > max(false)


def test_a_start_that_lies_is_believed(said):
    line = re.search(r"^a cat (a cat\b.+)$", said, re.MULTILINE)
    assert line, "the notebook no longer prints what follows 'a cat'"
    assert re.search(r"\bbicycle\b.*\bmen\b", line[1]), "it still says what it sees"


def test_there_is_no_yes_bias_but_a_colour_for_what_is_not_there(said):
    there, absent = (
        float(share) / 100
        for share in re.findall(r"^is there \{a\}\? wanted \w+ +(\d+)%", said, re.MULTILINE)
    )
    assert min(there, absent) >= LIMITS["absent"]
    assert numbers(said, "what color is the {thing}? wanted (none)")[0] == 0


def test_the_space_is_searched_both_ways_and_a_senseless_wording_is_no_better(said):
    for wording in ("{thing}", "a photo of {a}", "mean of the first 3"):
        assert min(numbers(said, wording)) >= LIMITS["search"]
    best = max(numbers(said, wording)[0] for wording in ("{thing}", "a photo of {a}"))
    assert numbers(said, "no {thing}")[0] <= best


def test_a_wrong_thing_is_noticed_by_both(said):
    *shares, pairs = numbers(said, "thing")
    assert pairs >= 15
    assert min(shares) >= LIMITS["things"]


def test_left_for_right_is_noticed_by_none_that_scores_or_there_is_no_surprise(said):
    *shares, pairs = numbers(said, "side")
    assert pairs >= 30
    assert max(shares) <= LIMITS["side_at_most"]


def test_no_is_not_read_by_any_that_scores(said):
    *shares, _ = numbers(said, "negation")
    assert max(shares) < 0.5, "then the lesson is another"


def test_each_model_does_the_job_that_it_is_recommended_for(said):
    for role in ("matcher", "captioner", "answerer", "classifier"):
        quality, milliseconds, megabytes = numbers(said, role)
        assert quality >= LIMITS["quality"][role]
        assert milliseconds > 0
        assert 1 < megabytes < 40  # float32: twice what is stored


def test_a_second_step_helps_where_its_model_knows_what_the_first_does_not(said):
    (alone,) = numbers(said, "CLIP alone")
    (matching,) = numbers(said, "then the matching head")
    (answering,) = numbers(said, "then the answerer")
    assert answering >= LIMITS["side"]
    assert answering > max(alone, matching) + 0.2
