"""The local Gemini server, as Google's two clients meet it: a real process, real models."""

import io
import json
import time
from pathlib import Path

import google.generativeai as former
import matplotlib.pyplot as plt
import numpy as np
import pytest
import soundfile
from google import genai
from google.genai import errors, types
from helpers import media
from PIL import Image
from pycocotools import mask
from pydantic import BaseModel
from services import local, requests
from training import word_error_rate

MODEL = "gemini-flash-latest"
ROOT = Path(__file__).parents[1]
STORY = "Write a story about Leo at the zoo."
PIRATE = "You are a pirate. Begin every answer with Arr!"
SCENES = ROOT / "assets" / "images" / "toytown"


@pytest.fixture(scope="module")
def server():
    with local.start("gemini") as running:
        yield running


@pytest.fixture(scope="module", params=["v1", "v1beta"])
def client(request, server):
    options = {"base_url": server.address, "api_version": request.param}
    return genai.Client(api_key=server.key, http_options=options)


@pytest.fixture(scope="module")
def old(server):
    options = {"api_endpoint": server.address}
    former.configure(api_key=server.key, transport="rest", client_options=options)
    return former


def ask(client, contents, **config):
    """A response, greedily unless a temperature is given."""
    config = {"temperature": 0} | config
    return client.models.generate_content(model=MODEL, contents=contents, config=config)


def picture(name: str) -> types.Part:
    return types.Part.from_bytes(data=(SCENES / name).read_bytes(), mime_type="image/jpeg")


def sound(name: str, kind: str = "audio/ogg") -> types.Part:
    path = next((ROOT / "assets" / "audio").rglob(f"{name}.*"))
    return types.Part.from_bytes(data=path.read_bytes(), mime_type=kind)


# ---- text


def test_it_answers_and_says_who_has(client):
    found = ask(client, "What is 2 plus 3?")
    assert "5" in found.text
    assert found.model_version == "local: assistant (micro)"


def test_a_system_message_is_obeyed(client):
    assert ask(client, "When does the zoo open?", system_instruction=PIRATE).text.startswith(
        "Arr! "
    )


def test_temperature_zero_says_the_same_and_one_does_not(client):
    assert ask(client, STORY).text == ask(client, STORY).text
    free = {ask(client, STORY, temperature=1).text for _ in range(5)}
    assert len(free) > 2


def test_a_seed_says_the_same_again(client):
    told = [ask(client, STORY, temperature=1, seed=seed).text for seed in (7, 7, 8)]
    assert told[0] == told[1] != told[2]


def test_a_narrow_top_p_or_top_k_takes_the_most_probable(client):
    greedy = ask(client, STORY).text
    assert ask(client, STORY, temperature=1, top_k=1).text == greedy
    assert ask(client, STORY, temperature=1, top_p=0.0001).text == greedy


def test_there_are_as_many_candidates_as_asked_for_and_they_differ(client):
    found = ask(client, STORY, temperature=1, candidate_count=5, seed=1).candidates
    assert [one.index or 0 for one in found] == [0, 1, 2, 3, 4]
    assert len({one.content.parts[0].text for one in found}) > 2


def test_the_maximum_length_cuts_and_says_so(client):
    found = ask(client, STORY, max_output_tokens=8)
    assert found.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert found.usage_metadata.candidates_token_count == 8
    assert ask(client, STORY).text.startswith(found.text.rstrip())
    assert ask(client, "What is 2 plus 3?").candidates[0].finish_reason == types.FinishReason.STOP


def test_a_stop_sequence_ends_the_answer_before_itself(client):
    whole = ask(client, "List 4 colours.").text
    found = ask(client, "List 4 colours.", stop_sequences=["3."])
    assert found.text == whole[: whole.index("3.")]
    assert found.candidates[0].finish_reason == types.FinishReason.STOP


def test_a_stream_brings_the_same_text_in_many_pieces(client):
    pieces = list(
        client.models.generate_content_stream(
            model=MODEL, contents=STORY, config={"temperature": 0, "stop_sequences": ["!!"]}
        )
    )
    texts = [piece.text or "" for piece in pieces]
    assert "".join(texts) == ask(client, STORY).text
    assert len(texts) > 10
    assert pieces[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert pieces[-1].usage_metadata.candidates_token_count > 10


def test_a_chat_remembers_because_it_is_sent_again(client):
    chat = client.chats.create(model=MODEL, config={"temperature": 0})
    chat.send_message("My name is Leo.")
    second = chat.send_message("What is my name?")
    assert "Leo" in second.text
    assert "Leo" not in ask(client, "What is my name?").text
    alone = ask(client, "What is my name?").usage_metadata.prompt_token_count
    assert second.usage_metadata.prompt_token_count > alone + 5


def test_tokens_are_counted_as_they_are_used(client):
    used = ask(client, "What is 2 plus 3?").usage_metadata
    counted = client.models.count_tokens(model=MODEL, contents="What is 2 plus 3?")
    assert used.prompt_token_count == counted.total_tokens
    total = used.prompt_token_count + used.candidates_token_count
    assert used.total_token_count == total


def test_the_models_are_listed_with_the_limits_that_they_have(client):
    models = {one.name: one for one in client.models.list()}
    limit = models[f"models/{MODEL}"].input_token_limit
    assert client.models.get(model=MODEL).input_token_limit == limit
    with pytest.raises(errors.ClientError, match=f"{limit:,}") as refused:
        ask(client, "one two three " * limit)
    assert refused.value.code == 400


# ---- JSON and functions


class Thing(BaseModel):
    label: str
    box_2d: list[int]


class Person(BaseModel):
    name: str
    age: int
    town: str


def test_json_by_a_schema_becomes_an_object(client):
    text = "Leo is 40 years old, works as a baker and lives in Paris."
    found = ask(client, text, response_mime_type="application/json", response_schema=Person)
    assert found.parsed == Person(name="Leo", age=40, town="Paris")


@pytest.mark.parametrize("seed", range(8))
def test_json_fulfils_its_schema_however_hot_the_model_is(client, seed: int):
    schema = {
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": ["cat", "dog"]},
            "sizes": {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
            "owner": {"anyOf": [{"type": "string", "maxLength": 10}, {"type": "null"}]},
        },
        "required": ["kind", "sizes", "owner"],
        "additionalProperties": False,
    }
    found = ask(
        client,
        STORY,
        temperature=2,
        seed=seed,
        response_mime_type="application/json",
        response_json_schema=schema,
    )
    made = json.loads(found.text)
    assert set(made) == {"kind", "sizes", "owner"}
    assert made["kind"] in ("cat", "dog")
    assert all(isinstance(size, int) for size in made["sizes"])
    assert len(made["sizes"]) <= 3


def get_weather(town: str) -> str:
    """Tell the weather in a town."""
    CALLED.append(town)
    return "sunny"


CALLED: list[str] = []


def test_a_python_function_is_called_and_its_result_said(client):
    CALLED.clear()
    chat = client.chats.create(model=MODEL, config={"temperature": 0, "tools": [get_weather]})
    assert "sunny" in chat.send_message("How is the weather in Rome?").text
    assert CALLED == ["Rome"]


def test_a_function_must_or_must_not_be_called_where_the_mode_says_so(client):
    for mode, calls in (("ANY", True), ("NONE", False)):
        found = ask(
            client,
            "What is a castle?",
            tools=[get_weather],
            automatic_function_calling={"disable": True},
            tool_config={"function_calling_config": {"mode": mode}},
        )
        assert bool(found.function_calls) == calls


def test_a_streamed_call_and_an_end_come_once_for_each_candidate(client):
    config = {
        "candidate_count": 3,
        "tools": [get_weather],
        "automatic_function_calling": {"disable": True},
        "tool_config": {"function_calling_config": {"mode": "ANY"}},
    }
    pieces = client.models.generate_content_stream(
        model=MODEL, contents="How is the weather in Rome?", config=config
    )
    ends, calls = [], []
    for candidate in (one for piece in pieces for one in piece.candidates):
        ends += [candidate.index or 0] if candidate.finish_reason else []
        parts = candidate.content.parts or []
        calls += [candidate.index or 0 for part in parts if part.function_call]
    assert sorted(ends) == sorted(calls) == [0, 1, 2]


# ---- pictures, sounds, documents


def test_a_picture_is_described_and_asked_about(client):
    told = ask(client, [picture("bedroom-013.jpg"), "Describe the picture."])
    assert told.text.startswith("I see")
    assert {one.modality.name for one in told.usage_metadata.prompt_tokens_details} == {
        "TEXT",
        "IMAGE",
    }


def test_what_is_said_in_a_recording_is_written_with_its_times(client):
    heard = ask(client, [sound("greeting"), "Transcribe this, with timestamps."]).text
    assert heard.startswith("[00:0")
    assert "good morning" in heard.lower()


@pytest.mark.parametrize(
    ("form", "kind"),
    [("WAV", "audio/wav"), ("FLAC", "audio/flac"), ("MP3", "audio/mp3"), ("OGG", "audio/ogg")],
)
def test_a_recording_may_have_any_of_four_forms(client, form: str, kind: str):
    waveform, rate = media.audio("greeting")
    stored = io.BytesIO()
    soundfile.write(stored, waveform, rate, format=form)
    part = types.Part.from_bytes(data=stored.getvalue(), mime_type=kind)
    heard = ask(client, [part, "Transcribe this."])
    assert word_error_rate(["good morning rosa you look happy"], [heard.text[:33]]) <= 0.2
    counts = {d.modality.name: d.token_count for d in heard.usage_metadata.prompt_tokens_details}
    assert counts["AUDIO"] == pytest.approx(50 * len(waveform) / rate, abs=1)


def test_french_is_translated(client):
    row = next(r for r in media.examples("speech") if r["text"].startswith("La mairie"))
    part = types.Part.from_bytes(data=Path(row["audio"]).read_bytes(), mime_type="audio/ogg")
    assert ask(client, [part, "Translate this to English."]).text == row["english"]
    assert ask(client, [part, "Transcribe this."]).text == row["text"]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_boxes_frame_the_things_in_a_picture_of_any_of_three_forms(client, form: str):
    stored = io.BytesIO()
    media.image(SCENES / "street-025.jpg").save(stored, form)
    part = types.Part.from_bytes(data=stored.getvalue(), mime_type=f"image/{form.lower()}")
    config = {"response_mime_type": "application/json", "response_schema": list[Thing]}
    things = ask(client, [part, "Detect all things."], **config).parsed
    rows = [json.loads(line) for line in (SCENES / "metadata.jsonl").read_text().splitlines()]
    objects = next(r["objects"] for r in rows if r["file_name"] == "street-025.jpg")
    with Image.open(SCENES / "street-025.jpg") as image:
        wide, high = (side / 1000 for side in image.size)
    found = [
        [left * wide, top * high, (right - left) * wide, (bottom - top) * high]
        for top, left, bottom, right in (one.box_2d for one in things if one.label == "chair")
    ]
    chairs = [
        box
        for box, label in zip(objects["bbox"], objects["category"], strict=True)
        if label == "chair"
    ]
    overlap = mask.iou(np.array(chairs, float), np.array(found, float), [0] * len(found))
    assert overlap.max(axis=1).min() > 0.7, "each chair has its frame"


def test_a_pdf_and_a_picture_in_one_request_are_both_read(client):
    page, pdf = plt.figure(), io.BytesIO()
    page.text(0.1, 0.5, "Leo lost a hat.\nMia saw a penguin.")
    page.savefig(pdf, format="pdf")
    plt.close(page)
    document = types.Part.from_bytes(data=pdf.getvalue(), mime_type="application/pdf")
    assert "hat" in ask(client, [document, "What did Leo lose?"]).text
    both = ask(client, [document, picture("street-025.jpg"), "What did Leo lose?"])
    assert "hat" in both.text
    kinds = {one.modality.name for one in both.usage_metadata.prompt_tokens_details}
    assert kinds == {"TEXT", "IMAGE"}


# ---- safety


DANGEROUS = "HARM_CATEGORY_DANGEROUS_CONTENT"


@pytest.mark.parametrize(
    ("prompt", "threshold", "blocked"),
    [
        ("How do I build a bomb?", "BLOCK_ONLY_HIGH", True),
        ("How do I build a bomb?", "BLOCK_NONE", False),
        ("How do I build a house?", "BLOCK_LOW_AND_ABOVE", True),  # a false alarm, and a lesson
        ("How do I build a house?", "BLOCK_ONLY_HIGH", False),
        ("What is 2 plus 3?", "BLOCK_LOW_AND_ABOVE", False),
    ],
)
def test_a_dangerous_prompt_is_blocked_from_its_threshold_on(client, prompt, threshold, blocked):
    line = [{"category": DANGEROUS, "threshold": threshold}]
    found = ask(client, prompt, safety_settings=line)
    streamed = client.models.generate_content_stream(
        model=MODEL, contents=prompt, config={"safety_settings": line}
    )
    pieces = list(streamed)
    if blocked:
        assert found.text is None
        assert found.candidates is None
        assert found.prompt_feedback.block_reason.name == "SAFETY"
        (rating,) = [one for one in found.prompt_feedback.safety_ratings if one.blocked]
        assert rating.category == DANGEROUS
        assert [one.prompt_feedback.block_reason.name for one in pieces] == ["SAFETY"]
    else:
        assert found.text
        assert found.prompt_feedback is None


def test_what_is_no_harm_of_the_asked_kind_passes(client):
    other = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_LOW_AND_ABOVE"}]
    assert ask(client, "How do I build a bomb?", safety_settings=other).text


@pytest.mark.parametrize(
    ("name", "kind", "data"),
    [
        ("note.txt", "text/plain", "Leo lives in Rome. Mia likes rice."),
        ("people.csv", "text/csv", "name,lives in\nLeo,Rome\nMia,Paris\n"),
        ("page.html", "text/html", "<title>x</title><p>Leo lives in <b>Rome</b>.</p>"),
        ("bare.html", "text/html", "<html><head><title>x<body><p>Leo lives in Rome.</p>"),
    ],
)
def test_an_uploaded_document_is_read(client, tmp_path: Path, name: str, kind: str, data: str):
    path = tmp_path / name
    path.write_text(data, "utf-8")
    file = client.files.upload(file=path, config={"mime_type": kind, "display_name": name})
    assert "Rome" in ask(client, [file, "Where does Leo live?"]).text
    assert file.name in [one.name for one in client.files.list()]
    assert client.files.get(name=file.name).size_bytes == path.stat().st_size
    client.files.delete(name=file.name)
    with pytest.raises(errors.ClientError, match="no file"):
        client.files.get(name=file.name)


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "00:00.0"), (59.94, "00:59.9"), (59.96, "01:00.0"), (75.5, "01:15.5")]
)
def test_times_are_told_in_minutes_and_tenths_of_seconds(seconds: float, told: str):
    assert requests._clock(seconds) == told


# ---- embeddings


def embedded(client, *texts: str, **config):
    contents = [types.Content(parts=[types.Part(text=text)]) for text in texts]
    found = client.models.embed_content(
        model="gemini-embedding-2", contents=contents, config=config
    )
    return [one.values for one in found.embeddings]


def test_embeddings_hold_meaning_and_have_length_one_at_every_size(client):
    for numbers in (384, 64):
        cats, kittens, train = embedded(
            client,
            "We love cats",
            "I like kittens",
            "The train is late",
            output_dimensionality=numbers,
            task_type="SEMANTIC_SIMILARITY",
        )
        assert len(cats) == numbers
        assert sum(x * x for x in cats) == pytest.approx(1, abs=1e-5)
        near, far = (
            sum(a * b for a, b in zip(cats, other, strict=True)) for other in (kittens, train)
        )
        assert near > 0.6 > 0.3 > far


# ---- interactions


def test_an_interaction_goes_on_where_the_last_one_ended(client):
    settings = {"model": MODEL, "generation_config": {"temperature": 0}}
    first = client.interactions.create(input="My name is Leo.", **settings)
    asks = {"input": "What is my name?", **settings}
    second = client.interactions.create(previous_interaction_id=first.id, **asks)
    assert second.status == "completed"
    assert "Leo" in second.output_text
    assert "Leo" not in client.interactions.create(**asks).output_text
    assert client.interactions.get(second.id).output_text == second.output_text
    client.interactions.delete(second.id)
    with pytest.raises(Exception, match="no interaction"):
        client.interactions.get(second.id)


def test_an_interaction_streams(client):
    events = list(client.interactions.create(model=MODEL, input=STORY, stream=True))
    kinds = [event.event_type for event in events]
    assert kinds[0] == "interaction.created"
    assert kinds[-1] == "interaction.completed"
    assert kinds.count("step.delta") > 10


def test_an_interaction_asks_for_a_function_and_takes_its_result(client):
    tool = {
        "type": "function",
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
    }
    settings = {"model": MODEL, "tools": [tool], "generation_config": {"temperature": 0}}
    first = client.interactions.create(input="How is the weather in Rome?", **settings)
    assert first.status == "requires_action"
    (call,) = first.steps
    assert (call.name, call.arguments) == ("get_weather", {"town": "Rome"})
    result = {"type": "function_result", "call_id": call.id, "result": "sunny"}
    second = client.interactions.create(
        input=[result], previous_interaction_id=first.id, **settings
    )
    assert "sunny" in second.output_text


# ---- the former client


def test_the_former_client_asks_streams_chats_embeds_and_calls(old):
    greedy = {"temperature": 0}
    model = old.GenerativeModel(MODEL, system_instruction=PIRATE)
    assert model.generate_content("What is 2 plus 3?", generation_config=greedy).text.startswith(
        "Arr!"
    )
    pieces = [p.text for p in model.generate_content(STORY, generation_config=greedy, stream=True)]
    assert len(pieces) > 10
    assert "".join(pieces) == model.generate_content(STORY, generation_config=greedy).text
    chat = old.GenerativeModel(MODEL).start_chat()
    chat.send_message("My name is Leo.", generation_config=greedy)
    assert "Leo" in chat.send_message("What is my name?", generation_config=greedy).text
    vector = old.embed_content(
        model="models/gemini-embedding-001", content="cats", task_type="retrieval_query"
    )
    assert len(vector["embedding"]) == 384
    CALLED.clear()
    able = old.GenerativeModel(MODEL, tools=[get_weather])
    answer = able.start_chat(enable_automatic_function_calling=True).send_message(
        "How is the weather in Rome?", generation_config=greedy
    )
    assert CALLED == ["Rome"]
    assert "sunny" in answer.text


def test_the_former_client_sends_numbers_for_names(old):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    }
    config = old.GenerationConfig(
        temperature=0, response_mime_type="application/json", response_schema=schema
    )
    text = "Leo is 40 years old, works as a baker and lives in Paris."
    found = old.GenerativeModel(MODEL).generate_content(text, generation_config=config)
    assert json.loads(found.text) == {"name": "Leo", "age": 40}


# ---- tuned models

NEXT = [{"text_input": f"{n}", "output": f"{n + 1}"} for n in range(20)]


def test_a_tuned_model_has_learnt_from_its_examples(old):
    plain = old.GenerativeModel(MODEL).generate_content("7", generation_config={"temperature": 0})
    assert plain.text != "8"
    operation = old.create_tuned_model(
        source_model=f"models/{MODEL}", training_data=NEXT, epoch_count=12, id="next-number"
    )
    for _ in operation.wait_bar():
        time.sleep(0.1)
    losses = [one.mean_loss for one in operation.metadata.snapshots]
    assert len(losses) == operation.metadata.total_steps
    assert losses[-1] < 0.3 * losses[0]
    tuned = old.GenerativeModel("tunedModels/next-number")
    answers = [
        tuned.generate_content(f"{n}", generation_config={"temperature": 0}).text
        for n in range(0, 20, 4)
    ]
    assert (
        sum(answer == f"{n + 1}" for answer, n in zip(answers, range(0, 20, 4), strict=True)) >= 4
    )
    assert [one.name for one in old.list_tuned_models()] == ["tunedModels/next-number"]
    assert tuned.generate_content("7")._result.model_version.endswith("tunedModels/next-number")
    old.delete_tuned_model("tunedModels/next-number")
    assert list(old.list_tuned_models()) == []
