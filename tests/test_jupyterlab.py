"""A learner's JupyterLab, in a real browser: a notebook is opened, run, and shows all it has.

Notebook 2.6, which draws figures and lets a player speak, on a copy without stored outputs.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import nbformat
import pytest
from conftest import ROOT
from outputs import code_cells, images, outputs

NAME = "2.6. Object_Detection"
SECONDS = 240  # for starting, and for running: on a busy machine


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """Notebooks and assets in a folder of their own, and nothing stored in the one to be run."""
    ignore = shutil.ignore_patterns("__pycache__", ".*")
    shutil.copytree(ROOT / "notebooks", tmp_path / "course/notebooks", ignore=ignore)
    (tmp_path / "course/assets").symlink_to(ROOT / "assets", target_is_directory=True)
    path = tmp_path / f"course/notebooks/{NAME}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, path)
    return tmp_path / "course"


@pytest.fixture
def lab(course: Path, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """JupyterLab as `make lab` starts it, with no settings of this machine's user."""
    own = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    command = [sys.executable, "-m", "jupyterlab", "--ip=127.0.0.1", "--port=0", "--no-browser"]
    command += ["--LabApp.default_url=/lab/tree/notebooks", "--allow-root"]
    with (tmp_path / "lab.log").open("w+") as log:
        server = subprocess.Popen(
            command, cwd=course, env=os.environ | own, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield address(server, tmp_path / "RUNTIME", log)
        finally:
            server.terminate()  # it ends its kernels before itself
            server.wait(timeout=30)


def address(server: subprocess.Popen, runtime: Path, log) -> tuple[str, str]:
    """Where the server is, by its own word, and the token that opens it."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and server.poll() is None:
        for file in runtime.glob("jpserver-*.json"):
            if told := file.read_text("utf-8"):
                running = json.loads(told)
                return running["url"], running["token"]
        time.sleep(0.1)
    log.seek(0)
    raise AssertionError(f"JupyterLab did not start: {log.read()[-2000:]}")


def test_run_all_shows_figures_and_a_player_and_no_error(course, lab, open_page):
    playwright = pytest.importorskip("playwright.sync_api")
    home, token = lab
    page = open_page("about:blank")
    # JupyterLab draws the cells that are in sight: in a window as high as the page, all of them.
    page.set_viewport_size({"width": 1200, "height": 30_000})
    page.goto(f"{home}lab/tree/notebooks/{quote(NAME)}.ipynb?token={token}")
    page.set_default_timeout(1_000 * SECONDS)
    # On a busy machine it may ask something first, such as for the kernel: its own choice will do.
    page.add_locator_handler(
        page.locator("dialog.jp-Dialog"), lambda dialog: dialog.locator(".jp-mod-accept").click()
    )
    notebook = page.locator(".jp-NotebookPanel")
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
    begun = notebook.get_by_text(re.compile(r"^\[[*1]\]:$")).first
    for _ in range(3):  # while the page is being set up, a busy machine loses a click
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        with suppress(playwright.TimeoutError):
            begun.wait_for(timeout=20_000)
            break

    # When the last cell has its number, the kernel is done; then it is saved, as learners do.
    path = course / f"notebooks/{NAME}.ipynb"
    last = len(code_cells(nbformat.read(path, as_version=4)))
    notebook.get_by_text(f"[{last}]:", exact=True).wait_for()
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
    with page.expect_response(lambda answer: answer.request.method == "PUT" and answer.ok):
        page.keyboard.press("Control+s")
    ran = nbformat.read(path, as_version=4)
    assert [cell.execution_count for cell in code_cells(ran)] == list(range(1, last + 1))
    kinds = [kind for cell in code_cells(ran) for kind, _ in outputs(cell)]
    assert "error" not in kinds and "text/stderr" not in kinds
    drawn = sum(len(images(cell)) for cell in code_cells(ran))
    assert drawn > 5

    page.wait_for_function(
        "n => document.querySelectorAll('.jp-OutputArea-output img').length == n", arg=drawn
    )
    pictures = notebook.locator(".jp-OutputArea-output img")
    seen = pictures.evaluate_all("all => all.map(one => one.complete && one.naturalWidth)")
    assert min(seen) > 100, "a picture that the browser could not read"
    player = notebook.locator(".jp-OutputArea-output audio")
    assert player.count() == 1 and player.is_visible()
    assert player.bounding_box()["width"] > 200
    page.wait_for_function("one => one.duration > 0.5", arg=player.element_handle())
    page.set_viewport_size({"width": 1200, "height": 1_600})
    player.scroll_into_view_if_needed()
