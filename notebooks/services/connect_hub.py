"""Which Hub sections 2 and 2.9 talk to: huggingface.co, where a token may; else this machine."""

import atexit
import importlib
import json
import os
import re
import shutil
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import Request, urlopen

from helpers.checkpoints import current_tier, endpoint, hub_answers, on_colab, row

from services import local

_server: local.Local | None = None


@dataclass
class Connection:
    """The Hub's address, whose token is used, and why there. The token is never part of its text.

    user: in whose namespace one may write.
    """

    address: str
    user: str
    why: str
    real: bool
    token: str = field(repr=False, default="")
    guest: str = field(repr=False, default="")  # of somebody else, who may only read

    def __repr__(self) -> str:
        where = "the Hugging Face Hub" if self.real else "this machine"
        return f"{where}, at {self.address}, as {self.user}: {self.why}"

    def model(self, role: str) -> str:
        """The id of the checkpoint that plays a role: the course's here, the small tier's there."""
        return row(role, "small")["id"] if self.real else f"toytown/{role}"

    def revision(self, role: str) -> str:
        """The revision of that checkpoint: the catalogue's there, the head of main here."""
        return row(role, "small")["revision"] if self.real else "main"

    def texts(self) -> tuple[str, str]:
        """A dataset of short texts, in the column text: its id, and the column of its labels."""
        return ("SetFit/ag_news", "label_text") if self.real else ("toytown/messages", "topic")

    def mine(self, name: str) -> str:
        """The id of a repository of yours; on the real Hub you are asked how to call it."""
        if self.real:
            name = _asked(f"Name of your repository on the Hub [{name}]: ") or name
        return f"{self.user}/{name}"

    def delete(self, name: str, kind: str = "model") -> None:
        """Remove a repository of yours: here at once, on the real Hub only if you say yes."""
        from huggingface_hub import HfApi

        if self.real and _asked(f"Delete {name} from the Hub? [y/N] ").lower() != "y":
            print(f"{name} stays.")
            return
        HfApi().delete_repo(name, repo_type=kind, missing_ok=True)
        print(f"{name} is deleted.")


def _asked(question: str) -> str:
    """What is typed; nothing where nobody sits before the notebook."""
    try:
        return input(question).strip()
    except (EOFError, NotImplementedError):
        return ""


def connect() -> Connection:
    """Choose the Hub, and make its clients talk to it; call this before you import any of them.

    On the micro tier and with CI=true it is this machine. Else it is the real Hub, if it answers
    and there is a token: in HF_TOKEN, in Colab's secrets, or where `hf auth login` has put it. The
    local Hub gets a cache of its own that ends with this session, and none of your tokens, so that
    nothing of it reaches your own cache.

    Raises RuntimeError where a client was imported before, which has fixed its address by then.
    """
    if current_tier().name == "micro":
        return _here("the micro tier never leaves it")
    if _server is not None and os.environ.get("HF_ENDPOINT", "").rstrip("/") == _server.address:
        return _here("this session has begun with it")  # and HF_TOKEN is its token now
    if not (token := _token()):
        return _here("there is no token in HF_TOKEN, in Colab's secrets or of `hf auth login`")
    if not hub_answers(2):
        return _here(f"{endpoint()} does not answer")
    try:
        owner = _owner(token)
    except (OSError, ValueError, LookupError, TypeError) as error:
        # What the others say may hold the token.
        why = error if isinstance(error, OSError) else type(error).__name__
        return _here(f"{endpoint()} does not take the token ({why})")
    os.environ["HF_TOKEN"] = token
    return Connection(endpoint(), owner, "there is a token", True, token)


def _here(why: str) -> Connection:
    server = running()
    address = os.environ.get("HF_ENDPOINT", "").rstrip("/")
    if "huggingface_hub" in sys.modules and address != server.address:
        raise RuntimeError(
            "A client of the Hub was imported before this cell and talks to the real one: restart "
            "the kernel and run the cells from the top."
        )
    if address != server.address:
        home = tempfile.mkdtemp(prefix="course-hf-home-")
        atexit.register(shutil.rmtree, home, ignore_errors=True)
        for name in list(os.environ):  # HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HUB_OFFLINE ...
            theirs = re.match("HF_|HUGGING_?FACE_|TRANSFORMERS_OFFLINE$", name)
            if theirs and "DISABLE" not in name:
                del os.environ[name]
        os.environ["HF_HOME"] = home
    os.environ |= {
        "HF_ENDPOINT": server.address,
        "HF_TOKEN": server.key,
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "0",  # with it the clients would not show that token
        "HF_HUB_DISABLE_XET": "1",  # the local Hub stores large files in the older way, Git LFS
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",  # the hf command would ask PyPI for its newest version
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # datasets would count elsewhere
    }
    return Connection(server.address, "learner", why, False, server.key, server.guest)


def running() -> local.Local:
    """The one local Hub of this process: a cell that is run again finds it."""
    global _server
    if _server is None or _server.process.poll() is not None:
        _server = local.start("hub")
    return _server


def _owner(token: str) -> str:
    """Whose token it is; OSError where the Hub does not say. No client is imported for it."""
    headers = {"Authorization": f"Bearer {token}"}
    with urlopen(Request(f"{endpoint()}/api/whoami-v2", headers=headers), timeout=10) as answer:
        return json.load(answer)["name"]


def _token() -> str:
    if token := os.environ.get("HF_TOKEN", "").strip():
        return token
    if on_colab():
        userdata = importlib.import_module("google.colab.userdata")
        with suppress(userdata.SecretNotFoundError, userdata.NotebookAccessError):
            if token := userdata.get("HF_TOKEN").strip():
                return token
    home = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    home = Path(os.environ.get("HF_HOME", home)).expanduser()
    stored = Path(os.environ.get("HF_TOKEN_PATH", home / "token")).expanduser()
    return stored.read_text("utf-8").strip() if stored.is_file() else ""
