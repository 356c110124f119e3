"""Install the course from this folder, with no network: `python3 install.py [--to FOLDER]`.

It compares the packages with their checksums, copies the course, makes its .venv from the packages
and looks the result over. What exists is kept: run it again after an interruption, or to mend.
Standard library only, and it starts on older Pythons too, so that it can say what is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
RECORD = ".course-files.json"  # in the learner's course: what the installer put there, with sha256


def main() -> int:
    """Install; return 0, or 1 after one sentence on what stands in the way."""
    parser = argparse.ArgumentParser(description="Install the course from this folder, offline.")
    parser.add_argument("--to", type=Path, default=Path.home() / "Introduction-to-LLMs")
    options = parser.parse_args()
    options.to = options.to.expanduser().resolve()
    try:
        if not (HERE / "classroom.json").is_file():
            raise OSError("this folder is not finished. Run `make classroom` once more.")
        if not (HERE / "course" / ".ci" / "environment.py").is_file():
            raise OSError(f"{HERE} does not hold the course. Copy the whole folder once more.")
        if HERE in (options.to, *options.to.parents):
            raise OSError("it would lie in this folder itself. Choose another: --to FOLDER")
        held = json.loads((HERE / "classroom.json").read_text(encoding="utf-8"))["wheels"]
        system = this_system()
        if system not in held:
            raise OSError(
                f"this folder holds packages for {', '.join(held)}, and this machine is {system}. "
                f"Ask your instructor for {system}; where no torch exists for it (an Intel Mac, "
                "Windows on ARM), share a machine or open fallback/index.html"
            )
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        if python not in held[system]:
            return continue_with(held[system], python)
        wheels = HERE / "wheels" / system
        check(wheels)
        copy(HERE / "course", options.to)
    except (OSError, ValueError, KeyError) as problem:
        print(f"The course was not installed: {problem}", file=sys.stderr)
        return 1
    scripts = options.to / ".ci"
    if subprocess.call([sys.executable, str(scripts / "environment.py"), "--wheels", str(wheels)]):
        return 1
    code = subprocess.call([sys.executable, str(scripts / "preflight.py")])
    python = ".venv\\Scripts\\python" if os.name == "nt" else ".venv/bin/python"
    print(f"\nThe course is in {options.to}. To begin, type these two lines:")
    print(f'  cd "{options.to}"\n  {python} -m jupyterlab')
    return code


def this_system() -> str:
    """Return what the folder calls this machine: linux, linux-arm, macos, macos-intel, windows."""
    name = {"Darwin": "macos"}.get(platform.system(), platform.system().lower())
    arm = platform.machine().lower() in ("arm64", "aarch64")
    if name == "macos":
        return name if arm else "macos-intel"
    return f"{name}-arm" if arm else name


def continue_with(pythons: list[str], python: str) -> int:
    """Start again with a Python of this machine for which there are packages, or say which."""
    sys.path.insert(0, str(HERE / "course" / ".ci"))
    sys.dont_write_bytecode = True  # nothing is written on the stick
    from environment import another_python  # the course's own, not installed yet

    other = another_python(pythons)
    if other:
        return subprocess.call([*other, str(HERE / "install.py"), *sys.argv[1:]])
    print(
        f"The course was not installed: this folder holds packages for Python "
        f"{' and '.join(pythons)}, and this is {python}. Install one of these "
        "(https://www.python.org/downloads/) and run this again.",
        file=sys.stderr,
    )
    return 1


def check(wheels: Path) -> None:
    """Raise ValueError where a package is missing or not what it was when it was put here."""
    wrong = []
    lines = (wheels / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    print(f"Looking at {len(lines)} packages …", flush=True)
    for line in lines:
        digest, name = line.split(maxsplit=1)
        path = wheels / name
        if not path.is_file() or sha256(path) != digest:
            wrong.append(name)
    if wrong:
        raise ValueError(
            f"{len(wrong)} of {len(lines)} packages are missing or damaged, such as {wrong[0]}. "
            "Copy the whole folder once more."
        )


def sha256(path: Path) -> str:
    """Return a file's sha256, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for piece in iter(lambda: file.read(2**20), b""):
            digest.update(piece)
    return digest.hexdigest()


def copy(course: Path, place: Path) -> None:
    """Copy the course's files to `place`, also over an older course.

    What nobody has changed since an installer put it there is the older course's, and is replaced.
    A notebook that differs from both is the learner's work and stays. Any other file has to fit the
    packages: the course's takes its place, and what was there is kept beside it as NAME.yours.

    Raises OSError where `place` is somebody's other folder.
    """
    first = course / "requirements.txt"  # by it an interrupted copy knows its folder again
    files = [path for path in sorted(course.rglob("*"), key=lambda p: p != first) if path.is_file()]
    pins = place / "requirements.txt"  # any Python project has one
    known = pins.is_file() and sha256(pins) == sha256(first)
    known = known or any((place / name).is_file() for name in (RECORD, ".ci/environment.py"))
    if place.exists() and any(place.iterdir()) and not known:
        raise OSError(f"{place} is another folder. Choose a new one: --to FOLDER")
    record, stay, aside = place / RECORD, [], []
    try:
        put = dict(json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError):  # the first time, or an older installer's
        put = {}
    try:
        for path in files:
            name, there = path.relative_to(course), place / path.relative_to(course)
            ours, theirs = sha256(path), sha256(there) if there.exists() else None
            if theirs not in (None, ours, put.get(name.as_posix())):
                if there.suffix == ".ipynb":
                    stay.append(name)
                    continue
                aside.append(set_aside(there).relative_to(place))
            if theirs != ours:
                there.parent.mkdir(parents=True, exist_ok=True)
                beside = there.with_name(there.name + ".part")  # half a file is not taken for whole
                shutil.copyfile(path, beside)  # not its mode: a stick may be read-only
                beside.replace(there)
            put[name.as_posix()] = ours
    finally:  # also of a copy that was interrupted
        if place.is_dir():
            beside = record.with_name(record.name + ".part")
            beside.write_text(json.dumps(put, indent=1), encoding="utf-8")
            beside.replace(record)
    if stay:
        print(f"{len(stay)} notebooks differ from the course's and stay, such as {stay[0]}.")
    if aside:
        print(f"{len(aside)} other files differed: yours are kept, such as {aside[0]}.")


def set_aside(file: Path) -> Path:
    """Rename a file to NAME.yours (.yours2 and so on where that is taken); return the path."""
    number, name = 1, f"{file.name}.yours"
    while file.with_name(name).exists():
        number += 1
        name = f"{file.name}.yours{number}"
    return file.replace(file.with_name(name))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nStopped. Run it again.")
