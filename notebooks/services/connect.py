"""Who answers section 1: Google, where there is a key and a tier that may; else this machine."""

import importlib
import os
from dataclasses import dataclass
from getpass import getpass

from helpers.checkpoints import current_tier, on_colab

from services import local

VARIABLES = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
GOOGLE = "https://generativelanguage.googleapis.com"
OTHER_PLATFORM = ("GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_ENTERPRISE")  # of its client
_server: local.Local | None = None


@dataclass
class Connection:
    """Where to send requests, with which key, and why there.

    The key is not part of its text, so that a notebook's last line never shows it.
    """

    address: str
    key: str
    why: str
    real: bool
    requests: int
    server: local.Local | None = None

    def here(self) -> local.Local:
        """The local server, whoever answers; it is started where none runs yet."""
        self.server = running()
        return self.server

    def __repr__(self) -> str:
        if not self.real:
            return f"this machine, at {self.address}: {self.why}"
        return (
            f"Gemini, at {self.address}: {self.why}. This page will make {self.requests} requests."
        )


def connect(requests: int, ask: bool = False) -> Connection:
    """Choose who answers, and start the local server where nobody else does.

    requests: how many the page will make; said where they go to Google, at its own address or that
    of GOOGLE_GEMINI_BASE_URL.

    On the micro tier and with CI=true it is always this machine. Else a key is looked for in
    GEMINI_API_KEY and GOOGLE_API_KEY, then in Colab's secrets of these names; ask: then you are
    asked for one, and what you type is not shown. Google's client is to speak the Gemini API here,
    whatever this machine's environment says of Vertex AI.
    """
    for name in OTHER_PLATFORM:
        os.environ.pop(name, None)
    if current_tier().name == "micro":
        return _here(requests, "the micro tier never leaves it")
    key, where = _key_from_environment()
    if not key and on_colab():
        key, where = _key_from_colab()
    if not key and ask:
        key, where = getpass("Gemini API key, not shown: ").strip(), "you typed the key"
    if key:
        address = os.environ.get("GOOGLE_GEMINI_BASE_URL", GOOGLE).rstrip("/")
        return Connection(address, key, where, True, requests)
    return _here(requests, "there is no key in the environment or in Colab's secrets")


def _here(requests: int, why: str) -> Connection:
    server = running()
    return Connection(server.address, server.key, why, False, requests, server)


def running() -> local.Local:
    """The one local server of this process: a cell that is run again finds it."""
    global _server
    if _server is None or _server.process.poll() is not None:
        _server = local.start("gemini")
    return _server


def _key_from_environment() -> tuple[str, str]:
    for name in VARIABLES:
        if key := os.environ.get(name, "").strip():
            return key, f"the key is in {name}"
    return "", ""


def _key_from_colab() -> tuple[str, str]:
    """A secret of Colab's page of keys; none where it was not shared with the notebook."""
    userdata = importlib.import_module("google.colab.userdata")
    for name in VARIABLES:
        try:
            if key := userdata.get(name).strip():
                return key, f"the key is Colab's secret {name}"
        except (userdata.SecretNotFoundError, userdata.NotebookAccessError):
            continue
    return "", ""
