"""Fill build/classroom for a class without a network: course, packages, installer, pages.

python .ci/classroom.py                       for machines like this one
python .ci/classroom.py --platform linux macos windows --python 3.11 3.13
python .ci/classroom.py --rehearse            then install from it with the network blocked

Run it again after an interruption: what is whole stays, what is half or too much goes.
It needs only what requirements.txt installs.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "installer")]

import fallback
from environment import CPU_BUILDS, ROOT, answers, python_of
from files import write
from install import sha256, this_system

# What pip calls the machines, newest first, and what is different there for a package's conditions.
# glibc 2.35 and newer: Ubuntu 22.04, Debian 12. macOS 14 and newer: torch has none for older ones.
GLIBC = [f"manylinux_2_{minor}" for minor in range(35, 4, -1)]
GLIBC += ["manylinux2014", "manylinux2010", "manylinux1", "linux"]
MACHINES = {
    "linux": ([f"{glibc}_x86_64" for glibc in GLIBC], "posix", "linux", "Linux", "x86_64"),
    "linux-arm": ([f"{glibc}_aarch64" for glibc in GLIBC], "posix", "linux", "Linux", "aarch64"),
    "macos": (["macosx_14_0_arm64"], "posix", "darwin", "Darwin", "arm64"),
    "windows": (["win_amd64"], "nt", "win32", "Windows", "AMD64"),
}
PYTHONS = ("3.11", "3.12", "3.13")
NEEDED_GB = 1  # a machine's packages, for each Python; measured: 0.58 to 0.71, torch kept twice
MADE_HERE = ".course-classroom"  # lies in each folder that was filled here
INSTALLERS = ("install.py", "install.sh", "install.bat")
# What a run puts there, and replaces:
FILLED = ("course", "wheels", "fallback", "classroom.json", "README.md", *INSTALLERS)
AT_A_TIME = 8  # packages that one pip fetches: an interruption loses no more than these
# In a network namespace of its own even the loopback is down; this switches it on, then goes on.
LOOPBACK_UP = (
    "import fcntl, os, socket, struct, sys; "
    "fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh22x', b'lo', 0x49)); "  # SIOCSIFFLAGS
    "os.execv(sys.argv[1], sys.argv[1:])"
)


@dataclass(frozen=True)
class Target:
    """A kind of machine in the class: its system and the minor version of its Python."""

    system: str
    python: str

    def __str__(self) -> str:
        return f"{self.system}, Python {self.python}"

    @property
    def choice(self) -> list[str]:
        """The options with which pip takes wheels for this machine."""
        platforms = (word for tag in MACHINES[self.system][0] for word in ("--platform", tag))
        return ["--only-binary=:all:", "--python-version", self.python, *platforms]

    @property
    def markers(self) -> str:
        """The JSON of what is different there for a package's conditions."""
        names = ("os_name", "sys_platform", "platform_system", "platform_machine")
        there = dict(zip(names, MACHINES[self.system][1:], strict=True))
        full = f"{self.python}.2"  # as old as a class may have it: Debian 12 has 3.11.2
        return json.dumps(there | {"python_version": self.python, "python_full_version": full})


class Pip:
    """pip for one target; `work` holds what no index has as a wheel for it."""

    def __init__(self, target: Target, work: Path) -> None:
        self.target, self.work = target, work

    def __call__(self, *arguments: str) -> None:
        """Run pip; raises OSError with its last words."""
        script = Path(__file__).with_name("pip_for.py")
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
        command = [sys.executable, str(script), self.target.markers, arguments[0], *quiet]
        if arguments[0] == "wheel":  # built here, with this machine's Python
            command = [sys.executable, "-m", "pip", arguments[0], *quiet]
        ran = subprocess.run(
            [*command, *arguments[1:]],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if ran.returncode:
            errors = [line for line in ran.stdout.splitlines() if line.startswith("ERROR")]
            raise OSError(" ".join(errors[-2:] or ran.stdout.splitlines()[-3:]) or "pip failed")

    def into(self, folder: Path, *arguments: str) -> list[Path]:
        """Let pip put files into `folder`, each whole or not at all; return them."""
        folder.mkdir(parents=True, exist_ok=True)
        where = {"wheel": "--wheel-dir", "download": "--dest"}[arguments[0]]
        with tempfile.TemporaryDirectory(prefix=".half-", dir=folder) as half:
            self(arguments[0], where, half, "--find-links", str(self.work), *arguments[1:])
            names = sorted(path.name for path in Path(half).iterdir())
            return [Path(half, name).replace(folder / name) for name in names]

    def resolve(self, *asked: str) -> dict[str, tuple[str, str]]:
        """Return file name → (requirement, sha256) of all wheels that this machine needs."""
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder, "report.json")
            choice = ["--dry-run", "--ignore-installed", "--target", folder, *self.target.choice]
            self("install", *choice, "--report", str(report), *asked)
            chosen = json.loads(report.read_text(encoding="utf-8"))["install"]
        wheels = {}
        for one in chosen:
            metadata, found = one["metadata"], one["download_info"]
            name = unquote(urlsplit(found["url"]).path.rpartition("/")[2])
            digest = found.get("archive_info", {}).get("hashes", {}).get("sha256", "")
            wheels[name] = (f"{metadata['name']}=={metadata['version']}", digest)
        return wheels


def find(pip: Pip, requirements: Path) -> dict[str, tuple[str, str]]:
    """Return what this machine needs; a package that no index has as a wheel is built into one.

    Raises OSError where that cannot be, in a sentence.
    """
    pip.work.mkdir(parents=True, exist_ok=True)
    lines = requirements.read_text(encoding="utf-8").splitlines()
    torch = next((line.split()[0] for line in lines if line.startswith("torch==")), None)
    if torch and pip.target.system.startswith("linux"):
        take_cpu_torch(pip, torch)
    built = set()
    while True:
        try:
            return pip.resolve("--find-links", str(pip.work), "--requirement", str(requirements))
        except OSError as problem:
            lost = re.search(r"No matching distribution found for (\S+==\S+)", str(problem))
            if not lost or lost[1] in built:
                raise OSError(f"pip found no packages for {pip.target}: {problem}") from None
            build(pip, lost[1])
            built.add(lost[1])


def take_cpu_torch(pip: Pip, torch: str) -> None:
    """Keep the CPU build of torch ready: the registry's for Linux brings gigabytes of CUDA.

    Alone: no other package is taken from that index (as `.ci/environment.py` does).
    """
    tag = f"cp{pip.target.python.replace('.', '')}"
    if list(pip.work.glob(f"torch-{torch.partition('==')[2]}+cpu-{tag}-*.whl")):
        return
    index = ["--index-url", CPU_BUILDS] if answers(CPU_BUILDS) else []
    try:
        if any("+cpu" in name for name in pip.resolve("--no-deps", *index, torch)):
            pip.into(pip.work, "download", "--no-deps", *index, *pip.target.choice, torch)
            return
    except OSError:
        pass
    print(f"  {pip.target}: no CPU build of torch to be had; taking the registry's, with CUDA.")


def build(pip: Pip, requirement: str) -> None:
    """Build a package's wheel from its source, if it is one for every machine."""
    print(f"  {requirement} has no wheel: building one.")
    with tempfile.TemporaryDirectory() as folder:
        try:
            built = pip.into(Path(folder), "wheel", "--no-deps", requirement)
        except OSError as problem:
            raise OSError(f"{requirement} has no wheel and cannot be built: {problem}") from None
        if not built or not built[0].name.endswith("-none-any.whl"):
            raise OSError(
                f"{requirement} has no wheel for {pip.target}, and one built here would run only "
                "on machines like this. Pin a version that has one."
            )
        shutil.copy(built[0], pip.work)


def fetch(pip: Pip, wanted: dict[str, tuple[str, str]], folder: Path, known: dict) -> None:
    """Put the wanted wheels into `folder`; those that are whole there already are kept.

    known: file name → sha256 as of the last run, for what the index gives no sha256 of.
    """
    missing = []
    for name, (requirement, digest) in wanted.items():
        path, digest = folder / name, digest or known.get(name, "")
        if not (path.is_file() and digest == sha256(path)):
            path.unlink(missing_ok=True)
            missing.append((digest != "", f"{requirement} --hash=sha256:{digest}", requirement))
    done, started = len(wanted) - len(missing), time.monotonic()
    for hashed in (True, False):
        chosen = [(line if hashed else bare) for has, line, bare in missing if has == hashed]
        for first in range(0, len(chosen), AT_A_TIME):
            part = chosen[first : first + AT_A_TIME]
            with tempfile.TemporaryDirectory() as place:
                list_ = Path(place, "list.txt")
                list_.write_text("\n".join(part) + "\n", encoding="utf-8")
                choice = ["--no-deps", *pip.target.choice, "--requirement", str(list_)]
                pip.into(folder, "download", *choice)
            done += len(part)
            print(
                f"\r  {pip.target}: {done} of {len(wanted)} packages, {size(folder):,.0f} MB, "
                f"{time.monotonic() - started:.0f} s",
                end="",
                flush=True,
            )
    print("" if missing else f"  {pip.target}: {done} packages, all here already")


def fill_wheels(targets: list[Target], requirements: Path, folder: Path, work: Path) -> None:
    """Fill folder/<system> with the wheels of each target, checksums beside them, and prove it."""
    systems = {target.system for target in targets}
    for other in folder.iterdir() if folder.is_dir() else ():
        if other.is_dir() and other.name not in systems:  # asked for once, and no longer
            shutil.rmtree(other)
    for system in dict.fromkeys(target.system for target in targets):
        place = folder / system
        sums = place / "SHA256SUMS"
        known = dict(reversed(line.split(maxsplit=1)) for line in lines_of(sums))
        every = {}
        mine = [Pip(t, work / t.system / t.python) for t in targets if t.system == system]
        for pip in mine:
            wanted = find(pip, requirements)
            fetch(pip, wanted, place, known)
            every |= wanted
        for path in place.iterdir():  # of an older course, or the rest of an interruption
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in every:
                path.unlink()
        for pip in mine:  # pip itself must find everything here, and only here
            only_here = ["--no-index", "--find-links", str(place)]
            pip.resolve(*only_here, "--requirement", str(requirements))
        write(sums, "".join(f"{sha256(place / name)}  {name}\n" for name in sorted(every)))
        print(f"  {system}: complete, {size(place):,.0f} MB in {len(every)} packages")


def course_files() -> list[Path]:
    """Return the course's files: what git tracks, or an archive's all but what running made."""
    if git := shutil.which("git"):  # a ZIP of the course is for people without it
        listed = subprocess.run(
            [git, "ls-files", "-z"], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
        )
        if listed.returncode == 0 and listed.stdout:
            return [Path(name) for name in listed.stdout.split("\0") if (ROOT / name).is_file()]
    made = {".git", "build", "training", "__pycache__", ".ipynb_checkpoints"}
    ours = (".venv", ".course-files")  # .venv.old and its lock too, and the installer's record
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return [
        path
        for path in found
        if made.isdisjoint(path.parts)
        and not path.parts[0].startswith(ours)
        and "cache" not in path.parts[0]
    ]


def copy_course(folder: Path, requirements: Path) -> None:
    """Make `folder` hold the course's files and no others, with the requirements asked for."""
    filled = folder.parent.resolve()  # it may lie in the course, and is no part of it
    files = [name for name in course_files() if not (ROOT / name).resolve().is_relative_to(filled)]
    wanted = set(files)
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.relative_to(folder) not in wanted:
            path.unlink()
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)  # not its mode: the course may be read-only
    shutil.copyfile(requirements, folder / "requirements.txt")
    print(f"  course: {len(files)} files, {size(folder):,.0f} MB")


def lines_of(path: Path) -> list[str]:
    """Return a file's lines; none where it is not there."""
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def size(folder: Path) -> float:
    """Return what a folder's files take, in megabytes (10^6 bytes)."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def check_disk(folder: Path, targets: list[Target]) -> None:
    """Raise OSError where the packages do not fit."""
    here = sum(size(folder / name) for name in FILLED)  # not what somebody else keeps beside it
    needed = NEEDED_GB * len(targets) + 0.3 - here / 1e3
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(place).free / 1e9
    if free < needed:
        raise OSError(
            f"{place} has {free:.1f} GB free, and packages for {len(targets)} kinds of machine "
            f"need about {needed:.1f} GB. Free some, or choose fewer with --platform and --python."
        )


def check_place(folder: Path) -> None:
    """Mark a folder as filled here; OSError where something of somebody else's would go."""
    if folder.resolve() == ROOT:
        raise OSError(f"{folder} is the course itself. Choose another folder with --to.")
    ours = (folder / MADE_HERE).is_file()
    for place in (folder / name for name in FILLED):
        if not ours and place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise OSError(f"{place} is somebody else's. Move it away, or choose another --to.")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MADE_HERE).touch()


def blocked() -> tuple[list[str], dict[str, str], str]:
    """Return how a command runs with no network: words before it, its environment, and a name."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_"))}
    prefix = ["unshare", "--map-root-user", "--net", sys.executable, "-c", LOOPBACK_UP]
    probe = [*prefix, sys.executable, "-c", ""]
    if shutil.which("unshare") and not subprocess.call(probe, stderr=subprocess.DEVNULL):
        return prefix, environment, "by the kernel: there is no network in its namespace"
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    guard = {"PYTHONPATH": str(ROOT / "tests" / "offline"), "NO_PROXY": "127.0.0.1,localhost"}
    return [], environment | nowhere | guard, "for Python, by tests/offline: it refuses sockets"


def rehearse(folder: Path, name: str) -> None:
    """Install from the folder as a learner would, with the network blocked, and run one notebook.

    Raises OSError where that does not end well.
    """
    before, environment, how = blocked()
    print(f"Rehearsing. The network is blocked {how}.", flush=True)
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as place:
        course = Path(place, "a learner's course")
        python = str(python_of(course / ".venv"))
        steps = [
            [sys.executable, str(folder / "install.py"), "--to", str(course)],
            [python, str(course / ".ci" / "course.py"), name],
        ]
        for step in steps:
            started = time.monotonic()
            if subprocess.call([*before, *step], env=environment):
                raise OSError(f"the rehearsal failed at {Path(step[1]).name}; its words are above")
            print(f"  {Path(step[1]).name}: {time.monotonic() - started:.0f} s", flush=True)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    add = parser.add_argument
    system = this_system()
    add("--platform", nargs="+", default=[system], choices=MACHINES, help=f"default: {system}")
    add("--python", nargs="+", default=[here], choices=PYTHONS, help=f"default: {here}")
    add("--requirements", type=Path, default=ROOT / "requirements.txt")
    add("--to", type=Path, default=ROOT / "build" / "classroom", help="the folder to fill")
    add("--work", type=Path, default=ROOT / "build" / "wheels", help="what is kept between runs")
    add("--rehearse", action="store_true", help="install from it with the network blocked")
    add("--notebook", default="2.2", help="which one the rehearsal runs (default: 2.2)")
    options = parser.parse_args(arguments)
    if not set(options.platform) <= set(MACHINES):
        parser.error(f"there is no torch for {system}: name others with --platform")
    return options


def readme(targets: list[Target], folder: Path, notebooks: int) -> Iterator[str]:
    """Give the lines of the folder's one page for the instructor."""
    kinds = "; ".join(map(str, targets))
    parts = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    sizes = ", ".join(f"{path.name} {size(path):,.0f} MB" for path in parts)
    text = (Path(__file__).parent / "installer" / "README.md").read_text(encoding="utf-8")
    yield text.format(kinds=kinds, sizes=sizes, notebooks=notebooks)


def main(arguments: list[str] | None = None) -> int:
    """Fill the folder; 0 when it is whole, else 1 after one sentence."""
    options = parse(arguments)
    targets = [Target(system, python) for system in options.platform for python in options.python]
    folder, started = options.to.absolute(), time.monotonic()
    try:
        check_disk(folder, targets)
        check_place(folder)
        (folder / "classroom.json").unlink(missing_ok=True)  # written last: half is not whole
        print(f"Filling {folder} for {'; '.join(map(str, targets))}.", flush=True)
        copy_course(folder / "course", options.requirements)
        pages = fallback.write_pages(folder / "course" / "notebooks", folder / "fallback")
        print(f"  fallback: {pages} pages, {size(folder / 'fallback'):,.0f} MB", flush=True)
        fill_wheels(targets, options.requirements, folder / "wheels", options.work)
        held = {}
        for target in targets:
            held.setdefault(target.system, []).append(target.python)
        for name in INSTALLERS:
            shutil.copyfile(Path(__file__).parent / "installer" / name, folder / name)
        write(folder / "classroom.json", json.dumps({"wheels": held}, indent=2) + "\n")
        write(folder / "README.md", "".join(readme(targets, folder, pages)))
        print(
            f"{folder}: {size(folder):,.0f} MB in {time.monotonic() - started:.0f} s.", flush=True
        )
        if options.rehearse:
            rehearse(folder, options.notebook)
    except OSError as problem:
        print(f"\nThe classroom's folder is not whole: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The next run goes on with what is whole.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
