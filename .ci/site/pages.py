"""The site's pages: the course's notebooks and Markdown as they are, with links made to fit."""

import base64
import html
import re
import shutil
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote, unquote

import nbformat

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
GLOSSARY = ROOT / "assets" / "glossary.md"
BUILD_AN_LLM = ROOT / "assets" / "recipes" / "Build_an_LLM.ipynb"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
OWNER_AND_NAME = REPOSITORY.removeprefix("https://github.com/")
IMAGES = {".gif", ".jpeg", ".jpg", ".png", ".svg", ".webp"}

# The course map: each part's heading, what it is about, and the numbers of its notebooks.
PARTS = (
    ("Start", "Ask a model, then open one.", ("1", "2")),
    ("Text", "How words become numbers, and numbers the next word.", ("2.1", "2.2")),
    ("Sound", "Name a sound, write down speech, speak.", ("2.3", "2.4", "2.5")),
    ("Pictures", "Find things, cut them out, talk about them.", ("2.6", "2.7", "2.8")),
    ("Ship it", "Give others what you built.", ("2.9",)),
)
ENDING = "You know the parts now. Put them together, train the whole, and talk to it."

# A fenced block and a piece of code are left alone; whatever else is a link is rewritten.
LINK = re.compile(
    r"^(?P<fence>```+|~~~+).*?^(?P=fence)"
    r"|(?P<badge>\[!\[(?P<seen>[^\]]*)\]\(https?://[^\s)]+\)\])\((?P<badge_target>[^\s)]+)\)"
    r"|(?P<bang>!?)\[(?P<words>(?:`[^`]*`|[^\[\]`])*)\]\((?P<target>[^\s)]+)\)"
    r"|(?P<ticks>`+)[^`].*?(?P=ticks)",
    re.MULTILINE | re.DOTALL,
)
CAPTION = re.compile(r"^\*(Figure: .+)\*$", re.MULTILINE)
SOUND = re.compile(r'src="data:audio/(\w+);base64,([^"]+)"')
PROGRESS = re.compile(r"<progress .*?</progress>", re.DOTALL)  # it has ended: its words stay
COLAB_BADGE = re.compile(r"^\[!\[Open in Colab\].*\n+", re.MULTILINE | re.IGNORECASE)
TERM = re.compile(r'^<a id="([^"]+)"></a>\*\*(.+?)\*\*: (.+)$', re.MULTILINE)


@dataclass(frozen=True)
class Lesson:
    """One notebook as the front page introduces it."""

    number: str  # "2.1"; empty for one that has none
    title: str
    question: str
    minutes: str
    page: str  # "intro-to-nlp"


def slug(path: Path) -> str:
    """The address of a page on the site: "2.1. Intro_to_NLP.ipynb" is at "intro-to-nlp"."""
    name = re.sub(r"^[\d.]+\s+", "", path.stem)
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def sources() -> dict[Path, str]:
    """Every file of the course that is a page of the site, with the name of the staged file."""
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    if BUILD_AN_LLM.is_file():
        notebooks.append(BUILD_AN_LLM)
    found = {path: f"{slug(path)}.ipynb" for path in notebooks}
    found |= {GLOSSARY: "glossary.md", ROOT / "README.md": "handbook.md"}
    found[ROOT / "CONTRIBUTING.md"] = "contributing.md"
    for path in sorted((ROOT / "assets" / "teaching").glob("*.md"), key=_in_order):
        found[path] = f"teaching-{slug(path)}.md".replace("teaching-readme", "teaching")
    if len(set(found.values())) < len(found):
        raise ValueError(f"Two files of the course would be one page: rename one of {found}.")
    return found


def _in_order(path: Path) -> tuple[str, list[int]]:
    """Sheet 2 before sheet 2.1, and that before sheet 10."""
    numbers = [int(number) for number in re.findall(r"\d+", path.stem)]
    return re.sub(r"[\d.]+", "", path.stem), numbers


def stage(folder: Path) -> None:
    """Write the site's sources into `folder`, anew, and what is served beside them into extra/.

    Raises:
        ValueError: a link of the course leads nowhere; the message names the page and the link.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "extra" / "sounds").mkdir(parents=True)
    pages = sources()
    lessons = []
    for path, name in pages.items():
        if path.suffix == ".ipynb":
            notebook = nbformat.read(path, as_version=4)
            lessons.append(lesson(notebook, path))
            _stage_notebook(notebook, path, folder, pages)
            nbformat.write(notebook, folder / name)
            continue
        text = path.read_text(encoding="utf-8")
        if path == GLOSSARY:
            text = _as_glossary(text)
        elif path.name == "README.md" and path.parent == ROOT:
            text = _as_handbook(text)
        text = relink(text, path, folder, pages)
        (folder / name).write_text(text, encoding="utf-8")
    _menu_for_teachers(folder)
    for page in ("index.md", "api.md"):
        text = (HERE / page).read_text(encoding="utf-8")
        if page == "index.md":
            text = _front_page(text, lessons, pages)
        text = relink(text, HERE / page, folder, pages)
        (folder / page).write_text(text, encoding="utf-8")


def lesson(notebook: nbformat.NotebookNode, path: Path) -> Lesson:
    """What a notebook's first cell says of it: title, question, time."""
    opening = notebook.cells[0].source
    title = re.search(r"^# (.+)$", opening, re.MULTILINE)
    question = re.search(r"^\*\*(.+)\*\*$", opening, re.MULTILINE)
    minutes = re.search(r"^\*(\d+ minutes)", opening, re.MULTILINE)
    if not title:
        raise ValueError(f"{path.name}: its first cell lacks a title, '# …'.")
    number, name = re.fullmatch(r"(?:([\d.]+)\. )?(.+)", title[1]).groups(default="")
    return Lesson(
        number, name, question[1] if question else "", minutes[1] if minutes else "", slug(path)
    )


def relink(text: str, page: Path, folder: Path, pages: dict[Path, str]) -> str:
    """Markdown of the file `page`, whose links lead to the site's pages, or to GitHub."""

    def replaced(match: re.Match) -> str:
        if match["badge"]:  # a picture from another server: its words do
            return f"[{match['seen']}]({match['badge_target']})"
        target = match["target"]
        if not target or target.startswith("#") or re.match(r"[a-z][a-z0-9+.-]*:", target):
            return match[0]
        place, _, anchor = unquote(target).partition("#")
        file = (page.parent / place).resolve()
        if not file.is_relative_to(ROOT) or not file.exists():
            raise ValueError(f"{page.relative_to(ROOT)}: the link {target} leads nowhere.")
        if file in pages:
            if file == GLOSSARY and anchor:
                address = _term(anchor, page)
            else:
                address = pages[file] + (f"#{anchor}" if anchor else "")
        elif match["bang"] or file.suffix.lower() in IMAGES:
            address = _copied(file, folder)
        else:
            address = on_github(file)
        return f"{match['bang']}[{match['words']}]({address})"

    return LINK.sub(replaced, text)


def on_github(file: Path) -> str:
    """The address of one of the course's files or folders on GitHub."""
    kind = "tree" if file.is_dir() else "blob"
    return f"{REPOSITORY}/{kind}/main/{quote(file.relative_to(ROOT).as_posix())}"


def _copied(image: Path, folder: Path) -> str:
    name = "pictures/" + "-".join(image.relative_to(ROOT).parts[1:])
    (folder / "pictures").mkdir(exist_ok=True)
    shutil.copyfile(image, folder / name)
    return name


def _stage_notebook(
    notebook: nbformat.NotebookNode, path: Path, folder: Path, pages: dict[Path, str]
) -> None:
    """Fit a notebook to the site: links, launch buttons, described pictures, sounds as files."""
    cells = notebook.cells
    for number, cell in enumerate(cells):
        if cell.cell_type == "markdown":
            if number == 0:
                cell.source = _with_launch_buttons(cell.source, path)
            cell.source = relink(cell.source, path, folder, pages)
            continue
        if "setup" in cell.metadata.get("tags", []):  # the same everywhere, and nobody need read it
            cell.metadata.tags.append("hide-input")
        told = CAPTION.search(cells[number + 1].source) if number + 1 < len(cells) else None
        for output in cell.get("outputs", []):
            _describe(output, told[1] if told else "Figure: the picture that this cell drew")
            if "text/html" in output.get("data", {}):
                shown = _sounds_as_files(output.data["text/html"], slug(path), folder)
                output.data["text/html"] = PROGRESS.sub("", shown)


def _describe(output: nbformat.NotebookNode, words: str) -> None:
    """Give a stored picture without alt text the words that stand under it."""
    for kind in output.get("data", {}):
        if kind.startswith("image/"):
            output.metadata.setdefault(kind, {}).setdefault("alt", html.unescape(words))


def _sounds_as_files(shown: str, page: str, folder: Path) -> str:
    """The same HTML with its sounds in files, so that a phone loads only what it plays."""

    def replaced(match: re.Match) -> str:
        suffix = {"mpeg": "mp3"}.get(match[1], match[1])
        number = len(list((folder / "extra" / "sounds").glob(f"{page}-*")))
        name = f"sounds/{page}-{number + 1}.{suffix}"
        (folder / "extra" / name).write_bytes(base64.b64decode(match[2]))
        return f'preload="none" src="{name}"'

    return SOUND.sub(replaced, shown)


def _with_launch_buttons(opening: str, path: Path) -> str:
    """The first cell with buttons that open the notebook, in the place of Colab's badge."""
    place = quote(path.relative_to(ROOT).as_posix())
    colab = f"https://colab.research.google.com/github/{OWNER_AND_NAME}/blob/main/{place}"
    binder = f"https://mybinder.org/v2/gh/{OWNER_AND_NAME}/main?urlpath=lab/tree/{place}"
    buttons = (("Open in Colab", colab), ("Open in Binder", binder), ("GitHub", on_github(path)))
    links = "\n".join(f"[{words}]({address}){{.button}}" for words, address in buttons)
    title, _, rest = COLAB_BADGE.sub("", opening).partition("\n")
    return f"{title}\n\n{links}\n{rest}"


@cache
def terms() -> dict[str, str]:
    """The glossary's terms: the anchor in its Markdown, and the id that Sphinx gives."""
    found = TERM.findall(GLOSSARY.read_text(encoding="utf-8"))
    return {anchor: re.sub(r"[^A-Za-z0-9._]+", "-", name) for anchor, name, _ in found}


def _term(anchor: str, page: Path) -> str:
    if anchor not in terms():
        raise ValueError(f"{page.relative_to(ROOT)}: the glossary has no term #{anchor}.")
    return f"term:{terms()[anchor]}"  # conf.py says what this scheme stands for


def _as_glossary(text: str) -> str:
    """The glossary in Sphinx's form, so that the search knows its terms."""
    text = re.sub(r"\]\(#([\w-]+)\)", lambda link: f"]({_term(link[1], GLOSSARY)})", text)
    text = TERM.sub(lambda term: f":::{{glossary}}\n{term[2]}\n  {term[3]}\n:::", text)
    return text.replace("\n:::\n\n:::{glossary}\n", "\n\n")  # one list a letter


def _as_handbook(text: str) -> str:
    """The README from its first heading on: its title and its picture are on the front page."""
    start = re.search(r"^## ", text, re.MULTILINE).start()
    return (
        "# Handbook\n\nHow to run the course on your own machine, teach it, and mend what breaks: "
        "the [README](" + f"{REPOSITORY}#readme" + ") as a page.\n\n" + text[start:]
    )


def _front_page(text: str, lessons: list[Lesson], pages: dict[Path, str]) -> str:
    """Fill the course map and the menu into the front page."""
    by_number = {one.number: one for one in lessons if one.page != slug(BUILD_AN_LLM)}
    listed = [number for _, _, numbers in PARTS for number in numbers]
    if lost := set(by_number).symmetric_difference(listed):
        raise ValueError(f"PARTS of .ci/site/pages.py and notebooks/ differ in {sorted(lost)}.")
    parts = []
    for title, about, numbers in PARTS:
        cards = "\n".join(_card(by_number[number]) for number in numbers)
        parts.append(f'### {title}\n\n{about}\n\n<ul class="lessons">\n{cards}\n</ul>')
    last = next((one for one in lessons if one.page == slug(BUILD_AN_LLM)), None)
    ending = (
        f'## Build an LLM\n\n{ENDING}\n\n<ul class="lessons">{_card(last)}</ul>' if last else ""
    )
    menu = [by_number[number].page for number in listed]
    teaching = "teaching" if any(name.startswith("teaching") for name in pages.values()) else ""
    values = {
        "% the course map": "\n\n".join(parts),
        "% build an LLM": ending,
        "% lessons": "\n".join(menu),
        "% last": last.page if last else "",
        "% teaching": teaching,
    }
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text


def _menu_for_teachers(folder: Path) -> None:
    """Let one page lead to all that is for teachers, so that the menu stays short."""
    sheets = [path.stem for path in folder.glob("teaching-*.md")]
    listed = [Path(name).stem for name in sources().values() if Path(name).stem in sheets]
    if not listed:
        return
    front, hidden = folder / "teaching.md", ":hidden:\n"  # its own words lead to them
    if not front.is_file():
        front.write_text("# For teachers\n", encoding="utf-8")
        hidden = ""
    listing = "\n".join(listed)
    with front.open("a", encoding="utf-8") as page:
        page.write(f"\n```{{toctree}}\n:maxdepth: 1\n{hidden}\n{listing}\n```\n")


def _card(one: Lesson) -> str:
    number = f'<span class="number">{one.number}</span> ' if one.number else ""
    minutes = f' <span class="minutes">{one.minutes}</span>' if one.minutes else ""
    return (
        f'<li><a href="{one.page}.html">{number}<span class="title">{html.escape(one.title)}</span>'
        f'</a> <span class="question">{html.escape(one.question)}</span>{minutes}</li>'
    )
