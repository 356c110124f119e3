"""The decks of slides: each in the browser, and how a notebook becomes one."""

import base64
import hashlib
import html
import re
import shutil
from pathlib import Path

import nbformat
import pytest
import slide_parts
import slides
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

NOTEBOOKS = {
    path.stem: nbformat.read(path, as_version=4)
    for path in [
        *sorted((ROOT / "notebooks").glob("*.ipynb")),
        ROOT / "assets/recipes/Build_an_LLM.ipynb",
    ]
}
each_deck = pytest.mark.parametrize("name", NOTEBOOKS)
SMALLEST = 20  # pixels, of 720: the letters of a printed output
MEGABYTES = 3

# Goes to each slide, with its fragments, and says what of it lies outside, scrolls or is small.
MEASURE = """smallest => Reveal.getSlides().flatMap((slide, number) => {
  const {h, v} = Reveal.getIndices(slide)
  Reveal.slide(h, v, 999)
  const found = [], say = (what, e) => found.push(
    `slide ${number + 1}, ${what}: <${e.tagName} ${e.className}> ${e.textContent.slice(0, 60)}`)
  for (const e of slide.querySelectorAll("*")) {
    const at = e.getBoundingClientRect(), style = getComputedStyle(e)
    if (e.closest("aside.notes") || !(at.width && at.height)) continue
    if (at.left < 0 || at.top < 0 || at.right > 1280 || at.bottom > 690) say("is cut", e)
    const boxed = style.display != "inline" && e.clientWidth && e.tagName != "AUDIO"
    if (boxed && e.scrollWidth > e.clientWidth + 1) say("is too wide", e)
    if (boxed && e.scrollHeight > e.clientHeight + 8) say("spills over or scrolls", e)
    const own = [...e.childNodes].some(n => n.nodeType == Node.TEXT_NODE && n.data.trim())
    if (own && parseFloat(style.fontSize) < smallest) say("is small", e)
  }
  return found
})"""


# -------------------------------------------------------------------------------- in the browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All decks, as `make slides` writes them."""
    into = tmp_path_factory.mktemp("slides")
    assert slides.main(["--into", str(into)]) == 0
    return into


@pytest.fixture(scope="module")
def window():
    """A window of one browser, of the size of a slide, without any network."""
    browsers = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright of .ci/requirements-test.txt"
    )
    installed = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    if not (chromium := next(installed, None)):
        pytest.skip("needs Chromium or Chrome (Debian: sudo apt install chromium)")
    with browsers.sync_playwright() as playwright:
        alone = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND"]
        browser = playwright.chromium.launch(executable_path=chromium, args=alone)
        yield browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
        browser.close()


@pytest.fixture
def show(window):
    """`show(file)` opens a deck; its page keeps the addresses asked for and the errors."""
    pages = []

    def shown(file: Path):
        page = window.new_page()
        pages.append(page)
        page.asked, page.errors = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(file.as_uri())
        page.wait_for_function(
            "Reveal.isReady() && [...document.fonts].every(face => face.status == 'loaded')"
        )
        return page

    yield shown
    for page in pages:
        page.close()


@each_deck
def test_no_slide_is_cut_scrolls_or_has_small_letters_and_a_deck_needs_nothing_but_its_file(
    name, folder, show
):
    file = folder / f"{name}.html"
    page = show(file)
    assert page.evaluate(MEASURE, SMALLEST) == []  # every slide is seen
    assert page.errors == []
    outside = [url for url in page.asked if not url.startswith(("data:", "blob:"))]
    assert outside == [file.as_uri()]
    assert file.stat().st_size < MEGABYTES * 1e6


def test_the_deck_of_a_path_holds_what_is_on_it_and_the_twelfth_has_none(tmp_path, capsys, decks):
    assert slides.main(["--path", "50", "--into", str(tmp_path)]) == 0
    assert {file.stem for file in tmp_path.iterdir()} == {
        f"{name}, 50 minutes" for name in NOTEBOOKS if name != "Build_an_LLM"
    }
    told = dict(re.findall(r"^(.+), 50 minutes +(\d+) slides", capsys.readouterr().out, re.M))
    for name, slides_on_path in told.items():
        assert 20 < int(slides_on_path) < len(decks[name].slides), name
    page = (tmp_path / "2.7. Image_Segmentation, 50 minutes.html").read_text("utf-8")
    assert "How good is a mask?" in page
    assert "Deeper" not in page


def test_a_slide_that_is_too_full_would_be_noticed(show, tmp_path, monkeypatch):
    monkeypatch.setattr(slide_parts, "CODE_LINES", 40)
    deck = tmp_path / "full.html"
    code = "\n".join(f"line_{number} = {number}" for number in range(30))
    deck.write_text(slides.page(deck_of(new_code_cell(code))))
    found = show(deck).evaluate(MEASURE, SMALLEST)
    assert "is cut: <PRE code>" in " ".join(found)


def test_small_letters_and_long_lines_would_be_noticed(show, tmp_path, monkeypatch):
    monkeypatch.setattr(slide_parts, "OUTPUT_COLUMNS", 200)
    deck, printed = tmp_path / "wide.html", new_output("stream", text="wide " * 39)
    deck.write_text(slides.page(deck_of(new_code_cell("print(wide)", outputs=[printed]))))
    found = " ".join(show(deck).evaluate(MEASURE, SMALLEST + 40))
    assert "is too wide: <PRE output>" in found
    assert "is small: <PRE output>" in found


def test_the_letters_are_the_decks_own(folder, show):
    page = show(folder / "2.2. Embeddings.html")
    faces = page.evaluate("[...document.fonts].map(face => `${face.family} ${face.weight}`)")
    assert {face.replace('"', "") for face in faces} == {"Plex 400", "Plex 700", "Plex Mono 400"}


def test_every_player_of_a_deck_has_a_sound(folder, show):
    page = show(folder / "2.5. Text_to_Speech.html")
    page.wait_for_function("[...document.querySelectorAll('audio')].every(a => a.readyState)")
    lengths = page.evaluate("[...document.querySelectorAll('audio')].map(a => a.duration)")
    assert len(lengths) >= 10
    assert all(0.3 < seconds < 60 for seconds in lengths)


def test_one_key_leads_through_all_slides_and_others_to_the_ends(folder, show):
    page = show(folder / "2.2. Embeddings.html")
    total, seen = page.evaluate("Reveal.getTotalSlides()"), ["1"]
    while not page.evaluate("Reveal.isLastSlide()"):
        page.keyboard.press("ArrowRight")
        if (number := page.inner_text(".slide-number-a")) != seen[-1]:
            seen.append(number)
    assert seen == [str(number) for number in range(1, total + 1)]
    page.keyboard.press("Home")
    assert page.inner_text(".slide-number-a") == "1"
    for key in ("PageDown", "Space"):  # what a presenter's remote sends
        before = int(page.inner_text(".slide-number-a"))
        page.keyboard.press(key)
        assert int(page.inner_text(".slide-number-a")) == before + 1


def test_the_speaker_view_follows_from_a_file_without_a_server(folder, show):
    page = show(folder / "2.2. Embeddings.html")
    with page.expect_popup() as opened:
        page.keyboard.press("s")
    notes = opened.value.locator(".speaker-controls-notes .value")
    notes.get_by_text("75 minutes with the exercises").wait_for()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    notes.get_by_text("In the stored run").first.wait_for()  # the answer to the first question
    opened.value.close()


# ------------------------------------------------------------------- what becomes of a notebook


def deck_of(*cells, folder: Path = ROOT / "notebooks") -> slides.Deck:
    """The deck of a small notebook: a title, and these cells in a section of their own."""
    title = "# 0. Test\n\n**A question?**\n\n*1 minute*\n\nBy the end you can\n\n- **do** it."
    section = new_markdown_cell("## A section\n\nIt has a first sentence.")
    notebook = new_notebook(cells=[new_markdown_cell(title), section, *cells])
    return slides.Deck(notebook, "0. Test", folder)


@pytest.fixture(scope="module")
def decks():
    return {name: slides.Deck(notebook, name) for name, notebook in NOTEBOOKS.items()}


def shown(slide: slides.Slide) -> str:
    return words(slide.heading + " ".join(box.html for box in slide.boxes))


def noted(deck: slides.Deck) -> str:
    return " ".join(words(note) for slide in deck.slides for note in slide.notes)


def words(rendered: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", rendered)).split())


def letters(text: str) -> str:
    """Letters and digits alone: how the same words are marked up does not matter."""
    return re.sub(r"[\W_]+", "", text).lower()


@each_deck
def test_every_slide_has_notes_and_each_note_once(name, decks):
    for slide in decks[name].slides:
        assert "".join(slide.notes).strip(), shown(slide)[:60]
        assert len(set(slide.notes)) == len(slide.notes), shown(slide)[:60]


@each_deck
def test_no_sentence_of_the_notebook_is_lost(name, decks):
    notes, lost = letters(noted(decks[name])), []
    agenda = letters(" ".join(map(shown, decks[name].slides)))
    for cell in NOTEBOOKS[name].cells[1:]:
        if cell.cell_type != "markdown" or cell.source.startswith("## Setup"):
            continue
        prose = re.sub(r"(?ms)^```.*?^```|^#.*?$", "", cell.source)  # headings are on the slides
        prose = re.sub(r"</?(details|summary)>", "\n\n", prose)
        prose = re.sub(r"(!?)\[([^\]]*)\]\([^)]*\)", r"\2", prose)
        for paragraph in re.split(r"\n\s*\n", re.sub(r"(?m)^[ \t]*(?:[-*]|\d+\.) ", "", prose)):
            key = letters(re.sub(r"^\*Figure: |^\*\*\d+\. ", "", paragraph.strip()))
            if "|" not in paragraph and key not in notes + agenda:
                lost.append(paragraph[:80])
    assert lost == []


@each_deck
def test_answers_and_solutions_are_for_the_speaker_alone(name, decks):
    visible, notes = " ".join(map(shown, decks[name].slides)), noted(decks[name])
    folded = [
        found["text"]
        for cell in NOTEBOOKS[name].cells
        for found in slides.DETAILS.finditer(cell.source if cell.cell_type == "markdown" else "")
    ]
    assert len(folded) >= 8  # five questions, three exercises
    for text in folded:
        told = words(slide_parts.notes_of(text))
        assert told in notes
        for line in [line for line in told.split(". ") if len(line) > 50]:
            assert line not in visible


@each_deck
def test_a_quiz_asks_each_question_on_a_slide_of_its_own(name, decks):
    asked = [slide for slide in decks[name].slides if slide.kind == "ask"]
    assert len(asked) == 5
    for slide in asked:
        assert "?" in shown(slide)
        assert all(f"{letter}." in shown(slide) for letter in "abc")


@each_deck
def test_an_exercise_is_a_task(name, decks):
    tasks = {slide.heading for slide in decks[name].slides if slide.kind == "task"}
    assert len(tasks) == 3


def test_each_slide_of_a_long_task_has_the_solution_once():
    steps = "\n".join(
        f"{number}. Do this step, and do it well. {'It is long. ' * 9}" for number in range(1, 12)
    )
    task = f"## Exercises\n\n### 1. Much to do\n\n{steps}"
    solution = "<details><summary>Solution</summary>\n\nIt was easy.\n\n</details>"
    deck = deck_of(new_markdown_cell(task), new_markdown_cell(solution))
    parts = [slide for slide in deck.slides if slide.kind == "task"]
    assert len(parts) > 1
    assert all(" ".join(slide.notes).count("It was easy.") == 1 for slide in parts)


def test_the_setup_is_left_out():
    setup = new_code_cell("import everything", metadata={"tags": ["setup"]})
    deck = deck_of(new_markdown_cell("## Setup\n\nRun this first."), setup)
    assert "Run this" not in " ".join(map(shown, deck.slides))
    assert "everything" not in " ".join(map(shown, deck.slides))


def test_a_cell_stands_with_its_output_and_the_remark_comes_after_a_key():
    printed = new_output("stream", text="0.84\n")
    remark = new_markdown_cell("Higher than the cats. That is strange.")
    deck = deck_of(new_code_cell("print(score)", outputs=[printed]), remark)
    (slide,) = [slide for slide in deck.slides if "0.84" in shown(slide)]
    assert re.search(r"print.*0\.84.*Higher than the cats", shown(slide))
    assert [box.kind for box in slide.boxes] == ["code", "output", "remark"]
    assert 'class="fragment' in slide.boxes[-1].html


def test_a_remark_of_a_few_words_takes_the_next_sentence_along():
    printed = new_output("stream", text="0.84\n")
    more = "In the stored run the nearest word is right every time. " + "And so on, and on. " * 20
    prose = new_markdown_cell(f"No wording wins. {more}")
    deck = deck_of(new_code_cell("print(score)", outputs=[printed]), prose)
    (slide,) = [slide for slide in deck.slides if "0.84" in shown(slide)]
    both = "No wording wins. In the stored run the nearest word is right every time."
    assert shown(slide).endswith(both)


def test_a_guess_comes_on_a_slide_of_its_own_before_the_cell():
    prose = "It prints a number.\n\nThere is more to say.\n\nHow large will it be?"
    deck = deck_of(new_code_cell("1"), new_markdown_cell(prose), new_code_cell("score"))
    _, *_, guess, cell = map(shown, deck.slides)
    assert guess == "A section How large will it be?"
    assert "score" in cell


def test_of_a_long_output_the_middle_goes_and_the_point_at_its_end_stays():
    text = "".join(f"row {number}\n" for number in range(100))
    box = slide_parts.text_output(text)
    assert box.html.count("\n") == slide_parts.OUTPUT_LINES - 1
    assert "row 0\n" in box.html and "\n…\n" in box.html and "row 99</pre>" in box.html
    assert slide_parts.text_output("x" * 500).html.endswith("…</pre>")
    assert "x" * 400 not in slide_parts.text_output("x" * 500).html


def test_a_long_cell_keeps_what_it_tells_and_says_that_more_is_there():
    drawing = "\n".join(f"axis.plot({number}, label='{number}')" for number in range(12))
    source = (
        f"import numpy as np\n\nmean = vectors.mean()\n\naxis = plt.gca()\n{drawing}\nprint(mean)"
    )
    boxes, left_out = slide_parts.code_boxes(source)
    told = words(boxes[0].html)
    assert "mean = vectors" in told
    assert "print(mean)" in re.sub(r"\s", "", told)
    assert "# …" in told
    assert "import" not in told
    assert "axis" not in told
    assert left_out == "imports and the drawing of the figure"


def test_a_cell_that_fits_is_shown_whole():
    boxes, left_out = slide_parts.code_boxes("import numpy as np\n\nnp.ones(3)")
    assert "import" in boxes[0].html
    assert left_out == ""


def test_code_is_cut_between_statements():
    function = "def first():\n" + "    step()\n" * 9 + "\n"
    source = function + function.replace("first", "second") + "first()"
    lines = source.splitlines()
    pieces = slide_parts.pieces_of(lines, list(range(len(lines))), source)
    assert [lines[piece[0]] for piece in pieces] == ["def first():", "def second():"]
    assert max(map(len, pieces)) <= slide_parts.PIECE_LINES


@each_deck
def test_no_slide_has_more_code_than_a_room_reads(name, decks):
    for slide in decks[name].slides:
        code = "".join(box.html for box in slide.boxes if box.kind == "code")
        assert code.count('class="line"') <= slide_parts.CODE_LINES


@pytest.mark.parametrize(
    ("paragraph", "first"),
    [
        ("One thing. Another.", "One thing."),
        ("See (Wang et al., 2020. A paper). Then go.", "See (Wang et al., 2020. A paper)."),
        ("**Bold goes on. To here.** Then ends.", "**Bold goes on. To here.**"),
        ("Dr. Brown asks. Who?", "Dr. Brown asks."),
        ("It is 0.84 here. More.", "It is 0.84 here."),
    ],
)
def test_a_sentence_ends_where_it_ends(paragraph, first):
    assert slide_parts.sentences(paragraph)[0] == first
    assert letters("".join(slide_parts.sentences(paragraph))) == letters(paragraph)


def test_of_long_prose_a_slide_keeps_the_beginning_the_terms_and_the_question():
    filler = "This sentence goes on about details that a speaker tells in words of their own. " * 4
    paragraphs = [
        f"It begins so. {filler}",
        f"{filler} A **term** is defined here, once and for all.",
        "So what comes?",
    ]
    kept = " ".join(slide_parts.gist(paragraphs))
    assert kept.startswith("It begins so.")
    assert "**term**" in kept
    assert kept.endswith("So what comes?")
    assert kept.count("details") <= 1


def test_a_picture_has_its_words_for_those_who_do_not_see_it(decks):
    for name, deck in decks.items():
        for slide in deck.slides:
            for box in slide.boxes:
                for alt in re.findall(r'<img [^>]*?alt="([^"]*)"', box.html):
                    assert len(alt) > 20, f"{name}: {shown(slide)[:60]}"


def test_a_picture_is_sought_where_the_notebook_lies(tmp_path):
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (40, 30), "red").save(picture := tmp_path / "pictures" / "one.png")
    deck = deck_of(new_markdown_cell("![Red](pictures/one.png)"), folder=tmp_path)
    held = base64.b64encode(picture.read_bytes()).decode()
    assert any(held in box.html for slide in deck.slides for box in slide.boxes)


def test_an_unknown_notebook_is_told_what_there_is(capsys, tmp_path):
    with pytest.raises(SystemExit) as ended:
        slides.main(["9.9", "--into", str(tmp_path)])
    assert ended.value.code == 2
    assert "No notebook begins with '9.9'. There are: 1, 2, 2.1," in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_reveal_is_unchanged_since_it_came():
    folder = ROOT / ".ci" / "reveal"
    sums = re.findall(r"^([0-9a-f]{64})  (\S+)$", (folder / "README.md").read_text(), re.MULTILINE)
    assert {name for _, name in sums} == {file.name for file in folder.iterdir()} - {"README.md"}
    for digest, name in sums:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
