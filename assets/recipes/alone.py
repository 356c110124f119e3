"""Run a recipe while no other process runs it on the same states: rebuild.py starts each so.

    python assets/recipes/alone.py LOCK RECIPE OPTIONS …

A rebuilding that is killed leaves its trainings at work, and two of them on one folder would spoil
each other's states. The system frees the lock when the process that holds it ends, however it ends.
It is not in training.py, for a change there makes every recipe another one.
"""

import os
import runpy
import sys
from pathlib import Path

import filelock

BUSY = 75  # the exit code where another process holds the lock


def main(lock: str, recipe: str, *options: str) -> None:
    """Hold the lock, with this process's number beside it, and be the recipe."""
    held = filelock.FileLock(lock)
    try:
        held.acquire(timeout=0)
    except filelock.Timeout:
        sys.exit(BUSY)
    Path(lock).with_suffix(".pid").write_text(str(os.getpid()))
    sys.argv, sys.path[0] = [recipe, *options], str(Path(recipe).parent)
    runpy.run_path(recipe, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
