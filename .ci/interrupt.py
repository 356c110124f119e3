"""Interrupt the notebooks' cells half-way, run each again, then the whole notebook.

python .ci/interrupt.py            each of them; exit code 1 on any failure
python .ci/interrupt.py 2.2 2.6    only these notebooks

As somebody does who presses stop, and begins again in the same kernel. The whole notebook, at the
end, must show what it stores. Imports are not interrupted, since after half a package only a new
kernel helps: a first run, in a kernel of its own, tells what each cell imports, and another, how
long it takes without. So the setup is left out, and the choice of a Hub, which has to come before
its clients are imported. A cell tagged `once` may end otherwise than it stores: what it shows, such
as a package's announcement, does not come again in a kernel in which it came.
"""

import argparse
import copy
import logging
import os
import sys
import time
from pathlib import Path

import nbformat
from course import CELL_TIMEOUT, Run, all_of, execute, longest_first, share_cores
from files import asked_for, every_notebook
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from outputs import code_cells, outputs, seconds_of, tags, text
from restart import otherwise

SHORTEST = 0.1  # seconds; what ends sooner nobody interrupts
# A line each: in one long line nbclient would look for carriage returns for minutes.
MODULES = "import sys as _sys\nprint(*_sys.modules, sep='\\n')"
IMPORTED = """
import contextlib as _contextlib, importlib as _importlib
for _name in {}:
    with _contextlib.suppress(Exception):  # what the cell itself imports, it will tell
        _importlib.import_module(_name)
"""
PAUSE = 2.0  # seconds from an interrupt until somebody runs the cell again


def numbered(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells, each with its number, by which a failure is told."""
    cells = code_cells(notebook)
    for number, cell in enumerate(cells, start=1):
        cell.metadata["number"] = number
    return cells


def left_out(cell: NotebookNode) -> bool:
    """Whether it is not interrupted: the setup, the catch-up, the choice of a Hub."""
    return bool({"setup", "catch-up"} & {*tags(cell)}) or "connect_hub" in cell.source


def imported(cell: NotebookNode, modules: list[str]) -> NotebookNode:
    """A cell before another, which imports its modules, where that may be done."""
    code = "" if left_out(cell) else IMPORTED.format(modules)
    return new_code_cell(code, metadata={"number": cell.metadata["number"]})


def measure(path: Path) -> tuple[Run, list[tuple[list[str], float]]]:
    """Run a notebook twice: how it went; what each code cell imports, and its seconds without."""
    notebook = nbformat.read(path, as_version=4)
    first, second = numbered(copy.deepcopy(notebook)), numbered(notebook)
    told = [new_code_cell(MODULES) for _ in first]
    notebook.cells = [each for pair in zip(first, told, strict=True) for each in pair]
    run, there, modules = execute(path, notebook=notebook), set(), []
    for cell in told:
        modules.append([name for name in text(cell).split() if name not in there])
        there |= {*modules[-1]}
    if not run.error:
        pairs = ((imported(c, names), c) for c, names in zip(second, modules, strict=True))
        notebook.cells = [each for pair in pairs for each in pair]
        run = execute(path, timed=True, notebook=notebook)
    return run, [*zip(modules, map(seconds_of, second), strict=True)]


def interrupt(path: Path, known: list[tuple[list[str], float]]) -> tuple[Run, str, list[str]]:
    """Interrupt it where it takes long enough: how it went, in which cells, and what is amiss."""
    stored = nbformat.read(path, as_version=4)
    notebook, begun = copy.deepcopy(stored), {}
    cells = numbered(notebook)
    notebook.cells = []
    for number, (cell, (modules, took)) in enumerate(zip(cells, known, strict=True), start=1):
        if took > SHORTEST and not left_out(cell):
            begun[number] = new_code_cell(cell.source, metadata={"tags": ["raises-exception"]})
            begun[number].metadata |= {"number": number, "seconds": took / 2}
            notebook.cells += [imported(cell, modules), begun[number]]
        notebook.cells.append(copy.deepcopy(cell))
    notebook.cells += cells

    def wait(execute_reply: dict, **_: object) -> None:
        if execute_reply["content"].get("ename") == "KeyboardInterrupt":
            time.sleep(PAUSE)

    run = execute(
        path,
        notebook=notebook,
        timeout_func=lambda cell: cell.metadata.get("seconds", CELL_TIMEOUT),
        interrupt_on_timeout=True,
        # Once, as a person does: nbclient goes on until there is a reply, and here is one.
        error_on_timeout={"ename": "KeyboardInterrupt", "evalue": "", "traceback": []},
        iopub_timeout=60,  # seconds in which a cell may clear up
        on_cell_executed=wait,
    )
    ended = {n: [said for kind, said in outputs(c) if kind == "error"] for n, c in begun.items()}
    stopped = ", ".join(str(number) for number, said in ended.items() if said) or "none"
    if faster := ", ".join(str(number) for number, said in ended.items() if not said):
        stopped += f" (not in {faster}: it was over, or paid no heed)"
    amiss = [f"FAILED  {run.error}"] if run.error else []
    amiss += [
        f"code cell {number}, interrupted: {said[0][:200]}"
        for number, said in ended.items()
        if said and not said[0].startswith("KeyboardInterrupt")
    ]
    if not run.error:
        notebook.cells = cells
        for cell in [*code_cells(stored), *cells]:
            if "once" in tags(cell):
                cell.outputs = []
        amiss += otherwise(stored, notebook)
    return run, stopped, amiss


def main() -> int:
    """Interrupt what the command line asks for; 0 when all went well, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="numbers or beginnings of names (none: all)")
    parser.add_argument("--jobs", type=int, default=2, help="kernels at a time (default: 2)")
    options = parser.parse_args()
    sys.stdout.reconfigure(errors="replace")  # a file on Windows may lack a letter of an error
    os.environ |= {"COURSE_TIER": "micro", "CI": "true"}  # what the stored outputs come from
    paths = longest_first(asked_for(parser, every_notebook(), options.names))
    if options.jobs < 1:
        parser.error("--jobs is at least 1")
    # nbclient logs each interrupt as an error; here it is meant.
    logging.getLogger("traitlets").setLevel(logging.CRITICAL)
    share_cores(options.jobs)
    start = time.perf_counter()

    def one(path: Path) -> bool:
        run, known = measure(path)
        stopped, amiss = "none", [f"FAILED  {run.error}"]
        if not run.error:
            run, stopped, amiss = interrupt(path, known)
        result = "; ".join(amiss)[:600] or "ok"
        print(f"{run.name:<33} in code cells {stopped}: {result}", flush=True)
        return bool(amiss)

    failed = sum(all_of(one, paths, options.jobs))
    print(f"{len(paths) - failed} of {len(paths)} ok in {time.perf_counter() - start:.0f} s.")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
