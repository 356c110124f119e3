"""pip, as if it ran on another machine: `python pip_for.py MARKERS arguments of pip …`.

pip chooses files for another machine (--platform, --python-version), but reads the conditions of
packages ("only on Windows", "only before Python 3.12") as if for the one it runs on: what only
Windows needs would be missing on every Windows laptop (https://github.com/pypa/pip/issues/11664).
MARKERS is the JSON of what is different there, such as {"sys_platform": "win32"}.
"""

import json
import sys
from importlib import import_module

# By name, since pip comes with every environment and no requirements file pins it.
main = import_module("pip._internal.cli.main").main
markers = import_module("pip._vendor.packaging.markers")
candidates = import_module("pip._internal.resolution.resolvelib.candidates")

there = json.loads(sys.argv.pop(1))
here = markers.default_environment
markers.default_environment = lambda: {**here(), **there}

# `pip install --dry-run` forgets --python-version where a package says which Pythons it runs on.
version = tuple(int(part) for part in there["python_full_version"].split("."))
begin = candidates.RequiresPythonCandidate.__init__
candidates.RequiresPythonCandidate.__init__ = lambda self, _: begin(self, version)

sys.exit(main())
