"""What the local Hub leaves, lets in and lets out: processes, folders, places, tokens, hints."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from conftest import ROOT
from huggingface_hub import HfApi
from services import local, repos, shelf, spaces
from services.refusals import Refusal
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
        assert "Traceback" not in started.log()


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


@posix
def test_what_a_killed_one_has_left_the_next_one_removes(hub, tmp_path):
    shipped(hub, "left", app())
    mine = [f"course-{name}-{hub.process.pid}-*" for name in ("hub", "spaces")]
    assert all(list(tmp_path.glob(mark)) for mark in mine)
    hub.process.kill()
    hub.process.wait()
    with local.start("hub"):
        assert not any(list(tmp_path.glob(mark)) for mark in mine)


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


def test_a_new_secret_arrives_though_another_branch_is_pushed_while_it_restarts(hub):
    api = shipped(hub, "settings", app())
    api.add_space_secret("learner/settings", "KEY", "new")
    api.create_branch("learner/settings", branch="side", repo_type="space")
    api.upload_file(
        path_or_fileobj=b"a note",
        path_in_repo="note.txt",
        repo_id="learner/settings",
        repo_type="space",
        revision="side",
    )
    assert api.wait_for_space("learner/settings", poll_interval=0.2).stage == "RUNNING"
    seen = httpx.get(f"{hub.address}/run/learner/settings/environment", timeout=30).json()
    assert seen.get("KEY") == "new"


def test_a_visitor_does_not_break_what_sleeps_where_there_is_no_place(hub):
    for number in range(spaces.MOST_RUNNING):
        api = shipped(hub, f"one-{number}", app())
    answer = httpx.get(f"{hub.address}/run/toytown/hello/", timeout=30)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert api.get_space_runtime("toytown/hello").stage == "SLEEPING"


def test_a_page_of_another_site_is_not_let_in(hub):
    asked = {"Access-Control-Request-Method": "POST"}
    for origin, let in (("http://localhost:8000", True), ("https://evil.example", False)):
        answer = httpx.options(
            f"{hub.address}/run/toytown/hello/gradio_api/call/x", headers=asked | {"Origin": origin}
        )
        assert ("access-control-allow-origin" in answer.headers) is let
        refused = httpx.get(f"{hub.address}/run/learner/nothing/", headers={"Origin": origin})
        assert refused.status_code == 401
        assert ("access-control-allow-origin" in refused.headers) is let, "it can read why"


def test_settings_of_one_moment_are_all_kept(hub):
    api = shipped(hub, "crowd", app(), wait=False)
    with ThreadPoolExecutor(8) as pool:
        added = [
            pool.submit(api.add_space_variable, "learner/crowd", f"V{number}", str(number))
            for number in range(24)
        ]
    assert all(one.result() for one in added)
    assert len(api.get_space_variables("learner/crowd")) == 24


def test_facts_that_cannot_be_read_leave_out_one_repository_and_no_more(tmp_path, capsys):
    repos.Repositories(tmp_path).create("models", "learner/whole")
    torn = repos.Repositories(tmp_path).create("models", "learner/torn")
    (torn.folder / "hub.json").write_text('{"private": tr')
    again = repos.Repositories(tmp_path)
    assert list(again.known) == [("models", "learner/whole")]
    assert "learner/torn is left out" in capsys.readouterr().err
    with pytest.raises(Refusal, match="cannot be read: move its folder away"):
        again.create("models", "learner/torn")
    assert (torn.folder / "HEAD").is_file(), "it is still somebody's work"


def test_facts_of_another_edition_of_the_course_are_read_as_far_as_they_are_known(tmp_path):
    made = repos.Repositories(tmp_path).create("models", "learner/newer", private=True)
    told = json.loads((made.folder / "hub.json").read_text())
    (made.folder / "hub.json").write_text(json.dumps(told | {"newer_field": 1}))
    found = repos.Repositories(tmp_path).find("models", "learner/newer")
    assert found.facts.private
    if os.name != "nt":
        with found.changing():
            pass
        assert (found.folder / "hub.json").stat().st_mode & 0o077 == 0, "there are secrets in it"


def test_what_was_sent_and_never_committed_is_gone_at_the_next_start(tmp_path):
    first = repos.Repositories(tmp_path)
    made = first.create("models", "learner/one")
    kept, left = b"committed", b"not committed"
    for content in (kept, left):
        name = hashlib.sha256(content).hexdigest()
        with first.lfs.receiving(name, len(content)) as upload:
            upload.write(content)
    made.commit({"a.bin": repos.pointer(hashlib.sha256(kept).hexdigest(), len(kept))}, "a", "me")
    again = repos.Repositories(tmp_path)
    assert [file.read_bytes() for file in again.lfs.folder.iterdir()] == [kept]
    assert again.lfs.stored == len(kept)

    for commit in (again.find("models", "learner/one").folder / "objects").glob("??/*"):
        commit.chmod(0o644)
        commit.write_bytes(b"broken")
    broken = repos.Repositories(tmp_path)
    assert [file.read_bytes() for file in broken.lfs.folder.iterdir()] == [kept], "none is lost"


def test_files_of_somebody_else_in_its_folder_stay(tmp_path):
    held = repos.Repositories(tmp_path)
    held.create("models", "learner/one")
    theirs = [tmp_path / "lfs" / name for name in ("thesis.pdf", "film.part")]
    for file in theirs:
        file.write_bytes(b"three years")
    repos.Repositories(tmp_path)
    assert all(file.read_bytes() == b"three years" for file in theirs)


def test_a_first_start_that_was_cut_off_goes_on_at_the_next(tmp_path):
    half = repos.Repositories(tmp_path)
    for kind, name in (("spaces", "toytown/hello"), ("datasets", "toytown/similarity")):
        half.create(kind, name)
    again = repos.Repositories(tmp_path)
    shelf._filled(again, "spaces", "toytown/hello", {"app.py": b"print()"}, "The smallest Space")
    shelf._dataset(again, "similarity")
    for kind, name in (("spaces", "toytown/hello"), ("datasets", "toytown/similarity")):
        found = again.find(kind, name)
        assert found.files(found.commit_of("main"))


def test_a_stop_that_is_asked_while_an_environment_is_made_lets_no_pip_run_on(
    tmp_path, monkeypatch
):
    repositories, run = repos.Repositories(tmp_path / "hub"), subprocess.run
    running = spaces.Spaces(repositories, "http://127.0.0.1:9", True)
    space = running.of(repositories.create("spaces", "learner/stopped"))

    def asked_meanwhile(command, **more):
        done = run([*command[:-1], "--without-pip", command[-1]], **more)
        running.pause(space)  # it finds no pip yet
        return done

    monkeypatch.setattr(spaces.subprocess, "run", asked_meanwhile)
    (tmp_path / "app").mkdir()
    with pytest.raises(spaces.BuildError, match="a stop, was asked for"):
        running._installed(space, tmp_path, ["a-package-that-nobody-has"], space.asked)
    assert space.installing is None


def test_a_folder_of_an_earlier_edition_gets_what_is_on_the_shelf_now(tmp_path):
    more = tmp_path / "more/models/toytown/notes"
    more.mkdir(parents=True)
    for text, extra in (("first", True), ("second", False)):
        (more / "README.md").write_text(text)
        (more / "weights.safetensors").write_bytes(text.encode())
        if extra:
            (more / "old.txt").write_text("no more in the second")
        else:
            (more / "old.txt").unlink()
        held = repos.Repositories(tmp_path / "hub")
        shelf._upload(held, "models", "toytown/notes", more)
        found = held.find("models", "toytown/notes")
        files = found.files(found.commit_of("main"))
        assert found.content(files["README.md"]) == text.encode()
        assert held.lfs.path(files["weights.safetensors"].lfs).read_bytes() == text.encode()
        assert ("old.txt" in files) is extra
    shelf._upload(held, "models", "toytown/notes", more)
    assert len(found.history(found.commit_of("main"))) == 2, "what is the same is no new commit"


@pytest.mark.parametrize(
    ("line", "path", "away"),
    [
        ("build/", "build/x.o", True),
        ("build/", "src/build/x.o", True),
        (".env", "a/.env", True),
        ("docs/*.md", "docs/a/b.md", False),
        ("docs/*.md", "docs/b.md", True),
        ("*.log\n!keep.log", "keep.log", False),
        ("*.log\n!keep.log", "a/other.log", True),
        ("# a note\n\n", "a note", False),
    ],
)
def test_gitignore_means_what_git_means_by_it(hub, line, path, away):
    api = HfApi(endpoint=hub.address, token=hub.key)
    api.create_repo("ignoring")
    for ignore in (line, None):  # sent along, or in the repository already
        if not ignore:
            api.upload_file(
                path_or_fileobj=line.encode(), path_in_repo=".gitignore", repo_id="learner/ignoring"
            )
        asked = {"files": [{"path": path, "size": 1, "sample": ""}], "gitIgnore": ignore or ""}
        told = httpx.post(
            f"{hub.address}/api/models/learner/ignoring/preupload/main",
            json=asked,
            headers={"Authorization": f"Bearer {hub.key}"},
        ).json()
        assert told["files"][0]["shouldIgnore"] is away


def test_downloads_without_number_do_not_push_aside_an_upload(hub):
    api, content = HfApi(endpoint=hub.address, token=hub.key), b"weights"
    api.create_repo("mine")
    oid = hashlib.sha256(content).hexdigest()
    link = f"{hub.address}/learner/mine/info/lfs/objects/batch"
    asked = {"operation": "upload", "objects": [{"oid": oid, "size": len(content)}]}
    mine = {"Authorization": f"Bearer {hub.key}"}
    told = httpx.post(link, json=asked, headers=mine).json()
    put = told["objects"][0]["actions"]["upload"]["href"]
    files = api.list_repo_tree("toytown/detector")
    held = next(one.lfs for one in files if one.path == "model.safetensors")
    some = [{"oid": held.sha256, "size": held.size}] * 1_000
    for _ in range(11):
        asked = {"operation": "download", "objects": some}
        link = f"{hub.address}/toytown/detector/info/lfs/objects/batch"
        assert httpx.post(link, json=asked, timeout=30).status_code == 200
    assert httpx.put(put, content=content).status_code == 200


def test_a_space_may_be_called_by_a_number(hub):
    api = HfApi(endpoint=hub.address, token=hub.key)
    api.create_repo("2026", repo_type="space", space_sdk="gradio")
    stage = api.wait_for_space("learner/2026", poll_interval=0.2).stage
    assert stage == "NO_APP_FILE", "its card is good; it only has no app yet"


def test_an_app_gets_large_json_and_a_key_of_its_own_but_not_the_hubs(hub):
    shipped(hub, "keys", app())
    link, body = f"{hub.address}/run/learner/keys", json.dumps(["x" * 5_000_000]).encode()
    for own in ("Bearer of-the-app", f"Bearer {hub.key}"):
        sent = {"X-HF-Authorization": f"Bearer {hub.key}", "Authorization": own}
        seen = httpx.get(f"{link}/headers", headers=sent, timeout=30).text
        assert hub.key not in seen
        assert ("of-the-app" in seen) is ("of-the-app" in own)
        sent["Content-Type"] = "application/json"
        assert httpx.post(link + "/", content=body, headers=sent, timeout=30).content == body


def test_a_pause_that_waited_for_a_build_does_not_undo_a_later_restart(hub):
    api = shipped(hub, "turns", app(seconds=2), wait=False)
    with ThreadPoolExecutor(1) as pool:
        paused = pool.submit(api.pause_space, "learner/turns")
        time.sleep(0.3)
        api.restart_space("learner/turns")
        paused.result()
    assert api.wait_for_space("learner/turns", poll_interval=0.2).stage == "RUNNING"
    time.sleep(1)
    assert api.get_space_runtime("learner/turns").stage == "RUNNING"
