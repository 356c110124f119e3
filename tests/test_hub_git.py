"""The local Hub as `git` itself meets it: clone, pull, push, and what may not be pushed."""

import gzip
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError
from services import hub_write, local
from services.hub import app_of
from services.hub_access import Hub
from services.repos import Repositories
from services.spaces import Spaces
from starlette.testclient import TestClient

ROOT = Path(__file__).parents[1]
# The token goes by the environment: an address, and with it .git/config, is easily shown around.
HELPER = '!f() { test "$1" = get && echo username=x && echo "password=$HUB_TOKEN"; }; f'
NOTHING = "0" * 40
PUSH = {"content-type": "application/x-git-receive-pack-request"}

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="needs git")


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory):
    """An environment for git in which nothing is of the person who runs the tests."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "Rosa",
        "GIT_AUTHOR_EMAIL": "rosa@toytown",
        "GIT_COMMITTER_NAME": "Rosa",
        "GIT_COMMITTER_EMAIL": "rosa@toytown",
    }


class Clone:
    """A folder with a git repository, and git with a token or none."""

    def __init__(self, folder: Path, environment: dict, token: str = ""):
        self.folder, self.environment, self.token = folder, environment, token

    def command(self, *words: str) -> list[str]:
        helper = ["-c", f"credential.helper={HELPER}"] if self.token else []
        return ["git", "-c", "credential.helper=", *helper, *map(str, words)]

    def try_git(self, *words, data: bytes = b"", **more) -> subprocess.CompletedProcess:
        return subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment | {"HUB_TOKEN": self.token} | more,
            input=data,
            capture_output=True,
        )

    def git(self, *words, **more) -> str:
        ran = self.try_git(*words, **more)
        assert ran.returncode == 0, ran.stderr.decode("utf-8", "replace")
        return ran.stdout.decode("utf-8", "replace").strip()

    def refused(self, *words, **more) -> str:
        ran = self.try_git(*words, **more)
        assert ran.returncode, ran.stdout
        return ran.stderr.decode("utf-8", "replace")

    def blob(self, data: bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", data=data)

    def tree(self, *rows: tuple[str, bytes, str]) -> str:
        """A tree of rows of mode, name and object; git checks nothing of them here."""
        kinds = {"040000": "tree", "160000": "commit"}
        lines = [
            f"{mode} {kinds.get(mode, 'blob')} {oid}\t".encode() + name + b"\0"
            for mode, name, oid in rows
        ]
        return self.git("mktree", "-z", "--missing", data=b"".join(lines))

    def commit(self, tree: str, *parents: str) -> str:
        words = [word for parent in parents for word in ("-p", parent)]
        return self.git("commit-tree", tree, *words, "-m", "Made by hand")

    def write(self, path: str, data: bytes | str, message: str = "Change") -> str:
        """Change a file and commit it."""
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data.encode() if isinstance(data, str) else data)
        self.git("add", path)
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def clone_of(hub, surroundings, tmp_path):
    """`clone_of(address, token)` clones a repository."""

    def clone(name: str, token: str = "") -> Clone:
        number = len(list(tmp_path.iterdir()))
        made = Clone(tmp_path, surroundings, token)
        made.git("clone", "-q", f"{hub.address}/{name}", f"clone{number}")
        return Clone(tmp_path / f"clone{number}", surroundings, token)

    return clone


@pytest.fixture
def repo(api, request):
    """The name of a new model of one's own."""
    name = f"learner/r{abs(hash(request.node.name))}"
    api.create_repo(name)
    yield name
    api.delete_repo(name, missing_ok=True)


@pytest.fixture
def mine(repo, hub, clone_of):
    """A clone of it that may push."""
    return clone_of(repo, hub.key)


def head(api: HfApi, repo: str) -> str:
    return api.model_info(repo).sha


def text(api: HfApi, repo: str, path: str, revision: str = "main") -> str:
    address = f"{api.endpoint}/{repo}/resolve/{revision}/{path}"
    found = httpx.get(address, headers={"authorization": f"Bearer {api.token}"})
    assert found.status_code == 200, found.text
    return found.text


# ---- clone, pull, push


@pytest.mark.parametrize(
    "name",
    ["toytown/detector", "toytown/detector.git", "datasets/toytown/scenes", "spaces/toytown/hello"],
)
def test_what_is_public_is_cloned_without_a_token(clone_of, api, name: str):
    clone = clone_of(name)
    kind = name.partition("/")[0].removesuffix("s") if name.count("/") == 2 else "model"
    found = api.repo_info(
        name.removesuffix(".git").split("/", name.count("/") - 1)[-1], repo_type=kind
    )
    assert clone.git("rev-parse", "HEAD") == found.sha
    assert set(clone.git("ls-files").splitlines()) == {file.rfilename for file in found.siblings}
    clone.git("fsck", "--strict")


def test_a_clone_holds_the_small_files_and_the_pointers_of_the_large(clone_of):
    clone = clone_of("toytown/detector")
    there = ROOT / "assets" / "checkpoints" / "detector"
    assert (clone.folder / "config.json").read_bytes() == (there / "config.json").read_bytes()
    size = (there / "model.safetensors").stat().st_size
    assert f"size {size}\n" in (clone.folder / "model.safetensors").read_text()


def test_a_push_with_a_token_is_there_for_all(mine, repo, api, clone_of):
    made = mine.write("a.txt", "one", "The first of mine")
    mine.git("push", "origin", "main")
    assert head(api, repo) == made
    assert text(api, repo, "a.txt") == "one"
    last = api.list_repo_commits(repo)[0]
    assert (last.title, last.authors) == ("The first of mine", ["Rosa"])
    assert (clone_of(repo).folder / "a.txt").read_text() == "one"


@pytest.mark.skipif(os.name == "nt", reason="a home is found otherwise there")
@pytest.mark.parametrize(
    "home", ["/dev/null/home", None], ids=["no home", "settings that are none"]
)
def test_what_whoever_runs_it_tells_git_is_nothing_to_it(home, surroundings, tmp_path, monkeypatch):
    (tmp_path / ".gitconfig").write_text("[no setting\n")
    monkeypatch.setenv("HOME", home or str(tmp_path))
    with local.start("hub") as other:
        HfApi(endpoint=other.address, token=other.key).create_repo("learner/mine")
        Clone(tmp_path, surroundings).git("clone", "-q", f"{other.address}/learner/mine", "clone")
        clone = Clone(tmp_path / "clone", surroundings, other.key)
        made = clone.write("a.txt", "one")
        clone.git("push", "-q")
        assert HfApi(endpoint=other.address, token=other.key).model_info("learner/mine").sha == made


def test_the_token_is_nowhere_in_a_clone(mine, hub):
    mine.write("a.txt", "one")
    mine.git("push", "origin", "main")
    for place in (mine.folder / ".git").rglob("*"):
        assert place.is_dir() or hub.key.encode() not in place.read_bytes()


def test_a_commit_by_the_api_is_pulled_and_one_that_was_pushed_is_built_upon(mine, repo, api):
    api.upload_file(path_or_fileobj=b"api", path_in_repo="a.txt", repo_id=repo)
    mine.git("pull", "-q", "--ff-only")
    assert (mine.folder / "a.txt").read_text() == "api"
    pushed = mine.write("b.txt", "git")
    mine.git("push", "-q")
    done = api.upload_file(
        path_or_fileobj=b"api", path_in_repo="c.txt", repo_id=repo, parent_commit=pushed
    )
    mine.git("pull", "-q", "--ff-only")
    assert mine.git("rev-parse", "HEAD") == done.oid
    assert mine.git("rev-parse", "HEAD~1") == pushed
    mine.git("fsck", "--strict")


def test_a_push_that_would_lose_somebody_elses_commit_is_refused(mine, repo, api):
    api.upload_file(path_or_fileobj=b"theirs", path_in_repo="a.txt", repo_id=repo)
    theirs = head(api, repo)
    mine.write("a.txt", "mine")
    assert "rejected" in mine.refused("push")
    assert head(api, repo) == theirs
    mine.git("push", "--force")
    assert text(api, repo, "a.txt") == "mine"
    assert text(api, repo, "a.txt", theirs) == "theirs", "who has pinned it still finds it"


def test_many_commits_and_branches_go_at_once(mine, repo, api):
    for n in range(20):
        mine.write(f"folder/{n}.txt", str(n), f"Commit {n}")
        mine.git("branch", f"b{n}")
    mine.git("push", "-q", "--all")
    assert len(api.list_repo_refs(repo).branches) == 21
    assert [one.title for one in api.list_repo_commits(repo)[:20]] == [
        f"Commit {n}" for n in range(19, -1, -1)
    ]
    assert text(api, repo, "folder/3.txt", "b3") == "3"
    mine.git("fetch", "-q", "--all")  # with more than a kilobyte of "have" lines, gzipped


# ---- who may


def test_without_a_token_nothing_is_pushed(clone_of, repo, api, hub):
    before, stranger = head(api, repo), clone_of(repo)
    stranger.write("a.txt", "one")
    assert "could not read Username" in stranger.refused("push")
    asked = httpx.get(f"{hub.address}/{repo}/info/refs", params={"service": "git-receive-pack"})
    assert asked.status_code == 401
    assert asked.headers["www-authenticate"].startswith("Basic")
    sent = httpx.post(f"{hub.address}/{repo}/git-receive-pack", headers=PUSH, content=b"0000")
    assert sent.status_code == 401
    assert head(api, repo) == before


def test_a_token_that_is_nobodys_or_a_guests_pushes_nothing(clone_of, repo, api, hub):
    before = head(api, repo)
    for token, said in (("hf_nobody", "Authentication failed"), (hub.guest, "403")):
        other = clone_of(repo)
        other.token = token
        other.write("a.txt", "one")
        assert said in other.refused("push")
    assert head(api, repo) == before


def test_to_somebody_elses_repository_nothing_is_pushed(clone_of, hub, api):
    before = api.space_info("toytown/hello").sha
    clone = clone_of("spaces/toytown/hello", hub.key)
    clone.write("app.py", "print()")
    assert "403" in clone.refused("push")
    assert api.space_info("toytown/hello").sha == before


def test_a_private_repository_is_cloned_by_its_owner_alone(clone_of, repo, api, hub, surroundings):
    api.update_repo_settings(repo, private=True)
    assert (clone_of(repo, hub.key).folder / ".gitattributes").is_file()
    for token in ("", hub.guest, "hf_nobody"):
        other = Clone(Path(surroundings["HOME"]), surroundings, token)
        other.refused("ls-remote", f"{hub.address}/{repo}")
    missing = Clone(Path(surroundings["HOME"]), surroundings, hub.key)
    assert "not found" in missing.refused("ls-remote", f"{hub.address}/learner/nothing")


# ---- branches and tags


def test_branches_and_tags_are_pushed_and_deleted(mine, repo, api):
    first = mine.write("a.txt", "one")
    mine.git("tag", "light")
    mine.git("tag", "-a", "heavy", "-m", "With words")
    mine.git("push", "-q", "origin", "main", "main:try/this", "light", "heavy")
    refs = api.list_repo_refs(repo)
    assert {one.name: one.target_commit for one in refs.branches} == {
        "main": first,
        "try/this": first,
    }
    assert {one.name: one.target_commit for one in refs.tags} == {"light": first, "heavy": first}
    mine.write("a.txt", "two")
    mine.git("push", "-q")
    assert text(api, repo, "a.txt", "heavy") == text(api, repo, "a.txt", "try/this") == "one"
    mine.git("push", "-q", "origin", ":try/this", ":heavy")
    refs = api.list_repo_refs(repo)
    assert [one.name for one in refs.branches] == ["main"]
    assert [one.name for one in refs.tags] == ["light"]
    api.create_branch(repo, branch="try")  # the folder of the deleted one is no obstacle


def test_main_is_never_deleted(mine, repo, api):
    before = head(api, repo)
    assert "main cannot be deleted" in mine.refused("push", "origin", ":main")
    assert head(api, repo) == before


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("refs/notes/a", "only branches and tags"),
        ("refs/pull/1/head", "only branches and tags"),
        ("refs/heads/ünder", "in its name"),
        ("refs/heads/" + "a" * 150, "in its name"),
        ("refs/heads/main/under", "failed to write"),
    ],
)
def test_a_name_that_the_hub_does_not_take_is_refused(mine, repo, api, ref: str, said: str):
    before = api.list_repo_refs(repo)
    assert said in mine.refused("push", "origin", f"main:{ref}")
    assert api.list_repo_refs(repo) == before


# ---- what may not be pushed


def pointer(data: str, size: int) -> bytes:
    head = "version https://git-lfs.github.com/spec/v1"
    return f"{head}\noid sha256:{data}\nsize {size}\n".encode()


FILE, LINK, MODULE, FOLDER = "100644", "120000", "160000", "040000"
ODD = {
    "a link": ([(LINK, b"link", b"/etc/passwd")], "link is a link"),
    "another repository": ([(MODULE, b"sub", "1" * 40)], "sub is a link or another repository"),
    "more than 10 MB": ([(FILE, b"a.txt", bytes(10_000_001))], "a.txt is larger than 10 MB"),
    "no content": ([(FILE, b"w.bin", pointer("1" * 64, 5))], "content of w.bin is not in LFS"),
    "git's own": ([(FOLDER, b".git", [(FILE, b"config", b"x")])], "no path"),
    "git's own, loud": ([(FOLDER, b"a", [(FOLDER, b".GIT", [(FILE, b"x", b"x")])])], "no path"),
    "backslash": ([(FILE, b"a\\b", b"x")], "no path"),
    "colon": ([(FILE, b"c:a", b"x")], "no path"),
    "up": ([(FOLDER, b"..", [(FILE, b"x", b"x")])], "no path"),
    "here": ([(FOLDER, b".", [(FILE, b"x", b"x")])], "no path"),
    "a line": ([(FILE, b"a\nb", b"x")], "no path"),
    "no UTF-8": ([(FILE, b"\xff", b"x")], "cannot be read"),
    "a dot at the end": ([(FILE, b"a.", b"x")], "no path"),
    "long": ([(FILE, b"a" * 300, b"x")], "no path"),
    "capitals": ([(FILE, b"A.txt", b"x"), (FILE, b"a.txt", b"y")], "capitals"),
    "too many": ([(FILE, b"%d" % n, b"x") for n in range(2_001)], "at most 2,000 files"),
    "deep": (
        [(FOLDER, b"a" * 200, [(FOLDER, b"b" * 200, [(FOLDER, b"c" * 200, [(FOLDER, b"d" * 200,
        [(FOLDER, b"e" * 200, [(FILE, b"x", b"x")])])])])])],
        "no path",
    ),
}  # fmt: skip


def planted(clone: Clone, rows: list) -> str:
    """A tree of rows whose contents are bytes, rows again, or an object by its name."""
    known: dict[bytes, str] = {}
    made = []
    for mode, name, inside in rows:
        if isinstance(inside, bytes) and inside not in known:
            known[inside] = clone.blob(inside)
        oid = known.get(inside) if isinstance(inside, bytes) else inside
        made.append((mode, name, planted(clone, inside) if isinstance(inside, list) else oid))
    return clone.tree(*made)


@pytest.mark.parametrize(("rows", "said"), ODD.values(), ids=ODD)
def test_what_could_harm_who_has_it_is_refused_with_a_sentence(mine, repo, api, rows, said: str):
    before = head(api, repo)
    odd = mine.commit(planted(mine, rows), before)
    assert said in mine.refused("push", "origin", f"{odd}:refs/heads/main")
    assert said in mine.refused("push", "--force", "origin", f"{odd}:refs/tags/odd")
    assert head(api, repo) == before
    assert len(api.list_repo_refs(repo).branches) == 1
    # What came is in the store of git all the same; nobody gets at it by its name.
    with pytest.raises(RevisionNotFoundError):
        api.model_info(repo, revision=odd)
    with pytest.raises(HfHubHTTPError):
        api.create_branch(repo, branch="odd", revision=odd)
    with pytest.raises(HfHubHTTPError):
        api.list_repo_tree(repo, revision=odd, expand=True).__next__()


def test_what_was_odd_in_the_past_and_is_gone_is_no_obstacle(mine, repo, api):
    odd = [(MODULE, b"sub", "1" * 40), (LINK, b"link", b"/etc/passwd"), (FILE, b"a.txt", b"one")]
    past = mine.commit(planted(mine, odd), head(api, repo))
    made = mine.commit(planted(mine, [(FILE, b"a.txt", b"two")]), past)
    mine.git("push", "origin", f"{made}:refs/heads/main")
    assert [one.commit_id for one in api.list_repo_commits(repo)[:2]] == [made, past]
    assert [row.last_commit.oid for row in api.list_repo_tree(repo, expand=True)] == [made]
    with pytest.raises(RevisionNotFoundError):
        api.list_repo_files(repo, revision=past)
    asked = {"operation": "download", "objects": [{"oid": "1" * 64, "size": 5}]}
    kind = {"content-type": "application/vnd.git-lfs+json"}
    address = f"{api.endpoint}/{repo}.git/info/lfs/objects/batch"
    answer = httpx.post(address, headers=kind, json=asked)
    assert answer.json()["objects"][0]["error"]["code"] == 404


def test_of_several_branches_the_good_ones_are_taken(mine, repo, api):
    odd = mine.commit(planted(mine, ODD["a link"][0]), head(api, repo))
    good = mine.write("a.txt", "one")
    said = mine.refused("push", "origin", "main", f"{odd}:refs/heads/odd")
    assert "odd -> odd" in said or "link is a link" in said
    assert head(api, repo) == good
    assert len(api.list_repo_refs(repo).branches) == 1
    said = mine.refused("push", "--atomic", "origin", "main:good", f"{odd}:refs/heads/odd")
    assert len(api.list_repo_refs(repo).branches) == 1, "all or nothing, where that is asked"


def test_a_pointer_to_what_has_come_is_taken_and_one_that_lies_of_its_size_is_not(
    mine, repo, api, tmp_path
):
    data = os.urandom(2_000)
    api.upload_file(path_or_fileobj=data, path_in_repo="w.bin", repo_id=repo)
    mine.git("pull", "-q")
    said = (mine.folder / "w.bin").read_text()
    mine.write("copy.bin", said)
    mine.git("push", "-q")
    assert Path(api.hf_hub_download(repo, "copy.bin", cache_dir=tmp_path)).read_bytes() == data
    mine.write("lie.bin", said.replace("size 2000", "size 2001"))
    assert "content of lie.bin is not in LFS" in mine.refused("push")


def test_a_clone_without_its_past_is_not_pushed_to_another_repository(mine, repo, hub, api):
    """After `clone --depth 1` git sends a commit whose parent nobody here has."""
    mine.write("a.txt", "zero")
    mine.write("a.txt", "one")
    mine.git("push", "-q")
    mine.git("clone", "-q", "--depth", "1", f"{hub.address}/{repo}", "shallow")
    shallow = Clone(mine.folder / "shallow", mine.environment, hub.key)
    assert shallow.git("rev-list", "--count", "HEAD") == "1"
    api.create_repo("learner/other", exist_ok=True)
    before = head(api, "learner/other")
    where = f"{hub.address}/learner/other"
    said = shallow.refused("push", "--force", where, "HEAD:main")
    assert "unshallow" in said
    assert head(api, "learner/other") == before
    assert api.list_repo_commits("learner/other")[0].commit_id == before
    shallow.write("b.txt", "two")
    shallow.git("push", "-q", "origin", "HEAD:main")  # to where its past is, it may go
    assert text(api, repo, "b.txt") == "two"
    api.delete_repo("learner/other")


def test_times_and_names_that_only_git_can_write_spoil_no_list(mine, repo, api):
    far = {"GIT_COMMITTER_DATE": "@99999999999999 +0000", "GIT_AUTHOR_DATE": "@1 +0000"}
    tree = planted(mine, [(FILE, b"README.md", b"---\npipeline_tag: [a]\nlicense: {b: c}\n---\n"),
                          (FILE, b"config.json", b"[" * 100_000)])  # fmt: skip
    odd = mine.git(
        "commit-tree",
        tree,
        "-p",
        "HEAD",
        "-m",
        "\x01 odd \udcff".encode("utf-8", "replace").decode(),
        **far,
    )
    mine.git("push", "-q", "origin", f"{odd}:refs/heads/main")
    assert head(api, repo) == odd
    assert repo in {one.id for one in api.list_models(author="learner", full=True)}
    assert api.list_repo_commits(repo)[0].created_at.year == 9999
    assert [row.path for row in api.list_repo_tree(repo, expand=True)] == [
        "README.md",
        "config.json",
    ]


# ---- what breaks off


def receive(commit: str, old: str, pack: bytes, ref: str = "refs/heads/main") -> bytes:
    """What git sends with a push, https://git-scm.com/docs/pack-protocol."""
    line = f"{old} {commit} {ref}\0report-status".encode()
    return f"{len(line) + 4:04x}".encode() + line + b"0000" + pack


def packed(clone: Clone, commit: str) -> bytes:
    """The pack of a commit and all that it needs."""
    ran = clone.try_git("pack-objects", "--revs", "--stdout", "-q", data=f"{commit}\n".encode())
    return ran.stdout


def test_a_push_whose_pack_ends_early_changes_nothing(mine, repo, api, hub, folder):
    before = head(api, repo)
    made = mine.write("a.bin", os.urandom(300_000))
    whole = receive(made, before, packed(mine, made))
    address = f"{hub.address}/{repo}/git-receive-pack"
    headers = PUSH | {"authorization": f"Bearer {hub.key}"}
    for part in (50, 120, 1_000, len(whole) // 2, len(whole) - 1):
        sent = httpx.post(address, headers=headers, content=whole[:part])
        assert sent.status_code in (200, 400)
        assert b"ok refs" not in sent.content
        assert head(api, repo) == before
    # And where the connection itself ends:
    head_ = f"POST /{repo}/git-receive-pack HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    head_ += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection(("127.0.0.1", httpx.URL(hub.address).port)) as connection:
        connection.sendall(f"{head_}Content-Length: {len(whole)}\r\n\r\n".encode())
        connection.sendall(whole[: len(whole) // 2])
    time.sleep(0.5)
    assert head(api, repo) == before
    left = folder / "models" / repo / "objects" / "tmp_pack_of_yesterday"
    left.touch()
    for part in left.parent.glob("tmp_pack_*"):
        os.utime(part, (0, 0))
    sent = httpx.post(address, headers=headers, content=whole)
    assert b"ok refs/heads/main" in sent.content
    assert head(api, repo) == made
    assert not list(left.parent.glob("tmp_pack_*")), "a push tidies up after those before it"


def test_a_push_that_is_killed_leaves_the_old_commit_or_the_new_one(
    mine, repo, api, folder, clone_of
):
    before = head(api, repo)
    for n in range(2):
        (mine.folder / f"{n}.txt").write_bytes(os.urandom(5_000_000))
    mine.git("add", ".")
    mine.git("-c", "core.compression=0", "commit", "-q", "-m", "Much")
    process = subprocess.Popen(
        mine.command("-c", "pack.compression=0", "push", "-q", "origin", "main"),
        cwd=mine.folder,
        env=mine.environment | {"HUB_TOKEN": mine.token},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while process.poll() is None:
        if list((folder / "models" / repo / "objects").glob("tmp_pack_*")):
            os.killpg(process.pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    process.wait()
    time.sleep(0.3)
    assert head(api, repo) in (before, mine.git("rev-parse", "HEAD"))
    assert clone_of(repo).git("fsck", "--strict") == ""
    mine.git("push", "-q", "origin", "main")
    assert head(api, repo) == mine.git("rev-parse", "HEAD"), "git sends so much in pieces"


def test_who_pushes_upon_what_is_no_longer_there_is_told(mine, repo, api, hub):
    """Git looks before it pushes; between the look and the push somebody else may have pushed."""
    stale = head(api, repo)
    api.upload_file(path_or_fileobj=b"theirs", path_in_repo="a.txt", repo_id=repo)
    theirs = head(api, repo)
    made = mine.write("a.txt", "mine")
    headers = PUSH | {"authorization": f"Bearer {hub.key}"}
    for old in (stale, NOTHING):
        sent = httpx.post(
            f"{hub.address}/{repo}/git-receive-pack",
            headers=headers,
            content=receive(made, old, packed(mine, made)),
        )
        assert b"changed meanwhile" in sent.content
        assert head(api, repo) == theirs


# ---- what is no git


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("git-receive-pack", b""),
        ("git-receive-pack", b"0000"),
        ("git-receive-pack", b"zzzz"),
        ("git-receive-pack", b"00ff" + b"a" * 10),
        ("git-receive-pack", b"0012" + b"\xff" * 14),
        ("git-receive-pack", receive("1" * 40, "2" * 40, b"PACK" + bytes(100))),
        ("git-receive-pack", receive("1" * 40, NOTHING, b"", "refs/heads/a")),
        ("git-receive-pack", receive("x" * 40, "y" * 40, b"")),
        ("git-upload-pack", b""),
        ("git-upload-pack", b"0032want " + b"1" * 40 + b"\n00000009done\n"),
        ("git-upload-pack", b"0032want " + b"x" * 40 + b"\n00000009done\n"),
        ("git-upload-pack", b"ffff"),
    ],
)
def test_what_is_no_push_and_no_fetch_is_refused(repo, api, hub, path: str, body: bytes):
    before = api.list_repo_refs(repo)
    kind = {"content-type": f"application/x-{path}-request", "authorization": f"Bearer {hub.key}"}
    address = f"{hub.address}/{repo}/{path}"
    for more, data in (({}, body), ({"content-encoding": "gzip"}, gzip.compress(body)),
                       ({"content-encoding": "gzip"}, body)):  # fmt: skip
        sent = httpx.post(address, headers=kind | more, content=data)
        assert sent.status_code in (200, 400), sent.text
        assert sent.status_code == 200 or sent.json()["error"]
        assert b"ok refs" not in sent.content
    assert api.list_repo_refs(repo) == before


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "info/refs", 400),
        ("GET", "info/refs?service=git-archive", 400),
        ("GET", "info/refs?service=\xff", 400),
        ("POST", "info/refs?service=git-upload-pack", 400),
        ("GET", "git-upload-pack", 400),
        ("POST", "git-upload-pack", 415),
        ("GET", "HEAD", 404),
        ("GET", "objects/info/packs", 404),
        ("GET", "hub.json", 404),
    ],
)
def test_other_ways_in_are_shut(hub, method: str, path: str, code: int):
    sent = httpx.request(method, f"{hub.address}/toytown/hello/{path}")
    sent = httpx.request(method, f"{hub.address}/spaces/toytown/hello/{path}")
    assert sent.status_code == code, sent.text
    assert sent.json()["error"]


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(hub, repo):
    for path in ("git-receive-pack", "git-upload-pack"):
        with socket.create_connection(("127.0.0.1", httpx.URL(hub.address).port)) as connection:
            lines = [
                f"POST /{repo}/{path} HTTP/1.1",
                "Host: 127.0.0.1",
                "Content-Length: 600000000",
            ]
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            connection.settimeout(5)
            assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_a_body_that_grows_too_large_is_refused_too(monkeypatch, tmp_path):
    """Git sends what is larger than a megabyte in pieces, without saying how much it will be."""
    monkeypatch.setattr(hub_write, "MAX_BYTES", 100_000)
    repositories = Repositories(tmp_path)
    spaces = Spaces(repositories, "http://testserver")
    running = Hub(repositories, spaces, {"key": ("learner", True)}, "http://testserver", {})
    repositories.create("models", "learner/a").commit({"a": b"x"}, "first", "learner")
    before = repositories.find("models", "learner/a").refs()

    def endless():
        yield receive("1" * 40, NOTHING, b"PACK\0\0\0\2\0\0\0\1", "refs/heads/a")
        for _ in range(40):
            yield os.urandom(10_000)

    with TestClient(app_of(running, ("testserver",))) as client:
        headers = PUSH | {"authorization": "Bearer key"}
        sent = client.post("/learner/a/git-receive-pack", headers=headers, content=endless())
        assert sent.status_code in (400, 413), sent.text
        assert sent.json()["error"]
    assert repositories.find("models", "learner/a").refs() == before
