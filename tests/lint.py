"""What every notebook keeps to, one function a rule; each yields one sentence for each breach.

tests/test_notebooks.py holds the course's notebooks to them, tests/test_lint.py shows that each can
fail. To add a rule, write a function with @rule and break it in tests/test_lint.py.
"""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote, unquote

import nbformat
import needs
from exercises import SOLUTION, assigns_answer, exercises_of
from nbformat import NotebookNode
from outputs import WIDGET, code_cells, images, outputs, tags, text

TAGS = {
    "setup",
    "catch-up",
    "exercise",
    "self-check",
    "narrator",
    "volatile",
    "once",
    "quiz",
    *needs.PATHS,
}
SLIDES = {"slide", "subslide", "fragment", "notes", "skip", "-"}  # "-": goes on with the one before
ENDING = ["The real one", "Limits", "Exercises", "The Narrator", "Recap"]
DEEPER = "Deeper (optional)"
# Cells of the core: three are each about a whole service, and 2.1 takes attention in two steps.
MOST = {"1.": 60, "2.": 60, "2.1.": 42, "2.9.": 60}
CAPTION = re.compile(r"^\*Figure: (?P<seen>.{40,})\*$", re.MULTILINE)
HEADING = re.compile(r"^(#{1,6}) (.+)$")
MEASURED = re.compile(
    r"\d[^·\n]*\bmin[^·\n]*·[^·\n]*\d[^·\n]*\b[MG]B\b[^·\n]*·[^·\n]*\bdownload\b[^·\n]*·[^·\n]*\bneeds\b",
    re.I,
)
FILLER = (
    "simply|obviously|basically|of course|needless to say|as you can see|in conclusion|delve|"
    "dive in(?:to)?|deep dive|let's dive|seamless(?:ly)?|effortless(?:ly)?|leverag(?:e|es|ing)|"
    "harness(?:es|ing)?|unlock(?:s|ing)?|cutting[- ]edge|game[- ]chang(?:er|ing)|revolutionary|"
    "amazing|awesome|incredibl[ey]|powerful|crucial(?:ly)?|worth noting|in this notebook,? we|"
    "we will|in today's"
)
KEYS = {
    "Google": r"AIza[\w-]{35}",
    "Hugging Face": r"\bhf_[A-Za-z0-9]{30,}",
    "OpenAI": r"\bsk-[\w-]{20,}",
    "GitHub": r"\b(?:gh[pousr]_|github_pat_)\w{30,}",
    "Amazon": r"\bAKIA[A-Z0-9]{16}\b",
}
ABSOLUTE = re.compile(
    r"(?<![\w.:/~-])/(?:home|Users|root|tmp|work|var|usr|opt|mnt|srv|private|etc)/\w[^\s'\"]*"
    r"|(?<!\w)[A-Za-z]:\\+\w[^\s'\"]*"
)


@dataclass(frozen=True)
class Course:
    """What the rules compare a notebook with."""

    repository: str  # its address
    setup_cell: str  # the setup cell every notebook has
    narrator: str  # the source of assets/apps/narrator/app.py
    root: Path  # the folder that holds notebooks/ and assets/
    folder: str = "notebooks"  # the one that holds this notebook


Rule = Callable[[NotebookNode, str, Course], Iterator[str]]
RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    """Add a function to the rules every notebook is held to."""
    RULES[function.__name__] = function
    return function


# ------------------------------------------------------------------------------- reading a notebook


def at(notebook: NotebookNode, cell: NotebookNode) -> str:
    """Name a cell so that it is found at once: its place among all cells and its first line."""
    number = next(i for i, other in enumerate(notebook.cells, start=1) if other is cell)
    first = cell.source.strip().partition("\n")[0]
    return f"cell {number} ({first[:50]!r})"


def prose_of(source: str) -> str:
    """Markdown without its code, be it in a block or within a line."""
    return re.sub(r"```.*?(?:```|\Z)|`[^`\n]*`", "", source, flags=re.DOTALL)


def headings(cell: NotebookNode) -> list[tuple[int, str]]:
    """The headings of a markdown cell as (level, words)."""
    if cell.cell_type != "markdown":
        return []
    lines = prose_of(cell.source).splitlines()
    return [(len(m[1]), m[2].strip()) for line in lines if (m := HEADING.match(line))]


def sections(notebook: NotebookNode) -> list[tuple[str, list[NotebookNode]]]:
    """The notebook cut at its second-level headings; what stands before the first is named ""."""
    found: list[tuple[str, list[NotebookNode]]] = [("", [])]
    for cell in notebook.cells:
        for level, words in headings(cell):
            if level == 2:
                found.append((words, []))
        found[-1][1].append(cell)
    return found


def section(notebook: NotebookNode, title: str) -> list[NotebookNode]:
    """The cells under one second-level heading; [] where it is missing."""
    return next((cells for name, cells in sections(notebook) if name == title), [])


def items(cells: list[NotebookNode]) -> list[str]:
    """The list items in the markdown of some cells."""
    prose = "\n".join(prose_of(cell.source) for cell in cells if cell.cell_type == "markdown")
    return re.findall(r"^(?:[-*+]|\d+\.) +(.+)$", prose, re.MULTILINE)


def python_of(cell: NotebookNode) -> str:
    """A code cell's Python, its magics and shell lines blotted out."""
    return re.sub(r"^(\s*)[%!].*$", r"\1pass", cell.source, flags=re.MULTILINE)


def shown(cell: NotebookNode) -> str:
    """All that a code cell's outputs say, HTML with its tags but without embedded media."""
    textual = [c for kind, c in outputs(cell) if kind.startswith("text/") or kind == "error"]
    return re.sub(r"base64,[A-Za-z0-9+/=\s]+", "base64", "\n".join(textual))


def has_picture(cell: NotebookNode) -> bool:
    """Does it show a picture, as an image or within HTML?"""
    return bool(images(cell)) or any(
        kind == "text/html" and re.search(r"<(img|svg)\b", content)
        for kind, content in outputs(cell)
    )


# -------------------------------------------------------------------------------------- structure


@rule
def is_a_valid_notebook(notebook: NotebookNode, name: str, course: Course) -> Iterator[str]:
    """The format is valid, ids are unique, nothing but the kernel and language in the metadata."""
    ids = [cell.get("id") for cell in notebook.cells]
    if len(set(ids)) != len(ids):
        yield "two cells have one id: give each its own"
        return  # validating would repair them
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        yield f"is no valid notebook: {str(error).splitlines()[0]}"
    if extra := set(notebook.metadata) - {"kernelspec", "language_info", "accelerator", "colab"}:
        yield f"has the metadata {sorted(extra)}: remove it (make refresh does)"
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        yield "must ask for the kernel python3, which every machine has"
    if notebook.metadata.get("language_info", {}).get("name") != "python":
        yield "must say in its metadata that its language is python, else ruff reads no cell of it"


@rule
def begins_with_title_badge_and_question(
    notebook: NotebookNode, name: str, course: Course
) -> Iterator[str]:
    """The first cell: title, badge, question, and the line time · memory · download · needs."""
    first = notebook.cells[0]
    opening = [cell for cell in sections(notebook)[0][1] if "quiz" not in tags(cell)]
    number = re.match(r"[\d.]+", name)
    begins = number[0] if number else name.replace("_", " ")
    if not first.source.startswith(f"# {begins} "):
        yield f"must begin with the heading '# {begins} Title'"
    if sum(level == 1 for cell in notebook.cells for level, _ in headings(cell)) != 1:
        yield "must have one first-level heading, the title"
    link = f"{course.repository}/blob/main/{course.folder}/{quote(name)}.ipynb"
    link = link.replace("https://github.com/", "https://colab.research.google.com/github/")
    badge = f"(https://colab.research.google.com/assets/colab-badge.svg)]({link})"
    if badge not in first.source:
        yield f"the first cell must hold the Open-in-Colab badge: [![Open in Colab]{badge}"
    prose = "\n".join(cell.source for cell in opening if cell.cell_type == "markdown")
    if not re.search(r"\w\?\W*$", prose, re.MULTILINE):
        yield "must ask its one question (a line that ends in '?') before the setup"
    if not MEASURED.search(prose):
        yield (
            "must say time · memory · download · needs in a line such as "
            "'50 minutes · 0.9 GB · nothing to download · needs a CPU'"
        )


@rule
def states_three_to_five_objectives(
    notebook: NotebookNode, name: str, course: Course
) -> Iterator[str]:
    """Three to five objectives before the setup, each a verb; the recap comes back to each."""
    objectives = items([cell for cell in sections(notebook)[0][1] if "quiz" not in tags(cell)])
    if not 3 <= len(objectives) <= 5:
        yield f"must list 3 to 5 objectives before the setup, not {len(objectives)}"
    for objective in objectives:
        first = re.sub(r"\W", "", objective.split()[0]).lower()
        if first in {"a", "an", "the", "how", "what", "why", "to", "you", "understanding"}:
            yield f"an objective begins with a verb, not with {first!r}: {objective[:60]!r}"
    recap = items([cell for cell in section(notebook, "Recap") if "quiz" not in tags(cell)])
    if len(recap) < len(objectives):
        yield f"the recap must list the {len(objectives)} objectives in the past tense"


@rule
def keeps_the_order_of_sections(notebook: NotebookNode, name: str, course: Course) -> Iterator[str]:
    """Setup, a first result, the middle, then the fixed endings; levels are not jumped over."""
    titles = [title for title, _ in sections(notebook)[1:]]
    core = [title for title in titles if title != DEEPER]
    if core[:1] != ["Setup"] or core[-5:] != ENDING or len(core) < 8:
        yield (
            f"sections must be Setup, the first result, the middle (one or more), "
            f"{', '.join(ENDING)}; they are {', '.join(titles)}"
        )
    if len(titles) != len(set(titles)):
        yield f"two sections have one name: {', '.join(titles)}"
    if DEEPER in titles and not {"Setup", *ENDING[:-1]} <= set(titles[: titles.index(DEEPER)]):
        yield f"'{DEEPER}' comes after The Narrator, before or after the recap"
    level = 1
    for cell in notebook.cells:
        for new, words in headings(cell):
            if new > level + 1:
                yield f"the heading {words!r} jumps from level {level} to {new}"
            level = new
        lines = cell.source.splitlines() or [""]
        if any(new <= 2 for new, _ in headings(cell)) and not HEADING.match(lines[0]):
            yield f"{at(notebook, cell)}: the heading of a section begins its cell"


@rule
def has_the_one_setup_cell(notebook: NotebookNode, name: str, course: Course) -> Iterator[str]:
    """One cell tagged setup, the first code cell, the same text everywhere but for the roles."""
    found = [cell for cell in notebook.cells if "setup" in tags(cell)]
    if len(found) != 1 or found[0] is not next(iter(code_cells(notebook)), None):
        yield "must have one cell tagged 'setup', its first code cell"
    else:
        texts = [
            re.sub(r"\bsetup\([^()]*\)", "setup()", s) for s in (found[0].source, course.setup_cell)
        ]
        if texts[0].strip() != texts[1].strip():
            yield "the setup cell must be the course's own, but for the roles in setup(…)"
        if found[0] not in section(notebook, "Setup"):
            yield "the setup cell belongs under '## Setup'"


@rule
def can_begin_at_every_section(notebook: NotebookNode, name: str, course: Course) -> Iterator[str]:
    """Behind the setup cell one cell catches up; it knows what each section needs."""
    found = [cell for cell in notebook.cells if "catch-up" in tags(cell)]
    setup = next(
        (i for i, c in enumerate(notebook.cells) if "setup" in tags(c)), len(notebook.cells)
    )
    if len(found) != 1 or found[0] is not next(iter(notebook.cells[setup + 1 :]), None):
        yield "must have one cell tagged 'catch-up', right behind the setup cell"
    elif found[0].source != needs.CELL.format(name=name):
        yield f"the catch-up cell must be the course's own:\n{needs.CELL.format(name=name)}"
    elif found[0].metadata.get("needs") != needs.lines(notebook):
        yield "does not store what its sections need: make refresh, or .ci/needs.py --store"


@rule
def shows_something_within_five_code_cells(
    notebook: NotebookNode, name: str, course: Course
) -> Iterator[str]:
    """Something is seen or heard or read as a value within the first five code cells."""
    early = [c for c in code_cells(notebook) if "catch-up" not in tags(c)][:5]
    early = [cell for cell in early if "setup" not in tags(cell)]
    if not any(
        o.output_type in ("display_data", "execute_result") for c in early for o in c.outputs
    ):
        yield "the first five code cells show no result (a value, a picture, a sound)"


@rule
def keeps_to_its_size(notebook: NotebookNode, name: str, course: Course) -> Iterator[str]:
    """Core 25 to 40 cells (see MOST), quiz and catch-up apart; deeper 25; code 20 lines."""
    deeper, most = len(section(notebook, DEEPER)), MOST.get(name.split()[0], 40)
    core = sum(not {"quiz", "catch-up"} & set(tags(cell)) for cell in notebook.cells) - deeper
    if not 25 <= core <= most:
        yield f"the core must have 25 to {most} cells, not {core}"
    if deeper > 25:
        yield f"'{DEEPER}' must have at most 25 cells, not {deeper}"
    for cell in code_cells(notebook):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        if len(lines) > 20:
            yield f"{at(notebook, cell)} has {len(lines)} lines of code; at most 20"
    size = len(nbformat.writes(notebook).encode())
    if size > 2_000_000:
        yield f"is {size / 1e6:.1f} MB with its outputs; at most 2 MB"


@rule
def has_prose_before_code(notebook: NotebookNode, name: str, course: Course) -> Iterator[str]:
    """Words before every code cell (but a self-check or catch-up), and words at the end."""
    for before, cell in pairwise(notebook.cells):
        follows = {("exercise", "self-check"), ("setup", "catch-up")}
        follows_well = any(one in tags(before) and two in tags(cell) for one, two in follows)
        if cell.cell_type != "code" or follows_well:
            continue
        words = CAPTION.sub(
            "", re.sub(r"<details>.*?</details>", "", before.source, flags=re.DOTALL)
        )
        words = "\n".join(line for line in words.splitlines() if not HEADING.match(line))
        if before.cell_type != "markdown" or len(words.strip()) < 20:
            yield f"{at(notebook, cell)}: say in the cell before what to expect"
    if notebook.cells[-1].cell_type != "markdown":
        yield "must end in words, not in code"


@rule
def has_slides(notebook: NotebookNode, name: str, course: Course) -> Iterator[str]:
    """Every cell has its place in the deck, and the instructor has notes."""
    kinds = [cell.metadata.get("slideshow", {}).get("slide_type") for cell in notebook.cells]
    for cell, kind in zip(notebook.cells, kinds, strict=True):
        if kind not in SLIDES:
            yield f"{at(notebook, cell)}: slide_type {kind!r}, not {', '.join(sorted(SLIDES))}"
        if unknown := set(tags(cell)) - TAGS:
            yield f"{at(notebook, cell)} has the unknown tag {', '.join(sorted(unknown))}"
    if kinds[0] != "slide":
        yield "the title must be a slide"
    if "notes" not in kinds:
        yield "must have speaker notes: at least one cell with slide_type 'notes'"


@rule
def has_two_paths_that_can_be_walked(
    notebook: NotebookNode, name: str, course: Course
) -> Iterator[str]:
    """The tags path-50 and path-90 are on headings; a path holds all the code that it needs."""
    for tag, paths in needs.PATHS.items():
        tagged = [cell for cell in notebook.cells if tag in tags(cell)]
        if not tagged:
            yield f"has no cell tagged '{tag}': no path of {paths[0]} minutes"
        for cell in tagged:
            if not any(level in (2, 3) for level, _ in headings(cell)):
                yield f"{at(notebook, cell)}: '{tag}' belongs on the cell with a section's heading"
            if len(set(needs.PATHS) & set(tags(cell))) > 1:
                yield f"{at(notebook, cell)} has both tags: 'path-50' says that it is on 90, too"
    for minutes in sorted({minutes for paths in needs.PATHS.values() for minutes in paths}):
        for id_, names in needs.off_path(notebook, minutes).items():
            cell = next(cell for cell in notebook.cells if cell.id == id_)
            lacking = ", ".join(sorted(names))
            yield f"{at(notebook, cell)} binds {lacking}: needed in {minutes} minutes, yet off path"


# ---------------------------------------------------------------------------------- words and code


@rule
def has_text_for_every_picture_and_sound(
    notebook: NotebookNode, name: str, course: Course
) -> Iterator[str]:
    """Under every picture a line says what is seen; every player says what is heard."""
    for cell, after in pairwise([*notebook.cells, nbformat.v4.new_markdown_cell()]):
        if cell.cell_type == "markdown":
            if re.search(r"!\[\s*\]\(", cell.source):
                yield f"{at(notebook, cell)}: a picture without alt text, ![…](…)"
            continue
        if has_picture(cell) and not (
            after.cell_type == "markdown" and CAPTION.search(after.source)
        ):
            yield (
                f"{at(notebook, cell)} shows a picture: the markdown cell right after needs a line "
                f"'*Figure: what is seen, in 40 characters or more*'"
            )
        html = [content for kind, content in outputs(cell) if kind == "text/html"]
        for tag in re.findall(r"<img\b[^>]*>", "".join(html)):
            if not re.search(r"\balt=(['\"])[^'\"]{10,}\1", tag):
                yield f"{at(notebook, cell)}: an <img> without alt text"
        if "<audio" in "".join(html) and len(text(cell).replace("[audio]", "").strip()) < 5:
            yield f"{at(notebook, cell)}: a player must say what is heard (media.play's transcript)"


@rule
def has_plain_code(notebook: NotebookNode, name: str, course: Course) -> Iterator[str]:
    """No branch on the tier, bare except, silenced warnings, or installing."""
    for cell in code_cells(notebook):
        where = at(notebook, cell)
        try:
            tree = ast.parse(python_of(cell))
        except SyntaxError as error:
            yield f"{where} is no Python: {error.msg}"
            continue
        yield from (f"{where}: {what}" for what in _code_smells(tree))
        if "setup" not in tags(cell) and re.search(
            r"\b(pip3?|uv|conda|apt(-get)?) +install\b", cell.source
        ):
            yield f"{where}: only the setup cell may install anything"


def _code_smells(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        tests = [
            *getattr(node, "ifs", []),
            getattr(node, "test", None),
            getattr(node, "subject", None),
        ]
        if not isinstance(node, ast.Assert) and any(
            "tier" in ast.unparse(t).lower() for t in tests if t
        ):
            yield "branches on the tier; what differs by tier is data, in helpers/catalog.toml"
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield "a bare except; name the exception"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            narrow = len(node.args) > 1 or any(k.arg == "message" for k in node.keywords)
            ignores = node.args and ast.unparse(node.args[0]) == "'ignore'"
            if ignores and (
                called == "simplefilter" or (called == "filterwarnings" and not narrow)
            ):
                yield "silences every warning; filter one message by its text and say why"


@rule
def has_no_commented_out_code(notebook: NotebookNode, name: str, course: Course) -> Iterator[str]:
    """As ruff sees it (its rule ERA001)."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "ERA001"]
    command += ["--output-format", "json", "--stdin-filename", "notebook.ipynb", "-"]
    run = subprocess.run(
        command, input=nbformat.writes(notebook), capture_output=True, encoding="utf-8", check=False
    )
    if run.returncode > 1:
        raise RuntimeError(f"ruff could not read the notebook: {run.stderr.strip()}")
    for found in json.loads(run.stdout):
        cell = notebook.cells[found["cell"] - 1]
        yield f"{at(notebook, cell)}, line {found['location']['row']}: commented-out code"


@rule
def has_no_filler(notebook: NotebookNode, name: str, course: Course) -> Iterator[str]:
    """Short sentences, no hype."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for found in re.findall(rf"\b(?:{FILLER})\b", prose_of(cell.source), re.IGNORECASE):
                yield f"{at(notebook, cell)}: {found!r} says nothing; cut it"


@rule
def has_only_links_that_lead_somewhere(
    notebook: NotebookNode, name: str, course: Course
) -> Iterator[str]:
    """A link to a file leads to one in notebooks/ or assets/: a notebook runs from those alone."""
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        for link in re.findall(r"\]\(<?([^)#>\"]+?)>?(?:#[^)]*)?\)", prose_of(cell.source)):
            if re.match(r"[a-z]+:", link):
                continue
            file = (course.root / course.folder / unquote(link.strip())).resolve()
            inside = any(
                file.is_relative_to((course.root / p).resolve()) for p in ("notebooks", "assets")
            )
            if not inside or not file.exists():
                yield f"{at(notebook, cell)}: {link!r} leads to no file of notebooks/ or assets/"
        for term in re.findall(r"glossary\.md#([^)]*)\)", prose_of(cell.source)):
            if f'<a id="{term}"></a>' not in (course.root / "assets/glossary.md").read_text(
                "utf-8"
            ):
                yield f"{at(notebook, cell)}: the glossary has no term {term!r}"


# ------------------------------------------------------------------------------- the fixed endings


@rule
def says_what_is_real_and_what_it_costs(
    notebook: NotebookNode, name: str, course: Course
) -> Iterator[str]:
    """By hand equals the library; the paper; what is real here; licence, memory, bias."""
    if not any("assert" in cell.source for cell in code_cells(notebook)):
        yield "must assert that what was done by hand equals the library's answer"
    everything = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    if not re.search(
        r"\(https://(arxiv|aclanthology|doi|openreview|proceedings|papers|www\.isca)", everything
    ):
        yield "must name the paper, with its year and a link"
    real = section(notebook, "The real one")
    lines = [line for cell in real for line in cell.source.lower().splitlines()]
    if real and not any(
        all(word in line for word in ("architecture", "weights", "data"))
        and re.search(r"\b(yes|no)\b", line)
        for line in lines
    ):
        yield "'The real one' must say in one line, yes or no each: architecture, weights, data"
    limits = section(notebook, "Limits")
    said = "\n".join(cell.source + text(cell) for cell in limits).lower()
    for word in ("licence", "fp32", "bf16", "int8", "bias"):
        if limits and word not in said:
            yield f"'Limits' must speak of {word}"


@rule
def has_three_exercises(notebook: NotebookNode, name: str, course: Course) -> Iterator[str]:
    """Three, each a prompt, `answer = ...`, its self-check, and the solution folded away."""
    cells = section(notebook, "Exercises")
    found = [cell for cell in notebook.cells if "exercise" in tags(cell)]
    if len(found) != 3 or not all(any(cell is other for other in cells) for cell in found):
        yield f"must have three cells tagged 'exercise' under '## Exercises', not {len(found)}"
    complete = exercises_of(notebook)
    for cell in found:
        where = at(notebook, cell)
        if not re.search(r"^answer = \.\.\.", cell.source, re.MULTILINE):
            yield f"{where}: an exercise cell holds 'answer = ...'"
        exercise = next((e for e in complete if e.answer is cell), None)
        if not exercise:
            yield f"{where}: the next cell must be tagged 'self-check' and be check.<name>(answer)"
        elif not exercise.solution:
            yield (
                f"{where}: no solution below: <details><summary>Solution</summary>, a blank line, "
                f"a ```python block, a blank line, </details>"
            )
        elif not assigns_answer(exercise.solution):
            yield f"{where}: its solution must assign 'answer'"
    if sum("self-check" in tags(cell) for cell in notebook.cells) != len(complete):
        yield "every cell tagged 'self-check' follows a cell tagged 'exercise'"
    if sum(len(SOLUTION.findall(cell.source)) for cell in cells) > len(found):
        yield "there are more solutions than exercises"


@rule
def asks_before_and_after(notebook: NotebookNode, name: str, course: Course) -> Iterator[str]:
    """Two predictions before the setup, three questions after the recap; each option explained."""
    for place, cells, count in (
        ("before '## Setup'", sections(notebook)[0][1], 2),
        ("after '## Recap'", section(notebook, "Recap"), 3),
    ):
        text = "\n".join(cell.source for cell in cells if "quiz" in tags(cell))
        questions = re.split(r"^\*\*\d\. ", text, flags=re.MULTILINE)[1:]
        if len(questions) != count:
            yield f"{place} a cell tagged 'quiz' asks {count} questions, not {len(questions)}"
        for question in questions:
            asked, _, folded = question.partition("<details>")
            options = re.findall(r"^- \*\*([a-d])\.\*\* ", asked, re.MULTILINE)
            right = re.findall(r"^\*\*([a-d])\.\*\* \S", folded, re.MULTILINE)
            wrong = re.findall(r"^- \*\*([a-d])\*\* \S", folded, re.MULTILINE)
            if not 3 <= len(options) <= 4 or len(right) != 1 or sorted(right + wrong) != options:
                yield f"explain one right option and each wrong one of {question[:50]!r}"


@rule
def imports_nothing_in_vain(notebook: NotebookNode, name: str, course: Course) -> Iterator[str]:
    """Each import but the setup cell's is used: importing takes longer than most cells."""
    trees = {cell.id: ast.parse(python_of(cell)) for cell in code_cells(notebook)}
    used = {n.id for tree in trees.values() for n in ast.walk(tree) if isinstance(n, ast.Name)}
    for cell in code_cells(notebook):
        for node in [] if "setup" in tags(cell) else ast.walk(trees[cell.id]):
            for one in node.names if isinstance(node, ast.Import | ast.ImportFrom) else ():
                if (bound := (one.asname or one.name).partition(".")[0]) not in used:
                    yield f"{at(notebook, cell)} imports {bound} and never uses it"


@rule
def adds_one_function_to_the_narrator(
    notebook: NotebookNode, name: str, course: Course
) -> Iterator[str]:
    """One function of at most 15 lines, word for word the one in the app."""
    found = [cell for cell in section(notebook, "The Narrator") if "narrator" in tags(cell)]
    if len(found) != 1 or sum("narrator" in tags(cell) for cell in notebook.cells) != 1:
        yield "must have one cell tagged 'narrator', under '## The Narrator'"
        return
    functions = _functions(python_of(found[0]))
    if len(functions) != 1:
        yield f"the narrator cell must define one function, not {len(functions)}"
    for function, source in functions.items():
        if (lines := len(source.splitlines())) > 15:
            yield f"{function} has {lines} lines; at most 15"
        if _functions(course.narrator).get(function) != source:
            yield f"{function} must stand in assets/apps/narrator/app.py, word for word"


def _functions(source: str) -> dict[str, str]:
    """The functions a source defines at its top, by name, decorators included."""
    lines, found = source.splitlines(), {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            start = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            found[node.name] = "\n".join(lines[start - 1 : node.end_lineno])
    return found


# --------------------------------------------------------------------------------- stored outputs


@rule
def stores_a_clean_run(notebook: NotebookNode, name: str, course: Course) -> Iterator[str]:
    """Counts 1..N; no error, stderr, warning, widget, time stamp, machine's path or key."""
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"must be stored from one run, top to bottom; its counts are {counts}"
    for cell in notebook.cells:
        where, said = at(notebook, cell), ""
        if cell.cell_type == "code":
            said = shown(cell)
            kinds = {kind for kind, _ in outputs(cell)}
            if "error" in kinds:
                yield f"{where} has stored an error"
            if "text/stderr" in kinds:
                yield f"{where} has stored words on stderr"
            if re.search(r"\b\w*Warning\b ?:", said):
                yield f"{where} has stored a warning"
            if any(WIDGET in output.get("data", {}) for output in cell.outputs):
                yield f"{where} has stored a widget, which GitHub cannot show"
        if "execution" in cell.metadata:
            yield f"{where} has stored when it ran"
        for path in ABSOLUTE.findall(cell.source + "\n" + said):
            yield f"{where} holds a path of one machine: {path}"
        for owner, pattern in KEYS.items():
            if re.search(pattern, cell.source + "\n" + said):
                yield f"{where} holds what looks like a key of {owner}: revoke it, then remove it"
