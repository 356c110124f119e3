"""Spaces that run: a pushed app is checked, started as a process of its own, watched and stopped.

The stages are those of the Hub (huggingface_hub.SpaceStage). A new version is started beside the
old one and takes its place when it answers, so that a version that fails never takes a good one
down. What is run is the code of whoever has the token, with this user's rights: no sandbox.
"""

import asyncio
import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import psutil
from helpers.apps import free_port
from packaging.requirements import InvalidRequirement, Requirement
from starlette.concurrency import run_in_threadpool

from services import cards, temporary
from services.local import HERE
from services.refusals import Refusal
from services.repos import MAIN, Repositories, Repository, checked_path

CHILD = Path(__file__).with_name("space_child.py")
START_SECONDS = 120
INSTALL_SECONDS = 900
HOLD_SECONDS = 3  # how long a request waits for a start; clients give up after 5
STARTING = ("BUILDING", "APP_STARTING")
MOST_RUNNING = 4
LINES, LINE = 1_000, 2_000  # what is kept of a log
WATCH_SECONDS = 0.2
DRAIN_SECONDS = 60  # at most, in which a version that is replaced ends what was asked of it
# What a program needs of its surroundings; no key or token of this user is among it.
KEPT = """
PATH LANG LC_ALL SYSTEMROOT TEMP TMP TMPDIR PYTHONPATH OMP_NUM_THREADS MKL_NUM_THREADS
OPENBLAS_NUM_THREADS OFFLINE_GUARD_LOG SSL_CERT_FILE
""".split()  # noqa: SIM905
# And what pip needs to find packages from there.
FOR_PIP = (
    *KEPT, "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "PIP_INDEX_URL", "PIP_NO_INDEX", "PIP_FIND_LINKS", "REQUESTS_CA_BUNDLE",
)  # fmt: skip


class BuildError(Exception):
    """Why a Space cannot be built, in a sentence, and the stage that it is left in."""

    def __init__(self, message: str, stage: str = "BUILD_ERROR"):
        super().__init__(message)
        self.stage = stage


class Version:
    """One version of a Space that runs: its commit, its folder, its process and its port."""

    def __init__(self, commit: str, folder: Path, process: subprocess.Popen, port: int):
        self.commit, self.folder, self.process, self.port = commit, folder, process, port

    def stop(self) -> None:
        """End it, and remove its folder."""
        family = []
        with suppress(psutil.Error):
            family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self.process.kill()
        if hasattr(os, "killpg"):  # what the app has started, and left behind
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        for one in family:
            with suppress(psutil.Error):
                one.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Space:
    """What is known of a Space's running."""

    def __init__(self, repository: Repository):
        self.repository = repository
        # Nothing runs yet; whoever asks for it wakes it.
        self.stage, self.message = "PAUSED" if repository.facts.paused else "SLEEPING", ""
        self.starting = False
        self.version: Version | None = None
        self.logs = {"build": deque(maxlen=LINES), "run": deque(maxlen=LINES)}
        self.lock = threading.Lock()  # held while it is built or stopped
        self.asked = 0  # builds that were asked for: only the last of them counts
        self.coming = ""  # the commit that is being built
        self.installing: subprocess.Popen | None = None
        self.lines = 0
        self.used = time.monotonic()

    def log(self, kind: str, line: str) -> None:
        """Keep a line, with its number and its time in seconds since 1970."""
        self.lines += 1
        self.logs[kind].append((self.lines, time.time(), line.rstrip()[:LINE]))


class Spaces:
    """All Spaces of a Hub. address: the Hub's own. install: may requirements be installed?"""

    def __init__(self, repositories: Repositories, address: str, install: bool = False):
        self.repositories, self.address, self.install = repositories, address, install
        self.home = temporary.folder("spaces")
        self.known: dict[str, Space] = {}
        self.replaced: set[Version] = set()  # that are being ended
        self.busy: Counter[int] = Counter()  # requests that are being answered, by port
        self.lock, self.one_build = threading.Lock(), threading.Lock()
        self.closed = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def of(self, repository: Repository) -> Space:
        """A Space's running; made at the first look."""
        with self.lock:
            found = self.known.get(repository.name)
            if not found or found.repository is not repository:  # deleted, and made anew
                found = self.known[repository.name] = Space(repository)
            return found

    def changed(self, repository: Repository, again: bool = False) -> None:
        """Build what is at the head of main, unless that runs already; again: even then."""
        if repository.kind != "spaces":
            return
        space = self.of(repository)
        try:
            commit = repository.commit_of(MAIN)
        except Refusal:
            return
        if repository.facts.paused and not again:
            return
        with self.lock:
            if not again and space.coming == commit:
                return  # and perhaps with new settings: nothing is to be changed about it
            space.asked += 1
            turn = space.asked
            if not again and space.version and space.version.commit == commit:
                # Another that is being built, or has failed, is not wanted any more.
                space.coming, space.stage, space.message = "", "RUNNING", ""
                return
            space.coming = commit
            space.stage = "RUNNING_BUILDING" if space.version else "BUILDING"
        threading.Thread(target=self._build, args=(space, commit, turn), daemon=True).start()

    def pause(self, space: Space, stage: str = "PAUSED") -> None:
        """Stop it until it is restarted."""
        with self.lock:
            space.asked += 1
            turn, space.coming = space.asked, ""
        if installing := space.installing:
            installing.kill()
        with space.lock:
            if turn != space.asked:
                return  # it was started again while this waited for a build to end
            space.stage = stage  # first: to end it takes seconds, and somebody may ask meanwhile
            self._drop(space)

    def forget(self, name: str) -> None:
        """Stop a Space whose repository is no more."""
        with self.lock:
            space = self.known.pop(name, None)
        if space:
            self.pause(space, "DELETING")

    async def port(self, repository: Repository) -> int:
        """Where its app listens; a sleeping one is woken. Refusal where none runs (yet)."""
        space = self.of(repository)
        space.used = time.monotonic()
        if space.stage == "SLEEPING":
            if self._others(space) >= MOST_RUNNING:  # a visitor must not break what sleeps
                raise Refusal(503, f"{MOST_RUNNING} Spaces run already: ask later.", seconds=10)
            await run_in_threadpool(self.changed, repository, again=True)
        until = time.monotonic() + HOLD_SECONDS
        while space.stage in STARTING and not self.closed.is_set():
            if time.monotonic() > until:
                raise Refusal(503, f"This Space is {space.stage}: ask again.", seconds=1)
            await asyncio.sleep(WATCH_SECONDS / 4)
        version = space.version
        if version and version.process.poll() is None:
            return version.port
        if version:
            raise Refusal(503, "This Space has just ended: its log says why.")
        raise Refusal(503, f"This Space is not running: {space.stage}. {space.message}".strip())

    def close(self) -> None:
        """Stop all of them."""
        self.closed.set()
        with ThreadPoolExecutor(2 * MOST_RUNNING) as pool:
            for space in list(self.known.values()):
                pool.submit(self.pause, space, "STOPPED")
            for version in list(self.replaced):
                pool.submit(version.stop)
        shutil.rmtree(self.home, ignore_errors=True)

    # --- how a version is made -------------------------------------------------------------------

    def _build(self, space: Space, commit: str, turn: int) -> None:
        with space.lock:
            if turn != space.asked or self.closed.is_set():
                return
            folder = Path(tempfile.mkdtemp(dir=self.home))
            version = None
            try:
                self._stage(space, "BUILDING", turn)
                while not self.one_build.acquire(timeout=WATCH_SECONDS):
                    self._still_wanted(space, turn)
                try:
                    space.log("build", f"===== Build of {commit[:7]} =====")
                    python, app = self._prepare(space, commit, folder, turn)
                    space.log("build", "Build is done.")
                finally:
                    self.one_build.release()
                self._stage(space, "APP_STARTING", turn)
                version = self._start(space, commit, folder, python, app)
                self._wait(space, version, turn)
            except Exception as error:  # whatever somebody has pushed: the stage must say it
                failed = _why(error)
                where = "run" if failed.stage == "RUNTIME_ERROR" else "build"
                space.log(where, f"Error: {failed}")
                if version:
                    version.stop()
                shutil.rmtree(folder, ignore_errors=True)
                with self.lock:
                    space.starting = False
                    if turn == space.asked:
                        space.coming, space.stage, space.message = "", failed.stage, str(failed)
                return
            old = version  # unless it has come too late
            with self.lock:
                space.starting = False
                if turn == space.asked:
                    # The new one is there before the old one goes: nobody finds none of them.
                    old, space.version = space.version, version
                    space.coming, space.stage, space.message = "", "RUNNING", ""
                    space.used = time.monotonic()
            if old:
                self.replaced.add(old)
                threading.Thread(target=self._retire, args=(old,), daemon=True).start()

    def _still_wanted(self, space: Space, turn: int) -> None:
        if turn != space.asked or self.closed.is_set():
            raise BuildError("Another version, or a stop, was asked for.", "STOPPED")

    def _retire(self, version: Version) -> None:
        """End a version that another has replaced, when it has answered what it was asked."""
        begin = time.monotonic()
        while not self.closed.wait(2 * WATCH_SECONDS):  # first for who has its port already
            if not self.busy[version.port] or time.monotonic() - begin > DRAIN_SECONDS:
                break
        version.stop()
        self.replaced.discard(version)

    def _stage(self, space: Space, stage: str, turn: int) -> None:
        with self.lock:
            if turn == space.asked:
                space.stage = f"RUNNING_{stage}" if space.version else stage

    def _others(self, space: Space) -> int:
        """How many Spaces but this one run, or are about to."""
        return sum(
            bool(one.version or one.starting)
            for one in list(self.known.values())
            if one is not space
        )

    def _drop(self, space: Space) -> None:
        version, space.version = space.version, None
        if version:
            version.stop()

    def _prepare(self, space: Space, commit: str, folder: Path, turn: int) -> tuple[str, str]:
        """Write a commit's files and check what it needs: the Python to use, and the app's file."""
        repository = space.repository
        code = folder / "app"
        for path, file in repository.files(commit).items():
            place = code / checked_path(path)
            place.parent.mkdir(parents=True, exist_ok=True)
            if file.lfs:
                if not (source := self.repositories.lfs.path(file.lfs)):
                    raise BuildError(f"The content of {path} is missing.")
                shutil.copyfile(source, place)
            else:
                place.write_bytes(repository.content(file))
        readme = code / "README.md"
        text = readme.read_text("utf-8", "replace") if readme.is_file() else ""
        if wrong := cards.problems(text, "spaces"):
            raise BuildError("README.md: " + "; ".join(wrong), "CONFIG_ERROR")
        card = cards.read(text)
        if card["sdk"] != "gradio":
            said = f"This Hub runs Spaces with sdk: gradio, not {card['sdk']}."
            raise BuildError(said, "CONFIG_ERROR")
        app = checked_path(str(card.get("app_file") or "app.py"))
        if not (code / app).is_file():
            raise BuildError(f"There is no {app}.", "NO_APP_FILE")
        wanted = code / "requirements.txt"
        lines = wanted.read_text("utf-8", "replace").splitlines() if wanted.is_file() else []
        if version := card.get("sdk_version"):
            lines.append(f"gradio=={version}")
        missing = unmet(lines, space)
        if missing and not self.install:
            said = "; ".join(missing)
            raise BuildError(f"{said}. This Hub installs nothing, unless started with --install.")
        return (self._installed(space, folder, lines, turn) if missing else sys.executable), app

    def _installed(self, space: Space, folder: Path, lines: list[str], turn: int) -> str:
        """An environment beside the app, with what it needs and this one lacks."""
        subprocess.run(
            [sys.executable, "-m", "venv", "--system-site-packages", folder / "venv"], check=True
        )
        python = folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        # What this Python has is there too, where it is a virtual environment itself.
        own = next((folder / "venv").rglob("site-packages"))
        here = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
        (own / "this-hub.pth").write_text("\n".join(here), encoding="utf-8")
        wanted = folder / "app" / "requirements-and-sdk.txt"  # beside files that it may name
        wanted.write_text("\n".join(lines), encoding="utf-8")
        space.installing = subprocess.Popen(
            [python, "-m", "pip", "install", "--quiet", "--requirement", wanted],
            cwd=folder / "app",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={name: os.environ[name] for name in FOR_PIP if name in os.environ},
        )
        try:
            self._still_wanted(space, turn)  # else nobody would end it: pause() has looked before
            told, _ = space.installing.communicate(timeout=INSTALL_SECONDS)
            failed = space.installing.returncode
        finally:
            space.installing.kill()
            space.installing = None
        for line in told.splitlines():
            space.log("build", line)
        if failed:
            raise BuildError("pip could not install its requirements.")
        return str(python)

    def _start(self, space: Space, commit: str, folder: Path, python: str, app: str) -> Version:
        with self.lock:
            if self._others(space) >= MOST_RUNNING:
                raise BuildError(f"{MOST_RUNNING} Spaces run already: pause one.", "RUNTIME_ERROR")
            space.starting = True
        port = free_port()
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        environment |= self._surroundings(space, folder, port)
        process = subprocess.Popen(
            [python, str(CHILD), app],
            cwd=folder / "app",
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        space.log("run", f"===== Application startup of {commit[:7]} =====")

        def read() -> None:
            for line in iter(lambda: process.stdout.readline(LINE), ""):
                space.log("run", line)

        threading.Thread(target=read, daemon=True).start()
        return Version(commit, folder, process, port)

    def _surroundings(self, space: Space, folder: Path, port: int) -> dict[str, str]:
        """The variables of a Space, as on the Hub, and its own variables and secrets."""
        repository = space.repository
        home = folder / "home"
        home.mkdir()
        own = repository.facts.variables | repository.facts.secrets
        return own | {
            "HOME": str(home),
            "USERPROFILE": str(home),  # its name on Windows
            "HF_HOME": str(home / "huggingface"),
            "HF_ENDPOINT": self.address,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": HERE,
            "SPACE_ID": repository.name,
            "SPACE_AUTHOR_NAME": repository.owner,
            "SPACE_REPO_NAME": repository.name.partition("/")[2],
            "SPACE_HOST": f"{self.address}/run/{repository.name}".removeprefix("http://"),
            "GRADIO_SERVER_NAME": HERE,
            "GRADIO_SERVER_PORT": str(port),
            "GRADIO_ROOT_PATH": f"{self.address}/run/{repository.name}",
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_SSR_MODE": "False",
            "GRADIO_TEMP_DIR": str(folder / "files"),
            "MPLBACKEND": "Agg",
            "PYTHONUNBUFFERED": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }

    def _wait(self, space: Space, version: Version, turn: int) -> None:
        """Until the app answers; BuildError where it ends before, or takes too long."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if (code := version.process.poll()) is not None:
                raise BuildError(f"The app ended with exit code {code}.", "RUNTIME_ERROR")
            self._still_wanted(space, turn)
            # Not by urllib: it would ask a proxy of the environment, and follow where it is sent.
            connection = http.client.HTTPConnection(HERE, version.port, timeout=5)
            try:
                connection.request("GET", "/")
                connection.getresponse()
                return  # it answers, whatever it says
            except (OSError, http.client.HTTPException):
                time.sleep(WATCH_SECONDS / 4)
            finally:
                connection.close()
        said = f"The app does not answer on port {version.port} after {START_SECONDS} s."
        raise BuildError(f"{said} Does it call launch()?", "RUNTIME_ERROR")

    # --- what happens while it runs --------------------------------------------------------------

    def _watch(self) -> None:
        """Notice an app that has ended, and put to sleep what nobody has used for long."""
        while not self.closed.wait(WATCH_SECONDS):
            for space in list(self.known.values()):
                version, limit = space.version, space.repository.facts.sleep_seconds
                if not version or not space.lock.acquire(blocking=False):
                    continue  # nothing runs, or a build has the lock and will see to it
                try:
                    code = version.process.poll()
                    if code is not None and space.version is version:
                        space.message = f"The app ended with exit code {code}."
                        space.stage = "RUNTIME_ERROR"
                        space.log("run", space.message)
                        self._drop(space)
                    elif self.busy[version.port]:
                        space.used = time.monotonic()
                    elif limit and time.monotonic() - space.used > limit:
                        space.stage = "SLEEPING"
                        self._drop(space)
                finally:
                    space.lock.release()


def _why(error: Exception) -> BuildError:
    """What went wrong with a build, with the stage that it leads to."""
    if isinstance(error, BuildError):
        return error
    if isinstance(error, Refusal):  # of a path that the card names
        return BuildError(f"README.md: {error.message}", "CONFIG_ERROR")
    return BuildError(f"It could not be built or started ({type(error).__name__}: {error})."[:LINE])


def unmet(lines: list[str], space: Space) -> list[str]:
    """Which requirements this Python's packages do not meet, each in a sentence's beginning."""
    found = []
    for line in lines:
        text = line.partition(" #")[0].strip()
        if not text or text.startswith("#"):
            continue
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            found.append(f"{text[:100]!r} in requirements.txt is no requirement of a package")
            continue
        if wanted.marker and not wanted.marker.evaluate():
            continue
        try:
            here = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            found.append(f"{wanted} is not installed here")
            continue
        if wanted.url or not wanted.specifier.contains(here, prereleases=True):
            found.append(f"{wanted} is asked for, {here} is here")
        else:
            space.log("build", f"Requirement already satisfied: {wanted} ({here})")
    return found
