"""Spaces of the local Hub: how they are built, run, replaced, put to sleep, and what they see."""

import json
import os
import shutil
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from services import local

BUSY = ("BUILDING", "APP_STARTING", "RUNNING_BUILDING", "RUNNING_APP_STARTING")
CARD = "---\ntitle: A\nsdk: gradio\n{}\n---\n"
# A Space need not be made with Gradio: it is run, and answers on the port that it is told.
APP = """
import http.server, json, os, time

SAID = "{said}"
time.sleep({seconds})
print("Ready to say", SAID)


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def say(self, data, **headers):
        self.send_response(200)
        for name, value in {{"Content-Length": len(data), **headers}}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == "/environment":
            self.say(json.dumps(dict(os.environ)).encode())
        elif path == "/headers":
            self.say(json.dumps(self.headers.items()).encode())
        elif path == "/path":
            self.say(self.path.encode())
        elif path == "/cookie":
            self.say(b"here", Set_Cookie="session=of-one-visitor; Path=/")
        elif path == "/folder":
            self.say(os.getcwd().encode())
        elif path == "/slow":
            time.sleep(1.5)
            self.say(SAID.encode())
        elif path == "/stream":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for n in range(5):
                self.wfile.write(b"7\\r\\npiece %d\\r\\n" % n)
                time.sleep(0.3)
            self.wfile.write(b"0\\r\\n\\r\\n")
        elif path == "/end":
            print("It ends here.", flush=True)
            os._exit(3)
        elif path == "/half":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"the first half")
            os._exit(4)
        else:
            self.say(SAID.encode())

    def do_POST(self):
        self.say(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *args):
        pass


address = os.environ["GRADIO_SERVER_NAME"], int(os.environ["GRADIO_SERVER_PORT"])
http.server.ThreadingHTTPServer(address, Answer).serve_forever()
"""


def app(said: str = "Hello!", seconds: float = 0) -> str:
    return APP.format(said=said, seconds=seconds)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tmp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setenv("SECRET_OF_USER", "only-for-me")
        patch.setenv("HF_TOKEN", "hf_of_this_user")
        patch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nobody listens there
        running = local.start("hub")
    with running:
        yield running
    assert not list(folder.iterdir())


@pytest.fixture(scope="module")
def api(hub):
    return HfApi(endpoint=hub.address, token=hub.key)


class Running:
    """A Space of one's own, its pushes and its answers."""

    def __init__(self, api: HfApi, name: str):
        self.api, self.name = api, name
        self.address = f"{api.endpoint}/run/{name}"

    def commit(self, **files: str) -> None:
        """Write files; two underscores stand for a dot."""
        adds = [CommitOperationAdd(k.replace("__", "."), v.encode()) for k, v in files.items()]
        self.api.create_commit(self.name, adds, commit_message="Change", repo_type="space")

    @property
    def stage(self) -> str:
        return self.api.get_space_runtime(self.name).stage

    @property
    def message(self) -> str:
        return self.api.get_space_runtime(self.name).raw.get("errorMessage", "")

    def settle(self, seconds: float = 20) -> str:
        """The stage in which its building or starting ends."""
        end = time.monotonic() + seconds
        while (stage := self.stage) in BUSY:
            assert time.monotonic() < end, f"it is still {stage}"
            time.sleep(0.02)
        return stage

    def until(self, stage: str, seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while self.stage != stage:
            assert time.monotonic() < end, f"it is {self.stage}, not {stage}"
            time.sleep(0.02)

    def run(self, **files: str) -> None:
        self.commit(**files)
        assert self.settle() == "RUNNING", self.message

    def get(self, path: str = "/", **headers: str) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.get(f"{self.address}{path}", headers=names, timeout=20)

    def headers(self, **headers: str) -> dict[str, str]:
        """What reaches the app of a request's headers."""
        return {name.lower(): value for name, value in self.get("/headers", **headers).json()}

    def logged(self, wanted: str, build: bool = False) -> list[str]:
        """The lines of its log up to the one that is waited for."""
        lines = []
        stream = self.api.fetch_space_logs(self.name, build=build, follow=True)
        timer = threading.Timer(15, stream.close)  # else it would wait for two minutes
        timer.start()
        for line in stream:
            lines.append(line.rstrip())
            if wanted in line:
                break
        timer.cancel()
        stream.close()
        assert any(wanted in line for line in lines), lines
        return lines


@pytest.fixture(scope="module")
def new(api) -> Iterator[Callable[..., Running]]:
    made = []

    def create(name: str, **more) -> Running:
        api.create_repo(f"learner/{name}", repo_type="space", space_sdk="gradio", **more)
        made.append(f"learner/{name}")
        return Running(api, made[-1])

    yield create
    for name in made:
        api.delete_repo(name, repo_type="space", missing_ok=True)


@pytest.fixture
def space(new, request):
    """A Space of which only the first card is there; it is gone when the test is over."""
    made = new(f"s{len(request.node.name)}-{time.monotonic_ns()}")
    yield made
    made.api.delete_repo(made.name, repo_type="space", missing_ok=True)


@pytest.fixture(scope="module")
def hello(new):
    """One that runs, for tests that leave it as it is."""
    made = new("hello")
    made.run(app__py=app("Hello!"))
    return made


# ---- how it comes to run


def test_a_space_is_built_started_and_runs(space):
    assert space.settle() == "NO_APP_FILE"
    seen, done = ["NO_APP_FILE"], threading.Event()

    def watch() -> None:
        while not done.is_set():
            if (stage := space.stage) != seen[-1]:
                seen.append(stage)

    watching = threading.Thread(target=watch)
    watching.start()
    # Looking each of them up takes a while, in which it can be seen.
    space.commit(app__py=app(seconds=0.5), requirements__txt="numpy\n" * 500)
    space.until("RUNNING")
    done.set()
    watching.join()
    seen += ["RUNNING"] * (seen[-1] != "RUNNING")
    assert seen == ["NO_APP_FILE", "BUILDING", "APP_STARTING", "RUNNING"]
    assert space.get().text == "Hello!"
    assert space.api.space_info(space.name).runtime.stage == "RUNNING"


def test_its_logs_tell_of_the_build_and_of_what_the_app_has_said(hello):
    built = "".join(hello.api.fetch_space_logs(hello.name, build=True))
    assert "Build of" in built
    assert "Build is done." in built
    assert hello.logged("Ready to say Hello!")[0].startswith("===== Application startup")


def test_a_log_that_is_followed_goes_on(space):
    space.run(app__py=app())
    stream = space.api.fetch_space_logs(space.name, follow=True)
    assert "startup" in next(stream)
    assert "Ready" in next(stream)
    space.get("/end")
    assert any("It ends here." in line for line in stream)
    assert any("exit code 3" in line for line in stream)
    stream.close()


BROKEN = {
    "a package that is not here": (
        {"requirements__txt": "no-such-package-at-all==1.0"},
        "BUILD_ERROR",
        "no-such-package-at-all==1.0 is not installed here",
    ),
    "an old version": ({"requirements__txt": "numpy<1"}, "BUILD_ERROR", "numpy<1 is asked for"),
    "from an address": (
        {"requirements__txt": "numpy @ https://example.com/numpy.whl"},
        "BUILD_ERROR",
        "is asked for",
    ),
    "no requirement": ({"requirements__txt": "--index-url x"}, "BUILD_ERROR", "no requirement"),
    "an old Gradio": (
        {"README__md": CARD.format("sdk_version: 3.0.0"), "requirements__txt": ""},
        "BUILD_ERROR",
        "gradio==3.0.0",
    ),
    "another sdk": (
        {"README__md": "---\nsdk: docker\n---\n", "requirements__txt": ""},
        "CONFIG_ERROR",
        "not docker",
    ),
    "an app outside": (
        {"README__md": CARD.format("app_file: ../../app.py")},
        "CONFIG_ERROR",
        "no path of a file",
    ),
    "an app that is not there": (
        {"README__md": CARD.format("app_file: main.py")},
        "NO_APP_FILE",
        "There is no main.py.",
    ),
    "an app that fails": (
        {
            "README__md": CARD.format(""),
            "app__py": "def f():\n    raise ValueError('in vain')\nf()",
        },
        "RUNTIME_ERROR",
        "exit code 1",
    ),
    "an app that is no Python": ({"app__py": "def"}, "RUNTIME_ERROR", "exit code 1"),
    "an app that has no more to do": (
        {"app__py": "print('Done.')"},
        "RUNTIME_ERROR",
        "exit code 0",
    ),
}


@pytest.fixture(scope="module")
def broken(new):
    made = new("broken")
    made.commit(app__py="print('Done.')")
    made.settle()
    return made


@pytest.mark.parametrize(("files", "stage", "said"), BROKEN.values(), ids=BROKEN)
def test_what_cannot_run_says_why(broken, files: dict, stage: str, said: str):
    broken.commit(**files)
    assert broken.settle() == stage
    assert said in broken.message
    answer = broken.get()
    assert answer.status_code == 503
    assert stage in answer.json()["error"]
    log = "run" if stage == "RUNTIME_ERROR" else "build"
    broken.logged(said, build=log == "build")
    if "in vain" in files.get("app__py", ""):
        lines = broken.logged("ValueError: in vain")
        assert "Traceback (most recent call last):" in lines
        assert any('app.py", line 2, in f' in line for line in lines)


def test_a_card_that_is_wrong_and_came_by_git_is_a_config_error(space, hub, tmp_path):
    """By the API it does not come in; git brings anything."""
    if not shutil.which("git"):
        pytest.skip("needs git")
    space.run(app__py=app())
    helper = '!f() { test "$1" = get && echo username=x && echo "password=$HUB_TOKEN"; }; f'

    def git(*words: str) -> None:
        who = ["-c", "user.name=Rosa", "-c", "user.email=rosa@toytown"]
        subprocess.run(
            ["git", "-c", "credential.helper=", "-c", f"credential.helper={helper}", *who, *words],
            cwd=tmp_path,
            env=os.environ | {"HUB_TOKEN": hub.key, "HOME": str(tmp_path)},
            check=True,
            capture_output=True,
        )

    git("clone", "-q", f"{hub.address}/spaces/{space.name}", ".")
    (tmp_path / "README.md").write_text(CARD.format("colorFrom: beautiful"))
    git("commit", "-q", "-a", "-m", "A colour")
    git("push", "-q")
    assert space.settle() == "CONFIG_ERROR"
    assert '"colorFrom"' in space.message
    assert space.get().text == "Hello!", "the version before it still answers"
    git("push", "-q", "--force", "origin", "HEAD~1:main")
    assert space.stage == "RUNNING", "what runs is again what is on main"
    assert space.message == ""


def test_an_app_that_never_answers_can_be_stopped(space, hub):
    """It listens, but what it says is no HTTP."""
    listens = "import os, socket\ns = socket.create_server(('127.0.0.1', {}))\n".format(
        'int(os.environ["GRADIO_SERVER_PORT"])'
    )
    before = len(psutil.Process(hub.process.pid).children())
    space.commit(app__py=listens + "while True:\n    c, _ = s.accept()\n    c.sendall(b'What?\\n')")
    space.until("APP_STARTING")
    begin = time.monotonic()
    answer = space.get()
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert 2 < time.monotonic() - begin < 5, "clients wait for five seconds"
    assert space.stage == "APP_STARTING"
    space.api.pause_space(space.name)
    assert space.stage == "PAUSED"
    assert len(psutil.Process(hub.process.pid).children()) == before
    space.commit(app__py=app())
    time.sleep(0.3)
    assert space.stage == "PAUSED", "what is pushed does not wake it"
    space.api.restart_space(space.name)
    assert space.settle() == "RUNNING"


def test_only_so_many_run_at_once_and_who_comes_later_is_told(new, hello):
    others = [new(f"crowd{n}") for n in range(4)]
    for other in others[:3]:
        other.run(app__py=app())
    others[3].commit(app__py=app())
    assert others[3].settle() == "RUNTIME_ERROR"
    assert "4 Spaces run already" in others[3].message
    hello.api.pause_space(others[0].name)
    hello.api.restart_space(others[3].name)
    assert others[3].settle() == "RUNNING"
    for other in others:
        hello.api.delete_repo(other.name, repo_type="space")
    assert httpx.get(others[3].address).status_code == 401, "as if it had never been"


# ---- while it runs


def test_requests_reach_the_app_as_they_were_sent(hello):
    assert httpx.get(hello.address).text == "Hello!", "with or without a slash at the end"
    assert hello.get("/path").text == "/path"
    odd = "/path?a=%2F&b=c+d&%C3%A9=%20"
    assert hello.get(odd).text == odd
    data = os.urandom(2_000_000)
    assert httpx.post(f"{hello.address}/echo", content=data).content == data
    assert httpx.head(f"{hello.address}/").status_code == 501, (
        "as http.server says of what it lacks"
    )
    told = hello.headers(X_Odd="one", Accept="text/odd")
    assert (told["x-odd"], told["accept"]) == ("one", "text/odd")
    assert told["x-forwarded-host"] == httpx.URL(hello.address).netloc.decode()
    assert hello.headers(X_Odd="é".encode("latin-1"))["x-odd"] == "é"


def test_a_stream_comes_piece_by_piece(hello):
    came = []
    with httpx.stream("GET", f"{hello.address}/stream") as answer:
        for piece in answer.iter_raw():
            came.append((time.monotonic(), piece))
    assert b"".join(piece for _, piece in came) == b"".join(b"piece %d" % n for n in range(5))
    assert len(came) == 5
    assert came[-1][0] - came[0][0] > 0.8


def test_a_visitors_cookies_are_not_shown_to_another(hello):
    with httpx.Client() as first:
        first.get(f"{hello.address}/cookie")
        assert "session=of-one-visitor" in first.get(f"{hello.address}/headers").text
    assert "cookie" not in hello.headers()


def test_the_app_never_sees_the_hubs_token(hello, hub):
    for header in ("Authorization", "X_HF_Authorization"):
        told = hello.get("/headers", **{header: f"Bearer {hub.key}"})
        assert hub.key not in told.text
        assert "authorization" not in told.text.lower()


def test_the_app_sees_nothing_of_who_started_the_hub(hello, hub):
    text = hello.get("/environment").text
    for secret in ("only-for-me", "hf_of_this_user", hub.key, hub.guest):
        assert secret not in text
    told = json.loads(text)
    assert told["SPACE_ID"] == "learner/hello"
    assert told["HF_ENDPOINT"] == hub.address
    assert not {"HF_TOKEN", "HTTP_PROXY", "COURSE_SERVICE_KEY", "COURSE_TIER"} & told.keys()
    folder = Path(hello.get("/folder").text)
    assert Path(told["HOME"]).parent == folder.parent
    assert told["HF_HOME"].startswith(told["HOME"])


def test_variables_and_secrets_reach_the_app_and_a_secret_is_told_to_nobody(new, api, hub):
    secret = "nobody-may-read-this"
    space = new(
        "settings",
        space_variables=[{"key": "FIRST", "value": "1"}],
        space_secrets=[{"key": "HIDDEN", "value": secret}],
    )
    space.run(app__py=app())
    told = json.loads(space.get("/environment").text)
    assert (told["FIRST"], told["HIDDEN"]) == ("1", secret)
    api.add_space_variable(space.name, "SECOND", "2")
    assert space.settle() == "RUNNING", "it has been started anew"
    api.add_space_secret(space.name, "HIDDEN", f"{secret}-either")
    api.add_space_secret(space.name, "LATER", "x")
    api.delete_space_secret(space.name, "LATER")
    assert space.settle() == "RUNNING"
    told = json.loads(space.get("/environment").text)
    assert (told["SECOND"], told["HIDDEN"]) == ("2", f"{secret}-either")
    assert "LATER" not in told
    assert {k: v.value for k, v in api.get_space_variables(space.name).items()} == {
        "FIRST": "1",
        "SECOND": "2",
    }
    assert set(api.get_space_secrets(space.name)) == {"HIDDEN"}
    own = {"authorization": f"Bearer {hub.key}"}
    for path in ("", "/secrets", "/variables", "/runtime", "/tree/main", "/refs"):
        found = httpx.get(f"{hub.address}/api/spaces/{space.name}{path}", headers=own)
        assert found.status_code == 200
        assert secret not in found.text
    api.delete_repo(space.name, repo_type="space")


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
@pytest.mark.parametrize("kind", ["variables", "secrets"])
def test_a_value_that_no_program_can_be_given_is_refused(hello, hub, kind: str, value: str):
    answer = httpx.post(
        f"{hub.address}/api/spaces/{hello.name}/{kind}",
        content=json.dumps({"key": "ODD", "value": value}),
        headers={"authorization": f"Bearer {hub.key}", "content-type": "application/json"},
    )
    assert answer.status_code == 400
    assert "value" in answer.json()["error"]
    assert hello.stage == "RUNNING"


def test_only_its_owner_steers_it(hello, hub):
    guest = HfApi(endpoint=hub.address, token=hub.guest)
    assert guest.get_space_runtime(hello.name).stage == "RUNNING", "to look is free"
    for attempt in (
        lambda: guest.restart_space(hello.name),
        lambda: guest.pause_space(hello.name),
        lambda: guest.set_space_sleep_time(hello.name, 1),
        lambda: guest.get_space_variables(hello.name),
        lambda: guest.get_space_secrets(hello.name),
        lambda: guest.add_space_secret(hello.name, "A", "b"),
        lambda: list(guest.fetch_space_logs(hello.name)),
    ):
        with warnings.catch_warnings(), pytest.raises(HfHubHTTPError) as refused:
            warnings.simplefilter("ignore")  # the client's, of a free Space's sleep
            attempt()
        assert refused.value.response.status_code == 403
    assert hello.stage == "RUNNING"


def test_a_private_space_answers_its_owner_alone(space, hub, api):
    space.run(app__py=app("Only for me"))
    api.update_repo_settings(space.name, private=True, repo_type="space")
    assert space.get().status_code == 401
    assert space.get(Authorization=f"Bearer {hub.guest}").status_code == 404
    assert space.get(X_HF_Authorization=f"Bearer {hub.guest}").status_code == 404
    assert space.get(Authorization="Bearer hf_nobody").status_code == 401
    for header in ("Authorization", "X_HF_Authorization"):
        assert space.get(**{header: f"Bearer {hub.key}"}).text == "Only for me"
    other = f"{hub.address}/run/learner/nothing"
    before = [httpx.options(address) for address in (space.address, other)]
    assert {(one.status_code, one.text) for one in before} == {(204, "")}, "a browser's question"
    guest = HfApi(endpoint=hub.address, token=hub.guest)
    for attempt in (guest.get_space_runtime, guest.space_info, guest.fetch_space_logs):
        with pytest.raises(RepositoryNotFoundError):
            list(attempt(space.name)) if attempt == guest.fetch_space_logs else attempt(space.name)


# ---- when it ends


def test_an_app_that_dies_is_noticed_and_can_be_restarted(space):
    space.run(app__py=app())
    answer = space.get("/end")  # it said nothing before it ended
    assert answer.status_code == 503
    assert "broke off" in answer.json()["error"]
    assert space.get().status_code == 503
    space.until("RUNTIME_ERROR", 5)
    assert "exit code 3" in space.message
    assert "exit code 3" in space.get().json()["error"]
    space.logged("It ends here.")
    space.api.restart_space(space.name)
    assert space.settle() == "RUNNING"
    assert space.get().text == "Hello!"


def test_an_answer_that_breaks_off_is_not_taken_for_whole(space):
    space.run(app__py=app())
    with pytest.raises(httpx.HTTPError):
        space.get("/half")
    space.until("RUNTIME_ERROR", 5)


class Asking:
    """Asks again and again, from two sides at once, until it is stopped."""

    def __init__(self, *spaces_and_paths: tuple[Running, str]):
        self.answers, self.done = [], threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=one) for one in spaces_and_paths]

    def ask(self, space: Running, path: str) -> None:
        while not self.done.is_set():
            begin = time.monotonic()
            try:
                answer = space.get(path)
                self.answers.append((begin, answer.status_code, answer.text))
            except httpx.HTTPError as error:
                self.answers.append((begin, 0, str(error)))

    def __enter__(self) -> "Asking":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join()


def test_a_new_version_takes_the_place_of_the_old_one_without_a_gap(space):
    space.run(app__py=app("old"))
    old = Path(space.get("/folder").text).parent
    with Asking((space, "/"), (space, "/slow")) as asking:
        time.sleep(0.3)
        space.commit(app__py=app("new", seconds=0.5))
        assert space.stage.startswith("RUNNING_")
        assert space.settle() == "RUNNING"
        time.sleep(2)
    answers = [(code, text) for _, code, text in sorted(asking.answers)]
    assert {code for code, _ in answers} == {200}, [one for one in answers if one[0] != 200]
    said = [text for _, text in answers]
    assert said[0] == "old"
    assert said[-1] == "new"
    assert said == sorted(said, reverse=True), "none goes back to the old one"
    end = time.monotonic() + 10
    while old.exists():
        assert time.monotonic() < end, "the old one is still there"
        time.sleep(0.05)


def test_a_new_version_that_fails_leaves_the_old_one_answering(space):
    space.run(app__py=app("old"))
    with Asking((space, "/")) as asking:
        space.commit(app__py="raise SystemExit(7)")
        assert space.settle() == "RUNTIME_ERROR"
        assert "exit code 7" in space.message
        space.commit(app__py=app(), requirements__txt="no-such-package-at-all")
        assert space.settle() == "BUILD_ERROR"
    assert {(code, text) for _, code, text in asking.answers} == {(200, "old")}
    space.run(app__py=app("new"), requirements__txt="")
    assert space.get().text == "new"


def test_of_two_pushes_in_a_row_the_last_one_counts(space):
    space.commit(app__py=app("first", seconds=3))
    space.commit(app__py=app("second", seconds=0.3))
    seen, end = set(), time.monotonic() + 15
    while (stage := space.stage) != "RUNNING":
        seen.add(stage)
        assert time.monotonic() < end
    assert seen <= set(BUSY), "the first one's end is no news"
    assert space.get().text == "second"


def test_pause_and_restart(space):
    space.run(app__py=app())
    space.api.pause_space(space.name)
    assert space.stage == "PAUSED"
    answer = space.get()
    assert answer.status_code == 503
    assert "PAUSED" in answer.json()["error"]
    space.api.restart_space(space.name)
    assert space.settle() == "RUNNING"
    assert space.get().text == "Hello!"


def sleepy(space: Running, seconds: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the client's: a free Space of the real Hub sleeps late
        space.api.set_space_sleep_time(space.name, seconds)


def test_what_nobody_uses_goes_to_sleep_and_the_next_request_wakes_it(space):
    space.run(app__py=app())
    sleepy(space, 1)
    with httpx.stream("GET", f"{space.address}/stream") as answer:
        assert len(answer.read()) == 35, "it does not sleep in the middle of an answer"
    space.until("SLEEPING", 10)
    assert space.get().text == "Hello!", "who wakes it waits, and is answered"
    space.until("SLEEPING", 10)
    sleepy(space, -1)
    space.get()
    time.sleep(1.5)
    assert space.stage == "RUNNING"


def test_who_wakes_one_that_is_slow_is_told_to_ask_again(space, tmp_path):
    slow = tmp_path / "from now on"
    begin = f"import os, time\ntime.sleep(4 * os.path.exists({str(slow)!r}))\n"
    space.run(app__py=begin + app())
    slow.touch()
    sleepy(space, 1)
    space.until("SLEEPING", 10)
    sleepy(space, -1)
    answer = space.get()
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert "ask again" in answer.json()["error"]
    end = time.monotonic() + 15
    while space.get().status_code != 200:
        assert time.monotonic() < end


def test_no_space_outlives_the_hub_whether_it_is_killed_or_stopped(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()

    def started() -> tuple[local.Local, Running]:
        server = local.start("hub", "--folder", str(tmp_path / "kept"))
        return server, Running(HfApi(endpoint=server.address, token=server.key), "learner/last")

    def ended(server: local.Local, end: Callable[[], object]) -> None:
        children = psutil.Process(server.process.pid).children()
        assert len(children) == 1
        end()
        server.process.wait()
        psutil.wait_procs(children, 5)
        assert not children[0].is_running()

    first, last = started()
    last.api.create_repo(last.name, repo_type="space", space_sdk="gradio")
    last.run(app__py=app())
    ended(first, first.process.kill)
    for folder in (tmp_path / "tmp").iterdir():
        shutil.rmtree(folder)  # a Hub that is killed cannot
    second, last = started()
    assert last.settle() == "RUNNING", "what was kept in a folder runs again"
    assert last.get().text == "Hello!"
    ended(second, second.stop)
    assert not list((tmp_path / "tmp").iterdir())
