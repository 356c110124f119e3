"""Answers in the making, as a request's coroutine sees them."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from services.engine import Answer, Closed, Engine, Full, TooLong, before_stops
from services.errors import Refused
from services.requests import Asked
from services.shapes import (
    Candidate,
    Content,
    FunctionCall,
    GenerateContentResponse,
    Part,
    PromptFeedback,
    UsageMetadata,
)

LISTENING = 0.5  # seconds between two looks whether a client is still there


async def written(
    engine: Engine, asked: Asked, count: int, in_pieces: bool
) -> AsyncIterator[list[Answer]]:
    """The answers to a request, again and again while they grow; at the end all are finished.

    in_pieces: yields them at every token, else once. Where nobody listens any more, they end.
    """
    if asked.said is not None:
        yield [_cut(engine, asked, await run_in_threadpool(asked.said))] * count
        return
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def heard(answer: Answer) -> None:
        if in_pieces or answer.finish:
            loop.call_soon_threadsafe(changed.set)

    answers: list[Answer] = []
    try:
        matcher, schema = None, asked.settings.schema
        if schema is not None:
            matcher = await run_in_threadpool(engine.matcher, schema)
        for number in range(count):
            settings = asked.settings
            if settings.seed is not None:  # else all would be the same
                settings = replace(settings, seed=(settings.seed + number) % 2**63)
            answers.append(engine.write(asked.prompt, settings, heard, in_pieces, matcher))
        finished = False
        while not finished:
            await changed.wait()
            changed.clear()
            finished = all(answer.finish for answer in answers)
            if finished or in_pieces:
                yield answers
    except TooLong as error:
        raise Refused(400, str(error), "contents") from None
    except Full as error:
        raise Refused(429, str(error), seconds=1) from None
    except Closed as error:
        raise Refused(404, str(error), "model") from None
    except ValueError as error:
        raise Refused(400, f"The schema cannot be used: {error}", "generationConfig") from None
    finally:
        for answer in answers:
            answer.given_up = True


async def begun(stream: AsyncIterator) -> AsyncIterator:
    """The same stream, once its first piece is there: a refusal comes before the headers."""
    first = await anext(stream)

    async def pieces() -> AsyncIterator:
        yield first
        async for piece in stream:
            yield piece

    return pieces()


async def finished(engine: Engine, asked: Asked, count: int, listener: Request) -> list[Answer]:
    """The answers to a request, whole; given up where its client has gone away."""

    async def all_of_it() -> list[Answer]:
        return [answers async for answers in written(engine, asked, count, in_pieces=False)][-1]

    task = asyncio.ensure_future(all_of_it())
    while not (await asyncio.wait({task}, timeout=LISTENING))[0]:
        if await listener.is_disconnected():
            task.cancel()
            raise Refused(499, "The client has closed the request.")
    return task.result()


def _cut(engine: Engine, asked: Asked, said: str) -> Answer:
    """What another model has said, under the request's limits, as an answer."""
    tokens = engine.tokenizer(said, add_special_tokens=False)["input_ids"]
    answer = Answer(asked.prompt, asked.settings, lambda answer: None, tokens, said, "STOP")
    limit = asked.settings.limit
    if limit is not None and len(tokens) > limit:
        answer.tokens, answer.finish = tokens[:limit], "MAX_TOKENS"
        answer.text = engine.tokenizer.decode(answer.tokens)
    before = before_stops(answer.text, asked.settings.stops)
    if before is not None:
        answer.text, answer.finish = before, "STOP"
    return answer


def called(text: str, asked: Asked) -> FunctionCall | None:
    """The function that an answer's text calls, if it is one on offer."""
    if not asked.functions:
        return None
    try:
        call = json.loads(text)
        name, arguments = call["name"], call["arguments"]
    except (ValueError, KeyError, TypeError):
        return None
    if name not in asked.functions or not isinstance(arguments, dict):
        return None
    return FunctionCall(name=name, args=arguments, id=secrets.token_hex(4))


def response(
    answers: list[Answer], asked: Asked, model: str, id: str, sent: list[int | None] | None = None
) -> GenerateContentResponse:
    """The answers as Google writes them.

    sent: how many letters of each were sent before, None of one whose end was; it goes on counting.
    """
    candidates = []
    for index, answer in enumerate(answers):
        if sent and sent[index] is None:
            continue
        # The engine's thread writes on: the end first, since the text is whole when that is set.
        finish, text = answer.finish, answer.text
        call = called(text, asked) if finish else None
        begin = sent[index] if sent else 0
        end = safe_length(text, finish, answer.settings.stops, bool(asked.functions))
        parts = [Part(function_call=call)] if call else [Part(text=text[begin:end])]
        if sent is not None:
            sent[index] = None if finish else max(begin, end)
        candidates.append(
            Candidate(content=Content(role="model", parts=parts), index=index, finish_reason=finish)
        )
    wrote = sum(len(answer.tokens) for answer in answers)
    return GenerateContentResponse(
        candidates=candidates,
        usage_metadata=_usage(asked, wrote),
        model_version=model,
        response_id=id,
    )


def refusal(feedback: PromptFeedback, asked: Asked, model: str, id: str) -> GenerateContentResponse:
    """What Google writes where a prompt is blocked: no candidates, and why."""
    return GenerateContentResponse(
        prompt_feedback=feedback,
        usage_metadata=_usage(asked, 0),
        model_version=model,
        response_id=id,
    )


def _usage(asked: Asked, wrote: int) -> UsageMetadata:
    read = sum(one.token_count for one in asked.tokens)
    return UsageMetadata(
        prompt_token_count=read,
        candidates_token_count=wrote,
        total_token_count=read + wrote,
        prompt_tokens_details=asked.tokens,
    )


def safe_length(text: str, finish: str | None, stops: tuple[str, ...], may_call: bool) -> int:
    """How many letters of an answer's text will not change any more.

    Of an unfinished one the last may be half of a letter, or the beginning of a stop; a call is
    sent whole.
    """
    if finish:
        return len(text)
    if may_call and text.lstrip()[:1] in ("", "{"):
        return 0
    held = max([len(stop) - 1 for stop in stops], default=0)
    return max(0, len(text.rstrip("\ufffd")) - held)
