"""Routes of the local Hub that write: repositories, branches, commits, large files."""

import base64
import json
import re
import secrets
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from dulwich.ignore import IgnoreFilter
from fastapi import APIRouter, Body, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from services import cards
from services.hub_access import Hub, HubHere, Kind, Name, Sent, Token, Writable, token
from services.refusals import Refusal
from services.repos import (
    MAIN,
    REGULAR_BYTES,
    SHA256,
    Repository,
    checked_path,
    good_ref,
    pointer,
)

MAX_BYTES = 500_000_000  # of one request: a file, or what git pushes
JSON_BYTES = 4_000_000  # of one request in JSON, which is read whole before it is understood
COMMIT_BYTES = 40_000_000  # of one commit by the API, its small files in it
LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".onnx", ".parquet", ".zip", ".gz", ".npz")
ATTRIBUTES = "".join(
    f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES
).encode()
DOWNLOAD_SECONDS = 3_600
LFS_JSON = "application/vnd.git-lfs+json"

api = APIRouter(prefix="/api")
files = APIRouter()


class Setting(Sent):
    """A variable or a secret of a Space."""

    key: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
    value: Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00]*$")] = ""


class Create(Sent):
    """A repository that somebody wants."""

    name: Annotated[str, Field(max_length=96)]
    organization: str | None = None
    type: Literal["model", "dataset", "space"] | None = "model"
    visibility: str | None = None
    private: bool = False
    sdk: str | None = None
    variables: list[Setting] = Field(default=[], max_length=100)
    secrets: list[Setting] = Field(default=[], max_length=100)
    sleep: Annotated[int | None, Field(alias="sleepTimeSeconds", ge=-1)] = None


class Named(Sent):
    """A repository by its name."""

    name: str
    organization: str | None = None
    type: Literal["model", "dataset", "space"] | None = "model"


class Visibility(Sent):
    """Who may see a repository."""

    visibility: Literal["public", "private"] | None = None
    private: bool | None = None


def _writer(hub: Hub, token: str) -> str:
    who = hub.who(token)
    if not who:
        raise Refusal(401, "Invalid username or password.")
    if not who[1]:
        raise Refusal(403, "This token may only read.")
    return who[0]


@api.post("/repos/create")
def create(hub: HubHere, token: Token, asked: Create) -> JSONResponse:
    """Make a repository in one's own namespace; private where that is asked."""
    owner = _writer(hub, token)
    if (asked.organization or owner) != owner:
        said = f"You don't have the rights to create a repo under {asked.organization[:96]!r}."
        raise Refusal(403, said)
    kind, name = f"{asked.type or 'model'}s", f"{owner}/{asked.name}"
    if kind == "spaces" and asked.sdk not in ("gradio", "docker", "static"):
        raise Refusal(400, "A Space needs an sdk: gradio, docker or static.")
    private = asked.private or asked.visibility == "private"
    if found := hub.repositories.find(kind, name):
        said = {"error": f"You already created this {kind[:-1]} repo: {name}."}
        return JSONResponse(said | {"url": hub.url(found)}, 409)  # clients read the address
    made = hub.repositories.create(kind, name, private)
    with made.changing() as facts:
        facts.variables = {one.key: one.value for one in asked.variables}
        facts.secrets = {one.key: one.value for one in asked.secrets}
        facts.sleep_seconds = sleep_seconds(asked.sleep)
    first = {".gitattributes": ATTRIBUTES}
    if kind == "spaces":
        first["README.md"] = _first_card(asked.name, asked.sdk).encode()
    made.commit(first, "initial commit", owner)
    hub.spaces.changed(made)
    return JSONResponse({"url": hub.url(made), "name": name, "id": name})


def _first_card(name: str, sdk: str) -> str:
    title = re.sub(r"[^A-Za-z0-9]+", " ", name).strip().capitalize()
    lines = [
        f"title: {json.dumps(title)}",
        "emoji: 🏠",
        "colorFrom: blue",
        "colorTo: yellow",
        f"sdk: {sdk}",
    ]
    if sdk == "gradio":
        lines.append("app_file: app.py")
    return "\n".join(["---", *lines, "pinned: false", "---", ""])


def sleep_seconds(seconds: int | None) -> int | None:
    """After how long unused a Space sleeps; None: never."""
    return None if seconds is None or seconds < 0 else max(1, seconds)


@api.delete("/repos/delete")
def delete(hub: HubHere, token: Token, asked: Named) -> dict:
    """Remove a repository for good."""
    owner = asked.organization or _writer(hub, token)
    found = hub.permit(f"{asked.type or 'model'}s", f"{owner}/{asked.name}", token, write=True)
    hub.repositories.delete(found)  # first, so that nobody wakes it any more
    if found.kind == "spaces":
        hub.spaces.forget(found.name)
    return {}


@api.put("/{kind}/{owner}/{name}/settings")
def settings(repository: Writable, asked: Visibility) -> dict:
    """Make it private, or public."""
    if asked.private is not None or asked.visibility:
        private = asked.private if asked.private is not None else asked.visibility == "private"
        with repository.changing() as facts:
            facts.private = private
        return {"private": private}
    raise Refusal(400, "This Hub changes who may see a repository, and no other setting.")


class Start(Sent):
    """Where a branch or tag begins."""

    starting_point: Annotated[str | None, Field(alias="startingPoint", max_length=100)] = None


def _ref(repository: Repository, ref: str, commit: str | None) -> None:
    """Set a new branch or tag; None: remove it."""
    if not good_ref(ref):
        raise Refusal(400, "A branch or tag has letters, digits, dots and dashes in its name.")
    name, known = ref.split("/", 2)[2], repository.refs()
    if commit and any(one.startswith(f"{ref}/") or ref.startswith(f"{one}/") for one in known):
        raise Refusal(409, f"{name} and a name that is there already would be file and folder.")
    if (ref in known) == bool(commit):
        said = "is there already" if commit else "is not there"
        raise Refusal(
            409 if commit else 404, f"{name} {said}.", "" if commit else "RevisionNotFound"
        )
    if name == MAIN:
        raise Refusal(403, f"{MAIN} stays.")
    with repository.lock, repository.git() as git:
        if commit:
            git.refs[ref.encode()] = commit.encode()
        else:
            del git.refs[ref.encode()]


@api.post("/{kind}/{owner}/{name}/branch/{branch:path}")
def create_branch(repository: Writable, branch: str, asked: Annotated[Start, Body()]) -> dict:
    """A branch from a revision, of main where none is said."""
    _ref(repository, f"refs/heads/{branch}", repository.commit_of(asked.starting_point or MAIN))
    return {}


@api.delete("/{kind}/{owner}/{name}/branch/{branch:path}")
def delete_branch(repository: Writable, branch: str) -> dict:
    """Remove a branch."""
    _ref(repository, f"refs/heads/{branch}", None)
    return {}


class Tagged(Sent):
    """A tag to set."""

    tag: Annotated[str, Field(max_length=100)]


@api.post("/{kind}/{owner}/{name}/tag/{revision:path}")
def create_tag(repository: Writable, revision: str, asked: Tagged) -> dict:
    """A name for a commit that stays."""
    _ref(repository, f"refs/tags/{asked.tag}", repository.commit_of(revision))
    return {}


@api.delete("/{kind}/{owner}/{name}/tag/{tag:path}")
def delete_tag(repository: Writable, tag: str) -> dict:
    """Remove a tag."""
    _ref(repository, f"refs/tags/{tag}", None)
    return {}


class Planned(Sent):
    """A file that somebody is about to commit."""

    path: Annotated[str, Field(max_length=1_000)]
    size: Annotated[int, Field(ge=0)] = 0
    sample: str = ""


class Preupload(Sent):
    """Files that somebody is about to commit."""

    files: Annotated[list[Planned], Field(max_length=1_000)]
    git_ignore: Annotated[str, Field(alias="gitIgnore", max_length=100_000)] = ""


@api.post("/{kind}/{owner}/{name}/preupload/{revision:path}")
def preupload(repository: Writable, revision: str, asked: Preupload) -> dict:
    """Which of them go through LFS, weights and archives and what is large, and which not at all.

    What .gitignore names, the one that is sent or else that of the repository, stays away.
    """
    head = repository.commit_of(revision)
    there = repository.files(head)
    said = asked.git_ignore or repository.text(head, ".gitignore") or ""
    ignoring = IgnoreFilter(line.encode() for line in said.splitlines())
    rows = []
    for file in asked.files:
        checked_path(file.path)
        large = file.size > REGULAR_BYTES or file.path.lower().endswith(LFS_SUFFIXES)
        known = there.get(file.path)
        rows.append(
            {
                "path": file.path,
                "uploadMode": "lfs" if large else "regular",
                "shouldIgnore": _ignored(ignoring, file.path),
                "oid": known and (known.lfs or known.oid),
            }
        )
    return {"files": rows}


def _ignored(ignoring: IgnoreFilter, path: str) -> bool:
    """As git does: what lies in a folder that is ignored is ignored, whatever else is said."""
    parts = path.split("/")
    folders = ("/".join(parts[:end]) + "/" for end in range(1, len(parts)))
    return any(ignoring.is_ignored(one) for one in (*folders, path))


async def pieces(request: Request) -> AsyncIterator[bytes]:
    """What comes; Refusal, which nobody will read, where its sender breaks off."""
    try:
        async for piece in request.stream():
            yield piece
    except ClientDisconnect:
        raise Refusal(499, "The client has gone.") from None


@api.post("/{kind}/{owner}/{name}/commit/{revision:path}")
async def commit(request: Request, hub: HubHere, repository: Writable, revision: str) -> dict:
    """A commit: one line of JSON for its message, one for each file."""
    if request.query_params.get("create_pr", "0").lower() not in ("0", "false", ""):
        raise Refusal(400, "There is no pull request on this Hub: commit to a branch.")
    body = bytearray()
    async for piece in pieces(request):
        body += piece
        if len(body) > COMMIT_BYTES:
            raise Refusal(
                413, f"A commit holds at most {COMMIT_BYTES / 1e6:.0f} MB of small files."
            )
    author = hub.who(token(request))[0]
    made = await run_in_threadpool(_commit, hub, repository, revision, bytes(body), author)
    hub.spaces.changed(repository)
    url = f"{hub.url(repository)}/commit/{made}"
    return {"success": True, "commitOid": made, "commitUrl": url, "hookOutput": ""}


def _commit(hub: Hub, repository: Repository, revision: str, body: bytes, author: str) -> str:
    changes: dict[str, bytes | None] = {}
    header: dict = {}
    refs = repository.refs()
    if f"refs/heads/{revision}" not in (refs or {f"refs/heads/{MAIN}"}):
        raise Refusal(
            404, f"{repository.name} has no branch {revision[:100]!r}.", "RevisionNotFound"
        )
    before = repository.files(refs[f"refs/heads/{revision}"]) if refs else {}
    for number, line in enumerate(body.splitlines(), 1):
        try:
            row = json.loads(line)
            key, value = row["key"], row["value"]
            path = "" if key == "header" else value["path"]
            path = path.removesuffix("/") if key == "deletedFolder" else path
            if key == "header":
                header = dict(value)
                continue
            checked_path(path)
            if key == "file":
                if value.get("encoding") == "base64":
                    content = base64.b64decode(value["content"], validate=True)
                else:
                    content = value["content"].encode()
                if len(content) > REGULAR_BYTES:
                    raise Refusal(413, f"{path[:100]!r} is larger than 10 MB: send it through LFS.")
                changes[path] = content
            elif key == "lfsFile":
                place = hub.repositories.lfs.path(value["oid"])
                if not place:
                    raise Refusal(400, f"The content of {path[:100]!r} has not come.")
                changes[path] = pointer(value["oid"], place.stat().st_size)
            elif key in ("deletedFile", "deletedFolder"):
                gone = [path] if path in before else []
                if key == "deletedFolder":
                    gone = [name for name in before if name.startswith(f"{path}/")]
                if not gone:  # in the words by which the client recognises it
                    said = f"A file with this name doesn't exist: {path[:100]!r}"
                    raise Refusal(404, said, "EntryNotFound")
                changes |= dict.fromkeys(gone)
            else:
                raise Refusal(400, f"Line {number}: {str(key)[:50]!r} is no part of a commit.")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            said = f"Line {number} of the commit cannot be read ({type(error).__name__})."
            raise Refusal(400, said) from None
    readme = changes.get("README.md")
    if readme and (wrong := cards.problems(readme.decode("utf-8", "replace"), repository.kind)):
        raise Refusal(400, "Invalid metadata in README.md: " + "; ".join(wrong))
    message = str(header.get("summary") or "Upload")[:1_000]
    if said := str(header.get("description") or "")[:10_000]:
        message += f"\n\n{said}"
    parent = header.get("parentCommit")
    return repository.commit(
        changes, message, author, revision, parent=str(parent) if parent else None
    )


class Yaml(Sent):
    """A card to look at."""

    content: Annotated[str, Field(max_length=1_000_000)]
    kind: Annotated[Literal["model", "dataset", "space"] | None, Field(alias="repoType")] = None


@api.post("/validate-yaml")
def validate_yaml(asked: Yaml) -> JSONResponse:
    """Whether a card would be taken."""
    wrong = cards.problems(asked.content, f"{asked.kind or 'model'}s")
    said = {"errors": [{"message": one} for one in wrong], "warnings": []}
    if not wrong and not cards.read(asked.content):
        said["warnings"] = [{"message": "empty or missing yaml metadata in repo card"}]
    return JSONResponse(said, 400 if wrong else 200)


# --- large files: Git LFS (https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md) -------


class Object(Sent):
    """A file by its content."""

    oid: Annotated[str, Field(pattern=SHA256.pattern, min_length=64, max_length=64)]
    size: Annotated[int, Field(ge=0, le=10**15)]


class Batch(Sent):
    """Files that somebody wants to send or have."""

    operation: Literal["upload", "download"]
    objects: Annotated[list[Object], Field(max_length=1_000)]


def _held(repository: Repository, asked: Batch) -> set[str]:
    """Large files of the repository: of its branches and tags, of their past where it is asked."""
    held: set[str] = set()
    for most in (1, 1_000):
        if asked.operation == "download" and not held.issuperset(one.oid for one in asked.objects):
            held = repository.large(most)
    return held


def _batch(hub: Hub, repository: Repository, asked: Batch) -> JSONResponse:
    rows = []
    held = _held(repository, asked)
    for one in asked.objects:
        row: dict[str, Any] = {"oid": one.oid, "size": one.size}
        place = hub.repositories.lfs.path(one.oid)
        if asked.operation == "download":
            # Only what is in this repository: else a private file could be had by its sha256.
            if place and one.oid in held:
                key = secrets.token_urlsafe(24)
                hub.downloads[f"{one.oid}:{key}"] = time.monotonic() + DOWNLOAD_SECONDS
                href = f"{hub.address}/lfs/{one.oid}?key={key}"
                row["actions"] = {"download": {"href": href}}
            else:
                row["error"] = {"code": 404, "message": "The file is not here."}
        elif not place:
            key = secrets.token_urlsafe(24)
            if one.size > MAX_BYTES:
                raise Refusal(413, f"A file has at most {MAX_BYTES / 1e6:.0f} MB here.")
            hub.uploads[f"{one.oid}:{key}"] = one.size
            row["actions"] = {"upload": {"href": f"{hub.address}/lfs/{one.oid}?key={key}"}}
        rows.append(row)
    for given in (hub.uploads, hub.downloads):
        while len(given) > 10_000:
            given.pop(next(iter(given)))
    return JSONResponse({"transfer": "basic", "objects": rows}, media_type=LFS_JSON)


@files.post("/{owner}/{name}/info/lfs/objects/batch")
def batch_model(hub: HubHere, token: Token, owner: Name, name: Name, asked: Batch) -> Response:
    """Where to send, or fetch, large files of a model."""
    full = f"{owner}/{name.removesuffix('.git')}"
    write = asked.operation == "upload"
    return _batch(hub, hub.permit("models", full, token, write), asked)


@files.post("/{kind}/{owner}/{name}/info/lfs/objects/batch")
def batch_other(
    hub: HubHere, token: Token, kind: Kind, owner: Name, name: Name, asked: Batch
) -> Response:
    """Where to send, or fetch, large files of a dataset or a Space."""
    full = f"{owner}/{name.removesuffix('.git')}"
    write = asked.operation == "upload"
    return _batch(hub, hub.permit(kind, full, token, write), asked)


@files.put("/lfs/{oid}")
async def lfs_put(request: Request, hub: HubHere, oid: str, key: str = "") -> Response:
    """Take in a large file; its address is the secret that permits it, and says its size."""
    size = hub.uploads.get(f"{oid}:{key}")
    if size is None:
        raise Refusal(403, "This address takes no file: ask for one.")
    with hub.repositories.lfs.receiving(oid, size) as upload:
        async for piece in pieces(request):
            await run_in_threadpool(upload.write, piece)
    hub.uploads.pop(f"{oid}:{key}", None)
    return Response()


@files.get("/lfs/{oid}")
def lfs_get(hub: HubHere, oid: str, key: str = "") -> Response:
    """Give out a large file."""
    place = hub.repositories.lfs.path(oid)
    if hub.downloads.get(f"{oid}:{key}", 0) < time.monotonic() or not place:
        raise Refusal(403, "This address gives no file: ask for one.")
    return FileResponse(place, media_type="application/octet-stream")
