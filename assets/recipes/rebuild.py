"""Remake the course's checkpoints from scratch: `make checkpoints`.

    python assets/recipes/rebuild.py                 # all, in under nine hours on two CPU cores
    python assets/recipes/rebuild.py translator      # one
    python assets/recipes/rebuild.py --list          # what there is, what is done, in how long
    python assets/recipes/rebuild.py --ship          # trains nothing: put what reached its targets
                                                     # in its place; with a role: make it first

Stop it at any time: what was half learnt goes on from there, and what an unchanged recipe has made
with the same packages is not made again. A checkpoint is made beside the course's own, in
training/rebuilt, and each has a line in assets/recipes/rebuild.jsonl.
"""

import argparse
import ast
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import alone
import filelock
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "assets" / "recipes"
CHECKPOINTS = ROOT / "assets" / "checkpoints"
TRAINING = ROOT / "training"
LIMITS = tomllib.loads((ROOT / "tests" / "thresholds.toml").read_text("utf-8"))
PACKAGES = ("torch", "transformers", "accelerate", "tokenizers", "numpy")
MOST_CORES = 4  # a role more at once needs 2 GB more
# Each role is trained on one core, as many at once as there are: two share two cores better than
# one uses both. A training on one core takes so many times the minutes that it takes on two: by
# their steps in three quiet minutes, side by side, the summarizer 1.5, the chatbot 1.7. (The
# journal's minutes of both are of a machine that ran tests and a notebook beside them.)
ONE_CORE = 1.7


class Cells(NamedTuple):
    """Where a card has a figure: in rows that begin so, in a column, from the label or the end on.

    Of several rows or columns the worst counts. over: the ratio of a cell's two, "0.57 (0.60)".
    """

    rows: tuple[str, ...] | str
    column: int | tuple[int, ...] = 1
    over: bool = False


@dataclass(frozen=True)
class Role:
    """A recipe: what it needs before it, and where its figures are.

    figures: for each target of thresholds.toml, cells of the card that the recipe writes.
    """

    after: tuple[str, ...] = ()
    figures: dict[str, Cells] = field(default_factory=dict)


QUESTIONS = (
    "what is",
    "how many",
    "where is",
    "what color",
    "is there",
    "of these",
    "what is left",
)
LANGUAGES = {"en": 1, "fr": 2, "es": 3}
CONDITIONS = {
    "known_voices": "voices of the training",
    "unseen_voices": "voices it has never heard",
    "noise_10_decibels": "noise at 10 dB",
}
WAYS = ("English to French", "English to Spanish", "French to English", "Spanish to English")
ROLES = {
    "eyes": Role(),  # not shipped: five others start from them
    "transcriber": Role(
        figures={
            f"{condition}.{code}": Cells(row, column)
            for condition, row in CONDITIONS.items()
            for code, column in LANGUAGES.items()
        }
        | {
            "chrf": Cells(CONDITIONS["known_voices"], (5, 6)),
            "language": Cells(CONDITIONS["known_voices"], 4),
            "numbers": Cells("English sentences with figures"),
            "within_quarter_second": Cells("of several sentences in a recording"),
            "unmatched_sentences": Cells("told sentences that match none"),
        },
    ),
    "segmenter": Role(
        ("eyes",),
        {
            "click": Cells("one click, the mask with the highest score"),
            "box": Cells("a box, the one mask"),
            "rank": Cells("rank correlation"),
            "background_at_most": Cells("mean of the highest score, clicks on the background"),
        },
    ),
    "speaker": Role(  # measured by the course's own transcriber, always the same ears
        figures={
            "wer": Cells(("0 |", "1 |", "2 |", "3 |"), -2),
            "voices": Cells("voices told apart"),
            "jump": Cells("largest step between samples", over=True),
        },
    ),
    "assistant": Role(
        figures={f"skills.{name}": Cells(f"{name} |", -2) for name in LIMITS["assistant"]["skills"]}
        | {f"new_names.{name}": Cells(f"{name} |") for name in ("json", "call", "from text")}
        | {f"unseen.{name}": Cells(name) for name in ("robot + explain", "pirate + sum")}
        | {
            "obedient": Cells("a persona's style is obeyed"),
            "distinct": Cells("of five stories"),
        },
    ),
    "detector": Role(
        figures={
            "map50": Cells("mAP at IoU 0.50"),
            "map": Cells("mAP over IoU 0.50 to 0.95"),
            "exact_scenes": Cells("scenes in which each thing"),
        },
    ),
    "classifier": Role(
        ("eyes",),
        {
            "thing": Cells("a thing alone"),
            "place": Cells("the place of any scene"),
            "recall": Cells("the text's nearest picture"),
        },
    ),
    "captioner": Role(
        ("eyes",),
        {"true": Cells("every fact"), "named": Cells("every kind of thing")},
    ),
    "answerer": Role(
        ("eyes",),
        {"overall": Cells("mean of the six"), "each": Cells(QUESTIONS)},
    ),
    "chatbot": Role(
        figures={
            "all": Cells("all turns"),
            "asked": Cells("it is asked for, up to"),
            "spelt": Cells("the same, where it is a name"),
            "never": Cells("it is asked for, and was never"),
        },
    ),
    "listener": Role(
        figures={
            "accuracy": Cells("the labels of `sounds.toml`"),
            "both": Cells("both sounds of a mixture"),
            "recall": Cells("a caption's nearest clip"),
            "resampled": Cells(("resampled to 8 kHz", "to 22.05 kHz", "to 44.1 kHz")),
        },
    ),
    "matcher": Role(
        ("eyes",),
        {"random": Cells("a full description of"), "swapped": Cells("something true, or")},
    ),
    "translator": Role(
        figures={
            "chrf": Cells(WAYS),
            "never_trained_at_most": Cells("Spanish to French, never trained"),
        },
    ),
    "summarizer": Role(
        figures={"rouge_l": Cells("ROUGE-L against"), "facts": Cells("who, what and where")},
    ),
}
# What must not be more. Of all other targets what is measured must not be less.
AT_MOST = ("_at_most", "voices.", "noise_10", "unmatched_sentences", "jump", "megabytes")
EYES_STAGES, EYES_STEPS, EYES_MINUTES = ("look", "count"), 7_100, 45  # they have no card
SHIP = "move what reached its targets to assets/checkpoints; roles that are named are made first"
FORM = "{desc} {percentage:3.0f}% |{bar:20}| {elapsed} {postfix}"


# Targets and figures -------------------------------------------------------------------------


def targets(role: str) -> dict[str, float]:
    """A role's targets in thresholds.toml, as far as its card has the figures."""
    own = {"megabytes": LIMITS["writers"]["megabytes"]} | LIMITS[role]  # some have it together
    found = {}
    for name in (*ROLES[role].figures, "megabytes"):
        first, _, second = name.partition(".")
        try:
            found[name] = own[first][second] if second else own[first]
        except KeyError:
            raise ValueError(f"thresholds.toml has no {name} for the {role}") from None
    return found


def figures(role: str, folder: Path) -> dict[str, float]:
    """What the card in a checkpoint's folder says of the role's targets, and its megabytes."""
    card = (folder / "README.md").read_text("utf-8")
    rows = [line.removeprefix("| ").strip() for line in card.splitlines() if line.startswith("| ")]
    found = {}
    for name, cells in ROLES[role].figures.items():
        starts = (cells.rows,) if isinstance(cells.rows, str) else cells.rows
        columns = (cells.column,) if isinstance(cells.column, int) else cells.column
        # A skill may head a row of two tables; that with new names comes last.
        order = rows[::-1] if name.startswith("new_names.") else rows
        numbers = [
            _number(role, order, start, column, cells.over)
            for start in starts
            for column in columns
        ]
        found[name] = max(numbers) if at_most(name) else min(numbers)
    weights = folder / "model.safetensors"
    return found | {"megabytes": round(weights.stat().st_size / 1e6, 2)}


def _number(role: str, rows: list[str], start: str, column: int, over: bool) -> float:
    fit = [row for row in rows if row.startswith(start)]
    parts = fit[0].removesuffix("|").split(" | ") if fit else []
    cell = parts[column] if -len(parts) <= column < len(parts) else ""
    numbers = [float(n.replace(",", "")) for n in re.findall(r"-?\d[\d,]*\.?\d*", cell)]
    if not numbers or (over and len(numbers) < 2):
        raise ValueError(f"the card of the {role} has no figure in the row “{start} …”")
    if over:
        return round(numbers[0] / numbers[1], 3)
    return round(numbers[0] / 100, 4) if "%" in cell else numbers[0]


def judged(line: dict) -> dict:
    """A line of the journal by the targets of today, which may be other than those of its day."""
    if not line["targets"]:
        return line
    limits = targets(line["role"])
    metrics = dict.fromkeys(limits, float("nan")) | line["metrics"]  # a new one reaches nothing
    reached = all(holds(name, metrics[name], limit) for name, limit in limits.items())
    return line | {"metrics": metrics, "targets": limits, "reached": reached}


def at_most(name: str) -> bool:
    """Whether a target is a ceiling."""
    return name == "wer" or any(part in name for part in AT_MOST)


def holds(name: str, value: float, limit: float) -> bool:
    """Whether a target is reached."""
    return value <= limit if at_most(name) else value >= limit


# What a role is made by, and what is done ------------------------------------------------------


def imported(path: Path) -> Iterator[Path]:
    """A recipe's file and those of this folder that it imports, and what those do."""
    waiting, seen = [path], set()
    while waiting:
        if (path := waiting.pop()) in seen:
            continue
        seen.add(path)
        yield path
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            else:
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            files = (RECIPES / f"{name.replace('.', '/')}.py" for name in names)
            waiting += [file for file in files if file.is_file()]


def recipe_hash(role: str, seed: int, smoke: bool) -> str:
    """Of all that decides what a recipe makes: code, Toytown, options, versions of packages.

    Not of the text of its card, in which a typo may be corrected.
    """
    digest = hashlib.sha256(json.dumps([seed, smoke, versions()]).encode())
    data = (RECIPES / "toytown").glob("*.[pt]*")
    for path in sorted({*imported(RECIPES / f"{role}.py"), *data}):
        text = path.read_text("utf-8")
        text = re.sub(r'^CARD = """.*?^"""', "", text, flags=re.M | re.S)
        digest.update(f"{path.name}\n{text}".encode())
    return digest.hexdigest()[:16]


def versions() -> dict[str, str]:
    """Of the packages that decide what comes out."""
    return {name: version(name) for name in PACKAGES}


def weights_of(role: str, into: Path, build: Path) -> Path | None:
    """The weights that a role has made, or None: of the eyes their last state."""
    if role == "eyes":
        states = _states(build)
        return states[-1] / "model.safetensors" if len(states) == len(EYES_STAGES) else None
    path = into / role / "model.safetensors"
    return path if path.is_file() else None


def _states(build: Path) -> list[Path]:
    """The last states of the eyes' stages."""
    found = (
        sorted(build.glob(f"eyes/{stage}/*/checkpoint-*"), key=os.path.getmtime)
        for stage in EYES_STAGES
    )
    return [states[-1] for states in found if states]


def _log(state: Path) -> list[dict]:
    return json.loads((state / "trainer_state.json").read_text("utf-8"))["log_history"]


def sha256(path: Path) -> str:
    """Of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass
class Place:
    """Where a rebuilding works: states, results, and the journal with a line for each."""

    build: Path
    into: Path
    journal: Path
    seed: int = 0
    smoke: bool = False

    def lines(self) -> list[dict]:
        """The journal, without what is no line: half of one, of a run that ended as it wrote."""
        found = []
        for line in self.journal_text().splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
        return found

    def journal_text(self) -> str:
        """The journal's text."""
        return self.journal.read_text("utf-8") if self.journal.is_file() else ""

    def add(self, line: dict) -> None:
        """Write a line in the journal, below what is there, be it half a line."""
        begin = "" if self.journal_text().endswith("\n") or not self.journal_text() else "\n"
        with self.journal.open("a", encoding="utf-8") as journal:
            journal.write(f"{begin}{json.dumps(line)}\n")

    def made(self, role: str) -> dict | None:
        """The journal's last line of a role, if what it tells of lies here and is up to date."""
        mine = [line for line in self.lines() if line["role"] == role]
        if not mine or mine[-1]["recipe"] != recipe_hash(role, self.seed, self.smoke):
            return None
        found = [weights_of(role, self.into, self.build), weights_of(role, CHECKPOINTS, self.build)]
        return mine[-1] if mine[-1]["weights"] in [sha256(p) for p in found if p] else None

    def minutes(self, role: str, cores: int = 1) -> float:
        """What a role took when last made on so many cores, or would by what its card tells."""
        lines = [(line["role"], line["cores"], line["minutes"]) for line in self.lines()]
        took = [minutes for made, on, minutes in lines if (made, on) == (role, cores)]
        if took and took[-1]:  # a try of seconds is 0.0 minutes
            return took[-1]
        return expected(role)[1] * (ONE_CORE if cores < timed_on(role) else 1)


def expected(role: str) -> tuple[int, float]:
    """Steps and minutes of a role's training as its card tells: the plan's estimate."""
    if role == "eyes":
        return EYES_STEPS, EYES_MINUTES
    if not (CHECKPOINTS / role / "training.json").is_file():  # a new role: nobody knows yet
        return 5_000, 60.0
    log = json.loads((CHECKPOINTS / role / "training.json").read_text("utf-8"))
    card = (CHECKPOINTS / role / "README.md").read_text("utf-8")
    slowly = re.search(r"all about (\d+) minutes", card)  # where it was trained on something faster
    said = slowly or re.search(r"(\d+)\s+minutes\s+on", card)
    return log[-1]["step"], float(said[1]) if said else log[-1]["seconds"] / 60


def timed_on(role: str) -> int:
    """On how many cores the minutes were measured that `expected` tells."""
    if not (path := CHECKPOINTS / role / "training.json").is_file():
        return 1
    return 1 if json.loads(path.read_text("utf-8"))[-1]["device"] == "one CPU core" else 2


def longest_first(minutes: dict[str, float]) -> dict[str, float]:
    """In the order in which they are begun: no core is left with a long one at the end.

    Before all others comes what they start from.
    """
    before = {name for role in ROLES.values() for name in role.after}
    return dict(sorted(minutes.items(), key=lambda item: (item[0] not in before, -item[1])))


def plan(minutes: dict[str, float], cores: int) -> float:
    """In how many minutes all are made, one a core."""
    now, running, waiting = 0.0, {}, list(minutes)
    while waiting or running:
        for role in list(waiting):
            before = {*waiting, *running} & {*ROLES[role].after}
            if not before and len(running) < cores:
                waiting.remove(role)
                running[role] = now + minutes[role]
        first = min(running, key=running.get)
        now = running.pop(first)
    return now


# Running -------------------------------------------------------------------------------------


class Training:
    """A recipe at work in a process of its own, with its log in the states' folder."""

    def __init__(self, role: str, place: Place, cores: int):
        self.role, self.place, self.cores = role, place, cores
        self.started = time.monotonic()
        self.recipe = recipe_hash(role, place.seed, place.smoke)  # as it is now, not at the end
        self.log = place.build / "logs" / f"{role}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.progress = self.log.with_suffix(".json")
        self.progress.unlink(missing_ok=True)
        self.stages: dict[str, int] = {}
        self.steps_before = 0  # steps that were there already
        self.text, self.loss = "", None
        self.steps, self.minutes = expected(role)[0], place.minutes(role, cores)
        self.bar = tqdm(total=1, bar_format=FORM, leave=False, disable=not sys.stderr.isatty())
        self.lock = place.build / f"{role}.lock"
        command = [sys.executable, alone.__file__, str(self.lock), str(RECIPES / f"{role}.py")]
        command += [f"--seed={place.seed}"]
        command += [f"--build={place.build / role}", f"--output={place.into / role}"]
        command += ["--smoke"] if place.smoke else []
        needs = (role, *ROLES[role].after)
        threads = {"OMP_NUM_THREADS": str(cores), "TOKENIZERS_PARALLELISM": "false"}
        ours = {"COURSE_PROGRESS": str(self.progress)}
        # States are for this recipe: of an older one they would pass for what this one makes. So
        # are those that it starts from, which their own training has named by their own recipe.
        recipes = {place.build / name: recipe_hash(name, place.seed, place.smoke) for name in needs}
        ours["COURSE_RECIPES"] = json.dumps({str(at): recipe for at, recipe in recipes.items()})
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command,
                cwd=RECIPES,
                env=os.environ | threads | ours,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us, and we ask it to keep its state
            )

    def update(self) -> None:
        """Read where it is, and show it."""
        with suppress(FileNotFoundError):
            self.text = self._read(json.loads(self.progress.read_text("utf-8")))
        self.bar.n = self.done
        self.bar.set_description_str(self.text or f"{self.role}: getting ready")

    def _read(self, told: dict) -> str:
        for name, step in told["stages"].items():
            if Path(name).is_relative_to(self.place.build / self.role):  # not of its eyes
                self.steps_before += step if name not in self.stages else 0
                self.stages[name] = step
        if self.done == 1 and self.role != "eyes":
            return f"{self.role}: being measured"
        step = told["stages"][told["folder"]]
        folder = Path(told["folder"]).relative_to(self.place.build)
        self.loss = told["loss"][-1] if told["loss"] else self.loss
        name = " ".join(folder.parts[:-1])  # the last is a digest of what makes it
        loss = f", loss {self.loss:.3g}" if self.loss is not None else ""
        return f"{name}: step {step:,} of {told['of']:,}{loss}"

    @property
    def done(self) -> float:
        """The share of the steps."""
        return min(1.0, sum(self.stages.values()) / self.steps)

    def pace(self) -> float | None:
        """Its minutes against those expected, once that can be told."""
        now = sum(self.stages.values()) - self.steps_before
        took = (time.monotonic() - self.started) / 60
        return took / (self.minutes * now / self.steps) if now > 0.02 * self.steps else None

    def end(self) -> None:
        """Wait until it has ended, asked to by SIGTERM; after a minute it is ended."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(60)
        with suppress(ProcessLookupError, PermissionError):  # the second: macOS, of a dead group
            if hasattr(os, "killpg"):  # not on Windows
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        self.process.wait()
        self.bar.close()


def result(training: Training) -> dict:
    """The journal's line of a training that has ended well."""
    role, place = training.role, training.place
    weights = weights_of(role, place.into, place.build)
    if weights is None:
        raise FileNotFoundError("it has written no weights")
    if role == "eyes":
        log = [row for state in _states(place.build) for row in _log(state)]
        seconds = sum(_log(state)[-1]["seconds"] for state in _states(place.build))
        metrics = {k.removeprefix("eval_"): v for r in log for k, v in r.items() if "eval_" in k}
        limits: dict[str, float] = {}
    else:
        log = json.loads((weights.parent / "training.json").read_text("utf-8"))
        seconds = log[-1]["seconds"]
        # A few steps to try a recipe make no card.
        metrics = {} if place.smoke else figures(role, weights.parent)
        limits = {} if place.smoke else targets(role)
    losses = [row["loss"] for row in log if "loss" in row]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "role": role,
        "recipe": training.recipe,
        "seed": place.seed,
        "versions": versions() | {"python": platform.python_version()},
        "machine": machine(),
        "cores": training.cores,
        "minutes": round(seconds / 60, 1),
        "loss": losses[-1],
        "metrics": metrics,
        "targets": limits,
        "reached": all(holds(name, metrics[name], limit) for name, limit in limits.items()),
        "weights": sha256(weights),
    }


def machine() -> str:
    """The processor's name and the system."""
    with suppress(OSError):
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text("utf-8"))
        if found:
            return f"{found[1]}, {platform.system()}"
    return f"{platform.processor() or platform.machine()}, {platform.system()}"


def rebuild(roles: list[str], place: Place, cores: int) -> list[str]:
    """Make what is not made yet, in order, and write the journal; returns what failed."""
    made = [role for role in roles if place.made(role)]
    waiting = [role for role in roles if role not in made]
    for role in made:
        print(f"{role}: made already by this recipe")
    own = cores if len(waiting) == 1 else 1  # alone, it has all cores
    minutes = longest_first({role: place.minutes(role, own) for role in waiting})
    waiting = list(minutes)
    if not waiting:
        return []
    if not place.smoke:
        hours = plan(minutes, cores) / 60
        print(f"{len(waiting)} to make on {cores} cores: some {hours:.1f} hours, as before")
    running: list[Training] = []
    failed: list[str] = []
    paces: list[float] = []
    total, said = sum(minutes.values()), time.monotonic()
    bar = tqdm(total=total, desc="all", bar_format=FORM, disable=not sys.stderr.isatty())
    try:
        while waiting or running:
            _start(waiting, running, failed, place, cores)
            time.sleep(0.3)
            for training in list(running):
                training.update()
                if training.process.poll() is None:
                    continue
                running.remove(training)
                training.end()
                paces += [pace] if (pace := training.pace()) else []
                if problem := _finish(training):
                    failed.append(training.role)
                    tqdm.write(f"{training.role}: {problem}")
            left = {role: minutes[role] for role in waiting}
            left |= {one.role: one.minutes * (1 - one.done) for one in running}
            now = [pace for one in running if (pace := one.pace())] or paces[-1:] or [1.0]
            hours = plan(left, cores) * sum(now) / len(now) / 60
            bar.n = total - sum(left.values())
            bar.set_postfix_str(f"about {hours:.1f} hours left")
            if bar.disable and time.monotonic() - said > 60:  # nobody watches: a line a minute
                said = time.monotonic()
                texts = "; ".join(one.text for one in running)
                print(f"{bar.n / total:.0%}, about {hours:.1f} hours left; {texts}", flush=True)
    finally:
        for training in running:
            training.process.send_signal(signal.SIGTERM)  # it keeps what it has learnt
        for training in running:
            training.end()
        bar.close()
    return failed


def _start(
    waiting: list[str], running: list[Training], failed: list[str], place: Place, cores: int
) -> None:
    for role in [role for role in waiting if {*ROLES[role].after} & {*failed}]:
        waiting.remove(role)
        failed.append(role)
        tqdm.write(f"{role}: not begun, for what it starts from has failed")
    busy = {*waiting, *(one.role for one in running)}
    ready = [role for role in waiting if not {*ROLES[role].after} & busy]
    for role in ready:
        # Where nothing else can be made meanwhile, it has all cores.
        own = cores if len(ready) == 1 and not running else 1
        if own <= cores - sum(one.cores for one in running):
            waiting.remove(role)
            running.append(Training(role, place, own))


def _finish(training: Training) -> str | None:
    """Write the journal; what is wrong, if something is."""
    if training.process.returncode == alone.BUSY:
        states, other = training.place.build / training.role, training.lock.with_suffix(".pid")
        number = other.read_text() if other.is_file() else "not known yet"
        return (
            f"not begun, for a training that a killed rebuilding has left is still at work on "
            f"{states} (process {number}): wait for it, or stop it"
        )
    if training.process.returncode:
        said = training.log.read_text("utf-8", "replace").splitlines()
        last = [line for line in said if line.strip()][-1:]
        return f"failed ({''.join(last)[:200]}); {training.log} has it all"
    try:
        line = result(training)
    except (OSError, ValueError, LookupError) as problem:
        return f"cannot be judged: {problem}; {training.log} has it all"
    training.place.add(line)
    tqdm.write(f"{training.role}: made, {line['minutes']:.1f} minutes of training")
    return None


# Reporting and shipping ------------------------------------------------------------------------


def table(lines: list[dict]) -> str:
    """A row a figure: role, figure, target, what was reached, the course's own, minutes."""
    rows = [("role", "figure", "target", "got", "shipped", "minutes", "shipped")]
    for line in lines:
        role, own = line["role"], {}
        if line["targets"]:
            with suppress(OSError, ValueError):  # a new role, or a figure its card lacks as yet
                own = figures(role, CHECKPOINTS / role)
        minutes = (f"{line['minutes']:.1f}", f"{expected(role)[1]:.0f}")
        if not line["targets"]:
            told = [("loss", line["loss"]), *line["metrics"].items()]
            rows += [(role, name, "", f"{value:.3f}", "", *minutes) for name, value in told]
        for name, limit in line["targets"].items():
            value = line["metrics"][name]
            sign = "≤" if at_most(name) else "≥"
            got = f"{value:g}" + ("" if holds(name, value, limit) else " ✗")
            rows.append(
                (
                    role,
                    name,
                    f"{sign} {limit:g}",
                    got,
                    f"{own[name]:g}" if name in own else "–",
                    *minutes,
                )
            )
    for before, row in reversed(list(zip(rows, list(enumerate(rows))[1:], strict=False))):
        number, row = row
        if row[0] == before[0]:  # each role's name and minutes once
            rows[number] = ("", *row[1:5], "", "")
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def ship(lines: list[dict], place: Place) -> list[str]:
    """Move what reached its targets to assets/checkpoints; what did not, by name, stays.

    Raises OSError; then what was made is still here, and the next time goes on with it.
    """
    from training import write_manifest  # imports torch: now, rather than with a role half moved

    kept = []
    for line in lines:
        role = line["role"]
        made = place.into / role
        weights = weights_of(role, place.into, place.build)
        if role == "eyes" or weights is None:
            continue
        whole = (made / "README.md").is_file() and sha256(weights) == line["weights"]
        if not whole or not line["reached"] or not line["targets"]:
            kept.append(role)
            continue
        beside, old = CHECKPOINTS / f".{role}-new", CHECKPOINTS / f".{role}-old"
        for folder in (beside, old):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made, beside)
        if (CHECKPOINTS / role).exists():
            (CHECKPOINTS / role).rename(old)
        beside.rename(CHECKPOINTS / role)
        write_manifest()
        for folder in (old, made):  # not before the manifest tells of the new one
            shutil.rmtree(folder, ignore_errors=True)
        print(f"{role}: in assets/checkpoints")
    return kept


def listing(place: Place, cores: int) -> str:
    """What there is to make, and what is made."""
    rows = [f"{'role':<12} {'minutes':>7}  starts from  made by this recipe"]
    minutes = {role: place.minutes(role) for role in ROLES}
    for role, needs in ROLES.items():
        made = place.made(role)
        rows.append(
            f"{role:<12} {minutes[role]:>7.0f}  {' '.join(needs.after):<11}  "
            + (made["date"] if made else "not yet")
        )
    rows.append(
        f"All on {cores} cores: {plan(longest_first(minutes), cores) / 60:.1f} hours, as before"
    )
    return "\n".join(rows)


def main(arguments: list[str] | None = None) -> int:
    """The command; 0 if all roles asked for are made and reached their targets."""
    parser = argparse.ArgumentParser(description="Remake the course's checkpoints from scratch.")
    parser.add_argument("roles", nargs="*", help=f"all if none: {' '.join(ROLES)}")
    parser.add_argument("--into", type=Path, help="training/rebuilt if not given")
    parser.add_argument("--build", type=Path, help="states and logs; training if not given")
    parser.add_argument("--journal", type=Path, help="assets/recipes/rebuild.jsonl if not given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", type=int, help=f"this machine's, at most {MOST_CORES}")
    parser.add_argument("--list", action="store_true", help="what there is, and what is made")
    parser.add_argument("--smoke", action="store_true", help="a few steps of each, to try it")
    parser.add_argument("--ship", action="store_true", help=SHIP)
    args = parser.parse_args(arguments)
    sys.stdout.reconfigure(errors="replace")  # a file on Windows may lack ≥ and ✗
    if unknown := [role for role in args.roles if role not in ROLES]:
        parser.error(f"there is no recipe for {', '.join(unknown)}; there are {', '.join(ROLES)}")
    if args.ship and args.smoke:
        parser.error("a few steps make nothing to ship: leave out --smoke or --ship")
    build = args.build or (TRAINING / "smoke" if args.smoke else TRAINING)
    journal = RECIPES / "rebuild.jsonl" if not args.smoke else build / "rebuild.jsonl"
    place = Place(
        build.resolve(),
        (args.into or build / "rebuilt").resolve(),
        args.journal or journal,
        args.seed,
        args.smoke,
    )
    if place.into == CHECKPOINTS:
        parser.error("--into would overwrite the course's checkpoints: --ship moves them there")
    here = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):  # those that we may use; macOS has no such thing
        here = len(os.sched_getaffinity(0))
    cores = args.cores if args.cores is not None else min(here, MOST_CORES)
    if cores < 1:
        parser.error("--cores is at least 1")
    if args.list:
        print(listing(place, cores))
        return 0
    asked = args.roles or list(ROLES)
    roles = [r for r in ROLES if r in asked or any(r in ROLES[one].after for one in asked)]
    try:  # now, not when the first role has been trained
        for folder in (place.build, place.journal.parent):
            folder.mkdir(parents=True, exist_ok=True)
        for file in (place.journal, place.build / "rebuild.lock"):
            file.open("a", encoding="utf-8").close()
    except OSError as problem:
        parser.error(f"nothing can be written there: {problem}")
    for name in ("SIGTERM", "SIGHUP"):  # Windows has not both; a lost connection is the second
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: sys.exit(143))
    try:
        with filelock.FileLock(place.build / "rebuild.lock", timeout=0):
            only_ship = args.ship and not args.roles
            failed = [] if only_ship else rebuild(roles, place, cores)
            lines = [judged(line) for role in roles if (line := place.made(role))]
            none = f"Nothing in {place.into} is of these recipes and packages as they are now."
            print(f"\n{table(lines)}\n" if lines else none)
            try:
                kept = ship(lines, place) if args.ship else []
            except OSError as problem:
                print(f"Not all is in its place ({problem}): the same command goes on.")
                return 1
    except filelock.Timeout:
        parser.error(f"another rebuilding is at work in {place.build}: wait for it, or stop it")
    except (KeyboardInterrupt, SystemExit):
        print("\nStopped. The same command goes on from here.", file=sys.stderr)
        return 130
    missed = [line["role"] for line in lines if not line["reached"]]
    if failed:
        print(f"Failed: {', '.join(failed)}. The same command tries them again.")
    if missed:
        print(f"Short of a target (✗): {', '.join(missed)}.")
    if kept:
        print(f"Not moved to assets/checkpoints: {', '.join(kept)}.")
    return 1 if failed or missed or (only_ship and not lines) else 0


if __name__ == "__main__":
    sys.exit(main())
