"""The self-checks of 1. Using Gemini API, all on the local server: no key is spent on them."""

import functools
import io
import itertools
import json
from types import SimpleNamespace

import numpy as np

from helpers import media
from helpers.check.detection import in_toytown
from helpers.check.verdict import Verdict, checklist, self_check, short

MODEL = "gemini-flash-latest"
ORDERS = 20


def _local():
    """A client of this notebook's local server."""
    from google import genai
    from services.connect import running

    server = running()
    return genai.Client(api_key=server.key, http_options={"base_url": server.address})


def _write(contents, **config):
    client = _local()  # by a name: without one it is closed before it has asked
    return client.models.generate_content(model=MODEL, contents=contents, config=config)


@functools.cache
def _read_wrong(temperature: float) -> int:
    """How many of the orders are read wrong at a temperature."""
    from google.genai import types

    text = {"type": "STRING"}
    fields = {"customer": text, "thing": text, "quantity": {"type": "INTEGER"}, "day": text}
    schema = types.Schema(type="OBJECT", properties=fields, property_ordering=list(fields))
    form = {"response_mime_type": "application/json", "response_schema": schema}
    names, days = itertools.cycle(("Mia", "Leo", "Rosa", "Hugo")), ("Monday", "Thursday", "Friday")
    things = itertools.cycle(("scarf", "pillow", "hat", "key", "bag"))
    wrong = 0
    for number, name, thing in zip(range(2, 2 + ORDERS), names, things, strict=False):
        wanted = {"customer": name, "thing": thing, "quantity": number, "day": days[number % 3]}
        letter = f"{name} ordered this {number} times on {wanted['day']}: {thing}."
        said = _write(letter, temperature=temperature, top_p=1.0, seed=number, **form).text
        try:
            wrong += json.loads(said) != wanted
        except ValueError:
            wrong += 1
    return wrong


@functools.cache
def _stories(temperature: float) -> int:
    """How many different stories come of ten requests at a temperature."""
    ask = "Write a story about Leo at the zoo."
    told = [_write(ask, temperature=temperature, candidate_count=5, seed=seed) for seed in (1, 50)]
    return len({one.content.parts[0].text for answer in told for one in answer.candidates})


@self_check("Give two numbers from 0 to 2. For which of the two is a repeated answer a problem?")
def two_temperatures(answer: object) -> Verdict:
    """The temperatures of a form and of a story: mistakes and repetitions are counted."""
    heat, bold = (float(answer[name]) for name in ("orders", "stories"))
    if not (0 <= heat <= 2 and 0 <= bold <= 2):
        hint = "The service takes temperatures from 0 to 2."
        return Verdict(False, "numbers from 0 to 2", answer, hint)
    wrong, different = _read_wrong(heat), _stories(bold)
    yours = f"{wrong} of {ORDERS} orders wrong, {different} different stories of 10"
    expected = "at most one order wrong, at least nine different stories"
    if wrong > 1:
        hint = "A bold draw also draws wrong names and numbers: what must be right is not drawn."
        return Verdict(False, expected, yours, hint)
    hint = "The window shows the same story too often: let the draw be bolder there."
    return Verdict(different >= 9, expected, yours, hint)


@self_check(
    "Give a picture and your own sentence about it: ('my.jpg', 'A dog sleeps on a chair.')."
)
def own_picture_described(answer: object) -> Verdict:
    """A picture of one's own, described by its owner and by the local models."""
    from google.genai import types

    source, sentence = answer
    picture, stored = media.image(source), io.BytesIO()
    picture.save(stored, "PNG")
    part = types.Part.from_bytes(data=stored.getvalue(), mime_type="image/png")
    said = _write([part, "Describe the picture."], temperature=0).text
    texts = [types.Content(parts=[types.Part(text=text)]) for text in (sentence, said)]
    client = _local()
    found = client.models.embed_content(model="gemini-embedding-2", contents=texts)
    yours, machine = (np.array(one.values) for one in found.embeddings)
    print(
        f"you      {short(sentence)}\nmachine  {short(said)}\nnearness {yours @ machine:.2f} of 1"
    )
    print(
        "Is each thing that it names there? What is missing? Would you have noticed, without\n"
        "seeing the picture? Does anything in the response say how sure it is?"
    )
    done = {
        "it is no scene of Toytown": not in_toytown(source),
        "it is large enough to see something (200 pixels)": min(picture.size) >= 200,
        "your sentence has five words or more": len(str(sentence).split()) >= 5,
    }
    return checklist(done)


@self_check("Keep answers in a dictionary, by the question *and* the settings.")
def pay_once(answer: object) -> Verdict:
    """A function that pays once for the same question with the same settings."""
    from google.genai import types

    calls = []

    def ask(contents, **config):
        calls.append(contents)
        if contents == "away" and calls.count("away") == 1:
            raise ConnectionError("the service is away for a moment")
        return SimpleNamespace(text=None if contents == "blocked" else f"answer {len(calls)}")

    thrifty = answer(ask)
    try:
        thrifty("away", temperature=0)
        failed = False
    except ConnectionError:
        failed = True

    def told(*asked: tuple) -> list:
        return [thrifty(contents, **config).text for contents, config in asked]

    def paid(*asked: tuple) -> int:
        before = len(calls)
        told(*asked)
        return len(calls) - before

    cold, styled = {"temperature": 0}, {"system_instruction": "Be brief.", "temperature": 0}
    turned = dict(reversed(styled.items()))
    photo = bytes(1_000)  # two photographs begin alike
    files = [
        types.Part.from_bytes(data=data, mime_type="image/png")
        for data in (photo + b"a", photo + b"b")
    ]
    form = {"temperature": 0, "response_schema": SimpleNamespace}
    done = {
        "an error is passed on, and not remembered": failed and paid(("away", cold)) == 1,
        "the same question is paid once": paid(*[("hours", cold)] * 3) == 1,
        "another system message is another question": paid(("hours", styled)) == 1,
        "the order of the settings does not matter": paid(("hours", turned)) == 0,
        "above 0 it is asked again": paid(*[("hours", {"temperature": 1})] * 2) == 2,
        "without a temperature, too": paid(*[("hours", {})] * 2) == 2,
        "an answer without text is asked for again": paid(*[("blocked", cold)] * 2) == 2,
        "another picture is another question": paid(
            *[([file, "What is it?"], cold) for file in (*files, *files)]
        )
        == 2,
        "a schema is a setting like others": paid(*[("order", form)] * 2, ("order", cold)) == 2,
        "what was paid for comes back": len(set(told(*[("new", cold)] * 2))) == 1,
    }
    return checklist(done)
