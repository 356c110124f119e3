"""How fast the local Gemini server is: first token, short answers a second, memory.

python .ci/bench_gemini.py      # a minute; starts a server of its own
"""

import asyncio
import json
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "notebooks"))

from services import local

MODEL = "/v1/models/gemini-flash-latest"
ASKS = ("Write a story about {} at the zoo.", "Tell me a story about {} and the bakery.")
NAMES = ("Leo", "Mia", "Rosa", "Hugo", "Emma", "Felix", "Vera", "Oscar")


def body(number: int, tokens: int) -> dict:
    """A request for a story of so many tokens; no two neighbours are alike."""
    text = ASKS[number % len(ASKS)].format(NAMES[number % len(NAMES)])
    config = {"maxOutputTokens": tokens, "temperature": 1.0}
    return {"contents": [{"parts": [{"text": text}]}], "generationConfig": config}


async def first_token(client: httpx.AsyncClient, number: int) -> float:
    """Seconds to the first piece of a streamed answer, which is then read to its end."""
    begin, came = time.perf_counter(), 0.0
    url = f"{MODEL}:streamGenerateContent?alt=sse"
    async with client.stream("POST", url, json=body(number, 40)) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if line.startswith("data:") and not came:
                came = time.perf_counter() - begin
    return came


async def short_answer(client: httpx.AsyncClient, number: int) -> int:
    """The tokens of an answer of at most twenty."""
    answer = await client.post(f"{MODEL}:generateContent", json=body(number, 20))
    answer.raise_for_status()
    return answer.json()["usageMetadata"]["candidatesTokenCount"]


async def by_clients(clients: int, each: int, ask, client: httpx.AsyncClient) -> list:
    """What `ask` gives, asked `each` times one after the other by so many at once."""

    async def one(who: int) -> list:
        return [await ask(client, who + clients * i) for i in range(each)]

    return [
        x for found in await asyncio.gather(*(one(who) for who in range(clients))) for x in found
    ]


async def measure(server: local.Local) -> dict[str, float]:
    """All figures."""
    headers = {"x-goog-api-key": server.key}
    process = psutil.Process(server.process.pid)
    async with httpx.AsyncClient(base_url=server.address, headers=headers, timeout=60) as client:
        await by_clients(8, 4, short_answer, client)  # warm
        waits = await by_clients(4, 25, first_token, client)
        begin = time.perf_counter()
        tokens = await by_clients(8, 40, short_answer, client)
        seconds = time.perf_counter() - begin
        memory = [process.memory_info().rss / 1e6]
        for _ in range(4):
            await by_clients(8, 32, short_answer, client)
            memory.append(process.memory_info().rss / 1e6)
    return {
        "first token, p50 of 100, 4 clients, ms": 1_000 * float(np.percentile(waits, 50)),
        "first token, p95 of 100, 4 clients, ms": 1_000 * float(np.percentile(waits, 95)),
        "answers a second, 8 clients": len(tokens) / seconds,
        "tokens an answer": float(np.mean(tokens)),
        "memory before 1,024 requests, MB": memory[0],
        "memory after them, MB": memory[-1],
    }


def main() -> None:
    """Measure, and print."""
    with local.start("gemini") as server:
        found = asyncio.run(measure(server))
    print(json.dumps({name: round(value, 1) for name, value in found.items()}, indent=1))


if __name__ == "__main__":
    main()
