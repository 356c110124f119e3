"""Routes of the local Hub for Spaces: their stages, settings and logs, and the apps themselves."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Literal
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from services.hub_access import Hub, HubHere, Name, Own, Sent, Shown, Token, stamp
from services.hub_describe import runtime
from services.hub_write import Setting, sleep_seconds
from services.refusals import Refusal
from services.repos import Repository

api = APIRouter(prefix="/api")
files = APIRouter()


@api.get("/spaces/{owner}/{name}/runtime")
def space_runtime(hub: HubHere, repository: Shown) -> dict:
    """Its stage."""
    return runtime(hub, repository)


@api.post("/spaces/{owner}/{name}/restart")
def restart(hub: HubHere, repository: Own) -> dict:
    """Start it anew."""
    with repository.changing() as facts:
        facts.paused = False
    hub.spaces.changed(repository, again=True)
    return runtime(hub, repository)


@api.post("/spaces/{owner}/{name}/pause")
def pause(hub: HubHere, repository: Own) -> dict:
    """Stop it until its owner restarts it."""
    with repository.changing() as facts:
        facts.paused = True
    hub.spaces.pause(hub.spaces.of(repository))
    return runtime(hub, repository)


class Sleep(Sent):
    """After how long unused a Space is put to sleep; -1: never."""

    seconds: Annotated[int, Field(ge=-1, le=10**7)]


@api.post("/spaces/{owner}/{name}/sleeptime")
def sleep_time(hub: HubHere, repository: Own, asked: Sleep) -> dict:
    """Change when it goes to sleep."""
    with repository.changing() as facts:
        facts.sleep_seconds = sleep_seconds(asked.seconds)
    return runtime(hub, repository)


@api.get("/spaces/{owner}/{name}/{settings}")
def list_settings(repository: Own, settings: Literal["variables", "secrets"]) -> dict:
    """Its variables, with their values; its secrets, without."""
    if settings == "secrets":
        return {key: {"key": key} for key in repository.facts.secrets}
    return {key: {"key": key, "value": value} for key, value in repository.facts.variables.items()}


@api.post("/spaces/{owner}/{name}/{settings}")
def add_setting(
    hub: HubHere, repository: Own, settings: Literal["variables", "secrets"], asked: Setting
) -> dict:
    """Set one; a Space that runs is restarted with it, as on the Hub."""
    with repository.changing() as facts:
        kept = getattr(facts, settings)
        if asked.key not in kept and len(kept) >= 100:
            raise Refusal(400, f"A Space has at most 100 {settings}.")
        # A new one, since others may be reading the old one just now.
        setattr(facts, settings, kept | {asked.key: asked.value})
    return _again(hub, repository, settings)


@api.delete("/spaces/{owner}/{name}/{settings}")
def delete_setting(
    hub: HubHere, repository: Own, settings: Literal["variables", "secrets"], asked: Setting
) -> dict:
    """Remove one."""
    with repository.changing() as facts:
        kept = dict(getattr(facts, settings))
        if kept.pop(asked.key, None) is None:
            raise Refusal(404, f"There is no {asked.key} among its {settings}.")
        setattr(facts, settings, kept)
    return _again(hub, repository, settings)


def _again(hub: Hub, repository: Repository, settings: str) -> dict:
    if hub.spaces.of(repository).version:
        hub.spaces.changed(repository, again=True)
    return list_settings(repository, settings)


@api.get("/spaces/{owner}/{name}/logs/{log}")
async def logs(
    request: Request, hub: HubHere, repository: Own, log: Literal["build", "run"], tail: int = 0
) -> StreamingResponse:
    """What it has said, line by line, and then what it says, as server-sent events."""
    lines = hub.spaces.of(repository).logs[log]

    async def events() -> AsyncIterator[str]:
        sent: tuple | None = None
        marked = False
        while not await request.is_disconnected() and not hub.spaces.closed.is_set():
            now = list(lines)
            begin = now.index(sent) + 1 if sent in now else 0
            for line in now[begin:]:
                stored = {"data": line[2] + "\n", "timestamp": stamp(line[1])}
                yield f"data: {json.dumps(stored)}\n\n"
                sent = line
            if not marked:  # a line of later: who does not follow stops here, and need not wait
                marked = True
                later = {"data": "", "timestamp": stamp(time.time() + 2)}
                yield f"data: {json.dumps(later)}\n\n"
            await asyncio.sleep(0.25)

    return StreamingResponse(events(), media_type="text/event-stream")


@files.api_route(
    "/run/{owner}/{name}/{path:path}",
    methods=["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"],
)
@files.api_route("/run/{owner}/{name}", methods=["GET", "HEAD", "OPTIONS"])
async def run(
    request: Request, hub: HubHere, token: Token, owner: Name, name: Name, path: str = ""
) -> Response:
    """What is asked of a Space's app goes to it; of a private one, with its owner's token only."""
    full = f"{owner}/{name}"
    # A browser asks whether it may send a token before it sends it. The answer is the same whether
    # there is such a Space or not: else it would tell of private ones.
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=_preflight(request))
    repository = hub.permit("spaces", full, token)
    port = await hub.spaces.port(repository)
    raw = request.scope.get("raw_path", b"").partition(b"?")[0].decode("latin-1")
    rest = raw.split(f"/run/{quote(owner)}/{quote(name)}", 1)[-1] or "/"
    query = request.url.query
    return await request.app.state.proxy.pass_on(
        request, port, f"{rest}?{query}" if query else rest
    )


def allowed(request: Request) -> dict[str, str]:
    """Who may read an answer: https://fetch.spec.whatwg.org/#cors-protocol.

    Only pages of this machine, as Gradio has it: else any site could make an app here do things.
    """
    origin, found = request.headers.get("origin", ""), None
    with suppress(ValueError):
        found = urlsplit(origin).hostname
    if found not in request.app.state.names:
        return {"Vary": "Origin"}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Vary": "Origin",
    }


def _preflight(request: Request) -> dict[str, str]:
    """What pages of other addresses may send."""
    return allowed(request) | {
        "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, DELETE, PATCH",
        "Access-Control-Allow-Headers": request.headers.get("access-control-request-headers", "*"),
    }
