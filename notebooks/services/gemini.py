"""A server on this machine that speaks the Gemini API, and answers with the course's own models.

    python -m services.gemini --port 8600 --key my-key        # from notebooks/; --help says more

Point Google's clients at it (`http_options={"base_url": "http://127.0.0.1:8600"}`) and they work
as they do with Google, but for what the small models cannot do, and for the former client's
`upload_file`, which asks Google whatever its endpoint. `modelVersion` in each response says who has
answered.
"""

import argparse
import json
import re
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import Body, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from helpers import checkpoint, checkpoints
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from services import interactions, serving, tuning
from services.engine import Engine
from services.errors import Refused
from services.guard import Guard, Keys, Quota
from services.local import HERE
from services.parts import Piece, opened
from services.requests import (
    DEFAULT_TEMPERATURE,
    DEFAULT_TOP_K,
    DEFAULT_TOP_P,
    Asked,
    understood,
)
from services.safety import Safety
from services.senses import Senses
from services.shapes import (
    BatchEmbedContentsRequest,
    CountTokensRequest,
    CountTokensResponse,
    EmbedContentRequest,
    GenerateContentRequest,
    Model,
    Part,
    PromptFeedback,
    UploadStart,
)
from services.uploads import Uploads
from services.writing import begun, finished, refusal, response, written

MAX_BYTES = 20_000_000  # of a file
CHAT_MODELS = ("gemini-flash-latest", "gemini-3.6-flash", "gemini-3.5-flash-lite")
EMBEDDING_MODELS = ("gemini-embedding-2", "gemini-embedding-001")
NUMBER = re.compile(r"[0-9]{1,12}")  # of bytes, in a header
PREFIXES = ("/v1", "/v1beta")
PageToken = Annotated[str, Query(alias="pageToken", pattern=r"^\d{0,6}$")]
GUEST = Quota(5, seconds=1)  # few enough to see a refusal, soon over


class Service:
    """What the server works with: its models, its files, and what is kept between requests."""

    def __init__(self, address: str, max_bytes: int = MAX_BYTES, folder: Path | None = None):
        """folder: of a checkpoint that answers; None: the course's assistant."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.version = f"local: assistant ({checkpoints.current_tier().name})"
        if folder is not None:
            if not (folder / "config.json").is_file():
                raise FileNotFoundError(f"{folder} holds no config.json: it is no checkpoint.")
            self.version = f"local: {folder.name}"
        folder = folder or checkpoint("assistant")
        self.words = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder)
        self.engine = Engine(self.model, self.words)
        self.senses = Senses()
        self.safety = Safety(self.senses)
        self.uploads = Uploads(max_bytes, address)
        self.tuned = tuning.TunedModels(self.model, self.words)
        self.interactions = interactions.Interactions()

    def close(self) -> None:
        """Stop what runs, and remove what was uploaded."""
        self.tuned.close()
        self.engine.close()
        self.uploads.close()

    def engine_of(self, name: str) -> tuple[Engine, str]:
        """The engine that plays a model, and what it says of itself."""
        short = name.removeprefix("models/")
        if short in CHAT_MODELS:
            return self.engine, self.version
        if name.startswith("tunedModels/"):
            return self.tuned.engine(name), f"{self.version}, {name}"
        raise Refused(404, f"There is no model {name} that writes: see models.list().", "model")

    def models(self) -> list[Model]:
        """All models on offer."""
        chat = [
            Model(
                name=f"models/{name}",
                version="local",
                display_name=self.version,
                description="The course's assistant, in the place of Google's model.",
                input_token_limit=self.engine.window - 1,
                output_token_limit=self.engine.window - 1,
                supported_generation_methods=["generateContent", "countTokens"],
                temperature=DEFAULT_TEMPERATURE,
                max_temperature=2.0,
                top_p=DEFAULT_TOP_P,
                top_k=DEFAULT_TOP_K,
            )
            for name in CHAT_MODELS
        ]
        embedding = [
            Model(
                name=f"models/{name}",
                version="local",
                display_name="local: embedder",
                description="all-MiniLM-L6-v2, in the place of Google's model.",
                input_token_limit=256,
                output_token_limit=1,
                supported_generation_methods=["embedContent"],
            )
            for name in EMBEDDING_MODELS
        ]
        return chat + embedding

    def open_file(self, part: Part, field: str) -> Piece:
        """The file of a part."""
        if part.inline_data:
            data, kind = part.inline_data.data, part.inline_data.mime_type
            return opened(data, kind, f"{field}.inlineData")
        data, kind = self.uploads.data(part.file_data.file_uri, f"{field}.fileData")
        return opened(data, part.file_data.mime_type or kind, f"{field}.fileData")

    async def understood(self, request: GenerateContentRequest, to_answer: bool = True) -> Asked:
        """A request, read; its files are opened beside the other requests."""
        how = (self.open_file, self.senses, self.words, to_answer)
        return await run_in_threadpool(understood, request, *how)


def app_of(
    service: Service, keys: dict[str, Quota], hosts: tuple[str, ...] = (HERE, "localhost")
) -> FastAPI:
    """The server; see `Guard` for what it refuses, and for keys. It closes the service."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = service
        try:
            yield
        finally:
            await run_in_threadpool(service.close)

    app = FastAPI(lifespan=lifespan, openapi_url=None)
    body = service.uploads.max_bytes * 7 // 5 + 100_000  # a file in base64, and the text around it
    app.add_middleware(Guard, hosts=hosts, max_bytes=body, gate=Keys(keys))
    _refusals(app)
    for prefix in PREFIXES:
        _routes(app, prefix)
        interactions.routes(app, prefix)
        tuning.routes(app, prefix)
    return app


def _refusals(app: FastAPI) -> None:
    """Every error in Google's form; what went wrong inside is logged, and not sent."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        return JSONResponse(error.body(), error.code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        path = "".join(
            f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"][1:]
        ).lstrip(".")
        said = f"{path}: {first['msg']}" if path else str(first["msg"])
        return JSONResponse(Refused(400, said, path).body(), 400)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        said = str(error.detail)
        if error.status_code == 404:
            said = f"There is nothing at {request.url.path}."
        return JSONResponse(Refused(error.status_code, said).body(), error.status_code)

    @app.exception_handler(UnicodeEncodeError)
    async def half(request: Request, error: UnicodeEncodeError) -> JSONResponse:
        return JSONResponse(Refused(400, "A text holds half of a character.").body(), 400)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse(Refused(500, "An internal error has occurred.").body(), 500)


def _service(request: Request) -> Service:
    return request.app.state.service


async def _blocked(service: Service, asks: GenerateContentRequest) -> PromptFeedback | None:
    """Why a prompt is blocked, where its sender wants it judged."""
    if not asks.safety_settings:
        return None
    return await run_in_threadpool(service.safety.feedback, asks)


def _routes(app: FastAPI, prefix: str) -> None:
    @app.get(f"{prefix}/models")
    async def list_models(
        request: Request,
        page_size: Annotated[int, Query(alias="pageSize", ge=1, le=1000)] = 50,
        page_token: PageToken = "",
    ) -> Response:
        models = [one.body() for one in _service(request).models()]
        return JSONResponse(_page("models", models, page_size, page_token))

    @app.get(f"{prefix}/models/{{name}}")
    async def get_model(request: Request, name: str) -> Response:
        for one in _service(request).models():
            if one.name == f"models/{name}":
                return JSONResponse(one.body())
        raise Refused(404, f"There is no model models/{name}: see models.list().", "name")

    @app.post(f"{prefix}/{{kind}}/{{name}}:generateContent")
    async def generate(
        request: Request, kind: str, name: str, asks: GenerateContentRequest
    ) -> Response:
        service = _service(request)
        engine, version = service.engine_of(f"{kind}/{name}")
        asked = await service.understood(asks)
        if blocked := await _blocked(service, asks):
            return JSONResponse(refusal(blocked, asked, version, secrets.token_hex(8)).body())
        count = asks.generation_config.candidate_count
        answers = await finished(engine, asked, count, request)
        made = response(answers, asked, version, secrets.token_hex(8))
        return JSONResponse(made.body())

    @app.post(f"{prefix}/{{kind}}/{{name}}:streamGenerateContent")
    async def stream(
        request: Request, kind: str, name: str, asks: GenerateContentRequest, alt: str = "json"
    ) -> Response:
        service = _service(request)
        engine, version = service.engine_of(f"{kind}/{name}")
        asked = await service.understood(asks)
        count, id = asks.generation_config.candidate_count, secrets.token_hex(8)
        blocked = await _blocked(service, asks)
        answered = None if blocked else await begun(written(engine, asked, count, in_pieces=True))

        async def pieces() -> AsyncIterator[dict]:
            if answered is None:
                yield refusal(blocked, asked, version, id).body()
                return
            sent: list[int | None] = [0] * count
            async for answers in answered:
                made = response(answers, asked, version, id, sent).body()
                if any(_has_something(one) for one in made["candidates"]):
                    yield made

        if alt == "sse":
            return StreamingResponse(_events(pieces()), media_type="text/event-stream")
        return StreamingResponse(_array(pieces()), media_type="application/json")

    @app.post(f"{prefix}/models/{{name}}:countTokens")
    async def count_tokens(request: Request, name: str, asks: CountTokensRequest) -> Response:
        service = _service(request)
        service.engine_of(f"models/{name}")
        whole = asks.generate_content_request or GenerateContentRequest(contents=asks.contents)
        tokens = (await service.understood(whole, to_answer=False)).tokens
        total = sum(one.token_count for one in tokens)
        counted = CountTokensResponse(total_tokens=total, prompt_tokens_details=tokens)
        return JSONResponse(counted.body())

    @app.post(f"{prefix}/models/{{name}}:embedContent")
    async def embed(request: Request, name: str, asks: EmbedContentRequest) -> Response:
        (vector,) = await _embedded(_service(request), name, [asks])
        return JSONResponse({"embedding": {"values": vector}})

    @app.post(f"{prefix}/models/{{name}}:batchEmbedContents")
    async def embed_all(request: Request, name: str, asks: BatchEmbedContentsRequest) -> Response:
        vectors = await _embedded(_service(request), name, asks.requests)
        return JSONResponse({"embeddings": [{"values": vector} for vector in vectors]})

    @app.post(f"/upload{prefix}/files")
    async def start_upload(
        request: Request, about: Annotated[UploadStart | None, Body()] = None
    ) -> Response:
        headers, service = request.headers, _service(request)
        if "start" not in headers.get("x-goog-upload-command", ""):
            said = "We take resumable uploads: send X-Goog-Upload-Command: start."
            raise Refused(400, said, "X-Goog-Upload-Command")
        size = headers.get("x-goog-upload-header-content-length")
        if size is not None and not NUMBER.fullmatch(size):
            raise Refused(400, "It is no number.", "X-Goog-Upload-Header-Content-Length")
        token = service.uploads.start(
            (about or UploadStart()).file,
            headers.get("x-goog-upload-header-content-type"),
            None if size is None else int(size),
        )
        there = f"{service.uploads.address}/upload/sessions/{token}"
        return JSONResponse({}, headers={"X-Goog-Upload-URL": there, **_STATUS_ACTIVE})

    @app.get(f"{prefix}/files")
    async def list_files(
        request: Request,
        page_size: Annotated[int, Query(alias="pageSize", ge=1, le=100)] = 10,
        page_token: PageToken = "",
    ) -> Response:
        files = [file.body() for file in _service(request).uploads.files()]
        return JSONResponse(_page("files", files, page_size, page_token))

    @app.get(f"{prefix}/files/{{name}}")
    async def get_file(request: Request, name: str) -> Response:
        return JSONResponse(_service(request).uploads.get(f"files/{name}").body())

    @app.delete(f"{prefix}/files/{{name}}")
    async def delete_file(request: Request, name: str) -> Response:
        _service(request).uploads.delete(f"files/{name}")
        return JSONResponse({})

    if prefix == PREFIXES[0]:

        @app.post("/upload/sessions/{token}")
        async def upload(request: Request, token: str) -> Response:
            return await _uploaded(request, _service(request).uploads, token)


_STATUS_ACTIVE = {"X-Goog-Upload-Status": "active"}


async def _uploaded(request: Request, uploads: Uploads, token: str) -> Response:
    """A piece of an upload, or a question about it."""
    uploads.received(token)  # if there is none, nothing else matters
    commands = [one.strip() for one in request.headers.get("x-goog-upload-command", "").split(",")]
    if unknown := set(commands) - {"upload", "finalize", "query", "cancel"}:
        raise Refused(400, f"Unknown command {sorted(unknown)[0]!r}.", "X-Goog-Upload-Command")
    if "cancel" in commands:
        uploads.cancel(token)
        return JSONResponse({}, headers={"X-Goog-Upload-Status": "cancelled"})
    if "upload" in commands:
        offset = request.headers.get("x-goog-upload-offset", "0")
        if not NUMBER.fullmatch(offset):
            raise Refused(400, "It is no number.", "X-Goog-Upload-Offset")
        data = await request.body()
        await run_in_threadpool(uploads.append, token, int(offset), data)
    here = {"X-Goog-Upload-Size-Received": str(uploads.received(token))}
    if "finalize" in commands:
        file = await run_in_threadpool(uploads.finish, token)
        final = {"X-Goog-Upload-Status": "final"}
        return JSONResponse({"file": file.body()}, headers=final)
    return JSONResponse({}, headers=_STATUS_ACTIVE | here)


async def _embedded(
    service: Service, name: str, asks: list[EmbedContentRequest]
) -> list[list[float]]:
    if name not in EMBEDDING_MODELS:
        raise Refused(404, f"There is no model models/{name} that embeds.", "model")
    most = await run_in_threadpool(lambda: service.senses.embedding_size)
    texts = []
    for i, one in enumerate(asks):
        text = "\n".join(part.text for part in one.content.parts if part.text)
        if not text:
            raise Refused(400, "There is no text to embed.", f"requests[{i}].content")
        if one.output_dimensionality and one.output_dimensionality > most:
            said = f"The embedder has {most} numbers."
            raise Refused(400, said, f"requests[{i}].outputDimensionality")
        texts.append(text.encode().decode())  # half of a character is an error here
    vectors = await run_in_threadpool(service.senses.embedded, texts)
    made = []
    for one, vector in zip(asks, vectors, strict=True):
        part = vector[: one.output_dimensionality or most].astype(float)
        made.append((part / ((part**2).sum() ** 0.5)).tolist())
    return made


def _page(name: str, rows: list[dict], size: int, token: str) -> dict:
    """A page of a list, and the token of the next."""
    begin = int(token or 0)
    page: dict = {name: rows[begin : begin + size]}
    if begin + size < len(rows):
        page["nextPageToken"] = str(begin + size)
    return page


def _has_something(candidate: dict) -> bool:
    parts = candidate["content"]["parts"]
    return "finishReason" in candidate or any(part != {"text": ""} for part in parts)


async def _events(pieces: AsyncIterator[dict]) -> AsyncIterator[str]:
    async for piece in pieces:
        yield f"data: {json.dumps(piece)}\r\n\r\n"


async def _array(pieces: AsyncIterator[dict]) -> AsyncIterator[str]:
    before = "["
    async for piece in pieces:
        yield f"{before}{json.dumps(piece)}"
        before = ",\r\n"
    yield "]" if before != "[" else "[]"


def main(arguments: list[str] | None = None) -> None:
    """Serve until somebody stops it."""
    parser = argparse.ArgumentParser(
        prog="python -m services.gemini",
        description="The Gemini API on this machine, answered by the course's own models.",
    )
    serving.options(parser, port=8600)
    parser.add_argument("--key", action="append", help="as often as you like; else a random one")
    parser.add_argument(
        "--requests-per-minute", type=serving.number(10**6), default=0, help="of a key; 0: no limit"
    )
    parser.add_argument("--max-megabytes", type=float, default=MAX_BYTES / 1e6, help="of a file")
    parser.add_argument("--assistant", type=Path, help="the folder of a chat model of your own")
    options = parser.parse_args(arguments)
    given = serving.keys(options.child)
    keys = dict.fromkeys(
        options.key or [given.get("key") or secrets.token_urlsafe(24)],
        Quota(options.requests_per_minute),
    )
    if guest := given.get("guest"):
        keys[guest] = GUEST
    listener, address, names = serving.listen(options.host, options.port)
    try:
        service = Service(address, int(options.max_megabytes * 1e6), options.assistant)
    except (OSError, ValueError, MemoryError) as error:  # a checkpoint that is not there
        sys.exit(str(error))
    said = f"the key is {' or '.join(keys)}"
    serving.serve(app_of(service, keys, names), listener, address, options.child, said)


if __name__ == "__main__":
    main()
