"""2.2 Embeddings: what the notebook measured means something, and its texts are clean."""

import ast
import json
import re
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from outputs import code_cells, tags, text
from sklearn.metrics import label_ranking_average_precision_score, top_k_accuracy_score

ROOT = Path(__file__).resolve().parent.parent
NAME = "2.2. Embeddings"
AT_LEAST = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))["embeddings"]
TEXTS = {
    path.stem: [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for path in sorted((ROOT / "assets/text").glob("*.jsonl"))
}


@pytest.fixture(scope="module")
def said(executed):
    """All that the executed notebook printed, with spaces made even."""
    return "\n".join(text(cell) for cell in code_cells(executed[NAME]))


@pytest.fixture(scope="module")
def model(execution):  # after the notebooks' run, so as not to compete with it
    from helpers import checkpoint
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(checkpoint("embedder"))


@pytest.fixture(scope="module")
def search(executed):
    """The function that the notebook gives to the Narrator, as it stands there."""
    cell = next(cell for cell in code_cells(executed[NAME]) if "narrator" in tags(cell))
    function = next(n for n in ast.parse(cell.source).body if isinstance(n, ast.FunctionDef))
    namespace = {}
    exec(ast.unparse(function), namespace)
    return namespace["search"]


def number(pattern, said):
    """The number that a pattern finds in what the notebook printed."""
    found = re.search(pattern, said)
    assert found, f"the notebook no longer prints {pattern!r}"
    return float(found[1])


# ----------------------------------------------------------------------------- what it measured


def test_the_first_result_and_the_surprise_are_the_genuine_models(said):
    kittens, cats, train = re.search(r"tensor\(\[\[([\d., ]+)\]\]\)", said)[1].split(", ")
    not_kittens = number(r"tensor\(\[\[(0\.\d+)\]\]\)", said)
    assert [float(kittens), float(cats), float(train), not_kittens] == pytest.approx(
        [1.00, 0.72, 0.05, 0.84], abs=AT_LEAST["similarity_tolerance"]
    )
    assert not_kittens > float(cats), "the surprise of this page"


def test_by_hand_is_encode_and_padding_would_have_spoilt_it(executed, said, model):
    # torch prints an exact 1 as "1." and one a rounding away as "1.00": it depends on the CPU.
    assert re.search(r"equal to encode; lengths: tensor\(\[1\.0*, 1\.0*\]\)", said)
    pair = ["I like kittens", "The last train to the harbour is late"]
    features = model.tokenizer(pair, padding=True, return_tensors="pt")
    assert not features["attention_mask"].bool().all(), "the notebook's pair has no padding"
    vectors = model[0](dict(features.to(model.device)))["token_embeddings"].detach()
    unmasked = vectors.mean(dim=1)
    unmasked = (unmasked / unmasked.norm(dim=1, keepdim=True)).cpu().numpy()
    differences = np.abs(unmasked - model.encode(pair)).max(axis=1)
    assert differences[0] > 1e-3
    assert differences[1] < 1e-5


def test_each_kind_of_trap_fools_it_more_often_than_not(said):
    for kind in ("negation", "opposite", "number", "who did what"):
        fooled = number(rf"{kind} +fooled +(\d+) of 12", said)
        assert fooled > 6


def test_search_by_meaning_finds_the_notice_and_shared_words_do_not(said):
    by_meaning = re.search(r"by meaning.*?(?=by words)", said, re.DOTALL)[0]
    by_words = re.search(r"by words.*?MRR \d\.\d+", said)[0]
    for k in (1, 5, 10):
        recall = number(rf"recall@{k} (\d\.\d+)", by_meaning)
        assert recall >= AT_LEAST[f"recall_at_{k}"]
        assert recall > number(rf"recall@{k} (\d\.\d+)", by_words) + 0.3
    assert number(r"MRR (\d\.\d+)", by_meaning) >= AT_LEAST["mean_reciprocal_rank"]


def test_its_recall_and_mrr_are_those_of_scikit_learn(said, model):
    notices = [f"{notice['title']}. {notice['text']}" for notice in TEXTS["notices"]]
    ids = [notice["id"] for notice in TEXTS["notices"]]
    right = [ids.index(question["notice"]) for question in TEXTS["questions"]]
    questions = [question["question"] for question in TEXTS["questions"]]
    scores = model.encode(questions) @ model.encode(notices).T
    truth = np.eye(len(ids))[right]
    line = re.search(r"by meaning.*?MRR \d\.\d+", said)[0]
    assert number(r"MRR (\d\.\d+)", line) == pytest.approx(
        label_ranking_average_precision_score(truth, scores), abs=0.006
    )
    for k in (1, 5, 10):
        expected = top_k_accuracy_score(right, scores, k=k, labels=range(len(ids)))
        assert number(rf"recall@{k} (\d\.\d+)", line) == pytest.approx(expected, abs=0.006)


def test_the_heaps_are_the_clerks_topics_and_the_words_heaps_are_not(said):
    rand, v_measure = (
        number(rf"meaning +adjusted Rand index.*?{name} (\d\.\d+)", said)
        for name in ("", "V-measure")
    )
    assert rand >= AT_LEAST["adjusted_rand_index"]
    assert v_measure >= AT_LEAST["v_measure"]
    assert number(r"shared words adjusted Rand index (-?\d\.\d+)", said) < rand / 2
    straight, bent = (number(rf"{m} +trustworthiness (\d\.\d+)", said) for m in ("PCA", "t-SNE"))
    assert bent > straight


def test_it_orders_pairs_as_a_person_does(said):
    assert number(r"Spearman (\d\.\d+) on 72 pairs", said) >= AT_LEAST["spearman"]


def test_the_index_trades_little_recall_and_fewer_bits_cost_what_is_said(said):
    assert number(r"100000 +\d+\.\d+ +4 +\d+\.\d+ +(\d\.\d+)", said) >= AT_LEAST["ivf_recall"]
    sizes = re.findall(r"(\d+) MB a million sentences, (\d\.\d+) of the true ten", said)
    assert [int(size) for size, _ in sizes] == [1536, 384, 48, 48]
    exact, int8, binary, rescored = (float(recall) for _, recall in sizes)
    assert exact == 1
    assert int8 >= AT_LEAST["int8_recall"]
    assert binary < rescored < int8


def test_what_stands_behind_256_tokens_is_not_read(said):
    assert number(r"without and with: (\d\.\d+)", said) == 1
    whole, best = (number(rf"{name} (-?\d\.\d+)", said) for name in ("letter", "pieces"))
    assert best > whole + 0.3


# ---------------------------------------------------------------------- the Narrator's search


@pytest.mark.parametrize(
    ("question", "notice"),
    [
        ("I want to learn to swim, and I am forty.", "pool-lessons-adults"),
        ("Our street wants to dance outside with a band.", "street-party"),
        ("How many hens may I have?", "hens"),
        ("An unwell hedgehog is sitting in the sun.", "hedgehog"),
        ("The road has a deep hole.", "street-hole"),
        ("Where do I leave used batteries?", "batteries"),
        ("My identity card has gone missing.", "identity-lost"),
        ("Does the ferry cross in a storm?", "ferry-wind"),
    ],
)
def test_search_finds_the_notice_that_answers(search, question, notice):
    texts = [f"{row['title']}. {row['text']}" for row in TEXTS["notices"]]
    assert TEXTS["notices"][search(texts, question)]["id"] == notice


def test_search_finds_a_picture_by_meaning_and_may_find_nothing(search):
    captions = ["A bus in the street", "Two apples in the kitchen", "A cow on the farm"]
    assert search(captions, "fruit") == 1
    assert search(captions, "an animal that gives milk") == 2
    assert search(captions, "the history of tax law") is None
    assert search(captions, "the history of tax law", at_least=-1) is not None
    assert search([], "fruit") is None


# ---------------------------------------------------------------------------- assets/text


def test_every_set_has_one_form_and_ids_of_its_own():
    expected = {"messages", "notices", "questions", "contrasts", "similarity", "exam", "refunds"}
    assert expected <= set(TEXTS)
    for name in expected:
        rows = TEXTS[name]
        assert len({tuple(row) for row in rows}) == 1, f"{name}: rows of different columns"
        assert len({row["id"] for row in rows}) == len(rows), f"{name}: an id twice"


@pytest.mark.parametrize("name", ["messages", "notices", "questions", "contrasts", "similarity"])
def test_no_text_is_there_twice_or_untidy(name):
    columns = {"similarity": ["sentence1"], "questions": ["question"]}.get(name, ["text"])
    if name == "similarity":
        rows = [(row["sentence1"], row["sentence2"]) for row in TEXTS[name]]
    else:
        rows = [tuple(row[column] for column in columns) for row in TEXTS[name]]
    plain = [re.sub(r"\W+", " ", " ".join(row)).strip().lower() for row in rows]
    assert [line for line, times in Counter(plain).items() if times > 1] == []
    for sentence in (part for row in rows for part in row):
        assert sentence == " ".join(sentence.split())
        assert sentence[0].isupper() and sentence[-1] in '.?!".'


def test_the_messages_are_balanced_over_eight_topics():
    topics = Counter(row["topic"] for row in TEXTS["messages"])
    assert len(topics) == 8
    assert len(TEXTS["messages"]) >= 160
    assert len(set(topics.values())) == 1


def test_every_question_has_its_notice_and_no_notice_gives_its_words_away():
    notices = {row["id"]: f"{row['title']} {row['text']}".lower() for row in TEXTS["notices"]}
    assert len(notices) >= 100
    assert len(TEXTS["questions"]) >= 60
    answered = [row["notice"] for row in TEXTS["questions"]]
    assert set(answered) <= set(notices)
    assert len(set(answered)) == len(answered)
    for row in TEXTS["questions"]:
        words = set(re.findall(r"\w{5,}", row["question"].lower()))
        shared = {word for word in words if word in notices[row["notice"]]}
        assert len(shared) <= len(words) / 2, f"{row['question']!r} repeats {shared}"


def test_the_exam_is_new_to_whoever_has_read_the_questions():
    asked = {row["question"] for row in TEXTS["questions"]}
    assert not asked & {row["question"] for row in TEXTS["exam"]}
    notices = {row["id"] for row in TEXTS["notices"]}
    kinds = Counter((row["split"], row["notice"] in notices) for row in TEXTS["exam"])
    assert kinds == {("validation", False): 12, ("test", False): 12, ("test", True): 12}
    assert all(row["notice"] in {None, *notices} for row in TEXTS["exam"])


def test_the_traps_keep_the_words_and_the_pairs_use_the_whole_scale():
    assert set(Counter(row["kind"] for row in TEXTS["contrasts"]).values()) == {12}
    for row in TEXTS["contrasts"]:
        assert len({row["text"], row["same"], row["different"]}) == 3
        old, new = (set(re.findall(r"\w+", row[k].lower())) for k in ("text", "different"))
        assert len(old & new) >= len(old) / 2, f"{row['id']}: too many words changed"
    scores = Counter(row["score"] for row in TEXTS["similarity"])
    assert scores == dict.fromkeys([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], 12)
