"""What conftest.py promises: no skip where COURSE_NO_SKIP=1, and nobody's own settings."""

import os
import subprocess
import sys
from pathlib import Path

SKIPS = """
import pytest
def test_runs(): pass
def test_skips(): pytest.skip("no emoji font here")
@pytest.mark.xfail(strict=True)
def test_known_to_fail(): assert False
"""


def outcome(folder, **environment):
    (folder / "test_it.py").write_text(SKIPS)
    (folder / "test_module.py").write_text("import pytest\npytest.importorskip('no_such_module')")
    here = Path(__file__).parent
    settings = {**os.environ, **environment, "PYTHONPATH": str(here)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "conftest",
        "-p",
        "no:cacheprovider",
        ".",
    ]
    run = subprocess.run(
        command, cwd=folder, env=settings, capture_output=True, text=True, check=False
    )
    return run.returncode, run.stdout


def test_a_skip_is_told_and_harmless_on_a_learners_machine(tmp_path):
    code, said = outcome(tmp_path, COURSE_NO_SKIP="")
    assert code == 0
    assert "1 passed, 2 skipped, 1 xfailed" in said


def test_a_skip_is_a_failure_where_nothing_may_be_left_out(tmp_path):
    code, said = outcome(tmp_path, COURSE_NO_SKIP="1")
    assert code != 0
    assert "COURSE_NO_SKIP=1 allows no skip. Skipped: no emoji font here" in said
    assert "no_such_module" in said


def test_the_tests_run_on_micro_with_nobodys_own_cache_or_key():
    assert os.environ["COURSE_TIER"] == "micro"
    assert os.environ["CI"] == "true"
    assert "course-hf-home-" in os.environ["HF_HOME"]
    assert not {"HF_TOKEN", "GOOGLE_API_KEY", "HF_ENDPOINT", "HTTPS_PROXY"} & set(os.environ)
