"""The handout: no answer is left anywhere in it, and it runs where it is laid."""

import json
import re
from pathlib import Path

import course
import handout
import nbformat
import pytest
from conftest import ROOT
from exercises import exercises_of
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from outputs import code_cells, tags

PATHS = {path.stem: path for path in [*sorted((ROOT / "notebooks").glob("*.ipynb")), course.LAST]}
each_notebook = pytest.mark.parametrize("name", PATHS)
FOLDED = re.compile(r"<details>\s*<summary>.*?</summary>(.*?)</details>", re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    into = tmp_path_factory.mktemp("handout")
    assert handout.main(["--into", str(into)]) == 0
    return into


@pytest.fixture(scope="module")
def with_outputs(tmp_path_factory):
    into = tmp_path_factory.mktemp("handout")
    assert handout.main(["--outputs", "--into", str(into)]) == 0
    return into


def lines(text: str) -> set[str]:
    """What is long enough to give something away."""
    return {line.strip() for line in text.splitlines() if len(line.strip()) > 20}


@each_notebook
@pytest.mark.parametrize("kind", ["folder", "with_outputs"])
def test_no_line_of_an_answer_is_left_anywhere_in_the_file(name, kind, request):
    file = request.getfixturevalue(kind) / f"{name}.ipynb"
    whole = nbformat.read(PATHS[name], as_version=4)
    prose = "\n\n".join(c.source for c in whole.cells if c.cell_type == "markdown")
    answers = FOLDED.findall(prose)
    assert len(answers) >= 8  # five questions, three exercises
    elsewhere = FOLDED.sub("", prose) + "".join(cell.source for cell in code_cells(whole))
    secret = {line for answer in answers for line in lines(answer) if line not in elsewhere}
    assert len(secret) >= 20
    written = file.read_text("utf-8")
    left = [line for line in secret if json.dumps(line, ensure_ascii=False)[1:-1] in written]
    assert left == []
    cells = nbformat.reads(written, as_version=4).cells
    assert not any("<details" in c.source for c in cells if c.cell_type == "markdown")


@each_notebook
def test_the_exercises_are_there_to_be_done(name, folder):
    given = exercises_of(nbformat.read(folder / f"{name}.ipynb", as_version=4))
    assert len(given) == 3
    assert {exercise.answer.source for exercise in given} == {"answer = ..."}
    assert [exercise.solution for exercise in given] == ["", "", ""]
    whole = exercises_of(nbformat.read(PATHS[name], as_version=4))
    assert [exercise.check for exercise in given] == [exercise.check for exercise in whole]


@each_notebook
def test_a_quiz_keeps_its_questions_and_has_a_line_for_each_answer(name, folder):
    quiz = [c for c in nbformat.read(folder / f"{name}.ipynb", 4).cells if "quiz" in tags(c)]
    asked = [re.findall(r"^\*\*\d\. ", cell.source, re.MULTILINE) for cell in quiz]
    assert [len(questions) for questions in asked] == [2, 3]
    assert [cell.source.count("*Your answer:*") for cell in quiz] == [2, 3]


@each_notebook
def test_everything_else_is_the_same(name, folder):
    whole = nbformat.read(PATHS[name], as_version=4)
    given = {cell.id: cell for cell in nbformat.read(folder / f"{name}.ipynb", 4).cells}
    for cell in whole.cells:
        emptied = cell.cell_type == "markdown" and re.search("<details>|colab-badge", cell.source)
        if not emptied:
            assert given[cell.id].source == cell.source
            assert given[cell.id].metadata == cell.metadata
    missing = [cell for cell in whole.cells if cell.id not in given]
    assert all(FOLDED.sub("", cell.source).strip() == "" for cell in missing)


@each_notebook
def test_it_is_a_valid_notebook_that_was_never_run(name, folder):
    notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.outputs and not cell.execution_count for cell in code_cells(notebook))


def test_the_outputs_stay_on_demand_but_not_those_of_an_exercise(with_outputs):
    name = "2.2. Embeddings"
    whole = code_cells(nbformat.read(PATHS[name], as_version=4))
    given = code_cells(nbformat.read(with_outputs / f"{name}.ipynb", as_version=4))
    for before, after in zip(whole, given, strict=True):
        cleared = {"exercise", "self-check"} & set(tags(before))
        assert after.outputs == ([] if cleared else before.outputs)


def test_no_link_leads_to_the_notebook_with_its_answers(folder):
    for name in PATHS:
        assert "colab" not in nbformat.read(folder / f"{name}.ipynb", 4).cells[0].source.lower()


def test_a_learners_answer_goes_with_its_outputs():
    printed = [new_output("stream", text="Right.")]
    check = new_code_cell("check.it(answer)", metadata={"tags": ["self-check"]}, outputs=printed)
    fold = "<details><summary>Solution</summary>\n\n```python\nanswer = 42\n```\n\n</details>"
    cells = [check, new_markdown_cell(fold), new_markdown_cell(f"{fold}\n\n### 2. The next\n\nDo.")]
    left = handout.handout(new_notebook(cells=cells), keep_outputs=True).cells
    assert [cell.source for cell in left] == ["check.it(answer)", "### 2. The next\n\nDo."]
    assert left[0].outputs == []


def test_it_runs_in_the_folder_of_the_notebooks(folder, tmp_path):
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    (tmp_path / "notebooks").mkdir()
    for part in (ROOT / "notebooks").iterdir():
        if part.suffix != ".ipynb":
            (tmp_path / "notebooks" / part.name).symlink_to(part)
    laid = tmp_path / "notebooks" / "2.2. Embeddings.ipynb"
    laid.write_bytes((folder / laid.name).read_bytes())
    run = course.execute(Path(laid))
    assert run.error == ""
    assert run.tier == "micro"
    said = [cell for cell in code_cells(run.notebook) if "self-check" in tags(cell)]
    assert all("Not answered yet" in cell.outputs[0].text for cell in said)


def test_the_quiz_before_and_after_comes_as_a_sheet_without_answers(folder, tmp_path):
    whole = (ROOT / "assets/teaching" / handout.QUIZ).read_text("utf-8")
    written = (folder / handout.QUIZ).read_text("utf-8")
    asked = re.findall(r"^\*\*\d+\. .+\*\*$|^- \*\*[abc]\.\*\* .+$", whole, re.M)
    assert len(asked) == 40
    assert [line for line in written.splitlines() if line in asked] == asked
    secret = {line for answer in FOLDED.findall(whole) for line in lines(answer)}
    assert len(secret) >= 20
    assert not secret & lines(written)
    assert written.count("*Your answer:*") == 10
    assert handout.main(["2.2", "--into", str(tmp_path)]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["2.2. Embeddings.ipynb"]


@pytest.mark.parametrize("into", ["notebooks", "assets/../notebooks", "assets/recipes"])
def test_it_is_not_laid_over_the_notebooks_with_their_answers(into, tmp_path, monkeypatch, capsys):
    last = f"assets/recipes/{handout.LAST.name}"
    for path in ("notebooks/1. One.ipynb", "notebooks/2. Two.ipynb", last):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(new_notebook(cells=[new_code_cell("answer = 42")]), tmp_path / path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.ipynb")}
    monkeypatch.setattr(handout, "ROOT", tmp_path)
    with pytest.raises(SystemExit) as ended:
        handout.main(["1", "Build", "--into", str(tmp_path / into)])
    assert ended.value.code == 2
    assert "would overwrite the notebooks with their answers" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.ipynb")} == before
    assert handout.main(["1", "--into", str(tmp_path / "class")]) == 0
    assert handout.main(["1", "--into", str(tmp_path / "class")]) == 0, "a second time too"


def test_an_unknown_notebook_is_told_what_there_is(capsys, tmp_path):
    with pytest.raises(SystemExit) as ended:
        handout.main(["9.9", "--into", str(tmp_path)])
    assert ended.value.code == 2
    assert "No notebook begins with '9.9'. There are: 1, 2, 2.1," in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
