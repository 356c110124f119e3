"""A server on this machine that speaks the Hugging Face Hub's API, with the course's own content.

    python -m services.hub --port 8700 --token my-token       # from notebooks/; --help says more

Point the Hub's clients at it (HF_ENDPOINT=http://127.0.0.1:8700, HF_HUB_DISABLE_XET=1, and an
HF_HOME of its own, so that nothing of it reaches your cache) and they work as they do with
huggingface.co: search, read, download, create, commit, push by git, run Spaces.
"""

import argparse
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from services import hub_read, hub_runs, hub_write, serving, shelf, temporary
from services.gitweb import GitWeb
from services.guard import Guard
from services.hub_access import GUEST, USER, Hub
from services.proxy import Proxy
from services.refusals import Refusal
from services.repos import Repositories
from services.spaces import Spaces

# What is worked on as it comes: all other bodies are read whole first.
STREAMED = r"^/run/|^/lfs/|/git-(receive|upload)-pack$|^/api/\w+/[^/]+/[^/]+/commit/"


def app_of(hub: Hub, hosts: tuple[str, ...]) -> FastAPI:
    """The server. It closes what the Hub runs."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.hub, app.state.proxy, app.state.names = hub, Proxy(), hosts
        try:
            yield
        finally:
            await app.state.proxy.close()
            await run_in_threadpool(hub.spaces.close)

    app = FastAPI(lifespan=lifespan, openapi_url=None)
    for routes in (hub_read, hub_write, hub_runs):
        app.include_router(routes.api)
    for routes in (hub_runs, hub_read, hub_write):  # what a Space's pages are called is its affair
        app.include_router(routes.files)
    app.add_middleware(
        GitWeb, repositories=hub.repositories, permit=hub.permit, changed=hub.spaces.changed
    )
    app.add_middleware(
        Guard,
        hosts=hosts,
        max_bytes=hub_write.MAX_BYTES,
        small_bytes=hub_write.JSON_BYTES,
        streamed=lambda path: re.search(STREAMED, path) is not None,
        at_once=256,
        waiting=512,
        answer=lambda refused: Refusal(refused.code, refused.message).response(),
    )

    @app.exception_handler(Refusal)
    async def refusal(request: Request, error: Refusal) -> JSONResponse:
        said = error.response()
        if request.url.path.startswith("/run/"):  # a page that asks an app must be able to read it
            said.headers.update(hub_runs.allowed(request))
        return said

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        if first["loc"][0] == "path":
            return Refusal(404, "There is no such page.").response()
        return Refusal(400, f"{place}: {first['msg']}").response()

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> JSONResponse:
        return Refusal(error.status_code, str(error.detail)).response()

    return app


def main(arguments: list[str] | None = None) -> None:
    """Serve until somebody stops it."""
    parser = argparse.ArgumentParser(
        prog="python -m services.hub",
        description="The Hugging Face Hub's API on this machine, with the course's own content.",
    )
    serving.options(parser, port=8700)
    parser.add_argument("--token", help="with which one may write; else a random one")
    parser.add_argument("--folder", type=Path, help="where to keep repositories; else till the end")
    parser.add_argument(
        "--more", type=Path, help="a folder whose models/, datasets/ and spaces/ to serve too"
    )
    parser.add_argument(
        "--install", action="store_true", help="let Spaces install what they require"
    )
    options = parser.parse_args(arguments)
    if options.more and not options.more.is_dir():
        parser.error(f"--more: there is no folder {options.more}, make it or name another")
    if options.folder:
        try:  # one that is there may be somebody else's: so with the first folder that goes into it
            (options.folder / "lfs").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            parser.error(f"--folder: {error.filename} cannot be made ({error.strerror})")
    given = serving.keys(options.child)
    key = options.token or given.get("key") or secrets.token_urlsafe(24)
    tokens = {key: (USER, True)}
    if guest := given.get("guest"):
        tokens[guest] = (GUEST, False)
    listener, address, names = serving.listen(options.host, options.port)
    # Its repositories are its own: what this user tells git, or a home that is none, is not theirs.
    os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    folder = options.folder or temporary.folder("hub")
    try:
        repositories = Repositories(folder)
        shelf.fill(repositories, options.more)
        spaces = Spaces(repositories, address, options.install)
        hub = Hub(repositories, spaces, tokens, address)
        for repository in list(repositories.known.values()):
            if repository.owner == USER:  # of an earlier start
                spaces.changed(repository)
        said = f"the token is {key}"
        serving.serve(app_of(hub, names), listener, address, options.child, said)
    finally:
        if not options.folder:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
