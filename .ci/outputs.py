"""Read and compare the outputs of executed notebooks; used by course.py and by the tests."""

import html
import io
import re
from base64 import b64decode
from datetime import datetime
from typing import NamedTuple

from nbformat import NotebookNode
from PIL import Image

WIDGET = "application/vnd.jupyter.widget-view+json"
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?", re.IGNORECASE)
QUANTITY = re.compile(r"[-+]?\d[\d.,]*(?:\s*(?:[kMGT]?i?B|ms|µs|s|min)\b)?")  # 1.2 GB, 900 ms

THUMBNAIL = 16, 16  # squares of a picture whose mean grey is compared
# How far apart they may be on average, of 255. A rerun draws the same to the pixel; one of four
# boxes missing on a scene makes 0.7, a curve that has moved 1, boxes with x for y 4.
GREY = 0.5


class Picture(NamedTuple):
    """A picture in an output; `thumbnail` holds the mean grey of its squares, row by row."""

    kind: str
    width: int
    height: int
    thumbnail: bytes


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return cell.metadata.get("tags", [])


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def seconds_of(cell: NotebookNode) -> float:
    """How long a cell took in a timed run, its imports included; 0 where it did not run."""
    times = cell.metadata.get("execution", {})
    ends = [times.get(end) for end in ("iopub.execute_input", "shell.execute_reply")]
    if None in ends:
        return 0.0
    begun, ended = map(datetime.fromisoformat, ends)
    return (ended - begun).total_seconds()


def outputs(cell: NotebookNode) -> list[tuple[str, str]]:
    """A cell's outputs as (media type, content), without progress bars, which are no results."""
    found: list[tuple[str, str]] = []
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            kind = f"text/{output.name}"
            if found and found[-1][0] == kind:  # one stream, however it was cut
                found[-1] = (kind, found[-1][1] + output.text)
            else:
                found.append((kind, output.text))
        elif output.output_type == "error":
            found.append(("error", f"{output.ename}: {output.evalue}"))
        elif WIDGET not in output.data:
            for kind, data in sorted(output.data.items()):
                if isinstance(data, str | list):
                    found.append((kind, "".join(data)))
    return found


def text(cell: NotebookNode) -> str:
    """What a reader sees as words: text outputs; HTML without its tags, its media as [img]."""
    words = []
    for kind, content in outputs(cell):
        if kind == "text/html":
            content = re.sub(r"<(style|script)\b.*?</\1>", "", content, flags=re.DOTALL)
            content = re.sub(r"<(img|audio|video|svg)\b", r"[\1] <\1", content)
            content = html.unescape(re.sub(r"<[^>]*>", " ", content))
        if kind.startswith("text/") or kind == "error":
            words.append(re.sub(r"\b0x[0-9a-fA-F]+", "0x0", content))  # an object's address
    return " ".join(" ".join(words).split())


def images(cell: NotebookNode) -> list[Picture]:
    """The pictures of a cell; one that PIL cannot read (SVG) is told by its characters alone."""
    found = []
    for kind, content in outputs(cell):
        if kind in ("image/png", "image/jpeg"):
            with Image.open(io.BytesIO(b64decode(content))) as picture:
                grey = picture.convert("L").resize(THUMBNAIL, Image.Resampling.BOX)
                found.append(Picture(kind, *picture.size, grey.tobytes()))
        elif kind.startswith("image/"):
            found.append(Picture(kind, len(content), 1, b""))
    return found


def close(a: str, b: str) -> bool:
    """Equal, or both written with decimals and within 1 %, or one unit of the last decimal."""
    if a == b or not ("." in a and "." in b):
        return a == b
    decimals = min(len(n.lower().partition("e")[0].partition(".")[2]) for n in (a, b))
    # No unit where a power of ten follows (1.0e-7) or no decimal does (3.).
    unit = 10.0**-decimals if decimals and "e" not in (a + b).lower() else 0.0
    x, y = float(a), float(b)
    return abs(x - y) <= max(0.01 * max(abs(x), abs(y)), unit * (1 + 1e-6))


def differences(before: NotebookNode, after: NotebookNode) -> list[str]:
    """What differs between the outputs of two runs of one notebook; [] when they agree.

    Words must be equal but for white space; decimals agree as `close` says, integers exactly;
    in a cell tagged `volatile` or `setup` every quantity is blotted out first, so that only the
    form is compared; pictures by kind, by size within 10 %, and, where not only the form is
    compared, by the grey of their squares.
    """
    found = []
    cells = code_cells(before), code_cells(after)
    if len(cells[0]) != len(cells[1]):
        return [f"{len(cells[0])} code cells became {len(cells[1])}"]
    for number, (old, new) in enumerate(zip(*cells, strict=True), start=1):
        form_only = bool({"volatile", "setup"} & {*tags(old), *tags(new)})
        blot = QUANTITY if form_only else NUMBER
        words = text(old), text(new)
        form = [blot.sub("#", t) for t in words]
        if "".join(form[0].split()) != "".join(form[1].split()):
            shown = form if form_only else words  # where quantities may differ, they are not shown
            at = next((i for i, (a, b) in enumerate(zip(*shown)) if a != b), 0)  # noqa: B905
            old_part, new_part = (t[max(0, at - 40) : at + 80] for t in shown)
            found.append(f"code cell {number}: text …{old_part!r} became …{new_part!r}")
        elif not form_only:
            for a, b in zip(*(NUMBER.findall(t) for t in words), strict=True):
                if not close(a, b):
                    found.append(f"code cell {number}: {a} became {b}")
        found += [f"code cell {number}: {what}" for what in _changed(old, new, form_only)]
    return found


def _changed(old: NotebookNode, new: NotebookNode, form_only: bool) -> list[str]:
    """What differs between the pictures of two cells."""
    pairs = images(old), images(new)
    shapes = [[picture[:3] for picture in pictures] for pictures in pairs]
    kinds = [[kind for kind, _, _ in pictures] for pictures in shapes]
    sizes = [[n for _, *size in pictures for n in size] for pictures in shapes]
    if kinds[0] != kinds[1] or not all(0.9 <= m / n <= 1.1 for m, n in zip(*sizes, strict=True)):
        return [f"pictures {shapes[0]} became {shapes[1]}"]
    found = []
    for position, (a, b) in enumerate(zip(*pairs, strict=True), start=1):
        grey = [abs(m - n) for m, n in zip(a.thumbnail, b.thumbnail, strict=True)]
        apart = sum(grey) / max(1, len(grey))
        if apart > GREY and not form_only:
            found.append(f"picture {position} looks different (grey {apart:.1f} of 255)")
    return found
