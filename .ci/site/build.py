"""Build the course's site from what the repository holds: no network, and no notebook is run.

python .ci/site/build.py          build/site/, every link on the course's own pages checked

It needs what `.ci/environment.py --site` installs.
"""

import argparse
import io
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MADE_HERE = ".course-site"  # lies in every folder that was filled here
LOADED = {"script", "img", "audio", "video", "source", "iframe", "embed", "object", "use"}
ADDRESS_IN_CSS = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")
FOR_SCREEN_READERS = (  # what the theme leaves without a level or a name
    ('<p class="caption" role="heading">', '<p class="caption" role="heading" aria-level="2">'),
    ('<aside class="sidebar-drawer">', '<aside class="sidebar-drawer" aria-label="All pages">'),
    ('<aside class="toc-drawer', '<aside aria-label="On this page" class="toc-drawer'),
)


def main(arguments: list[str] | None = None) -> int:
    """Build it; return 0, or 1 after a sentence for everything that is wrong."""
    parser = argparse.ArgumentParser(description="Build the course's site.")
    parser.add_argument("--to", type=Path, default=ROOT / "build" / "site", help="where to")
    to = parser.parse_args(arguments).to.absolute()
    started = time.monotonic()
    try:
        problems = build(to)
    except (ImportError, OSError, ValueError) as problem:
        problems = [str(problem)]
        if isinstance(problem, ImportError):
            problems = [f"{problem}. Run: python3 .ci/environment.py --site"]
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    pages = len(list(to.glob("*.html")))
    print(f"{pages} pages in {time.monotonic() - started:.0f} s: {to / 'index.html'}")
    return 0


def build(to: Path) -> list[str]:
    """Build the site beside the folder `to`, and put it in its place once nothing is wrong with it.

    Returns what is wrong, a line each; then `to` stays as it was.

    Raises:
        ImportError: Sphinx or one of its extensions is not installed.
        ValueError: a link leads nowhere; the message says which.
    """
    from pages import stage
    from sphinx.application import Sphinx
    from sphinx.errors import SphinxError

    if to.exists() and any(to.iterdir()) and not (to / MADE_HERE).is_file():
        raise ValueError(
            f"{to} holds something else than a site. Move it away, or build elsewhere."
        )
    to.parent.mkdir(parents=True, exist_ok=True)
    # On the same disk, so that what is built can be renamed.
    with tempfile.TemporaryDirectory(prefix=f"{to.name}.", dir=to.parent) as folder:
        staged, built = Path(folder).resolve() / "pages", Path(folder) / "site"
        stage(staged)
        built.mkdir()
        (built / MADE_HERE).touch()
        warned = io.StringIO()
        try:
            Sphinx(
                srcdir=staged,
                confdir=HERE,
                outdir=built,
                doctreedir=Path(folder) / "doctrees",
                buildername="html",
                confoverrides={"html_extra_path": [str(staged / "extra")]},
                status=None,
                warning=warned,
                freshenv=True,
            ).build()
        except SphinxError as problem:
            return [str(problem)]
        for page in built.glob("*.html"):
            text = page.read_text(encoding="utf-8")
            for lacking, mended in FOR_SCREEN_READERS:
                text = text.replace(lacking, mended)
            page.write_text(text, encoding="utf-8")
        told = re.sub(r"\x1b\[[\d;]*m", "", warned.getvalue()).replace(f"{staged}{os.sep}", "")
        if problems := [*told.splitlines(), *wrong(built)]:
            return problems
        if to.exists():
            to.rename(Path(folder) / "old")  # which goes with the rest
        built.rename(to)
    return []


# ---- what is wrong with a built site


@dataclass
class Page(HTMLParser):
    """What one built page names: its ids, where it links to, and what it loads."""

    text: str
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Take down what a tag names."""
        said = {name: value or "" for name, value in attributes}
        self.ids |= {said[name] for name in ("id", "name") if name in said}
        if tag == "a" and "href" in said:
            self.links.append(said["href"])
        elif tag == "link" and {"stylesheet", "icon", "preload"} & set(said.get("rel", "").split()):
            self.loads.append(said["href"])
        elif tag in LOADED:
            self.loads += [said[name] for name in ("src", "href", "data", "poster") if name in said]


def wrong(folder: Path) -> Iterator[str]:
    """What is wrong with the site in `folder`: dead links, or anything from another server."""
    pages = {
        path: Page(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("**/*.html"))
    }
    for path, page in pages.items():
        for address in page.loads:
            if urlsplit(address).scheme not in ("", "data") or address.startswith("//"):
                yield f"{path.name} loads {address} from another server"
        for address in page.links + page.loads:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                yield f"{path.name} leads to {address}, which is not there"
                continue
            anchor = unquote(parts.fragment)
            if anchor and target in pages and anchor not in pages[target].ids:
                yield f"{path.name} leads to {address}: {target.name} has no such place"
    for style in sorted(folder.glob("**/*.css")):
        for address in ADDRESS_IN_CSS.findall(style.read_text(encoding="utf-8")):
            yield f"{style.name} loads {address} from another server"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nStopped. Run it again.")
