"""What the local Hub says of a repository: from its card, its files, and how its Space runs."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from services import cards, shelf
from services.hub_access import Hub, stamp
from services.refusals import Refusal
from services.repos import MAIN, File, Repository


@lru_cache(maxsize=2_000)
def _described(repository: Repository, commit: str) -> dict:
    """What a commit's files say of themselves: card, tags, parameters."""
    files = repository.files(commit)
    text = repository.text(commit, "README.md") or ""
    card = cards.read(text)
    said = {"cardData": card, "tags": cards.tags(card, text, set(files), repository.kind)}
    if repository.kind == "models":
        for name in ("pipeline_tag", "library_name"):  # what git brought may be anything
            said |= {name: card[name]} if isinstance(card.get(name), str) else {}
        try:
            config = json.loads(repository.text(commit, "config.json") or "{}")
        except (ValueError, RecursionError):
            config = {}
        if isinstance(config, dict):
            told = {k: config[k] for k in ("architectures", "model_type") if k in config}
            said["config"] = told if cards.plain(told) else {}
    if repository.kind == "spaces":
        said["sdk"] = card.get("sdk")
    return said


@lru_cache(maxsize=2_000)
def _parameters(place: Path) -> dict[str, int]:
    """How many parameters a file holds; nothing where its head is not what it should be."""
    try:
        counts = shelf.safetensors_of(place)
    except (TypeError, RecursionError):
        return {}
    return counts if cards.plain(counts) else {}


def info(hub: Hub, repository: Repository, revision: str = MAIN, blobs: bool = False) -> dict:
    """A repository as the Hub describes it."""
    facts = repository.facts
    said: dict[str, Any] = {
        "_id": f"{abs(hash((repository.kind, repository.name))):024x}"[:24],
        "id": repository.name,
        "author": repository.owner,
        "private": facts.private,
        "gated": "manual" if facts.gated else False,
        "disabled": False,
        "downloads": facts.downloads,
        "likes": 0,
        "createdAt": stamp(facts.created),
        "lastModified": stamp(facts.created),
        "tags": [],
        "siblings": [],
    }
    try:
        commit = repository.commit_of(revision)
    except Refusal:
        if revision != MAIN:
            raise
        return said  # nothing has been committed yet
    files = repository.files(commit)
    said |= {name: value for name, value in _described(repository, commit).items() if value}
    said["sha"] = commit
    said["lastModified"] = stamp(repository.history(commit, most=1)[0].commit_time)
    said["usedStorage"] = sum(file.size for file in files.values())
    said["siblings"] = [_sibling(file, blobs) for file in files.values()]
    if repository.kind == "models":
        said["modelId"] = repository.name
        weights = [file for file in files.values() if file.path.endswith(".safetensors")]
        counts: dict[str, int] = {}
        for file in weights:
            place = hub.repositories.lfs.path(file.lfs or "")
            for kind, number in (_parameters(place) if place else {}).items():
                counts[kind] = counts.get(kind, 0) + number
        total = sum(counts.values()) or facts.parameters
        if total:
            said["safetensors"] = {"parameters": counts, "total": total}
    if repository.kind == "spaces":
        # Unlike the real one it ends in a slash: it has a path, to which clients join theirs.
        said["host"] = f"{hub.address}/run/{repository.name}/"
        said["subdomain"] = repository.name.replace("/", "-").lower()
        said["runtime"] = runtime(hub, repository)
        said["models"] = cards.several(_described(repository, commit)["cardData"].get("models"))
    return said


def _sibling(file: File, blobs: bool) -> dict:
    said: dict[str, Any] = {"rfilename": file.path}
    if blobs:
        said |= {"size": file.size, "blobId": file.oid}
        if file.lfs:
            said["lfs"] = {
                "sha256": file.lfs,
                "size": file.size,
                "pointerSize": file.pointer_size,
            }
    return said


def entry(file: File) -> dict:
    """A file as a row of a listing."""
    said: dict[str, Any] = {
        "type": "file",
        "oid": file.oid,
        "size": file.size,
        "path": file.path,
    }
    if file.lfs:
        said["lfs"] = {"oid": file.lfs, "size": file.size, "pointerSize": file.pointer_size}
    return said


def with_last_commit(repository: Repository, commit: str, entry: dict) -> dict:
    """A row of a listing, with the commit that changed it last."""
    last = repository.history(commit, entry["path"], most=1)
    if last:
        title = last[0].message.decode("utf-8", "replace").partition("\n")[0]
        date = stamp(last[0].commit_time)
        entry["lastCommit"] = {"id": last[0].id.decode(), "title": title, "date": date}
    return entry


def runtime(hub: Hub, repository: Repository) -> dict:
    """How a Space runs."""
    running = hub.spaces.of(repository)
    said = {
        "stage": running.stage,
        "hardware": {"current": "cpu-basic" if running.version else None, "requested": "cpu-basic"},
        "gcTimeout": repository.facts.sleep_seconds,
        "replicas": {"current": int(bool(running.version)), "requested": 1},
    }
    if running.message:
        said["errorMessage"] = running.message
    return said
