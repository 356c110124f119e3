"""The Narrator's app: a real server on the loopback, asked by the real client."""

import io
import json
import sys
import tomllib
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
from conftest import ROOT, TRIES, downloaded, record, value_of
from gradio_client import Client, handle_file
from PIL import Image
from training import word_error_rate

sys.path.insert(0, str(ROOT / "assets" / "apps" / "narrator"))
SCENES = ROOT / "assets" / "images" / "toytown"
SPEECH = ROOT / "assets" / "audio" / "speech"
LIMITS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))["narrator"]


@pytest.fixture(scope="module")
def narrator() -> Iterator[Client]:
    import app
    from helpers import apps, checkpoint
    from transformers import pipeline

    page = app.build(pipeline("object-detection", model=checkpoint("detector")))
    with apps.running(page) as visitor:
        yield visitor


def test_a_visitor_of_the_app_as_it_is_started_reads_why_a_sound_is_refused(monkeypatch, tmp_path):
    import app
    from gradio import Blocks
    from gradio_client.exceptions import AppError
    from helpers import apps

    launch = Blocks.launch
    (broken := tmp_path / "broken.wav").write_bytes(b"no sound")

    def visited(page: Blocks, **how: object) -> None:
        launch(page, **how, server_port=apps.free_port(), prevent_thread_lock=True, quiet=True)
        visitor = Client(page.local_url, verbose=False)
        with pytest.raises(AppError, match=r"broken\.wav is damaged or no sound we read"):
            visitor.predict(handle_file(broken), "rain", api_name="/listen")
        page.close(verbose=False)

    monkeypatch.setattr(Blocks, "launch", visited)
    monkeypatch.setattr(app, "setup", lambda *roles: "cpu")
    monkeypatch.setattr(sys, "argv", ["app.py"])
    app.main()


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


def test_it_cuts_out_what_was_clicked_on(narrator: Client):
    scene = handle_file(str(SCENES / "desert-003.jpg"))
    cutting = narrator.predict(scene, 180, 330, api_name="/cut_out")  # the sheep
    with Image.open(cutting) as cut:
        assert cut.mode == "RGBA"
        assert (cut.width, cut.height) == (pytest.approx(149, abs=15), pytest.approx(157, abs=15))
    assert narrator.predict(None, 180, 330, api_name="/cut_out") is None


@pytest.mark.parametrize("where", [[180, 330], [110, 246, 259, 403]], ids=["click", "box"])
def test_a_cut_out_holds_the_things_pixels_on_nothing(where):
    from app import cut_out
    from helpers import media

    picture = media.image(SCENES / "desert-003.jpg")
    rows = json.loads((SCENES / "annotations.json").read_text())["annotations"]
    sheep = next(row for row in rows if row["image_id"] == 2 and row["bbox"][0] == 110)
    cut = cut_out(picture, where)
    assert cut.mode == "RGBA"
    alpha = np.asarray(cut.getchannel("A"))
    assert set(np.unique(alpha)) == {0, 255}
    assert alpha.any(0)[[0, -1]].all(), "cropped to the thing"
    assert alpha.any(1)[[0, -1]].all(), "cropped to the thing"
    assert (alpha > 0).sum() == pytest.approx(sheep["area"], rel=0.15)
    # Where it came from, every pixel is the picture's own.
    colours = np.asarray(picture)
    windows = np.lib.stride_tricks.sliding_window_view(colours, (*alpha.shape, 3)).squeeze(2)
    apart = [
        np.abs(windows[y, x][alpha > 0].astype(int) - np.asarray(cut)[alpha > 0, :3]).max()
        for y in range(240, 256)
        for x in range(104, 120)
        if y < len(windows) and x < windows.shape[1]
    ]
    assert min(apart) == 0


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


def test_it_answers_a_question_about_a_picture(narrator: Client):
    scene = handle_file(str(SCENES / "desert-003.jpg"))
    assert "desert" in narrator.predict(scene, "where is this?", api_name="/ask")
    assert narrator.predict(None, "where is this?", api_name="/ask") == "Choose a picture first."
    assert narrator.predict(scene, " ", api_name="/ask") == "Write a question first."


def test_the_model_behind_the_api_answers_and_says_so(narrator: Client):
    scene = handle_file(str(SCENES / "desert-003.jpg"))
    said = narrator.predict(scene, "where is this?", "the model behind the API", api_name="/ask")
    assert said == "desert (local: assistant (micro))"


def test_it_remembers_what_it_is_until_another_picture_comes(narrator: Client):
    scene = handle_file(str(SCENES / "desert-003.jpg"))
    narrator.predict(scene, "is there a sheep?", api_name="/ask")
    assert narrator.predict(scene, "where is it?", api_name="/ask").startswith(
        "Where is the sheep? "
    )


@pytest.mark.parametrize(
    ("said", "question", "meant"),
    [
        (["is there a dog in the park?", "yes"], "what color is it?", "what color is the dog?"),
        (["the dog is left of the car"], "is there a cat?", "is there a cat?"),
        (
            ["there is a boat.", "is it large?", "no"],
            "what color is it?",
            "what color is the boat?",
        ),
        ([], "what color is it?", "what color is it?"),
        (["is the dog in the car?", "yes"], "does it bark?", "does the dog bark?"),
        (["is the dog in the car?", "yes"], "does it have doors?", "does the car have doors?"),
    ],
)
def test_it_asks_for_the_thing_that_was_spoken_of(said: list[str], question: str, meant: str):
    from app import remembers

    assert remembers(said, question, ["dog", "cat", "car", "boat"]) == meant


def test_it_names_what_it_hears_even_two_sounds_at_once(narrator: Client):
    recordings, kinds = SPEECH.parent / "recordings", "a dog barking, footsteps, a siren wailing"
    street = handle_file(str(recordings / "street.ogg"))
    said = narrator.predict(street, kinds, api_name="/listen")
    assert said in (
        "I hear a siren wailing and footsteps.",
        "I hear footsteps and a siren wailing.",
    )
    asked_for = "Choose a sound, and write what it may be."
    assert narrator.predict(street, " , ", api_name="/listen") == asked_for
    assert narrator.predict(None, kinds, api_name="/listen") == asked_for


def test_what_is_a_little_under_the_line_comes_with_a_doubt_and_silence_is_nothing():
    from app import hears
    from helpers import media

    waveform, rate = media.audio("storm", 16_000)
    kinds = ["a cat meowing", "rain falling"]
    assert hears(waveform, rate, kinds, sure=0.4) == "rain falling"
    assert hears(waveform, rate, kinds, sure=0.54) == "perhaps rain falling"
    assert hears(waveform, rate, kinds, sure=0.9) == "nothing I know"
    assert hears(np.zeros(rate, np.float32), rate, kinds) == "nothing I know"


def test_it_writes_down_a_spoken_question_in_english(narrator: Client):
    rows = [json.loads(line) for line in (SPEECH.parent / "speech.jsonl").read_text().splitlines()]
    asked = [row for row in rows if row["text"].endswith("?") and row["known_voice"]]
    heard = [
        narrator.predict(handle_file(str(SPEECH.parent / row["file"])), api_name="/hear")
        for row in asked
    ]
    truths = [row["english"] for row in asked]
    assert word_error_rate(truths, heard) <= LIMITS["wer"]
    assert narrator.predict(None, api_name="/hear") == ""


def test_a_question_is_heard_at_any_sampling_rate():
    from app import asked
    from helpers import media

    file = SPEECH / "en-14.ogg"
    texts = [asked(*media.audio(file, rate)) for rate in (48_000, 16_000)]
    assert word_error_rate(texts[:1], texts[1:]) <= LIMITS["wer"]


def test_what_it_says_has_a_voice(narrator: Client):
    samples, rate = soundfile.read(narrator.predict("I see two dogs.", api_name="/say"))
    assert rate == 16_000
    assert 0.8 < len(samples) / rate < 3
    assert np.abs(samples).max() > 0.1
    assert narrator.predict(" ", api_name="/say") is None


def test_it_says_figures_in_words_and_the_same_thing_the_same_way():
    from app import asked, speaks

    waveform, rate = speaks("The market sells soap for 7 euros.")
    assert (waveform.dtype, rate) == (np.float32, 16_000)
    assert np.abs(waveform).max() <= 1
    assert "7 euros" in asked(waveform, rate).replace("seven", "7")
    np.testing.assert_array_equal(waveform, speaks("The market sells soap for 7 euros.")[0])
    other, _ = speaks("The market sells soap for 7 euros.", voice=1)
    assert len(other) != len(waveform) or not np.array_equal(other, waveform)


def test_an_answer_that_it_is_not_sure_of_comes_with_a_doubt():
    from app import answers
    from helpers import media

    picture = media.image(SCENES / "desert-003.jpg")
    said = answers(picture, "where is this?", sure=0.0)
    assert said == "desert"
    assert answers(picture, "where is this?", sure=1.01) == f"perhaps {said}"


# ---- in a browser


def test_a_visitor_who_chooses_an_example_reads_and_hears_what_it_shows(narrator, open_page):
    from app import count, speaks
    from helpers import media

    page = open_page(narrator.src)
    page.locator("button.gallery-item").nth(3).click()
    said = value_of(page.get_by_label("What it says"))
    kinds = media.examples("detection")[3]["objects"]["category"]
    assert said == f"I see {count([{'label': kind, 'score': 1.0} for kind in kinds])}."
    heard, rate = soundfile.read(io.BytesIO(downloaded(page)))
    voice, its_rate = speaks(said)
    assert rate == its_rate
    np.testing.assert_allclose(heard, voice, atol=0.001)


def test_a_visitor_who_asks_aloud_sees_the_question_written_and_is_answered(narrator, open_page):
    said = "Is there a hotel behind the traffic light?"

    def question_box():
        page = open_page(narrator.src, microphone=SPEECH / "en-14.ogg")
        page.get_by_role("tab", name="Ask").click()
        record(page, seconds=4)
        return page.get_by_label("What would you like to know?")

    def holds_it(box) -> bool:
        print(heard := value_of(box))
        return word_error_rate([said], [heard]) <= LIMITS["wer"]

    question = next(filter(holds_it, (question_box() for _ in range(TRIES))), None)
    assert question
    question.press("Enter")
    answer = value_of(question.page.get_by_label("It says").locator("visible=true"))
    assert answer in ("no", "perhaps no"), "there is none in the picture"
