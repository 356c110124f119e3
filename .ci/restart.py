"""Begin the notebooks in their middle: the setup cell, the catch-up cell, then one section.

python .ci/restart.py              each section of each notebook's core; exit code 1 on any failure
python .ci/restart.py 2.2 2.6      only these notebooks
python .ci/restart.py --all        the subsections and the optional part as well
python .ci/restart.py --section "How bold"         only sections that begin so
python .ci/restart.py --path 50    instead, the cells on the path of 50 minutes, from the top; a
                                   notebook of these, as executed, is left in build/paths

Each runs in a kernel of its own, as after a restart. What it shows must be what the notebook
stores, but for what libraries note on stderr: another section may have told them to be quiet.
"""

import argparse
import copy
import os
import re
import sys
import time
from pathlib import Path

import nbformat
from course import BUILD, NOTEBOOKS, Run, all_of, execute, share_cores, write_notebook
from files import asked_for
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from needs import on_path, sections
from outputs import code_cells, differences, outputs, tags, text

OPTIONAL = "Deeper (optional)"


def titles(notebook: NotebookNode, every: bool = False) -> list[str]:
    """The second-level sections of the core that hold code; or every section that does."""
    found = sections(notebook)
    return [title for title in found if every or (found[title].level == 2 and title != OPTIONAL)]


def beginning_at(notebook: NotebookNode, title: str) -> NotebookNode:
    """The setup cell, the catch-up cell, told the section, and the section's code and solutions."""
    section, part = sections(notebook)[title], copy.deepcopy(notebook)
    own = {cell.id for cell in section.cells}
    part.cells = [c for c in code_cells(part) if c.id in own or {"setup", "catch-up"} & {*tags(c)}]
    for cell in part.cells:
        if "catch-up" in tags(cell):
            cell.source = cell.source.replace('section=""', f"section={title!r}")
    sources = [cell.source for cell in section.cells]
    part.cells += [new_code_cell(code) for code in section.code if code not in sources]
    return part


def restart(path: Path, title: str) -> tuple[Run, str, list[str]]:
    """Run it: how it went, what catch-up said, and what the section shows otherwise than stored."""
    stored = nbformat.read(path, as_version=4)
    run = execute(path, notebook=beginning_at(stored, title))
    catch_up, own = run.notebook.cells[1], {cell.id for cell in stored.cells}
    shown = [(kind, said) for kind, said in outputs(catch_up) if kind != "text/stdout"]
    if not run.error and (shown or len(catch_up.outputs) != 1):
        run.error = f"catching up is not quiet: {str(catch_up.outputs)[:300]}"
    run.notebook.cells = [cell for cell in run.notebook.cells[2:] if cell.id in own]
    ran = {cell.id for cell in run.notebook.cells}
    stored.cells = [cell for cell in stored.cells if cell.id in ran]
    return run, text(catch_up), [] if run.error else otherwise(stored, run.notebook)


def otherwise(stored: NotebookNode, ran: NotebookNode) -> list[str]:
    """What cells show otherwise than stored, apart from stderr."""
    stored, ran = copy.deepcopy(stored), copy.deepcopy(ran)
    for cell in [*code_cells(stored), *code_cells(ran)]:
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return differences(stored, ran)


def walk(path: Path, minutes: int) -> tuple[Run, list[str]]:
    """Run the cells on a path alone: how it went, and what they show otherwise than stored."""
    stored = nbformat.read(path, as_version=4)
    stored.cells = on_path(stored, minutes)
    run = execute(path, notebook=copy.deepcopy(stored))
    write_notebook(BUILD / "paths" / f"{path.stem}, {minutes} minutes.ipynb", run.notebook)
    return run, [] if run.error else otherwise(stored, run.notebook)


def main() -> int:
    """Restart what the command line asks for; 0 when all went well, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="numbers or beginnings of names (none: all)")
    parser.add_argument("--all", action="store_true", help="subsections and the optional part too")
    parser.add_argument("--section", default="", help="only sections whose titles begin so")
    parser.add_argument("--path", type=int, choices=(50, 90), help="the cells on this path instead")
    parser.add_argument("--jobs", type=int, default=2, help="kernels at a time (default: 2)")
    options = parser.parse_args()
    sys.stdout.reconfigure(errors="replace")  # a file on Windows may lack a letter of an error
    os.environ |= {"COURSE_TIER": "micro", "CI": "true"}  # what the stored outputs come from
    paths = asked_for(parser, sorted(NOTEBOOKS.glob("*.ipynb")), options.names)
    every = options.all or options.section != ""
    work = [
        (path, title)
        for path in paths
        for title in titles(nbformat.read(path, as_version=4), every)
        if title.startswith(options.section)
    ]
    if options.path:
        work = [(path, f"{options.path} minutes") for path in paths]
    if not work or options.jobs < 1:
        parser.error("no notebook and section begin so" if not work else "--jobs is at least 1")
    share_cores(options.jobs)
    start = time.perf_counter()

    def one(job: tuple[Path, str]) -> bool:
        if options.path:
            (run, other), said = walk(job[0], options.path), ""
        else:
            run, said, other = restart(*job)
        caught_up = re.search(r"in (\d+\.\d) s\.$", said)
        seconds = f"{caught_up[1] if caught_up else '':>5} of {run.seconds:5.1f} s"
        result = f"FAILED  {run.error}" if run.error else "ok"
        if other:
            result = f"DIFFERS  {'; '.join(other)[:300]}"
        print(f"{run.name.split()[0]:<5}{job[1]:<46}{seconds}  {result}", flush=True)
        return bool(run.error or other)

    failed = sum(all_of(one, work, options.jobs))
    print(f"{len(work) - failed} of {len(work)} ok in {time.perf_counter() - start:.0f} s.")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
