"""Writing a file so that nobody sees half of it, choosing notebooks by name, mending their links.

Standard library only: `.ci/record.py` runs where nothing is installed.
"""

import re
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[1]
# The twelfth notebook stands with the recipes.
LAST = ROOT / "assets" / "recipes" / "Build_an_LLM.ipynb"
LINK = re.compile(r"\]\((?![a-z][a-z0-9+.-]*:|[#/])([^)\s]+)\)")  # to a file, in Markdown


def write(path: Path, content: str) -> None:
    """Write beside and rename: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(content, encoding="utf-8", newline="\n")
    beside.replace(path)


def every_notebook(root: Path = ROOT) -> list[Path]:
    """The notebooks of a copy of the course in their order; the twelfth last, if it is there."""
    last = root.glob(LAST.relative_to(ROOT).as_posix())
    return [*sorted((root / "notebooks").glob("*.ipynb")), *last]


def named(paths: Iterable[Path], names: Sequence[str]) -> list[Path]:
    """Those paths that one of `names` names; all of them where no name is given.

    A notebook's number names it alone: 2 is not 2.1. So does its file, as a shell completes it.
    Otherwise the beginning of its name does.
    Raises ValueError, with what there is, for a name that names none, and where there is none.
    """
    paths, wanted = list(paths), set()
    if not paths:
        raise ValueError("There are no notebooks. Get the whole course with git clone.")
    numbers = [path.stem.split(" ")[0].rstrip(".") for path in paths]
    for name in names:
        asked = Path(name).name.removesuffix(".ipynb")
        each = zip(paths, numbers, strict=True)
        found = [p for p, number in each if asked.rstrip(".") in (number, p.stem)]
        found = found or [path for path in paths if asked and path.stem.startswith(asked)]
        if not found:
            raise ValueError(f"No notebook begins with {name!r}. There are: {', '.join(numbers)}")
        wanted.update(found)
    return [path for path in paths if not names or path in wanted]


def asked_for(parser: ArgumentParser, paths: Iterable[Path], names: Sequence[str]) -> list[Path]:
    """What `named` finds; a name that names none ends the program, in a sentence."""
    try:
        return named(paths, names)
    except ValueError as problem:
        parser.error(str(problem))


def relinked(markdown: str, folder: Path, address: Callable[[Path], str]) -> str:
    """Markdown of a page in `folder`, whose links to files lead where `address` says."""

    def replaced(found: re.Match) -> str:
        place, mark, anchor = found[1].partition("#")
        file = folder / unquote(place)  # none where code looks like a link
        return f"]({address(file)}{mark}{anchor})" if file.exists() else found[0]

    return LINK.sub(replaced, markdown)
