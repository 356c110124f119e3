"""`git clone` and `git push` over HTTP, by dulwich (https://www.dulwich.io), for the local Hub."""

import base64
import binascii
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import parse_qs

from a2wsgi import WSGIMiddleware
from a2wsgi.wsgi_typing import Environ, StartResponse
from dulwich.errors import HookError, NotGitRepository
from dulwich.repo import Repo as Git
from dulwich.server import Backend, ReceivePackHandler
from dulwich.web import make_wsgi_chain
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from services.refusals import Refusal
from services.repos import MAIN, Repositories, Repository, good_ref, why_refused

SERVICES = ("git-upload-pack", "git-receive-pack")
ENDS = ("/info/refs", *(f"/{service}" for service in SERVICES))
NOTHING = b"0" * 40
Permit = Callable[[str, str, str, bool], Repository]


def located(path: str) -> tuple[str, str]:
    """The kind and the name of a repository, from the path of its address."""
    parts = path.strip("/").removesuffix(".git").split("/")
    kind = parts.pop(0) if parts[0] in ("datasets", "spaces") else "models"
    return kind, "/".join(parts)


def token_of(authorization: str) -> str:
    """The token of a header: Bearer, or Basic, whose password it is."""
    scheme, _, said = authorization.partition(" ")
    if scheme.lower() != "basic":
        return said.strip()
    try:
        return base64.b64decode(said, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


class GitWeb:
    """Passes git's own requests to dulwich, and all others on.

    permit: gives the repository of a kind, name, token, and whether it is written to, or raises
    Refusal. changed: is told of each repository that was pushed to.
    """

    def __init__(
        self,
        app: ASGIApp,
        repositories: Repositories,
        permit: Permit,
        changed: Callable[[Repository], None],
    ):
        self.app, self.permit = app, permit
        handlers = {SERVICES[1].encode(): _ReceivePack}
        chain = make_wsgi_chain(_Backend(repositories, changed), handlers=handlers)
        self.git = WSGIMiddleware(_Calm(chain), workers=8)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Git's requests end in one of three ways."""
        path = scope.get("path", "")
        end = next((end for end in ENDS if path.endswith(end)), None)
        # What a Space's app calls its pages is its own affair.
        if scope["type"] != "http" or not end or path.startswith("/run/"):
            await self.app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        query = parse_qs(scope["query_string"].decode("latin-1"))
        first = end == "/info/refs"
        service = query.get("service", [""])[0] if first else end[1:]
        kind = "" if first else f"application/x-{service}-request"
        if service not in SERVICES or scope["method"] != ("GET" if first else "POST"):
            await Refusal(400, "This is no request of git's (smart HTTP).").response()(
                scope, receive, send
            )
            return
        if kind not in ("", headers.get(b"content-type")):
            await Refusal(415, f"Content-Type is not {kind}.").response()(scope, receive, send)
            return
        token, pushes = token_of(headers.get(b"authorization", "")), service == SERVICES[1]
        try:
            found = self.permit(*located(path.removesuffix(end)), token, pushes)
        except Refusal as refusal:
            # Git asks for a token where it gets a 401, and for no other answer.
            refusal.code = 401 if not token else refusal.code
            await refusal.response(challenge=not token)(scope, receive, send)
            return
        # To dulwich as it was understood here, so that it can understand nothing else.
        begin = "" if found.kind == "models" else f"/{found.kind}"
        asked = f"service={service}".encode() if first else b""
        # The server has put the pieces of the body together; dulwich would do so once more.
        rows = [row for row in scope["headers"] if row[0] != b"transfer-encoding"]
        scope = scope | {
            "path": f"{begin}/{found.name}{end}",
            "query_string": asked,
            "headers": rows,
        }
        if pushes and not first:
            await run_in_threadpool(found.tidy)
        await self.git(scope, receive, send)


class _ReceivePack(ReceivePackHandler):
    """Of dulwich, and not put out by what git says of a clone with --depth: "shallow ...".

    A past that is missing here is noticed when all has come.
    """

    def handle(self) -> None:
        read = self.proto.read_pkt_line

        def line() -> bytes | None:
            found = read()
            while found and found.startswith(b"shallow "):
                found = read()
            return found

        self.proto.read_pkt_line = line
        super().handle()


class _Calm:
    """Around dulwich: what it cannot read is refused in a sentence, while nothing has been sent."""

    def __init__(self, app: Callable):
        self.app = app

    def __call__(self, environ: Environ, start_response: StartResponse) -> list[bytes]:
        head, write = [], []

        def start(status: str, headers: list, exc_info: object = None) -> Callable:
            head[:] = [status, headers]
            return send

        def send(piece: bytes) -> None:
            if not write:
                write.append(start_response(*head))
            write[0](piece)

        try:
            for piece in self.app(environ, start):
                send(piece)
            if not write:
                send(b"")
        except Exception as error:
            if write:
                return []  # git misses the end of it, and says so
            code = error.status_code if isinstance(error, HTTPException) else 400
            said = f"What git sent cannot be read ({type(error).__name__})."
            refused = Refusal(code, error.detail if code != 400 else said).response()
            start_response(f"{code} {HTTPStatus(code).phrase}", list(refused.headers.items()))
            return [refused.body]
        return []


class _Backend(Backend):
    def __init__(self, repositories: Repositories, changed: Callable[[Repository], None]):
        self.repositories, self.changed = repositories, changed

    def open_repository(self, path: str | bytes) -> Git:
        text = path.decode() if isinstance(path, bytes) else path
        if not (repository := self.repositories.find(*located(text))):
            raise NotGitRepository(text)
        git = Git(str(repository.folder))
        git.hooks["update"] = _Update(git, self.repositories)
        git.hooks["post-receive"] = _PostReceive(repository, self.changed)
        return git


class _Update:
    """Whether a pushed branch or tag is taken: the Hub's rules, before anything is changed."""

    def __init__(self, git: Git, repositories: Repositories):
        self.git, self.repositories = git, repositories

    def execute(self, ref: bytes, old: bytes, new: bytes) -> tuple[bytes, bytes]:
        if not ref.startswith((b"refs/heads/", b"refs/tags/")):
            raise HookError("only branches and tags can be pushed")
        if new != NOTHING and not good_ref(ref.decode("latin-1")):
            raise HookError("a branch or tag has letters, digits, dots and dashes in its name")
        if self.git.get_refs().get(ref, NOTHING) != old:
            raise HookError("it has changed meanwhile: fetch first")
        if new == NOTHING:
            if ref == f"refs/heads/{MAIN}".encode():
                raise HookError(f"{MAIN} cannot be deleted")
        elif why := why_refused(self.git, new, self.repositories.lfs):
            raise HookError(why)
        return b"", b""


class _PostReceive:
    def __init__(self, repository: Repository, changed: Callable[[Repository], None]):
        self.repository, self.changed = repository, changed

    def execute(self, refs: list) -> bytes:
        self.changed(self.repository)
        return b""
