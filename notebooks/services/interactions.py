"""Interactions: conversations that the server keeps, so that a client sends what is new alone.

As https://ai.google.dev/api/interactions-api has them. Each becomes a generateContent request.
"""

import base64
import binascii
import json
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from services.engine import Answer
from services.errors import Refused
from services.requests import Asked
from services.shapes import (
    Blob,
    Content,
    CreateInteraction,
    FileData,
    FunctionCall,
    FunctionCallingConfig,
    FunctionDeclaration,
    FunctionResponse,
    GenerateContentRequest,
    GenerationConfig,
    InteractionContent,
    InteractionStep,
    Part,
    Tool,
    ToolConfig,
    timestamp,
)
from services.writing import begun, called, finished, safe_length, written

if TYPE_CHECKING:
    from services.gemini import Service

MOST = 1_000  # that are kept
MOST_BYTES = 100_000_000  # of their files, each counted as often as it is kept
GUESSED = {"image": "image/png", "audio": "audio/wav", "document": "application/pdf"}


@dataclass(frozen=True)
class Kept:
    """An interaction: all that was said up to its end, and its own body."""

    contents: list[Content]
    body: dict

    @cached_property
    def bytes(self) -> int:
        """How much its files take."""
        blobs = (part.inline_data for content in self.contents for part in content.parts)
        return sum(len(blob.data) for blob in blobs if blob)


class Interactions:
    """Those of one run of the server; the oldest go first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def keep(self, kept: Kept) -> None:
        """Keep one by its id."""
        self._kept[kept.body["id"]] = kept
        while len(self._kept) > MOST or sum(one.bytes for one in self._kept.values()) > MOST_BYTES:
            self._kept.popitem(last=False)

    def get(self, id: str, field: str = "id") -> Kept:
        """One by its id."""
        if id not in self._kept:
            raise Refused(404, f"There is no interaction {id}.", field)
        return self._kept[id]

    def delete(self, id: str) -> None:
        """Forget one."""
        self.get(id)
        del self._kept[id]


def as_request(asks: CreateInteraction, before: list[Content]) -> GenerateContentRequest:
    """The same as a request to generateContent, after what was said before."""
    given, config = asks.input, asks.generation_config
    if isinstance(given, str):
        new = [Content(role="user", parts=[Part(text=given)])]
    elif isinstance(given, InteractionContent):
        new = [Content(role="user", parts=[_part(given, "input")])]
    elif not given:
        raise Refused(400, "There is nothing in it.", "input")
    elif isinstance(given[0], InteractionStep):
        new = _of_steps(given, before)
    else:
        parts = [_part(one, f"input[{i}]") for i, one in enumerate(given)]
        new = [Content(role="user", parts=parts)]
    schema = _schema(asks)
    if schema is not None and not isinstance(schema, dict | bool):
        raise Refused(400, "A schema is an object.", "response_format.schema")
    system = asks.system_instruction
    functions = [
        FunctionDeclaration(
            name=one.name, description=one.description, parameters_json_schema=one.parameters
        )
        for one in asks.tools
    ]
    mode = config.tool_choice.upper()
    return GenerateContentRequest(
        contents=[*before, *new],
        system_instruction=Content(parts=[Part(text=system)]) if system else None,
        tools=[Tool(function_declarations=functions)] if functions else [],
        tool_config=ToolConfig(function_calling_config=FunctionCallingConfig(mode=mode)),
        generation_config=GenerationConfig(
            temperature=config.temperature,
            top_p=config.top_p,
            max_output_tokens=config.max_output_tokens,
            stop_sequences=config.stop_sequences,
            seed=config.seed,
            response_mime_type="application/json" if schema is not None else None,
            response_json_schema=schema,
        ),
    )


def _schema(asks: CreateInteraction) -> dict | bool | None:
    formats = asks.response_format
    one = formats[0] if isinstance(formats, list) and formats else formats
    if isinstance(one, dict):
        if one.get("type") == "text":
            if "schema" not in one and "mime_type" not in one:
                return None
            wanted = one.get("mime_type", "application/json") == "application/json"
            return one.get("schema", True) if wanted else None
        return one
    return True if asks.response_mime_type == "application/json" else None


def _part(one: InteractionContent, field: str) -> Part:
    if one.type == "text":
        if one.text is None:
            raise Refused(400, "A text has a field text.", f"{field}.text")
        return Part(text=one.text)
    kind = one.mime_type or GUESSED[one.type]
    if one.uri:
        return Part(file_data=FileData(file_uri=one.uri, mime_type=one.mime_type))
    if one.data is None:
        raise Refused(400, "It has neither data nor uri.", f"{field}.data")
    try:
        base64.b64decode(one.data, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(400, "It is not base64.", f"{field}.data") from None
    return Part(inline_data=Blob(mime_type=kind, data=one.data.encode()))


def _of_steps(steps: list[InteractionStep], before: list[Content]) -> list[Content]:
    contents: list[Content] = []
    names = {
        part.function_call.id: part.function_call.name
        for content in before
        for part in content.parts
        if part.function_call
    }
    for i, step in enumerate(steps):
        field = f"input[{i}]"
        if step.type == "function_call":
            call = FunctionCall(name=step.name or "", args=step.arguments or {}, id=step.id)
            names[call.id] = call.name
            contents.append(Content(role="model", parts=[Part(function_call=call)]))
        elif step.type == "function_result":
            name = step.name or names.get(step.call_id)
            if not name:
                raise Refused(400, "No such call was made.", f"{field}.call_id")
            given = step.result if isinstance(step.result, dict) else {"result": step.result}
            result = FunctionResponse(name=name, response=given, id=step.call_id)
            contents.append(Content(role="user", parts=[Part(function_response=result)]))
        else:
            parts = [
                _part(one, f"{field}.content[{j}]") for j, one in enumerate(step.content or [])
            ]
            role = "user" if step.type == "user_input" else "model"
            contents.append(Content(role=role, parts=parts))
    return contents


def _outcome(answer: Answer, asked: Asked) -> tuple[dict, Content, str]:
    """An answer's step, the same as a content, and the interaction's status."""
    if call := called(answer.text, asked):
        step = {
            "type": "function_call",
            "id": call.id,
            "name": call.name,
            "arguments": call.args,
        }
        return step, Content(role="model", parts=[Part(function_call=call)]), "requires_action"
    step = {"type": "model_output", "content": [{"type": "text", "text": answer.text}]}
    status = {"MAX_TOKENS": "incomplete", "OTHER": "failed"}.get(answer.finish, "completed")
    return step, Content(role="model", parts=[Part(text=answer.text)]), status


def _usage(answer: Answer, asked: Asked) -> dict:
    read = {one.modality.lower(): one.token_count for one in asked.tokens}
    total = sum(read.values())
    return {
        "total_input_tokens": total,
        "total_output_tokens": len(answer.tokens),
        "total_tokens": total + len(answer.tokens),
        "input_tokens_by_modality": [
            {"modality": kind, "tokens": count} for kind, count in read.items()
        ],
    }


def routes(app: FastAPI, prefix: str) -> None:
    """Add the routes of interactions."""

    @app.post(f"{prefix}/interactions")
    async def create(request: Request, asks: CreateInteraction) -> Response:
        service: Service = request.app.state.service
        engine, version = service.engine_of(
            asks.model if "/" in asks.model else f"models/{asks.model}"
        )
        before: list[Content] = []
        if asks.previous_interaction_id:
            previous = asks.previous_interaction_id
            before = service.interactions.get(previous, "previous_interaction_id").contents
        whole = as_request(asks, before)
        asked = await service.understood(whole)
        now = timestamp(datetime.now(UTC))
        body = {"id": f"v1_{secrets.token_hex(12)}", "model": version, "created": now}
        if asks.previous_interaction_id:
            body["previous_interaction_id"] = asks.previous_interaction_id

        def done(answer: Answer) -> tuple[dict, dict]:
            step, content, status = _outcome(answer, asked)
            ended = {"status": status, "steps": [step], "usage": _usage(answer, asked)}
            if asks.store:
                contents = [*whole.contents, content]
                service.interactions.keep(Kept(contents, body | ended))
            return body | ended, step

        async def events(answers: AsyncIterator[list[Answer]]) -> AsyncIterator[dict]:
            yield {
                "event_type": "interaction.created",
                "interaction": body | {"status": "in_progress"},
            }
            started, sent = False, 0
            async for (answer,) in answers:
                finish, text = answer.finish, answer.text  # in this order, see `response`
                end = safe_length(text, finish, answer.settings.stops, bool(asked.functions))
                if end > sent and not (finish and called(text, asked)):
                    if not started:
                        started = True
                        step = {"type": "model_output", "content": []}
                        yield {"event_type": "step.start", "index": 0, "step": step}
                    delta = {"type": "text", "text": text[sent:end]}
                    yield {"event_type": "step.delta", "index": 0, "delta": delta}
                    sent = end
            whole_body, step = done(answer)
            if not started:
                yield {"event_type": "step.start", "index": 0, "step": step}
            yield {"event_type": "step.stop", "index": 0}
            yield {"event_type": "interaction.completed", "interaction": whole_body}

        if asks.stream:
            answers = await begun(written(engine, asked, 1, in_pieces=True))
            return StreamingResponse(_sse(events(answers)), media_type="text/event-stream")
        (answer,) = await finished(engine, asked, 1, request)
        return JSONResponse(done(answer)[0])

    @app.get(f"{prefix}/interactions/{{id}}")
    async def get(request: Request, id: str) -> Response:
        return JSONResponse(request.app.state.service.interactions.get(id).body)

    @app.delete(f"{prefix}/interactions/{{id}}")
    async def delete(request: Request, id: str) -> Response:
        request.app.state.service.interactions.delete(id)
        return JSONResponse({})


async def _sse(events: AsyncIterator[dict]) -> AsyncIterator[str]:
    async for event in events:
        yield f"event: {event['event_type']}\ndata: {json.dumps(event)}\n\n"
    yield "data: [DONE]\n\n"
