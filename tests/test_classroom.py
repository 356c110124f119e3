"""`make classroom`: a folder from which a class installs the course with no network.

In place of the course's packages, which are a gigabyte, stands a tiny one with the same
difficulties: what only Windows needs, what only a newer Python needs, what comes as source alone.
"""

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import classroom
import fallback
import files
import install
import nbformat
import pytest
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
SYSTEM = install.this_system()
BACKEND = """
import shutil
def build_wheel(folder, settings=None, metadata=None):
    return shutil.copy("ready.whl", f"{folder}/sourceonly-1.0-py3-none-any.whl").rpartition("/")[2]
"""


def make_wheel(folder: Path, name: str, *metadata: str) -> None:
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "ANSWER = 42\n")
        info = f"{name}-1.0.dist-info"
        head = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", *metadata]
        wheel.writestr(f"{info}/METADATA", "\n".join(head) + "\n")
        tag = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{info}/WHEEL", tag)
        wheel.writestr(f"{info}/RECORD", "")


def make_shelf(folder: Path) -> Path:
    """Fill the folder in which pip finds its packages in these tests: it asks no index."""
    folder.mkdir(parents=True)
    make_wheel(
        folder,
        "tinypackage",
        "Requires-Dist: onlywindows; sys_platform == 'win32'",
        "Requires-Dist: onlynew; python_version >= '3.13'",
    )
    make_wheel(folder, "onlywindows")
    make_wheel(folder, "onlynew", "Requires-Python: >=3.13")
    make_wheel(folder.parent, "sourceonly")
    with tarfile.open(folder / "sourceonly-1.0.tar.gz", "w:gz") as archive:
        archive.add(folder.parent / "sourceonly-1.0-py3-none-any.whl", "sourceonly-1.0/ready.whl")
        project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        metadata = "Metadata-Version: 2.1\nName: sourceonly\nVersion: 1.0\n"
        contents = {"pyproject.toml": project, "backend.py": BACKEND, "PKG-INFO": metadata}
        for name, text in contents.items():
            entry = tarfile.TarInfo(f"sourceonly-1.0/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return folder


@contextmanager
def a_small_course(place: Path) -> Iterator[Callable]:
    """Gives what fills a folder with a small part of the course and the tiny packages."""
    requirements = place / "requirements.txt"
    requirements.write_text("tinypackage==1.0\nsourceonly==1.0\n")
    parts = [ROOT / "README.md", ROOT / "requirements.txt"]
    parts += [*(ROOT / ".ci").glob("*.py"), *(ROOT / "assets" / "checkpoints").glob("*.json")]
    names = [path.relative_to(ROOT) for path in parts]

    def filled(*options: str) -> Path:
        where = ["--requirements", str(requirements), "--to", str(place / "build/class room")]
        where += ["--work", str(place / "build/wheels")]
        assert classroom.main([*where, *options]) == 0
        return place / "build/class room"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classroom, "course_files", lambda: names)
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", make_shelf(place / "the shelf").as_uri())
        yield filled


@pytest.fixture
def fill(tmp_path):
    """Fills a folder of this test's own: `fill("--platform", "linux")`."""
    with a_small_course(tmp_path) as filled:
        yield filled


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A folder filled once for this machine; what a test spoils it takes a copy of."""
    with a_small_course(tmp_path_factory.mktemp("once")) as fill:
        return fill()


@pytest.fixture
def folder(filled, tmp_path):
    """A test's own copy of the folder that was filled for this machine, as on a stick."""
    return shutil.copytree(filled, tmp_path / "a stick")


def names(folder: Path) -> set[str]:
    return {path.name.partition("-")[0] for path in folder.glob("*.whl")}


# ------------------------------------------------------------------------------------ the packages


def test_each_system_gets_what_its_machines_need_and_no_more(fill):
    folder = fill("--platform", "linux", "windows", "macos", "--python", "3.11")
    common = {"tinypackage", "sourceonly"}
    assert names(folder / "wheels/linux") == names(folder / "wheels/macos") == common
    assert names(folder / "wheels/windows") == common | {"onlywindows"}
    held = json.loads((folder / "classroom.json").read_text())["wheels"]
    assert held == {"linux": ["3.11"], "windows": ["3.11"], "macos": ["3.11"]}


def test_a_newer_python_gets_what_only_it_needs_whatever_python_fills_the_folder(fill):
    folder = fill("--platform", "linux", "--python", "3.13")
    assert names(folder / "wheels/linux") == {"tinypackage", "sourceonly", "onlynew"}


def test_the_next_run_mends_what_is_half_removes_what_is_too_much_and_keeps_what_is_whole(
    fill, capsys
):
    folder = fill("--platform", "linux", "--python", "3.11")
    wheels = folder / "wheels/linux"
    whole, half = (wheels / f"{n}-1.0-py3-none-any.whl" for n in ("tinypackage", "sourceonly"))
    before = (wheels / "SHA256SUMS").read_text(), whole.stat().st_ino, half.read_bytes()
    half.write_bytes(half.read_bytes()[:100])  # a stick pulled out, a disk that was full
    (wheels / "older-0.1-py3-none-any.whl").touch()
    (wheels / ".half-abc").mkdir()  # what an interruption leaves
    (folder / "course/of_an_older_course.py").touch()
    fill("--platform", "linux", "--python", "3.11")
    assert ((wheels / "SHA256SUMS").read_text(), whole.stat().st_ino, half.read_bytes()) == before
    assert names(wheels) == {"tinypackage", "sourceonly"}
    assert not (wheels / ".half-abc").exists()
    assert not (folder / "course/of_an_older_course.py").exists()
    capsys.readouterr()
    fill("--platform", "linux", "--python", "3.11")
    assert "2 packages, all here already" in capsys.readouterr().out


def test_a_package_that_nobody_has_is_named_and_the_folder_is_not_called_whole(
    fill, tmp_path, capsys
):
    (tmp_path / "the shelf/sourceonly-1.0.tar.gz").unlink()
    with pytest.raises(AssertionError):
        fill("--platform", "linux", "--python", "3.11")
    said = capsys.readouterr().err
    assert "not whole" in said
    assert "sourceonly==1.0" in said
    assert not (tmp_path / "build/class room/classroom.json").exists()


def test_too_little_disk_is_noticed_before_anything_is_fetched(fill, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1e9}))
    with pytest.raises(AssertionError):
        fill("--platform", "linux", "windows", "--python", "3.11")
    assert "has 1.0 GB free" in capsys.readouterr().err
    assert not (tmp_path / "build/class room").exists()


def test_only_what_was_filled_here_counts_as_disk_that_need_not_be_free(tmp_path, monkeypatch):
    target = [classroom.Target("linux", "3.11")]  # 1.3 GB
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1.295e9}))
    (tmp_path / "holidays.mp4").write_bytes(bytes(10_000_000))
    with pytest.raises(OSError, match=r"has 1\.3 GB free"):
        classroom.check_disk(tmp_path, target)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "holidays.mp4").rename(tmp_path / "wheels/torch.whl")
    classroom.check_disk(tmp_path, target)


@pytest.mark.parametrize("name", ["course", "wheels", "fallback"])
def test_nobody_elses_folder_is_emptied(name, fill, tmp_path, capsys):
    theirs = tmp_path / "build/class room" / name / "thesis.html"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("three years")
    with pytest.raises(AssertionError):
        fill("--platform", "linux", "--python", "3.11")
    assert f"{name} is somebody else's. Move it away" in capsys.readouterr().err
    assert theirs.read_text() == "three years"


@pytest.mark.parametrize("name", ["README.md", "install.sh", "classroom.json"])
def test_nobody_elses_file_is_overwritten(name, fill, tmp_path, capsys):
    theirs = tmp_path / "build/class room" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text("three years")
    with pytest.raises(AssertionError):
        fill("--platform", "linux", "--python", "3.11")
    assert f"{name} is somebody else's. Move it away" in capsys.readouterr().err
    assert [path.name for path in theirs.parent.iterdir()] == [name]
    assert theirs.read_text() == "three years"


def test_a_folder_that_was_filled_here_is_filled_again(tmp_path):
    classroom.check_place(tmp_path)
    for name in ("README.md", "install.sh"):
        (tmp_path / name).touch()
    classroom.check_place(tmp_path)


def test_the_course_itself_is_no_place_and_a_folder_in_it_is_not_copied_into_itself(
    tmp_path, monkeypatch
):
    for name in ("requirements.txt", "notebooks/1.ipynb", "stick/course/old.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(classroom, "ROOT", tmp_path)
    with pytest.raises(OSError, match="is the course itself"):
        classroom.check_place(tmp_path)
    classroom.copy_course(tmp_path / "stick/course", tmp_path / "requirements.txt")
    copied = {p.relative_to(tmp_path / "stick").as_posix() for p in tmp_path.glob("stick/**/*.*")}
    assert copied == {"course/requirements.txt", "course/notebooks/1.ipynb"}


def test_a_course_that_is_read_only_is_copied_into_files_that_can_be_written(tmp_path, monkeypatch):
    course, place = tmp_path / "course", tmp_path / "class room/course"
    course.mkdir()
    for name in ("README.md", "requirements.txt"):
        (course / name).touch()
        (course / name).chmod(0o444)
    monkeypatch.setattr(classroom, "ROOT", course)
    for _ in range(2):
        classroom.copy_course(place, course / "requirements.txt")
    assert all(path.stat().st_mode & 0o200 for path in place.iterdir())


def test_an_archive_of_the_course_serves_as_well_as_a_clone(tmp_path, monkeypatch):
    made = [".venv/x", ".venv.old/x", ".venv.lock", ".course-files.json", "build/y"]
    for name in ("README.md", "notebooks/1.ipynb", "a/__pycache__/b.pyc", *made):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(classroom, "ROOT", tmp_path)
    found = {path.as_posix() for path in classroom.course_files()}
    assert found == {"README.md", "notebooks/1.ipynb"}


# ----------------------------------------------------------------------------------- the installer


def install_from(folder: Path, place: Path) -> subprocess.CompletedProcess:
    """Install as a learner does. No index is there to be asked: pip's is one that never answers."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    return subprocess.run(
        [sys.executable, folder / "install.py", "--to", place],
        capture_output=True,
        encoding="utf-8",
        env=environment | nowhere,
        check=False,
        timeout=120,
    )


def test_a_class_installs_without_an_index_and_keeps_its_own_work(folder, tmp_path):
    place = tmp_path / "a learner's course"
    notebook = place / "notebooks/one.ipynb"
    (folder / "course/notebooks").mkdir()
    (folder / "course/notebooks/one.ipynb").write_text("{}")
    first = install_from(folder, place)
    assert "ok       environment" in first.stdout, first.stdout + first.stderr
    assert "ok       packages      2 pins" in first.stdout
    python = place / (".venv/Scripts/python.exe" if os.name == "nt" else ".venv/bin/python")
    answer = [python, "-c", "import sourceonly, tinypackage; print(tinypackage.ANSWER)"]
    assert subprocess.check_output(answer, text=True).strip() == "42"
    assert "-m jupyterlab" in first.stdout

    notebook.write_text("my work")
    readme = (place / "README.md").read_bytes()
    for notes in ("my notes", "more of them"):  # or files of an older course
        (place / "README.md").write_text(notes)
        again = install_from(folder, place)
        assert f"stay, such as {notebook.relative_to(place)}." in again.stdout
        assert "1 other files differed: yours are kept, such as README.md.yours" in again.stdout
        assert "Making" not in again.stdout, "a sound environment is made once"
    assert notebook.read_text() == "my work"
    assert (place / "README.md").read_bytes() == readme
    assert (place / "README.md.yours").read_text() == "my notes"
    assert (place / "README.md.yours2").read_text() == "more of them"


def test_a_newer_course_replaces_what_nobody_changed_and_only_that(tmp_path, capsys):
    course, place = tmp_path / "course", tmp_path / "a learner's course"
    files = ("untouched.ipynb", "worked on.ipynb", "untouched.py", "worked on.py")

    def bring_out(edition: str) -> None:
        for name in (*files, "requirements.txt"):
            (course / name).parent.mkdir(exist_ok=True)
            (course / name).write_text(edition)
        install.copy(course, place)

    bring_out("first")
    for name in files:
        if name.startswith("worked"):
            (place / name).write_text("mine")
    for edition in ("second", "third"):
        capsys.readouterr()
        bring_out(edition)
        assert {name: (place / name).read_text() for name in files} == {
            "untouched.ipynb": edition,
            "worked on.ipynb": "mine",
            "untouched.py": edition,
            "worked on.py": edition,
        }
        told = ["1 notebooks differ from the course's and stay, such as worked on.ipynb."]
        if edition == "second":
            told.append("1 other files differed: yours are kept, such as worked on.py.yours.")
        assert capsys.readouterr().out.splitlines() == told
    assert (place / "worked on.py.yours").read_text() == "mine"
    assert not (place / "untouched.py.yours").exists()


def test_a_course_of_an_installer_that_kept_no_record_is_taken_for_the_learners(tmp_path, capsys):
    course, place = tmp_path / "course", tmp_path / "a learner's course"
    for folder, edition in ((course, "new"), (place, "old")):
        (folder / ".ci").mkdir(parents=True)
        for name in ("one.ipynb", "one.py", "requirements.txt", ".ci/environment.py"):
            (folder / name).write_text(edition)
    install.copy(course, place)
    assert (place / "one.ipynb").read_text() == "old"
    assert (place / "one.py.yours").read_text() == "old"
    assert "stay, such as one.ipynb" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="the Pythons here are scripts of a shell")
def test_another_python_of_this_machine_is_found_and_a_stub_of_a_version_manager_is_not(
    folder, tmp_path, monkeypatch
):
    for version, lines in (("3.94", "exit 1"), ("3.93", 'echo "$@"')):
        (script := tmp_path / f"python{version}").write_text(f"#!/bin/sh\n{lines}\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (folder / "classroom.json").write_text(json.dumps({"wheels": {SYSTEM: ["3.94", "3.93"]}}))
    place = tmp_path / "course"
    went_on = install_from(folder, place)
    assert went_on.stdout == f"{folder.resolve() / 'install.py'} --to {place}\n", went_on.stderr
    (folder / "classroom.json").write_text(json.dumps({"wheels": {SYSTEM: ["3.94"]}}))
    refused = install_from(folder, place)
    assert refused.returncode == 1
    assert f"holds packages for Python 3.94, and this is {HERE}" in refused.stderr
    shutil.rmtree(folder / "course/.ci")
    assert "does not hold the course" in install_from(folder, place).stderr


def test_a_damaged_package_is_noticed_before_anything_is_installed(folder, tmp_path):
    wheel = next((folder / "wheels" / SYSTEM).glob("tiny*.whl"))
    wheel.write_bytes(wheel.read_bytes()[:-1])
    refused = install_from(folder, tmp_path / "course")
    assert refused.returncode == 1
    assert "1 of 2 packages are missing or damaged, such as tinypackage" in refused.stderr
    assert not (tmp_path / "course").exists()


def test_a_machine_for_which_there_is_nothing_is_told_what_to_ask_for(folder, tmp_path):
    held = {"windows" if SYSTEM != "windows" else "linux": [HERE]}
    (folder / "classroom.json").write_text(json.dumps({"wheels": held}))
    refused = install_from(folder, tmp_path / "course")
    assert refused.returncode == 1
    assert f"Ask your instructor for {SYSTEM}" in refused.stderr
    assert "fallback/index.html" in refused.stderr
    assert "Traceback" not in refused.stderr
    (folder / "classroom.json").write_text(json.dumps({"wheels": {SYSTEM: ["3.99"]}}))
    refused = install_from(folder, tmp_path / "course")
    assert f"packages for Python 3.99, and this is {HERE}" in refused.stderr


def test_a_folder_of_somebody_elses_is_left_alone(folder, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("three years of work")
    refused = install_from(folder, theirs)
    assert refused.returncode == 1
    assert "is another folder" in refused.stderr
    assert [path.name for path in theirs.iterdir()] == ["thesis.txt"]


def test_a_project_of_somebody_elses_with_requirements_of_its_own_is_left_alone(tmp_path):
    course, theirs = tmp_path / "course", tmp_path / "theirs"
    for folder in (course, theirs):
        folder.mkdir()
        for name in ("README.md", "requirements.txt"):
            (folder / name).write_text(folder.name)
    with pytest.raises(OSError, match="is another folder"):
        install.copy(course, theirs)
    assert {path.read_text() for path in theirs.iterdir()} == {"theirs"}
    (theirs / "requirements.txt").write_text("course")  # a copy that was cut off after this one
    install.copy(course, theirs)


def test_a_copy_that_was_interrupted_goes_on(folder, tmp_path, monkeypatch):
    mine, copied, copyfile = tmp_path / "mine", [], shutil.copyfile

    def stops(source: Path, target: Path) -> None:
        copied.append(copyfile(source, target))
        if len(copied) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(install.shutil, "copyfile", stops)
        with pytest.raises(KeyboardInterrupt):
            install.copy(folder / "course", mine)
    assert len(json.loads((mine / install.RECORD).read_text())) == 2, "those that were whole"
    install.copy(folder / "course", mine)
    names = {path.relative_to(folder / "course") for path in (folder / "course").rglob("*")}
    assert len(names) > 4
    assert {path.relative_to(mine) for path in mine.rglob("*")} >= names


def test_a_folder_whose_filling_was_interrupted_says_so(folder, tmp_path):
    held = (folder / "classroom.json").read_text()
    (folder / "classroom.json").unlink()
    try:
        assert "is not finished" in install_from(folder, tmp_path / "course").stderr
    finally:
        (folder / "classroom.json").write_text(held)
    inside = install_from(folder, folder / "course" / "mine")
    assert "lie in this folder itself" in inside.stderr


@pytest.mark.skipif(os.name == "nt" or not shutil.which("sh"), reason="needs a shell")
def test_the_starter_finds_a_python_and_passes_its_words_on(folder):
    said = subprocess.run(
        ["sh", folder / "install.sh", "--help"], capture_output=True, text=True, check=True
    )
    assert "--to" in said.stdout


def test_the_rehearsal_has_no_network():
    before, environment, how = classroom.blocked()
    script = (
        "import socket\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(server.getsockname(), timeout=5)\n"
        "try:\n"
        "    socket.create_connection(('192.0.2.1', 80), timeout=5)\n"
        "except OSError as error:\n"
        "    print('blocked', error.errno)\n"
    )
    command = [*before, sys.executable, "-c", script]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert said.stdout.startswith("blocked"), (how, said.stderr)


# --------------------------------------------------------------------------------------- the pages


@pytest.fixture
def pages(tmp_path):
    """The pages of one of the course's notebooks with sounds, and of a small one."""
    notebooks = tmp_path / "course" / "notebooks"
    shutil.copytree(ROOT / "assets/images/apps", tmp_path / "course/assets/images/apps")
    shutil.copy(ROOT / "assets/glossary.md", tmp_path / "course/assets")
    notebooks.mkdir()
    shutil.copy(ROOT / "notebooks/1. Using_Gemini_API.ipynb", notebooks)
    cells = [
        new_markdown_cell(
            "# 9. Small\n\n[![Badge](https://example.com/badge.svg)](https://example.com)\n\n"
            "**What is it?**\n\nIt costs $3 or $5, and `$x$` is code. A formula: "
            "$\\mathrm{softmax}(QK^\\top/\\sqrt{d})$. See [loss](../assets/glossary.md#loss) and "
            "[one](1.%20Using_Gemini_API.ipynb).\n\n![An app](../assets/images/apps/app-pip.jpg)"
        ),
        new_code_cell("1", outputs=[new_output("display_data", {"text/plain": "shown"})]),
    ]
    nbformat.write(new_notebook(cells=cells), notebooks / "9. Small.ipynb")
    folder = tmp_path / "fallback"
    assert fallback.write_pages(notebooks, folder) == 2
    return folder


def test_the_pages_load_nothing_and_play_their_sounds(pages, open_page):
    page, asked = open_page("about:blank"), []
    page.on("request", lambda request: asked.append(request.url))
    for path in sorted(pages.glob("*.html")):
        page.goto(path.as_uri())
        broken = "[...document.images].filter(one => !one.complete || !one.naturalWidth).length"
        assert page.evaluate(broken) == 0, path.name
    assert len(asked) >= 4
    assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
    page.goto((pages / "1. Using_Gemini_API.html").as_uri())
    played = page.evaluate(
        """async () => {
            const played = [];
            for (const sound of document.querySelectorAll("audio")) {
                sound.muted = true;  // nobody has clicked
                await sound.play();
                await new Promise(moves => { sound.ontimeupdate = moves });
                played.push([sound.duration, sound.currentTime]);
                sound.pause();
            }
            return played;
        }"""
    )
    assert len(played) == 2
    assert all(duration > 0.5 and now > 0 for duration, now in played)


@pytest.mark.parametrize("path", [ROOT / "notebooks/2.2. Embeddings.ipynb", files.LAST])
def test_every_link_of_a_page_leads_to_a_page_or_into_the_courses_folder(path):
    text = fallback.page(nbformat.read(path, as_version=4), path)
    links = set(re.findall(r'href="(?![a-z][a-z0-9+.-]*:|#)([^"#]+)', text))
    assert "glossary.html" in links
    assert ("../course/assets/recipes/building.py" in links) == (path == files.LAST)
    for link in links:
        if link.startswith("../course/"):
            assert (ROOT / unquote(link.removeprefix("../course/"))).is_file(), link
        else:
            stem = unquote(link).removesuffix(".html")
            assert stem == "glossary" or (ROOT / f"notebooks/{stem}.ipynb").is_file(), link


def test_formulas_are_drawn_prices_and_code_stay_and_links_lead_to_pages(pages, open_page):
    page = open_page((pages / "9. Small.html").as_uri())
    text = page.inner_text("body")
    assert "It costs $3 or $5, and $x$ is code." in text
    formula = page.locator("img[src^='data:image/svg']")
    assert formula.count() == 1
    assert "softmax" in formula.get_attribute("alt")
    assert page.locator("img[alt='Badge']").count() == 0
    page.get_by_role("link", name="loss").click()
    page.wait_for_url("**/glossary.html#loss")
    assert page.locator("[id='loss']").count() == 1
    page.goto((pages / "index.html").as_uri())
    assert "What is it?" in page.inner_text("body")
    page.get_by_role("link", name="9. Small").click()
    page.wait_for_url("**/9.%20Small.html")
    page.get_by_role("link", name="one", exact=True).click()
    page.wait_for_url("**/1.%20Using_Gemini_API.html")


def test_the_instructors_page_fits_on_one_and_names_what_is_there(folder):
    text = (folder / "README.md").read_text("utf-8")
    assert f"{SYSTEM}, Python {HERE}" in text
    assert re.search(r"wheels \d+ MB", text)
    assert "{" not in text
    assert len(text.splitlines()) <= 45


def test_the_instructors_page_counts_every_notebook_that_has_a_page(tmp_path, monkeypatch):
    def built(*_: object) -> None:
        """No wheels."""

    files = [path.relative_to(ROOT) for path in ROOT.glob("notebooks/*.ipynb")]
    files.append(Path("assets/recipes/Build_an_LLM.ipynb"))
    monkeypatch.setattr(classroom, "course_files", lambda: files)
    monkeypatch.setattr(classroom, "fill_wheels", built)
    monkeypatch.setattr(fallback, "page", lambda *_: "")
    assert classroom.main(["--to", str(tmp_path)]) == 0
    said = (tmp_path / "README.md").read_text("utf-8")
    assert f" {len(files)} notebooks, with the one that builds a model." in said
    for path in files:
        assert (tmp_path / "fallback" / f"{path.stem}.html").is_file()


def test_the_checksums_are_those_that_sha256sum_reads(folder):
    wheels = folder / "wheels" / SYSTEM
    for line in (wheels / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((wheels / name).read_bytes()).hexdigest() == digest
