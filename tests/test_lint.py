"""Each rule for notebooks lets a good one pass and catches a broken one."""

import copy
import io
from base64 import b64encode
from collections.abc import Callable

import lint
import needs
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from outputs import WIDGET
from PIL import Image

NAME = "2.2. A_Good_One"
BADGE = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/someone/course/blob/main/notebooks/2.2.%20A_Good_One.ipynb)"
)
SETUP = "from helpers import check, setup\n\ndevice = setup()"
FUNCTION = 'def count(boxes):\n    """How many."""\n    return len(boxes)'
CAPTION = "*Figure: two groups of points, far from each other, each named.*"
PROSE = "Here is what to expect from the cell that follows."


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    root = tmp_path_factory.mktemp("course")
    (root / "notebooks").mkdir()
    (root / "assets").mkdir()
    (root / "assets/glossary.md").write_text('<a id="near"></a>**near**: not far.\n')
    (root / "notebooks" / f"{NAME}.ipynb").touch()
    app = f"import gradio\n\n\n{FUNCTION}\n\n\ndef other():\n    return 1\n"
    return lint.Course("https://github.com/someone/course", SETUP, app, root)


def markdown(text: str, slide: str = "fragment") -> NotebookNode:
    return new_markdown_cell(text, metadata={"slideshow": {"slide_type": slide}})


def code(source: str, *tags: str, output: NotebookNode | None = None) -> NotebookNode:
    metadata = {"slideshow": {"slide_type": "fragment"}, "tags": list(tags)}
    return new_code_cell(source, metadata=metadata, outputs=[output] if output else [])


def value(text: str, kind: str = "text/plain") -> NotebookNode:
    return new_output("execute_result", data={kind: text})


def stream(text: str, name: str = "stdout") -> NotebookNode:
    return new_output("stream", name=name, text=text)


def picture(width: int = 40) -> NotebookNode:
    Image.new("RGB", (width, 30)).save(buffer := io.BytesIO(), "png")
    return new_output("display_data", data={"image/png": b64encode(buffer.getvalue()).decode()})


def quiz(questions: int) -> NotebookNode:
    text = "".join(
        f"**{number}. Which?**\n\n- **a.** one\n- **b.** two\n- **c.** three\n\n"
        "<details><summary>Answer</summary>\n\n**b.** Because.\n\n"
        "- **a** is wrong: no.\n- **c** is wrong: no.\n\n</details>\n\n"
        for number in range(1, questions + 1)
    )
    cell = markdown(text)
    cell.metadata["tags"] = ["quiz"]
    return cell


def good() -> NotebookNode:
    """The smallest notebook that keeps every rule."""
    cells = [
        markdown(f"# 2.2. A good one\n\n{BADGE}\n\n**How near is near?**\n\n"
                 "50 minutes · 0.9 GB of memory · no download · needs no GPU", "slide"),
        markdown("You will\n\n- turn words into vectors\n- measure them\n- search with them"),
        markdown("Say what a vector is before you start.", "notes"),
        quiz(2),
        markdown(f"## Setup\n\n{PROSE}", "slide"),
        code(SETUP.replace("setup()", 'setup("embedder")'), "setup", output=stream("tier micro")),
        markdown(f"## Guess first\n\n{PROSE}", "slide"),
        code("1 + 1", output=value("2")),
        markdown(f"## How it works\n\n{PROSE} [2019](https://arxiv.org/abs/1908.10084)"),
        code("plot()", output=picture()),
        markdown(f"{CAPTION}\n\nNear is alike."),
        markdown(f"{PROSE} See [this page](2.2.%20A_Good_One.ipynb) again."),
        code("assert by_hand == library"),
        markdown("## The real one\n\nArchitecture: yes. Weights: yes. Data: yes.", "slide"),
        markdown("## Limits\n\nLicence MIT; 90 MB in fp32, 45 in bf16, 23 in int8. It has a bias."),
        markdown("## Exercises", "slide"),
    ]  # fmt: skip
    for number in range(3):
        folded = f"```python\nanswer = {number}\n```"
        cells += [
            markdown(f"### {number}\n\n{PROSE}"),
            code("answer = ...", "exercise"),
            code(f"check.exercise_{number}(answer)", "self-check", output=stream("Hint: count")),
            markdown(f"<details><summary>Solution</summary>\n\n{folded}\n\n</details>"),
        ]
    cells += [
        markdown(f"## The Narrator\n\n{PROSE}", "slide"),
        code(FUNCTION, "narrator"),
        markdown("## Recap\n\n- You turned\n- You measured\n- You searched", "slide"),
        quiz(3),
        markdown(f"## Deeper (optional)\n\n{PROSE}", "slide"),
        code("2 + 2", output=value("4")),
        markdown("Four, as always."),
    ]
    notebook = new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    notebook.metadata.language_info = {"name": "python"}
    for fragment, tag in (("## Guess", "path-50"), ("## How it", "path-90"), ("### 0", "path-90")):
        find(notebook, fragment).metadata["tags"] = [tag]
    return needs.with_catch_up(notebook, NAME)


def find(notebook: NotebookNode, fragment: str) -> NotebookNode:
    return next(cell for cell in notebook.cells if fragment in cell.source)


def swap(old: str, new: str) -> Callable[[NotebookNode], None]:
    """Replace `old` in the first cell that holds it."""

    def change(notebook: NotebookNode) -> None:
        cell = find(notebook, old)
        cell.source = cell.source.replace(old, new)

    return change


def show(output: NotebookNode, fragment: str = "1 + 1") -> Callable[[NotebookNode], None]:
    """Give the cell that holds `fragment` one output."""
    return lambda notebook: find(notebook, fragment).update(outputs=[output])


def drop(fragment: str) -> Callable[[NotebookNode], None]:
    return lambda notebook: notebook.cells.remove(find(notebook, fragment))


def set_metadata(fragment: str, **metadata: object) -> Callable[[NotebookNode], None]:
    return lambda notebook: find(notebook, fragment).metadata.update(metadata)


def add(count: int, fragment: str) -> Callable[[NotebookNode], None]:
    """Insert `count` cells of prose after the cell that holds `fragment`."""

    def change(notebook: NotebookNode) -> None:
        at = notebook.cells.index(find(notebook, fragment)) + 1
        notebook.cells[at:at] = [markdown(f"{PROSE} {number}") for number in range(count)]

    return change


def move(fragment: str, before: str) -> Callable[[NotebookNode], None]:
    def change(notebook: NotebookNode) -> None:
        notebook.cells.remove(cell := find(notebook, fragment))
        notebook.cells.insert(notebook.cells.index(find(notebook, before)), cell)

    return change


def add_solution(notebook: NotebookNode) -> None:
    solution = copy.deepcopy(find(notebook, "<summary>Solution"))
    solution.id = "another"
    notebook.cells.insert(notebook.cells.index(find(notebook, "## The Narrator")), solution)


TWENTY_ONE = "\n".join(f"x{n} = {n}" for n in range(21))
SIXTEEN = FUNCTION.replace("    return", "    boxes += []\n" * 13 + "    return")
KEY = "AI" + "za" + "B" * 35  # in two halves, so that no scanner takes this file for a leak

# rule -> (what is done to the good notebook, a fragment of what the rule says)
BROKEN: dict[str, list[tuple[Callable[[NotebookNode], object], str]]] = {
    "is_a_valid_notebook": [
        (lambda nb: nb.cells[1].update(id=nb.cells[0].id), "one id"),
        (lambda nb: nb.cells[1].update(id="a b"), "no valid notebook"),
        (lambda nb: nb.metadata.update(widgets={}), "['widgets']"),
        (lambda nb: nb.metadata.kernelspec.update(name="my-env"), "kernel python3"),
        (lambda nb: nb.metadata.pop("language_info"), "its language is python"),
    ],
    "begins_with_title_badge_and_question": [
        (swap("# 2.2. A", "# 2.3. A"), "'# 2.2. Title'"),
        (swap("Near is", "# Near is"), "one first-level heading"),
        (swap("2.2.%20A", "2.3.%20A"), "Open-in-Colab badge"),
        (swap("someone/course", "another/course"), "Open-in-Colab badge"),
        (swap("near?", "near."), "one question"),
        (swap("50 minutes ·", "A while ·"), "time · memory · download · needs"),
        (swap("no download · ", ""), "time · memory · download · needs"),
    ],
    "states_three_to_five_objectives": [
        (swap("\n- measure them", ""), "3 to 5 objectives before the setup, not 2"),
        (swap("- measure", "- the measure of"), "begins with a verb"),
        (swap("\n- You measured", ""), "the recap must list the 3"),
    ],
    "keeps_the_order_of_sections": [
        (swap("## Limits", "## Bounds"), "sections must be"),
        (move("## Limits", before="## The real one"), "sections must be"),
        (swap("## How it works\n", "### How it works\n"), "the middle (one or more)"),
        (move("## Deeper", before="## Limits"), "comes after The Narrator"),
        (swap("## How it works", "## Guess first"), "two sections have one name"),
        (swap("### 0", "#### 0"), "jumps from level 2 to 4"),
        (swap("## Limits", "By the way\n\n## Limits"), "begins its cell"),
    ],
    "has_the_one_setup_cell": [
        (set_metadata("device = setup", tags=[]), "one cell tagged 'setup'"),
        (set_metadata("1 + 1", tags=["setup"]), "one cell tagged 'setup'"),
        (swap("import check, setup", "import setup"), "the course's own"),
        (move("## Setup", before="## How it"), "under '## Setup'"),
    ],
    "can_begin_at_every_section": [
        (drop("catch_up("), "one cell tagged 'catch-up'"),
        (move("catch_up(", before="## How it"), "right behind the setup cell"),
        (swap('A_Good_One", section', 'Another", section'), "the course's own"),
        (swap("1 + 1", "by_hand = 1"), "does not store"),  # a later section reads it
        (swap("## How it works", "## How it all works"), "does not store"),
    ],
    "shows_something_within_five_code_cells": [
        (lambda nb: [c.update(outputs=[stream("2")]) for c in lint.code_cells(nb)], "no result"),
    ],
    "keeps_to_its_size": [
        (add(14, "Near is alike"), "25 to 40 cells, not 44"),
        (lambda nb: nb.cells.__delitem__(slice(7, 13)), "25 to 40 cells, not 24"),
        (add(24, "## Deeper"), "at most 25 cells, not 27"),
        (swap("1 + 1", TWENTY_ONE), "21 lines of code"),
        (show(stream("a" * 2_000_001)), "2.0 MB"),
    ],
    "asks_before_and_after": [
        (swap("**2. Which?", "**Which?"), "before '## Setup' a cell tagged 'quiz' asks 2"),
        (swap("**3. Which?", "**Which?"), "after '## Recap' a cell tagged 'quiz' asks 3"),
        (swap("- **c** is wrong: no.", ""), "explain one right option"),
        (swap("**b.** Because.", "Because."), "explain one right option"),
        (swap("- **c.** three\n", ""), "explain one right option"),
    ],
    "has_prose_before_code": [
        (drop("See [this page]"), "say in the cell before"),
        (swap(f"## Guess first\n\n{PROSE}", "## Guess first"), "say in the cell before"),
        (lambda nb: nb.cells.pop(), "must end in words"),
    ],
    "has_slides": [
        (set_metadata("1 + 1", slideshow={}), "slide_type None"),
        (set_metadata("1 + 1", slideshow={"slide_type": "page"}), "slide_type 'page'"),
        (set_metadata("1 + 1", tags=["exercice"]), "unknown tag exercice"),
        (set_metadata("# 2.2.", slideshow={"slide_type": "skip"}), "title must be a slide"),
        (set_metadata("Say what", slideshow={"slide_type": "skip"}), "speaker notes"),
    ],
    "has_two_paths_that_can_be_walked": [
        (set_metadata("## Guess", tags=[]), "no path of 50 minutes"),
        (lambda nb: [c.metadata.update(tags=[]) for c in nb.cells], "no path of 90 minutes"),
        (set_metadata("1 + 1", tags=["path-50"]), "on the cell with a section's heading"),
        (set_metadata("## Guess", tags=["path-50", "path-90"]), "has both tags"),
        (
            lambda nb: (
                swap("plot()", "x = 1")(nb),
                set_metadata("### 0", tags=["path-50"])(nb),
                swap("answer = ...", "x")(nb),
            ),
            "('x = 1') binds x: needed in 50 minutes",
        ),
    ],
    "has_text_for_every_picture_and_sound": [
        (swap("*Figure: two groups", "Two groups"), "shows a picture"),
        (swap("far from each other, each named", "far"), "40 characters or more"),
        (show(picture()), "shows a picture"),
        (show(value("<img src='data:,'>", "text/html")), "an <img> without alt text"),
        (show(value("<audio src='data:,'></audio>", "text/html")), "say what is heard"),
        (swap("Near is alike", "![](map.png)"), "without alt text"),
    ],
    "has_plain_code": [
        (swap("1 + 1", "if tier == 'micro':\n    x = 1"), "branches on the tier"),
        (swap("1 + 1", "x = 1 if os.environ['COURSE_TIER'] else 2"), "branches on the tier"),
        (swap("1 + 1", "match session.tier:\n    case _:\n        pass"), "branches on the tier"),
        (swap("1 + 1", "try:\n    x = 1\nexcept:\n    x = 2"), "a bare except"),
        (swap("1 + 1", "warnings.filterwarnings('ignore')"), "silences every warning"),
        (swap("1 + 1", "warnings.filterwarnings('ignore', category=Warning)"), "silences every"),
        (swap("1 + 1", "warnings.simplefilter('ignore')"), "silences every warning"),
        (swap("1 + 1", "!pip install torch"), "only the setup cell may install"),
        (swap("1 + 1", "%pip install torch"), "only the setup cell may install"),
        (swap("1 + 1", "1 +"), "is no Python"),
    ],
    "has_no_commented_out_code": [
        (swap("1 + 1", "1 + 1\n# x = f(1)"), "cell 9 ('1 + 1'), line 2: commented-out code"),
    ],
    "has_no_filler": [
        (swap("Near is alike", "Simply delve into this powerful idea"), "'powerful' says nothing"),
        (swap("Near is alike", "Of course, near is alike"), "'Of course' says nothing"),
    ],
    "has_only_links_that_lead_somewhere": [
        (swap("(2.2.%20A_Good_One.ipynb)", "(2.3.%20Next.ipynb)"), "leads to no file"),
        (swap("(2.2.%20A_Good_One.ipynb)", "(../README.md)"), "leads to no file"),
        (swap("(2.2.%20A_Good_One.ipynb)", "(../assets/glossary.md#no-term)"), "has no term"),
    ],
    "says_what_is_real_and_what_it_costs": [
        (swap("assert by_hand", "by_hand"), "done by hand"),
        (swap("https://arxiv.org", "https://a-blog.com"), "name the paper"),
        (swap("Weights: yes. ", ""), "architecture, weights, data"),
        (swap("45 in bf16", "45 in half"), "must speak of bf16"),
        (swap("It has a bias", "It is fair"), "must speak of bias"),
    ],
    "has_three_exercises": [
        (set_metadata("answer = ...", tags=[]), "three cells tagged 'exercise'"),
        (move("## Exercises", before="## The Narrator"), "under '## Exercises'"),
        (swap("answer = ...", "answer = 1"), "holds 'answer = ...'"),
        (set_metadata("check.exercise_1", tags=[]), "must be tagged 'self-check'"),
        (swap("check.exercise_1(answer)", "print(answer)"), "must be tagged 'self-check'"),
        (swap("<summary>Solution", "<summary>Hint"), "no solution below"),
        (swap("</summary>\n\n```", "</summary>\n```"), "no solution below"),
        (swap("answer = 1\n", "result = 1\n"), "must assign 'answer'"),
        (set_metadata("2 + 2", tags=["self-check"]), "follows a cell tagged 'exercise'"),
        (add_solution, "more solutions than exercises"),
    ],
    "imports_nothing_in_vain": [
        (swap("2 + 2", "import json\n\n2 + 2"), "imports json and never uses it"),
        (swap("2 + 2", "from json import dumps as written\n\n2 + 2"), "imports written and never"),
    ],
    "adds_one_function_to_the_narrator": [
        (set_metadata("def count", tags=[]), "one cell tagged 'narrator'"),
        (set_metadata("1 + 1", tags=["narrator"]), "one cell tagged 'narrator'"),
        (swap("def count", "def first():\n    pass\n\n\ndef count"), "one function, not 2"),
        (swap(FUNCTION, SIXTEEN), "16 lines; at most 15"),
        (swap("How many.", "How much."), "word for word"),
        (swap("def count", "@cache\ndef count"), "word for word"),
    ],
    "stores_a_clean_run": [
        (lambda nb: find(nb, "1 + 1").update(execution_count=7), "its counts are [1, 2, 7,"),
        (lambda nb: find(nb, "1 + 1").update(execution_count=None), "its counts are [1, 2, None,"),
        (show(new_output("error", ename="KeyError", evalue="1", traceback=[])), "stored an error"),
        (show(stream("Loading", "stderr")), "words on stderr"),
        (show(stream("UserWarning: slow")), "stored a warning"),
        (show(new_output("display_data", data={WIDGET: {}})), "stored a widget"),
        (set_metadata("1 + 1", execution={}), "stored when it ran"),
        (show(value("'/home/ann/course'")), "path of one machine: /home/ann/course"),
        (show(value("<img src='/tmp/a.png'>", "text/html")), "path of one machine: /tmp/a.png"),
        (swap("1 + 1", r"open('C:\\Users\\ann\\a.txt')"), "path of one machine"),
        (swap("1 + 1", f"key = '{KEY}'"), "a key of Google"),
        (show(stream("token: hf_" + "a" * 34)), "a key of Hugging Face"),
    ],
}


def breaches(rule: str, notebook: NotebookNode, course: lint.Course) -> list[str]:
    if rule == "has_no_commented_out_code":
        pytest.importorskip("ruff", reason="ruff is not installed (.ci/requirements-test.txt)")
    return list(lint.RULES[rule](notebook, NAME, course))


@pytest.mark.parametrize("rule", lint.RULES)
def test_a_good_notebook_passes(rule, course):
    assert breaches(rule, good(), course) == []


@pytest.mark.parametrize(
    ("rule", "change", "says"),
    [(rule, *case) for rule, cases in BROKEN.items() for case in cases],
    ids=[f"{rule}-{n}" for rule, cases in BROKEN.items() for n in range(len(cases))],
)
def test_a_broken_notebook_is_caught(rule, change, says, course):
    notebook = good()
    change(notebook)
    assert says in "\n".join(breaches(rule, notebook, course))


def test_every_rule_is_broken_by_an_example():
    assert set(BROKEN) == set(lint.RULES)


def test_what_looks_like_a_breach_but_is_none_passes(course):
    notebook = good()
    swap("1 + 1", "warnings.filterwarnings('ignore', message='All support')\nassert tier")(notebook)
    swap("Near is alike", "`simply` is quoted; [the web](https://x.org/home/a)")(notebook)
    safe = "16/03/2026, 1/2, https://a.org/tmp/b, ./var/lib, base64,AA+/tmp/AA=="
    show(value(safe), "assert tier")(notebook)
    for rule in lint.RULES.keys() - {"has_no_commented_out_code"}:
        assert breaches(rule, notebook, course) == []


def test_chapter_one_may_have_sixty_cells_and_the_recap_may_come_last(course):
    notebook = good()
    add(30, "Near is alike")(notebook)
    assert list(lint.keeps_to_its_size(notebook, "1. Using", course)) == []
    notebook = good()
    move("## Recap", before="Four, as always")(notebook)
    assert breaches("keeps_the_order_of_sections", notebook, course) == []
