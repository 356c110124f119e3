"""Are the course's packages here? On Colab the missing ones are installed; elsewhere none is."""

import importlib
import subprocess
import sys
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path

from helpers.checkpoints import HELPERS, on_colab

KEPT = ("torch", "torchvision", "torchaudio", "numpy")  # Colab's own, built for its GPU


def prepare(table: Path = HELPERS.parent / "colab.toml") -> None:
    """Make sure that the packages of `table` are here, before a notebook imports them.

    Raises ModuleNotFoundError outside Colab where one is missing; RuntimeError on Colab where an
    installation fails or replaces a package that this session has imported already.
    """
    ranges = tomllib.loads(table.read_text(encoding="utf-8"))["packages"]
    if not on_colab():
        if missing := [name for name in ranges if not installed(name)]:
            raise ModuleNotFoundError(
                f"This kernel lacks {', '.join(missing)}: run `make lab`, or `pip install -r "
                "requirements.txt` in an environment, and choose it as the notebook's kernel."
            )
        return
    if wanted := outside(ranges):
        # By its files: several packages share a module's name, as those of Google do.
        loaded = {str(getattr(module, "__file__", "")) for module in list(sys.modules.values())}
        here = {name: metadata.files(name) or () for name in wanted if installed(name)}
        replaced = [name for name in here if loaded & {str(file.locate()) for file in here[name]}]
        print(f"Installing {', '.join(wanted.values())} …")
        install(list(wanted.values()))
        if replaced:
            raise RuntimeError(
                f"{', '.join(replaced)} had been imported before it was installed: choose Runtime "
                "> Restart session and run this cell again."
            )


def outside(ranges: dict[str, str]) -> dict[str, str]:
    """The packages that are missing or whose version is not in its range, with what to install."""
    from packaging.specifiers import SpecifierSet

    return {
        name: f"{name}{allowed}"
        for name, allowed in ranges.items()
        if not installed(name) or not SpecifierSet(allowed).contains(installed(name))
    }


def installed(name: str) -> str | None:
    """The version of a distribution in this environment, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def install(requirements: list[str]) -> None:
    """Install with pip, holding torch and numpy at the versions that are here."""
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder) / "constraints.txt"
        held.write_text("".join(f"{name}=={installed(name)}\n" for name in KEPT if installed(name)))
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*pip, "--constraint", held, *requirements])
    importlib.invalidate_caches()
    if done.returncode:
        raise RuntimeError(
            f"pip could not install {', '.join(requirements)}; its message is above: choose "
            "Runtime > Disconnect and delete runtime, then run this cell again."
        )
