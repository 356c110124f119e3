"""Routes of the local Hub that read: who, search, one repository, its files."""

import re
from functools import partial
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from starlette.concurrency import run_in_threadpool

from services.hub_access import (
    Cursor,
    Hub,
    HubHere,
    Kind,
    Limit,
    Name,
    Readable,
    Token,
    paged,
    stamp,
)
from services.hub_describe import entry, info, with_last_commit
from services.refusals import Refusal
from services.repos import Repository

PAGE = 100

api = APIRouter(prefix="/api")
files = APIRouter()


# --- who, search ---------------------------------------------------------------------------------


@api.get("/whoami-v2")
def whoami(hub: HubHere, token: Token) -> dict:
    """Whose token it is."""
    who = hub.who(token)
    if not who:
        raise Refusal(401, "Invalid username or password.")
    role = "write" if who[1] else "read"
    return {
        "type": "user",
        "id": who[0],
        "name": who[0],
        "fullname": who[0].capitalize(),
        "orgs": [],
        "auth": {"type": "access_token", "accessToken": {"displayName": "local", "role": role}},
    }


SORTS = {
    "lastModified": "lastModified",
    "createdAt": "createdAt",
    "downloads": "downloads",
    "likes": "likes",
    "trendingScore": "downloads",
}
SIZE = re.compile(r"(min|max):(\d{1,6}(?:\.\d{1,3})?)([KMBT]?)", re.IGNORECASE)


def _bounds(text: str) -> tuple[float, float]:
    """The bounds of "min:1M,max:2.5B", in parameters."""
    found = {"min": 0.0, "max": float("inf")}
    for part in filter(None, text.split(",")):
        if not (said := SIZE.fullmatch(part.strip())):
            raise Refusal(400, f"num_parameters is {text[:50]!r}: write min:1M,max:2B.")
        unit = {"": 1, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}[said[3].upper()]
        found[said[1].lower()] = float(said[2]) * unit
    return found["min"], found["max"]


@api.get("/{kind}")
def search(
    request: Request,
    hub: HubHere,
    token: Token,
    kind: Kind,
    search: str = "",
    author: str = "",
    filter: Annotated[list[str], Query()] = [],  # noqa: B006 - FastAPI reads it, nobody changes it
    pipeline_tag: str = "",
    num_parameters: str = "",
    gated: bool | None = None,
    sort: str = "",
    direction: str = "-1",
    limit: Limit = PAGE,
    cursor: Cursor = "",
    full: bool = False,
    card: Annotated[bool, Query(alias="cardData")] = False,
    config: bool = False,
    expand: Annotated[list[str], Query()] = [],  # noqa: B006
) -> JSONResponse:
    """Repositories that fit all filters; a filter is a tag. The newest first, unless sorted."""
    who = hub.who(token)
    if sort and sort not in SORTS:
        raise Refusal(400, f"sort is {sort[:50]!r}: use one of {', '.join(SORTS)}.")
    wanted = {part for text in filter for part in text.split(",") if part}
    least, most = _bounds(num_parameters)
    rows = []
    for (k, name), repository in sorted(hub.repositories.known.items()):
        if k != kind or (author and repository.owner.lower() != author.lower()):
            continue
        if repository.facts.private and (not who or who[0] != repository.owner):
            continue
        if any(word not in name.lower() for word in search.lower().split()):
            continue
        if gated is not None and repository.facts.gated != gated:
            continue
        row = info(hub, repository)
        if not wanted <= {*row["tags"], row.get("pipeline_tag"), row.get("library_name")}:
            continue
        if pipeline_tag and row.get("pipeline_tag") != pipeline_tag:
            continue
        if num_parameters and not least <= row.get("safetensors", {}).get("total", -1) <= most:
            continue
        rows.append(row)
    key = SORTS.get(sort, "lastModified")
    rows.sort(key=lambda row: row.get(key) or 0 if key in ("downloads", "likes") else row[key])
    if direction != "1":
        rows.reverse()
    if not expand:
        kept = {"siblings": full, "cardData": full or card, "config": config, "usedStorage": full}
        for row in rows:
            for heavy in (name for name, asked in kept.items() if not asked):
                row.pop(heavy, None)
    return paged(request, rows, limit, cursor)


# --- one repository, read ------------------------------------------------------------------------


@api.get("/{kind}/{name}")
def without_owner(kind: Kind, name: Name) -> None:
    """A name of the Hub's first years, such as gpt2: none of them is here."""
    raise Refusal(404, f"Repository not found: {f'{kind}/{name}'!r}.", "RepoNotFound")


@api.get("/{kind}/{owner}/{name}")
def described(hub: HubHere, repository: Readable, blobs: bool = False) -> dict:
    """What is known of a repository at the head of main."""
    return info(hub, repository, blobs=blobs)


@api.get("/{kind}/{owner}/{name}/revision/{revision:path}")
def described_at(hub: HubHere, repository: Readable, revision: str, blobs: bool = False) -> dict:
    """The same at another revision."""
    return info(hub, repository, revision, blobs)


@api.get("/{kind}/{owner}/{name}/refs")
def refs(repository: Readable) -> dict:
    """Branches and tags."""
    found: dict[str, list] = {"branches": [], "converts": [], "tags": [], "pullRequests": []}
    for ref, commit in sorted(repository.refs().items()):
        kind = "branches" if ref.startswith("refs/heads/") else "tags"
        found[kind].append({"name": ref.split("/", 2)[2], "ref": ref, "targetCommit": commit})
    return found


@api.get("/{kind}/{owner}/{name}/commits/{revision:path}")
def commits(
    request: Request, repository: Readable, revision: str, limit: Limit = 50, cursor: Cursor = ""
) -> JSONResponse:
    """The history of a revision, newest first."""
    rows = []
    for commit in repository.history(repository.commit_of(revision), most=1_000):
        title, _, message = commit.message.decode("utf-8", "replace").partition("\n")
        author = commit.author.decode("utf-8", "replace").partition(" <")[0]
        rows.append(
            {
                "id": commit.id.decode(),
                "title": title,
                "message": message.strip(),
                "authors": [{"user": author}],
                "date": stamp(commit.commit_time),
            }
        )
    return paged(request, rows, limit, cursor)


@api.get("/{kind}/{owner}/{name}/tree/{rest:path}")
def tree(
    request: Request,
    repository: Readable,
    rest: str,
    recursive: bool = False,
    expand: bool = False,
    limit: Limit = 1_000,
    cursor: Cursor = "",
) -> JSONResponse:
    """The files and folders in a folder of a revision."""
    revision, folder = repository.split(rest)
    folder = folder.strip("/")
    commit = repository.commit_of(revision)
    folders = repository.trees(commit)
    if folder and folder not in folders:
        raise Refusal(404, f"{repository.name} has no folder {folder[:100]!r}.", "EntryNotFound")
    begin = f"{folder}/" if folder else ""
    rows = [
        {"type": "directory", "oid": oid, "size": 0, "path": path} for path, oid in folders.items()
    ]
    rows += [entry(file) for file in repository.files(commit).values()]
    rows = [row for row in rows if row["path"].startswith(begin)]
    if not recursive:
        rows = [row for row in rows if "/" not in row["path"][len(begin) :]]
    rows.sort(key=lambda row: (row["type"], row["path"]))
    if not expand:
        return paged(request, rows, limit, cursor)
    finish = partial(with_last_commit, repository, commit)
    return paged(request, rows, min(limit, PAGE), cursor, finish)


@api.post("/{kind}/{owner}/{name}/paths-info/{revision:path}")
async def paths_info(request: Request, repository: Readable, revision: str) -> list[dict]:
    """What is known of some paths; those that are not there are left out."""
    form = await request.form(max_fields=1_100, max_part_size=2_000)
    paths = [str(path) for path in form.getlist("paths")]
    expand = str(form.get("expand", "")).lower() == "true"
    return await run_in_threadpool(_paths, repository, revision, paths, expand)


def _paths(repository: Repository, revision: str, paths: list[str], expand: bool) -> list[dict]:
    commit = repository.commit_of(revision)
    there, folders, found = repository.files(commit), repository.trees(commit), []
    for path in paths:
        if path in there:
            found.append(entry(there[path]))
        elif path in folders:
            found.append({"type": "directory", "oid": folders[path], "size": 0, "path": path})
    return [with_last_commit(repository, commit, row) if expand else row for row in found]


def resolve(hub: Hub, repository: Repository, rest: str, request: Request) -> Response:
    """A file of a revision, whole or a range of it, with what clients keep it by."""
    revision, path = repository.split(rest)
    commit = repository.commit_of(revision)
    if repository.facts.gated and path != "README.md":
        said = f"Access to {repository.name} is restricted: ask its owner, on its page."
        raise Refusal(403, said, "GatedRepo")
    try:
        file = repository.file(commit, path)
    except Refusal as refusal:  # with the commit, so that clients remember what is not there
        response = refusal.response()
        response.headers["X-Repo-Commit"] = commit
        return response
    headers = {"X-Repo-Commit": commit, "ETag": f'"{file.lfs or file.oid}"'}
    headers["Accept-Ranges"] = "bytes"
    headers["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(Path(path).name)}"
    # What somebody pushed is never run by a browser as a page of this server.
    headers |= {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
    known = request.headers.get("if-none-match", "").split(",")
    if {"*", headers["ETag"]} & {mark.strip().removeprefix("W/") for mark in known}:
        return Response(status_code=304, headers=headers)
    if request.method == "GET" and path == "config.json":
        repository.facts.downloads += 1  # as the Hub counts a model's
    asked = request.headers.get("range", "")
    if request.headers.get("if-range", headers["ETag"]) != headers["ETag"]:
        asked = ""  # what the client has the beginning of was another file
    part = _part(asked, file.size)
    if part and part[0] > part[1]:
        response = Refusal(416, f"{path[:100]!r} has {file.size} bytes.").response()
        response.headers["Content-Range"] = f"bytes */{file.size}"
        return response
    if not file.lfs:
        content, kind = repository.content(file), "text/plain; charset=utf-8"
        if not part:
            return Response(content, media_type=kind, headers=headers)
        headers["Content-Range"] = f"bytes {part[0]}-{part[1]}/{file.size}"
        return Response(content[part[0] : part[1] + 1], 206, headers, kind)
    if not (place := hub.repositories.lfs.path(file.lfs)):
        raise Refusal(404, f"The content of {path[:100]!r} is not here.", "EntryNotFound")
    headers |= {"X-Linked-ETag": headers["ETag"], "X-Linked-Size": str(file.size)}
    if not part:  # FileResponse reads the header itself, and refuses what we pass over
        rows = request.scope["headers"]
        request.scope["headers"] = [row for row in rows if row[0] != b"range"]
    return FileResponse(place, headers=headers, media_type="application/octet-stream")


def _part(asked: str, size: int) -> tuple[int, int] | None:
    """The first and the last byte of a range; None: all, as where it cannot be read.

    https://www.rfc-editor.org/rfc/rfc9110#section-14.2; several ranges at once are passed over too.
    """
    said = re.fullmatch(r"bytes=(\d{0,15})-(\d{0,15})", asked)
    if not said or asked == "bytes=-" or not size:
        return None
    if not said[1]:
        return max(0, size - int(said[2])), size - 1
    if said[2] and int(said[1]) > int(said[2]):
        return None
    return int(said[1]), min(int(said[2] or size), size - 1)


@files.api_route("/{owner}/{name}/resolve/{rest:path}", methods=["GET", "HEAD"])
def resolve_model(
    request: Request, hub: HubHere, token: Token, owner: Name, name: Name, rest: str
) -> Response:
    """A file of a model."""
    return resolve(hub, hub.permit("models", f"{owner}/{name}", token), rest, request)


@files.api_route("/{kind}/{owner}/{name}/resolve/{rest:path}", methods=["GET", "HEAD"])
def resolve_other(request: Request, hub: HubHere, repository: Readable, rest: str) -> Response:
    """A file of a dataset or a Space."""
    return resolve(hub, repository, rest, request)
