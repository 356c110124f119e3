"""Many requests at once to the local Gemini server: each has the answer that it has alone."""

import asyncio
import json

import httpx
import pytest
from services import local

MODEL = "/v1beta/models/gemini-flash-latest"
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
ASKS = [
    ("When does the zoo open?", {}),
    ("Write a story about Leo at the zoo.", {}),
    ("Write a story about Mia and the bakery.", {"maxOutputTokens": 12}),
    ("Write a story about Leo at the zoo.", {"stopSequences": ["END OF STORY", "."]}),
    ("Write a story about Rosa at the zoo.", {"temperature": 1, "seed": 3}),
    ("Write a story about Rosa at the zoo.", {"temperature": 1.5, "seed": 4, "topK": 5}),
    (
        "Leo is 40 years old, works as a baker and lives in Paris.",
        {"responseMimeType": "application/json", "responseJsonSchema": PERSON},
    ),
    ("What is 2 plus 3?", {"temperature": 1e-40}),
]


@pytest.fixture(scope="module")
def server():
    with local.start("gemini") as running:
        yield running


def body(ask: tuple[str, dict]) -> dict:
    text, config = ask
    contents = [{"role": "user", "parts": [{"text": text}]}]
    return {"contents": contents, "generationConfig": {"temperature": 0} | config}


async def whole(client: httpx.AsyncClient, ask: tuple) -> tuple[str, str]:
    found = (await client.post(f"{MODEL}:generateContent", json=body(ask))).json()
    (candidate,) = found["candidates"]
    return candidate["content"]["parts"][0]["text"], candidate["finishReason"]


async def streamed(client: httpx.AsyncClient, ask: tuple) -> tuple[str, str]:
    text, url = "", f"{MODEL}:streamGenerateContent?alt=sse"
    async with client.stream("POST", url, json=body(ask)) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                (candidate,) = json.loads(line[6:])["candidates"]
                text += candidate["content"]["parts"][0]["text"]
    return text, candidate["finishReason"]


def run(server: local.Local, work):
    async def within():
        headers = {"x-goog-api-key": server.key}
        async with httpx.AsyncClient(
            base_url=server.address, headers=headers, timeout=30
        ) as client:
            return await work(client)

    return asyncio.run(within())


@pytest.fixture(scope="module")
def alone(server) -> list[tuple[str, str]]:
    return run(server, lambda client: one_by_one(client))


async def one_by_one(client: httpx.AsyncClient) -> list[tuple[str, str]]:
    return [await whole(client, ask) for ask in ASKS]


def test_alone_the_answers_are_as_asked_for(alone):
    ends = [finish for _, finish in alone]
    assert ends[2] == "MAX_TOKENS"
    assert set(ends) == {"STOP", "MAX_TOKENS"}
    assert "." not in alone[3][0]
    assert json.loads(alone[6][0]) == {"name": "Leo", "age": 40}
    assert "5" in alone[7][0]


@pytest.mark.parametrize("way", [whole, streamed], ids=["whole", "streamed"])
def test_in_a_crowd_each_has_the_answer_that_it_has_alone(server, alone, way):
    """32 requests of all kinds join and leave one batch; some of their clients go away."""

    async def crowd(client: httpx.AsyncClient):
        async def late(number: int):
            await asyncio.sleep(0.013 * number)
            return await way(client, ASKS[number % len(ASKS)])

        async def impatient(number: int):
            await asyncio.sleep(0.011 * number)
            return await asyncio.wait_for(streamed(client, ASKS[1]), 0.15)

        asked = [late(number) for number in range(32)] + [impatient(n) for n in range(8)]
        return await asyncio.gather(*asked, return_exceptions=True)

    found = run(server, crowd)
    assert any(isinstance(one, TimeoutError) for one in found[32:]), "somebody has gone away"
    for number, one in enumerate(found[:32]):
        assert one == alone[number % len(ASKS)], ASKS[number % len(ASKS)]


def test_who_goes_away_makes_room_for_others(server):
    """A long answer that nobody waits for is given up: the engine is free again at once."""

    async def work(client: httpx.AsyncClient):
        long = body(("Write a story about Leo at the zoo.", {"candidateCount": 8}))
        for _ in range(4):
            with pytest.raises(httpx.ReadTimeout):
                await client.post(f"{MODEL}:generateContent", json=long, timeout=0.05)
        return await asyncio.wait_for(whole(client, ASKS[0]), 10)

    assert run(server, work)[0].startswith("The zoo opens")


def test_more_requests_than_can_wait_are_told_to_come_again():
    with local.start("gemini") as small:

        async def work(client: httpx.AsyncClient):
            many = body(("Write a story about Leo at the zoo.", {"candidateCount": 8}))
            asked = [client.post(f"{MODEL}:generateContent", json=many) for _ in range(40)]
            return [one.status_code for one in await asyncio.gather(*asked)]

        codes = run(small, work)
        assert set(codes) == {200, 429}
        assert run(small, lambda client: whole(client, ASKS[0]))[1] == "STOP"


def test_a_model_that_is_deleted_while_it_is_asked_leaves_nobody_waiting(server):
    examples = {"examples": {"examples": [{"textInput": "a", "output": "b"}]}}
    task = {"trainingData": examples, "hyperparameters": {"epochCount": 1}}
    create = {"baseModel": "models/gemini-flash-latest", "tuningTask": task}

    async def work(client: httpx.AsyncClient):
        made = await client.post("/v1/tunedModels?tunedModelId=short", json=create)
        assert made.status_code == 200
        for _ in range(200):
            if (await client.get("/v1/tunedModels/short")).json()["state"] == "ACTIVE":
                break
            await asyncio.sleep(0.1)
        ask = body(("Write a story about Leo at the zoo.", {"candidateCount": 8}))
        url = "/v1/tunedModels/short:generateContent"
        asked = [client.post(url, json=ask) for _ in range(6)]
        gone = client.delete("/v1/tunedModels/short")
        return await asyncio.wait_for(asyncio.gather(*asked, gone), 20)

    *answers, gone = run(server, work)
    assert gone.status_code == 200
    for answer in answers:
        if answer.status_code == 200:
            ends = {one["finishReason"] for one in answer.json()["candidates"]}
            assert ends <= {"STOP", "OTHER"}
        else:
            assert answer.status_code == 404
