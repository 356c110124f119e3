"""The exercises: their solutions pass, an untouched one gets a hint, a wrong answer its own hint.

All of it was said at the end of this run's one execution (see `execution` in conftest.py).
"""

from pathlib import Path

import nbformat
import pytest
from exercises import HINT, RIGHT, exercises_of
from outputs import text
from wrong_answers import WRONG

ROOT = Path(__file__).resolve().parent.parent
EXERCISES = {
    (path.stem, exercise.check): exercise
    for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
    for exercise in exercises_of(nbformat.read(path, as_version=4))
}
each_exercise = pytest.mark.parametrize(("name", "check"), EXERCISES)


def tried(execution, name, check):
    return [answer for answer in execution.answers[name] if answer.check == check]


@each_exercise
def test_the_folded_solution_is_right(name, check, execution):
    solutions = [answer for answer in tried(execution, name, check) if not answer.hint]
    assert len(solutions) == 1, f"{name}: no solution to {check} was found and tried"
    assert not solutions[0].failed
    assert solutions[0].said.startswith(RIGHT)


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
