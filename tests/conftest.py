"""What every test stands on: the micro tier, the offline guard, and one execution of the notebooks.

COURSE_NO_SKIP=1 (set by .ci/run) turns every skip into a failure: there, nothing may be left out.
COURSE_SCREENSHOTS=folder keeps a picture there of every page that a test has opened in the browser.
"""

import ast
import atexit
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent
OFFLINE = Path(__file__).resolve().parent / "offline"
sys.path[:0] = [str(ROOT / "notebooks"), str(ROOT / ".ci"), str(ROOT / "tests")]

from record import CACHES

# Nothing of the person who runs the tests may decide how they end: no key, proxy, cache or tier.
THEIRS = """
HF_ENDPOINT HF_TOKEN HUGGING_FACE_HUB_TOKEN HF_HUB_OFFLINE TRANSFORMERS_OFFLINE
COURSE_REPOSITORY MPLBACKEND
GOOGLE_API_KEY GEMINI_API_KEY GOOGLE_GEMINI_BASE_URL
GOOGLE_GENAI_USE_VERTEXAI GOOGLE_GENAI_USE_ENTERPRISE
HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy
"""
for variable in (*CACHES, *THEIRS.split()):
    os.environ.pop(variable, None)
os.environ |= {
    "COURSE_TIER": "micro",
    "CI": "true",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_XET": "1",  # its sockets are not Python's: the guard would not see them
}
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="course-hf-home-")
    atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)

# Children read the guard through PYTHONPATH; this process has started already and loads it by path.
paths = [str(OFFLINE), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
guard = importlib.util.spec_from_file_location("offline_guard", OFFLINE / "sitecustomize.py")
guard.loader.exec_module(importlib.util.module_from_spec(guard))

import exercises
from course import longest_first, share_cores
from outputs import code_cells, outputs, tags, text

sys.path.insert(0, str(ROOT / "assets" / "recipes"))
from toytown.pictures import FONT
from toytown.speech import LIBRARY

if TYPE_CHECKING:
    from gradio import Blocks
    from gradio_client import Client
    from huggingface_hub import HfApi
    from services.local import Local

needs_font = pytest.mark.skipif(
    not Path(FONT).is_file(), reason="drawing needs the font fonts-noto-color-emoji"
)

needs_espeak = pytest.mark.skipif(not LIBRARY, reason="speaking needs espeak-ng")


@dataclass(frozen=True)
class Execution:
    """The one execution of all notebooks that the tests read."""

    notebooks: dict[str, nbformat.NotebookNode]  # name -> as executed
    answers: dict[str, list[exercises.Answer]]  # name -> the exercises' answers tried at its end
    log: str  # what pytest and nbmake printed
    refused: list[str]  # addresses off this machine that were asked for
    left_behind: list[str]  # files that were made, changed or removed by running


@pytest.fixture(scope="session")
def execution(tmp_path_factory: pytest.TempPathFactory) -> Execution:
    """Run every notebook once under nbmake, in a folder that holds notebooks and assets alone.

    Behind its last cell each copy gets the answers to its exercises (tests/exercises.py), so that
    they are tried in the kernel that has just run the untouched notebook from top to bottom.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # shared by the workers: the first executes, the others read
    folder = base / "le cours à part"  # a learner's folder may well have blanks and accents
    with FileLock(base / "le cours à part.lock"):
        if not (folder / "ended").exists():
            _execute_copy(folder)
    notebooks, answers = {}, {}
    for path in sorted((folder / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        answers[path.stem] = exercises.take_answers(notebook)
        notebooks[path.stem] = notebook
    lines = {name: (folder / name).read_text("utf-8") for name in ("log", "refused", "left_behind")}
    return Execution(
        notebooks,
        answers,
        lines["log"],
        sorted(set(lines["refused"].splitlines())),
        lines["left_behind"].splitlines(),
    )


@pytest.fixture(scope="session")
def executed(execution: Execution) -> dict[str, nbformat.NotebookNode]:
    """Every notebook by name, as it came out of this run's one execution."""
    return execution.notebooks


@pytest.fixture(scope="module")
def cells(executed: dict, request: pytest.FixtureRequest) -> list[nbformat.NotebookNode]:
    """The executed code cells of the notebook whose name the test module gives as NAME."""
    return code_cells(executed[request.module.NAME])


@pytest.fixture(scope="module")
def said(cells: list[nbformat.NotebookNode]) -> str:
    """All that these cells printed, with spaces made even."""
    return "\n".join(text(cell) for cell in cells)


def printed(cells: list[nbformat.NotebookNode]) -> str:
    """All that cells printed to stdout, and nothing that they displayed, with spaces made even."""
    lines = [content for cell in cells for kind, content in outputs(cell) if kind == "text/stdout"]
    return re.sub(" +", " ", "\n".join(lines))


def cell_with(cells: list[nbformat.NotebookNode], fragment: str) -> str:
    """The source of the one code cell that holds a fragment of code."""
    found = [cell.source for cell in cells if fragment in cell.source]
    assert len(found) == 1, f"{len(found)} cells of the notebook hold {fragment!r}"
    return found[0]


def defined(cells: list[nbformat.NotebookNode], needed: set[str]) -> dict[str, object]:
    """What a notebook's own cells define, but for its app; run here until all that is needed is."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from helpers import check, checkpoint, drawing, media

    space = {"device": "cpu", "checkpoint": checkpoint, "media": media, "drawing": drawing}
    space["check"] = check
    for cell in cells:
        passed_over = {"setup", "exercise", "self-check", "narrator"} & set(tags(cell))
        if passed_over or "apps.running(" in cell.source:
            continue
        exec(cell.source, space)
        plt.close("all")
        if space.keys() >= needed:
            break
    missing = needed - space.keys()
    assert not missing, f"the notebook no longer defines {', '.join(sorted(missing))}"
    return space


def built(source: str, names: dict[str, object]) -> "Blocks":
    """The app of a notebook's cell: all that stands before it is served is run, with these names.

    An app that a cell serves and closes in one `with` is the one that a test can serve again.
    """
    steps = ast.parse(source).body
    serving = [
        step for step in steps if isinstance(step, ast.With) and "apps.running(" in _head(step)
    ]
    assert len(serving) == 1, f"{len(serving)} statements of the cell serve an app"
    space, before = dict(names), steps[: steps.index(serving[0])]
    exec(compile(ast.Module(before, []), "the cell of the app", "exec"), space)
    return space[ast.unparse(serving[0].items[0].context_expr.args[0])]


def _head(step: ast.With) -> str:
    return ", ".join(ast.unparse(item.context_expr) for item in step.items)


@contextmanager
def served(source: str, names: dict[str, object]) -> Iterator["Client"]:
    """The app of a notebook's cell, served as the notebook does, for as long as a test needs it."""
    from helpers import apps

    with apps.running(built(source, names)) as visitor:
        yield visitor


def assert_notices_a_slip(source: str, right: str, wrong: str, names: dict[str, object]) -> None:
    """A cell's own assertion holds, and no longer does with `wrong` in the place of `right`."""
    assert right in source
    exec(source, names.copy())
    with pytest.raises(AssertionError):
        exec(source.replace(right, wrong), names.copy())


def _execute_copy(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    ignore = shutil.ignore_patterns("__pycache__", ".*")
    for part in ("notebooks", "assets"):
        shutil.copytree(ROOT / part, folder / part, ignore=ignore)
    for path in (folder / "notebooks").glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:  # a notebook that is not run must not pass with stored outputs
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        exercises.add_answers(notebook, path.stem)
        nbformat.write(notebook, path)
    for file in (folder / "assets").rglob("*"):  # installed for all, or on a stick: often read-only
        file.chmod(0o555 if file.is_dir() else 0o444)
    before = _state(folder)
    (folder / "refused").touch()
    (folder / "pytest.ini").write_text("[pytest]\n")  # not this repository's settings
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_"))}
    environment |= {"OFFLINE_GUARD_LOG": str(folder / "refused"), "LC_ALL": "C"}
    if os.name != "nt":  # as on some servers: nobody has a home there
        environment["HOME"] = "/dev/null/home"
    command = [sys.executable, "-m", "pytest", "--nbmake", "--overwrite", "--nbmake-kernel=python3"]
    command += ["--nbmake-timeout=300", "-q", "-p", "no:cacheprovider", "-c", "pytest.ini"]
    if importlib.util.find_spec("xdist"):
        command += ["-n", "2", "--maxschedchunk=1"]
    run = subprocess.run(
        [*command, *longest_first([*(folder / "notebooks").glob("*.ipynb")])],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    (folder / "log").write_text(run.stdout, encoding="utf-8")
    after = _state(folder)
    changed = sorted(path for path in before.keys() | after if before.get(path) != after.get(path))
    (folder / "left_behind").write_text("\n".join(changed), encoding="utf-8")
    (folder / "ended").touch()


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file of the course but the notebooks, which are meant to change."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime_ns)
        for part in ("notebooks", "assets")
        for path in (folder / part).rglob("*")
        if path.is_file() and path.suffix != ".ipynb" and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a test module's local Hub keeps its repositories."""
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def hub(folder: Path) -> Iterator["Local"]:
    """A local Hub for one test module, whose log must stay free of tracebacks."""
    from services import local

    with local.start("hub", "--folder", str(folder)) as running:
        yield running
        assert "Traceback" not in running.log()


@pytest.fixture(scope="module")
def api(hub: "Local") -> "HfApi":
    """The Hub's own client, which may write to it."""
    from huggingface_hub import HfApi

    return HfApi(endpoint=hub.address, token=hub.key)


@contextmanager
def browsers() -> Iterator[Callable]:
    """`launch(*arguments)` starts a browser, which finds no machine but this one."""
    api = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright of .ci/requirements-test.txt"
    )
    installed = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    if not (chromium := next(installed, None)):
        pytest.skip("needs Chromium or Chrome (Debian: sudo apt install chromium)")
    # The offline guard is Python's; the browser needs its own.
    alone = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    with api.sync_playwright() as playwright:
        yield lambda *arguments: playwright.chromium.launch(
            executable_path=chromium, args=[*alone, *arguments]
        )


@pytest.fixture
def open_page(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable]:
    """`open_page(address)` opens it in a browser of its own.

    `open_page(address, microphone=file)` gives that browser a microphone which hears this sound
    once, after a moment of silence, whenever it is switched on.
    """
    # Nobody is there to allow a microphone, nor to speak into it.
    allowed = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    pages = []

    with browsers() as launch:

        def opened(address: str, microphone: Path | None = None):
            heard = _wav(microphone, tmp_path) if microphone else None
            sound = [*allowed, f"--use-file-for-fake-audio-capture={heard}%noloop"] if heard else []
            page = launch(*sound).new_page(viewport={"width": 1200, "height": 1600})
            page.set_default_timeout(90_000)  # milliseconds, for a busy machine
            pages.append(page)
            page.goto(address)
            return page

        yield opened
        for number, page in enumerate(pages):
            if folder := os.environ.get("COURSE_SCREENSHOTS"):
                name = f"{request.node.name.removeprefix('test_')}{number or ''}.png"
                page.wait_for_timeout(1_000)  # what has just come fades in
                page.screenshot(path=Path(folder) / name, full_page=True)
            page.context.browser.close()


def _wav(sound: Path, folder: Path) -> Path:
    """The sound as Chromium's false microphone reads it, behind a second of silence."""
    import numpy as np
    import soundfile
    from helpers import media

    waveform, rate = media.audio(sound, 48_000)
    soundfile.write(folder / "heard.wav", np.pad(waveform, (rate, 0)), rate, "PCM_16")
    return folder / "heard.wav"


TRIES = 3  # of a recording: its clock does not wait, and a busy machine loses pieces of the sound


def record(page, seconds: float) -> None:
    """Record on a page of Gradio's, for some seconds, what the browser's microphone hears."""
    page.get_by_role("button", name="Record", exact=True).click()
    stop = page.get_by_role("button", name="Stop", exact=True)
    stop.wait_for()  # now it records
    page.wait_for_timeout(1_000 * seconds)
    with page.expect_response(re.compile(r"/upload\b")):  # before it, the page has no sound yet
        stop.click()
    page.get_by_role("button", name="Play", exact=True).wait_for()


def value_of(box) -> str:
    """What a text box of a page holds, as soon as it holds anything."""
    box.page.wait_for_function("box => box.value", arg=box.element_handle())
    return box.input_value()


def downloaded(page) -> bytes:
    """What a page of Gradio's gives to download: its one sound or picture, once it has come."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    return download.value.path().read_bytes()


def pytest_configure(config: pytest.Config) -> None:
    """Let the kernels that tests start share the cores, two at a time."""
    share_cores(2)
    if os.environ.get("COURSE_NO_SKIP") == "1":  # a module refused for its skip stops no other
        config.option.continue_on_collection_errors = True


# What computes most, the longest file first, so that two processes end together.
LAST = [
    "language_recipes",
    "vision_recipes",
    "vision_checkpoints",
    "audio_recipes",
    "audio_checkpoints",
    "rebuild_recipes",
    "checkpoints",
    "language_checkpoints",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what computes most for the end, so that it does not compete with the notebooks."""
    order = {f"test_{name}": place for place, name in enumerate(LAST, start=1)}
    items.sort(key=lambda item: order.get(item.path.stem, 0))


def _no_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if (
        report.skipped
        and os.environ.get("COURSE_NO_SKIP") == "1"
        and not hasattr(report, "wasxfail")
    ):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"COURSE_NO_SKIP=1 allows no skip. {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Refuse skipped tests where COURSE_NO_SKIP=1."""
    report = yield
    _no_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    """Refuse skipped modules where COURSE_NO_SKIP=1."""
    report = yield
    _no_skip(report)
    return report
