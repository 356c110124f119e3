"""The site: `make site` builds it from the course alone; here it is opened in a browser."""

import html
import importlib
import inspect
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from conftest import ROOT, browsers
from outputs import code_cells

pytest.importorskip("sphinx", reason="needs Sphinx of .ci/requirements-site.txt")
sys.path.insert(0, str(ROOT / ".ci" / "site"))

import pages
from build import Page, wrong

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
KINDS = ("index", "zero-shot-audio-classification", "glossary", "api", "handbook", "search")
# What reaches beyond the right edge, unless it stands in something that scrolls by itself. (The
# theme's pages hide or scroll whatever is too wide, so their own width tells nothing.)
BEYOND = """() => [...document.querySelectorAll("article *, footer *, .mobile-header *")].filter(
    (element) => {
        const { right, width } = element.getBoundingClientRect();
        if (width === 0 || right <= innerWidth + 1) return false;
        for (let around = element.parentElement; around; around = around.parentElement) {
            if (around.tagName === "ARTICLE") return true;
            if (["auto", "scroll"].includes(getComputedStyle(around).overflowX)) return false;
        }
        return true;
    }
).map((element) => element.outerHTML.slice(0, 100))"""
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1440, "height": 900}
# For axe-core: colours are by far the longest to look at.
WITHOUT_COLOURS = {"resultTypes": ["violations"], "rules": {"color-contrast": {"enabled": False}}}
COLOURS = {"resultTypes": ["violations"], "runOnly": ["color-contrast"]}


@pytest.fixture(scope="module")
def browser() -> Iterator[Callable]:
    """One browser for all tests of this file: starting it takes longer than most of them."""
    with browsers() as launch:
        started = launch()
        yield started
        started.close()


@pytest.fixture
def open_page(browser) -> Iterator[Callable]:
    """As in conftest.py, in a window that has seen nothing yet."""
    windows = []

    def opened(address: str):
        windows.append(browser.new_context(viewport={"width": 1200, "height": 1600}))
        page = windows[-1].new_page()
        page.set_default_timeout(90_000)  # milliseconds, for a busy machine
        page.goto(address)
        return page

    yield opened
    for window in windows:
        window.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once as `make site` does, by a process whose sockets stay on this machine."""
    folder = tmp_path_factory.mktemp("site")
    asked = folder / "asked"
    built = subprocess.run(
        [sys.executable, str(ROOT / ".ci/site/build.py"), "--to", str(folder / "site")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OFFLINE_GUARD_LOG": str(asked)},
    )
    assert built.returncode == 0, built.stderr
    assert built.stderr == ""
    assert not asked.exists(), f"asked the network for {asked.read_text()}"
    return folder / "site"


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the site is served for these tests."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def text_of(site: Path, page: str) -> str:
    return (site / f"{page}.html").read_text(encoding="utf-8")


# ------------------------------------------------------------------------------ what it holds


def test_every_notebook_has_a_page_in_the_order_of_the_course(site: Path):
    front = text_of(site, "index")
    menu = re.findall(
        r'class="toctree-l1"><a class="reference internal" href="([\w-]+)\.html"', front
    )
    assert menu[: len(NOTEBOOKS)] == [pages.slug(path) for path in NOTEBOOKS]
    cards = re.findall(r'<li><a href="([\w-]+)\.html"><span class="number">([\d.]+)</span>', front)
    assert [page for page, _ in cards][: len(NOTEBOOKS)] == menu[: len(NOTEBOOKS)]
    assert [number for _, number in cards] == [path.name.rpartition(". ")[0] for path in NOTEBOOKS]


def test_the_front_page_ends_with_building_an_llm_where_there_is_such_a_notebook(site: Path):
    last = re.findall(r"<h2>(.+?)<", text_of(site, "index"))[-1]
    there = pages.BUILD_AN_LLM.is_file()
    assert last == ("Build an LLM" if there else "The course map")
    assert (site / "build-an-llm.html").is_file() == there


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_buttons_open_the_notebook_where_it_runs(notebook: Path, site: Path):
    opened = Page(text_of(site, pages.slug(notebook))).links
    place = f"notebooks/{notebook.name}"
    colab, binder = "https://colab.research.google.com/", "https://mybinder.org/v2/gh/"
    for server in (colab, binder, "https://github.com/"):
        there = [unquote(link) for link in opened if link.startswith(server)]
        assert any(link.endswith(f"/{place}") for link in there), server


def test_every_term_of_the_glossary_is_a_place_of_its_own(site: Path):
    ids = Page(text_of(site, "glossary")).ids
    assert len(pages.terms()) > 100
    assert {f"term-{term}" for term in pages.terms().values()} <= ids


def test_the_front_page_shows_the_courses_pictures_in_the_words_of_the_readme(site: Path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    described = re.findall(r"^!\[([^\]]+)\]\(assets/images/([\w.]+)\)$", readme, re.MULTILINE)
    assert {name for _, name in described} == {"front_page.jpg", "course_map.jpg"}
    front, map_section = text_of(site, "index"), text_of(site, "index").partition("course map<")[2]
    for words, name in described:
        (shown,) = (tag for tag in re.findall(r"<img [^>]+>", front) if name in tag)
        assert f'alt="{words}"' in html.unescape(shown)
        assert (name in map_section) == (name == "course_map.jpg")


def test_the_project_says_of_itself_what_the_front_page_says(site: Path):
    said = pages.PROJECT["description"]
    assert said.startswith("Eleven notebooks, from using a large language model ")
    lead = " ".join(re.sub(r"<[^>]+>", "", text_of(site, "index")).split())
    assert f"{said}." in lead


def imported() -> set[str]:
    """What the notebooks import of the helpers: "helpers.setup", "helpers.media"."""
    found = set()
    for path in [*NOTEBOOKS, pages.BUILD_AN_LLM]:
        code = "\n".join(cell.source for cell in code_cells(nbformat.read(path, as_version=4)))
        for module, names in re.findall(
            r"^ *from (helpers[\w.]*) import ([\w, ]+)$", code, re.MULTILINE
        ):
            found |= {f"{module}.{name}" for name in names.split(", ")}
    return found


def test_what_the_notebooks_import_is_explained(site: Path):
    ids, names = Page(text_of(site, "api")).ids, imported()
    assert {"helpers.media", "helpers.setup", "helpers.catch_up.catch_up"} <= names
    for name in names:
        module, _, part = name.rpartition(".")
        thing = getattr(importlib.import_module(module), part, None) or importlib.import_module(
            name
        )
        if not inspect.ismodule(thing):
            assert not callable(thing) or name in ids
            continue
        own = getattr(thing, "__all__", None) or [
            part
            for part, value in vars(thing).items()
            if getattr(value, "__module__", "") == name and not part.startswith("_")
        ]
        assert own
        assert {f"{name}.{part}" for part in own} <= ids


def test_money_stays_money_and_formulas_become_mathml(site: Path):
    assert "<math" in text_of(site, "intro-to-nlp")
    deployment = text_of(site, "deployment")
    assert "<math" not in deployment
    assert "$0.40" in deployment


# ------------------------------------------------------------------------------ what would be wrong


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A sound site of two pages."""
    (tmp_path / "look.css").write_text("body { color: black }")
    for name in ("one", "two"):
        (tmp_path / f"{name}.html").write_text(
            '<link rel="stylesheet" href="look.css"><h1 id="top">A page</h1>'
            '<a href="two.html#top">two</a> <a href="https://example.com/#x">elsewhere</a>'
        )
    assert list(wrong(tmp_path)) == []
    return tmp_path


@pytest.mark.parametrize(
    ("slip", "told"),
    [
        ('<a href="three.html">', "three.html, which is not there"),
        ('<a href="two.html#end">', "two.html has no such place"),
        ('<a href="#end">', "one.html has no such place"),
        ('<img src="lost.png">', "lost.png, which is not there"),
        ('<script src="https://cdn.example.com/x.js">', "from another server"),
        ('<img src="//example.com/x.png">', "from another server"),
        ('<link rel="stylesheet" href="https://fonts.example.com/x.css">', "from another server"),
    ],
)
def test_a_dead_link_and_whatever_comes_from_elsewhere_is_told(slip: str, told: str, small: Path):
    with (small / "one.html").open("a") as page:
        page.write(slip)
    found = list(wrong(small))
    assert len(found) == 1
    assert found[0].startswith("one.html")
    assert told in found[0]


def test_a_font_from_elsewhere_is_told(small: Path):
    (small / "look.css").write_text("@font-face { src: url('https://fonts.example.com/x.woff2') }")
    assert list(wrong(small)) == [
        "look.css loads https://fonts.example.com/x.woff2 from another server"
    ]


def test_links_of_the_course_become_links_of_the_site(tmp_path: Path):
    page = NOTEBOOKS[0]

    def relinked(text: str) -> str:
        return pages.relink(text, page, tmp_path, pages.sources())

    assert relinked("[next](2.2.%20Embeddings.ipynb#recap)") == "[next](embeddings.ipynb#recap)"
    assert relinked("[**keys**](../assets/glossary.md#api-key)") == "[**keys**](term:API-key)"
    assert relinked("[it](../LICENSE)") == f"[it]({pages.REPOSITORY}/blob/main/LICENSE)"
    assert (
        relinked("[`them`](helpers)") == f"[`them`]({pages.REPOSITORY}/tree/main/notebooks/helpers)"
    )
    picture = relinked("![a scene](../assets/images/front_page.jpg)")
    assert (tmp_path / picture.partition("(")[2].rstrip(")")).is_file()
    for untouched in ("`[a](b)`", "```python\n[a](b)\n```", "[x](https://example.com)", "[x](#y)"):
        assert relinked(untouched) == untouched
    with pytest.raises(ValueError, match=r"lost\.md leads nowhere"):
        relinked("[lost](lost.md)")
    with pytest.raises(ValueError, match="no term #lost"):
        relinked("[lost](../assets/glossary.md#lost)")


def test_a_file_that_the_page_cannot_be_built_from_is_one_sentence(tmp_path, capsys, monkeypatch):
    import build

    monkeypatch.setattr("pages.lesson", lambda *_: (_ for _ in ()).throw(ValueError("no title")))
    assert build.main(["--to", str(tmp_path / "site")]) == 1
    assert capsys.readouterr().err == "no title\n"


def test_the_old_site_stays_until_the_new_one_is_sound(tmp_path, capsys, monkeypatch):
    import build

    class Pretends:
        def __init__(self, outdir: Path, **_) -> None:
            assert (to / "index.html").read_text() == "old"
            self.page = outdir / "index.html"

        def build(self) -> None:
            self.page.write_text("new")

    monkeypatch.setattr("pages.stage", lambda folder: None)
    monkeypatch.setattr("sphinx.application.Sphinx", Pretends)
    (to := tmp_path / "site").mkdir()
    (to / build.MADE_HERE).touch()
    (to / "index.html").write_text("old")
    monkeypatch.setattr("build.wrong", lambda folder: ["index.html leads nowhere"])
    assert build.main(["--to", str(to)]) == 1
    assert capsys.readouterr().err == "index.html leads nowhere\n"
    assert (to / "index.html").read_text() == "old"
    monkeypatch.setattr("build.wrong", lambda folder: [])
    assert build.main(["--to", str(to)]) == 0
    assert (to / "index.html").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["site"], "and nothing else is left"


def test_a_folder_that_holds_something_else_is_never_emptied(tmp_path: Path, capsys):
    import build

    (tmp_path / "thesis.txt").write_text("three years of work")
    assert build.main(["--to", str(tmp_path)]) == 1
    assert "holds something else" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").exists()


# ------------------------------------------------------------------------------ in a browser


def background(page) -> int:
    """How light the page's ground is, 0 to 255."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return int(re.search(r"\d+", colour)[0])


def grave(response: dict) -> list[tuple]:
    """What keeps somebody from reading a page: axe-core's rule, and the first places."""
    return [
        (finding["id"], [node["html"][:120] for node in finding["nodes"][:2]])
        for finding in response["violations"]
        if finding["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", KINDS)
def test_everybody_can_read_it(kind: str, scheme: str, address: str, open_page: Callable):
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(address)
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    found, loaded = [], "networkidle" if kind == "search" else "load"
    for size in (PHONE, DESKTOP):
        page.set_viewport_size(size)
        page.goto(f"{address}/{kind}.html?q=embedding", wait_until=loaded)
        assert (background(page) > 128) == (scheme == "light")
        # Of a phone's colours only its header's are not the desktop's, too.
        runs = [Axe().run(page, None, WITHOUT_COLOURS), Axe().run(page, ".mobile-header", COLOURS)]
        if size == DESKTOP:
            runs = [Axe().run(page)]
        found += [(size["width"], *each) for run in runs for each in grave(run.response)]
    assert not found


def test_everybody_can_read_every_page(site: Path, address: str, open_page: Callable):
    from axe_playwright_python.sync_playwright import Axe

    # Colours are the same on all pages of a kind, and by far the longest to look at: left to those.
    page = open_page(address)
    page.set_viewport_size(DESKTOP)
    found = {}
    for path in sorted(site.glob("*.html")):
        if path.stem in KINDS:  # looked at whole, in both schemes
            continue
        page.goto(f"{address}/{path.name}", wait_until="domcontentloaded")
        found[path.name] = grave(Axe().run(page, None, WITHOUT_COLOURS).response)
    assert not any(found.values()), found
    assert len(found) > 25
    page.evaluate("document.body.prepend(document.createElement('img'))")
    assert grave(Axe().run(page, None, WITHOUT_COLOURS).response), "the test has become blind"


def test_no_page_is_wider_than_a_phone_or_a_desktop(site: Path, address: str, open_page: Callable):
    page = open_page(address)
    wider = []
    for path in sorted(site.glob("*.html")):
        page.goto(f"{address}/{path.name}", wait_until="domcontentloaded")
        for size in (PHONE, DESKTOP):
            page.set_viewport_size(size)
            wider += [(path.name, size["width"], what) for what in page.evaluate(BEYOND)[:2]]
    assert not wider
    page.add_style_tag(content="article p { width: 2000px }")
    assert page.evaluate(BEYOND), "the test has become blind"


def test_pages_load_whole_and_without_an_error(address: str, open_page: Callable):
    page = open_page(address)
    failed = []
    page.on(
        "requestfailed",
        lambda request: request.failure == "net::ERR_ABORTED" or failed.append(request.url),
    )
    page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
    page.on("console", lambda line: failed.append(line.text) if line.type == "error" else None)
    for kind in KINDS:
        page.goto(f"{address}/{kind}.html", wait_until="networkidle")
    assert failed == []


def test_the_search_finds_a_word_and_the_glossary_first(site: Path, open_page: Callable):
    page = open_page((site / "index.html").as_uri())  # a folder will do, without any server
    page.set_viewport_size(DESKTOP)
    page.locator(".sidebar-search").fill("spectrogram")
    page.keyboard.press("Enter")
    page.locator("#search-results li").first.wait_for()
    found = page.locator("#search-results li a").evaluate_all("links => links.map(a => a.href)")
    assert "/glossary.html#term-spectrogram" in found[0]
    assert any("zero-shot-audio-classification.html" in link for link in found)
    page.locator("#search-results li a").first.click()
    page.locator("#term-spectrogram").wait_for()


def test_the_dark_is_switched_on_and_stays(address: str, open_page: Callable):
    page = open_page(f"{address}/embeddings.html")
    page.set_viewport_size(PHONE)
    assert background(page) > 128
    for _ in range(3):  # automatic, light, dark
        page.locator(".theme-toggle:visible").click()
        if page.locator("body").get_attribute("data-theme") == "dark":
            break
    assert background(page) < 128
    page.goto(f"{address}/glossary.html")
    assert background(page) < 128


def test_stored_pictures_are_shown_and_described(address: str, open_page: Callable):
    page = open_page(f"{address}/object-detection.html")
    pictures = page.locator("article .cell_output img")
    assert pictures.count() >= 10
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 200
        assert len(picture.get_attribute("alt")) >= 20


def test_stored_sounds_play(address: str, open_page: Callable):
    page = open_page(f"{address}/text-to-speech.html")
    players = page.locator("article audio")
    assert players.count() >= 20
    for player in (players.first, players.last):
        assert player.is_visible()
        seconds = player.evaluate(
            """audio => new Promise((told, failed) => {
                audio.onloadedmetadata = () => told(audio.duration);
                audio.onerror = () => failed(audio.src);
                audio.preload = "metadata";
                audio.load();
            })"""
        )
        assert seconds > 0.5


@pytest.mark.parametrize(
    "folded",
    ["An elephant does give milk", "COURSE_REPOSITORY"],
    ids=["a question's answer", "the setup cell, the same everywhere"],
)
def test_what_is_folded_opens(folded: str, address: str, open_page: Callable):
    page = open_page(f"{address}/embeddings.html")
    fold = page.locator("details", has_text=folded).first
    words = fold.get_by_text(folded).first
    assert not words.is_visible()
    fold.locator("summary").click()
    assert words.is_visible()


def test_the_keyboard_opens_the_menu_on_a_phone(address: str, open_page: Callable):
    page = open_page(f"{address}/glossary.html")
    page.set_viewport_size(PHONE)
    menu = page.get_by_role("button", name="All pages")
    menu.focus()
    page.keyboard.press("Enter")
    page.wait_for_function(
        "document.querySelector('.sidebar-drawer').getBoundingClientRect().left >= 0"
    )
    page.locator(".sidebar-tree a[href='embeddings.html']").click()
    page.wait_for_url("**/embeddings.html")
