"""Binder, dev containers and VS Code: as far as each can be rehearsed without it.

Binder's own builder says what it would do; a container is described by what the course asks of it;
VS Code starts the chosen interpreter by its path, not the kernel that a notebook names.
"""

import json
import re
import sys
import tomllib
from pathlib import Path

import environment
import nbformat
import pytest
from conftest import ROOT
from helpers import checkpoints
from nbclient import NotebookClient
from nbformat.v4 import new_notebook
from outputs import tags, text
from packaging.specifiers import SpecifierSet

PYTHONS = SpecifierSet(
    tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"]
)


@pytest.fixture(scope="module")
def container() -> dict:
    return json.loads((ROOT / ".devcontainer/devcontainer.json").read_text("utf-8"))


# --- Binder ---------------------------------------------------------------------------------------


def test_binder_reads_the_environment_with_the_requirements_beside_it(monkeypatch):
    app = pytest.importorskip("repo2docker.app", reason="needs .ci/requirements-test.txt")
    monkeypatch.chdir(ROOT)
    binder = app.Repo2Docker()
    packs = (pack(binder.base_image) for pack in binder.buildpacks)
    pack = next(pack for pack in packs if pack.detect())  # in its own order: the first one builds
    pack.platform = "linux/amd64"
    assert type(pack).__name__ == "CondaBuildPack"
    assert pack.python_version in PYTHONS
    steps = pack.render({})
    copied, installed = steps.index("COPY --chown=1000:1000 src/"), steps.index("env update -p")
    assert copied < installed, "-r requirements.txt would not be there yet"
    assert '--file "environment.yml"' in steps
    assert not pack.get_post_build_scripts(), "nothing has to be run after it"


# --- a dev container ------------------------------------------------------------------------------


def test_a_dev_container_has_a_python_of_the_courses_and_room_for_it(container):
    version = re.fullmatch(
        r"mcr\.microsoft\.com/devcontainers/python:(3\.\d+)-\w+", container["image"]
    )
    assert version and version[1] in PYTHONS
    room = {name: container["hostRequirements"][name] for name in ("memory", "storage")}
    assert int(room["storage"].removesuffix("gb")) > environment.NEEDED_GB["cpu"]
    most = max(figures["megabytes"] for figures in checkpoints.catalog()["notebooks"].values())
    assert int(room["memory"].removesuffix("gb")) * 1000 > most


def test_a_dev_container_makes_the_environment_and_the_editor_takes_its_python(container):
    command = container["postCreateCommand"]
    target = command.removeprefix("make ")
    assert command != target and f"\n{target}: ##" in (ROOT / "Makefile").read_text()
    editor = container["customizations"]["vscode"]
    interpreter = editor["settings"]["python.defaultInterpreterPath"]
    # Relative to the folder of the course, on Linux: what environment.py makes.
    place = environment.python_of(Path("${containerWorkspaceFolder}/.venv"))
    assert interpreter == place.as_posix().replace("Scripts/python.exe", "bin/python")
    assert {"ms-python.python", "ms-toolsai.jupyter"} <= set(editor["extensions"])
    assert editor["settings"]["jupyter.notebookFileRoot"] == "${fileDirname}", "where helpers are"


# --- VS Code --------------------------------------------------------------------------------------


def test_notebooks_name_the_kernel_that_the_environment_holds():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert nbformat.read(path, as_version=4).metadata.kernelspec.name == "python3", path.name
    held = Path(sys.prefix, "share/jupyter/kernels/python3/kernel.json")
    assert "ipykernel_launcher" in held.read_text("utf-8")


@pytest.mark.parametrize("place", ["notebooks", "."], ids=["the notebook's folder", "the course's"])
def test_the_interpreter_alone_runs_a_setup_cell(place, tmp_path, monkeypatch):
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (folder := tmp_path / "kernels/chosen").mkdir(parents=True)
    spec = {"argv": argv, "display_name": ".venv", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    notebook = nbformat.read(ROOT / "notebooks/2.2. Embeddings.ipynb", as_version=4)
    setup = next(cell for cell in notebook.cells if "setup" in tags(cell))
    alone, there = new_notebook(cells=[setup]), {"metadata": {"path": str(ROOT / place)}}
    NotebookClient(alone, timeout=60, kernel_name="chosen", resources=there).execute()
    assert text(alone.cells[0]).startswith("tier micro (")
