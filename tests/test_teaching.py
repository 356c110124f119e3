"""The instructor's pack agrees with the notebooks as they are now."""

import re

import nbformat
import needs
import pytest
from conftest import ROOT
from exercises import exercises_of
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from outputs import code_cells, tags, text
from restart import titles
from test_notebooks import PATHS, each_notebook
from wrong_answers import WRONG

PACK = ROOT / "assets/teaching"
ROW = re.compile(r"^\| (?P<short>\d+|–) \| (?P<long>\d+) \| (?P<section>.+?) \| (.+?) \| (.+) \|$")
PARTS = ["Before the class", "The two paths, in minutes", "What they get wrong"]
PARTS += ["When something fails"]


def number(name):
    return re.match(r"[\d.]+?(?=\. )", name)[0]


def sheet(name):
    return (PACK / f"Run_sheet_{number(name)}.md").read_text("utf-8")


def rows(name):
    """The table's rows as (minutes of 50 or 0, minutes of 90, titles)."""
    found = [ROW.match(line) for line in sheet(name).splitlines()]
    return [
        (int(m["short"].replace("–", "0")), int(m["long"]), m["section"].split(" · "))
        for m in found
        if m
    ]


def on_the_way(name):
    """The sections that run in 50 minutes without being shown."""
    line = re.search(r"^In the 50 minutes run (.+) on the way", sheet(name), re.MULTILINE)
    return re.findall(r"\*(.+?)\*", line[1]) if line else []


def part(name, title):
    return re.search(rf"^## {title}\n\n(.*?)(?=\n## |\Z)", sheet(name), re.DOTALL | re.MULTILINE)[1]


@pytest.fixture(scope="module")
def notebooks():
    return {name: nbformat.read(path, as_version=4) for name, path in PATHS.items()}


def test_every_notebook_has_its_run_sheet_and_the_front_page_lists_them(notebooks):
    front = (PACK / "README.md").read_text("utf-8")
    sheets = {f"Run_sheet_{number(name)}.md" for name in notebooks}
    assert {path.name for path in PACK.glob("Run_sheet_*.md")} == sheets
    assert set(re.findall(r"\((Run_sheet_\S+\.md)\)", front)) == sheets
    assert {path.name for path in PACK.iterdir()} - sheets == {
        "README.md", "Capstone.md", "Class_servers.md", "Quiz_before_and_after.md",
    }  # fmt: skip


@each_notebook
def test_a_run_sheet_has_its_parts(name, notebooks):
    title = re.match(r"# (.+)", notebooks[name].cells[0].source)[1]
    assert sheet(name).startswith(f"# {title}: run sheet\n\nAfterwards the class can ")
    assert re.findall(r"^## (.+)$", sheet(name), re.MULTILINE) == PARTS
    assert 4 <= len(re.findall(r"^- ", part(name, "What they get wrong"), re.MULTILINE)) <= 6
    fails = part(name, "When something fails")
    assert fails.startswith("- **The network dies**: ")
    assert f'`catch_up("{name}", section="…")`' in fails


@each_notebook
def test_the_minutes_of_the_two_paths_add_up(name):
    short, long, _ = zip(*rows(name), strict=True)
    assert (sum(short), sum(long)) == (50, 90)
    assert all(few <= many for few, many in zip(short, long, strict=True))


@each_notebook
def test_the_table_names_sections_of_the_notebook_in_their_order(name, notebooks):
    words = "\n".join(c.source for c in notebooks[name].cells if c.cell_type == "markdown")
    headings = re.findall(r"^#{1,3} (.+)$", words, re.MULTILINE)
    named = [title for _, _, some in rows(name) for title in some]
    assert [title for title in [*named, *on_the_way(name)] if title not in headings] == []
    assert [headings.index(title) for title in named] == sorted(map(headings.index, named))


@each_notebook
def test_the_table_and_the_tags_are_of_one_mind(name, notebooks):
    cells = {title: cell for cell in notebooks[name].cells for title in needs._titles(cell)}
    wanted = {}
    for short, _, some in rows(name):
        for cell in (cells[title] for title in some if title in cells and title != "Setup"):
            before = wanted.get(cell.id)
            wanted[cell.id] = "path-50" if short or before == "path-50" else "path-90"
    wanted |= {cells[title].id: "path-50" for title in on_the_way(name)}
    tagged = {cell.id: set(needs.PATHS) & set(tags(cell)) for cell in notebooks[name].cells}
    assert {id_: {tag} for id_, tag in wanted.items()} == {k: v for k, v in tagged.items() if v}


def test_a_tag_on_a_heading_holds_up_to_the_next():
    def heading(words, *marks):
        return new_markdown_cell(words, metadata={"tags": list(marks)})

    cells = [heading("# Title"), heading("## Setup"), new_code_cell("setup")]
    cells += [heading("## First", "path-50"), new_code_cell("first"), new_markdown_cell("remark")]
    cells += [heading("so much for it\n\n### Within"), new_code_cell("left out")]
    cells += [heading("## Second", "path-90"), new_code_cell("second")]
    cells += [heading("## Third"), new_code_cell("never")]
    cells += [heading("so much for that, too\n\n## Last", "path-50"), new_code_cell("last")]
    notebook = new_notebook(cells=cells)
    for minutes, wanted in ((50, "setup first last"), (90, "setup first second last")):
        shown = needs.on_path(notebook, minutes)
        assert " ".join(cell.source for cell in shown if cell.cell_type == "code") == wanted
        assert cells[5] in shown, "words that belong to a section go with it"
        words = [cell.source for cell in shown if cell.cell_type == "markdown"]
        assert "so much for it" in words
        assert "## Last" in words, "and words about what is left out stay away"


@each_notebook
def test_a_path_is_a_lesson(name, notebooks):
    for minutes in (50, 90):
        shown = needs.on_path(notebooks[name], minutes)
        first = titles(notebooks[name])[0]
        assert any(first in needs._titles(cell) for cell in shown), "it opens with the first result"
        assert any(
            title in ("Recap", "Three questions") for c in shown for title in needs._titles(c)
        )
    short = needs.on_path(notebooks[name], 50)
    assert sum(one.answer in short for one in exercises_of(notebooks[name])) <= 1
    assert len(needs.on_path(notebooks[name], 50)) < len(needs.on_path(notebooks[name], 90))


@each_notebook
def test_every_decimal_of_a_run_sheet_stands_in_the_notebook(name, notebooks):
    cells = notebooks[name].cells
    known = "\n".join(
        [cell.source for cell in cells] + [text(c) for c in code_cells(notebooks[name])]
    )
    known += repr(WRONG[name])
    said = re.findall(r"(?<![\w.])\d+\.\d+(?![\w.]*\.)", re.sub(r"\]\(.*?\)", "", sheet(name)))
    lacking = {one for one in said if one not in known and one not in {number(n) for n in PATHS}}
    assert lacking == set()


@each_notebook
def test_code_that_a_run_sheet_quotes_is_in_the_notebook(name, notebooks):
    known = " ".join([*(c.source for c in notebooks[name].cells), repr(WRONG[name])])
    said = re.findall(r"`((?:import|from|def) [^`…]+)`", sheet(name))
    assert [one for one in said if one.rstrip("( ") not in known] == []


QUIZ = (PACK / "Quiz_before_and_after.md").read_text("utf-8")
QUESTIONS = re.split(r"^\*\*\d+\. ", QUIZ, flags=re.MULTILINE)[1:]


def test_the_quiz_asks_ten_questions_each_option_explained():
    assert len(QUESTIONS) == 10
    answers = []
    for question in QUESTIONS:
        asked, _, folded = question.partition("<details>")
        options = re.findall(r"^- \*\*([abc])\.\*\* ", asked, re.MULTILINE)
        right = re.findall(r"^\*\*([abc])\.\*\* \S", folded, re.MULTILINE)
        wrong = re.findall(r"^- \*\*([abc])\*\* is wrong: \S", folded, re.MULTILINE)
        assert options == ["a", "b", "c"]
        assert sorted(right + wrong) == options
        answers += right
    assert all(2 <= answers.count(letter) <= 5 for letter in "abc"), "no letter is a good guess"


def test_the_quiz_says_where_the_course_shows_each_answer(notebooks):
    asked = []
    for question in QUESTIONS:
        of, title = re.search(r"\(([\d.]+), \*(.+?)\*\)\.", question).groups()
        (name,) = (one for one in notebooks if number(one) == of)
        assert title in needs.sections(notebooks[name]), title
        asked.append(of)
    assert sorted(asked) == sorted({number(name) for name in notebooks} - {"2.7"})


def test_the_rubric_s_points_make_a_hundred_and_each_step_follows_on_the_last():
    rubric = (PACK / "Capstone.md").read_text("utf-8")
    rows = re.findall(r"^\| \*\*\d\. .+?\*\* \((\d+)\) \| (.+) \|$", rubric, re.MULTILINE)
    assert len(rows) == 7
    assert sum(int(points) for points, _ in rows) == 100
    for points, steps in rows:
        spans = [tuple(map(int, s)) for s in re.findall(r"(?:^|\| )(\d+)–(\d+): ", steps)]
        assert [begin for begin, _ in spans] == [0, spans[0][1] + 1, spans[1][1] + 1]
        assert spans[2][1] == int(points)


def test_the_rubric_names_what_is_there():
    rubric = (PACK / "Capstone.md").read_text("utf-8")
    app = (ROOT / "assets/apps/narrator/app.py").read_text("utf-8")
    for path in re.findall(r"`(?:\S+python )?(assets/\S+?)`", rubric):
        assert (ROOT / path).exists(), path
    for function in ("for_sale", "asked", "ships"):
        assert f"`{function}`" in rubric
        assert f"def {function}(" in app
    assert "--ship" in rubric
    assert '"--ship"' in app


def test_the_page_on_servers_names_the_notebooks_that_need_more_memory_than_it_says():
    page = (PACK / "Class_servers.md").read_text("utf-8")
    from helpers.checkpoints import catalog

    took = {name.split(". ")[0]: row["megabytes"] for name, row in catalog()["notebooks"].items()}
    most = int(re.search(r"only 2\.9 is above ([\d,]+) MB", page)[1].replace(",", ""))
    assert [name for name, megabytes in took.items() if megabytes > most] == ["2.9"]
    assert "2 GB for a learner\n  is enough for all but 2.9; that one needs 3 GB" in page
    assert [name for name, megabytes in took.items() if megabytes > 2_000] == ["2.9"]
    assert took["2.9"] < 3_000
