"""A notebook alone on Colab: it fetches the course, installs what Colab lacks, and nothing else.

Each test runs the setup cell in a fresh Python and an empty folder, against a git repository on
this disk; pip installs for real, from wheels made here into a folder that is thrown away.
"""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
from helpers import packages
from nbclient import NotebookClient
from outputs import code_cells, outputs, text
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
CELL = (ROOT / "notebooks/helpers/setup_cell.txt").read_text("utf-8")
FETCH = CELL.partition("device = setup")[0]  # all but the call that takes seconds
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
THERE = {"torch", "numpy", "ipython"}  # on Colab whatever happens; the first two are never replaced
RANGES = tomllib.loads((ROOT / "notebooks/colab.toml").read_text("utf-8"))["packages"]


def git(*arguments: str, folder: Path) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The course as it is now, in a bare git repository with two commits."""
    work = tmp_path_factory.mktemp("work")
    parts = (
        "notebooks",
        "assets/text",
        "assets/images/toytown",
        "assets/checkpoints/manifest.json",
    )
    listed = git("ls-files", "-co", "--exclude-standard", *parts, folder=ROOT)
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, work / name)
    git("init", "-q", folder=work)
    for message in ("first", "second"):
        (work / "message").write_text(message)
        git("add", "-A", folder=work)
        git("commit", "-q", "-m", message, folder=work)
    git("clone", "-q", "--bare", str(work), str(work) + ".git", folder=work)
    return Path(str(work) + ".git")


def run_cell(folder: Path, code: str = CELL, **environment: str) -> subprocess.CompletedProcess:
    """Run the setup cell in a fresh Python whose working directory is `folder`."""
    theirs = {"CI": "", "COURSE_TIER": "", "HF_HUB_OFFLINE": "1", **environment}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | theirs,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


def colab(repository: Path) -> dict[str, str]:
    return {"COLAB_RELEASE_TAG": "release", "COURSE_REPOSITORY": repository.as_uri()}


# --- fetching the course --------------------------------------------------------------------------


def test_the_cell_names_the_address_that_the_project_states():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f'"{project["urls"]["Repository"]}"' in CELL


def test_the_cell_is_short():
    assert len(CELL.splitlines()) <= 20


def test_alone_on_colab_the_course_is_fetched_once_and_shallow(repository, tmp_path):
    first = run_cell(tmp_path, CELL + "print(check.__file__)", **colab(repository))
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("tier      micro (")  # installs nothing, so says nothing before
    clone = tmp_path / "Introduction-to-LLMs"
    assert first.stdout.splitlines()[-1] == str(clone / "notebooks/helpers/check/__init__.py")
    assert [path.name for path in tmp_path.iterdir()] == [clone.name]
    assert git("rev-list", "--count", "HEAD", folder=clone).strip() == "1"
    again = run_cell(tmp_path, FETCH, **colab(tmp_path / "no repository at all"))
    assert again.returncode == 0, again.stderr


def test_a_half_made_clone_is_made_again(repository, tmp_path):
    (tmp_path / "course.part/.git").mkdir(parents=True)
    run = run_cell(tmp_path, FETCH, **colab(repository))
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "Introduction-to-LLMs/notebooks/colab.toml").is_file()
    assert not (tmp_path / "course.part").exists()


def test_a_folder_of_the_learners_that_has_the_name_is_left_alone(repository, tmp_path):
    theirs = tmp_path / "Introduction-to-LLMs/mine.txt"
    theirs.parent.mkdir()
    theirs.write_text("my work")
    run = run_cell(tmp_path, FETCH, **colab(repository))
    assert run.returncode != 0
    assert "Introduction-to-LLMs" in run.stderr.splitlines()[-1]
    assert theirs.read_text() == "my work"


@pytest.mark.parametrize("start", [".", "notebooks"], ids=["its root", "its notebooks"])
def test_within_the_course_the_cell_fetches_nothing(repository, tmp_path, start):
    git("clone", "-q", str(repository), "anywhere", folder=tmp_path)
    before = set(tmp_path.rglob("*.py"))
    run = run_cell(tmp_path / "anywhere" / start, FETCH, COURSE_REPOSITORY="nowhere")
    assert run.returncode == 0, run.stderr
    assert set(tmp_path.rglob("*.py")) == before


def test_alone_elsewhere_the_cell_says_where_to_open_the_notebook(tmp_path):
    run = run_cell(tmp_path, COURSE_REPOSITORY="https://example.org/course")
    assert run.stderr.splitlines()[-1] == (
        "FileNotFoundError: Open this notebook in the course's folder: "
        "git clone https://example.org/course"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_bare_copy_runs_from_top_to_bottom(repository, tmp_path, monkeypatch):
    """One notebook alone in /content, as Colab opens it, beside a stand-in of its package."""
    name = "2.2. Embeddings.ipynb"
    (content := tmp_path / "content").mkdir()
    (package := tmp_path / "colab/google/colab").mkdir(parents=True)
    for module in ("__init__", "userdata", "files", "drive"):
        (package / f"{module}.py").touch()
    for variable in ("CI", "COURSE_TIER", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in colab(repository).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(tmp_path / "colab"), os.environ["PYTHONPATH"]])
    )
    notebook = nbformat.read(shutil.copy(ROOT / "notebooks" / name, content), as_version=4)
    stored = [text(cell) for cell in code_cells(notebook)]
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    there = {"metadata": {"path": str(content)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=there).execute()
    ran = code_cells(notebook)
    assert text(ran[0]).startswith("tier micro (https://huggingface.co does not answer)")
    kinds = [kind for cell in ran for kind, _ in outputs(cell)]
    assert not {"error", "text/stderr"} & set(kinds) and "image/jpeg" in kinds
    same = sum(a == b for a, b in zip(stored, map(text, ran), strict=True))
    assert same > len(ran) / 2, "it gives what is stored"
    assert sorted(path.name for path in content.iterdir()) == [name, "Introduction-to-LLMs"]


# --- installing what Colab lacks ------------------------------------------------------------------


def test_the_table_leaves_torch_and_numpy_alone_and_allows_what_we_test_with():
    assert not RANGES.keys() & set(packages.KEPT)
    assert packages.outside(RANGES) == {}
    assert "sentencepiece" in RANGES  # no cell imports it, the small tier's translator does
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    pins = [Requirement(line.partition("#")[0]) for line in lines if line.partition("#")[0].strip()]
    pinned = {pin.name: str(pin.specifier).removeprefix("==") for pin in pins}
    assert RANGES.keys() <= pinned.keys()
    assert [name for name in RANGES if not SpecifierSet(RANGES[name]).contains(pinned[name])] == []


def imported(notebook: nbformat.NotebookNode) -> set[str]:
    """The top-level modules that a notebook's code cells import, within functions too."""
    found = set()
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        plain = [
            line for line in cell.source.splitlines() if not line.lstrip().startswith(("%", "!"))
        ]
        for node in ast.walk(ast.parse("\n".join(plain))):
            if isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_table_has_all_that_a_notebook_imports(path):
    names = imported(nbformat.read(path, as_version=4))
    assert {"os", "helpers"} < names
    listed = {canonicalize_name(name) for name in RANGES} | THERE
    distributions = metadata.packages_distributions()
    unlisted = {
        name
        for name in names - sys.stdlib_module_names - {"helpers", "services"}
        if not listed & {canonicalize_name(maker) for maker in distributions.get(name, [])}
    }
    assert unlisted == set(), "Colab may lack it: list it in notebooks/colab.toml"


def test_what_is_missing_or_out_of_range_is_found_by_its_real_metadata():
    pillow = metadata.version("pillow")
    ranges = {"pillow": f"=={pillow}", "matplotlib": "<1", "gradio": ">=99", "no-such": "==1"}
    assert packages.outside(ranges) == {
        "matplotlib": "matplotlib<1",
        "gradio": "gradio>=99",
        "no-such": "no-such==1",
    }


def wheel(folder: Path, name: str, version: str, requires: str = "") -> None:
    """Write the smallest wheel that pip takes: one module that knows its version."""
    information = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", f"version = {version!r}\n")
        about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        about += f"Requires-Dist: {requires}\n" if requires else ""
        file.writestr(f"{information}/METADATA", about)
        file.writestr(
            f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        names = (
            f"{name}.py",
            *(f"{information}/{part}" for part in ("METADATA", "WHEEL", "RECORD")),
        )
        file.writestr(f"{information}/RECORD", "".join(f"{part},,\n" for part in names))


@pytest.fixture
def pip(tmp_path: Path) -> dict[str, str]:
    """Variables that let pip take wheels from one folder only and install into another."""
    for name in ("wheels", "installed"):
        (tmp_path / name).mkdir()
    path = os.pathsep.join(
        [str(tmp_path / "installed"), str(ROOT / "notebooks"), os.environ.get("PYTHONPATH", "")]
    )
    return {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path / "wheels"),
        "PIP_TARGET": str(tmp_path / "installed"),
        "PYTHONPATH": path,
        "COLAB_RELEASE_TAG": "release",
    }


def prepare(folder: Path, table: str, then: str = "", first: str = "") -> str:
    (folder / "table.toml").write_text(f"[packages]\n{table}\n")
    return (
        f"{first}\nfrom helpers.packages import prepare\nfrom pathlib import Path\n"
        f"prepare(Path('table.toml'))\n{then}"
    )


def test_colab_gets_the_version_in_range(tmp_path, pip):
    wheel(tmp_path / "wheels", "courseware", "1.0")
    wheel(tmp_path / "wheels", "courseware", "2.0")
    code = prepare(tmp_path, 'courseware = "<2"', "import courseware; print(courseware.version)")
    run = run_cell(tmp_path, code, **pip)
    assert run.stdout == "Installing courseware<2 …\n1.0\n", run.stderr
    assert run_cell(tmp_path, code, **pip).stdout == "1.0\n"  # it is there now


def test_colab_keeps_its_numpy_even_if_a_package_wants_another(tmp_path, pip):
    wheel(tmp_path / "wheels", "numpy", "0.1")
    wheel(tmp_path / "wheels", "courseware", "1.0", requires="numpy==0.1")
    run = run_cell(tmp_path, prepare(tmp_path, 'courseware = "==1.0"'), **pip)
    assert "RuntimeError: pip could not install courseware==1.0; its message is above" in run.stderr
    assert list((tmp_path / "installed").iterdir()) == []


def test_a_package_that_was_in_use_asks_for_a_new_session(tmp_path, pip):
    wheel(tmp_path / "wheels", "inflect", "99.0")
    run = run_cell(tmp_path, prepare(tmp_path, 'inflect = ">=99"', first="import inflect"), **pip)
    assert "RuntimeError: inflect had been imported before it was installed" in run.stderr


@pytest.mark.parametrize(
    ("name", "module", "replaced"),
    [("google_genai", "google.protobuf", False), ("rouge_score", "rouge_score", True)],
    ids=["a neighbour in its namespace", "a name with a dash"],
)
def test_only_what_was_imported_of_a_package_asks_for_a_new_session(
    tmp_path, pip, name, module, replaced
):
    wheel(tmp_path / "wheels", name, "99.0")
    table = f'{name.replace("_", "-")} = ">=99"'
    run = run_cell(tmp_path, prepare(tmp_path, table, first=f"import {module}"), **pip)
    assert ("had been imported before it was installed" in run.stderr) == replaced, run.stderr
    assert (run.returncode == 0) != replaced


def test_elsewhere_nothing_is_installed_and_what_is_missing_is_said(tmp_path, pip):
    wheel(tmp_path / "wheels", "courseware", "1.0")
    pip.pop("COLAB_RELEASE_TAG")
    run = run_cell(tmp_path, prepare(tmp_path, 'courseware = "==1.0"'), **pip)
    assert "ModuleNotFoundError: This kernel lacks courseware: run `make lab`" in run.stderr
    assert list((tmp_path / "installed").iterdir()) == []
