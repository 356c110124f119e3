"""Runs a Space's app as `python app.py` would, and ends with the Hub that started it.

    python space_child.py app.py      # in the Space's folder; standard input stays open

It imports nothing of the course: a Space has its own folder and the installed packages, no more.
"""

import os
import runpy
import signal
import sys
import threading
from pathlib import Path


def main() -> None:
    """Run the app in this process's own folder."""
    parent = sys.stdin

    def wait() -> None:
        parent.read()
        if hasattr(os, "killpg"):  # the Hub is gone, however it ended: so is all that this started
            os.killpg(0, signal.SIGKILL)
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
    app = sys.argv[1]
    sys.argv[:] = [app]
    sys.path[0] = str(Path.cwd())
    runpy.run_path(app, run_name="__main__")


if __name__ == "__main__":
    main()
