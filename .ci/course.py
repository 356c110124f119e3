"""Run the course: every notebook headlessly, two at a time, on this machine's tier.

python .ci/course.py               all of them; pages in build/, exit code 1 on any failure
python .ci/course.py 2.2 2.6       only these
python .ci/course.py --store       also write the outputs back into the notebooks (micro tier)
python .ci/course.py --stress 20   each twenty times, shuffled: do the outputs stay the same?

It needs only what requirements.txt installs.
"""

import argparse
import asyncio
import copy
import html
import json
import os
import platform
import random
import re
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
import needs
import psutil
from files import LAST, ROOT, asked_for, every_notebook, relinked, write
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from outputs import WIDGET, code_cells, differences, outputs, tags, text

NOTEBOOKS, BUILD = ROOT / "notebooks", ROOT / "build"
CELL_TIMEOUT = 1800  # seconds; on the small and full tiers a cell may download a checkpoint first
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>The course, executed</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 1.05rem/1.5 system-ui, sans-serif; max-width: 56rem; margin: 3rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ padding: .5rem .7rem; text-align: left; border-bottom: 1px solid #8885 }}
.number {{ text-align: right; white-space: nowrap }}
</style>
<h1>The course, executed</h1>
<p>{summary}</p>
<table><thead><tr><th>Notebook</th><th>Executed</th><th>Tier</th><th class="number">Time</th>
<th class="number">Peak memory</th><th>Result</th></tr></thead>
<tbody>
{rows}
</tbody></table></html>
"""  # noqa: E501
ROW = """<tr><td><a href="{link}.html">{title}</a></td><td><a href="{link}.ipynb">notebook</a></td>
<td>{tier}</td><td class="number">{seconds:.1f} s</td><td class="number">{memory:,.0f} MB</td>
<td>{result}</td></tr>"""


@dataclass
class Run:
    """One execution of one notebook; `memory` is the peak of its processes, in MB."""

    name: str
    notebook: nbformat.NotebookNode
    seconds: float = 0.0
    memory: float = 0.0
    tier: str = "unknown"
    error: str = ""


def cores() -> int:
    """How many cores this process may use: `taskset` or a container may leave it fewer."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_cores(jobs: int) -> None:
    """Give each of `jobs` kernels its share of the cores, so that their threads do not fight."""
    for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "RAYON"):
        os.environ.setdefault(f"{library}_NUM_THREADS", str(max(1, cores() // jobs)))
    # Without compiled bytecode every import takes two to three times as long.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # else each kernel prints a note


def watch_memory(client: NotebookClient, run: Run, done: threading.Event) -> None:
    """Keep in `run.memory` the peak resident memory of the kernel and all its children."""
    while not done.wait(0.2):
        try:
            kernel = psutil.Process(client.km.provisioner.pid)
            family = [kernel, *kernel.children(recursive=True)]
            run.memory = max(run.memory, sum(p.memory_info().rss for p in family) / 1e6)
        except (AttributeError, TypeError, psutil.Error):
            continue  # the kernel is not there yet, or no longer


def longest_first(paths: list[Path], took: dict[str, dict] | None = None) -> list[Path]:
    """Notebooks in the order in which, several at a time, they end soonest.

    A long one that begins last leaves the other cores idle (Graham, 1969: Bounds on Multiprocessing
    Timing Anomalies). `took`: what each took, by its name, as in the catalog's table `notebooks`,
    which is read where none is given; one that is not there may be long.
    """
    if took is None:
        catalog = NOTEBOOKS / "helpers" / "catalog.toml"
        took = tomllib.loads(catalog.read_text("utf-8"))["notebooks"] if catalog.is_file() else {}
    return sorted(paths, key=lambda p: -took.get(p.stem, {}).get("seconds", float("inf")))


def execute(
    path: Path,
    timed: bool = False,
    notebook: nbformat.NotebookNode | None = None,
    **options: Any,
) -> Run:
    """Run one notebook in its own kernel; a failure is told in `Run.error`, in one line.

    `timed` keeps in each cell's metadata when it began and ended; `notebook` is what to run of it;
    `options` are those of nbclient's NotebookClient. A cell with a "number" in its metadata goes by
    that where a failure is told.
    """
    run = Run(path.stem, notebook or nbformat.read(path, as_version=4))
    for cell in code_cells(run.notebook):
        cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        run.notebook,
        kernel_name="python3",
        timeout=CELL_TIMEOUT,
        record_timing=timed,
        extra_arguments=["--log-level=ERROR"],  # else each kernel warns about its own sockets
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
        **options,
    )
    done, start = threading.Event(), time.perf_counter()
    threading.Thread(target=watch_memory, args=(client, run, done), daemon=True).start()
    # Cells' stderr is in the notebook. What a kernel itself writes is noise about its sockets as
    # it ends, unless it died: then its last words are told.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as last_words:
        try:
            client.execute(stderr=last_words)
        except Exception as error:  # whatever stops one notebook, the others still run
            said = f"{type(error).__name__}: {error}"
            if isinstance(error, CellExecutionError):
                said = f"{error.ename}: {error.evalue}"
            elif isinstance(error, DeadKernelError):
                last_words.seek(0)
                said += f" {last_words.read()[-200:]}"
            ran = [c for c in code_cells(run.notebook) if c.execution_count is not None]
            number = ran[-1].metadata.get("number", len(ran)) if ran else 1
            run.error = f"code cell {number}: {' '.join(said.split())[:300]}"
    run.seconds = time.perf_counter() - start
    done.set()
    said = " ".join(text(cell) for cell in code_cells(run.notebook) if "setup" in tags(cell))
    if found := re.search(r"\btier\W+(micro|small|full)\b", said, re.IGNORECASE):
        run.tier = found.group(1)
    return run


def all_of(function: Callable[[Any], Any], work: Iterable[Any], jobs: int) -> list[Any]:
    """What `function` returns for each piece of work, so many at a time; Ctrl-C ends the process.

    Leaving the pool would wait for what runs, and let it write.
    """
    if sys.platform == "win32":  # pyzmq needs an event loop that can watch sockets
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())
    with ThreadPoolExecutor(jobs) as pool:
        try:
            runs = [pool.submit(function, each) for each in work]
            for run in runs:
                while not run.done():
                    wait([run], timeout=0.5)  # without an end Windows would not hear Ctrl-C
            return [run.result() for run in runs]
        except KeyboardInterrupt:
            print("Stopped: what was not told to be ok is as it was before.", flush=True)
            os._exit(130)


def write_notebook(path: Path, notebook: nbformat.NotebookNode) -> None:
    """Write a notebook as Jupyter does, with a newline at its end."""
    write(path, nbformat.writes(notebook).rstrip("\n") + "\n")


def store(run: Run) -> None:
    """Write a clean run's outputs into notebooks/; any other run is refused in `run.error`."""
    path = (LAST.parent if run.name == LAST.stem else NOTEBOOKS) / f"{run.name}.ipynb"
    sources = [cell.source for cell in nbformat.read(path, as_version=4).cells]
    if sources != [cell.source for cell in run.notebook.cells]:
        run.error = "not stored: it was edited while it ran"
        return
    for number, cell in enumerate(code_cells(run.notebook), start=1):
        noise = [content for kind, content in outputs(cell) if kind == "text/stderr"]
        if noise or cell.execution_count != number:
            why = f"stderr says {noise[0].strip()[:200]!r}" if noise else "it has no code"
            run.error = f"not stored, code cell {number}: {why}"
            return
        # A progress bar's widget cannot be shown again and breaks the page on GitHub.
        cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
        cell.metadata.pop("execution", None)
        if "catch-up" in tags(cell):
            cell.metadata["needs"] = needs.lines(run.notebook)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    run.notebook.metadata = nbformat.from_dict(
        {"kernelspec": kernel, "language_info": {"name": "python"}}
    )
    write_notebook(path, run.notebook)


def address(suffix: str, made: set[str], file: Path) -> str:
    """A file's address in build/; `made`: the notebooks that are there, which end with `suffix`."""
    here = file.suffix == ".ipynb" and file.stem in made
    return quote(file.stem + suffix if here else Path(os.path.relpath(file, BUILD)).as_posix())


def publish(run: Run, made: set[str]) -> None:
    """Leave the executed notebook and its page in build/, with links that hold there."""
    from nbconvert import HTMLExporter  # a second to import: after the kernels have started

    folder, versions = LAST.parent if run.name == LAST.stem else NOTEBOOKS, {}
    for suffix in (".ipynb", ".html"):
        versions[suffix] = copy.deepcopy(run.notebook)
        for cell in versions[suffix].cells:
            if cell.cell_type == "markdown":
                cell.source = relinked(cell.source, folder, partial(address, suffix, made))
    write_notebook(BUILD / f"{run.name}.ipynb", versions[".ipynb"])
    exporter, title = HTMLExporter(require_js_url=""), {"metadata": {"name": run.name}}
    page, _ = exporter.from_notebook_node(versions[".html"], title)
    write(BUILD / f"{run.name}.html", page)


def report(runs: list[Run], seconds: float, jobs: int) -> None:
    """Write build/index.html and build/measured.json, and a table where GitHub shows one."""
    machine = f"{platform.system()} {platform.machine()}, {cores()} cores, Python "
    machine, today = machine + platform.python_version(), f"{datetime.now():%Y-%m-%d}"
    rows = [
        ROW.format(
            link=quote(run.name),
            title=html.escape(run.name.replace("_", " ")),
            tier=run.tier,
            seconds=run.seconds,
            memory=run.memory,
            result="<strong>failed</strong>: " + html.escape(run.error) if run.error else "ok",
        )
        for run in runs
    ]
    summary = f"{len(runs)} notebooks in {seconds:.0f} s on {machine}; {today}."
    write(BUILD / "index.html", PAGE.format(summary=summary, rows="\n".join(rows)))
    measured = {"date": today, "machine": machine, "seconds": round(seconds, 1)}
    measured |= {"jobs": jobs, "notebooks": {}}
    for run in runs:
        figures = {"seconds": round(run.seconds, 1), "megabytes": round(run.memory)}
        measured["notebooks"][run.name] = {**figures, "tier": run.tier, "ok": not run.error}
    write(BUILD / "measured.json", json.dumps(measured, indent=2) + "\n")
    if shown := os.environ.get("GITHUB_STEP_SUMMARY"):
        table = ["| notebook | tier | time | memory | result |", "|---|---|---:|---:|---|"]
        for run in runs:
            figures = f"{run.seconds:.1f} s | {run.memory:,.0f} MB"
            result = html.escape(run.error).replace("|", "\\|") or "ok"
            table.append(f"| {run.name} | {run.tier} | {figures} | {result} |")
        with Path(shown).open("a", encoding="utf-8") as file:
            file.write("\n".join([summary, "", *table, "", ""]))


def main() -> int:
    """Run what the command line asks for; 0 when every notebook ended well, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="numbers or beginnings of names (none: all)")
    parser.add_argument("--jobs", type=int, default=2, help="notebooks at a time (default: 2)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--store", action="store_true", help="write the outputs into notebooks/")
    how.add_argument("--stress", type=int, default=0, metavar="N", help="N rounds, shuffled")
    options = parser.parse_args()
    sys.stdout.reconfigure(errors="replace")  # a file on Windows may lack a letter of an error
    paths = longest_first(asked_for(parser, every_notebook(NOTEBOOKS.parent), options.names))
    if options.jobs < 1:
        parser.error(f"--jobs must be at least 1, not {options.jobs}")
    if options.stress < 0 or options.stress == 1:
        parser.error(f"--stress must be at least 2 rounds to compare, not {options.stress}")
    if options.store:
        if os.environ.get("COURSE_TIER", "micro") != "micro":
            parser.error("stored outputs are those of the micro tier: unset COURSE_TIER")
        os.environ |= {"COURSE_TIER": "micro", "CI": "true"}  # as in the tests that compare them
    if not options.stress:  # now, not when all have run
        try:
            BUILD.mkdir(exist_ok=True)
            probe = BUILD / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as problem:
            parser.error(f"nothing can be written in {BUILD}: {problem.strerror}")
    share_cores(options.jobs)
    made = {path.stem for path in [*paths, *BUILD.glob("*.html")]}
    work = paths * max(1, options.stress)
    if options.stress:
        random.shuffle(work)  # another order each time
    runs, first = [], {}
    lock, start = threading.Lock(), time.perf_counter()

    def one(path: Path) -> None:
        run = execute(path)
        try:
            if options.store and not run.error:
                store(run)
            if options.stress and not run.error:
                with lock:
                    reference = first.setdefault(run.name, run)
                run.error = "; ".join(differences(reference.notebook, run.notebook))
            elif not options.stress:
                publish(run, made)
        except Exception as error:  # a page that cannot be made or written: the others go on
            unwritten = f"its page is not written: {type(error).__name__}: {error}"
            run.error = "; ".join(filter(None, [run.error, unwritten]))
        with lock:
            runs.append(run)
            line = (
                f"[{len(runs)}/{len(work)}] {run.name:<30} {run.seconds:6.1f} s {run.memory:6.0f}"
            )
            print(f"{line} MB  {'FAILED  ' + run.error if run.error else 'ok'}", flush=True)

    all_of(one, work, options.jobs)
    seconds, failed = time.perf_counter() - start, sum(bool(run.error) for run in runs)
    print(f"{len(runs) - failed} of {len(runs)} runs ok in {seconds:.0f} s.", flush=True)
    if not options.stress:
        report(sorted(runs, key=lambda run: run.name), seconds, options.jobs)
        print(f"Open {BUILD / 'index.html'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
