"""`make preflight`: what it says of this machine, and of one on which a lesson would fail."""

import ast
import json
import math
import socket
import subprocess
import sys
import time
from pathlib import Path

import preflight
import pytest
from conftest import ROOT

SCRIPT = ROOT / ".ci" / "preflight.py"
RECORDING = next((ROOT / "assets" / "audio" / "speech").iterdir())


def run(python, *arguments):
    return subprocess.run(
        [python, SCRIPT, *arguments], capture_output=True, encoding="utf-8", check=False, timeout=60
    )


def table(said: str) -> dict[str, str]:
    """What a line is about → its state."""
    lines = [line for line in said.splitlines() if line.split(" ")[0] in preflight.COLOURS]
    return {line[9:23].strip(): line.split(" ")[0] for line in lines}


# ------------------------------------------------------------------------------------ this machine


def test_packages_memory_and_a_genuine_models_answer_are_told_by_the_environments_python():
    asked = run(sys.executable, "--inside")
    answers = {
        name: (state, said) for name, state, said in map(json.loads, asked.stdout.split("\n")[:-1])
    }
    assert list(answers) == list(preflight.INSIDE)
    assert answers["packages"][0] == "ok", answers
    assert answers["first answer"][0] == "ok", answers
    assert "0.72" in answers["first answer"][1]  # computed, and what 2.2 prints


def test_a_python_without_the_packages_says_what_to_do_and_looks_at_the_rest(tmp_path):
    bare = Path(sys.base_prefix) / ("python.exe" if sys.platform == "win32" else "bin/python3")
    looked = run(bare, "--venv", tmp_path / "none")
    assert looked.returncode == 1, "a lesson cannot begin without packages"
    assert "Traceback" not in looked.stdout + looked.stderr
    states = table(looked.stdout)
    assert states["environment"] == "missing"
    assert "is not there: run  make environment" in looked.stdout
    assert states["checkpoints"] == states["this machine"] == states["Python"] == "ok"
    assert not states.keys() & set(preflight.INSIDE), "nobody was there to answer these"
    assert {"disk", "ports", "browser", "sound", "microphone", "network"} <= states.keys()


def test_a_half_made_environment_is_called_that(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    python, (state, said) = preflight.find_python(tmp_path)
    assert (python, state) == (None, "missing")
    assert "is half made: run  make environment" in said


def test_without_an_environment_this_pythons_packages_do_and_are_not_imported(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(preflight, "runs", lambda command: pytest.fail("imported from a cold disk"))
    python, (state, said) = preflight.find_python(tmp_path / "none")
    assert (python, state) == (Path(sys.executable), "ok")
    assert said == f"no .venv; the packages of {sys.executable}"


def test_a_check_that_fails_without_a_word_is_told_and_does_not_stop_the_others(
    monkeypatch, capsys
):
    def fails() -> None:
        raise MemoryError

    monkeypatch.setattr(preflight, "check_packages", fails)
    monkeypatch.setattr(preflight, "check_memory", lambda: ("ok", "enough"))
    monkeypatch.setattr(preflight, "check_first_answer", lambda: ("ok", "said"))
    assert preflight.inside() == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told == [
        ["packages", "missing", "MemoryError: without a word"],
        ["memory", "ok", "enough"],
        ["first answer", "ok", "said"],
    ]


@pytest.mark.parametrize("name", ["preflight.py", "environment.py", "installer/install.py"])
def test_an_older_python_can_at_least_read_it(name):
    ast.parse((ROOT / ".ci" / name).read_text("utf-8"), feature_version=(3, 7))


def test_an_older_python_is_told_which_ones_will_do(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    state, said = preflight.check_python()
    assert state == "warn"
    assert "3.11, 3.12 or 3.13" in said


def test_a_python_that_does_not_answer_in_time_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(preflight, "LIMIT", 2)
    slow = 'import time; print(\'["packages", "ok", "early"]\', flush=True); time.sleep(60)'
    started = time.monotonic()
    asked = preflight.Asked([sys.executable, "-c", slow])
    assert asked.answer("packages") == ("ok", "early")
    state, said = asked.answer("first answer")
    assert state == "warn"
    assert "no answer in 2 s" in said
    assert time.monotonic() - started < 10


def test_a_python_that_fails_is_missing_and_quoted():
    asked = preflight.Asked([sys.executable, "-c", "raise SystemExit('no such library')"])
    assert asked.answer("packages") == ("missing", "it failed: no such library")


# ----------------------------------------------------------------------------- what can be missing


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of two checkpoint files and one requirement, in which a test may spoil something."""
    import hashlib

    folder = tmp_path / "assets" / "checkpoints" / "speaker"
    folder.mkdir(parents=True)
    manifest = {}
    for name in ("model.safetensors", "config.json"):
        (folder / name).write_bytes(name.encode())
        manifest[f"speaker/{name}"] = hashlib.sha256(name.encode()).hexdigest()
    (folder.parent / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "requirements.txt").write_text("# why\npytest==0.1  # runs\n")
    (tmp_path / "README.md").write_text((ROOT / "README.md").read_text("utf-8"), "utf-8")
    monkeypatch.setattr(preflight, "ROOT", tmp_path)
    return tmp_path


def test_a_changed_or_lost_checkpoint_is_named_with_its_repair(course):
    assert preflight.check_checkpoints()[0] == "ok"
    file = course / "assets/checkpoints/speaker/model.safetensors"
    file.write_bytes(b"half")
    state, said = preflight.check_checkpoints()
    assert state == "missing"
    assert "speaker/model.safetensors" in said
    assert "git checkout -- assets/checkpoints" in said
    file.unlink()
    assert preflight.check_checkpoints()[0] == "missing"


def test_a_package_of_another_version_warns_and_one_that_is_not_there_is_missing(course):
    state, said = preflight.check_packages()
    assert state == "warn"
    assert f"pytest {pytest.__version__} instead of 0.1" in said
    (course / "requirements.txt").write_text("pytest==0.1  # runs\nno-such-thing==1.0  # lost\n")
    state, said = preflight.check_packages()
    assert state == "missing"
    assert "1 of 2 are not installed, such as no-such-thing" in said


@pytest.mark.parametrize(
    ("free", "state", "words"),
    [(9_000, "ok", "2.9 needs most"), (1_400, "warn", "2.9"), (100, "missing", "any notebook")],
)
def test_free_memory_is_compared_with_what_the_notebooks_need(free, state, words, monkeypatch):
    monkeypatch.setattr("helpers.checkpoints.free_memory_mb", lambda: free)
    said = preflight.check_memory()
    assert said[0] == state
    assert words in said[1]


def test_a_full_disk_stops_the_making_of_an_environment_only(monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 5e8}))
    assert preflight.check_disk(made=True)[0] == "warn"
    assert preflight.check_disk(made=False)[0] == "missing"


def test_a_taken_port_is_named_with_its_owner(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setattr(preflight, "PORTS", {port: "JupyterLab"})
        state, said = preflight.check_ports()
    assert state == "warn"
    assert f"taken: {port} (JupyterLab)" in said
    assert preflight.check_ports()[0] == "ok"


def test_a_machine_that_cannot_reach_itself_stops_the_lesson(monkeypatch):
    def refuses(*_, **__):
        raise OSError("blocked by policy")

    monkeypatch.setattr("urllib.request.OpenerDirector.open", refuses)
    state, said = preflight.check_loopback()
    assert state == "missing"
    assert "blocked by policy" in said
    assert "firewall" in said


def test_no_network_is_told_within_seconds_and_stops_nothing():
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the call and says nothing
        started = time.monotonic()
        port = silent.getsockname()[1]
        reached = {"the Hub": preflight.Reached(f"http://127.0.0.1:{port}")}
        state, said = preflight.check_network(reached)
    assert time.monotonic() - started < 5
    assert state == "ok"
    assert "the Hub not reached" in said


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads what Linux says")
@pytest.mark.parametrize(
    ("pcm", "plays", "records"),
    [
        ("00-00: ALC257 : ALC257 : playback 1 : capture 1\n00-03: HDMI 0 : playback 1\n", 2, 1),
        ("00-00: Speaker : Speaker : playback 1\n", 1, 0),
        (None, 0, 0),
    ],
)
def test_devices_of_sound_are_counted_and_nothing_more_is_claimed(
    pcm, plays, records, tmp_path, monkeypatch
):
    monkeypatch.setattr("shutil.which", lambda name: None)  # no PulseAudio to ask
    monkeypatch.setattr(preflight, "PCM", tmp_path / "pcm")
    if pcm:
        (tmp_path / "pcm").write_text(pcm)
    for kind, count in (("playback", plays), ("capture", records)):
        assert preflight.devices(kind)[0] == count
        state, said = preflight.check_sound(kind)
        assert state == ("ok" if count else "warn")
        if count:
            assert "to be sure, --sound" in said


@pytest.mark.parametrize(("found", "code"), [("warn", 0), ("missing", 1)])
def test_a_missing_microphone_is_a_warning_which_the_exit_code_forgives(
    found, code, monkeypatch, capsys
):
    monkeypatch.setattr(preflight, "ADDRESSES", {})
    monkeypatch.setattr(preflight, "find_python", lambda venv: (None, ("ok", "elsewhere")))
    monkeypatch.setattr(preflight, "devices", lambda kind: (0, "this test"))
    monkeypatch.setattr(preflight, "check_disk", lambda made: (found, "little"))
    monkeypatch.setattr(sys, "argv", ["preflight.py"])
    assert preflight.main() == code
    states = table(capsys.readouterr().out)
    assert (states["sound"], states["microphone"], states["disk"]) == ("warn", "warn", found)


# ------------------------------------------------------------------------- to hear and to be heard


def test_the_page_plays_its_tone_and_shows_and_returns_what_the_microphone_hears(open_page):
    with preflight.page_server(preflight.sound_page()) as server:
        page = open_page(f"http://127.0.0.1:{server.server_port}", microphone=RECORDING)
        length = page.evaluate(
            """async () => {
                const tone = document.getElementById("tone");
                tone.muted = true;  // nobody has clicked yet
                await tone.play();
                await new Promise(ended => { tone.onended = ended });
                return tone.currentTime;
            }"""
        )
        assert math.isclose(length, 1.0, abs_tol=0.05)
        page.get_by_role("button", name="Listen").click()
        page.wait_for_function("document.getElementById('level').value > 0.05")
        page.get_by_text("It heard something").wait_for()
        heard = page.locator("#heard")
        heard.wait_for(state="visible")
        page.wait_for_function("document.getElementById('heard').readyState >= 1")


def test_a_microphone_that_is_not_allowed_is_told_in_words(open_page):
    with preflight.page_server(preflight.sound_page()) as server:
        page = open_page(f"http://127.0.0.1:{server.server_port}")  # has no microphone
        page.get_by_role("button", name="Listen").click()
        page.wait_for_function("document.getElementById('said').textContent.includes('microphone')")
