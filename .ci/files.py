"""Writing a file so that nobody sees half of it, and choosing notebooks by name.

Standard library only: `.ci/record.py` runs where nothing is installed.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path


def write(path: Path, content: str) -> None:
    """Write beside and rename: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_text(content, encoding="utf-8", newline="\n")
    beside.replace(path)


def named(paths: Iterable[Path], names: Sequence[str]) -> list[Path]:
    """Those paths whose name begins with one of `names`; all of them where no name is given.

    Raises ValueError, with what there is, where none begins so.
    """
    paths = list(paths)
    wanted = [path for path in paths if not names or path.stem.startswith(tuple(names))]
    if not wanted:
        there = ", ".join(path.stem.split(" ")[0] for path in paths)
        raise ValueError(f"No notebook begins with {' or '.join(names)}. There are: {there}")
    return wanted
