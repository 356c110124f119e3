"""Make the handout: the notebooks without their answers, for a class.

python .ci/handout.py              all of them, into build/handout, outputs cleared
python .ci/handout.py 2.2 2.6      only these
python .ci/handout.py --outputs    the stored outputs stay, but for those of the exercises

With all of them comes the quiz before and after the course, as a sheet to be filled in.

Solutions and the answers of the quizzes go, and so does the badge at the top, which opens the
notebook with its answers. The files have the notebooks' names: lay them over those in the folder
`notebooks` of the copy of the course that the class gets, where they find what they import.
"""

import argparse
import re
import sys
from pathlib import Path

import nbformat
from files import LAST, asked_for, every_notebook, write
from nbformat import NotebookNode
from outputs import tags

ROOT = Path(__file__).resolve().parent.parent
QUIZ = "Quiz_before_and_after.md"
FOLDED = re.compile(r"\s*<details>\s*<summary>(?P<name>.*?)</summary>.*?</details>\s*", re.DOTALL)
BADGE = re.compile(r"^\[!\[Open in Colab\].*\n+", re.MULTILINE)


def handout(notebook: NotebookNode, keep_outputs: bool = False) -> NotebookNode:
    """Take the answers out of a notebook, which is changed, and return it."""
    kept = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = BADGE.sub("", without_answers(cell.source))
        elif not keep_outputs or {"exercise", "self-check"} & set(tags(cell)):
            cell.outputs, cell.execution_count = [], None
        if cell.source:  # a cell may have held nothing but a solution
            kept.append(cell)
    notebook.cells = kept
    return notebook


def without_answers(source: str) -> str:
    """Markdown without what it folds away: solutions, and answers, which leave a line to write on.

    An exercise has its own cell to answer in.
    """

    def emptied(folded: re.Match[str]) -> str:
        return "\n\n" if folded["name"] == "Solution" else "\n\n*Your answer:*\n\n"

    cleared = FOLDED.sub(emptied, source)
    return cleared if cleared == source else cleared.strip()


def sheet(quiz: str) -> str:
    """The quiz before and after as learners get it: without answers, and the teacher's remarks."""
    title, _, questions = quiz.partition("\n**1. ")
    return f"{title.splitlines()[0]}\n\nName, date:\n\n{without_answers('**1. ' + questions)}\n"


def main(arguments: list[str] | None = None) -> int:
    """Write the handouts; return 0. A name that names no notebook ends it, in a sentence."""
    parser = argparse.ArgumentParser(description="Write the notebooks without their answers.")
    parser.add_argument("names", nargs="*", help="how a notebook's name begins: 2.2")
    parser.add_argument("--outputs", action="store_true", help="keep the stored outputs")
    parser.add_argument("--into", type=Path, default=ROOT / "build" / "handout")
    options = parser.parse_args(arguments)
    paths = every_notebook(ROOT)
    wanted = asked_for(parser, paths, options.names)
    if options.into.is_dir() and any(options.into.samefile(path.parent) for path in wanted):
        parser.error(f"--into {options.into} would overwrite the notebooks with their answers")
    for path in wanted:
        notebook = handout(nbformat.read(path, as_version=4), options.outputs)
        write(options.into / path.name, nbformat.writes(notebook).rstrip("\n") + "\n")
    if wanted == paths:
        quiz = (ROOT / "assets" / "teaching" / QUIZ).read_text("utf-8")
        write(options.into / QUIZ, sheet(quiz))
        print(f"{QUIZ}: the sheet for the class, without answers.")
    print(f"{len(wanted)} notebooks without answers in {options.into}.")
    print("Lay them over those in the folder `notebooks` of the copy that the class gets,")
    print(f"and {LAST.name} over the one in `assets/recipes`.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
