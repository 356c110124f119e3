"""Which cells a section needs is found in the notebook's text; catching up runs just these."""

import ast
import re
import subprocess
import sys

import nbformat
import needs
import pytest
import restart
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from outputs import tags, text

# What is shown -> (the cells before the section, its code, which of them it needs: a star stands
# for the imports and definitions alone)
CASES = {
    "nothing": (["a = 1"], "b = 2", ""),
    "what it reads": (["a = 1", "b = 2"], "a", "1"),
    "what that was made from": (["a = 1", "b = 2", "c = a"], "c", "1 3"),
    "the last binding alone": (["a = 1", "a = 2"], "a", "2"),
    "not what it binds itself": (["a = 1"], "a = 2\na", ""),
    "not what is only shown": (["a = 1", "print(a)", "a"], "a", "1"),
    "a list that grows": (["a = []", "a.append(1)", "len(a)"], "a", "1 2"),
    "what is popped, though it is used": (["a = [1]", "b = a.pop()"], "a", "1 2"),
    "not a method whose result is used": (["a = f()", "b = a.total()"], "a", "1"),
    "an item assigned": (["a = {}", "a['k'] = 1"], "a", "1 2"),
    "an attribute assigned": (["a = f()", "a.inner.size = 1"], "a", "1 2"),
    "an item deleted": (["a = {1: 2}", "del a[1]"], "a", "1 2"),
    "a name deleted": (["a = 1", "del a", "a = 3", "del a['k']"], "a", "3 4"),
    "augmented": (["a = 1", "a += 1"], "a", "1 2"),
    "an item augmented": (["a = [1]", "a[0] += 1"], "a", "1 2"),
    "an import by itself": (["import os\nprint(os.name)"], "os.sep", "1*"),
    "its other name": (["import numpy.linalg as la\nla.inv(1)"], "la", "1*"),
    "not a call on a module": (["import plot", "plot.show()"], "plot", "1*"),
    "a setting of a module": (["import plot", "plot.style['a'] = 1"], "plot", "1* 2"),
    "a function by itself": (["def f():\n    return 1\nprint(f())"], "f()", "1*"),
    "the whole cell where a value is needed": (["import os\na = os.name"], "a", "1"),
    "what a function reads": (["K = 1", "def f():\n    return K"], "f()", "1 2*"),
    "what it reads, bound after it": (["def f():\n    return K", "K = 1"], "f()", "1* 2"),
    "what its functions read": (
        ["K = 1", "def f():\n    return K", "def g():\n    return f()"], "g()", "1 2* 3*",
    ),
    "what a lambda reads": (["K = 1", "f = lambda x: x + K"], "f(1)", "1 2"),
    "a default, read at once": (["K = 1", "def f(a=K):\n    return a", "K = 2"], "f()", "1 2*"),
    "not a function's own names": (["a = 1", "def f(a):\n    b = a\n    return b"], "f(2)", "2*"),
    "what calling it changes": (["a = []", "def f():\n    a.append(1)", "f()"], "a", "1 2* 3"),
    "a global of it": (["n = 0", "def f():\n    global n\n    n = 1", "f()"], "n", "1 2* 3"),
    "a decorator": (["from tools import cache", "@cache\ndef f():\n    pass"], "f()", "1* 2*"),
    "a class's base and body": (
        ["class A:\n    pass", "SIZE = 1", "class B(A):\n    size = SIZE"], "B()", "1* 2 3*",
    ),
    "what its methods read": (
        ["K = 1", "class A:\n    def f(self):\n        return K"], "A()", "1 2*",
    ),
    "not a comprehension's names": (["x = 1", "a = [2]"], "[x for x in a]", "2"),
    "not a dict's either": (["x = 1", "a = [2]"], "{x: x for x in a}", "2"),
    "what a comprehension reads": (["x = 1", "a = [2]"], "[x + y for y in a]", "1 2"),
    "not the name of a loop": (["x = 1", "a = [2]"], "for x in a:\n    print(x)", "2"),
    "with: its name and what it opens": (["x = 1", "a = f()"], "with a as x:\n    x", "2"),
    "bound in a with": (["a = 1", "with f() as g:\n    a = g"], "a", "2"),
    "perhaps bound": (["a = 1", "if f():\n    a = 2"], "a", "1 2"),
    "perhaps bound in a try": (["a = 1", "try:\n    a = 2\nexcept E:\n    pass"], "a", "1 2"),
    "not a caught error": (["e = 1"], "try:\n    f()\nexcept E as e:\n    print(e)", ""),
    "not what a block has bound": (["a = 1"], "if f():\n    a = 2\n    print(a)", ""),
    "what the other block has bound": (["a = 1"], "if f():\n    a = 2\nelse:\n    a", "1"),
    "another name of it": (["a = []", "b = a", "b.append(1)"], "a", "1 2 3"),
    "an object that holds it": (
        ["a = f()", "t = Trainer(a)", "t.train()", "a.eval"], "a", "1 2 3",
    ),
    "its parts, changed in a loop": (["a = [[]]", "for b in a:\n    b.append(1)"], "a", "1 2"),
    "a walrus": (["(a := 1)", "b = 2"], "a", "1"),
    "several at once": (["a, (b, *c) = f()", "a = 2"], "c", "1"),
    "the service that libraries find by themselves": (
        ["from services.connect_hub import connect\nhub = connect()", "a = 1"], "load()", "1",
    ),
    "past a magic": (["%time\nb = %pwd\na = 1"], "a", "1"),
}  # fmt: skip


def small(before, code, *more):
    cells = [new_code_cell("", metadata={"tags": ["setup"]}), new_markdown_cell("## First")]
    cells += map(new_code_cell, before)
    return new_notebook(cells=[*cells, new_markdown_cell("## Second"), new_code_cell(code), *more])


def numbers(notebook, title):
    """The needed cells, counted from 1 behind the setup cell, with stars."""
    places = {cell.id: n for n, cell in enumerate(needs.code_cells(notebook))}
    found = needs.needs(notebook)[title]
    return " ".join(f"{places[id_]}{'' if every else '*'}" for id_, every in found.items())


@pytest.mark.parametrize("case", CASES)
def test_a_section_needs(case):
    before, code, wanted = CASES[case]
    assert numbers(small(before, code), "Second") == wanted


def test_an_exercise_needs_what_its_folded_solution_does():
    solution = "<details><summary>Solution</summary>\n\n```python\nanswer = a\n```\n\n</details>"
    after = new_markdown_cell(f"{solution}\n\n### Third\n\n```python\n## b\n```")
    notebook = small(["a = 1", "b = 2"], "answer = ...", after, new_code_cell("b"))
    assert numbers(notebook, "Second") == "1 2", "with what lies under it"
    assert numbers(notebook, "Third") == "2"


def test_subsections_are_sections_and_end_with_the_one_above():
    notebook = small(["a = 1"], "b = a", new_markdown_cell("### Within"), new_code_cell("b"))
    notebook.cells += [new_markdown_cell("## Third"), new_code_cell("a")]
    assert numbers(notebook, "Within") == "1 2"
    assert numbers(notebook, "Third") == "1"
    assert [len(one.cells) for one in needs.sections(notebook).values()] == [1, 2, 1, 1]


def test_a_new_catch_up_cell_moves_the_counts_and_keeps_the_outputs():
    notebook = small(["a = 1"], "a")
    for number, cell in enumerate(needs.code_cells(notebook), start=1):
        cell.execution_count = number
    result = {"output_type": "execute_result", "data": {"text/plain": "1"}, "metadata": {}}
    notebook.cells[-1].outputs = [nbformat.from_dict(result | {"execution_count": 3})]
    needs.with_catch_up(notebook, "A notebook")
    assert [tags(cell) for cell in notebook.cells[:2]] == [["setup"], ["catch-up"]]
    assert [cell.execution_count for cell in needs.code_cells(notebook)] == [1, 2, 3, 4]
    assert notebook.cells[-1].outputs[0].execution_count == 4
    assert notebook.cells[-1].outputs[0].data == {"text/plain": "1"}
    again = needs.with_catch_up(notebook, "A notebook")
    assert [tags(cell) for cell in again.cells].count(["catch-up"]) == 1


SETUP = f"""
import sys
sys.path.insert(0, {str(ROOT / "notebooks")!r})
from pathlib import Path
import helpers.catch_up
helpers.catch_up.NOTEBOOKS = Path()
%matplotlib inline
"""
LOUD = """
import matplotlib.pyplot as plt
from IPython.display import Audio, display
print("loud")
print("louder", file=sys.stderr)
display(Audio([0, 1, 0], rate=8))
plt.plot([1, 2])
a = %pwd
a
"""


@pytest.fixture
def loud(tmp_path):
    """A small notebook on the disk; restart's own way to begin it at a section."""
    notebook = small([LOUD, "c = 'not needed'"], "print(a == '.' or 'a' in dir(), 'c' in dir())")
    notebook.cells[0].source = SETUP
    notebook.cells[-2].source = "## `Second`: the one"
    path = tmp_path / "Loud.ipynb"
    nbformat.write(needs.with_catch_up(notebook, "Loud"), path)
    return path


def test_it_runs_quietly_what_is_needed_and_says_so_in_one_line(loud):
    run, said, _ = restart.restart(loud, "`Second`: the one")
    assert run.error == ""
    assert said.startswith("For “`Second`: the one” ran code cells 3, in ")
    assert text(run.notebook.cells[0]) == "True False", "what it needs is there, and no more"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("second", "For “`Second`: the one” ran code cells 3, in "),
        ("First", "For “First” ran nothing: it needs no more than the setup, in "),
        ("Third", "Not one section begins with 'Third', of these: First; `Second`: the one."),
    ],
)
def test_a_title_may_be_shortened_and_a_wrong_one_is_answered_with_all(loud, asked, says):
    notebook = nbformat.read(loud, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if {"setup", "catch-up"} & set(tags(cell))]
    notebook.cells[1].source = notebook.cells[1].source.replace('section=""', f"section={asked!r}")
    run = restart.execute(loud, notebook=notebook)
    assert says in run.error + text(run.notebook.cells[1])


def test_a_section_that_shows_what_is_not_stored_is_a_failure(loud, monkeypatch, capsys):
    monkeypatch.setattr(restart, "NOTEBOOKS", loud.parent)
    monkeypatch.setattr(sys, "argv", ["restart.py", "Loud"])
    whole = restart.execute(loud).notebook
    said = whole.cells[-1].outputs[0]
    assert said.text == "True True\n"  # with all cells run, what is not needed is there, too
    nbformat.write(whole, loud)
    assert restart.main() == 1
    assert "DIFFERS  code cell 1: text …'True True' became …'True False'" in capsys.readouterr().out
    said.text = "True False\n"
    nbformat.write(whole, loud)
    assert restart.main() == 0
    assert "DIFFERS" not in capsys.readouterr().out


def test_without_a_section_it_says_nothing(loud):
    notebook = nbformat.read(loud, as_version=4)
    notebook.cells = notebook.cells[:2]
    run = restart.execute(loud, notebook=notebook)
    assert (run.error, notebook.cells[1].outputs) == ("", [])


def test_no_section_and_no_path_of_the_course_reads_a_name_that_nothing_has_bound(tmp_path):
    pytest.importorskip("ruff", reason="ruff is not installed (.ci/requirements-test.txt)")
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        cells = {cell.id: cell for cell in needs.code_cells(notebook)}
        setup = next(cell.source for cell in cells.values() if "setup" in tags(cell))
        for number, (title, some) in enumerate(needs.needs(notebook).items()):
            code = "\n".join(needs.sections(notebook)[title].code)
            for id_, every in reversed(some.items()):
                for node in reversed(ast.parse(cells[id_].source).body):
                    # A definition that nobody calls may lack what it reads.
                    if every or set(re.findall(r"\w+", code)) & defined(node):
                        code = ast.unparse(node) + "\n" + code
            file = tmp_path / f"{path.stem.split('.')[0]}-{path.stem[2:5]}-{number}.py"
            file.write_text(f"# {title}\n{setup}\n{code}", encoding="utf-8")
        for minutes in (50, 90):  # setup is on the path
            shown = [c.source for c in needs.on_path(notebook, minutes) if c.cell_type == "code"]
            file = tmp_path / f"{path.stem.split('.')[0]}-{path.stem[2:5]}-path-{minutes}.py"
            file.write_text("\n".join(shown), encoding="utf-8")
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select=F821", "--quiet"]
    command += ["--output-format=concise", str(tmp_path)]
    found = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert len(list(tmp_path.iterdir())) > 150
    assert found.stdout == ""


def test_where_a_path_leaves_the_page_the_remark_on_its_last_cell_stays():
    remark = "So it is.\n\n### The next thing\n\nIt is long."
    shown = {"tags": ["path-50"]}
    cells = [new_markdown_cell("## A", metadata=shown), new_code_cell("1 + 1")]
    cells += [new_markdown_cell(remark), new_code_cell("2 + 2"), new_markdown_cell("Really.")]
    cells += [new_markdown_cell("### C", metadata=shown), new_code_cell("3 + 3")]
    found = needs.on_path(new_notebook(cells=cells), 50)
    assert [c.source for c in found] == ["## A", "1 + 1", "So it is.", "### C", "3 + 3"]
    assert cells[2].source == remark, "the notebook itself was cut"


def defined(node):
    """The names that an import, a function or a class binds."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    names = node.names if isinstance(node, needs.DEFINITIONS) else []
    return {alias.asname or alias.name.split(".")[0] for alias in names}


def test_a_real_section_begins_after_a_restart_and_shows_what_is_stored():
    path = ROOT / "notebooks/2.6. Object_Detection.ipynb"
    run, said, otherwise = restart.restart(path, "A detector proposes a set")
    assert (run.error, otherwise) == ("", [])
    assert said.startswith("For “A detector proposes a set” ran code cells 3, in ")
