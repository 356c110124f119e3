"""Start a service of the course beside a notebook or a test; it ends with whoever started it."""

import json
import os
import secrets
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from helpers.apps import HERE, not_by_a_proxy
from helpers.checkpoints import current_tier

NOTEBOOKS = Path(__file__).resolve().parents[1]
# Whose values no service needs, nor an app that it runs.
THEIRS = ("TOKEN", "API_KEY", "SECRET", "PASSWORD", "CREDENTIAL")


@dataclass
class Local:
    """A service that runs: its address, and its keys; a guest may ask only a few times a second."""

    address: str
    key: str
    guest: str
    process: subprocess.Popen
    errors: IO[str] | None = None

    def log(self) -> str:
        """What it has said of its errors; they are not sent to clients."""
        if self.errors is None:
            return ""
        self.errors.seek(0)
        return self.errors.read().strip()

    def stop(self) -> None:
        """End it, and wait until it is gone."""
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> "Local":
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def without_secrets() -> dict[str, str]:
    """This process's environment without what looks like a key, a token or a password."""
    items = os.environ.items()
    return {name: value for name, value in items if not any(one in name.upper() for one in THEIRS)}


def start(name: str = "gemini", *options: str) -> Local:
    """Start `python -m services.<name>` on a free port, with a random key, and wait for its word.

    options: of its command line. It runs on this session's tier. Its keys go by its standard input,
    since other programs can read a command line, and some an environment; no token of the user's is
    passed on. The system closes that input when this process ends, however it ends, and the service
    notices.

    Raises RuntimeError if it does not start, with its last word.
    """
    key, guest = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    environment = without_secrets() | {"COURSE_TIER": current_tier().name}
    errors = tempfile.TemporaryFile("a+", encoding="utf-8", errors="replace")  # noqa: SIM115 - kept
    process = subprocess.Popen(
        [sys.executable, "-m", f"services.{name}", "--port", "0", "--child", *options],
        cwd=NOTEBOOKS,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        # Else the interrupt of a notebook's cell, which goes to a whole group, would end it.
        start_new_session=True,
    )
    started = Local("", key, guest, process, errors)
    try:
        with suppress(OSError):  # it has ended already: its log says why
            process.stdin.write(json.dumps({"key": key, "guest": guest}) + "\n")
            process.stdin.flush()
        line = process.stdout.readline()
        port = json.loads(line)["port"]
    except BaseException as problem:  # interrupted, or no word of ours: nobody else would end it
        process.kill()
        process.wait()
        if not isinstance(problem, ValueError):
            raise
        why = line.strip() or (started.log().splitlines() or ["it said nothing"])[-1]
        raise RuntimeError(f"The local service {name} did not start: {why}") from None
    not_by_a_proxy()
    started.address = f"http://{HERE}:{port}"
    return started
