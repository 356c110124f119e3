"""Which Hub sections 2 and 2.9 talk to, with whose token, and that it is not shown."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT
from helpers import checkpoints
from helpers.checkpoints import Tier
from services import connect_hub, local

TOKEN = "not-a-token-of-anybody"


@pytest.fixture(scope="module")
def hub():
    with local.start("hub") as started:
        yield started


def connected(code: str, **variables: str) -> str:
    """What a new process prints, which has imported nothing of the Hub's yet."""
    before = (
        "from services.connect_hub import connect; from helpers import checkpoints; import os\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", before + code],
        cwd=ROOT / "notebooks",
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def small(hub: local.Local, **more: str) -> dict[str, str]:
    return {"CI": "", "COURSE_TIER": "small", "HF_ENDPOINT": hub.address} | more


def test_on_micro_it_is_this_machine_whatever_token_and_settings_there_are(hub, tmp_path):
    code = (
        "hub = connect(); print(hub); print(hub.real, os.environ['HF_TOKEN'] == hub.token)\n"
        "print(os.environ['HF_ENDPOINT'] == hub.address, os.environ['HF_HOME'])\n"
        "from huggingface_hub import HfApi, constants\n"
        "from huggingface_hub.utils import build_hf_headers\n"
        "print(HfApi().whoami()['name'], constants.ENDPOINT == hub.address)\n"
        "print(build_hf_headers().get('authorization') == f'Bearer {hub.token}')\n"
    )
    theirs = {"HF_TOKEN": TOKEN, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    said = connected(code, **theirs, TRANSFORMERS_OFFLINE="1").splitlines()
    assert said[0].startswith("this machine, at http://127.0.0.1:")
    assert said[1] == "False True"
    assert said[2].startswith("True ")
    assert said[3] == "learner True"
    assert said[4] == "True", "unasked, the clients show its token"
    assert TOKEN not in "\n".join(said)
    assert str(tmp_path) not in said[2], "a cache of its own"
    assert not os.path.exists(said[2].split()[1]), "which ends with the session"  # noqa: PTH110
    assert list(tmp_path.iterdir()) == []


def test_with_a_token_and_an_answer_it_is_the_real_hub_and_the_token_is_not_shown(hub):
    code = "hub = connect(); print(hub, hub.real, hub.model('detector'), hub.texts())"
    said = connected(code, **small(hub, HF_TOKEN=hub.key))
    assert said.startswith(f"the Hugging Face Hub, at {hub.address}, as learner: there is a token")
    assert "True facebook/detr-resnet-50" in said
    assert hub.key not in said


def test_the_token_of_hf_auth_login_counts(hub, tmp_path):
    (tmp_path / "token").write_text(f"{hub.key}\n")
    said = connected("print(connect().real)", **small(hub, HF_TOKEN="", HF_HOME=str(tmp_path)))
    assert said == "True\n"


def test_the_place_of_that_token_may_begin_with_a_tilde_as_for_the_hubs_client(hub, tmp_path):
    (tmp_path / "own-token").write_text(f"{hub.key}\n")
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "HF_HOME": str(tmp_path / "none")}
    there = home | {"HF_TOKEN": "", "HF_TOKEN_PATH": "~/own-token"}
    assert connected("print(connect().real)", **small(hub, **there)) == "True\n"


COLAB = """
import sys, types
userdata = sys.modules["google.colab.userdata"] = types.ModuleType("userdata")
class SecretNotFoundError(Exception): pass
class NotebookAccessError(Exception): pass
def get(name): raise SecretNotFoundError(name)
userdata.__dict__.update(globals())
"""


def test_on_colab_a_secret_counts_and_where_there_is_none_that_of_hf_auth_login(hub, tmp_path):
    (tmp_path / "token").write_text(f"{hub.key}\n")
    there = {"COLAB_RELEASE_TAG": "release-colab_1", "HF_TOKEN": "", "HF_HOME": str(tmp_path)}
    code = COLAB + "print(connect().real)"
    assert connected(code, **small(hub, **there)) == "True\n"
    secret = COLAB + f"userdata.get = lambda name: {hub.key!r}\nprint(connect().real)"
    assert connected(secret, **small(hub, **there, HF_TOKEN_PATH="~/none")) == "True\n"


def test_without_a_token_it_is_this_machine(hub, tmp_path):
    said = connected("print(connect())", **small(hub, HF_TOKEN="", HF_HOME=str(tmp_path)))
    assert "this machine" in said
    assert "there is no token" in said


def test_with_a_token_that_it_does_not_take_it_is_this_machine(hub):
    said = connected("print(connect()); print(connect().real)", **small(hub, HF_TOKEN="hf_old"))
    assert "does not take the token (HTTP Error 401" in said
    assert "hf_old" not in said
    assert said.endswith("False\n")


@pytest.mark.parametrize("token", ["hf_secret\nand a second line", "hf_secret\u2026"])
def test_a_token_that_is_none_is_not_shown_either(hub, token):
    said = connected("print(connect())", **small(hub, HF_TOKEN=token))
    assert "does not take the token (" in said
    assert "hf_secret" not in said


def test_where_the_hub_does_not_answer_it_is_this_machine(hub):
    gone = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN": TOKEN}
    said = connected("print(connect())", **(small(hub) | gone))
    assert "this machine" in said
    assert "does not answer" in said


def test_a_client_that_was_imported_before_is_an_error_that_says_what_to_do():
    code = "import huggingface_hub\ntry: connect()\nexcept RuntimeError as e: print(e)"
    assert "restart the kernel" in connected(code)


def test_a_cell_that_is_run_again_finds_the_same_hub():
    assert connected("a, b = connect(), connect(); print(a.address == b.address)") == "True\n"


def test_run_again_without_a_token_it_does_not_take_itself_for_the_real_one(hub, tmp_path):
    alone = small(hub, HF_TOKEN="", HF_HOME=str(tmp_path))
    code = "a, b = connect(), connect(); print(a.real, b.real, a.address == b.address)"
    assert connected(code, **alone) == "False False True\n"


# ---- what is asked of the reader, on the real Hub alone


@pytest.fixture
def real(monkeypatch) -> connect_hub.Connection:
    monkeypatch.setattr(checkpoints, "_current", Tier("small", "a test asks for it", named=True))
    return connect_hub.Connection("https://hub", "rosa", "a test", True, TOKEN)


def test_on_the_real_hub_the_reader_names_a_repository(real, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda question: " my-own \n")
    assert real.mine("narrator") == "rosa/my-own"
    monkeypatch.setattr("builtins.input", lambda question: "")
    assert real.mine("narrator") == "rosa/narrator"
    assert TOKEN not in repr(real)


def test_nothing_is_deleted_there_unless_the_reader_says_yes(real, monkeypatch, capsys):
    from huggingface_hub import HfApi

    deleted = []
    monkeypatch.setattr(HfApi, "delete_repo", lambda self, name, **_: deleted.append(name))
    for typed in ("", "n", "no"):
        monkeypatch.setattr("builtins.input", lambda question, typed=typed: typed)
        real.delete("rosa/narrator", "space")
    monkeypatch.setattr("builtins.input", lambda question: (_ for _ in ()).throw(EOFError))
    real.delete("rosa/narrator", "space")
    assert deleted == []
    assert capsys.readouterr().out.count("rosa/narrator stays.") == 4
    monkeypatch.setattr("builtins.input", lambda question: "y")
    real.delete("rosa/narrator", "space")
    assert deleted == ["rosa/narrator"]
