"""Folders of one run of a service: the next one removes what a killed one has left."""

import os
import re
import shutil
import tempfile
from pathlib import Path

import psutil

NAME = re.compile(r"course-(gemini|hub|spaces)-(\d{1,9})-")


def prefix(service: str) -> str:
    """How the folders of this run are called: with its process, by which the next one tells."""
    return f"course-{service}-{os.getpid()}-"


def folder(service: str) -> Path:
    """A new folder for this run; those of runs that are no more go first."""
    for left in Path(tempfile.gettempdir()).glob("course-*"):
        found = NAME.match(left.name)
        if found and not psutil.pid_exists(int(found[2])):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=prefix(service)))
