"""`catch_up()`: begin a notebook in its middle, with what a section needs of the cells before it.

Which cells these are stands in the metadata of the notebook's catch-up cell: `.ci/needs.py` finds
it in the notebook's own text.
"""

import ast
import json
import sys
import time
from pathlib import Path

NOTEBOOKS = Path(__file__).resolve().parent.parent
DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)


def catch_up(notebook: str, section: str = "") -> None:
    """Run, quietly, what a section needs of the cells before it; without a section do nothing.

    Args:
        notebook: the notebook's name, such as "2.6. Object_Detection".
        section: the title of one of its sections, or how it begins.

    Raises:
        ValueError: there is no such section; the sentence lists those there are.
    """
    if not section:
        return
    from IPython import get_ipython
    from IPython.utils.capture import capture_output

    began, shell, ran = time.perf_counter(), get_ipython(), []
    cells = json.loads((NOTEBOOKS / f"{notebook}.ipynb").read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    stored = next(filter(None, (cell["metadata"].get("needs") for cell in code)), None)
    if stored is None:
        raise ValueError(f"{notebook}.ipynb has lost what its sections need: fetch it once more.")
    title, needed = _chosen(dict(line.split(" ←") for line in stored), section)
    for number, cell in enumerate(code, start=1):
        source = shell.transform_cell("".join(cell["source"]))  # its magics as Python
        definitions = f"{cell['id']}*" in needed
        if definitions:
            body = [node for node in ast.parse(source).body if isinstance(node, DEFINITIONS)]
            source = ast.unparse(ast.Module(body, []))
        elif cell["id"] not in needed:
            continue
        with capture_output():
            exec(compile(source, shell.compile.cache(source), "exec"), shell.user_ns)
            if plots := sys.modules.get("matplotlib.pyplot"):
                plots.close("all")  # else its figures come up below this cell
        ran.append(f"{number}{' (definitions)' if definitions else ''}")
    what = f"code cells {', '.join(ran)}" if ran else "nothing: it needs no more than the setup"
    print(f"For “{title}” ran {what}, in {time.perf_counter() - began:.1f} s.")


def _chosen(needs: dict[str, str], section: str) -> tuple[str, list[str]]:
    """The one section meant, by its title, and the cells it needs, a star for definitions alone."""

    def plain(title: str) -> str:
        return title.replace("`", "").strip().lower()

    found = [title for title in needs if plain(title).startswith(plain(section))]
    found = [title for title in found if plain(title) == plain(section)] or found
    if len(found) != 1:
        raise ValueError(f"Not one section begins with {section!r}, of these: {'; '.join(needs)}.")
    return found[0], needs[found[0]].split()
