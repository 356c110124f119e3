"""What each notebook takes, in one place: `notebooks/helpers/catalog.toml`, table `notebooks`.

python .ci/figures.py              write the catalog's figures into the notebooks and the README
python .ci/figures.py --measured   first take the seconds and megabytes of the last run of
                                   `.ci/course.py --jobs 1` (build/measured.json) into the catalog
python .ci/figures.py --check      write nothing; exit code 1 where a page says something else

`make figures` measures and writes. A figure stays unless the new one differs by more than a fifth
of it: two runs of one machine differ by less. Where any is taken, the catalog's table `measured`
and the README say on what machine that last was, and when. How many minutes a learner needs is
judged, not measured; how much a larger tier downloads follows from the catalog's parameters, at
four bytes each, or two.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import nbformat
import tomlkit
from course import BUILD, ROOT, write_notebook
from files import every_notebook, write
from outputs import code_cells, tags

CATALOG = Path("notebooks/helpers/catalog.toml")
FIRST_CELL = re.compile(r"^\*\d+ minutes with the exercises, .*\*$", re.MULTILINE)
MEASURED_ON = re.compile(r"(\*Run\* and \*memory\* were measured on )[^:]*?( without a GPU)")
README_ROW = r"^(\| \[{name}\.ipynb\].*\) \|)[^|]*\|[^|]*\|[^|\n]*\|$"


def measured(root: Path, run: dict) -> str:
    """The catalog's text with a run's seconds and megabytes in it, where they are news.

    Raises ValueError for a run that is no measurement: another tier, a failure, notebooks at once.
    """
    catalog = tomlkit.parse((root / CATALOG).read_text(encoding="utf-8"))
    if run["jobs"] != 1:
        raise ValueError("these notebooks ran side by side: run .ci/course.py with --jobs 1")
    for name, figures in run["notebooks"].items():
        if not figures["ok"] or figures["tier"] != "micro":
            raise ValueError(f"{name} failed or ran on another tier than micro: nothing is taken")
        row = catalog["notebooks"].setdefault(name, tomlkit.table())
        for kind in ("seconds", "megabytes"):
            if kind not in row or abs(figures[kind] - row[kind]) > row[kind] / 5:
                row[kind] = figures[kind]
                catalog["measured"] = {"date": run["date"], "machine": run["machine"]}
    return tomlkit.dumps(catalog)


def roles(notebook: nbformat.NotebookNode, catalog: dict) -> list[str]:
    """The roles whose checkpoints a notebook loads on the small tier, by role or by id."""
    found = {}
    for cell in code_cells(notebook):
        kind = "setup" if "setup" in tags(cell) else r"(?:checkpoint|hub\.model)"
        for call in re.findall(rf"\b{kind}\(([^()]*)\)", cell.source):
            found |= dict.fromkeys(re.findall(r'(?<!=)"(\w+)"', call))
        if "from_pretrained(" in cell.source:
            ids = {role: facts["small"]["id"] for role, facts in catalog["roles"].items()}
            found |= dict.fromkeys(role for role in ids if f'"{ids[role]}"' in cell.source)
    return list(found)


def weights(checkpoint: dict) -> int:
    """Bytes of a checkpoint's file, by its parameters; 0 where nobody could look them up."""
    each = 2 if "bfloat16" in checkpoint.get("format", "") else 4
    return each * checkpoint.get("parameters", 0)


def size(megabytes: float) -> str:
    """Megabytes (10^6 bytes) as a reader wants them: "91 MB", "1.5 GB"."""
    return f"{megabytes:.0f} MB" if megabytes < 950 else f"{megabytes / 1000:.1f} GB"


def seconds(measured: float) -> str:
    """Measured seconds to the next five: two runs of one machine differ by as much."""
    return f"about {max(5, 5 * round(measured / 5))} seconds"


def pages(root: Path, catalog: dict) -> dict[Path, str | nbformat.NotebookNode]:
    """README and notebooks as they must be to say what the catalog says.

    Raises ValueError where a page has no place for its figures, or the catalog lacks one of them.
    """
    found = {}
    readme = (root / "README.md").read_text(encoding="utf-8")
    if last_time := catalog.get("measured"):
        last = f"the latest measurement on {last_time['machine']}, {last_time['date']}"
        on = rf"\1two CPU cores ({last})\2"
        readme, changed = MEASURED_ON.subn(on, readme)
        if changed != 1:
            raise ValueError("README.md: no sentence that says where run and memory were measured")
    for path in every_notebook(root):
        notebook = nbformat.read(path, as_version=4)
        figures = catalog["notebooks"].get(path.stem, {})
        if lacks := {"minutes", "seconds", "megabytes"} - figures.keys():
            raise ValueError(
                f"{path.name}: its row in the table `notebooks` of {CATALOG} lacks"
                f" {', '.join(sorted(lacks))}; minutes are judged, `make figures` measures the rest"
            )
        small = [catalog["roles"][role]["small"] for role in roles(notebook, catalog)]
        download = size(sum(map(weights, small)) / 1e6)
        if not all("parameters" in checkpoint for checkpoint in small):
            download = f"over {download}"  # of one nobody could look up the size
        takes = f"{seconds(figures['seconds'])} to run · {size(figures['megabytes'])} of memory"
        line = (
            f"*{figures['minutes']} minutes with the exercises, {takes} · nothing to download"
            f" ({download} on the small tier) · needs no account, no GPU, no network*"
        )
        notebook.cells[0].source, changed = FIRST_CELL.subn(line, notebook.cells[0].source)
        row = re.compile(README_ROW.format(name=re.escape(path.stem)), re.MULTILINE)
        cells = (f"{figures['seconds']:.0f} s", size(figures["megabytes"]), download)
        readme, changed_too = row.subn(rf"\1 {' | '.join(cells)} |", readme)
        if (changed, changed_too) != (1, 1):
            raise ValueError(f"{path.name}: no line of figures in its first cell or in README.md")
        found[path] = notebook
    return {**found, root / "README.md": readme}


def main() -> int:
    """Do what the command line asks for; 0 when every page says what the catalog says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--measured", action="store_true", help="take the last run's figures first")
    how.add_argument("--check", action="store_true", help="write nothing, tell what differs")
    options = parser.parse_args()
    catalog = (ROOT / CATALOG).read_text(encoding="utf-8")
    try:
        if options.measured:
            catalog = measured(ROOT, json.loads((BUILD / "measured.json").read_text("utf-8")))
            write(ROOT / CATALOG, catalog)
        wanted = pages(ROOT, tomlkit.parse(catalog).unwrap())
    except (FileNotFoundError, ValueError) as problem:
        parser.error(str(problem))
    stale = []
    for path, page in wanted.items():
        now = (
            nbformat.read(path, as_version=4)
            if path.suffix == ".ipynb"
            else path.read_text("utf-8")
        )
        if page == now:
            continue
        stale.append(path.name)
        if not options.check:
            write_notebook(path, page) if path.suffix == ".ipynb" else write(path, page)
    print(f"{'differ' if options.check else 'written'}: {', '.join(stale) or 'none'}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
