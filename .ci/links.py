"""Ask every address in the course's pages and notebooks whether it still leads somewhere.

    python .ci/links.py           needs lychee (.ci/requirements-links.txt) and a network
    python .ci/links.py --dump    only print the addresses that would be asked

lychee reads Markdown; this hands it the pages, and the words of the notebooks as pages. Links
within the repository are the tests' business. What follows is passed on to lychee.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = ["--no-progress", "--scheme", "https", "--scheme", "http"]
OPTIONS += ["--exclude-all-private", "--exclude", r"^https?://[^/]*\bexample\.(com|org|net)\b"]
# Some answer a program with "no" (403) or "later" (429), and a reader with the page.
OPTIONS += ["--accept", "200..=299,403,429", "--timeout", "30", "--max-retries", "3"]


def words(path: Path) -> str:
    """What a reader sees of a page's or a notebook's text, as Markdown."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def pages() -> list[Path]:
    """Every page and notebook that git knows, and the table of checkpoints with their papers.

    Raises ValueError where git knows nothing of the course.
    """
    kinds = ("*.md", "*.ipynb", "*catalog.toml")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *kinds]
    try:
        listed = subprocess.check_output(
            command, cwd=ROOT, encoding="utf-8", stderr=subprocess.DEVNULL
        )
    except (OSError, subprocess.CalledProcessError):
        raise ValueError(
            f"git does not know the pages in {ROOT}: get git, and a clone of the course, not a ZIP"
        ) from None
    return sorted(ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file())


def main(arguments: list[str]) -> int:
    """Run lychee on all pages; its exit code, 0 where every address answers."""
    try:
        asked = pages()
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        for path in asked:
            copy = Path(folder) / f"{path.relative_to(ROOT)}.md"  # a.md and a.ipynb are two
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(words(path), encoding="utf-8")
        try:
            return subprocess.call(["lychee", "--hidden", *OPTIONS, *arguments, "."], cwd=folder)
        except FileNotFoundError:
            print("lychee is not here: pip install -r .ci/requirements-links.txt", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
