"""`make checkpoints`: it stops, goes on, judges by the targets; processes share a training."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rebuild
import torch
import training
from conftest import ROOT
from toytown.vocabulary import LABELS
from transcriber import windows_of
from writers import Pair, Pairs

RECIPES = ROOT / "assets" / "recipes"
ROLES = [role for role in rebuild.ROLES if role != "eyes"]
QUICK = "summarizer"
# A few steps with small batches, to be started in one process or in several, at any pace.
FEW = """
import importlib, sys, time
sys.path[0] = {recipes!r}
import training
recipe = importlib.import_module({role!r})
recipe.BATCH = 8
step = training.Watched.on_step_end
def slow(*args, **more):
    time.sleep({pause})
    step(*args, **more)
training.Watched.on_step_end = slow
training.run({role!r}, recipe.__doc__, recipe.train, recipe.card)
"""
# rebuild.py with other recipes.
REBUILD = """
import pathlib, sys
sys.path[0] = {recipes!r}
import rebuild
rebuild.RECIPES = pathlib.Path(sys.argv[1])
sys.exit(rebuild.main(sys.argv[2:]))
"""
# A training without rounding to bfloat16 or means over parts, drawn at random from 64 points. Its
# loss has a part that contrasts the rows of the whole batch.
LINE = """
import json, pathlib, sys
sys.path[0] = {recipes!r}
import torch
from training import WRITES, TimedTrainer, rows_of_all, trained, trainer_arguments

class Points(torch.utils.data.Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        return {{"at": torch.tensor([index / 64, 1.0]), "wanted": torch.tensor([index % 7.0])}}

class Line(torch.nn.Linear):
    def forward(self, at, wanted):
        found = super().forward(at)
        return {{"loss": (found - wanted).square().mean() + rows_of_all(found).var()}}

folder = pathlib.Path(sys.argv[1])
model = Line(2, 1, bias=False)
torch.nn.init.ones_(model.weight)
more = {{"per_device_train_batch_size": 8, "eval_strategy": "no", "learning_rate": 0.1}}
trainer = TimedTrainer(model, trainer_arguments(folder, 8, 0, **more), train_dataset=Points())
trainer.own_names = True  # it is no model of transformers
losses = [row["loss"] for row in trained(trainer) if "loss" in row]
if WRITES:
    (folder / "learnt.json").write_text(json.dumps([*model.weight[0].tolist(), *losses]))
"""
# The eyes' two stages, of a line in place of pictures, and a matcher that starts from them.
EYES = """
import sys
sys.path.insert(1, {recipes!r})
import torch
from training import TimedTrainer, options, trained, trainer_arguments

class Points(torch.utils.data.Dataset):
    def __len__(self):
        return 64

    def __getitem__(self, index):
        return {{"at": torch.tensor([index / 64, 1.0])}}

class Line(torch.nn.Linear):
    def forward(self, at):
        return {{"loss": super().forward(at).square().mean()}}

def learn(folder):
    more = {{"per_device_train_batch_size": 8, "eval_strategy": "no"}}
    arguments = trainer_arguments(folder, 8, 0, **more)
    trainer = TimedTrainer(Line(2, 1), arguments, train_dataset=Points())
    trainer.own_names = True  # it is no model of transformers
    return trained(trainer)

def eyes(folder):
    for stage in ("look", "count"):
        learn(folder / stage)

if __name__ == "__main__":
    eyes(options("eyes", "A line.").build)
"""
MATCHER = """
from eyes import eyes, learn, options
from training import write_history

args = options("matcher", "A line.")
eyes(args.build.parent / "eyes")
history = learn(args.build)
args.output.mkdir(parents=True)
(args.output / "model.safetensors").write_bytes(b"a line")
write_history(args.output, history)
"""
# With --cpu it would start one alone; a recipe says itself that it is for the CPU.
TWO = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2"]
TWO += ["--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0"]


# ---- targets and figures


def test_every_checkpoint_has_its_recipe_in_the_plan_and_every_other_starts_after_what_it_needs():
    assert sorted(ROLES) == sorted(p.name for p in rebuild.CHECKPOINTS.iterdir() if p.is_dir())
    order = list(rebuild.ROLES)
    for role, needs in rebuild.ROLES.items():
        uses_eyes = any(path.name == "blip.py" for path in rebuild.imported(RECIPES / f"{role}.py"))
        assert (needs.after == ("eyes",)) == (uses_eyes or role == "segmenter"), role
        assert all(order.index(before) < order.index(role) for before in needs.after)


@pytest.mark.parametrize("role", ROLES)
def test_the_courses_own_card_has_every_figure_and_reaches_every_target(role: str):
    found, limits = rebuild.figures(role, rebuild.CHECKPOINTS / role), rebuild.targets(role)
    assert found.keys() == limits.keys()
    assert len(limits) >= 3
    assert all(rebuild.holds(name, found[name], limit) for name, limit in limits.items()), found


def test_the_worst_of_several_rows_counts_and_a_row_that_is_gone_is_missed(tmp_path: Path):
    folder = tmp_path / "speaker"
    shutil.copytree(rebuild.CHECKPOINTS / "speaker", folder)
    card = (folder / "README.md").read_text("utf-8")
    worse = card.replace("| 2 | British woman | 4.3% |", "| 2 | British woman | 13.5% |")
    (folder / "README.md").write_text(worse, "utf-8")
    assert rebuild.figures("speaker", folder)["wer"] == 0.135
    assert not rebuild.holds("wer", 0.135, rebuild.targets("speaker")["wer"])
    (folder / "README.md").write_text(card.replace("| voices told apart", "| told"), "utf-8")
    with pytest.raises(ValueError, match="speaker has no figure in the row “voices told apart"):
        rebuild.figures("speaker", folder)


def test_the_table_tells_what_is_short_of_its_target():
    found = rebuild.figures("detector", rebuild.CHECKPOINTS / "detector") | {"map50": 0.9}
    line = {"role": "detector", "minutes": 50, "loss": 1.0, "metrics": found}
    written = rebuild.table([line | {"targets": rebuild.targets("detector")}])
    (short,) = (row for row in written.splitlines() if "✗" in row)
    assert short.split() == ["detector", "map50", "≥", "0.95", "0.9", "✗", "0.985", "50.0", "52"]


# ---- what makes a recipe another one


@pytest.fixture
def copied(tmp_path: Path, monkeypatch) -> Path:
    """A copy of the recipes, to be changed."""
    folder = tmp_path / "recipes"
    shutil.copytree(RECIPES, folder, ignore=shutil.ignore_patterns("__pycache__", "training"))
    monkeypatch.setattr(rebuild, "RECIPES", folder)
    return folder


@pytest.mark.parametrize(
    ("file", "matters"),
    [
        ("classifier.py", True),
        ("blip.py", True),
        ("eyes.py", True),
        ("toytown/pictures.py", True),
        ("toytown/sounds.toml", True),
        ("assistant.py", False),
        ("writers.py", False),
    ],
)
def test_a_change_makes_those_anew_that_it_touches(copied: Path, file: str, matters: bool):
    before = rebuild.recipe_hash("classifier", 0, False)
    path = copied / file
    path.write_text(path.read_text("utf-8") + "\n# changed\n", "utf-8")
    assert (rebuild.recipe_hash("classifier", 0, False) != before) == matters


def test_another_seed_or_package_is_another_recipe_and_a_typo_in_the_card_is_not(
    copied: Path, monkeypatch
):
    before = rebuild.recipe_hash("matcher", 0, False)
    path = copied / "matcher.py"
    text = path.read_text("utf-8")
    path.write_text(text.replace("# Toytown matcher", "# The Toytown matcher"), "utf-8")
    assert path.read_text("utf-8") != text
    assert rebuild.recipe_hash("matcher", 0, False) == before
    assert rebuild.recipe_hash("matcher", 1, False) != before
    monkeypatch.setattr(rebuild, "version", lambda name: "9.9")
    assert rebuild.recipe_hash("matcher", 0, False) != before


# ---- the plan


def test_as_many_as_there_are_cores_go_side_by_side_after_what_they_start_from():
    minutes = {"eyes": 10, "listener": 5, "segmenter": 30, "classifier": 20, "chatbot": 7}
    # Beside the eyes the listener and the beginning of the chatbot, then the classifier.
    assert rebuild.plan(minutes, 2) == 10 + 30
    assert rebuild.plan(minutes, 1) == sum(minutes.values())
    assert rebuild.plan({"segmenter": 30}, 2) == 30, "what is made already is not waited for"


def test_the_order_leaves_no_core_with_a_long_one_at_the_end(tmp_path: Path):
    place = rebuild.Place(tmp_path, tmp_path, tmp_path / "journal")
    minutes = {role: place.minutes(role) for role in rebuild.ROLES}
    planned = rebuild.longest_first(minutes)
    assert next(iter(planned)) == "eyes", "five others start from them"
    assert rebuild.plan(planned, 2) < 1.03 * sum(minutes.values()) / 2
    assert rebuild.plan(planned, 2) < 9 * 60


def test_what_a_role_took_when_it_was_last_made_counts_more_than_its_card(tmp_path: Path):
    place = rebuild.Place(tmp_path, tmp_path, tmp_path / "journal")
    of_card = rebuild.expected("translator")[1]
    assert place.minutes("translator") == rebuild.ONE_CORE * of_card, "its card's are of two cores"
    assert place.minutes("matcher") == rebuild.expected("matcher")[1], "its card's are of one"
    lines = [
        ("translator", 1, 30.5),
        ("translator", 1, 21.5),
        ("translator", 2, 14.0),
        ("eyes", 1, 30),
    ]
    made = [dict(zip(("role", "cores", "minutes"), line, strict=True)) for line in lines]
    place.journal.write_text("\n".join(map(json.dumps, made)))
    assert place.minutes("translator") == 21.5, "on one core, as the plan gives it"
    assert place.minutes("translator", 2) == 14.0, "alone it has both"


def test_half_a_line_of_the_journal_is_passed_over_and_the_next_is_written_below_it(tmp_path: Path):
    place = rebuild.Place(tmp_path, tmp_path, tmp_path / "journal")
    first, second = ({"role": role, "recipe": "of old"} for role in ("matcher", "chatbot"))
    place.add(first)
    with place.journal.open("a") as journal:
        journal.write('{"role": "detector", "rec')  # killed as it wrote, or the disk was full
    assert place.lines() == [first]
    place.add(second)
    assert place.lines() == [first, second]
    assert place.journal_text().endswith("}\n")


def test_the_eyes_minutes_are_of_as_many_steps_as_they_have():
    import eyes

    assert sum(stage["steps"] for stage in eyes.STAGES.values()) == rebuild.EYES_STEPS


# ---- running


def test_stopped_it_keeps_what_was_learnt_goes_on_from_there_and_makes_nothing_twice(
    tmp_path: Path,
):
    build, scripts, roles = tmp_path / "build", tmp_path / "recipes", (QUICK, "chatbot")
    scripts.mkdir()
    for role in roles:
        code = FEW.format(recipes=str(RECIPES), role=role, pause=0.4)
        (scripts / f"{role}.py").write_text(code, "utf-8")
    run = [sys.executable, "-c", REBUILD.format(recipes=str(RECIPES)), str(scripts)]
    run += [f"--build={build}", "--smoke", "--cores=4", *roles]
    first = subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    told = build / "logs" / f"{QUICK}.json"
    until = time.monotonic() + 120
    while not (told.is_file() and max(json.loads(told.read_text())["stages"].values()) >= 2):
        assert time.monotonic() < until and first.poll() is None
        time.sleep(0.05)
    first.send_signal(signal.SIGTERM)
    _, said = first.communicate(timeout=90)
    assert "The same command goes on from here." in said
    assert first.returncode == 130
    states = list((build / QUICK).glob("*/checkpoint-*/trainer_state.json"))
    kept = max(json.loads(path.read_text())["global_step"] for path in states)
    assert 2 <= kept < 8

    second = subprocess.run(run, capture_output=True, text=True, check=True)
    log = (build / "logs" / f"{QUICK}.log").read_text()
    assert f"Stopped at step {kept}; it goes on from there." in log
    lines = [json.loads(line) for line in (build / "rebuild.jsonl").read_text().splitlines()]
    assert sorted(line["role"] for line in lines) == sorted(roles)
    for line in lines:
        weights = build / "rebuilt" / line["role"] / "model.safetensors"
        assert line["weights"] == rebuild.sha256(weights)
        assert line["versions"]["torch"] == torch.__version__
        curve = json.loads(weights.with_name("training.json").read_text())
        assert [row["step"] for row in curve if "loss" in row] == list(range(1, 9))
        cores = {1: "one CPU core"}.get(line["cores"], f"{line['cores']} CPU cores")
        assert curve[-1]["device"] == cores, "its card says so"
        assert f"{line['loss']:.3f}" in second.stdout, "the table has it"

    third = subprocess.run(run, capture_output=True, text=True, check=True)
    assert third.stdout.count("made already by this recipe") == 2
    assert len((build / "rebuild.jsonl").read_text().splitlines()) == 2


def test_what_others_start_from_is_trained_once(tmp_path: Path, monkeypatch):
    scripts = tmp_path / "recipes"
    scripts.mkdir()
    (scripts / "eyes.py").write_text(EYES.format(recipes=str(RECIPES)), "utf-8")
    (scripts / "matcher.py").write_text(MATCHER, "utf-8")
    monkeypatch.setattr(rebuild, "RECIPES", scripts)
    place = rebuild.Place(tmp_path / "build", tmp_path / "into", tmp_path / "journal", smoke=True)
    assert rebuild.rebuild(["eyes", "matcher"], place, cores=1) == []
    assert [line["role"] for line in place.lines()] == ["eyes", "matcher"]
    for stage in rebuild.EYES_STAGES:
        assert len(list((place.build / "eyes" / stage).iterdir())) == 1, "the matcher found it"
    (own,) = (place.build / "matcher").iterdir()
    assert (own / "checkpoint-8").is_dir()


def test_one_that_fails_is_quoted_and_does_not_stop_the_others(tmp_path: Path, monkeypatch, capsys):
    scripts = tmp_path / "recipes"
    scripts.mkdir()
    made = (
        "import argparse, pathlib\n"
        "parser = argparse.ArgumentParser()\n"
        "parser.add_argument('--output', type=pathlib.Path)\n"
        "folder = parser.parse_known_args()[0].output\n"
        "folder.mkdir(parents=True)\n"
        "(folder / 'model.safetensors').write_bytes(b'weights')\n"
        '(folder / "training.json").write_text(\'[{"step": 1, "seconds": 60, "loss": 2.5}]\')\n'
    )
    for role, code in {
        "eyes": "raise ValueError('no emoji here')",
        "matcher": "",
        "chatbot": made,
    }.items():
        (scripts / f"{role}.py").write_text(code)
    monkeypatch.setattr(rebuild, "RECIPES", scripts)
    place = rebuild.Place(tmp_path / "build", tmp_path / "into", tmp_path / "journal", smoke=True)
    failed = rebuild.rebuild(["eyes", "matcher", "chatbot"], place, cores=1)
    said = capsys.readouterr().out
    assert failed == ["eyes", "matcher"], "what starts from it is not begun"
    assert "ValueError: no emoji here" in said
    (line,) = place.lines()
    assert (line["role"], line["loss"], line["minutes"]) == ("chatbot", 2.5, 1)
    assert place.made("chatbot") == line
    (tmp_path / "into/chatbot/model.safetensors").write_bytes(b"others")
    assert place.made("chatbot") is None, "weights that no line tells of are not taken for made"


@pytest.mark.skipif(os.name == "nt", reason="a process is killed otherwise there")
def test_what_a_killed_rebuilding_leaves_at_work_is_not_joined_by_a_second(tmp_path: Path):
    build, scripts = tmp_path / "build", tmp_path / "recipes"
    scripts.mkdir()
    (scripts / "chatbot.py").write_text("import time\ntime.sleep(60)")
    run = [sys.executable, "-c", REBUILD.format(recipes=str(RECIPES)), str(scripts)]
    run += [f"--build={build}", "--smoke", "chatbot"]
    first, told = subprocess.Popen(run, stdout=subprocess.DEVNULL), build / "chatbot.pid"
    until = time.monotonic() + 60
    while not (told.is_file() and told.read_text()):
        assert time.monotonic() < until and first.poll() is None
        time.sleep(0.05)
    first.kill()
    first.wait()
    training = int(told.read_text())
    try:
        second = subprocess.run(run, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        (refused,) = (line for line in second.stdout.splitlines() if "chatbot: not begun" in line)
        assert f"still at work on {build / 'chatbot'} (process {training})" in refused
    finally:
        os.kill(training, signal.SIGKILL)
    (scripts / "chatbot.py").write_text("raise ValueError('begun')")
    third = subprocess.run(run, capture_output=True, text=True, check=False)
    assert "ValueError: begun" in third.stdout, "the lock ended with the process that held it"


def test_a_journal_can_be_written_before_anything_is_trained(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr(rebuild, "rebuild", lambda *_: [])
    journal = tmp_path / "typo" / "rebuild.jsonl"
    command = [f"--build={tmp_path / 'build'}", "--smoke", "chatbot"]
    assert rebuild.main([*command, f"--journal={journal}"]) == 0
    assert journal.parent.is_dir()
    monkeypatch.setattr(rebuild, "rebuild", lambda *_: pytest.fail("it trains"))
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "file" / "rebuild.jsonl", tmp_path):
        with pytest.raises(SystemExit):
            rebuild.main([*command, f"--journal={wrong}"])
        assert "nothing can be written there" in capsys.readouterr().err


def test_only_what_reached_its_targets_takes_the_place_of_a_checkpoint(tmp_path: Path, monkeypatch):
    shipped, into = tmp_path / "checkpoints", tmp_path / "into"
    for role in ("matcher", "captioner", "classifier"):
        shutil.copytree(rebuild.CHECKPOINTS / role, shipped / role)
        shutil.copytree(rebuild.CHECKPOINTS / role, into / role)
        (into / role / "README.md").write_text("new", "utf-8")
    for module in (rebuild, training):
        monkeypatch.setattr(module, "CHECKPOINTS", shipped)
    monkeypatch.setattr(training, "MANIFEST", shipped / "manifest.json")
    place = rebuild.Place(tmp_path / "build", into, tmp_path / "journal")
    reached = {"matcher": True, "captioner": False, "classifier": True}
    lines = [
        {
            "role": role,
            "reached": reached[role],
            "targets": {"true": 0.9},
            "weights": rebuild.sha256(into / role / "model.safetensors"),
        }
        for role in reached
    ]
    with (into / "classifier/model.safetensors").open("ab") as file:
        file.write(b"other weights than those that were measured")
    assert rebuild.ship(lines, place) == ["captioner", "classifier"]
    assert (shipped / "matcher/README.md").read_text("utf-8") == "new"
    assert (shipped / "captioner/README.md").read_text("utf-8") != "new"
    assert (shipped / "classifier/README.md").read_text("utf-8") != "new"
    assert sorted(path.name for path in shipped.iterdir()) == [
        "captioner",
        "classifier",
        "manifest.json",
        "matcher",
    ]
    assert not (into / "matcher").exists() and (into / "captioner").exists()


@pytest.fixture
def ship(tmp_path: Path, monkeypatch):
    """Ship three roles that were made, from copies into copies: returns the command."""
    shipped, into, journal = (tmp_path / name for name in ("checkpoints", "into", "journal"))
    place = rebuild.Place(tmp_path / "build", into, journal)
    for role in ("matcher", "captioner", "classifier"):
        shutil.copytree(rebuild.CHECKPOINTS / role, shipped / role)
        shutil.copytree(rebuild.CHECKPOINTS / role, into / role)
        with (into / role / "model.safetensors").open("ab") as file:
            file.write(b"learnt anew")
        line = {"role": role, "date": "2026", "minutes": 1.0, "cores": 1, "loss": 1.0}
        line["recipe"] = rebuild.recipe_hash(role, 0, False)
        line |= {"metrics": rebuild.figures(role, into / role), "targets": rebuild.targets(role)}
        weights = rebuild.sha256(into / role / "model.safetensors")
        place.add(line | {"reached": True, "weights": weights})
    for module in (rebuild, training):
        monkeypatch.setattr(module, "CHECKPOINTS", shipped)
    monkeypatch.setattr(training, "MANIFEST", shipped / "manifest.json")
    monkeypatch.setattr(rebuild, "rebuild", lambda *_: pytest.fail("it trains"))

    def command() -> int:
        paths = [f"--build={place.build}", f"--into={into}", f"--journal={journal}"]
        return rebuild.main(["--ship", *paths])

    def there() -> set[str]:
        return {p.parent.name for p in weights() if p.read_bytes().endswith(b"learnt anew")}

    def weights() -> list[Path]:
        return [*shipped.glob("*/model.safetensors")]

    command.there, command.weights, command.shipped = there, weights, shipped
    return command


def test_to_ship_without_a_role_trains_nothing_and_judges_by_the_targets_of_today(
    ship, monkeypatch, capsys
):
    monkeypatch.setitem(rebuild.LIMITS["captioner"], "true", 1.1)  # raised since it was trained
    monkeypatch.setitem(rebuild.LIMITS["classifier"], "new", 0.5)
    figures = rebuild.ROLES["classifier"].figures
    monkeypatch.setitem(figures, "new", rebuild.Cells("a row that its card had not yet"))
    assert ship() == 1
    assert ship.there() == {"matcher"}
    said = capsys.readouterr().out
    assert "≥ 1.1" in said
    assert "Short of a target (✗): classifier, captioner." in said
    assert "Not moved to assets/checkpoints: classifier, captioner." in said


def test_where_nothing_is_made_there_is_nothing_to_ship(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr(rebuild, "rebuild", lambda *_: pytest.fail("it trains"))
    assert rebuild.main(["--ship", f"--build={tmp_path}", f"--journal={tmp_path / 'none'}"]) == 1
    assert capsys.readouterr().out.endswith("of these recipes and packages as they are now.\n")


def test_where_shipping_breaks_off_the_manifest_tells_what_is_there_and_the_same_command_goes_on(
    ship, monkeypatch, capsys
):
    copytree = shutil.copytree

    def full(source: Path, to: Path) -> None:
        if source.name == "captioner":
            raise OSError(28, "No space left on device")
        copytree(source, to)

    def told_of() -> set[str]:
        manifest = json.loads((ship.shipped / "manifest.json").read_text("utf-8"))
        weights = {path: f"{path.parent.name}/{path.name}" for path in ship.weights()}
        return {p.parent.name for p, name in weights.items() if rebuild.sha256(p) == manifest[name]}

    roles = {"matcher", "captioner", "classifier"}
    monkeypatch.setattr(shutil, "copytree", full)
    assert ship() == 1
    assert ship.there() == {"classifier"} and told_of() == roles
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("Not all is in its place ([Errno 28] No space left on device): the same")
    monkeypatch.setattr(shutil, "copytree", copytree)
    assert ship() == 0
    assert ship.there() == told_of() == roles


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("painter",), "there is no recipe for painter; there are eyes, transcriber"),
        (("--smoke", "--ship"), "a few steps make nothing to ship"),
        ((f"--into={ROOT / 'assets/checkpoints'}",), "--ship moves them there"),
        (("--cores=0",), "--cores is at least 1"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(more: tuple, said: str, tmp_path: Path, capsys):
    with pytest.raises(SystemExit):
        rebuild.main([f"--build={tmp_path}", *more])
    assert said in capsys.readouterr().err


# ---- several processes


def launched(folder: Path, launcher: list[str], script: str, *more: str) -> None:
    """Run a script in one process or several."""
    folder.mkdir()
    path = folder / "script.py"
    path.write_text(script.format(recipes=str(RECIPES), role=QUICK, pause=0), "utf-8")
    own = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [*launcher, str(path), *more]
    subprocess.run(command, env=own, check=True, capture_output=True, text=True)


def few(folder: Path, launcher: list[str]) -> list[float]:
    """The losses of eight steps of eight stories."""
    more = ["--smoke", f"--build={folder / 'states'}", f"--output={folder / 'made'}"]
    launched(folder, launcher, FEW, *more)
    rows = json.loads((folder / "made" / "training.json").read_text())
    return [row["loss"] for row in rows if "loss" in row]


@pytest.fixture(scope="module")
def losses(tmp_path_factory) -> list[float]:
    """Of one process."""
    return few(tmp_path_factory.mktemp("few") / "one", [sys.executable])


def test_a_second_run_with_the_same_seed_learns_the_same_as_rebuild_starts_it(
    losses: list[float], tmp_path: Path
):
    alone = [sys.executable, str(RECIPES / "alone.py"), str(tmp_path / "lock")]
    assert few(tmp_path / "again", alone) == losses


def test_a_recipe_learns_the_same_in_two_processes(losses: list[float], tmp_path: Path):
    # bfloat16 rounds each half of a batch by itself: 0.002 % was measured.
    assert few(tmp_path / "two", TWO) == pytest.approx(losses, rel=0.001)
    (state,) = (tmp_path / "two/states").glob("*/checkpoint-8")
    both = {"rng_state_0.pth", "rng_state_1.pth"}
    assert {path.name for path in state.glob("rng_state_*")} == both, "there were two"


def test_two_processes_draw_the_same_batches_at_random_and_average_their_gradients(tmp_path: Path):
    learnt = []
    for name, launcher in (("one", [sys.executable]), ("two", TWO)):
        launched(tmp_path / name, launcher, LINE, str(tmp_path / name))
        learnt.append(json.loads((tmp_path / name / "learnt.json").read_text()))
    assert list((tmp_path / "two").glob("*/checkpoint-8/rng_state_1.pth")), "there were two"
    assert len(learnt[0]) == 10 and learnt[0][0] != 1
    assert learnt[1] == pytest.approx(learnt[0], rel=1e-6)


@pytest.fixture
def two(monkeypatch) -> None:
    """As in one of two processes."""
    monkeypatch.setattr(training, "PROCESSES", 2)
    monkeypatch.setattr("transcriber.PROCESSES", 2)


def test_two_processes_draw_each_pair_once_and_a_step_of_both_is_a_step_of_one(two):
    def make(random) -> Pair:
        return Pair(LABELS[random.integers(len(LABELS))] * int(random.integers(1, 9)), "")

    def encode(pairs: list[Pair]) -> dict:
        return {"drawn": torch.tensor([hash(pair) for pair in pairs])}

    whole = Pairs(make, encode, 6, 8, lambda pair: len(pair.source))
    parts = training.Parts(whole)
    assert len(parts) == 12
    for step in range(6):
        mine, others = parts[2 * step]["drawn"].tolist(), parts[2 * step + 1]["drawn"].tolist()
        assert len(mine) == len(others) == 4
        assert sorted(mine + others) == sorted(whole[step]["drawn"].tolist())


def test_a_window_and_its_texts_go_to_one_process(two):
    batch = {
        "frames": torch.arange(6)[:, None],
        "phonemes": torch.arange(3)[:, None],
        "windows": torch.tensor([0, 0, 1, 2, 2]),
        "labels": torch.tensor([[0], [0], [1], [2], [2]]),
        "decoder_input_ids": torch.zeros(5, 1),
        "places": torch.zeros(5, 2, 2),
    }
    first, second = windows_of(batch, 0), windows_of(batch, 1)
    assert first["phonemes"].flatten().tolist() == [0, 2]
    assert first["labels"].flatten().tolist() == [0, 0, 2, 2]
    assert first["windows"].tolist() == [0, 0, 1, 1], "counted among its own"
    assert second["labels"].flatten().tolist() == [1] and second["windows"].tolist() == [0]
    assert (first["frames"] == second["frames"]).all(), "every window shows the same ones"


def test_batches_that_processes_cannot_share_are_refused(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(training, "PROCESSES", 3)
    with pytest.raises(ValueError, match="3 processes cannot share batches of 32"):
        training.trainer_arguments(tmp_path, 8, 0, per_device_train_batch_size=32)
