"""What the local Hub leaves, lets in and lets out: processes, folders, places, tokens, hints."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from conftest import ROOT
from huggingface_hub import HfApi
from services import local, spaces
from test_hub_spaces import CARD, app

SENTINEL = "hf_not-a-token-of-anybody"
# Starts a program of its own, then answers.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("child", child.pid, flush=True)
"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch) -> Iterator[local.Local]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("HF_TOKEN", SENTINEL)
    monkeypatch.setenv("OPENAI_API_KEY", SENTINEL)
    with local.start("hub") as started:
        yield started


def shipped(hub: local.Local, name: str, code: str, wait: bool = True) -> HfApi:
    api = HfApi(endpoint=hub.address, token=hub.key)
    api.create_repo(name, repo_type="space", space_sdk="gradio")
    for path, text in (("README.md", CARD.format("")), ("app.py", code)):
        api.upload_file(
            path_or_fileobj=text.encode(),
            path_in_repo=path,
            repo_id=f"learner/{name}",
            repo_type="space",
        )
    if wait:
        assert api.wait_for_space(f"learner/{name}", poll_interval=0.2).stage == "RUNNING"
    return api


def child_of(api: HfApi, name: str) -> psutil.Process:
    said = next(line for line in api.fetch_space_logs(f"learner/{name}") if "child" in line)
    return psutil.Process(int(said.split()[1]))


def gone(process: psutil.Process, seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.1)
    return False


posix = pytest.mark.skipif(os.name == "nt", reason="sessions and groups of processes are POSIX's")


@posix
@pytest.mark.parametrize("ended", ["paused", "stopped", "killed"])
def test_what_an_app_has_started_ends_with_it(hub, ended):
    api = shipped(hub, "parent", PARENT + app())
    child = child_of(api, "parent")
    assert child.is_running()
    if ended == "paused":
        api.pause_space("learner/parent")
    elif ended == "stopped":
        hub.stop()
    else:
        hub.process.kill()
    assert gone(child)


def test_a_service_and_its_apps_see_no_token_of_the_user(hub):
    shipped(hub, "looks", app())
    seen = httpx.get(f"{hub.address}/run/learner/looks/environment", timeout=30).text
    assert SENTINEL not in seen
    assert hub.key not in seen
    if sys.platform == "linux":  # what the app could read of its parent
        theirs = Path(f"/proc/{hub.process.pid}/environ").read_bytes().decode()
        assert SENTINEL not in theirs
        assert hub.key not in theirs
        assert hub.guest not in theirs


@posix
def test_asked_to_end_by_a_signal_it_leaves_no_folder(tmp_path):
    command = [sys.executable, "-m", "services.hub", "--port", "0"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    running = subprocess.Popen(
        command, cwd=ROOT / "notebooks", env=environment, stdout=subprocess.PIPE, text=True
    )
    assert "Serving http://127.0.0.1:" in running.stdout.readline()
    assert list(tmp_path.glob("course-hub-*"))
    running.send_signal(signal.SIGTERM)
    running.wait(20)
    assert list(tmp_path.iterdir()) == []


def test_no_more_spaces_start_at_once_than_may_run(hub):
    names = [f"one-{number}" for number in range(spaces.MOST_RUNNING + 2)]
    for name in names:
        api = shipped(hub, name, app(seconds=2), wait=False)
    stages = [api.wait_for_space(f"learner/{name}", poll_interval=0.2).stage for name in names]
    assert stages.count("RUNNING") == spaces.MOST_RUNNING
    assert stages.count("RUNTIME_ERROR") == 2


def test_a_preflight_is_answered_alike_where_there_is_a_private_space_and_where_there_is_none(hub):
    api = shipped(hub, "hidden", app())
    api.update_repo_settings("learner/hidden", repo_type="space", private=True)
    asked = {"Origin": "http://127.0.0.1:1", "Access-Control-Request-Headers": "authorization"}
    answers = [
        httpx.options(f"{hub.address}/run/learner/{name}/config", headers=asked)
        for name in ("hidden", "no-such-space")
    ]
    assert [answer.status_code for answer in answers] == [204, 204]
    told = [{k: v for k, v in a.headers.items() if k != "date"} for a in answers]
    assert told[0] == told[1]
    assert told[0]["access-control-allow-headers"] == "authorization"


def test_a_space_that_is_made_anew_has_nothing_of_the_one_before(hub):
    api = shipped(hub, "again", app("before"))
    api.delete_repo("learner/again", repo_type="space")
    api = shipped(hub, "again", app("after"))
    assert httpx.get(f"{hub.address}/run/learner/again/", timeout=30).text == "after"
    api.add_space_variable("learner/again", "NEW", "yes")
    assert api.wait_for_space("learner/again", poll_interval=0.2).stage == "RUNNING"
    seen = httpx.get(f"{hub.address}/run/learner/again/environment", timeout=30).json()
    assert seen["NEW"] == "yes"


def test_the_demo_on_the_shelf_sleeps_and_wakes_for_its_first_visitor(hub):
    api = HfApi(endpoint=hub.address, token=hub.key)
    assert api.get_space_runtime("toytown/hello").stage == "SLEEPING"
    until = time.monotonic() + 28
    while time.monotonic() < until:
        answer = httpx.get(f"{hub.address}/run/toytown/hello/config", timeout=30)
        if answer.status_code == 200:
            break
        assert answer.status_code == 503
        time.sleep(float(answer.headers["Retry-After"]))
    assert answer.json()["title"] == "Gradio"


def test_a_large_body_in_json_is_refused_before_it_is_read(hub):
    body = json.dumps({"name": "x" * 5_000_000})
    answer = httpx.post(
        f"{hub.address}/api/repos/create",
        content=body,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 413


def test_large_files_of_a_deleted_repository_are_freed_unless_another_holds_them(hub, tmp_path):
    api = HfApi(endpoint=hub.address, token=hub.key)
    (store,) = tmp_path.glob("course-hub-*/lfs")
    files = {"own": os.urandom(50_000), "shared": os.urandom(50_000)}
    for name, held in (("one", ("own", "shared")), ("two", ("shared",))):
        api.create_repo(name)
        for file in held:
            place = tmp_path / f"{file}.safetensors"
            place.write_bytes(files[file])
            api.upload_file(
                path_or_fileobj=place, path_in_repo=place.name, repo_id=f"learner/{name}"
            )
    assert len(list(store.iterdir())) == 2
    api.delete_repo("learner/one")
    assert [place.read_bytes() for place in store.iterdir()] == [files["shared"]]
    api.delete_repo("learner/two")
    assert list(store.iterdir()) == []


def test_what_it_cannot_change_it_refuses_and_does_not_seem_to_do(hub):
    api = HfApi(endpoint=hub.address, token=hub.key)
    api.create_repo("settings")
    with pytest.raises(Exception, match="no other setting"):
        api.update_repo_settings("learner/settings", gated="auto")


def test_a_spaces_page_may_be_called_like_one_of_the_hubs(hub):
    shipped(hub, "pages", app())
    for page in ("resolve/main/x", "info/refs", "path"):
        answer = httpx.get(f"{hub.address}/run/learner/pages/{page}", timeout=30)
        assert answer.status_code == 200, page
