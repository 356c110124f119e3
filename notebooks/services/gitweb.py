"""`git clone` and `git push` over HTTP, by dulwich (https://www.dulwich.io), for the local Hub."""

import base64
import binascii
from collections.abc import Callable
from urllib.parse import parse_qs

from a2wsgi import WSGIMiddleware
from dulwich.errors import HookError, NotGitRepository
from dulwich.repo import Repo as Git
from dulwich.server import Backend
from dulwich.web import make_wsgi_chain
from starlette.types import ASGIApp, Receive, Scope, Send

from services.refusals import Refusal
from services.repos import MAIN, Repositories, Repository, why_refused

ENDS = ("/info/refs", "/git-upload-pack", "/git-receive-pack")
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
        chain = make_wsgi_chain(_Backend(repositories, changed))
        self.git = WSGIMiddleware(chain, workers=8)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Git's requests end in one of three ways."""
        path = scope.get("path", "")
        end = next((end for end in ENDS if path.endswith(end)), None)
        if scope["type"] != "http" or not end:
            await self.app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        query = parse_qs(scope["query_string"].decode("latin-1"))
        pushes = "git-receive-pack" in (end[1:], query.get("service", [""])[0])
        token = token_of(headers.get(b"authorization", ""))
        try:
            self.permit(*located(path.removesuffix(end)), token, pushes)
        except Refusal as refusal:
            # Git asks for a token where it gets a 401, and for no other answer.
            refusal.code = 401 if not token else refusal.code
            await refusal.response(challenge=not token)(scope, receive, send)
            return
        await self.git(scope, receive, send)


class _Backend(Backend):
    def __init__(self, repositories: Repositories, changed: Callable[[Repository], None]):
        self.repositories, self.changed = repositories, changed

    def open_repository(self, path: str | bytes) -> Git:
        text = path.decode() if isinstance(path, bytes) else path
        if not (repository := self.repositories.find(*located(text))):
            raise NotGitRepository(text)
        git = Git(str(repository.folder))
        git.hooks["update"] = _Update(git, repository, self.repositories)
        git.hooks["post-receive"] = _PostReceive(repository, self.changed)
        return git


class _Update:
    """Whether a pushed branch or tag is taken: the Hub's rules, before anything is changed."""

    def __init__(self, git: Git, repository: Repository, repositories: Repositories):
        self.git, self.repository, self.repositories = git, repository, repositories

    def execute(self, ref: bytes, old: bytes, new: bytes) -> tuple[bytes, bytes]:
        if not ref.startswith((b"refs/heads/", b"refs/tags/")):
            raise HookError("only branches and tags can be pushed")
        if set(new) == {ord("0")}:
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
