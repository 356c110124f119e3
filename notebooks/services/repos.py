"""The repositories of the local Hub: git holds them, by dulwich; large files lie beside (Git LFS).

Layout of a folder: models/, datasets/ and spaces/ of bare git repositories, with a hub.json of what
git does not know; lfs/, whose files are named by their sha256 (https://git-lfs.com).
"""

import hashlib
import json
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from stat import S_ISDIR

from dulwich.errors import MissingCommitError
from dulwich.index import commit_tree
from dulwich.object_store import iter_tree_contents
from dulwich.objects import Blob, Commit, ShaFile, Tag
from dulwich.refs import check_ref_format
from dulwich.repo import Repo as Git

from services.refusals import Refusal

KINDS = ("models", "datasets", "spaces")
MAIN = "main"
MOST_FILES, MOST_REPOS = 2_000, 500
REGULAR_BYTES = 10_000_000  # a larger file must be in LFS, as on the Hub
LFS_BYTES = 2_000_000_000  # of all that clients have stored
PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?")
# .git in two spellings, and what Windows takes for a device whatever ending it has.
WINDOWS = re.compile(r"\.git|git~\d+|(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
COMMIT = re.compile(r"[0-9a-f]{40}")
REF = re.compile(r"refs/(heads|tags)/[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")
SHA256 = re.compile(r"[0-9a-f]{64}")
POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (\d{1,15})\n"
)
FILE_MODE = 0o100644
MODES = (FILE_MODE, 0o100755)


@dataclass(frozen=True)
class File:
    """A file of one commit. size: bytes of its content; lfs: sha256 of it, where it lies in LFS."""

    path: str
    oid: str
    size: int
    lfs: str | None = None
    pointer_size: int = 0


@dataclass
class Facts:
    """What git does not know of a repository. created: seconds since 1970."""

    private: bool = False
    created: float = 0
    downloads: int = 0
    parameters: int | None = None  # of a model whose weights are elsewhere
    gated: bool = False  # its files are for those only whom its owner has let in
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    sleep_seconds: int | None = None
    paused: bool = False

    @classmethod
    def read(cls, stored: Path) -> "Facts":
        """As they were kept, but for what another edition of the course knows and this does not."""
        told = json.loads(stored.read_text("utf-8"))
        return cls(**{one.name: told[one.name] for one in fields(cls) if one.name in told})


def checked_path(path: str) -> str:
    """A path inside a repository, as it came; Refusal where it leads out of it or into git's own.

    Names that Windows reads otherwise (a colon, a backslash, a dot at the end) are refused too.
    """
    parts = path.split("/")
    for part in parts:
        reserved = part in ("", ".", "..") or part[-1] in ". " or WINDOWS.fullmatch(part)
        if reserved or len(part.encode("utf-8", "replace")) > 255:
            raise Refusal(400, f"{path[:100]!r} is no path of a file in a repository.")
    if len(path) > 1_000 or re.search(r'[\x00-\x1f\x7f\\:*?"<>|\ud800-\udfff]', path):
        raise Refusal(400, f"{path[:100]!r} is no path of a file in a repository.")
    return path


def checked_id(name: str) -> str:
    """A name with its owner, owner/name, as it came; Refusal where the Hub would not take it."""
    parts = name.split("/")
    good = len(parts) == 2 and all(PART.fullmatch(part) for part in parts)
    if not good or "--" in name or ".." in name or name.endswith(".git"):
        raise Refusal(400, f"{name[:100]!r} is no repository: write owner/name.", "InvalidId")
    return name


def good_ref(ref: str) -> bool:
    """Whether it is the name of a branch or tag that this Hub takes, as "refs/heads/main"."""
    return bool(REF.fullmatch(ref)) and check_ref_format(ref.encode())


class Lfs:
    """Files by their sha256. Some are read where they lie, such as the course's checkpoints."""

    def __init__(self, folder: Path):
        self.folder, self.elsewhere, self.lock = folder, {}, threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        for part in folder.glob("*.part"):  # of a Hub that was killed; others' files stay
            if SHA256.fullmatch(part.name.partition(".")[0]):
                part.unlink()
        self.stored = sum(file.stat().st_size for file in folder.iterdir())

    def add(self, sha256: str, file: Path) -> None:
        """Serve a file that stays where it is."""
        self.elsewhere[sha256] = file

    def path(self, sha256: str) -> Path | None:
        """Where the content lies; None where it has not come."""
        place = self.elsewhere.get(sha256) or self.folder / sha256
        return place if SHA256.fullmatch(sha256) and place.is_file() else None

    def holds(self, sha256: str, size: int) -> bool:
        """Whether the content is here, and of this size."""
        place = self.path(sha256)
        return bool(place) and place.stat().st_size == size

    @contextmanager
    def receiving(self, sha256: str, size: int) -> Iterator["Upload"]:
        """Take in a file piece by piece; it is there only when it is whole and is what it says."""
        with self.lock:
            if self.stored + size > LFS_BYTES:
                raise Refusal(413, f"This Hub keeps at most {LFS_BYTES / 1e9:g} GB of large files.")
            self.stored += size
        upload, before = None, self.holds(sha256, size)
        try:
            upload = Upload(self.folder / f"{sha256}.{time.monotonic_ns()}.part", size)
            yield upload
            upload.file.close()
            if upload.digest.hexdigest() != sha256 or upload.came != size:
                raise Refusal(422, "The content is not that of this sha256 and size.")
            upload.place.replace(self.folder / sha256)
        finally:
            if upload:
                upload.file.close()
                upload.place.unlink(missing_ok=True)
            with self.lock:
                if before or not self.holds(sha256, size):
                    self.stored -= size

    def forget(self, sha256: str) -> None:
        """Remove a file that no repository holds any more."""
        place = self.folder / sha256
        with self.lock, suppress(OSError):
            size = place.stat().st_size
            place.unlink()
            self.stored -= size


class Upload:
    """A file on its way; Refusal when more comes than was said."""

    def __init__(self, place: Path, size: int):
        self.place, self.size, self.came = place, size, 0
        self.file, self.digest = place.open("wb"), hashlib.sha256()

    def write(self, piece: bytes) -> None:
        """Take a piece."""
        self.came += len(piece)
        if self.came > self.size:
            raise Refusal(413, "More came than was said.")
        self.digest.update(piece)
        self.file.write(piece)


class Repository:
    """One repository. Its files change by commits alone."""

    def __init__(self, kind: str, name: str, folder: Path, lfs: Lfs):
        self.kind, self.name, self.folder, self.lfs = kind, name, folder, lfs
        self.lock, self.settling = threading.Lock(), threading.Lock()  # of commits, of facts
        self.sound: set[str] = set()  # commits that have been looked at and found good
        stored = folder / "hub.json"
        self.facts = Facts.read(stored) if stored.is_file() else Facts()

    @property
    def owner(self) -> str:
        """The part before the slash."""
        return self.name.partition("/")[0]

    @contextmanager
    def changing(self) -> Iterator[Facts]:
        """Its facts, to change; then they are kept: written beside, and renamed."""
        with self.settling:
            yield self.facts
            part = self.folder / "hub.json.part"
            part.touch(0o600)  # there are secrets in it
            part.write_text(json.dumps(asdict(self.facts)), encoding="utf-8")
            part.replace(self.folder / "hub.json")

    def tidy(self, seconds: float = 600) -> None:
        """Remove what pushes that broke off have left, that long ago."""
        for part in (self.folder / "objects").glob("tmp_pack_*"):
            with suppress(OSError):
                if time.time() - part.stat().st_mtime >= seconds:
                    part.unlink()

    @contextmanager
    def git(self) -> Iterator[Git]:
        """Its git repository: opened for each use, since dulwich's are not for several threads."""
        with Git(str(self.folder)) as opened:
            yield opened

    def refs(self) -> dict[str, str]:
        """Branches and tags, as "refs/heads/main", each with the commit it names."""
        with self.git() as git:
            found = {}
            for name, oid in git.get_refs().items():
                if name.startswith((b"refs/heads/", b"refs/tags/")):
                    found[name.decode()] = _meant(git, oid).id.decode()
            return found

    def commit_of(self, revision: str) -> str:
        """The commit that a branch, a tag, or the commit's own name stands for."""
        refs = self.refs()
        for prefix in ("", "refs/heads/", "refs/tags/"):
            if found := refs.get(prefix + revision):
                return found
        if COMMIT.fullmatch(revision) and self._sound(revision):
            return revision
        raise Refusal(404, f"{self.name} has no revision {revision[:100]!r}.", "RevisionNotFound")

    def _sound(self, commit: str) -> bool:
        """Whether it is a commit of ours. Git keeps what a refused push brought, too: not this."""
        if commit not in self.sound:
            with self.git() as git:
                there = commit.encode() in git.object_store
                if there and not why_refused(git, commit.encode(), self.lfs):
                    self.sound.add(commit)
        return commit in self.sound

    def split(self, rest: str) -> tuple[str, str]:
        """Part "revision/path": the revision may hold slashes itself."""
        for name in self.refs():
            for known in (name, name.split("/", 2)[2]):
                if rest == known or rest.startswith(f"{known}/"):
                    return known, rest[len(known) + 1 :]
        revision, _, path = rest.partition("/")
        return revision, path

    def files(self, commit: str) -> dict[str, File]:
        """The files of a commit by their paths."""
        return _files(self, commit)

    def file(self, commit: str, path: str) -> File:
        """One of them; Refusal where there is none."""
        if found := self.files(commit).get(path):
            return found
        raise Refusal(404, f"{self.name} has no file {path[:100]!r}.", "EntryNotFound")

    def text(self, commit: str, path: str) -> str | None:
        """A small file's text, None where it is not there; what is no UTF-8 is replaced."""
        found = self.files(commit).get(path)
        if not found or found.lfs:
            return None
        return self.content(found).decode("utf-8", "replace")

    def content(self, file: File) -> bytes:
        """What git holds of a file: of one in LFS, its pointer."""
        with self.git() as git:
            return git[file.oid.encode()].data

    def history(self, commit: str, path: str | None = None, most: int = 100) -> list[Commit]:
        """Commits from the newest back; with a path, those that changed it."""
        with self.git() as git:
            paths = [path.encode()] if path else None
            walk = git.get_walker([commit.encode()], paths=paths, max_entries=most)
            return [entry.commit for entry in walk]

    def large(self, most: int = 10_000) -> set[str]:
        """The sha256 of all that it holds, or has held in so many commits back, in LFS."""
        found: set[str] = set()
        for head in set(self.refs().values()):
            for commit in self.history(head, most=most):
                files = self.files(commit.id.decode()).values()
                found |= {file.lfs for file in files if file.lfs}
        return found

    def trees(self, commit: str) -> dict[str, str]:
        """The folders of a commit by their paths, each with its name in git."""
        with self.git() as git:
            tree = git[commit.encode()].tree
            entries = iter_tree_contents(git.object_store, tree, include_trees=True)
            return {e.path.decode(): e.sha.decode() for e in entries if S_ISDIR(e.mode) and e.path}

    def commit(
        self,
        changes: dict[str, bytes | None],
        message: str,
        author: str,
        branch: str = MAIN,
        parent: str | None = None,
        when: float | None = None,
    ) -> str:
        """Write, or remove (None), files in one commit; return its name.

        parent: the commit that the branch must be at, else Refusal. when: seconds since 1970.
        """
        for path in changes:
            checked_path(path)
        with self.lock, self.git() as git:
            ref = f"refs/heads/{branch}".encode()
            old = git.refs.as_dict().get(ref)
            if parent and (old or b"").decode() != parent:
                raise Refusal(412, f"{branch} is not at {parent[:100]} any more: look again.")
            entries = {}
            if old:
                tree = git[old].tree
                entries = {
                    e.path: (e.sha, e.mode) for e in iter_tree_contents(git.object_store, tree)
                }
            for path, content in changes.items():
                if content is None:
                    entries.pop(path.encode(), None)
                    continue
                blob = Blob.from_string(content)
                git.object_store.add_object(blob)
                entries[path.encode()] = (blob.id, FILE_MODE)
            _check_names(entries)
            made = Commit()
            rows = [(path, sha, mode) for path, (sha, mode) in sorted(entries.items())]
            made.tree = commit_tree(git.object_store, rows)
            made.parents = [old] if old else []
            made.author = made.committer = f"{author} <{author}@localhost>".encode()
            made.author_time = made.commit_time = int(time.time() if when is None else when)
            made.author_timezone = made.commit_timezone = 0
            made.encoding, made.message = b"UTF-8", message.encode("utf-8", "replace")
            git.object_store.add_object(made)
            if not git.refs.set_if_equals(ref, old, made.id) and not (
                old is None and git.refs.add_if_new(ref, made.id)
            ):
                raise Refusal(412, f"{branch} has just changed: look again.")
            return made.id.decode()


def _check_names(paths: Iterable[bytes]) -> None:
    """Refusal for too many files, or where one is a folder of another, or twice but for case."""
    names = set(paths)
    if len({name.decode("utf-8", "replace").lower() for name in names}) < len(names):
        said = "Two paths differ in capitals alone: Windows and macOS take them for one."
        raise Refusal(400, said)
    if len(names) > MOST_FILES:
        raise Refusal(413, f"This Hub keeps at most {MOST_FILES:,} files in a repository.")
    for name in names:
        parts = name.split(b"/")
        for end in range(1, len(parts)):
            if b"/".join(parts[:end]) in names:
                said = b"/".join(parts[:end]).decode("utf-8", "replace")
                raise Refusal(400, f"{said!r} is a file and cannot be a folder too.")


@lru_cache(maxsize=512)
def _files(repository: Repository, commit: str) -> dict[str, File]:
    with repository.git() as git:
        found = {}
        for entry in iter_tree_contents(git.object_store, git[commit.encode()].tree):
            if entry.mode not in MODES:
                continue  # of a commit that only git shows: its head has no such thing
            path, blob = entry.path.decode("utf-8", "replace"), git[entry.sha]
            size, lfs, pointer = blob.raw_length(), None, 0
            if said := _pointed(blob):
                pointer, (lfs, size) = size, said
            found[path] = File(path, entry.sha.decode(), size, lfs, pointer)
        return found


def pointer(sha256: str, size: int) -> bytes:
    """What git holds of a file in LFS."""
    head = "version https://git-lfs.github.com/spec/v1"
    return f"{head}\noid sha256:{sha256}\nsize {size}\n".encode()


def _pointed(blob: Blob) -> tuple[str, int] | None:
    """The sha256 and the size that a pointer names; None where it is no pointer."""
    said = POINTER.fullmatch(blob.data) if blob.raw_length() < 200 else None
    return said and (said[1].decode(), int(said[2]))


def _meant(git: Git, oid: bytes) -> ShaFile:
    """What a tag names, or a tag of a tag; else the thing itself."""
    found = git[oid]
    while isinstance(found, Tag):
        found = git[found.object[1]]
    return found


def why_refused(git: Git, commit: bytes, lfs: Lfs) -> str | None:
    """Why a commit that was pushed may not become a branch; None where it may.

    The same rules as for a commit by the API, for what only git can bring: links, odd names.
    """
    try:
        seen = _meant(git, commit)
        if not isinstance(seen, Commit):
            return "a branch or tag names a commit here"
        entries = list(iter_tree_contents(git.object_store, seen.tree))
        _check_names(entry.path for entry in entries)
        for entry in entries:
            path = checked_path(entry.path.decode("utf-8"))
            if entry.mode not in MODES:
                return f"{path} is a link or another repository: push files"
            blob = git[entry.sha]
            if blob.raw_length() > REGULAR_BYTES:
                return f"{path} is larger than {REGULAR_BYTES / 1e6:g} MB: use Git LFS"
            if (said := _pointed(blob)) and not lfs.holds(*said):
                return f"the content of {path} is not in LFS: run git lfs push"
        for entry in git.get_walker([seen.id]):
            entry.commit.check()
    except Refusal as refused:
        return refused.message
    except MissingCommitError:
        return "its history is not whole: run git fetch --unshallow first"
    except Exception as error:  # a pack may hold anything at all
        return f"it cannot be read ({type(error).__name__})"
    return None


class Repositories:
    """All of them, in one folder."""

    def __init__(self, folder: Path):
        self.folder, self.lock = folder, threading.Lock()
        self.lfs = Lfs(folder / "lfs")
        self.known: dict[tuple[str, str], Repository] = {}
        whole = True
        for kind in KINDS:
            for place in sorted((folder / kind).glob("*/*")):
                name = f"{place.parent.name}/{place.name}"
                if not (place / "hub.json").is_file():
                    continue  # it was never finished
                try:
                    self.known[kind, name] = Repository(kind, name, place, self.lfs)
                except (ValueError, TypeError) as error:
                    said = f"{place / 'hub.json'} cannot be read, {name} is left out: {error}"
                    print(said, file=sys.stderr)  # stdout is for whoever started this Hub
                    whole = False
                else:
                    self.known[kind, name].tidy(0)
        if whole and self.lfs.stored:
            self._sweep()

    def _sweep(self) -> None:
        """Remove large files that were sent and then not committed."""
        try:
            held = set().union(*(one.large() for one in self.known.values()))
        except Exception as error:  # a history may be broken in any way: then all of them stay
            said = f"Large files are not tidied up, a history cannot be read: {error}"
            print(said, file=sys.stderr)
            return
        for file in list(self.lfs.folder.iterdir()):
            if SHA256.fullmatch(file.name) and file.name not in held:
                self.lfs.forget(file.name)

    def find(self, kind: str, name: str) -> Repository | None:
        """The repository; None where there is none."""
        return self.known.get((kind, name))

    def create(self, kind: str, name: str, private: bool = False, when: float | None = None):
        """Make an empty one. Refusal where its name is taken or bad."""
        checked_id(name)
        with self.lock:
            if any(kind == k and name.lower() == n.lower() for k, n in self.known):
                raise Refusal(409, f"You already created this {kind[:-1]} repo: {name}.")
            if len(self.known) >= MOST_REPOS:
                raise Refusal(403, f"This Hub keeps at most {MOST_REPOS} repositories.")
            place = self.folder / kind / name
            if (place / "hub.json").exists():  # what could not be read is still somebody's work
                raise Refusal(409, f"{name} is there and cannot be read: move its folder away.")
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            Git.init_bare(str(place), default_branch=MAIN.encode()).close()
            made = Repository(kind, name, place, self.lfs)
            with made.changing() as facts:
                facts.private, facts.created = private, time.time() if when is None else when
            self.known[kind, name] = made
            return made

    def delete(self, repository: Repository) -> None:
        """Remove it, its files and its history."""
        with self.lock, repository.lock:
            gone = repository.large()
            self.known.pop((repository.kind, repository.name), None)
            for other in self.known.values() if gone else ():
                gone -= other.large()
            for sha256 in gone:
                self.lfs.forget(sha256)
            (repository.folder / "hub.json").unlink(missing_ok=True)
            shutil.rmtree(repository.folder, ignore_errors=True)
