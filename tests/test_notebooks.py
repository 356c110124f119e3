"""The notebooks as a reader finds them, and as they come out of this run's one execution."""

import platform
import re
import sys
import tomllib
from pathlib import Path

import lint
import nbformat
import pytest
from outputs import code_cells, differences, seconds_of, tags

ROOT = Path(__file__).resolve().parent.parent
PATHS = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
# Seconds a cell may take here: three times what notebook.md allows, since two notebooks run at
# once, beside whatever else a busy machine does.
SLOWEST = 15.0
each_notebook = pytest.mark.parametrize("name", PATHS)


@pytest.fixture(scope="module")
def course():
    app = ROOT / "assets/apps/narrator/app.py"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return lint.Course(
        repository=project["urls"]["Repository"],
        setup_cell=(ROOT / "notebooks/helpers/setup_cell.txt").read_text("utf-8"),
        narrator=app.read_text("utf-8") if app.exists() else "",  # its own rule tells
        root=ROOT,
    )


@each_notebook
@pytest.mark.parametrize("rule", lint.RULES)
def test_keeps_the_rules(name, rule, course):
    if rule == "has_no_commented_out_code":
        pytest.importorskip("ruff", reason="ruff is not installed (.ci/requirements-test.txt)")
    notebook = nbformat.read(PATHS[name], as_version=4)
    breaches = list(lint.RULES[rule](notebook, name, course))
    assert not breaches, f"{name} {lint.RULES[rule].__doc__}\n- " + "\n- ".join(breaches)


@each_notebook
def test_runs_from_top_to_bottom_from_a_folder_of_notebooks_and_assets_alone(name, execution):
    notebook = execution.notebooks[name]
    errors = [
        f"{lint.at(notebook, cell)}: {output.ename}: {output.evalue}"
        for cell in code_cells(notebook)
        for output in cell.outputs
        if output.output_type == "error"
    ]
    ran = [cell.execution_count for cell in code_cells(notebook)]
    assert errors == []
    assert ran == list(range(1, len(ran) + 1)), execution.log


@each_notebook
def test_says_nothing_on_stderr(name, executed):
    notebook = executed[name]
    noise = [
        f"{lint.at(notebook, cell)}: {output.text.strip()[:300]}"
        for cell in code_cells(notebook)
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr"
    ]
    assert noise == []


@each_notebook
@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64",
    reason="stored outputs are those of Linux on x86-64 with the pinned packages",
)
def test_stored_outputs_are_those_of_a_fresh_run(name, executed):
    stored = nbformat.read(PATHS[name], as_version=4)
    found = differences(stored, executed[name])
    assert not found, f"{name} gives other outputs than it stores (make refresh)\n- " + "\n- ".join(
        found
    )


@each_notebook
def test_no_cell_keeps_a_class_waiting(name, executed):
    slow = []
    for cell in code_cells(executed[name]):
        waits_for_good_reason = re.search(
            r"^\s*(import|from)\b|\.train\(", cell.source, re.MULTILINE
        )
        seconds = seconds_of(cell)
        if seconds > SLOWEST and not waits_for_good_reason and "setup" not in tags(cell):
            slow.append(f"{lint.at(executed[name], cell)} took {seconds:.1f} s")
    assert slow == []


def test_running_asks_for_nothing_off_this_machine(execution):
    assert execution.refused == []


def test_running_leaves_assets_and_helpers_as_they_were_and_nothing_behind(execution):
    assert execution.left_behind == []


def test_every_notebook_was_run(executed):
    assert set(executed) == set(PATHS)
    assert PATHS, "notebooks/ holds no notebook"
