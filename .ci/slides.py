"""Make a deck of slides from each notebook, with its stored outputs; nothing is executed.

python .ci/slides.py               all of them, into build/slides
python .ci/slides.py 2.2 2.6       only these
python .ci/slides.py --path 50     only what is on the path of 50 minutes, or of 90

A deck is one HTML file: reveal.js, fonts, pictures and sounds are in it. What a slide shows follows
from the notebook: a heading with its key sentences, the telling lines of a cell, its outputs, the
first words of the remark after them. The whole prose is in the speaker notes (key S), and so are
the answers of a quiz and the solutions of the exercises. The set-up is left out, and so is a code
cell whose slide type is `skip`.

slide_parts.py holds the rules for the pieces, this file those for their order, and slides.html the
look.
"""

from __future__ import annotations

import argparse
import base64
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path

import nbformat
from files import LAST, asked_for, every_notebook, write
from jinja2 import Environment, FileSystemLoader
from nbformat import NotebookNode
from needs import on_path
from outputs import tags
from pygments.formatters import HtmlFormatter
from slide_parts import (
    CAPTION,
    HEIGHT,
    Block,
    Box,
    Part,
    beside,
    code_boxes,
    cut,
    gist,
    inline,
    lines_of,
    listed,
    notes_of,
    outputs_of,
    parts_of,
    picture,
    plain,
    remark,
    say,
    sentences,
    table,
    text_output,
)

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / ".ci"
DETAILS = re.compile(
    r"<details>\s*<summary>(?P<name>.*?)</summary>(?P<text>.*?)</details>", re.DOTALL
)
QUESTION = re.compile(r"^\*\*(?P<number>\d+)\. (?P<name>.+?)\*\*\s*", re.DOTALL)


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


class Deck:
    """The slides of one notebook, made cell by cell."""

    def __init__(
        self, notebook: NotebookNode, name: str, folder: Path = ROOT / "notebooks"
    ) -> None:
        """folder: where the notebook lies, for its pictures."""
        self.name, self.folder = name, folder
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
        # Alone in its column of the overview, the title is where the key Home leads.
        self._add(aims, [notes_of("\n\n".join(b.source for b in part.blocks[-2:]))], level=2)

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
                self.section = part.heading
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
            key, found = gist(paragraphs[:1], 200)[:2], sentences(paragraphs[0])
            if len(key) == 1 and key == found[:1] and len(plain(key[0])) < 45:
                key += [cut(sentence, 160) for sentence in found[1:2]]  # "No wording wins." And?
            boxes.append(remark(" ".join(key)))
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
            file = (self.folder / shown["path"]).resolve()
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
            self._add(beside([*boxes]), notes)

    # -- slides

    def _add(self, boxes: list[Box], notes: list[str], kind: str = "", level: int = 0) -> None:
        kicker = self.section if self.heading != self.section else ""
        kicker = "Your turn" if kind == "task" else kicker
        top = 50 * lines_of(self.heading, 40) + 20 + (30 if kicker else 0)
        self.group = []
        for number, some in enumerate(pack(boxes, HEIGHT - top)):
            slide = Slide(inline(self.heading), inline(kicker), kind, some, [*notes])
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
    """Write the decks; return 0. A name that names no notebook ends it, in a sentence."""
    parser = argparse.ArgumentParser(description="Make a deck of slides from each notebook.")
    parser.add_argument("names", nargs="*", help="how a notebook's name begins: 2.2")
    parser.add_argument("--path", type=int, choices=(50, 90), help="only what is on this path")
    parser.add_argument("--into", type=Path, default=ROOT / "build" / "slides")
    options = parser.parse_args(arguments)
    paths = [path for path in every_notebook() if not options.path or path != LAST]  # it has none
    wanted = asked_for(parser, paths, options.names)
    for path in wanted:
        start = time.perf_counter()
        notebook, name = nbformat.read(path, as_version=4), path.stem
        if options.path:
            notebook.cells = on_path(notebook, options.path)
            name += f", {options.path} minutes"
        deck = Deck(notebook, path.stem, path.parent)
        file = options.into / f"{name}.html"
        write(file, page(deck))
        size, seconds = file.stat().st_size / 1e6, time.perf_counter() - start
        print(f"{name:<46}{len(deck.slides):>4} slides {size:5.1f} MB {seconds:5.1f} s")
    print(f"Open a deck of {options.into} in a browser; S shows the notes, ? the other keys.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
