"""GitHub's side of the course: workflows lint clean, hold no more rights than they use, and end.

actionlint (with shellcheck for their scripts) and zizmor read them, offline. What they do not ask
for is asked here. The linters' own tests are theirs; that each is at work is shown by one fault.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import links
import pytest
import yaml
from conftest import ROOT

FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
NAMES = {"advisories", "again", "hub", "links", "newest", "site", "tell", "test"}
WEEKLY = ["advisories", "again", "hub", "links", "newest"]
TELLING = [*WEEKLY, "site"]  # nobody waits for these, so an issue tells of a failure
# Jobs that may do more than read. They run no package's code.
MAY = {
    ("hub", "propose"): {"contents": "write", "pull-requests": "write"},
    ("tell", "issue"): {"issues": "write"},
    ("site", "deploy"): {"pages": "write", "id-token": "write"},
}
TELL = "./.github/workflows/tell.yml"
OURS = "python3 .ci/record.py --page"  # standard library only, which is shown below


def tool(name: str) -> str:
    """The path of a linter of .ci/requirements-test.txt."""
    places = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    if not (found := shutil.which(name, path=places)):
        pytest.skip(f"needs {name} of .ci/requirements-test.txt")
    return found


def actionlint(*paths: Path) -> subprocess.CompletedProcess:
    command = [tool("actionlint"), "-no-color", "-shellcheck", tool("shellcheck"), "-pyflakes", ""]
    return subprocess.run([*command, *paths], cwd=ROOT, capture_output=True, text=True, check=False)


def zizmor(folder: Path) -> subprocess.CompletedProcess:
    command = [tool("zizmor"), "--offline", "--no-progress", "--color=never", folder]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def read(name: str) -> dict:
    return yaml.safe_load((FOLDER / f"{name}.yml").read_text("utf-8"))


def commands(job: dict) -> str:
    return "\n".join(step["run"] for step in job.get("steps", []) if "run" in step)


def test_the_workflows_are_those_that_the_project_promises():
    assert {path.stem for path in WORKFLOWS} == NAMES


# --- the linters ----------------------------------------------------------------------------------


def test_actionlint_and_shellcheck_find_nothing():
    ran = actionlint(*WORKFLOWS)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_zizmor_finds_nothing():
    ran = zizmor(ROOT / ".github")
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("timeout-minutes", "timeout-minuets", 'unexpected key "timeout-minuets"'),
        ("needs: newest", "needs: oldest", 'job "oldest"'),
        ('"$RUNNER_TEMP/versions.txt"', "$RUNNER_TEMP/versions.txt", "SC2086"),
    ],
    ids=["a key that is none", "a job that is none", "an unquoted variable"],
)
def test_actionlint_is_at_work(tmp_path, right, wrong, says):
    text = (FOLDER / "newest.yml").read_text("utf-8")
    assert right in text
    (changed := tmp_path / "newest.yml").write_text(text.replace(right, wrong), encoding="utf-8")
    ran = actionlint(changed)
    assert ran.returncode == 1 and says in ran.stdout


def test_zizmor_is_at_work(tmp_path):
    text = (FOLDER / "test.yml").read_text("utf-8")
    wrong = text.replace("bash .ci/run", "echo ${{ github.event.pull_request.title }}")
    (folder := tmp_path / ".github/workflows").mkdir(parents=True)
    (folder / "test.yml").write_text(wrong, encoding="utf-8")
    ran = zizmor(tmp_path)
    assert ran.returncode and "template-injection" in ran.stdout


def test_shellcheck_finds_nothing_in_what_ci_runs():
    ran = subprocess.run(
        [tool("shellcheck"), ROOT / ".ci/run"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout


# --- rights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_and_nobody_elses_but_githubs(path):
    text = path.read_text("utf-8")
    for action in re.findall(r"uses: *(.+)", text):
        pinned = re.fullmatch(r"actions/[\w-]+(?:/[\w-]+)?@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)
        assert pinned or action.partition(" ")[0] == TELL, action
    assert "pull_request_target" not in text, "it would run a fork's code with our rights"


def test_one_action_has_one_commit_in_all_workflows():
    pins = {
        pin  # actions/cache and the commit: its parts, restore and save, are of one repository
        for path in WORKFLOWS
        for pin in re.findall(r"uses: *(actions/[\w-]+)(?:/[\w-]+)?(@.+)", path.read_text("utf-8"))
    }
    assert len({action for action, _ in pins}) == len(pins) > 5


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_job_may_only_read_unless_it_runs_no_packages_code_and_it_ends(path):
    workflow = yaml.safe_load(path.read_text("utf-8"))
    assert workflow["permissions"] == {}, "each job asks for its own"
    called = path.stem == "tell"  # it would wait for its caller
    assert ("concurrency" in workflow) != called
    for name, job in workflow["jobs"].items():
        if "uses" in job:  # it has the rights of what it calls, and ends with it
            assert job["permissions"] == MAY["tell", "issue"], name
            continue
        assert job["timeout-minutes"] <= 120, name
        extra = MAY.get((path.stem, name))
        assert job["permissions"] == (extra or {"contents": "read"}), name
        if extra:
            run = commands(job).replace(OURS, "")
            assert not re.search(r"python|pip|make |bash|node|npm|curl", run), name
            used = {step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step}
            allowed = {"actions/checkout", "actions/download-artifact", "actions/deploy-pages"}
            assert used <= allowed, name
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_a_secret_is_seen_by_the_one_step_that_needs_it():
    texts = {path.stem: path.read_text("utf-8") for path in WORKFLOWS}
    found = {name: re.findall(r"secrets\.(\w+)", text) for name, text in texts.items()}
    assert {name: keys for name, keys in found.items() if keys} == {"hub": ["GEMINI_API_KEY"]}
    steps = [step for job in read("hub")["jobs"].values() for step in job.get("steps", [])]
    assert [step["run"] for step in steps if "secrets." in str(step)] == ["make record"]


# --- what each is for -----------------------------------------------------------------------------


def test_the_test_workflow_covers_every_python_and_system_promised():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    jobs = read("test")["jobs"]
    low, high = re.findall(r"3\.(\d+)", project["requires-python"])
    promised = [f"3.{minor}" for minor in range(int(low), int(high))]
    assert jobs["linux"]["strategy"]["matrix"]["python"] == promised
    assert jobs["learners"]["strategy"]["matrix"]["python"] == promised
    systems = {name.partition("-")[0] for name in jobs["learners"]["strategy"]["matrix"]["system"]}
    assert systems == {"macos", "windows"}
    assert "bash .ci/run" in commands(jobs["linux"])


def test_what_readme_promises_teachers_on_windows_is_run_there_but_for_the_download():
    readme = (ROOT / "README.md").read_text("utf-8")
    (promised,) = re.findall(r"^On Windows: `.*NAME\.py` for ([^.]*)\.$", readme, re.MULTILINE)
    tools = set(re.findall(r"\w+", promised)) - {"and", "classroom"}  # it downloads 0.8 GB
    (step,) = (s for s in read("test")["jobs"]["learners"]["steps"] if "preflight" in str(s))
    assert set(re.findall(r"^python \.ci/(\w+)\.py", step["run"], re.MULTILINE)) == tools
    assert step["shell"] == "bash", "PowerShell would go on after a failure"
    assert "cancelled" in step["if"], "a red notebook must not hide what else is broken"


def test_the_test_that_readme_gives_to_windows_is_the_one_that_runs_there():
    readme = (ROOT / "README.md").read_text("utf-8")
    (given,) = re.findall(r"^\.venv\\Scripts\\(python -m pytest.*)$", readme, re.MULTILINE)
    assert given in [step.get("run") for step in read("test")["jobs"]["learners"]["steps"]]


@pytest.mark.parametrize("name", WEEKLY)
def test_what_may_break_by_itself_is_looked_at_every_week(name):
    (when,) = read(name)[True]["schedule"]  # YAML 1.1 reads `on` as true
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", when["cron"])


@pytest.mark.parametrize("name", TELLING)
def test_an_issue_tells_of_whichever_job_fails(name):
    jobs = read(name)["jobs"]
    tell = jobs.pop("tell")
    assert tell["uses"] == TELL
    for result in ("failure", "cancelled"):  # the second is a job that ran into its time limit
        assert f"contains(needs.*.result, '{result}')" in tell["if"]
    assert "always()" in tell["if"], "else it is skipped where a job that it needs did not succeed"
    needs = [tell["needs"]] if isinstance(tell["needs"], str) else tell["needs"]
    assert sorted(needs) == sorted(jobs)
    takes = read("tell")[True]["workflow_call"]["inputs"]
    assert tell["with"].keys() == takes.keys()


def test_contributing_says_what_runs_each_week_and_what_opens_an_issue():
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    told = page.partition("## What runs each week, and what opens an issue\n")[2].partition(
        "\n## "
    )[0]
    days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
    for name in WEEKLY:
        day = days[int(read(name)[True]["schedule"][0]["cron"].split()[-1])]
        assert f"`{name}` on {day}" in told
    for name in TELLING:
        assert f"`{name}`" in told
        label = read(name)["jobs"]["tell"]["with"]["label"]
        assert label == name, "the label is the workflow's name"


def pinned() -> list[str]:
    """The files that pin packages, from the course's root."""
    places = (".", ".ci", "assets/apps/*/space")
    found = [path for place in places for path in ROOT.glob(f"{place}/requirements*.txt")]
    assert len(found) > 5
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


@pytest.mark.skipif(os.name == "nt", reason="GitHub runs this job on Linux")
def test_advisories_are_asked_for_on_every_pin_but_for_what_was_looked_at(tmp_path):
    (python := tmp_path / "python").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    script = commands(read("advisories")["jobs"]["advisories"]).partition("audit.txt\n")[2]
    bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}

    def asked(script: str) -> list[str]:
        ran = subprocess.check_output([*bash, script], cwd=ROOT, env=environment, text=True)
        return ran.splitlines()

    command = asked(script)
    assert sorted(name for name in command if name.endswith(".txt")) == pinned()
    excused = script.replace("and why\n", "and why\n--ignore-vuln PYSEC-2026-1 # never called\n", 1)
    assert asked(excused) == [*command[:2], "--ignore-vuln", "PYSEC-2026-1", *command[2:]]


def test_the_packages_of_every_requirements_file_are_kept_up_to_date():
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text("utf-8"))["updates"]
    (pip,) = (one for one in updates if one["package-ecosystem"] == "pip")
    assert set(pip["directories"]) == {f"/{name.rpartition('/')[0]}" for name in pinned()}


def test_every_workflow_tells_under_a_label_of_its_own():
    assert len({read(name)["jobs"]["tell"]["with"]["label"] for name in TELLING}) == len(TELLING)


@pytest.mark.skipif(os.name == "nt", reason="GitHub runs this job on Linux")
@pytest.mark.parametrize(("already_open", "opened"), [(0, 1), (1, 0)])
def test_an_issue_is_opened_unless_one_is_open(tmp_path, already_open, opened):
    told = {"LABEL": "hub", "MEANS": "Fails on it", "TITLE": "It fails", "RUN": "https://run/1"}
    lines = with_gh(commands(read("tell")["jobs"]["issue"]), tmp_path, tmp_path, already_open, told)
    issues = [line for line in lines if line.startswith("issue create")]
    assert (
        issues
        == ["issue create --title It fails --label hub --body https://run/1 shows where."][:opened]
    )
    assert "label create hub --force --description Fails on it" in lines


def test_the_hub_workflow_runs_the_small_tier_with_a_cache_that_follows_the_catalog():
    job = read("hub")["jobs"]["small"]
    assert "env --unset=CI COURSE_TIER=small make course" in commands(job)
    restored, saved = (step for step in job["steps"] if "actions/cache/" in step.get("uses", ""))
    assert restored["with"]["path"] == saved["with"]["path"] == "~/.cache/huggingface"
    # Of the roles alone: measured seconds in the same file must not make the downloads anew.
    assert restored["with"]["key"] == "hub-small-${{ steps.roles.outputs.hash }}"
    (roles,) = (step["run"] for step in job["steps"] if step.get("id") == "roles")
    cut = re.search(r"sed '/(.+?)/,\$d' (\S+)", roles)
    lines = (ROOT / cut[2]).read_text("utf-8").splitlines()
    kept = "\n".join(lines[: next(i for i, one in enumerate(lines) if re.match(cut[1], one))])
    assert "[roles." in kept and "seconds" not in kept
    order = [step.get("run", "") for step in job["steps"]]
    forgotten = order.index("rm -rf ~/.cache/huggingface/hub/models--*/refs")
    assert forgotten == job["steps"].index(restored) + 1, "else a branch that moved is not seen"
    assert order.index("make record") > next(i for i, run in enumerate(order) if "course" in run)


def test_what_was_downloaded_is_kept_though_a_notebook_fails():
    steps = read("hub")["jobs"]["small"]["steps"]
    uses = [step.get("uses", "").partition("@")[0] for step in steps]
    assert "actions/cache" not in uses, "it saves only what a green job leaves"
    restored = steps[uses.index("actions/cache/restore")]
    saved = steps[uses.index("actions/cache/save")]
    outputs = f"steps.{restored['id']}.outputs"
    assert saved["if"] == f"${{{{ !cancelled() && {outputs}.cache-hit != 'true' }}}}"
    assert saved["with"]["key"] == f"${{{{ {outputs}.cache-primary-key }}}}"
    commands_after = [step for step in steps[steps.index(saved) :] if "run" in step]
    assert not commands_after, "what they would download would not be in it"


FIGURES = [  # where they are said
    "README.md",
    "notebooks/*.ipynb",
    "assets/recipes/Build_an_LLM.ipynb",
    "notebooks/helpers/catalog.toml",
]


def test_what_each_notebook_takes_is_measured_and_handed_on_wherever_it_is_said():
    job = read("hub")["jobs"]["figures"]
    assert commands(job) == "taskset --cpu-list 0,1 make figures"
    (handed,) = (s["with"] for s in job["steps"] if "upload-artifact@" in s.get("uses", ""))
    assert handed["path"].split("\n") == [*FIGURES, ""]
    propose = read("hub")["jobs"]["propose"]
    assert set(propose["needs"]) == {"small", "figures"}
    taken = [s["with"]["name"] for s in propose["steps"] if "download-artifact@" in str(s)]
    assert taken == ["real", handed["name"]]


@pytest.mark.skipif(os.name == "nt", reason="GitHub runs this job on Linux")
@pytest.mark.parametrize("arrived", [True, False])
def test_measured_figures_are_laid_over_the_pages_that_say_them_and_over_nothing_else(
    tmp_path, arrived
):
    steps = read("hub")["jobs"]["propose"]["steps"]
    (lay,) = (step["run"] for step in steps if "RUNNER_TEMP" in step.get("run", ""))
    (downloaded,) = (s["with"] for s in steps if s.get("with", {}).get("name") == "figures")
    assert downloaded["path"] == "${{ runner.temp }}/figures/"
    assert steps.index(next(s for s in steps if s.get("run") == lay)) < next(
        number for number, step in enumerate(steps) if OURS in step.get("run", "")
    ), "the README's link comes after, else it would be lost"
    pages = [page.replace("*", "2.2. Embeddings") for page in FIGURES]
    others = [".ci/record.py", "notebooks/strange.ipynb"]
    for place, files in {"course": [*pages, others[0]], "figures": [*pages, *others]}.items():
        for name in files if arrived or place == "course" else ():
            (file := tmp_path / place / name).parent.mkdir(parents=True, exist_ok=True)
            file.write_text(place)
    bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", lay]
    told = os.environ | {"RUNNER_TEMP": str(tmp_path)}
    subprocess.run(bash, cwd=tmp_path / "course", env=told, check=True)
    for page in pages:
        assert (tmp_path / "course" / page).read_text() == ("figures" if arrived else "course")
    assert (tmp_path / "course" / others[0]).read_text() == "course"
    assert not (tmp_path / "course" / others[1]).exists(), "only what the course has"


def test_the_page_of_records_is_written_with_the_standard_library_alone(tmp_path):
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    (tmp_path / "README.md").write_text("# Course\n")
    ran = subprocess.run(
        [sys.executable, "-S", tmp_path / ".ci/record.py", "--page"],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "0 records\n"), ran.stderr


GH = """#!/bin/sh
echo "$*" >> "$GH_LOG"
case "$*" in "pr list"* | "issue list"*) echo "$OPEN" ;; esac
"""
NOBODY = dict.fromkeys(("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"), os.devnull)


def with_gh(script: str, at: Path, work: Path, already_open: int, told: dict) -> list[str]:
    """Run a job's script in `at` as GitHub does, with a `gh` that only notes what it is told."""
    (tools := work / "tools").mkdir(exist_ok=True)
    (tools / "gh").write_text(GH)
    (tools / "gh").chmod(0o755)
    (log := work / "log").write_text("")
    told |= {"GH_LOG": str(log), "OPEN": str(already_open), "GH_TOKEN": "token", **NOBODY}
    told["PATH"] = f"{tools}{os.pathsep}{os.environ['PATH']}"
    # It stops at the first command that fails.
    bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    subprocess.run(bash, cwd=at, env=os.environ | told, check=True, capture_output=True)
    return log.read_text().splitlines()


@pytest.fixture
def proposing(tmp_path):
    """A clone with a remote, and the job's own script, with `with_gh`."""
    script = commands(read("hub")["jobs"]["propose"]).partition(f"{OURS}\n")[2]
    assert "gh pr create" in script
    clone = tmp_path / "clone"

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
        run = ["git", *identity, *arguments]
        environment = os.environ | NOBODY
        return subprocess.check_output(run, cwd=clone, text=True, env=environment).strip()

    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "remote.git"], check=True)
    clone.mkdir()
    git("init", "-q", "-b", "main")
    git("remote", "add", "origin", str(tmp_path / "remote.git"))
    for name in ("README.md", "notebooks/2.2. Embeddings.ipynb"):
        (clone / name).parent.mkdir(exist_ok=True)
        (clone / name).write_text("# Course\n")
    git("add", ".")
    git("commit", "-q", "-m", "first")

    def propose(already_open: int = 0) -> list[str]:
        told = {"BASE": "main", "RUN": "https://github.com/run/1"}
        return with_gh(script, clone, tmp_path, already_open, told)

    propose.clone, propose.git = clone, git
    return propose


@pytest.mark.skipif(os.name == "nt", reason="GitHub runs this job on Linux")
def test_new_records_come_as_one_pull_request_which_the_next_week_brings_up_to_date(proposing):
    assert proposing() == [], "nothing new, so nothing is proposed"
    page = proposing.clone / "assets/real/README.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("# What the real ones answered\n")
    (proposing.clone / "notebooks/2.2. Embeddings.ipynb").write_text("about 30 seconds")
    (proposing.clone / "stray.txt").write_text("of no concern")
    told = proposing()
    assert any(line.startswith("pr create --base main --head real-results") for line in told)
    pushed = proposing.git("diff", "--name-only", "main", "origin/real-results")
    assert pushed.splitlines() == ["assets/real/README.md", "notebooks/2.2. Embeddings.ipynb"]
    proposing.git("switch", "-q", "main")  # a week later, in a fresh clone
    proposing.git("branch", "-q", "-D", "real-results")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("# What the real ones answered, again\n")
    assert not any(line.startswith("pr create") for line in proposing(already_open=1))
    assert proposing.git("show", "origin/real-results:assets/real/README.md").endswith("again")


def test_the_links_that_are_asked_are_those_in_the_words_of_pages_and_notebooks(tmp_path):
    cells = [{"cell_type": "markdown", "source": ["[a](https://a.org)\n", "and"]}]
    cells += [
        {"cell_type": "code", "source": ["get('https://b.org')"], "outputs": ["https://c.org"]}
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}))
    assert links.words(tmp_path / "a.ipynb") == "[a](https://a.org)\nand"
    asked = {path.name for path in links.pages()}
    notebooks = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert notebooks | {"Build_an_LLM.ipynb", "README.md", "glossary.md", "catalog.toml"} <= asked


def test_where_lychee_is_missing_it_is_said_how_to_get_it():
    ran = subprocess.run(
        [sys.executable, ROOT / ".ci/links.py"],
        env=os.environ | {"PATH": str(Path(shutil.which("git")).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stderr == "lychee is not here: pip install -r .ci/requirements-links.txt\n"


def test_outside_a_clone_it_is_said_that_git_knows_no_pages(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(links, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for path in (os.environ["PATH"], str(tmp_path)):  # a ZIP of the course; a machine without git
        monkeypatch.setenv("PATH", path)
        assert links.main([]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"git does not know the pages in {tmp_path}") and "ZIP" in said
        assert said.count("\n") == 1


def test_a_page_and_a_notebook_of_one_name_are_both_asked(tmp_path, monkeypatch):
    page, notebook = tmp_path / "a.md", tmp_path / "a.ipynb"
    page.write_text("[a](https://a.org)")
    notebook.write_text('{"cells": [{"cell_type": "markdown", "source": ["https://b.org"]}]}')
    monkeypatch.setattr(links, "ROOT", tmp_path)
    monkeypatch.setattr(links, "pages", lambda: [page, notebook])
    handed = {}

    def lychee(command: list, cwd: str) -> int:
        handed.update({path.name: path.read_text() for path in Path(cwd).iterdir()})
        return 0

    monkeypatch.setattr(subprocess, "call", lychee)
    assert links.main([]) == 0
    assert handed == {"a.md.md": "[a](https://a.org)", "a.ipynb.md": "https://b.org"}
