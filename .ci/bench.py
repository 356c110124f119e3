"""How long the course takes, against what its imports alone take: `make bench`.

python .ci/bench.py              both runs, a row a notebook with its slowest cells, the verdict
python .ci/bench.py 2.2 2.6      only these notebooks

The whole course must end within 210 s on two cores, and within 4 times what the same notebooks take
when nothing but their imports is left of them: kernels, torch and transformers are not ours to make
faster. Both are measured in one call, two notebooks at a time. Let nothing else run beside it.
"""

import argparse
import ast
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from course import (
    NOTEBOOKS,
    ROOT,
    Run,
    all_of,
    execute,
    longest_first,
    share_cores,
    write_notebook,
)
from files import asked_for
from needs import parsed
from outputs import code_cells, seconds_of

SECONDS, TIMES, JOBS = 210, 4, 2


def stripped(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with nothing but the import statements of its cells, in their order.

    The first cell also puts the folder `notebooks` on the path, as its setup does.
    """
    bare = nbformat.v4.new_notebook(metadata=notebook.metadata)
    for cell in code_cells(notebook):
        imports = [
            ast.unparse(statement)
            for body in parsed(cell.source)
            for statement in ast.walk(body)
            if isinstance(statement, ast.Import | ast.ImportFrom)
            and "google.colab" not in ast.unparse(statement)  # only Colab has it
        ]
        bare.cells.append(nbformat.v4.new_code_cell("\n".join(imports)))
    bare.cells[0].source = "import sys; sys.path.insert(0, '')\n" + bare.cells[0].source
    return bare


def strip_into(folder: Path, paths: list[Path]) -> list[Path]:
    """Lay stripped copies of notebooks into `folder`/notebooks, with the course around them."""
    (folder / "notebooks").mkdir(parents=True)
    (folder / "assets").symlink_to(ROOT / "assets")
    for part in NOTEBOOKS.iterdir():
        if part.suffix != ".ipynb" and not part.name.startswith((".", "_")):
            (folder / "notebooks" / part.name).symlink_to(part)
    copies = [folder / "notebooks" / path.name for path in paths]
    for path, copy in zip(paths, copies, strict=True):
        write_notebook(copy, stripped(nbformat.read(path, as_version=4)))
    return copies


def run_all(paths: list[Path]) -> tuple[list[Run], float]:
    """Execute notebooks two at a time; return them in the order of `paths`, and the seconds."""
    start = time.perf_counter()
    runs = all_of(lambda path: execute(path, timed=True), paths, JOBS)
    return runs, time.perf_counter() - start


def slowest(run: Run, count: int = 3) -> str:
    """The cells of a timed run that took longest: "[12] 4.1 s, [3] 3.0 s, …"."""
    took = {cell.execution_count: seconds_of(cell) for cell in code_cells(run.notebook)}
    ranked = sorted(took.items(), key=lambda item: -item[1])[:count]
    return ", ".join(f"[{number}] {seconds:.1f} s" for number, seconds in ranked)


def main() -> int:
    """Measure and tell; 0 when nothing failed and both limits are kept, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="numbers or beginnings of names (none: all)")
    paths = asked_for(parser, sorted(NOTEBOOKS.glob("*.ipynb")), parser.parse_args().names)
    paths = longest_first(paths)
    os.environ |= {"COURSE_TIER": "micro", "CI": "true"}
    share_cores(JOBS)
    with tempfile.TemporaryDirectory() as folder:
        copies = strip_into(Path(folder).resolve() / "course", paths)
        run_all(copies)  # not measured: whatever comes first reads the packages from the disk
        bare, imports = run_all(copies)
    whole, seconds = run_all(paths)
    print(f"{'':<36}{'whole':>8}{'imports':>9}   its slowest cells")
    for run, only in zip(whole, bare, strict=True):
        print(f"{run.name:<36}{run.seconds:>6.1f} s{only.seconds:>7.1f} s   {slowest(run)}")
        for failed in (run, only):
            if failed.error:
                print(f"    FAILED  {failed.error}")
    print(f"{'all, two at a time':<36}{seconds:>6.1f} s{imports:>7.1f} s", end="   ")
    print(f"{seconds / imports:.2f} times the imports (at most {TIMES}), at most {SECONDS} s asked")
    failed = any(run.error for run in (*whole, *bare))
    return 1 if failed or seconds > SECONDS or seconds > TIMES * imports else 0


if __name__ == "__main__":
    sys.exit(main())
