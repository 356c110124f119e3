"""Look a machine over before a lesson, in half a minute.

    python3 .ci/preflight.py            # one line for each thing that a lesson needs
    python3 .ci/preflight.py --sound    # a page with a test tone and the microphone's level

ok: nothing to do; warn: the lesson goes on, with less; missing: it does not, and the exit code is
1. It starts on any Python, with the standard library alone: without the course's packages it says
so and looks at the rest. What needs them is asked of the environment's Python, beside the rest.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib.util
import io
import json
import math
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import wave
import webbrowser
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from environment import NEEDED_GB, NEWEST, OLDEST, ROOT, python_of

LIMIT = 27  # seconds for what is asked of the environment's Python; the rest runs meanwhile
PORTS = {8888: "JupyterLab", 7860: "the Narrator", 8600: "the local Gemini", 8700: "the local Hub"}
INSIDE = ("packages", "memory", "first answer")  # asked of the environment's Python
# 2.2 prints this similarity of two sentences: the weights and the arithmetic are the course's.
SENTENCES, SIMILARITY = ("I like kittens", "We love cats"), 0.72
COLOURS = {"ok": "\x1b[32m", "warn": "\x1b[33m", "missing": "\x1b[31m"}
PCM = Path("/proc/asound/pcm")  # where Linux lists what plays and records
TEXT_BROWSERS = ("w3m", "links", "elinks", "lynx", "www-browser")

Answer = tuple  # (state, what was found, and what to do about it)


def main() -> int:
    """Print the table; return 1 where something stops a lesson, else 0."""
    parser = argparse.ArgumentParser(description="Look this machine over before a lesson.")
    parser.add_argument("--sound", action="store_true", help="open a page to hear and be heard")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    options = parser.parse_args()
    if options.inside:
        return inside()
    if options.sound:
        return serve_sound_page()
    started, states = time.monotonic(), []
    python, environment = find_python(options.venv)
    asked = Asked([str(python), __file__, "--inside"]) if python else None
    reached = {name: Reached(address) for name, address in ADDRESSES.items()}
    checks = {
        "Python": check_python,
        "environment": lambda: environment,
        "checkpoints": check_checkpoints,
        **{name: lambda name=name: asked.answer(name) for name in INSIDE if asked},
        "disk": lambda: check_disk(python is not None),
        "this machine": check_loopback,
        "ports": check_ports,
        "browser": check_browser,
        "sound": lambda: check_sound("playback"),
        "microphone": lambda: check_sound("capture"),
        "network": lambda: check_network(reached),
    }
    for name, check in checks.items():
        try:
            state, said = check()
        except Exception as error:  # a check that fails is no reason to skip the others
            state, said = "warn", f"could not be looked at ({type(error).__name__}: {error})"
        states.append(state)
        show(state, name, said)
    counts = ", ".join(f"{states.count(state)} {state}" for state in COLOURS)
    print(f"{counts}, in {time.monotonic() - started:.0f} s.")
    print("Heard by nobody yet: try sound and microphone with  python3 .ci/preflight.py --sound")
    return 1 if "missing" in states else 0


def show(state: str, name: str, said: str) -> None:
    """Print one line of the table."""
    colour, end = (COLOURS[state], "\x1b[0m") if sys.stdout.isatty() else ("", "")
    print(f"{colour}{state:<9}{end}{name:<14}{said}", flush=True)


# --- with the standard library -------------------------------------------------------------------


def find_python(venv: Path) -> tuple[Path | None, Answer]:
    """Return the Python that holds the course's packages, and what is to be said of it."""
    python = python_of(venv)
    if python.is_file() and runs([str(python), "-c", "import pip"]):
        return python, ("ok", f"{venv}")
    # Conda, Binder, a JupyterHub. To import torch from a cold disk would take longer than we wait.
    if all(importlib.util.find_spec(name) for name in ("torch", "jupyterlab")):
        return Path(sys.executable), ("ok", f"no .venv; the packages of {sys.executable}")
    how = "make environment (Windows: see README, “Windows by hand”)"
    what = "half made" if venv.exists() else "not there"
    later = f"{', '.join(INSIDE)} are looked at when it is"
    return None, ("missing", f"{venv} is {what}: run  {how};  {later}")


def runs(command: list[str]) -> bool:
    """Return whether a command ends well, within seconds."""
    try:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.call(command, timeout=15, **quiet) == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def check_python() -> Answer:
    """Is the Python that runs this one of those the course runs on?"""
    version, names = sys.version.split()[0], "3.11, 3.12 or 3.13"
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return "ok", f"{version}, {sys.executable}"
    return "warn", f"{version}; the course needs {names}, and looks for one itself"


def check_checkpoints() -> Answer:
    """Are the shipped checkpoints what the course shipped?"""
    folder = ROOT / "assets" / "checkpoints"
    repair = "fetch the course again (in a clone:  git checkout -- assets/checkpoints)"
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "missing", f"no manifest in {folder}: {repair}"
    wrong = []
    for name, digest in manifest.items():
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            wrong.append(name)
    if wrong:
        return "missing", f"{len(wrong)} files are not the course's, such as {wrong[0]}: {repair}"
    owners = {name.partition("/")[0] for name in manifest}
    return "ok", f"{len(owners)} models, {len(manifest)} files, each with its sha256"


def check_disk(made: bool) -> Answer:
    """Is there room: for the environment, or for a lesson's own files?"""
    free, needed = shutil.disk_usage(ROOT).free / 1e9, 1 if made else NEEDED_GB["cpu"]
    if free >= needed:
        return "ok", f"{free:.0f} GB free"
    state = "warn" if made else "missing"
    return state, f"{free:.1f} GB free of {needed} needed: make room on the disk of {ROOT}"


def check_loopback() -> Answer:
    """Can a program of this machine be reached through 127.0.0.1, as notebooks and apps are?"""
    with page_server(b"here") as server:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            said = direct.open(f"http://127.0.0.1:{server.server_port}", timeout=3).read()
        except OSError as error:
            said = str(error).encode()
    if said != b"here":
        return "missing", (
            f"a server on 127.0.0.1 cannot be reached ({said.decode()[:60]}): "
            "allow Python in the firewall or security program"
        )
    return "ok", "a server on 127.0.0.1 is reached"


def check_ports() -> Answer:
    """Which of the ports that the course's pages name are taken?"""
    taken = [f"{port} ({owner})" for port, owner in PORTS.items() if not can_listen(port)]
    if taken:
        others = "JupyterLab and the Narrator take the next, the local servers need --port"
        return "warn", f"taken: {', '.join(taken)}; {others}"
    return "ok", f"{', '.join(map(str, PORTS))} are free; notebooks take any other"


def can_listen(port: int) -> bool:
    """Return whether this port of 127.0.0.1 is nobody's."""
    with socket.socket() as probe:
        if os.name != "nt":  # there, it would let two programs have one port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def check_browser() -> Answer:
    """Is there a browser that Python can open, with pictures and sound?"""
    names = ("google-chrome", "chromium", "chromium-browser", "firefox", "microsoft-edge")
    here = next(filter(None, map(shutil.which, names)), None)
    try:
        opens = webbrowser.get()
    except webbrowser.Error:
        opens = None
    if sys.platform.startswith("linux"):
        screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        if here and screen:
            return "ok", here
        if here:
            return (
                "warn",
                f"{here} is here, but no screen: open the addresses from your own machine",
            )
        if opens is None or getattr(opens, "name", "") in TEXT_BROWSERS:
            return (
                "warn",
                "none found: install Firefox or Chromium, or open the addresses elsewhere",
            )
    if opens is None:
        return "warn", "none found: install Firefox or Chrome"
    return "ok", "the system's own"


def check_sound(kind: str) -> Answer:
    """Does the system know a device for sound? Whether it is heard, only a person can tell."""
    thing = "output" if kind == "playback" else "input"
    try:
        count, source = devices(kind)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return "warn", f"this system does not say ({type(error).__name__}): try it with --sound"
    if count:
        plural = "" if count == 1 else "s"
        return "ok", f"{count} {thing}{plural} known to {source}; to be sure, --sound"
    without = {
        "playback": "plug in a loudspeaker, or read the transcripts under the players",
        "capture": "plug one in, or use the recordings that the notebooks bring",
    }
    return "warn", f"no {thing} known to {source}: {without[kind]}"


def devices(kind: str) -> tuple[int, str]:
    """Return how many devices play (or capture) sound, and who says so."""
    if sys.platform == "win32":
        import ctypes

        name = "waveOutGetNumDevs" if kind == "playback" else "waveInGetNumDevs"
        return getattr(ctypes.windll.winmm, name)(), "Windows"
    if sys.platform == "darwin":
        command = ["system_profiler", "SPAudioDataType", "-json"]
        said = json.loads(subprocess.check_output(command, timeout=10))["SPAudioDataType"]
        every = [device for group in said for device in group.get("_items", [])]
        key = "coreaudio_device_output" if kind == "playback" else "coreaudio_device_input"
        return sum(key in device for device in every), "macOS"
    pulse = shutil.which("pactl")
    if pulse:  # PipeWire and PulseAudio; a monitor only repeats what is played
        what = "sinks" if kind == "playback" else "sources"
        said = subprocess.run(
            [pulse, "list", "short", what], capture_output=True, text=True, timeout=5, check=False
        )
        if said.returncode == 0:
            lines = [line for line in said.stdout.splitlines() if ".monitor" not in line]
            return sum("auto_null" not in line for line in lines), "PulseAudio"
    lines = PCM.read_text(encoding="utf-8").splitlines() if PCM.is_file() else []
    return sum(kind in line for line in lines), "Linux"


class Reached(threading.Thread):
    """Asks for an address in the background: a missing network may let a look-up hang for long."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self.address, self.ok = address, False
        self.start()

    def run(self) -> None:
        """Note whether anything came back within three seconds; a refusal is an answer too."""
        try:
            urllib.request.urlopen(self.address, timeout=3).close()
            self.ok = True
        except urllib.error.HTTPError:
            self.ok = True
        except (OSError, ValueError):
            pass


ADDRESSES = {
    "the Hub": os.environ.get("HF_ENDPOINT", "https://huggingface.co"),
    "the package index": "https://pypi.org/simple/pip/",
}


def check_network(reached: dict[str, Reached]) -> Answer:
    """Are the two places reached that only the larger tiers and an installation need?"""
    for one in reached.values():
        one.join(3)
    words = [f"{name} {'reached' if one.ok else 'not reached'}" for name, one in reached.items()]
    return "ok", f"{', '.join(words)}: for your information, the micro tier needs neither"


# --- with the course's packages ------------------------------------------------------------------


class Asked:
    """What the environment's Python answers, a JSON line for each check, within the limit."""

    def __init__(self, command: list[str]) -> None:
        self.deadline = time.monotonic() + LIMIT
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
        self.answers, self.why = {}, ""

    def answer(self, name: str) -> Answer:
        """Return one answer; waits for all of them when it is asked for the first time."""
        if self.process:
            try:
                said, errors = self.process.communicate(timeout=self.deadline - time.monotonic())
                self.why = "it failed: " + (errors.strip().splitlines() or ["without a word"])[-1]
            except subprocess.TimeoutExpired:
                self.process.kill()
                said, _ = self.process.communicate()
                self.why = f"no answer in {LIMIT} s: close other programs, and run this again"
            self.process = None
            answers = [json.loads(line) for line in said.splitlines() if line.startswith('["')]
            self.answers = {name: (state, words) for name, state, words in answers}
        state = "warn" if "no answer" in self.why else "missing"
        return self.answers.get(name, (state, self.why))


def inside() -> int:
    """Answer, in the environment's Python, what needs the course's packages."""
    checks = (check_packages, check_memory, check_first_answer)
    for name, check in zip(INSIDE, checks, strict=True):
        try:
            state, said = check()
        except Exception as error:  # told in the table, in one line
            words = (str(error).splitlines() or ["without a word"])[0][:200]
            state, said = "missing", f"{type(error).__name__}: {words}"
        print(json.dumps([name, state, said]), flush=True)
    return 0


def check_packages() -> Answer:
    """Are the packages there, in the versions of requirements.txt?"""
    from importlib.metadata import PackageNotFoundError, version

    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [re.match(r"([\w.-]+)==([\w.]+)", line) for line in lines]
    missing, other = [], []
    for name, wanted in (pin.groups() for pin in pins if pin):
        try:
            found = version(name).partition("+")[0]
        except PackageNotFoundError:
            missing.append(name)
            continue
        if found != wanted:
            other.append(f"{name} {found} instead of {wanted}")
    count = len([pin for pin in pins if pin])
    if missing:
        return "missing", (
            f"{len(missing)} of {count} are not installed, such as {missing[0]}: "
            "delete .venv, then  make environment  (no network: the classroom's installer again)"
        )
    if other:
        return (
            "warn",
            f"{', '.join(other[:3])}: numbers may differ; delete .venv, then  make environment",
        )
    return "ok", f"{count} pins, Python {sys.version.split()[0]}"


def check_memory() -> Answer:
    """Is enough memory free for the notebook that needs most?"""
    sys.path.insert(0, str(ROOT / "notebooks"))
    from helpers.checkpoints import catalog, free_memory_mb

    figures = catalog()["notebooks"].items()
    needs = {name.partition(" ")[0].rstrip("."): row["megabytes"] for name, row in figures}
    free, most = free_memory_mb(), max(needs, key=needs.get)
    if free >= needs[most]:
        return "ok", f"{free:,} MB free; {most} needs most, {needs[most]:,} MB"
    fit = [name for name, need in needs.items() if need <= free]
    if not fit:
        return "missing", f"{free:,} MB free, too little for any notebook: close other programs"
    tight = ", ".join(name for name in needs if name not in fit)
    return "warn", f"{free:,} MB free, too little for {tight}: close other programs before these"


def check_first_answer() -> Answer:
    """Does a genuine model load and say what it says in the course?"""
    started = time.monotonic()
    os.environ.update(COURSE_TIER="micro", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    sys.path.insert(0, str(ROOT / "notebooks"))
    import torch
    from helpers import checkpoint
    from transformers import AutoModel, AutoTokenizer

    folder = checkpoint("embedder")
    batch = AutoTokenizer.from_pretrained(folder)(SENTENCES, padding=True, return_tensors="pt")
    with torch.inference_mode():
        tokens = AutoModel.from_pretrained(folder)(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    means = torch.nn.functional.normalize((tokens * mask).sum(1) / mask.sum(1))
    similarity = float(means[0] @ means[1])
    took = f"in {time.monotonic() - started:.0f} s, imports included"
    if abs(similarity - SIMILARITY) > 0.01:
        return (
            "warn",
            f"similarity {similarity:.2f} instead of {SIMILARITY}: delete .venv, then  make course",
        )
    return "ok", f"MiniLM: kittens and cats {similarity:.2f}, as in 2.2; {took}"


# --- to hear and be heard ------------------------------------------------------------------------


class page_server:
    """Serves one page on a free port of 127.0.0.1, in the background."""

    def __init__(self, page: bytes) -> None:
        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Page)

    def __enter__(self) -> HTTPServer:
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self.server

    def __exit__(self, *exception: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def tone(seconds: float = 1.0, rate: int = 16_000) -> bytes:
    """Return a WAV file of one soft note, 440 Hz, which fades in and out."""
    count, file = int(seconds * rate), io.BytesIO()
    fade = [math.sin(math.pi * n / count) for n in range(count)]
    samples = (0.5 * f * math.sin(2 * math.pi * 440 * n / rate) for n, f in enumerate(fade))
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(b"".join(struct.pack("<h", int(32_767 * s)) for s in samples))
    return file.getvalue()


def sound_page() -> bytes:
    """Return the page with the test tone and the microphone's level."""
    page = Path(__file__).with_name("sound.html").read_text(encoding="utf-8")
    return page.replace("{tone}", base64.b64encode(tone()).decode()).encode()


def serve_sound_page() -> int:
    """Open the page to hear and be heard; serve it until Ctrl-C."""
    with page_server(sound_page()) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        print(f"Open {address} and press its buttons; Ctrl-C here ends it.", flush=True)
        webbrowser.open(address)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nStopped. Run it again.")
