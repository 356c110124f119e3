"""Make the course's virtual environment, and make it again when it is out of date.

    python3 .ci/environment.py            # .venv with requirements.txt: what `make` calls
    python3 .ci/environment.py --site     # and what only `make site` needs
    python3 .ci/environment.py --tests    # and what only the maintainers' tests need, the site too
    python3 .ci/environment.py --wheels F # from the wheels in folder F alone, asking no index

A finished environment says so in a stamp, written last: the Python that made it, where it lies, and
the requirements it holds. Where that is not what is wanted today (half built, older requirements, a
Python that is gone, a moved folder), the environment is made again, with the lists for the site and
the tests that it held. Of two runs at once the second waits. Standard library only, and it starts
on older Pythons too, so that it can say what is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)
ROOT = Path(__file__).resolve().parent.parent
CPU_BUILDS = "https://download.pytorch.org/whl/cpu"
NEEDED_GB = {"cpu": 4, "cuda": 12}  # while pip installs; finished, the CPU one takes 2.8 GB
STAMP = "course-environment.json"


def main(arguments: list[str] | None = None) -> int:
    """Bring the environment up to date; return 0, or 1 after one sentence on what is missing."""
    parser = argparse.ArgumentParser(description="Make or refresh the course's .venv.")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    parser.add_argument("--requirements", type=Path, default=ROOT / "requirements.txt")
    parser.add_argument("--site", action="store_true", help="also what only the site needs")
    parser.add_argument("--tests", action="store_true", help="also what only the tests need")
    parser.add_argument("--wheels", type=Path, help="a folder of wheels to install from, offline")
    options = parser.parse_args(arguments)

    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        return _continue_with_another_python(arguments)
    files = [options.requirements]
    if options.site or options.tests:  # a test builds the site
        files.append(ROOT / ".ci" / "requirements-site.txt")
    if options.tests:
        files.append(ROOT / ".ci" / "requirements-test.txt")
    try:
        bring_up_to_date(options.venv.absolute(), files, options.wheels)
    except OSError as problem:
        print(f"The environment could not be made: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The next run begins the environment again.", file=sys.stderr)
        return 130
    return 0


def bring_up_to_date(venv: Path, files: list[Path], wheels: Path | None = None) -> None:
    """Make `venv` hold the packages of `files`, from nothing unless its stamp says it is sound.

    wheels: a folder that holds every package as a wheel, so that no index is asked.

    Raises:
        OSError: what stands in the way, and how to remove it, in a sentence.
    """
    for file in files:
        if not file.is_file():
            raise OSError(f"{file} is not there. Get the whole course with git clone.")
    old = _predecessor(venv)
    if old.is_symlink() or (
        old.exists() and any(old.iterdir()) and not (old / "pyvenv.cfg").is_file()
    ):
        raise OSError(f"{old} is no virtual environment. Move it away and run the command again.")
    if not old.exists() and set(_hashes(files).items()) <= set(requirements_held(venv).items()):
        return  # without a lock: it may lie where nothing can be written
    with _alone(venv):
        _bring_up_to_date(venv, old, files, wheels)


def _bring_up_to_date(venv: Path, old: Path, files: list[Path], wheels: Path | None) -> None:
    wanted, held = _hashes(files), requirements_held(venv)
    first = files[0].name
    if held.get(first) == wanted[first]:
        shutil.rmtree(old, ignore_errors=True)  # of a run that was killed just before it did
        _fill(venv, files, wanted, held, wheels)
        return
    if not wheels:  # a classroom's folder has the course's packages alone
        files = files + [file for file in lists_held(venv) if file.name not in wanted]
        wanted = _hashes(files)
    room = _room_for_two(venv, offline=wheels is not None)
    print(f"Making {venv} with Python {sys.version.split()[0]}. Once; it takes some minutes.")
    with _put_aside(venv, room):
        _create(venv)
        _fill(venv, files, wanted, {}, wheels)


def _fill(
    venv: Path, files: list[Path], wanted: dict[str, str], held: dict[str, str], wheels: Path | None
) -> None:
    """Install what `wanted` (requirements file → sha256) has and `held` has not; stamp it last."""
    missing = [file for file in files if held.get(file.name) != wanted[file.name]]
    source = ["--no-index", "--find-links", str(wheels)] if wheels else []
    for file in missing:
        if file == files[0]:
            if not wheels:
                _install_cpu_torch(venv, file)
            _pip(venv, "install", *source, "--requirement", str(file))
        else:  # beside the course's own pins, never instead of them
            constraint = ["--constraint", str(files[0])]
            _pip(venv, "install", *source, "--requirement", str(file), *constraint)
        held[file.name] = wanted[file.name]
    if missing:
        _compile(venv)
        _write_stamp(venv, held)


def _hashes(files: list[Path]) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _predecessor(venv: Path) -> Path:
    """Return where an environment waits until its successor is finished."""
    return venv.with_name(f"{venv.name}.old")


def lists_held(venv: Path) -> list[Path]:
    """Return the lists of .ci that `venv`, sound or not, or else its predecessor was made with."""
    for place in (venv, _predecessor(venv)):
        try:
            stamp = json.loads((place / STAMP).read_text(encoding="utf-8"))
            files = [ROOT / ".ci" / name for name in stamp["requirements"]]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        return [file for file in files if file.is_file()]
    return []


@contextmanager
def _alone(venv: Path) -> Iterator[None]:
    """Wait until no other run is at work on `venv`, and keep others waiting meanwhile.

    The lock is the system's, which frees it when this process ends, however it ends.
    """
    with venv.with_name(f"{venv.name}.lock").open("w") as file:
        waiting = False
        while not _locked(file.fileno()):
            if not waiting:
                print(f"Another run is at work on {venv}: waiting for it.", flush=True)
            waiting = True
            time.sleep(0.5)
        yield


def _locked(file: int) -> bool:
    """Return whether an open file is locked now: not while another process has it."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the second on Windows
        return False
    except OSError:  # a disk that knows no locks: go on without
        pass
    return True


def requirements_held(venv: Path) -> dict[str, str]:
    """Return requirements file → sha256 as `venv`'s stamp has them; empty where it is not sound.

    Sound means: finished by this script, in this place, with a Python that still runs and still is
    the one it was made with.
    """
    try:
        stamp = json.loads((venv / STAMP).read_text(encoding="utf-8"))
        version = subprocess.run(
            [str(python_of(venv)), "-c", "import sys, pip; print(*sys.version_info[:2])"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout.strip()
        sound = (stamp["python"], stamp["place"]) == (version, str(venv))
        return dict(stamp["requirements"]) if sound else {}
    except (OSError, ValueError, KeyError, TypeError, subprocess.SubprocessError):
        return {}


def python_of(venv: Path) -> Path:
    """Return the path of `venv`'s Python."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def has_nvidia_card() -> bool:
    """Return whether this machine has an NVIDIA driver, hence a use for the CUDA build of torch."""
    return Path("/proc/driver/nvidia/version").exists() or bool(shutil.which("nvidia-smi"))


def another_python(versions: list[str]) -> list[str]:
    """Return the command of the first of these Pythons ("3.13") that is here; empty if none is."""
    for version in versions:
        for command in ([f"python{version}"], ["py", f"-{version}"]):  # the second on Windows
            # A version manager leaves stubs on the PATH that only say that nothing is behind them.
            if shutil.which(command[0]) and not subprocess.call(
                [*command, "-c", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ):
                return command
    return []


def _continue_with_another_python(arguments: list[str] | None) -> int:
    """Run this script with a suitable Python of this machine, or say how to get one."""
    other = another_python([f"3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)])
    if other:
        return subprocess.call([*other, __file__, *(arguments or sys.argv[1:])])
    print(
        f"The course needs Python 3.11, 3.12 or 3.13, and this is {sys.version.split()[0]}. "
        "Install one (Debian, Ubuntu: sudo apt install python3 python3-venv; macOS: brew install "
        "python@3.13; all systems: https://www.python.org/downloads/) and run the command again.",
        file=sys.stderr,
    )
    return 1


def _room_for_two(venv: Path, offline: bool = False) -> bool:
    """Return whether the disk has room for an environment beside the one that may be there.

    Raises OSError where none can be made, or where something of the reader's would go.
    """
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        package = f"python3.{sys.version_info.minor}-venv"
        raise OSError(
            f"this Python lacks its venv module. On Debian and Ubuntu: sudo apt install {package}"
        )
    if venv.is_symlink() or (venv.exists() and not venv.is_dir()):
        raise OSError(
            f"{venv} is a link or a file, not a folder. Move it away and run the command again."
        )
    if venv.is_dir() and any(venv.iterdir()) and not (venv / "pyvenv.cfg").is_file():
        raise OSError(f"{venv} is no virtual environment. Move it away and run the command again.")
    cuda = sys.platform == "linux" and has_nvidia_card() and not offline  # a class gets the CPU's
    needed = NEEDED_GB["cuda" if cuda else "cpu"]
    free = shutil.disk_usage(venv.parent).free / 1e9
    if free < needed and not venv.is_dir():
        raise OSError(
            f"{venv.parent} has {free:.1f} GB free and the packages need about {needed} GB. "
            "Free some space and run the command again."
        )
    return free >= needed


@contextmanager
def _put_aside(venv: Path, keep: bool) -> Iterator[None]:
    """Put a finished environment aside until its successor at `venv` is finished.

    Where that fails (no network?) it comes back: an older course is better than none. What a killed
    run has left behind is told by the stamps: a half-made environment has none.
    """
    old = _predecessor(venv)
    if not keep:
        _remove(venv)
    if (venv / STAMP).is_file() or not (old / STAMP).is_file():
        _remove(old)
        if venv.exists():
            venv.replace(old)
    else:  # half made, while its predecessor still waits
        _remove(venv)
    try:
        yield
    except (OSError, KeyboardInterrupt):
        if (old / STAMP).is_file():
            _remove(venv)
            old.replace(venv)
            print(f"The environment that was there before is in {venv} again.", file=sys.stderr)
        raise
    _remove(old)


def _remove(venv: Path) -> None:
    """Remove an environment, its stamp first, so that an interruption is noticed."""
    (venv / STAMP).unlink(missing_ok=True)
    if venv.exists():
        shutil.rmtree(venv)


def _create(venv: Path) -> None:
    """Make an empty environment at `venv`."""
    made = subprocess.run(
        # Of an activated environment the Python behind it: its own has just gone.
        [getattr(sys, "_base_executable", sys.executable), "-m", "venv", str(venv)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        last = (made.stderr or made.stdout).strip().splitlines()[-1:]
        raise OSError(f"python -m venv failed: {' '.join(last)}")


def _install_cpu_torch(venv: Path, requirements: Path) -> None:
    """On Linux without an NVIDIA card, install torch's CPU build where its index answers.

    The registry's build for Linux brings several gigabytes of CUDA. macOS and Windows get the CPU
    build from the registry anyway. Alone and first: no other package is taken from that index.
    """
    lines = requirements.read_text(encoding="utf-8").splitlines()
    torch = next((line.split()[0] for line in lines if line.startswith("torch==")), None)
    if torch and sys.platform == "linux" and not has_nvidia_card() and answers(CPU_BUILDS):
        try:
            _pip(venv, "install", "--no-deps", "--index-url", CPU_BUILDS, torch)
        except OSError:
            print("  The CPU build of torch could not be had: taking the registry's.")


def answers(address: str) -> bool:
    """Return whether `address` can be read within five seconds, name look-up included."""
    script = (
        "import sys, urllib.request as u; u.urlopen(sys.argv[1] + '/torch/', timeout=4).read(1)"
    )
    try:
        return not subprocess.call(
            [sys.executable, "-c", script, address], stderr=subprocess.DEVNULL, timeout=5
        )
    except subprocess.TimeoutExpired:
        return False


def _pip(venv: Path, *arguments: str) -> None:
    """Run pip in `venv` with a line of progress; raise OSError with its last words if it fails."""
    command = [str(python_of(venv)), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    pip = subprocess.Popen(
        [*command, *arguments, "--no-compile", "--progress-bar", "off"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    started, last = time.monotonic(), []
    on_terminal = sys.stdout.isatty()
    with pip:
        for line in pip.stdout:
            last = [*last[-14:], line.rstrip()]
            if on_terminal and line.lstrip().startswith(
                ("Collecting", "Downloading", "Installing")
            ):
                print(f"\r  {line.strip()[:70]:<70}", end="", flush=True)
    if on_terminal:
        print("\r" + " " * 72 + "\r", end="")
    if pip.returncode:
        raise OSError(
            "pip did not install the packages. Its last words:\n  " + "\n  ".join(last) + "\n"
            "Mend what they name (no network? behind a proxy, set HTTPS_PROXY), and run it again."
        )
    print(f"  pip {arguments[0]}: {time.monotonic() - started:.0f} s")


def _compile(venv: Path) -> None:
    """Compile the packages to bytecode, so that no notebook pays for it at its first import."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    # Some packages carry files for other Pythons, which do not compile and are never imported.
    subprocess.run(
        [str(python_of(venv)), "-m", "compileall", "-qq", "-j", "0", str(venv)],
        stdout=subprocess.DEVNULL,
        env=environment,
        check=False,
    )


def _write_stamp(venv: Path, held: dict[str, str]) -> None:
    """Write the stamp of a finished environment, whole or not at all."""
    python = subprocess.check_output(
        [str(python_of(venv)), "-c", "import sys; print(*sys.version_info[:2])"], text=True
    ).strip()
    stamp = {"python": python, "place": str(venv), "requirements": held}
    beside = venv / (STAMP + ".new")
    beside.write_text(json.dumps(stamp, indent=2), encoding="utf-8")
    beside.replace(venv / STAMP)


if __name__ == "__main__":
    sys.exit(main())
