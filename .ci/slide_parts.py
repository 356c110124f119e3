"""The pieces of a slide: what is kept of a cell's prose, code and outputs, and how high it stands.

Heights are reckoned in pixels of a slide of 1280 × 720, since what fits decides what goes on which
slide; tests/test_slides.py measures in a browser that nothing is cut.
"""

from __future__ import annotations

import ast
import base64
import html
import io
import math
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from nbformat import NotebookNode
from outputs import outputs
from PIL import Image
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

WIDTH, HEIGHT = 1160, 636  # what a slide of 1280 × 720 has inside its margins
PICTURE = 530  # the height of the largest
CODE_LINES, PIECE_LINES = 14, 12  # what a slide holds whole; the pieces of what is longer
CODE_COLUMNS, OUTPUT_COLUMNS, OUTPUT_LINES = 84, 92, 13
SIZES = {"say": (30, 42), "item": (27, 37), "ask": (30, 42), "task": (26, 36)}  # font, line
WIDE = 0.52  # mean width of a letter of IBM Plex Sans, in its size, with what line breaks waste
CAPTION = re.compile(r"^\*Figure: (?P<seen>.+)\*$", re.MULTILINE)
POINTS_BACK = re.compile(r"(?:And|Both|But|It|Its|So|That|These|They|This|Those)\b")
MARKDOWN = MarkdownIt("commonmark").enable("table")


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

    def __post_init__(self) -> None:
        self.least = self.least or self.height


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
    for joint in (";", ":", " – "):
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
            refers_back = (
                s == 0 < p and len(found) > 1 and len(plain(sentence)) < 30
            )  # "Which one?"
            if p == len(paragraphs) - 1 and not refers_back:  # a question, and what it is about
                worth += 5 if "?" in sentence else 4 if "?" in "".join(found[s + 1 : s + 2]) else 0
            worth -= 9 if sentence.startswith("(") else 0
            ranked.append((-worth, p, s, cut(sentence, 240)))
    by_place = {(p, s): sentence for _, p, s, sentence in ranked}
    taken: dict[tuple[int, int], str] = {}
    for worth, p, s, sentence in sorted(ranked):
        chosen = {(p, s): sentence}
        points_back = POINTS_BACK.match(sentence) or len(plain(sentence)) < 30
        if points_back and s:  # "That is a tensor": what is?
            chosen[p, s - 1] = by_place[p, s - 1]
        length = sum(len(plain(text)) for text in (taken | chosen).values())
        if worth < 0 and (not taken or length <= letters):
            taken |= chosen
    kept: list[str] = []
    for p, s in sorted(taken):
        if (p, s - 1) in taken:
            kept[-1] += " " + taken[p, s]
        else:
            kept.append(taken[p, s])
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
    for number, box in enumerate(boxes):
        if box.kind != "picture" or box.aspect >= 1.62:
            laid.append(box)
            continue
        height = min(PICTURE, 740 / box.aspect)
        room, column = WIDTH - height * box.aspect - 40, []
        if laid and laid[-1].kind == "output" and laid[-1].columns * 12.1 + 44 <= room:
            column.append(laid.pop())
        for said in [other for other in boxes[number + 1 :] if other.kind == "remark"]:
            narrow = remark(said.text, room)
            if sum(part.height for part in column) + narrow.height <= height:
                column.append(narrow)
                boxes.remove(said)
        if column:
            text = "".join(part.html for part in column)
            both = f"<div>{box.html % (height - 14)}</div><div>{text}</div>"
            laid.append(Box(f'<div class="beside">{both}</div>', height, kind="beside"))
        else:
            laid.append(box)
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


def table(
    rows: list[list[str]], room: float = 530, cell: Callable[[str], str] | None = None
) -> list[Box]:
    """A table, its first row the head, cut between rows where it is too high for a slide.

    cell: makes HTML of a cell; Markdown's if it is not given.
    """
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
            boxes.append(
                Box(_table(head, chunk, cell or inline), sum(map(height, [head, *chunk])) + 12)
            )
            chunk = []
        chunk.append(row)
    return boxes


def _table(head: list[str], body: list[list[str]], content: Callable[[str], str]) -> str:
    def row(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{content(cell)}</{tag}>" for cell in cells) + "</tr>"

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
    """What a cell printed, its long lines wrapped once and its middle cut."""
    shown: list[str] = []
    for line in text.rstrip().splitlines():
        wrapped = textwrap.wrap(
            line, OUTPUT_COLUMNS, replace_whitespace=False, drop_whitespace=False
        ) or [""]
        if len(wrapped) > 2:
            wrapped = [wrapped[0], wrapped[1][: OUTPUT_COLUMNS - 2].rstrip() + " …"]
        shown += wrapped
    if len(shown) > most:  # the middle goes: a cell's last lines are often its point
        head = (most - 1) // 2
        shown = [*shown[:head], "…", *shown[head + 1 - most :]]
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
            said = re.sub(r"<[^>]*>", "", content.partition("<figcaption>")[2].partition("<det")[0])
            height = 76 + 34 * lines_of(html.unescape(said), 24, 560)
            if boxes and boxes[-1].kind == "sound" and boxes[-1].columns == 1:  # two in a row
                boxes[-1].html += f'<div class="sound">{content}</div></div>'
                boxes[-1].columns = 2
                boxes[-1].height = boxes[-1].least = max(height, boxes[-1].height)
            else:
                row = f'<div class="sounds"><div class="sound">{content}</div>'
                boxes.append(Box(row, height, kind="sound", columns=1))
        elif kind == "text/html" and "<table" in content:
            rows = re.findall(r"<tr.*?</tr>", content, re.DOTALL)
            cells = [re.findall(r"<t[hd]\b[^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]
            cells = [[html.unescape(cell).strip() for cell in row] for row in cells]
            boxes += table(cells[:9], cell=html.escape)  # a model's words are no markup
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
            key=lambda i: 6 * depth.get(rest[i], 9) + abs(size(rest[:i]) - even),
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
