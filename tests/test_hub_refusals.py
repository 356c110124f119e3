"""What the local Hub refuses, how it says so, and that nothing makes it stumble."""

import base64
import hashlib
import json
import socket
import string
import struct
import time

import httpx
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from services import cards, local
from services.hub import app_of
from services.hub import main as hub_main
from services.hub_access import Hub
from services.repos import Repositories, pointer
from services.spaces import Spaces
from starlette.testclient import TestClient

MINE = "/api/models/learner/fuzz"
JSON = {"content-type": "application/json"}
QUICK = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """A folder with all that the server may write to, and nothing else."""
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="module")
def hub(outside):
    with pytest.MonkeyPatch.context() as patch:
        (outside / "tmp").mkdir()
        patch.setenv("TMPDIR", str(outside / "tmp"))
        running = local.start("hub", "--folder", str(outside / "hub"))
    with running:
        yield running
    # Whatever was asked: nothing lies where it must not, and nothing has stumbled.
    assert {path.name for path in outside.iterdir()} == {"hub", "tmp"}
    kept = {path.name for path in (outside / "hub").iterdir()}
    assert kept == {"models", "datasets", "spaces", "lfs"}
    for kind in kept - {"lfs"}:
        for place in (outside / "hub" / kind).glob("*/*"):
            assert {"HEAD", "objects", "refs", "hub.json"} <= {
                path.name for path in place.iterdir()
            }
    assert all(len(path.name) == 64 for path in (outside / "hub" / "lfs").iterdir())
    assert not list((outside / "tmp").iterdir())
    log = running.log()
    assert "Traceback" not in log
    assert running.key not in log
    assert running.guest not in log


@pytest.fixture(scope="module")
def http(hub):
    """With the token that may write."""
    headers = {"authorization": f"Bearer {hub.key}"}
    with httpx.Client(base_url=hub.address, headers=headers, timeout=30) as client:
        for kind, name in (("model", "fuzz"), ("space", "fuzz"), ("dataset", "fuzz")):
            made = {"name": name, "type": kind, "sdk": "gradio"}
            assert client.post("/api/repos/create", json=made).status_code == 200
        yield client


@pytest.fixture(scope="module")
def stranger(hub):
    with httpx.Client(base_url=hub.address, timeout=30) as client:
        yield client


def said(response: httpx.Response, *codes: int) -> str:
    """The sentence of a refusal, with no trace of our code in it."""
    assert response.status_code in codes, f"{response.status_code}: {response.text[:300]}"
    error = response.json()["error"]
    assert set(response.json()) == {"error"}
    assert error
    assert "\n" not in error
    assert "Traceback" not in error
    assert '.py"' not in error
    assert "services" not in error
    return error


def calm(response: httpx.Response, hub: local.Local) -> httpx.Response:
    """Any answer will do, but a stumble; a refusal has its sentence; no token is told."""
    told = response.content + str(response.headers).encode()
    assert hub.key.encode() not in told
    assert hub.guest.encode() not in told
    assert response.status_code < 500 or response.status_code == 503, response.text
    if response.status_code >= 400 and response.request.method != "HEAD":
        errors = response.json().get("errors") if "validate-yaml" in str(response.url) else None
        assert errors or said(response, response.status_code)
    return response


# ---- who asks, and for what


def test_who_calls_it_by_another_name_is_refused(http, hub):
    for name in ("evil.example", "127.0.0.1.evil.example", "", "[::1]", "localhost.evil"):
        for path in ("/api/models", "/toytown/detector/resolve/main/config.json", "/run/a/b/",
                     "/toytown/detector/info/refs?service=git-upload-pack"):  # fmt: skip
            said(http.get(path, headers={"host": name}), 403)
    port = httpx.URL(hub.address).port
    for name in ("127.0.0.1", "localhost", f"localhost:{port}", "LOCALHOST"):
        assert http.get("/api/whoami-v2", headers={"host": name}).status_code == 200


ODD_TOKENS = [
    "Bearer",
    "Bearer x",
    "Basic",
    "Basic !!!",
    "Basic " + base64.b64encode(b"\xff:\xff").decode(),
    "Basic " + base64.b64encode(b"no colon").decode(),
    "Basic " + base64.b64encode(b"user:wrong").decode(),
    "Bearer " + "x" * 5_000,
    "\xe9\xff",
    "Bearer \xe9",
    "Digest x=y",
    "Bearer a b c",
]


@pytest.mark.parametrize("token", ODD_TOKENS)
def test_a_token_that_is_none_is_refused_or_is_as_good_as_none(stranger, hub, token: str):
    for header in ("authorization", "x-hf-authorization"):
        headers = {header: token.encode("latin-1")}
        assert calm(stranger.get("/api/whoami-v2", headers=headers), hub).status_code == 401
        created = stranger.post("/api/repos/create", json={"name": "mine"}, headers=headers)
        said(created, 401)
        found = stranger.get(
            "/toytown/hello.git/info/refs?service=git-receive-pack", headers=headers
        )
        said(found, 401)


def test_a_token_is_taken_from_either_header_and_from_gits(stranger, hub):
    basic = base64.b64encode(f"anybody:{hub.key}".encode()).decode()
    for headers in (
        {"authorization": f"Bearer {hub.key}"},
        {"authorization": f"bearer {hub.key}"},
        {"authorization": f"Basic {basic}"},
        {"x-hf-authorization": f"Bearer {hub.key}", "authorization": "Bearer of-an-app"},
    ):
        assert stranger.get("/api/whoami-v2", headers=headers).json()["name"] == "learner"
    almost = {"authorization": f"Bearer {hub.key[:-1]}"}
    said(stranger.get("/api/whoami-v2", headers=almost), 401)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/api"),
        ("GET", "/api/users"),
        ("GET", "/api/models/toytown"),
        ("GET", "/api/models/toytown/nothing"),
        ("GET", "/api/dragons/toytown/detector"),
        ("GET", "/toytown/detector"),
        ("GET", "/toytown/detector/resolve/main/"),
        ("GET", "/toytown/detector/resolve/main"),
        ("GET", "/toytown/detector/resolve/main/..%2f..%2fhub.json"),
        ("GET", "/toytown/detector/resolve/main/%2e%2e/%2e%2e/hub.json"),
        ("GET", "/toytown/detector/resolve/..%2f..%2f/hub.json"),
        ("GET", "/toytown/detector/resolve/main//etc/passwd"),
        ("GET", "/toytown%2fdetector/resolve/main/hub.json"),
        ("GET", "/..%2fmodels%2ftoytown/detector/resolve/main/config.json"),
        ("GET", "/api/models/..%2f..%2f../hub"),
        ("GET", "/api/models/toytown/%00"),
        ("GET", "/api/models/toytown/a%0d%0aX-Evil:%20yes"),
        ("GET", "/api/models/toytown/%7f%01%ff"),
        ("GET", "/api/models/toytown/detector/tree/main/..%2f.."),
        ("GET", "/api/models/toytown/detector/revision/" + "0" * 40),
        ("GET", "/api/models/toytown/detector/revision/" + "0" * 5_000),
        ("GET", "/api/models/toytown/detector/commits/%00"),
        ("GET", "/lfs/..%2f..%2fetc%2fpasswd"),
        ("GET", "/run/toytown/nothing/"),
        ("GET", "/run/..%2f../hello/"),
        ("DELETE", "/api/models/learner/fuzz/branch/never"),
        ("DELETE", "/api/models/learner/fuzz/tag/..%2fheads%2fmain"),
        ("POST", "/api/models/learner/fuzz/lfs-files"),
    ],
)
def test_what_is_not_there_is_not_found_in_a_sentence(http, method: str, path: str):
    address = http.base_url.copy_with(raw_path=path.encode())  # not made tidy by the client
    answer = http.request(method, address)
    said(answer, 400, 403, 404, 405)
    assert "x-evil" not in answer.headers
    assert http.get("/api/models?limit=1").status_code == 200


def test_a_method_that_a_page_has_not_is_refused(http):
    for method, path in (
        ("PUT", "/api/models"),
        ("DELETE", "/api/whoami-v2"),
        ("POST", "/toytown/detector/resolve/main/config.json"),
        ("TRACE", "/run/toytown/hello/"),
    ):
        said(http.request(method, path), 404, 405)


def test_an_empty_or_endless_header_is_no_trouble(http, hub):
    path = "/toytown/detector/resolve/main/model.safetensors"
    for value in ("", "bytes=" + "0-0," * 2_000, "bytes=0-" + "9" * 5_000, "bytes=²-³", "\xff"):
        for header in ("range", "if-range", "if-none-match"):
            got = http.get(path, headers={header: value.encode("latin-1")})
            assert calm(got, hub).status_code in (200, 206, 304, 416)


# ---- bodies


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b'"a"', b"\xff", b"[" * 100_000, b"1e999"]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/repos/create"),
        ("DELETE", "/api/repos/delete"),
        ("POST", f"{MINE}/preupload/main"),
        ("POST", f"{MINE}/tag/main"),
        ("PUT", f"{MINE}/settings"),
        ("POST", "/api/validate-yaml"),
        ("POST", "/learner/fuzz.git/info/lfs/objects/batch"),
        ("POST", "/api/spaces/learner/fuzz/secrets"),
        ("POST", "/api/spaces/learner/fuzz/sleeptime"),
    ],
)
def test_what_is_no_json_of_the_right_kind_is_a_bad_request(http, method, path, data: bytes):
    said(http.request(method, path, content=data, headers=JSON), 400)


def line(key: str, **value) -> bytes:
    return json.dumps({"key": key, "value": value}).encode()


EMPTY = line("file", path="%s", content="")
BAD_COMMITS = {
    "no JSON": b"{",
    "no object": b"[]",
    "no key": b'{"value": {}}',
    "a key that is none": line("dragon", path="a"),
    "a key that is no text": b'{"key": ["file"], "value": {"path": "a"}}',
    "deep": b"[" * 100_000,
    "a head that is none": b'{"key": "header", "value": "text"}\n' + EMPTY % b"a",
    "a head that is a number": b'{"key": "header", "value": 5}',
    "no path": line("file", content="a"),
    "a path that is a number": line("file", path=5, content="a"),
    "a path out": line("file", path="../a", content="a"),
    "a path from the root": line("file", path="/etc/passwd", content="a"),
    "a path of git": line("file", path=".git/config", content="a"),
    "a path of git, loud": line("file", path="a/.GIT/hooks/x", content="a"),
    "a path of Windows": line("file", path="a\\b", content="a"),
    "a drive": line("file", path="c:/a", content="a"),
    "an empty path": line("file", path="", content="a"),
    "a path with NUL": line("file", path="a\0b", content="a"),
    "half a character": line("file", path="a\ud800", content="a"),
    "a long path": line("file", path="a/" * 600 + "a", content="a"),
    "a long name": line("file", path="é" * 200, content="a"),
    "no content": line("file", path="a"),
    "content that is none": line("file", path="a", content=None),
    "half a character inside": line("file", path="a", content="\ud800"),
    "no base64": line("file", path="a", content="!", encoding="base64"),
    "LFS of nothing": line("lfsFile", path="a", oid="0" * 64, size=1),
    "LFS out": line("lfsFile", path="a", oid="../../../etc/passwd", size=1),
    "LFS of no text": line("lfsFile", path="a", oid=["a"], size=1),
    "a file and a folder": EMPTY % b"a" + b"\n" + EMPTY % b"a/b",
    "twice but for capitals": EMPTY % b"a" + b"\n" + EMPTY % b"A",
    "too many": b"\n".join(line("file", path=f"n/{n}", content="") for n in range(2_001)),
    "gone already": line("deletedFile", path="never"),
    "a folder that is none": line("deletedFolder", path="never/"),
    "all folders": line("deletedFolder", path="/"),
    "a card that is wrong": line("file", path="README.md", content="---\nlicense: {a: b}\n---\n"),
}  # fmt: skip


@pytest.mark.parametrize("body", BAD_COMMITS.values(), ids=BAD_COMMITS)
def test_a_commit_that_is_none_changes_nothing(http, body: bytes):
    before = http.get(MINE).json()
    said(http.post(f"{MINE}/commit/main", content=body), 400, 404, 413)
    good = line("file", path="good.txt", content="a")
    said(http.post(f"{MINE}/commit/main", content=good + b"\n" + body), 400, 404, 413)
    assert http.get(MINE).json() == before


def test_a_commit_that_is_too_large_is_refused(http):
    large = line("file", path="a", content="x" * 10_000_001)
    assert "LFS" in said(http.post(f"{MINE}/commit/main", content=large), 413)

    def endless():
        for _ in range(45):
            yield b"a" * 1_000_000

    said(http.post(f"{MINE}/commit/main", content=endless()), 413)


# YAML's anchors multiply what little is written: https://en.wikipedia.org/wiki/Billion_laughs_attack
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{one}: &{one} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, one in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
MERGED = "a: &a {x: y}\n" + "".join(
    f"{one}: &{one} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n"
    for before, one in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
ODD_YAML = {
    "laughs": LAUGHS,
    "merged laughs": MERGED,
    "in itself": "a: &a [*a]",
    "deep": "a: " + "[" * 4_000,
    "deeper": "a: " + "{" * 90_000,
    "a list": "- a",
    "a number of many digits": "a: 0x" + "f" * 20_000,
    "more digits": "a: " + "9" * 5_000,
    "no number": "a: .nan",
    "half a character": 'a: "\\ud800"',
    "a number of nothing": "a: !!int ''",
    "neither": "a: !!bool x",
    "no time": "a: !!timestamp x",
    "bytes": "a: !!binary eHg=",
    "Python": "a: !!python/object/apply:os.system [exit 1]",
    "a key that is a list": "? [a]\n: b",
    "a key that is a number": "1: a",
    "a licence that is a number": "license: 5",
    "tags that are numbers": "tags: [1]",
    "control characters": "a: \x01",
}


@pytest.mark.parametrize("text", ODD_YAML.values(), ids=ODD_YAML)
def test_a_card_that_multiplies_or_runs_code_is_read_at_once_as_wrong(http, text: str):
    begin = time.monotonic()
    body = {"content": f"---\n{text}\n---\n", "repoType": "model"}
    answer = http.post("/api/validate-yaml", json=body)
    assert answer.status_code == 400
    assert all(row["message"] for row in answer.json()["errors"])
    readme = line("file", path="README.md", content=body["content"])
    assert "README.md" in said(http.post(f"{MINE}/commit/main", content=readme), 400)
    assert time.monotonic() - begin < 2


def test_a_card_of_dates_and_of_nothing_is_well():
    text = "---\nlicense: mit\ndate: 2026-01-01\nbase: &b {a: 1}\nagain: *b\n---\n"
    assert cards.read(text)["date"] == "2026-01-01"
    assert cards.read(text)["again"] == {"a": 1}
    assert cards.problems(text, "models") == []
    assert cards.problems("# No card", "models") == []


# ---- large bodies


def test_a_body_that_says_it_is_too_large_is_refused_before_it_comes(hub):
    for path in ("/api/repos/create", f"{MINE}/commit/main", "/lfs/a", "/run/toytown/hello/"):
        with socket.create_connection(("127.0.0.1", httpx.URL(hub.address).port)) as connection:
            lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Length: 600000000"]
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            connection.settimeout(5)
            assert connection.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("kind", ["text/plain", "application/vnd.git-lfs+json", "multipart/x"])
def test_what_is_read_whole_is_small_whatever_it_calls_itself(http, kind):
    for path in ("/api/repos/create", "/toytown/detector/info/lfs/objects/batch"):
        sent = http.post(path, content=b"a" * 4_000_001, headers={"Content-Type": kind})
        said(sent, 413)


@pytest.mark.parametrize("option", ["--port=99999", "--port=x", "--folder", "--nothing"])
def test_an_option_that_cannot_be_is_a_sentence(option: str, capsys):
    with pytest.raises(SystemExit) as ended:
        hub_main([option])
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_a_folder_that_cannot_be_is_a_sentence(tmp_path, capsys):
    (file := tmp_path / "file").touch()
    told = {
        f"--more={tmp_path / 'none'}": f"there is no folder {tmp_path / 'none'}, make it",
        f"--more={file}": f"there is no folder {file}, make it",
        f"--folder={file / 'below'}": f"{file / 'below'}",
        f"--folder={file}": f"{file}",
    }
    for option, sentence in told.items():
        with pytest.raises(SystemExit) as ended:
            hub_main(["--port=0", option])
        assert ended.value.code == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert sentence in last
        assert option.startswith("--more") or "cannot be made (" in last


# ---- anything at all


def words(text: str) -> st.SearchStrategy[str]:
    return st.sampled_from(text.split())


TEXTS = st.text(st.sampled_from([*string.printable, "\0", "é", "\ud800"]), max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2**70)
    | st.floats()
    | TEXTS
    | st.sampled_from(
        ["fuzz", "learner", "model", "space", "private", "main", "a" * 300, "0" * 64]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
FIELDS = words(
    """name organization type visibility private sdk variables secrets sleepTimeSeconds key value
    startingPoint tag files path size sample gitIgnore content repoType operation objects oid
    seconds gated license"""
)
BODIES = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)
WRITES = st.sampled_from(
    [
        ("POST", "/api/repos/create"),
        ("DELETE", "/api/repos/delete"),
        ("PUT", f"{MINE}/settings"),
        ("POST", f"{MINE}/branch/odd"),
        ("POST", f"{MINE}/tag/main"),
        ("POST", f"{MINE}/preupload/main"),
        ("POST", f"{MINE}/paths-info/main"),
        ("POST", f"{MINE}/commit/main"),
        ("POST", "/api/validate-yaml"),
        ("POST", "/learner/fuzz/info/lfs/objects/batch"),
        ("POST", "/datasets/learner/fuzz.git/info/lfs/objects/batch"),
        ("POST", "/api/spaces/learner/fuzz/secrets"),
        ("POST", "/api/spaces/learner/fuzz/variables"),
        ("DELETE", "/api/spaces/learner/fuzz/variables"),
        ("POST", "/api/spaces/learner/fuzz/sleeptime"),
        ("POST", "/api/spaces/learner/fuzz/restart"),
        ("POST", "/api/spaces/learner/fuzz/pause"),
    ]
)


@QUICK
@given(route=WRITES, body=BODIES)
def test_no_body_makes_it_stumble(http, hub, route: tuple[str, str], body: object):
    method, path = route
    calm(http.request(method, path, content=json.dumps(body), headers=JSON), hub)


@QUICK
@given(
    route=WRITES,
    kind=st.sampled_from(["application/json", "text/plain", "multipart/form-data; boundary=a",
                          "multipart/form-data", "application/x-www-form-urlencoded", "", "\xff"]),
    data=st.binary(max_size=200),
)  # fmt: skip
def test_no_bytes_make_it_stumble(http, hub, route: tuple[str, str], kind: str, data: bytes):
    headers = {"content-type": kind.encode("latin-1")}
    calm(http.request(*route, content=data, headers=headers), hub)


LINES = st.fixed_dictionaries(
    {
        "key": st.sampled_from(["header", "file", "lfsFile", "deletedFile", "deletedFolder", "a"]),
        "value": st.dictionaries(
            st.sampled_from(["path", "content", "encoding", "oid", "size", "summary", "description",
                             "parentCommit"]),
            VALUES | st.sampled_from(["README.md", "a/b", "base64", "aGk=", ".gitattributes"]),
            max_size=4,
        )
        | VALUES,
    }
)  # fmt: skip


@QUICK
@given(lines=st.lists(LINES, min_size=1, max_size=4))
def test_no_commit_makes_it_stumble(http, hub, lines: list[dict]):
    data = "\n".join(json.dumps(one) for one in lines)
    sent = http.post("/api/datasets/learner/fuzz/commit/main", content=data)
    if calm(sent, hub).status_code != 200:
        return
    found = http.get("/api/datasets/learner/fuzz", params={"blobs": True})
    assert found.status_code == 200
    for file in found.json()["siblings"]:
        path = httpx.URL(f"{hub.address}/datasets/learner/fuzz/resolve/main/").join("")
        got = http.get(path.copy_with(path=path.path + file["rfilename"]))
        assert got.status_code == 200
        assert len(got.content) == file["size"]


PARTS = words(
    """api models datasets spaces toytown learner detector hello fuzz resolve main tree revision
    refs commits paths-info commit preupload branch tag settings secrets variables runtime logs run
    build lfs info objects batch git-upload-pack git-receive-pack fuzz.git config.json whoami-v2
    model.safetensors repos create . .. %2e%2e ..%2f..%2fetc%2fpasswd %2f %00 %0d%0aX-Evil:a %ff
    %ed%a0%80 %C3%A9 .git hub.json %5c..%5c %25 refs%2fheads%2fmain HEAD -1 ~ : * %20 []"""
) | st.just("a" * 3_000)
QUERIES = st.dictionaries(
    words(
        """search author filter pipeline_tag num_parameters sort direction limit cursor full expand
        cardData config recursive blobs service key tail create_pr"""
    ),
    TEXTS.map(lambda text: text.encode("utf-8", "replace").decode())
    | st.sampled_from(["1", "-1", "true", "min:1M", "9" * 30, "lastModified", "git-upload-pack"]),
    max_size=3,
)


@settings(QUICK, max_examples=120)
@given(
    method=st.sampled_from(["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]),
    parts=st.lists(PARTS, max_size=8),
    query=QUERIES,
    who=st.sampled_from(["learner", "guest", "nobody", "wrong"]),
)
def test_no_path_makes_it_stumble(http, hub, method, parts, query, who):
    # The log of a Space is followed until its reader goes; its own tests read it.
    if "logs" in parts:
        return
    tokens = {"learner": hub.key, "guest": hub.guest, "nobody": "", "wrong": "hf_x"}
    path = httpx.URL(hub.address).copy_with(raw_path=("/" + "/".join(parts)).encode())
    url = path.copy_merge_params(query) if query else path
    headers = {"authorization": f"Bearer {tokens[who]}"} if tokens[who] else {"authorization": ""}
    answer = calm(http.request(method, url, headers=headers), hub)
    assert "x-evil" not in answer.headers
    assert b"root:" not in answer.content


@QUICK
@given(
    who=st.binary(max_size=30),
    more=st.dictionaries(
        st.sampled_from(["range", "if-range", "if-none-match", "cookie", "accept", "origin",
                         "content-encoding", "x-forwarded-for", "x-forwarded-host", "expect"]),
        st.binary(max_size=20).filter(lambda value: b"100-continue" not in value.lower()),
        max_size=3,
    ),
    path=st.sampled_from(["/api/whoami-v2", "/toytown/detector/resolve/main/config.json",
                          "/toytown/detector/resolve/main/model.safetensors", "/run/learner/fuzz/",
                          "/toytown/detector/info/refs?service=git-upload-pack"]),
)  # fmt: skip
def test_no_header_makes_it_stumble(stranger, hub, who: bytes, more: dict, path: str):
    def clean(value: bytes) -> bytes:  # what HTTP itself allows in a header
        return bytes(b for b in value if b >= 32 and b != 127).strip()

    headers = {name: clean(value) for name, value in more.items()}
    calm(stranger.get(path, headers=headers | {"authorization": clean(who)}), hub)


# ---- whatever git has brought: no card, configuration or weights spoil the lists for all


@pytest.fixture(scope="module")
def inside(tmp_path_factory):
    """A Hub in this process, and a model into which anything can be put."""
    folder = tmp_path_factory.mktemp("inside")
    repositories = Repositories(folder)
    spaces = Spaces(repositories, "http://testserver")
    hub = Hub(repositories, spaces, {}, "http://testserver", {})
    for kind in ("models", "datasets", "spaces"):
        repositories.create(kind, "learner/any")
    with TestClient(app_of(hub, ("testserver",)), raise_server_exceptions=False) as client:
        yield client, repositories, folder


HEADS = st.recursive(
    VALUES,
    lambda inner: st.dictionaries(
        TEXTS | st.sampled_from(["dtype", "shape", "__metadata__"]), inner, max_size=3
    ),
    max_leaves=8,
)
CARDS = st.dictionaries(
    words(
        """license tags language datasets library_name pipeline_tag base_model metrics title sdk
        models task_categories size_categories"""
    )
    | TEXTS,
    VALUES,
    max_size=4,
)


@settings(QUICK, max_examples=30)
@given(card=CARDS, odd=st.sampled_from(["", *ODD_YAML.values()]), config=BODIES, weights=HEADS)
def test_whatever_a_repository_holds_the_lists_are_there(inside, card, odd, config, weights):
    client, repositories, folder = inside
    head = json.dumps(weights).encode()
    data = struct.pack("<Q", len(head)) + head
    sha256 = hashlib.sha256(data).hexdigest()
    (folder / sha256).write_bytes(data)
    repositories.lfs.add(sha256, folder / sha256)
    readme = f"---\n{odd or json.dumps(card)}\n---\n"
    files = {
        "README.md": readme.encode("utf-8", "replace"),
        "config.json": json.dumps({"model_type": config, "architectures": config}).encode(),
        "model.safetensors": pointer(sha256, len(data)),
    }
    for kind in ("models", "datasets", "spaces"):
        repositories.find(kind, "learner/any").commit(files, "any", "learner")
        for path in (
            f"/api/{kind}?full=true&cardData=true&config=true",
            f"/api/{kind}?filter=a&pipeline_tag=b&num_parameters=min:1",
            f"/api/{kind}?expand=safetensors&sort=downloads",
            f"/api/{kind}/learner/any?blobs=true",
        ):
            answer = client.get(path)
            assert answer.status_code == 200, answer.text
            json.loads(answer.content)
    yaml.safe_load(json.dumps(answer.json()))


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"[" * 50_000,
        b'{"a": {"shape": 5}}',
        b'{"a": {"shape": null}}',
        b'{"a": {"dtype": "\\ud800"}}',
        b'{"a": {"shape": [NaN]}}',
        b'{"a": {"shape": [' + b",".join([b"9" * 4_000] * 2) + b"]}}",
    ],
)
def test_weights_that_are_none_count_nothing(inside, head: bytes):
    client, repositories, folder = inside
    data = struct.pack("<Q", len(head)) + head
    sha256 = hashlib.sha256(data).hexdigest()
    (folder / sha256).write_bytes(data)
    repositories.lfs.add(sha256, folder / sha256)
    files = {"model.safetensors": pointer(sha256, len(data))}
    repositories.find("models", "learner/any").commit(files, "any", "learner")
    answer = client.get("/api/models?expand=safetensors")
    assert answer.status_code == 200, answer.text
    assert not answer.json()[0].get("safetensors")
