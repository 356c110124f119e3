"""Find a notebook's exercises, and try answers to them in the kernel that has run the notebook."""

import ast
import re
from dataclasses import dataclass

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from outputs import tags, text
from wrong_answers import WRONG

SOLUTION = re.compile(
    r"<details>\s*<summary>Solution</summary>\n\n.*?```python\n(?P<code>.*?)\n```.*?\n\n</details>",
    re.DOTALL,
)
CHECK = re.compile(r"^\s*check\.(?P<name>\w+)\(answer\)\s*$")
RIGHT, HINT = "Right. Expected ", "Hint: "  # what helpers/check prints, after a checklist or not


@dataclass(frozen=True)
class Exercise:
    """One exercise: its two cells, its self-check's name, its solution ("" where absent)."""

    answer: NotebookNode
    self_check: NotebookNode
    check: str
    solution: str


@dataclass(frozen=True)
class Answer:
    """An answer that was tried: `hint` is what the self-check must say, "" for a solution."""

    check: str
    source: str
    hint: str
    said: str
    failed: str


def exercises_of(notebook: NotebookNode) -> list[Exercise]:
    """The exercises in order; one whose self-check is missing is left to the lint to report."""
    found = []
    cells = notebook.cells
    starts = [i for i, cell in enumerate(cells) if "exercise" in tags(cell)]
    for start, end in zip(starts, [*starts[1:], len(cells)], strict=True):
        check = cells[start + 1] if start + 1 < len(cells) else None
        name = CHECK.match(check.source) if check and "self-check" in tags(check) else None
        folded = [SOLUTION.search(c.source) for c in cells[start:end] if c.cell_type == "markdown"]
        solution = next((match["code"] for match in folded if match), "")
        if name:
            found.append(Exercise(cells[start], check, name["name"], solution))
    return found


def add_answers(notebook: NotebookNode, name: str, wrong_ones: dict = WRONG) -> None:
    """Append to a notebook each exercise's solution and wrong answers, each with the check."""
    for exercise in exercises_of(notebook):
        wrong = wrong_ones.get(name, {}).get(exercise.check, [])
        tries = [(exercise.solution, "")] if exercise.solution else []
        for source, hint in [*tries, *((_assignment(source), hint) for source, hint in wrong)]:
            tried = {"check": exercise.check, "source": source, "hint": hint}
            for part in (source, exercise.self_check.source):
                cell = new_code_cell(part, metadata={"tags": ["raises-exception"], "tried": tried})
                notebook.cells.append(cell)


def take_answers(notebook: NotebookNode) -> list[Answer]:
    """Take the appended cells off an executed notebook again and return what they said."""
    tried = [cell for cell in notebook.cells if "tried" in cell.metadata]
    notebook.cells = [cell for cell in notebook.cells if "tried" not in cell.metadata]
    answers = []
    for given, check in zip(tried[::2], tried[1::2], strict=True):
        errors = [
            f"{output.ename}: {output.evalue}"
            for output in (*given.outputs, *check.outputs)
            if output.output_type == "error"
        ]
        if check.execution_count is None:
            errors.append("not run: the notebook stopped before")
        answers.append(Answer(**check.metadata.tried, said=text(check), failed="; ".join(errors)))
    return answers


def assigns_answer(source: str) -> bool:
    """Does this code assign `answer`, or define a function or class of that name?"""
    for node in ast.parse(source).body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        names = {getattr(target, "id", None) for target in targets} | {getattr(node, "name", None)}
        if "answer" in names:
            return True
    return False


def _assignment(source: str) -> str:
    return source if assigns_answer(source) else f"answer = {source}"
