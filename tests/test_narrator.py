"""The Narrator's app: a real server on the loopback, asked by the real client."""

import json
import sys
from collections.abc import Iterator

import pytest
from conftest import ROOT
from gradio_client import Client, handle_file

sys.path.insert(0, str(ROOT / "assets" / "apps" / "narrator"))
SCENES = ROOT / "assets" / "images" / "toytown"


@pytest.fixture(scope="module")
def narrator() -> Iterator[Client]:
    import app
    from helpers import checkpoint
    from transformers import pipeline

    page = app.build(pipeline("object-detection", model=checkpoint("detector")))
    _, address, _ = page.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    yield Client(address, verbose=False)
    page.close()


def test_it_says_and_frames_what_is_in_a_picture(narrator: Client):
    # A scene of one kind of thing, so that the sentence can be judged word for word.
    rows = [json.loads(line) for line in (SCENES / "metadata.jsonl").read_text().splitlines()]
    row = next(row for row in rows if len(set(row["objects"]["category"])) == 1)
    seen, said = narrator.predict(handle_file(str(SCENES / row["file_name"])), api_name="/narrate")
    from app import count

    truth = [{"label": label, "score": 1.0} for label in row["objects"]["category"]]
    assert said == f"I see {count(truth)}."
    assert len(seen["annotations"]) == len(truth)


def test_it_finds_a_picture_by_meaning_and_says_when_there_is_none(narrator: Client):
    _, shows = narrator.predict("something to sail on", api_name="/find")
    assert "boat" in shows
    _, shows = narrator.predict("the history of tax law", api_name="/find")
    assert shows == "No picture shows that."


def test_without_a_picture_or_a_question_it_asks_for_one(narrator: Client):
    assert narrator.predict(None, api_name="/narrate")[1] == "Choose a picture first."
    assert narrator.predict("  ", api_name="/find")[1] == "Write what the picture should show."


@pytest.mark.parametrize(
    ("labels", "scores", "sentence"),
    [
        (["dog", "bus", "dog"], [0.9, 0.9, 0.9], "a bus and two dogs"),
        (["umbrella"], [0.9], "an umbrella"),
        (["sheep", "sheep", "sheep"], [0.9, 0.9, 0.9], "three sheep"),
        (["dog", "cat"], [0.9, 0.6], "a dog and perhaps a cat"),
        (["dog", "dog"], [0.9, 0.6], "one, perhaps two dogs"),
        (["bell"] * 5, [0.9, 0.9, 0.9, 0.5, 0.5], "three, perhaps five bells"),
        (["cat", "cat"], [0.5, 0.5], "perhaps two cats"),
        ([], [], "nothing I know"),
    ],
)
def test_it_counts_as_a_person_would_and_doubts_what_scores_low(labels, scores, sentence):
    from app import count

    pairs = zip(labels, scores, strict=True)
    assert count([{"label": label, "score": score} for label, score in pairs]) == sentence
