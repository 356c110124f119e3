"""The apps: how one runs and ends, and that each does in a browser what its notebook says."""

import io
import os
import re
import socket
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT, TRIES, cell_with, downloaded, record, served, value_of
from helpers import apps, checkpoint, media
from nbformat import NotebookNode
from outputs import code_cells
from training import word_error_rate

AUDIO = ROOT / "assets" / "audio"
WER = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))["apps"]["wer"]


# ------------------------------------------------------------------------------ how an app runs


@pytest.fixture
def shout():
    """An app of one function, which no test has run yet."""
    import gradio as gr

    return gr.Interface(str.upper, "text", "text", api_name="shout")


def port_of(visitor) -> int:
    return urlsplit(visitor.src).port


def answers(port: int, host: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def test_a_running_app_answers_its_client(shout):
    with apps.running(shout) as visitor:
        assert visitor.predict("hello", api_name="/shout") == "HELLO"


def test_it_says_nothing_of_its_own(shout, capsys):
    with apps.running(shout) as visitor:
        visitor.predict("hello", api_name="/shout")
    assert capsys.readouterr() == ("", "")


def test_two_apps_run_at_once_each_at_its_own_port(shout):
    import gradio as gr

    whisper = gr.Interface(str.lower, "text", "text", api_name="whisper")
    with apps.running(shout) as one, apps.running(whisper) as other:
        assert port_of(one) != port_of(other)
        assert one.predict("Hello", api_name="/shout") == "HELLO"
        assert other.predict("Hello", api_name="/whisper") == "hello"


def test_it_is_closed_afterwards(shout):
    with apps.running(shout) as visitor:
        port = port_of(visitor)
        assert answers(port)
    assert not answers(port)


def test_it_is_closed_where_the_cell_fails_and_the_failure_is_told(shout):
    with pytest.raises(ZeroDivisionError), apps.running(shout) as visitor:
        port = port_of(visitor)
        1 / 0  # noqa: B018
    assert not answers(port)


def test_it_is_closed_where_no_client_can_be_made(shout, monkeypatch):
    ports = []

    def fails(address, **how):
        ports.append(urlsplit(address).port)
        assert answers(ports[0])
        raise ValueError("no client")

    monkeypatch.setattr("gradio_client.Client", fails)
    with pytest.raises(ValueError, match="no client"), apps.running(shout):
        pass
    assert not answers(ports[0])


def test_the_same_app_runs_again(shout):
    for _ in range(2):
        with apps.running(shout) as visitor:
            assert visitor.predict("hello", api_name="/shout") == "HELLO"


def test_only_this_machine_reaches_it(shout):
    with apps.running(shout) as visitor:
        # Whoever listens on all addresses listens on these two of the loopback as well.
        assert not answers(port_of(visitor), "127.0.0.2")
        assert not answers(port_of(visitor), "::1")


def test_a_port_that_another_was_quicker_to_take_is_left_to_it(shout, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        free, taken = apps.free_port(), other.getsockname()[1]
        tried = iter([taken, taken, free])
        monkeypatch.setattr(apps, "free_port", lambda: next(tried))
        with apps.running(shout) as visitor:
            assert port_of(visitor) == free


def test_without_any_port_it_is_an_os_error(shout, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setattr(apps, "free_port", lambda: other.getsockname()[1])
        with pytest.raises(OSError, match="port"), apps.running(shout):
            pass


def test_it_is_shared_with_nobody_unless_that_is_asked_for(shout, monkeypatch, capsys):
    monkeypatch.setenv("GRADIO_SHARE", "True")  # which Gradio reads where nothing is said
    launch, asked = shout.launch, []

    def launched(share, **how):
        asked.append(share)
        launch(**how, share=False)  # the tunnel would need a network
        shout.share_url = "https://a-tunnel.gradio.live" if share else None

    monkeypatch.setattr(shout, "launch", launched)
    with apps.running(shout):
        assert capsys.readouterr().out == ""
    with apps.running(shout, share=True):
        assert "Anybody can use https://a-tunnel.gradio.live" in capsys.readouterr().out
    assert asked == [False, True]


def test_a_proxy_to_the_world_outside_is_not_asked_for_this_machine(shout, monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody is there
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "example.org")
    with apps.running(shout) as visitor:
        assert visitor.predict("hello", api_name="/shout") == "HELLO"


@pytest.mark.parametrize(
    "set_by_the_user", [("NO_PROXY",), ("no_proxy",), ("NO_PROXY", "no_proxy")]
)
def test_the_users_own_exceptions_from_the_proxy_stay(monkeypatch, set_by_the_user):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in set_by_the_user:
        monkeypatch.setenv(name, f"{name}.example.org,example.org")
    apps.not_by_a_proxy()
    for name in ("NO_PROXY", "no_proxy"):
        hosts = os.environ[name].split(",")
        wanted = {f"{name}.example.org" for name in set_by_the_user} | {"example.org", "127.0.0.1"}
        assert set(hosts) == wanted and len(hosts) == len(wanted)


def test_a_proxy_that_the_user_has_switched_off_for_all_hosts_stays_off(monkeypatch):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    apps.not_by_a_proxy()
    assert urllib.request.proxy_bypass("huggingface.co")


SESSION = """
import sys
sys.path.insert(0, "notebooks")
from helpers import apps, setup

setup(tier="micro")
import gradio as gr

with apps.running(gr.Interface(str.upper, "text", "text", api_name="shout")) as visitor:
    print(visitor.predict("hello", api_name="/shout"))
"""


@pytest.mark.parametrize("analytics", [False, True], ids=["as set up", "analytics on"])
def test_it_asks_nobody_outside_unless_somebody_turns_gradios_analytics_on(tmp_path, analytics):
    log = tmp_path / "refused"
    log.touch()
    ours = {"GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY"}  # set by conftest.py
    environment = {k: v for k, v in os.environ.items() if k not in ours}
    environment |= {"OFFLINE_GUARD_LOG": str(log)}
    environment |= {"GRADIO_ANALYTICS_ENABLED": "True"} if analytics else {}
    command = [sys.executable, "-c", SESSION]
    assert "HELLO" in subprocess.check_output(command, cwd=ROOT, env=environment, text=True)
    refused = log.read_text()
    assert "api.gradio.app" in refused if analytics else refused == ""


@pytest.mark.skipif(sys.platform == "win32", reason="its folder of temporary files is one's own")
def test_two_people_of_one_machine_do_not_share_the_folder_of_gradios_files():
    code = "from helpers import setup; setup(); from gradio import utils; "
    code += "print(utils.get_upload_folder())"
    environment = {k: v for k, v in os.environ.items() if k != "GRADIO_TEMP_DIR"}
    command = [sys.executable, "-c", code]
    said = subprocess.check_output(command, cwd=ROOT / "notebooks", env=environment, text=True)
    assert Path(said.splitlines()[-1]).parts[-2:] == (f"course-{os.getuid()}", "gradio")


# ---------------------------------------------------------- each notebook's app, used in a browser


def run_parts(cells: list[NotebookNode], parts: dict[str, str], names: dict[str, object]) -> None:
    """Run in names the cells that hold these fragments, each up to its end, whole without one."""
    for fragment, end in parts.items():
        source = cell_with(cells, fragment)
        # A Hub would be asked for MiniLM; it is here.
        source = re.sub(r"^base = .*$", f'base = "{checkpoint("embedder")}"', source, flags=re.M)
        exec(source[: source.index(end)] if end else source, names)


@contextmanager
def app_of(notebook: NotebookNode, parts: dict[str, str], **given: object):
    """The app of a notebook, served: its address, and the names that it stands on.

    parts: a fragment of each cell that it needs -> where that cell may end, so that the page is
    there soon. given: what other cells define.
    """
    cells = code_cells(notebook)
    names = {"device": "cpu", "checkpoint": checkpoint, "media": media} | given
    run_parts(cells, parts, names)
    with served(cell_with(cells, "apps.running("), names) as visitor:
        yield visitor.src, names


# All of them wait for the notebooks' one execution, so as not to compete with it.


def refused(page) -> str:
    """What the page says to somebody who gives it nothing to work on."""
    page.get_by_role("button", name="Submit").click()
    return page.get_by_test_id("toast-body").inner_text()


# ---- 2: it sorts a message


@pytest.fixture(scope="module")
def sorting(execution, executed, tmp_path_factory):
    """The page over the sorter that the notebook's own cells train, on the town's messages."""
    from datasets import Dataset
    from transformers import pipeline

    folder, post = tmp_path_factory.mktemp("post"), media.examples("messages").shuffle(seed=0)
    columns = {"text": list(post["text"]), "topic": list(post["topic"])}
    for split, part in (("train", slice(0, 120)), ("test", slice(120, None))):
        kept = {name: column[part] for name, column in columns.items()}
        Dataset.from_dict(kept).to_json(folder / f"{split}.jsonl")
    cells = code_cells(executed["2. Open_Source_Models"])
    names = {"hub": SimpleNamespace(texts=lambda: (str(folder), "topic")), "torch": torch}
    names["tempfile"] = tempfile
    parts = {"import datasets\n": "counted = ", "sorter = AutoModel": "", "trainer = ": "before = "}
    run_parts(cells, parts, names)
    names["trainer"].train()
    parts = {"model": names["sorter"], "tokenizer": names["tokenizer"]}
    names["sort_post"] = pipeline("text-classification", **parts, device="cpu")
    with served(cell_with(cells, "apps.running("), names) as visitor:
        yield visitor.src


def test_it_sorts_a_message_by_its_topic(sorting, open_page):
    page = open_page(sorting)
    page.get_by_label("Message").fill("My cat ran up a tree and will not come down.")
    assert named(page) == "animals"
    page.get_by_label("Message").fill("Every bin in our street is full and it smells.")
    page.get_by_role("button", name="Submit").click()
    page.get_by_test_id("label-output-value").filter(has_text="rubbish").wait_for()


# ---- 2.3: it names a sound


@pytest.fixture(scope="module")
def naming(execution, executed):
    from gradio.media import get_audio

    parts = {"zero-shot-audio-classification": "farm, _ =", "kinds = list(": "by_kind ="}
    notebook = executed["2.3. Zero_Shot_Audio_Classification"]
    with app_of(notebook, parts, get_audio=get_audio) as (address, _):
        yield address


def upload(page, file) -> None:
    page.get_by_role("button", name="Upload file").click()
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="Play", exact=True).wait_for()


def named(page) -> str:
    """The first of the labels that the page gives to a sound."""
    page.get_by_role("button", name="Submit").click()
    return page.get_by_test_id("label-output-value").inner_text()


def test_it_names_a_sound_that_is_uploaded(naming, open_page):
    page = open_page(naming)
    upload(page, AUDIO / "sounds" / "moo-05.ogg")
    assert named(page) == "a cow mooing"


def test_it_names_a_sound_that_the_microphone_hears(naming, open_page):
    def heard() -> str:
        page = open_page(naming, microphone=AUDIO / "sounds" / "bark-05.ogg")
        record(page, seconds=4)
        return named(page)

    assert any(heard() == "a dog barking" for _ in range(TRIES))


def test_it_gives_the_labels_that_are_offered_and_no_other(naming, open_page):
    page = open_page(naming)
    upload(page, AUDIO / "sounds" / "siren-05.ogg")
    page.get_by_role("textbox").fill(" a siren wailing ,, a clock ticking")
    assert named(page) == "a siren wailing"
    assert page.get_by_text("a clock ticking").is_visible()
    assert not page.get_by_text("a dog barking").is_visible()


# ---- 2.4: it writes down what is said


@pytest.fixture(scope="module")
def writing(execution, executed):
    parts = {"transcribe = pipeline(": "waveform, ", "hearing = ": "tape = "}
    parts |= {"special = (": "with torch", "def judged": ""}
    recordings = {"greeting": {"audio": AUDIO / "recordings" / "greeting.ogg"}}
    notebook = executed["2.4. Automatic_Speech_Recognition"]
    with app_of(notebook, parts, recordings=recordings) as (address, _):
        yield address


def test_it_writes_down_what_the_microphone_hears(writing, open_page):
    said = "Good morning, Rosa, you look happy, are you going to the market?"

    def wer() -> float:
        page = open_page(writing, microphone=AUDIO / "recordings" / "greeting.ogg")
        record(page, seconds=6.5)
        page.get_by_role("button", name="Submit").click()
        print(heard := value_of(page.get_by_label("What it heard")))
        return word_error_rate([said], [heard])

    assert any(wer() <= WER for _ in range(TRIES))


def test_it_asks_for_a_sound_where_nobody_has_given_one(writing, open_page):
    assert "Record or upload something first." in refused(open_page(writing))


# ---- 2.5: it says a text


@pytest.fixture(scope="module")
def saying(execution, executed):
    parts = {"own, rate = ": "for voice", "def say(": "settings = ", "def normalise(": "notice = "}
    with app_of(executed["2.5. Text_to_Speech"], parts, re=re) as app:
        yield app


def test_it_says_a_text_with_the_voice_that_is_chosen(saying, open_page):
    address, names = saying
    page = open_page(address)
    page.get_by_label("Text").fill("The market sells soap for 7 euros.")
    page.get_by_label("Voice (speaker_id)").click()
    page.get_by_role("option", name="1", exact=True).click()
    page.get_by_role("button", name="Submit").click()
    waveform, rate = soundfile.read(io.BytesIO(downloaded(page)), dtype="float32")
    assert rate == names["rate"]
    assert 1.5 < len(waveform) / rate < 4
    said, (heard,) = "The market sells soap for seven euros.", names["transcribe"]([waveform])
    assert word_error_rate([said], [heard.replace("7", "seven")]) <= WER
    as_chosen = names["say"](said, voice=1)
    assert len(waveform) == len(as_chosen) != len(names["say"](said, voice=0))
    np.testing.assert_allclose(waveform, as_chosen.clip(-1, 1), atol=0.001)


@pytest.mark.parametrize("text", ["", "  ", "?!", "—"])
def test_it_asks_for_a_text_where_there_is_nothing_to_say(saying, open_page, text):
    page = open_page(saying[0])
    page.get_by_label("Text").fill(text)
    assert "Write a text and choose a voice first." in refused(page)


# ---- 2.8: it finds a picture


@pytest.fixture(scope="module")
def finding(execution, executed):
    parts = {"matcher = Blip": "examples = ", "def match(": "five = "}
    parts |= {"def caption(": "for start", "def similar(": "labels = "}
    scenes = list(media.examples("captions")["image"])
    with app_of(executed["2.8. Multimodal_Models"], parts, scenes=scenes) as app:
        yield app


def test_it_finds_the_picture_that_words_describe_and_says_what_it_shows(finding, open_page):
    address, names = finding
    page = open_page(address)
    page.get_by_role("textbox").first.fill("three trains in the park")
    page.get_by_role("button", name="Submit").click()
    told = value_of(page.get_by_role("textbox").nth(1))
    assert "three trains in the park" in told
    assert float(re.search(r"your words fit: (.+)\)", told)[1]) > 0.5
    found, scenes = media.image(downloaded(page)), names["scenes"]
    apart = [np.abs(np.subtract(found, scene, dtype=float)).mean() for scene in scenes]
    assert min(apart) < 5, "the picture is one of the scenes, stored in another format"
    shown = media.examples("captions")[int(np.argmin(apart))]
    assert (shown["place"], shown["objects"]["category"].count("train")) == ("park", 3)


def test_it_asks_for_words_where_there_are_none(finding, open_page):
    page = open_page(finding[0])
    page.get_by_role("textbox").first.fill(" ")
    assert "Write what the picture should show." in refused(page)
