"""Who answers section 1: Google, where there is a key and a tier that may; else this machine."""

import importlib
import os
from dataclasses import dataclass
from getpass import getpass

from helpers.checkpoints import current_tier, on_colab

from services import local

VARIABLES = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
GOOGLE = "https://generativelanguage.googleapis.com"


@dataclass
class Connection:
    """Where to send requests, with which key, and why there.

    The key is not part of its text, so that a notebook's last line never shows it.
    """

    address: str
    key: str
    why: str
    real: bool
    server: local.Local | None = None

    def __repr__(self) -> str:
        return f"{'Gemini' if self.real else 'local'} at {self.address} ({self.why})"


def connect(ask: bool = False) -> Connection:
    """Choose who answers, and start the local server where nobody else does.

    On the micro tier and with CI=true it is always this machine. Else a key is looked for in
    GEMINI_API_KEY and GOOGLE_API_KEY, then in Colab's secrets of these names; ask: then you are
    asked for one, and what you type is not shown.
    """
    tier = current_tier()
    if tier.name == "micro":
        return _here(f"the {tier.name} tier never leaves this machine")
    key, where = _key_from_environment()
    if not key and on_colab():
        key, where = _key_from_colab()
    if not key and ask:
        key, where = getpass("Gemini API key, not shown: ").strip(), "you typed the key"
    if key:
        return Connection(GOOGLE, key, where, real=True)
    return _here("no key in the environment or in Colab's secrets")


def _here(why: str) -> Connection:
    server = local.start("gemini")
    return Connection(server.address, server.key, why, real=False, server=server)


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
