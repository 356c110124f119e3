"""The exercises: their solutions pass, an untouched one gets a hint, a wrong answer its own hint.

All of it was said at the end of this run's one execution (see `execution` in conftest.py).
"""

import ast
import builtins
from pathlib import Path

import nbformat
import pytest
from exercises import HINT, RIGHT, exercises_of
from lint import python_of
from outputs import code_cells, text
from wrong_answers import WRONG

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = {
    path.stem: nbformat.read(path, as_version=4)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
}
EXERCISES = {
    (name, exercise.check): exercise
    for name, notebook in NOTEBOOKS.items()
    for exercise in exercises_of(notebook)
}
each_exercise = pytest.mark.parametrize(("name", "check"), EXERCISES)


def tried(execution, name, check):
    return [answer for answer in execution.answers[name] if answer.check == check]


@each_exercise
def test_the_folded_solution_is_right(name, check, execution):
    solutions = [answer for answer in tried(execution, name, check) if not answer.hint]
    assert len(solutions) == 1, f"{name}: no solution to {check} was found and tried"
    assert not solutions[0].failed
    assert RIGHT in solutions[0].said
    assert HINT not in solutions[0].said


@each_exercise
def test_the_solution_uses_only_what_stands_above_it(name, check):
    # The answers are tried at the notebook's end, where a name of a later cell would be there too.
    exercise, known = EXERCISES[name, check], set(dir(builtins))
    for cell in code_cells(NOTEBOOKS[name]):
        if cell is exercise.answer:
            break
        known |= names(python_of(cell))[0]
    defined, used = names(exercise.solution)
    assert used - defined - known == set()


def names(source):
    """The names that some code defines, at any depth, and those that it reads."""
    defined, used = set(), set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                used.add(name)
            case ast.Name(id=name) | ast.arg(arg=name):
                defined.add(name)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                defined.add(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                defined |= {a.asname or a.name.partition(".")[0] for a in aliases}
            case ast.ExceptHandler(name=str(name)):
                defined.add(name)
    return defined, used


@pytest.mark.parametrize(
    ("source", "defined", "used"),
    [
        ("import numpy as np\nx = np.ones(n)", {"np", "x"}, {"np", "n"}),
        ("def f(a):\n    return [b for b in a if b < limit]", {"f", "a", "b"}, {"a", "b", "limit"}),
    ],
)
def test_names_are_told_apart(source, defined, used):
    assert names(source) == (defined, used)


@each_exercise
def test_the_untouched_cell_gets_a_hint(name, check, executed):
    (exercise,) = [e for e in exercises_of(executed[name]) if e.check == check]
    said = text(exercise.self_check)
    assert HINT in said
    assert RIGHT not in said


@each_exercise
def test_typical_wrong_answers_get_the_right_hint(name, check, execution):
    wrong = [answer for answer in tried(execution, name, check) if answer.hint]
    assert wrong, f"add typical wrong answers to {name}, {check} in tests/wrong_answers.py"
    for answer in wrong:
        assert not answer.failed, answer.source
        assert RIGHT not in answer.said, f"{answer.source} is taken for right"
        hint = answer.said.partition(HINT)[2]
        assert answer.hint in hint, f"{answer.source} gets {answer.said!r}"


def test_every_wrong_answer_belongs_to_an_exercise():
    given = {(name, check) for name, checks in WRONG.items() for check in checks}
    assert given <= set(EXERCISES)
