"""Make a deck of slides from each notebook, with its stored outputs; nothing is executed.

python .ci/slides.py               all of them, into build/slides
python .ci/slides.py 2.2 2.6       only these

A deck is one HTML file: reveal.js, fonts, pictures and sounds are in it. What a slide shows follows
from the notebook: a heading with its key sentences, the telling lines of a cell, its outputs, the
first words of the remark after them. The whole prose is in the speaker notes (key S), and so are
the answers of a quiz and the solutions of the exercises. The set-up is left out, and so is a code
cell whose slide type is `skip`.

Heights are reckoned here, in pixels of a slide of 1280 × 720, and tests/test_slides.py measures in
a browser that nothing is cut.
"""

from __future__ import annotations

import argparse
import ast
import base64
import html
import io
import math
import re
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path

import nbformat
from jinja2 import Environment, FileSystemLoader
from markdown_it import MarkdownIt
from nbformat import NotebookNode
from outputs import outputs, tags
from PIL import Image
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / ".ci"
WIDTH, HEIGHT = 1160, 636  # what a slide of 1280 × 720 has inside its margins
PICTURE = 530  # the height of the largest
CODE_LINES, PIECE_LINES = 14, 12  # what a slide holds whole; the pieces of what is longer
CODE_COLUMNS, OUTPUT_COLUMNS, OUTPUT_LINES = 84, 92, 13
SIZES = {"say": (30, 42), "item": (27, 37), "ask": (30, 42), "task": (26, 36)}  # font, line
WIDE = 0.52  # mean width of a letter of IBM Plex Sans, in its size, with what line breaks waste
DETAILS = re.compile(
    r"<details>\s*<summary>(?P<name>.*?)</summary>(?P<text>.*?)</details>", re.DOTALL
)
CAPTION = re.compile(r"^\*Figure: (?P<seen>.+)\*$", re.MULTILINE)
QUESTION = re.compile(r"^\*\*(?P<number>\d+)\. (?P<name>.+?)\*\*\s*", re.DOTALL)
MARKDOWN = MarkdownIt("commonmark").enable("table")


# ------------------------------------------------------------------------------ the parts of a deck


@dataclass
class Box:
    """A piece of a slide; `least` is the height to which a picture may shrink.

    `grown` gives its height when its letters are larger by a factor, infinite if it is too wide.
    """

    html: str
    height: float
    least: float = 0.0
    kind: str = ""
    grown: Callable[[float], float] = lambda scale: math.inf
    text: str = ""
    columns: int = 0  # of an output
    aspect: float = 0.0  # of a picture
    room: float = 0.0  # what stands beside a picture has this width,
    parts: list[Box] = field(default_factory=list)  # and is this

    def __post_init__(self) -> None:
        self.least = self.least or self.height


@dataclass
class Slide:
    """One slide: `kind` is "", "title", "ask" or "task"; `notes` are paragraphs of HTML."""

    heading: str
    kicker: str = ""
    kind: str = ""
    boxes: list[Box] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    starts_section: bool = False
    scale: float = 1.0


@dataclass
class Block:
    """A block of markdown: "paragraph", "list", "table", "fence" or "other", with its source."""

    kind: str
    source: str
    items: list[str] = field(default_factory=list)
    info: str = ""
    start: int | None = None  # of a numbered list


@dataclass
class Part:
    """A heading ("" where none stands above) and the blocks under it."""

    level: int
    heading: str
    blocks: list[Block]


# -------------------------------------------------------------------------------- reading markdown


def parts_of(source: str) -> list[Part]:
    """Cut markdown at its headings."""
    lines, tokens = source.splitlines(), MARKDOWN.parse(source)
    parts = [Part(0, "", [])]
    for i, token in enumerate(tokens):
        if token.level or token.map is None:
            continue
        text = "\n".join(lines[slice(*token.map)])
        if token.type == "heading_open":
            parts.append(Part(int(token.tag[1]), tokens[i + 1].content, []))
        elif token.type in ("bullet_list_open", "ordered_list_open"):
            start = (int(token.attrs.get("start", 1))) if token.type[0] == "o" else None
            parts[-1].blocks.append(Block("list", text, _items(tokens[i:], lines), start=start))
        else:
            kind = {"paragraph_open": "paragraph", "table_open": "table", "fence": "fence"}
            block = Block(kind.get(token.type, "other"), text, info=token.info)
            if block.kind == "fence":
                block.source = token.content
            parts[-1].blocks.append(block)
    return [part for part in parts if part.heading or part.blocks]


def _items(tokens: list, lines: list[str]) -> list[str]:
    """The sources of a list's items, without their marks."""
    items, end = [], tokens[0].map[1]
    for token in tokens:
        if token.map and token.map[0] >= end:
            break
        if token.type == "list_item_open" and token.level == 1:
            first, *rest = lines[slice(*token.map)]
            first = re.sub(r"^\s*(?:[-*+]|\d+[.)])\s+", "", first)
            items.append("\n".join([first, *(line.strip() for line in rest)]).strip())
    return items


def sentences(text: str) -> list[str]:
    """Cut a paragraph after its sentences, never within markup or after an abbreviation."""
    found: list[str] = []
    for piece in re.split(r"(?<=[.?!:])((?:\*{1,2}|[\")_])*\s+)(?=[\"(*`\[]*[A-Z0-9])", text):
        whole = found and _is_whole(found[-1])
        if not found or (whole and re.match(r"\S", piece) and re.search(r"\w", piece)):
            found.append(piece)
        else:
            found[-1] += piece
    return [sentence.strip() for sentence in found]


def _is_whole(text: str) -> bool:
    """Does a sentence end here, with all its markup closed?"""
    closed = not any(text.count(mark) % 2 for mark in ("**", "`", '"'))
    closed &= text.replace("**", "").count("*") % 2 == 0
    closed &= text.count("(") == text.count(")") and text.count("[") == text.count("]")
    abbreviation = re.search(r"\b(?:et al|e\.g|i\.e|Dr|Mr|Ms|St|vs|No)\.\s*$|:\s*$", text)
    return closed and not abbreviation


def plain(text: str) -> str:
    """Markdown as a reader sees it, for counting its letters."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"\*\*|`|(?<!\w)\*|\*(?!\w)", "", text).split())


def cut(text: str, letters: int) -> str:
    """Shorten a sentence that is too long for a slide, where it has a joint."""
    if len(plain(text)) <= letters:
        return text
    for joint in (";", ":", " – ", ",", " "):
        for match in reversed(list(re.finditer(re.escape(joint) + r"(?:\s+|$)", text))):
            start = text[: match.start()]
            if letters / 3 < len(plain(start)) <= letters and _is_whole(start + "."):
                return start + " …"
    return text


def gist(paragraphs: list[str], letters: int = 330) -> list[str]:
    """The key sentences of some paragraphs: the first, those in bold, the question at the end."""
    if sum(len(plain(text)) for text in paragraphs) <= letters:
        return paragraphs
    ranked = []
    for p, text in enumerate(paragraphs):
        found = sentences(text)
        for s, sentence in enumerate(found):
            long = len(plain(sentence)) > 45 and not sentence.endswith("?")
            worth = 3 if "**" in sentence else 1 if s == 0 and long else 0
            worth += 4 if p == s == 0 else 0
            if p == len(paragraphs) - 1:  # a question, and what it is about
                worth += 5 if "?" in sentence else 4 if "?" in "".join(found[s + 1 : s + 2]) else 0
            worth -= 9 if sentence.startswith("(") else 0
            ranked.append((-worth, p, s, cut(sentence, 210)))
    taken, left = [], letters
    for worth, p, s, sentence in sorted(ranked):
        if worth < 0 and (not taken or len(plain(sentence)) <= left):
            taken.append((p, s, sentence))
            left -= len(plain(sentence))
    kept: list[str] = []
    for (p, s, sentence), before in zip(sorted(taken), [None, *sorted(taken)], strict=False):
        if before and before[:2] == (p, s - 1):
            kept[-1] += " " + sentence
        else:
            kept.append(sentence)
    return kept


# ------------------------------------------------------------------------------------- making boxes


def inline(text: str, links: bool = False) -> str:
    """Render a line of markdown; a link leads out of the room, so only notes keep it."""
    return _links(MARKDOWN.renderInline(text), links)


def notes_of(source: str) -> str:
    """Render markdown for the speaker notes."""
    return _links(MARKDOWN.render(CAPTION.sub(r"*The figure: \g<seen>*", source)), True)


def _links(rendered: str, keep: bool) -> str:
    kept = r'href="https?:' if keep else r"never"
    return re.sub(rf"<a (?!{kept})[^>]*>(.*?)</a>", r"\1", rendered, flags=re.DOTALL)


def lines_of(text: str, size: float, width: float = WIDTH) -> int:
    """How many lines a text takes at this size, in pixels."""
    return len(textwrap.wrap(plain(text), max(8, int(width / (size * WIDE))))) or 1


def say(text: str, kind: str = "say", width: float = WIDTH) -> Box:
    """A paragraph."""
    size, line = SIZES[kind]

    def height(scale: float) -> float:
        return lines_of(text, size * scale, width) * line * scale + 14

    content = f'<p class="{kind}">{inline(text)}</p>'
    return Box(content, height(1), kind=kind, grown=height, text=text)


def remark(text: str, width: float = WIDTH) -> Box:
    """What is said about an output; it comes with a key, so that the room looks first."""
    box = say(text, "item", width)
    box.html = f'<div class="fragment remark">{box.html}</div>'
    box.height = box.least = box.height + 8
    box.kind = "remark"
    return box


def beside(boxes: list[Box]) -> list[Box]:
    """Put beside a picture that is not wide what was printed before it and is said about it."""
    laid: list[Box] = []
    for box in boxes:
        if box.kind == "picture" and box.aspect < 1.62:
            height = min(PICTURE, 740 / box.aspect)
            room = WIDTH - height * box.aspect - 40
            before = []
            if laid and laid[-1].kind == "output" and laid[-1].columns * 12.1 + 44 <= room:
                before = [laid.pop()]
            whole = Box(f"<div>{box.html % (height - 14)}</div>", height, kind="beside")
            whole.parts, whole.room = before, room
            laid.append(whole)
        elif box.kind == "remark" and laid and laid[-1].kind == "beside":
            narrow = remark(box.text, laid[-1].room)
            if sum(part.height for part in laid[-1].parts) + narrow.height <= laid[-1].height:
                laid[-1].parts.append(narrow)
            else:
                laid.append(box)
        else:
            laid.append(box)
    for box in laid:
        if box.kind == "beside":
            text = "".join(part.html for part in box.parts)
            box.html = f'<div class="beside">{box.html}<div>{text}</div></div>'
    return laid


def listed(block: Block, kind: str = "item", shorten: bool = True) -> list[Box]:
    """A box for each item of a list, so that a long one can go on on the next slide."""
    size, line = SIZES[kind]
    items = block.items
    if shorten and sum(lines_of(item, size, WIDTH - 44) for item in items) > 8:
        items = [cut(_lead(item), 190) for item in items]
    boxes = []
    for number, item in enumerate(items, start=block.start or 1):
        tag, start = ("ul", "") if block.start is None else ("ol", f' start="{number}"')
        content = f'<{tag}{start} class="{kind}"><li>{inline(item)}</li></{tag}>'

        def height(scale: float, item: str = item) -> float:
            return lines_of(item, size * scale, WIDTH - 44) * line * scale + 10

        boxes.append(Box(content, height(1), kind="item", grown=height))
    return boxes


def _lead(item: str) -> str:
    """An item's first sentence; with the next one where the first is but its name."""
    first, *rest = sentences(item)
    named = first.startswith("**") and len(plain(first)) < 50 and rest
    return f"{first} {rest[0]}" if named else first


def table(rows: list[list[str]], room: float = 500) -> list[Box]:
    """A table, its first row the head, cut between rows where it is too high for a slide."""
    size, line = 24, 32
    head, *body = rows
    longest = [max(len(plain(row[c])) for row in rows) for c in range(len(head))]
    columns = WIDTH / (size * WIDE) - 3 * len(head)
    short = sum(n for n in longest if n <= columns / len(head))
    long = sum(n for n in longest if n > columns / len(head)) or 1
    share = [n if n <= columns / len(head) else (columns - short) * n / long for n in longest]

    def height(row: list[str]) -> float:
        wrapped = [len(textwrap.wrap(plain(c), max(6, int(n)))) for c, n in zip(row, share)]  # noqa: B905
        return max(1, *wrapped) * line + 17

    boxes, chunk = [], []
    for row in [*body, None]:
        if row is None or sum(map(height, [head, *chunk, row])) > room:
            boxes.append(Box(_table(head, chunk), sum(map(height, [head, *chunk])) + 12))
            chunk = []
        chunk.append(row)
    return boxes


def _table(head: list[str], body: list[list[str]]) -> str:
    def row(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{inline(cell)}</{tag}>" for cell in cells) + "</tr>"

    top = f"<thead>{row(head, 'th')}</thead>" if any(head) else ""
    return f"<table>{top}<tbody>{''.join(row(cells, 'td') for cells in body)}</tbody></table>"


def picture(data: str, kind: str, alt: str) -> Box:
    """A picture, base64; as large as the slide has room, but not blown up beyond twice its size."""
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        width, height = image.size
    natural = min(WIDTH * height / width, 2 * height, PICTURE)
    alt = html.escape(alt).replace("%", "%%")
    # The height is filled in once the slide knows its room.
    tag = f'<img src="data:{kind};base64,{data}" alt="{alt}" style="height:%dpx">'
    least = min(natural, max(300, 0.8 * natural))
    return Box(tag, natural, least, "picture", aspect=width / height)


def text_output(text: str, most: int = OUTPUT_LINES) -> Box:
    """What a cell printed, its long lines wrapped once and its end cut."""
    shown: list[str] = []
    for line in text.rstrip().splitlines():
        wrapped = textwrap.wrap(
            line, OUTPUT_COLUMNS, replace_whitespace=False, drop_whitespace=False
        ) or [""]
        if len(wrapped) > 2:
            wrapped = [wrapped[0], wrapped[1][: OUTPUT_COLUMNS - 2].rstrip() + " …"]
        shown += wrapped
    if len(shown) > most:
        shown = [*shown[: most - 1], "…"]
    widest = max(map(len, shown))

    def height(scale: float) -> float:
        fits = widest * scale <= OUTPUT_COLUMNS
        return len(shown) * 27 * scale + 30 if fits else math.inf

    content = f'<pre class="output">{html.escape(chr(10).join(shown))}</pre>'
    return Box(content, height(1), kind="output", grown=height, columns=widest)


def outputs_of(cell: NotebookNode, alt: str) -> list[Box]:
    """The stored outputs of a code cell: texts, pictures, players and tables."""
    boxes: list[Box] = []
    found = outputs(cell)
    pictured = any(kind.startswith("image/") for kind, _ in found)
    rich = pictured or any(kind == "text/html" for kind, _ in found)
    for kind, content in found:
        if kind in ("image/png", "image/jpeg"):
            boxes.append(picture(content.replace("\n", ""), kind, alt))
        elif kind == "text/html" and "<audio" in content:
            if boxes and boxes[-1].kind == "sound" and boxes[-1].columns == 1:  # two in a row
                boxes[-1].html += f'<div class="sound">{content}</div></div>'
                boxes[-1].columns = 2
            else:
                row = f'<div class="sounds"><div class="sound">{content}</div>'
                boxes.append(Box(row, 110, kind="sound", columns=1))
        elif kind == "text/html" and "<table" in content:
            rows = re.findall(r"<tr.*?</tr>", content, re.DOTALL)
            cells = [re.findall(r"<t[hd]\b[^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
            cells = [[html.unescape(cell).strip() for cell in row] for row in cells]
            boxes += table(cells[:9])
        elif content.strip() and (kind == "text/stdout" or (kind == "text/plain" and not rich)):
            boxes.append(text_output(content))
    for box in boxes:
        if box.kind == "sound" and box.columns == 1:
            box.html += "</div>"
    return boxes


# --------------------------------------------------------------------------------------------- code


def code_boxes(source: str) -> tuple[list[Box], str]:
    """A cell's code in pieces that fit a slide, and what was left out, in words."""
    lexer, formatter = PythonLexer(stripnl=False), HtmlFormatter(nowrap=True)
    rendered = highlight(source, lexer, formatter).splitlines()
    lines = source.splitlines()
    kept, left_out = telling(source)
    pieces = pieces_of(lines, kept, source)
    return [_code(piece, lines, rendered) for piece in pieces], left_out


def height_of(line: str) -> int:
    """How many lines of a slide a line of code takes: what is too wide goes on, indented."""
    indent = len(line) - len(line.lstrip()) + 4
    return 1 + max(0, -(-(len(line) - CODE_COLUMNS) // (CODE_COLUMNS - indent)))


def telling(source: str) -> tuple[list[int | None], str]:
    """The numbers of the lines worth showing, None for a gap, and what was left out, in words.

    A cell that fits is shown whole. Else imports go first, then what draws a figure.
    """
    lines = source.splitlines()
    everything = [n for n, _ in enumerate(lines)]
    try:
        body = ast.parse(source).body
    except SyntaxError:  # a magic or a shell line
        return everything, ""
    dropped: set[int] = set()
    words = []
    is_drawing = drawing_of(body)
    for name, unwanted in (
        ("imports", lambda step: isinstance(step, ast.Import | ast.ImportFrom)),
        ("the drawing of the figure", is_drawing),
    ):
        remaining = [lines[n] for n in everything if n not in dropped]
        if sum(height_of(line) for line in remaining if line.strip()) <= CODE_LINES:
            break
        end, found = 0, set()
        for step in body:
            if unwanted(step):
                found |= set(range(end, step.end_lineno))
            end = step.end_lineno
        if found and found | dropped != set(everything):
            dropped |= found
            words.append(name)
    kept: list[int | None] = []
    for n in everything:
        if n not in dropped:
            if lines[n].strip() or (kept and kept[-1] is not None and lines[kept[-1]].strip()):
                kept.append(n)
        elif kept and kept[-1] is not None and lines[n].strip():
            kept.append(None)
    return kept, " and ".join(words)


def drawing_of(body: list[ast.stmt]):
    """Return a function that tells whether a statement does nothing but draw."""
    names = {"plt", "drawing"}

    def root(node: ast.AST) -> str:
        while not isinstance(node, ast.Name):
            node = getattr(node, "func", None) or getattr(node, "value", None)
            if node is None:
                return ""
        return node.id

    def draws(step: ast.stmt) -> bool:
        match step:
            case ast.Expr(value=ast.Call() as call):
                return root(call) in names
            case ast.Assign(value=ast.Call() as call) if root(call) in names:
                targets = [n for t in step.targets for n in ast.walk(t) if isinstance(n, ast.Name)]
                names.update(target.id for target in targets)
                return True
            case ast.For():
                drawn = {n.id for n in ast.walk(step.iter) if isinstance(n, ast.Name)} & names
                if drawn:
                    first = step.target.elts[0] if hasattr(step.target, "elts") else step.target
                    names.update(n.id for n in ast.walk(first) if isinstance(n, ast.Name))
                inner = [draws(inner) for inner in step.body]
                speaks = re.search(r"\bprint\(|\.append\(", ast.unparse(step))
                return all(inner) or bool(drawn and any(inner) and not speaks)
        return False

    known = {id(step): draws(step) for step in body}
    return lambda step: known[id(step)]


def pieces_of(lines: list[str], kept: list[int | None], source: str) -> list[list[int | None]]:
    """Cut code into pieces that fit a slide, at the ends of statements, outermost first."""
    depth: dict[int, int] = {}  # line → how deep the statement is that begins there

    def walk(body: list[ast.stmt], level: int) -> None:
        end = 0
        for step in body:
            first = min([step.lineno, *(d.lineno for d in getattr(step, "decorator_list", []))]) - 1
            while end and first > end and lines[first - 1].lstrip().startswith("#"):
                first -= 1  # a comment belongs to what it stands over
            depth.setdefault(first, level)
            end = step.end_lineno
            for name in ("body", "orelse", "finalbody"):
                walk(getattr(step, name, []), level + 1)

    try:
        walk(ast.parse(source).body, 0)
    except SyntaxError:
        depth = {n: 0 for n, line in enumerate(lines) if line and not line[0].isspace()}

    def size(piece: list[int | None]) -> int:
        return sum(1 if n is None else height_of(lines[n]) for n in piece)

    def trimmed(piece: list[int | None]) -> list[int | None]:
        blank = [n is not None and not lines[n].strip() for n in piece]
        first = next((i for i, b in enumerate(blank) if not b), 0)
        last = next((i for i, b in enumerate(reversed(blank)) if not b), 0)
        return piece[first : len(piece) - last]

    pieces, rest = [], trimmed(kept)
    if size(rest) > CODE_LINES:  # does it fit without its blank lines?
        dense = [n for n in rest if n is None or lines[n].strip()]
        rest = dense if size(dense) <= CODE_LINES else rest
    while size(rest) > (PIECE_LINES if pieces else CODE_LINES):
        many = -(-size(rest) // PIECE_LINES)
        even = size(rest) / many
        places = [i for i in range(2, len(rest)) if size(trimmed(rest[:i])) <= PIECE_LINES]
        breaks = [i for i in places if rest[i] in depth]
        # The shallowest break; of equals, the one nearest to pieces of one size.
        at = min(
            breaks or places[-1:],
            key=lambda i: 2.5 * depth.get(rest[i], 9) + abs(size(rest[:i]) - even),
        )
        pieces.append(trimmed(rest[:at]))
        rest = trimmed(rest[at:])
    return [*pieces, rest] if rest else pieces


def _code(piece: list[int | None], lines: list[str], rendered: list[str]) -> Box:
    shown, high = [], 0
    for n in piece:
        line = "" if n is None else lines[n]
        indent = len(line) - len(line.lstrip()) + 4
        content = '<span class="c1"># …</span>' if n is None else rendered[n]
        style = f"padding-left:{indent}ch;text-indent:-{indent}ch"
        shown.append(f'<span class="line" style="{style}">{content or " "}</span>')
        high += height_of(line)
    widest = max(len(lines[n]) for n in piece if n is not None)

    def height(scale: float) -> float:
        return high * 30 * scale + 40 if scale == 1 or widest * scale <= CODE_COLUMNS else math.inf

    return Box(f'<pre class="code">{"".join(shown)}</pre>', height(1), kind="code", grown=height)


# --------------------------------------------------------------------------------------- the deck


class Deck:
    """The slides of one notebook, made cell by cell."""

    def __init__(self, notebook: NotebookNode, name: str) -> None:
        self.name = name
        self.slides: list[Slide] = []
        self.section = self.heading = ""
        self.deeper = False
        self.group: list[Slide] = []  # the slides that came last, whose notes may still grow
        self.waiting: tuple[list[Box], list[str]] | None = None  # a cell whose remark may follow
        self.leading: tuple[list[Box], list[str]] = [], []  # what leads to the next cell: "So:"
        cells = notebook.cells
        self.headings = [
            (part.level, part.heading)
            for cell in cells
            if cell.cell_type == "markdown"
            for part in parts_of(cell.source)
            if part.heading
        ]
        self._title(cells[0])
        for cell, after in zip(cells[1:], [*cells[2:], None], strict=True):
            self._cell(cell, after)
        self._flush()

    def _cell(self, cell: NotebookNode, after: NotebookNode | None) -> None:
        kind = set(tags(cell))
        if cell.cell_type == "markdown":
            if "quiz" in kind:
                self._flush()
                self._quiz(cell)
            else:
                self._prose(cell.source, bool(after and after.cell_type == "code"))
        elif cell.cell_type == "code" and not kind & {"setup", "exercise", "self-check"}:
            self._flush()
            if cell.metadata.get("slideshow", {}).get("slide_type") != "skip":
                self._code(cell, after)

    # -- a title, a quiz

    def _title(self, cell: NotebookNode) -> None:
        (part,) = parts_of(cell.source)
        said = [b.source for b in part.blocks if b.kind == "paragraph" and "badge" not in b.source]
        question, measured, *lead = said
        shown = {"question": question[2:-2], "measured": measured[1:-1]}
        boxes = [Box(f'<p class="{k}">{inline(v)}</p>', 200) for k, v in shown.items()]
        self.slides.append(Slide(part.heading, "Introduction to LLMs", "title", boxes))
        self.slides[-1].notes = [notes_of(f"{question}\n\n{measured}")]
        self.slides[-1].starts_section = True
        aims = [box for block in part.blocks for box in listed(block, "say", shorten=False)]
        self.heading = lead[0] if lead else "What you will be able to do"
        self._add(aims, [notes_of("\n\n".join(b.source for b in part.blocks[-2:]))])

    def _quiz(self, cell: NotebookNode) -> None:
        introduction, before = "", not self.section
        for number, piece in enumerate(re.split(r"(?<=</details>)", cell.source)):
            if not (answer := DETAILS.search(piece)):
                continue
            blocks = [b for part in parts_of(piece[: answer.start()]) for b in part.blocks]
            options = next(i for i, block in enumerate(blocks) if block.kind == "list")
            introduction = introduction or "\n\n".join(b.source for b in blocks[: options - 1])
            question = blocks[options - 1].source.removeprefix("**").removesuffix("**")
            kicker = "Ask the room: before we begin" if before else "Ask the room: what stayed?"
            boxes = [say(question, "ask"), *listed(blocks[options], shorten=False)]
            notes = [notes_of(introduction)] if not number else []
            notes += [f"<p><strong>{answer['name']}</strong></p>{notes_of(answer['text'])}"]
            slide = Slide("", kicker, "ask", boxes, notes, starts_section=not number)
            slide.scale = largest(boxes, HEIGHT - 80)
            self.slides.append(slide)
        self.group = []

    # -- prose

    def _prose(self, source: str, before_code: bool) -> None:
        end = 0
        for folded in [*DETAILS.finditer(source), None]:
            parts = parts_of(source[end : folded.start() if folded else len(source)])
            for part in parts:
                self._part(part, before_code and not folded and part is parts[-1])
            if folded:
                self._flush()
                text = f"<p><strong>{folded['name']}</strong></p>{notes_of(folded['text'])}"
                for slide in self.group:
                    slide.notes.append(text)
                end = folded.end()

    def _part(self, part: Part, before_code: bool) -> None:
        blocks = [b for b in part.blocks if not CAPTION.match(b.source)]
        notes = notes_of("\n\n".join(self._source(b) for b in part.blocks))
        if part.heading:
            self._flush()
            if part.level == 2:
                self.section, self.heading = part.heading, part.heading
                self.deeper |= part.heading.startswith("Deeper")
            self.heading = part.heading
            if self.section == "Setup":
                return
            if not part.blocks:
                self._add(self._agenda(), ["<p>What this part holds.</p>"], level=part.level)
                return
        if self.section == "Setup":
            return
        if self.section == "Exercises" and not self.deeper:
            self._task(part.level, blocks, notes)
            return
        paragraphs = [b.source for b in blocks if b.kind == "paragraph" and "![" not in b.source]
        if not part.heading and self.waiting:
            boxes = self._remark(blocks, paragraphs, notes, before_code)
        else:
            # Sentences go where their paragraph stood: what leads to a list stays above it.
            chosen = gist(paragraphs, 330 if len(paragraphs) == len(blocks) else 230)
            boxes = self._in_order(blocks, chosen)
        if len(boxes) == 1 and before_code and not part.heading and boxes[0].text.endswith(":"):
            self.leading = boxes, [notes]
        elif boxes:
            self._add(boxes, [notes], level=part.level)

    def _in_order(self, blocks: list[Block], chosen: list[str]) -> list[Box]:
        """The chosen sentences and all that is no paragraph, in the notebook's order."""
        boxes, rest = [], list(chosen)
        for block in blocks:
            if block.kind == "paragraph" and "![" not in block.source:
                key = plain(block.source)
                while rest and plain(rest[0]).removesuffix(" …")[:40] in key:
                    boxes.append(say(rest.pop(0)))
            else:
                boxes += self._block(block)
        return [*boxes, *map(say, rest)]

    def _remark(
        self, blocks: list[Block], paragraphs: list[str], notes: str, before_code: bool
    ) -> list[Box]:
        """Add to a waiting cell what is said about it; return what needs a slide of its own."""
        boxes, said = self.waiting
        said.append(notes)
        if paragraphs and not paragraphs[0].endswith(":"):
            boxes.append(remark(" ".join(gist(paragraphs[:1], 200)[:2])))
        self._flush()
        leads = [text for text in paragraphs if text.endswith(":")]
        if before_code and len(paragraphs) > 1 and "?" in paragraphs[-1]:
            leads += gist(paragraphs[-1:], 250)
        return self._in_order(blocks, leads)

    def _task(self, level: int, blocks: list[Block], notes: str) -> None:
        if level == 2:
            agenda = self._agenda()
            if agenda or not blocks:
                self._add(agenda, ["<p>The exercises of this notebook.</p>"], level=2)
                level = 0
        if not blocks:
            return
        first = QUESTION.match(blocks[0].source)
        if first:
            self.heading = f"{first['number']}. {first['name'].rstrip('.')}"
            blocks[0].source = blocks[0].source[first.end() :]
        boxes = []
        for block in blocks:
            if block.kind == "list":
                boxes += listed(block, "task", shorten=False)
            elif block.kind == "paragraph":
                boxes.append(say(block.source, "task"))
            else:
                boxes += self._block(block)
        self._add(boxes, [f"<p>The task, in the notebook's words.</p>{notes}"], "task", level)

    def _agenda(self) -> list[Box]:
        """The headings below the current one."""
        place = next(i for i, (_, words) in enumerate(self.headings) if words == self.heading)
        level, below = self.headings[place][0], []
        for other, words in self.headings[place + 1 :]:
            if other <= level:
                break
            below.append(words)
        return [say(words) for words in below]

    def _block(self, block: Block) -> list[Box]:
        if block.kind == "list":
            return listed(block)
        if block.kind == "table":
            rows = [
                [cell.strip() for cell in line.strip().strip("|").split("|")]
                for line in block.source.splitlines()
            ]
            return table([rows[0], *rows[2:]])
        if block.kind == "fence":
            is_python = block.info.startswith("py")
            return code_boxes(block.source)[0] if is_python else [text_output(block.source, 18)]
        if shown := re.search(r"!\[(?P<alt>.*?)\]\((?P<path>[^)]+)\)", block.source):
            file = (ROOT / "notebooks" / shown["path"]).resolve()
            kind = "image/png" if file.suffix == ".png" else "image/jpeg"
            return [picture(base64.b64encode(file.read_bytes()).decode(), kind, shown["alt"])]
        return []

    @staticmethod
    def _source(block: Block) -> str:
        if "![" in block.source:
            return re.sub(r"!\[(.*?)\]\([^)]+\)", r"*The picture: \1*", block.source)
        return f"```{block.info}\n{block.source}```" if block.kind == "fence" else block.source

    # -- code

    def _code(self, cell: NotebookNode, after: NotebookNode | None) -> None:
        follows = after.source if after and after.cell_type == "markdown" else ""
        alt = next((plain(m["seen"]) for m in CAPTION.finditer(follows)), "")
        boxes, left_out = code_boxes(cell.source)
        note = f"<p>In the notebook: code cell [{cell.execution_count}]."
        note += f" Left out here: {left_out}.</p>" if left_out else "</p>"
        lead, said = self.leading
        self.waiting = (lead + boxes + outputs_of(cell, alt), [*said, note])
        self.leading = [], []

    def _flush(self) -> None:
        if self.waiting:
            (boxes, notes), self.waiting = self.waiting, None
            self._add(beside(boxes), notes)

    # -- slides

    def _add(self, boxes: list[Box], notes: list[str], kind: str = "", level: int = 0) -> None:
        kicker = self.section if self.heading != self.section else ""
        kicker = "Your turn" if kind == "task" else kicker
        top = 50 * lines_of(self.heading, 40) + 20 + (30 if kicker else 0)
        self.group = []
        for number, some in enumerate(pack(boxes, HEIGHT - top)):
            slide = Slide(inline(self.heading), kicker, kind, some, notes)
            slide.starts_section = level == 2 and not number
            slide.scale = largest(some, HEIGHT - top)
            self.group.append(slide)
        self.slides += self.group


def pack(boxes: list[Box], room: float) -> Iterator[list[Box]]:
    """Lay boxes on slides, in their order, and give the pictures the room that is left."""
    slides: list[list[Box]] = [[]]
    for number, box in enumerate(boxes):
        two_pieces = box.kind == "code" and any(b.kind == "code" for b in slides[-1])
        needed = box.least
        if box.kind == "sound" and boxes[number - 1].kind != "sound":  # players stay together
            players = takewhile(lambda b: b.kind == "sound", boxes[number:])
            needed = min(sum(b.least for b in players), room)
        full = sum(b.least for b in slides[-1]) + needed > room
        if slides[-1] and (full or two_pieces):
            # What is said of an output stays with it.
            output_goes_on = (box.kind, slides[-1][-1].kind) == ("remark", "output")
            slides.append([slides[-1].pop()] if output_goes_on else [])
        slides[-1].append(box)
    for some in filter(None, slides):
        spare = room - sum(box.least for box in some)
        for box in some:
            if box.kind == "picture":
                height = min(box.height, box.least + spare)
                spare -= height - box.least
                box.html %= height - 14
        yield some


def largest(boxes: list[Box], room: float) -> float:
    """By how much a slide's letters may grow until they fill it: the back row reads them, too."""
    for scale in (1.3, 1.25, 1.2, 1.15, 1.1, 1.05):
        if sum(box.grown(scale) for box in boxes) <= room:
            return scale
    return 1.0


# ----------------------------------------------------------------------------------------- the file


def page(deck: Deck) -> str:
    """The deck as one HTML file."""
    reveal = HERE / "reveal"
    # IBM Plex comes with Gradio, which is not imported for it: that takes seconds.
    gradio = Path(find_spec("gradio").origin).parent
    fonts = gradio / "templates/frontend/static/fonts"
    faces = [
        ("Plex", 400, fonts / "IBMPlexSans/IBMPlexSans-Regular.woff2"),
        ("Plex", 700, fonts / "IBMPlexSans/IBMPlexSans-Bold.woff2"),
        ("Plex Mono", 400, fonts / "IBMPlexMono/IBMPlexMono-Regular.woff2"),
    ]
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=False)
    stacks: list[list[Slide]] = []
    for slide in deck.slides:
        if slide.starts_section or not stacks:
            stacks.append([])
        stacks[-1].append(slide)
    return environment.get_template("slides.html").render(
        name=deck.name.replace("_", " "),
        stacks=stacks,
        fonts=[(f, w, base64.b64encode(path.read_bytes()).decode()) for f, w, path in faces],
        style=(reveal / "reveal.css").read_text("utf-8"),
        pygments=HtmlFormatter(style="xcode").get_style_defs("pre.code"),
        scripts=[script(reveal / file) for file in ("reveal.js", "notes.js")],
    )


def script(file: Path) -> str:
    """A script as it may stand in a page: two of its strings would end or hide it there."""
    return file.read_text("utf-8").replace("</script", r"<\/script").replace("<!--", r"<\!--")


def main(arguments: list[str] | None = None) -> int:
    """Write the decks; return 0, or 1 after one sentence on what is missing."""
    parser = argparse.ArgumentParser(description="Make a deck of slides from each notebook.")
    parser.add_argument("names", nargs="*", help="how a notebook's name begins: 2.2")
    parser.add_argument("--into", type=Path, default=ROOT / "build" / "slides")
    options = parser.parse_args(arguments)
    paths = sorted((ROOT / "notebooks").glob("*.ipynb"))
    wanted = [p for p in paths if not options.names or p.stem.startswith(tuple(options.names))]
    if not wanted:
        names = ", ".join(path.stem.split(" ")[0] for path in paths)
        print(f"No notebook begins with {' or '.join(options.names)}. There are: {names}")
        return 1
    options.into.mkdir(parents=True, exist_ok=True)
    for path in wanted:
        start = time.perf_counter()
        deck = Deck(nbformat.read(path, as_version=4), path.stem)
        file = options.into / f"{path.stem}.html"
        file.write_text(page(deck), encoding="utf-8")
        size, seconds = file.stat().st_size / 1e6, time.perf_counter() - start
        print(f"{path.stem:<34}{len(deck.slides):>4} slides {size:5.1f} MB {seconds:5.1f} s")
    print(f"Open a deck of {options.into} in a browser; S shows the notes, ? the other keys.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
