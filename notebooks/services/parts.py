"""What the parts of a request hold: text, a picture, a sound, or a document read as text."""

import csv
import io
import json
from dataclasses import dataclass
from html.parser import HTMLParser

import numpy as np
from helpers import media
from PIL import Image

from services.errors import Refused
from services.senses import SAMPLING_RATE

MAX_TEXT = 200_000  # letters of a document
MAX_PAGES = 100
_TOO_LONG = f"The document has over {MAX_TEXT:,} letters: cut it."
PICTURES = ("image/png", "image/jpeg", "image/webp")
SOUNDS = (
    "audio/wav",
    "audio/x-wav",
    "audio/wave",
    "audio/flac",
    "audio/mp3",
    "audio/mpeg",
    "audio/ogg",
)
TEXTS = ("text/plain", "text/markdown", "text/csv", "text/html", "application/json")
DOCUMENTS = (*TEXTS, "application/pdf")


@dataclass(frozen=True)
class Document:
    """A file that was read as text."""

    text: str


Piece = str | Image.Image | np.ndarray | Document  # an array is a waveform


def opened(data: bytes, mime_type: str, field: str) -> Piece:
    """A file's bytes as what they are.

    Raises Refused: 415 for a type that is not read, 400 for what is empty, damaged or too large.
    """
    kind = mime_type.partition(";")[0].strip().lower()
    if kind not in (*PICTURES, *SOUNDS, *DOCUMENTS):
        known = ", ".join(
            sorted({*PICTURES, "audio/wav", "audio/flac", "audio/mp3", "audio/ogg", *DOCUMENTS})
        )
        raise Refused(415, f"Unsupported MIME type: {mime_type}. We read {known}.", field)
    try:
        if kind in PICTURES:
            return media.image(data)
        if kind in SOUNDS:
            return media.audio(data, sampling_rate=SAMPLING_RATE)[0]
        text = _pdf(data) if kind == "application/pdf" else data.decode("utf-8-sig")
        text = _READERS.get(kind, str)(text)
        if len(text) > MAX_TEXT:
            raise ValueError(_TOO_LONG)
        if not text.strip():
            raise ValueError("The document holds no text: send a scanned page as a picture.")
    except UnicodeDecodeError:
        raise Refused(400, "The document is not UTF-8 text: save it as such.", field) from None
    except ValueError as error:
        raise Refused(400, str(error), field) from None
    return Document(text.strip())


def _pdf(data: bytes) -> str:
    from pypdf import PdfReader

    try:
        pages, said = PdfReader(io.BytesIO(data)).pages, []
        for page in pages if len(pages) <= MAX_PAGES else ():
            said.append(page.extract_text())
            if sum(map(len, said)) > MAX_TEXT:
                break
    except Exception:  # pypdf raises what it likes for what it cannot read
        raise ValueError("The PDF is damaged, or needs a password: save it again.") from None
    if len(pages) > MAX_PAGES:
        raise ValueError(f"The PDF has {len(pages)} pages, and we read {MAX_PAGES}: split it.")
    return "\n".join(said)


def _rows(text: str) -> str:
    """A table's rows as sentences: the first column, the name of another, what stands there."""
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if any(row)]
    except csv.Error as error:
        raise ValueError(f"The table is damaged: {error}.") from None
    if len(rows) < 2:
        return text
    names, *others = rows
    said, letters = [], 0
    for row in others:
        for name, value in zip(names[1:], row[1:], strict=False):
            if value:
                said.append(f"{row[0]} {name} {value}.")
                letters += len(said[-1]) + 1
            if letters > MAX_TEXT:  # now: a long name in many rows would fill the memory
                raise ValueError(_TOO_LONG)
    return "\n".join(said)


def _compact(text: str) -> str:
    try:
        return json.dumps(json.loads(text), ensure_ascii=False)
    except (ValueError, RecursionError):
        raise ValueError("The document is no JSON: correct it, or send it as text/plain.") from None


class _Visible(HTMLParser):
    """Collects what a reader of a page sees."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag == "body":  # HTML lets </head> be left out
            self.hidden = 0
        self.hidden += tag in ("script", "style", "head")

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in ("script", "style", "head") and self.hidden > 0

    def handle_data(self, data: str) -> None:
        if not self.hidden and data.strip():
            self.texts.append(" ".join(data.split()))


def _visible(text: str) -> str:
    page = _Visible()
    try:
        page.feed(text)
    except AssertionError:  # that is how html.parser refuses what it cannot read
        raise ValueError("The page is damaged: save it again, or as text.") from None
    return "\n".join(page.texts)


_READERS = {"text/csv": _rows, "text/html": _visible, "application/json": _compact}
