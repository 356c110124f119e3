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
    """Every page and notebook that git knows, and the table of checkpoints with their papers."""
    kinds = ("*.md", "*.ipynb", "*catalog.toml")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *kinds]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file())


def main(arguments: list[str]) -> int:
    """Run lychee on all pages; its exit code, 0 where every address answers."""
    with tempfile.TemporaryDirectory() as folder:
        for path in pages():
            copy = Path(folder) / path.relative_to(ROOT).with_suffix(".md")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(words(path), encoding="utf-8")
        try:
            return subprocess.call(["lychee", "--hidden", *OPTIONS, *arguments, "."], cwd=folder)
        except FileNotFoundError:
            print("lychee is not here: pip install -r .ci/requirements-links.txt", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
