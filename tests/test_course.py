"""`make course`, on three small notebooks: one is good, one fails, one is never the same."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import bench
import files
import nbformat
import psutil
import pytest
from course import BUILD, LAST, Run, address, longest_first, main, relinked, report
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).resolve().parent.parent
BAR = "from tqdm.auto import tqdm\nfor step in tqdm(range(2)):\n    pass"
# The block is held for a second: memory is measured by looking now and then.
HELD = "import time\n\nblock = b'x' * 200_000_000\ntime.sleep(1)\nlen(block)"
GOOD = ["print('tier      micro (by default)')", HELD, BAR]
ALL = [*sorted((ROOT / "notebooks").glob("*.ipynb")), LAST]
NOTEBOOKS = {
    "1. Good": GOOD,
    "2. Fails": ["1 + 1", "{}['missing key']", "2 + 2"],
    "3. Drifts": [
        "import secrets\nsecrets.token_hex()",
        "import sys\nprint('oh', file=sys.stderr)",
    ],
}


@pytest.fixture
def course(tmp_path):
    """A folder like the course's own, whose path holds a blank; returns a way to run it."""
    folder = tmp_path / "the course"
    shutil.copytree(ROOT / ".ci", folder / ".ci", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "notebooks").mkdir()
    for name, sources in NOTEBOOKS.items():
        cells = [new_code_cell(source) for source in sources]
        cells[0].metadata.tags = ["setup"]
        nbformat.write(new_notebook(cells=cells), folder / f"notebooks/{name}.ipynb")

    def run(*arguments, command="course", **environment):
        return subprocess.run(
            [sys.executable, folder / f".ci/{command}.py", *arguments],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    run.folder = folder
    return run


def sources(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "notebooks").iterdir())}


def test_runs_all_leaves_pages_and_figures_and_says_which_failed(course):
    before = sources(course.folder)
    summary = course.folder / "summary.md"
    run = course(GITHUB_STEP_SUMMARY=str(summary))
    lines = sorted(run.stdout.splitlines(), key=lambda line: line.partition("] ")[2])
    build = course.folder / "build"
    assert run.returncode == 1
    assert run.stderr == ""
    assert any("1. Good" in line and line.endswith("MB  ok") for line in lines)
    assert any("FAILED  code cell 2: KeyError: 'missing key'" in line for line in lines)
    assert "2 of 3 runs ok" in run.stdout
    executed = nbformat.read(build / "1. Good.ipynb", as_version=4)
    assert executed.cells[1].outputs[0].data["text/plain"] == "200000000"
    assert "200000000" in (build / "1. Good.html").read_text("utf-8")
    page = (build / "index.html").read_text("utf-8")
    assert '<a href="1.%20Good.html">1. Good</a>' in page
    assert "KeyError: &#x27;missing key&#x27;" in page
    measured = json.loads((build / "measured.json").read_text("utf-8"))["notebooks"]
    assert measured["1. Good"]["ok"] is True
    assert measured["1. Good"]["tier"] == "micro"
    assert 200 < measured["1. Good"]["megabytes"] < 600  # a bare kernel takes about 60
    assert 0.2 < measured["1. Good"]["seconds"] < 30
    assert measured["2. Fails"]["ok"] is False
    rows = summary.read_text("utf-8").splitlines()
    assert any(
        re.fullmatch(r"\| 1\. Good \| micro \| [\d.]+ s \| \d+ MB \| ok \|", r) for r in rows
    )
    assert any(r.endswith("KeyError: &#x27;missing key&#x27; |") for r in rows), "GitHub's report"
    assert sources(course.folder) == before, "running changed a notebook"


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_links_hold_in_the_folder_of_the_executed_pages(path):
    links = set()
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            there = partial(address, ".html", {path.stem for path in ALL})
            moved = relinked(cell.source, path.parent, there)
            links |= set(re.findall(r"\]\((?![a-z][a-z0-9+.-]*:|#)([\w./%-]+)", moved))
    assert "../assets/glossary.md" in links
    for link in map(unquote, links):
        assert link in {f"{one.stem}.html" for one in ALL} or (BUILD / link).resolve().is_file()


def test_a_notebook_that_did_not_run_is_linked_where_it_lies():
    markdown = "[next](2.3.%20Zero_Shot_Audio_Classification.ipynb#recap)"
    place = ROOT / "notebooks"
    told = "../notebooks/2.3.%20Zero_Shot_Audio_Classification.ipynb#recap"
    there = partial(address, ".html", {"2.2. Embeddings"})
    assert relinked(markdown, place, there) == f"[next]({told})"


def test_store_writes_the_outputs_of_a_clean_run_and_of_no_other(course):
    before = sources(course.folder)
    run = course("--store")
    after = sources(course.folder)
    assert run.returncode == 1
    assert "3. Drifts" in run.stdout
    assert "not stored, code cell 2: stderr says 'oh'" in run.stdout
    assert [name for name in after if after[name] != before[name]] == ["1. Good.ipynb"]
    assert set(after) == set(before), "a half-written file was left"
    stored = nbformat.reads(after["1. Good.ipynb"].decode(), as_version=4)
    assert [cell.execution_count for cell in stored.cells] == [1, 2, 3]
    assert [cell.source for cell in stored.cells] == GOOD
    assert stored.cells[1].outputs[0].data["text/plain"] == "200000000"
    assert stored.cells[2].outputs == []
    assert "widgets" not in stored.metadata
    course("--store", "1")
    assert sources(course.folder) == after, "storing twice gave two files"


def test_what_was_edited_while_it_ran_is_not_overwritten(course):
    path = course.folder / "notebooks/4. Edited.ipynb"
    edit = """file = __import__("pathlib").Path("4. Edited.ipynb")
file.write_text(file.read_text().replace("first" + " word", "last word"));"""
    cells = [new_code_cell("'first word'"), new_code_cell(edit)]
    nbformat.write(new_notebook(cells=cells), path)
    run = course("--store", "4")
    assert run.returncode == 1
    assert "not stored: it was edited while it ran" in run.stdout
    assert nbformat.read(path, as_version=4).cells[0].source == "'last word'"


def test_what_cannot_be_written_is_told_of_one_notebook_and_the_report_still_comes(
    tmp_path, monkeypatch, capsys
):
    def executed(path: Path) -> Run:
        return Run(path.stem, new_notebook(), error="code cell 1: oh" if "2" in path.stem else "")

    def full(run: Run, made: set[str]) -> None:
        if "3" not in run.name:
            raise OSError(28, "No space left on device")

    (folder := tmp_path / "notebooks").mkdir()
    for name in NOTEBOOKS:
        nbformat.write(new_notebook(), folder / f"{name}.ipynb")
    replaced = {"NOTEBOOKS": folder, "BUILD": tmp_path / "build"}
    replaced |= {"execute": executed, "publish": full, "share_cores": lambda jobs: None}
    for name, value in replaced.items():
        monkeypatch.setattr(f"course.{name}", value)
    monkeypatch.setattr(sys, "argv", ["course.py"])
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert main() == 1
    said = capsys.readouterr().out
    unwritten = "its page is not written: OSError: [Errno 28] No space left on"
    assert f"FAILED  {unwritten}" in said and f"FAILED  code cell 1: oh; {unwritten}" in said
    assert "1 of 3 runs ok" in said
    measured = json.loads((tmp_path / "build/measured.json").read_text("utf-8"))["notebooks"]
    assert [measured[name]["ok"] for name in NOTEBOOKS] == [False, False, True]


@pytest.mark.parametrize("build", ["a file", "a folder that takes nothing"])
def test_where_no_page_can_be_written_nothing_is_run(course, build):
    if build == "a file":
        (course.folder / "build").touch()
    elif Path("/proc/self/fdinfo").is_dir():
        (course.folder / "build").symlink_to("/proc/self/fdinfo")  # refuses even the superuser
    else:
        pytest.skip("no /proc on this system")
    run = course("1")
    assert run.returncode == 2
    assert f"nothing can be written in {course.folder / 'build'}: " in run.stderr
    assert "[1/1]" not in run.stdout and "Traceback" not in run.stderr


def test_store_is_refused_on_another_tier(course):
    run = course("--store", COURSE_TIER="full")
    assert run.returncode == 2
    assert "stored outputs are those of the micro tier: unset COURSE_TIER" in run.stderr


def test_stress_finds_the_notebook_that_does_not_say_the_same_twice(course):
    run = course("--stress", "2", "1", "3")
    assert run.returncode == 1
    assert "3 of 4 runs ok" in run.stdout
    assert sum("1. Good" in line and line.endswith("ok") for line in run.stdout.splitlines()) == 2
    assert any("3. Drifts" in line and "became" in line for line in run.stdout.splitlines())


def test_a_name_no_notebook_has_is_told_even_beside_a_right_one(course):
    for names in (["7"], ["1", "7"], [""]):
        run = course(*names)
        assert run.returncode == 2
        assert f"begins with {names[-1]!r}. There are: 1, 2, 3" in run.stderr


def test_a_number_names_one_notebook_and_a_beginning_all_that_begin_so():
    paths = [Path(f"{name}.ipynb") for name in ("1. A", "2. B", "2.1. C", "2.10. D", "Build")]
    named = {
        names: [path.stem[-1] for path in files.named(paths, names)]
        for names in [("2",), ("2.",), ("2.1", "1."), ("2.1. C",), ("B",), ("Build",), ()]
    }
    assert list(named.values()) == [["B"], ["B"], ["A", "C"], ["C"], ["d"], ["d"], list("ABCDd")]


@pytest.mark.parametrize("folder", ["", "notebooks/", "./notebooks/"])
def test_a_file_as_a_shell_completes_it_names_that_notebook_alone(folder):
    paths = [Path(f"notebooks/{name}.ipynb") for name in ("2. Open", "2. Open_too", "Build", "2.1")]
    for path in paths:
        for completed in (f"{folder}{path.name}", f"{folder}{path.stem}"):
            assert files.named(paths, [completed]) == [path]
    for wrong in ("notebooks/", "3. Open.ipynb", ".ipynb"):
        with pytest.raises(ValueError, match=f"No notebook begins with '{wrong}'. There are: 2, 2"):
            files.named(paths, [wrong])


AGAIN = {  # a cell that takes some time, by what an interrupt in its middle does to it
    "1. Good": """
try:
    time.sleep(1.5)
except KeyboardInterrupt:
    cleared = False
    time.sleep(0.9)
    cleared = True
    raise
print(globals().get("cleared", True))
""",
    "2. Not_twice": """
assert "begun" not in dir(), "begun twice"
begun = True
time.sleep(1.5)
del begun
""",
    "3. Hides_it": """
try:
    time.sleep(1.5)
except KeyboardInterrupt:
    raise ConnectionError("none") from None
""",
    "4. Keeps_half": """
seen = globals().get("seen", 0) + 1
time.sleep(1.5)
print(seen)
""",
    "5. Heeds_none": """
try:
    time.sleep(1.5)
except KeyboardInterrupt:
    pass
""",
    "6. Says_it_once": """
seen = globals().get("seen", 0) + 1
time.sleep(1.5)
print(seen)
""",
}


def test_what_does_not_run_again_after_one_interrupt_is_found(course):
    shutil.rmtree(course.folder / "notebooks")
    (course.folder / "notebooks").mkdir()
    for name, source in AGAIN.items():
        cells = [new_code_cell("one = 1"), new_code_cell(f"import time\n\n{source}")]
        if name == "6. Says_it_once":
            cells[1].metadata["tags"] = ["once"]
        if said := {"1": "True", "4": "1", "6": "1"}.get(name[0]):
            cells[1].outputs = [new_output("stream", name="stdout", text=f"{said}\n")]
        nbformat.write(new_notebook(cells=cells), course.folder / f"notebooks/{name}.ipynb")
    run = course("--jobs", "6", command="interrupt")
    said = re.findall(r"^(\d)\. \w+ +in code cells (.*?): (.*)$", run.stdout, re.MULTILINE)
    assert sorted(said) == [
        ("1", "2", "ok"),
        ("2", "2", "FAILED  code cell 2: AssertionError: begun twice"),
        ("3", "2", "code cell 2, interrupted: ConnectionError: none"),
        ("4", "2", "code cell 2: 1 became 3"),
        ("5", "none (not in 2", "it was over, or paid no heed): ok"),
        ("6", "2", "ok"),
    ]
    assert (run.returncode, run.stderr) == (1, ""), run.stdout
    assert "3 of 6 ok" in run.stdout


@pytest.mark.parametrize("command", ["course", "bench", "interrupt", "restart"])
def test_a_course_without_notebooks_is_no_success(course, command):
    shutil.rmtree(course.folder / "notebooks")
    run = course(command=command)
    assert run.returncode == 2
    assert "There are no notebooks. Get the whole course" in run.stderr


def test_the_longest_notebooks_begin_first_and_a_new_one_before_them():
    took = {"1. Short": 5, "2. Long": 60, "3. New": None, "4. Middle": 20}
    catalog = {name: {"seconds": seconds} for name, seconds in took.items() if seconds}
    ordered = longest_first([Path(f"{name}.ipynb") for name in took], catalog)
    assert [path.stem for path in ordered] == ["3. New", "2. Long", "4. Middle", "1. Short"]


@pytest.mark.skipif(sys.platform == "win32", reason="a killed process is told otherwise there")
def test_what_a_kernel_writes_as_it_ends_is_told_only_if_it_died(course):
    word = "import os\nos.write(2, b'noise');"  # past ipykernel: it leaves this one be under pytest
    cells = {
        "4. Noisy": f"import atexit\natexit.register(exec, {word!r});",
        "5. Dies": f"{word}\nos.kill(os.getpid(), 9)",
    }
    for name, source in cells.items():
        notebook = new_notebook(cells=[new_code_cell(source)])
        nbformat.write(notebook, course.folder / f"notebooks/{name}.ipynb")
    run = course("4", "5")
    assert (run.returncode, run.stderr) == (1, "")
    lines = {line.split()[1]: line for line in run.stdout.splitlines() if line.startswith("[")}
    assert lines["4."].endswith("ok")
    assert "DeadKernelError: Kernel died noise" in lines["5."]


@pytest.mark.skipif(sys.platform == "win32", reason="a signal is sent otherwise there")
def test_interrupted_it_ends_at_once_with_its_kernels_and_keeps_what_is_done(course):
    slow = "import os, pathlib, time\npathlib.Path('kernel').write_text(str(os.getpid()))"
    notebook = new_notebook(cells=[new_code_cell(f"{slow}\ntime.sleep(60)")])
    nbformat.write(notebook, course.folder / "notebooks/4. Slow.ipynb")
    before = sources(course.folder)
    command = [sys.executable, course.folder / ".ci/course.py", "--store", "--jobs=1", "1", "4"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )
    assert "1. Good" in process.stdout.readline()
    kernel = course.folder / "notebooks/kernel"
    wait_for(lambda: kernel.is_file() and kernel.read_text())
    process.send_signal(signal.SIGINT)
    told, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (130, "")
    assert "Stopped" in told
    wait_for(lambda: not psutil.pid_exists(int(kernel.read_text())))
    kernel.unlink()
    after = sources(course.folder)
    assert [name for name in after if after[name] != before.get(name)] == ["1. Good.ipynb"]
    again = course("--store", "1")
    assert (again.returncode, sources(course.folder)) == (0, after)


def wait_for(true: Callable[[], object]) -> None:
    """Wait until it is, for 20 seconds at most."""
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_bench_measures_each_notebook_against_its_imports_and_tells_its_slowest_cells(course):
    for _ in range(3):  # other tests run beside it, and may keep only the imports waiting
        run = course("1", command="bench")
        assert run.returncode == 0, run.stdout + run.stderr
        whole, imports, slowest = re.search(
            r"^1\. Good +([\d.]+) s +([\d.]+) s +\[2\] ([\d.]+) s", run.stdout, re.M
        ).groups()
        if float(imports) < float(whole):
            break
    assert float(imports) < float(whole), "the imports alone take less"
    assert float(slowest) > 1, "the cell that sleeps for a second"
    assert float(whole) > float(slowest), "a run is more than its slowest cell"
    times = float(re.search(r"([\d.]+) times the imports", run.stdout)[1])
    assert times == pytest.approx(float(whole) / float(imports), rel=0.2)
    failed = course("2", command="bench")
    assert failed.returncode == 1
    assert "FAILED  code cell 2: KeyError: 'missing key'" in failed.stdout


def test_of_a_notebook_bench_leaves_the_imports():
    cells = ["import os", "import json\nprint(1)\ndef f():\n    from math import pi"]
    cells += ["from google.colab import files\nimport re"]
    notebook = new_notebook(cells=[*map(new_code_cell, cells)])
    left = [cell.source for cell in bench.stripped(notebook).cells]
    assert left[0].endswith("\nimport os")
    assert left[1:] == ["import json\nfrom math import pi", "import re"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux gives a process cores")
def test_a_measurement_names_the_cores_that_it_was_given(tmp_path, monkeypatch):
    monkeypatch.setattr("course.BUILD", tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2})  # of CI's, by taskset
    report([], 0.0, jobs=1)
    machine = json.loads((tmp_path / "measured.json").read_text("utf-8"))["machine"]
    assert ", 3 cores, Python" in machine
