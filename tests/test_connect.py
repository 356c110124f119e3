"""Who answers chapter 1: this machine or Google, with which key, and that no key is shown."""

import subprocess
import sys
import types

import pytest
from google import genai
from helpers import checkpoints
from helpers.checkpoints import Tier
from services import connect as connecting
from services import local
from services.connect import GOOGLE, connect

KEY = "not-a-key-of-anybody"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The small tier, and no key anywhere."""
    monkeypatch.setattr(checkpoints, "_current", Tier("small", "a test asks for it", named=True))
    for name in (*connecting.VARIABLES, "GOOGLE_GEMINI_BASE_URL", "COLAB_RELEASE_TAG", "CI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def colab(monkeypatch):
    """A notebook on Colab: gives its page of secrets, a dictionary."""
    secrets: dict[str, str] = {}

    class SecretNotFoundError(Exception):
        pass

    class NotebookAccessError(Exception):
        pass

    def get(name: str) -> str:
        if name not in secrets:
            raise SecretNotFoundError
        if not secrets[name]:
            raise NotebookAccessError
        return secrets[name]

    module = types.ModuleType("google.colab.userdata")
    module.get, module.SecretNotFoundError = get, SecretNotFoundError
    module.NotebookAccessError = NotebookAccessError
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    monkeypatch.setitem(sys.modules, "google.colab.userdata", module)
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release")
    return secrets


@pytest.mark.parametrize("name", connecting.VARIABLES)
def test_with_a_key_in_the_environment_it_is_google_and_the_requests_are_said(monkeypatch, name):
    monkeypatch.setenv(name, f" {KEY}\n")
    ai = connect(requests=58)
    assert (ai.address, ai.key, ai.real) == (GOOGLE, KEY, True)
    assert "58 requests" in repr(ai)
    assert name in repr(ai)
    assert KEY not in repr(ai)
    assert KEY not in str(vars(ai).get("why"))


def test_a_proxy_for_google_is_taken_where_its_own_client_would_take_it(monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:1/")
    assert connect(requests=1).address == "http://127.0.0.1:1"


def test_the_environment_comes_before_colabs_secrets(monkeypatch, colab):
    colab["GEMINI_API_KEY"] = KEY
    assert "Colab" in connect(requests=1).why
    assert connect(requests=1).key == KEY
    monkeypatch.setenv("GOOGLE_API_KEY", "another")
    assert connect(requests=1).key == "another"


def test_a_secret_that_was_not_shared_with_the_notebook_is_passed_over(colab):
    colab.update({"GEMINI_API_KEY": "", "GOOGLE_API_KEY": KEY})
    ai = connect(requests=1)
    assert ai.key == KEY
    assert "GOOGLE_API_KEY" in ai.why


def test_somebody_is_asked_only_when_that_is_wished(monkeypatch):
    asked = []
    monkeypatch.setattr(connecting, "getpass", lambda prompt: asked.append(prompt) or KEY)
    monkeypatch.setattr(connecting, "running", lambda: local.Local("here", "k", "g", None))
    assert not connect(requests=1).real
    assert asked == []
    assert connect(requests=1, ask=True).key == KEY
    assert len(asked) == 1


def test_the_micro_tier_never_asks_google_even_with_a_key(monkeypatch):
    monkeypatch.setattr(checkpoints, "_current", Tier("micro", "a test asks for it"))
    for name in connecting.VARIABLES:
        monkeypatch.setenv(name, KEY)
    ai = connect(requests=1)
    assert ai.address.startswith("http://127.0.0.1:")
    assert ai.key != KEY
    assert ai.key not in repr(ai)
    assert connect(requests=1).address == ai.address, "a cell that is run again finds it"
    assert ai.here() is ai.server
    ai.server.stop()
    again = connect(requests=1)
    assert again.address != ai.address, "and starts another where it has ended"
    again.server.stop()


def test_a_server_that_cannot_start_says_why(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(RuntimeError, match="SmolLM2-135M-Instruct"):
        local.start("gemini")


@pytest.mark.parametrize(
    ("word", "raised"), [(None, KeyboardInterrupt), ("no JSON\n", RuntimeError)]
)
def test_a_start_that_is_interrupted_or_brings_no_word_of_ours_leaves_none_running(
    monkeypatch, word, raised
):
    started, popen = [], subprocess.Popen

    def readline() -> str:
        if word is None:
            raise KeyboardInterrupt
        return word

    def begin(*arguments: object, **options: object) -> types.SimpleNamespace:
        started.append(popen(*arguments, **options))
        process = types.SimpleNamespace(stdin=started[0].stdin)
        process.kill, process.wait = started[0].kill, started[0].wait
        process.stdout = types.SimpleNamespace(readline=readline)
        return process

    monkeypatch.setattr(checkpoints, "_current", Tier("micro", "a test asks for it", named=True))
    monkeypatch.setattr(subprocess, "Popen", begin)
    with pytest.raises(raised):
        local.start("gemini")
    assert started[0].returncode  # it is dead, and was asked how it died


@pytest.mark.parametrize("name", connecting.OTHER_PLATFORM)
def test_a_client_speaks_the_gemini_api_where_the_environment_asks_for_vertex_ai(monkeypatch, name):
    monkeypatch.setenv(name, "true")
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    connect(requests=1)
    assert not genai.Client(api_key=KEY).vertexai
