"""Build an LLM, executed once: what is trained in it learns, and what it computes is right."""

import json
import math
import re
import shutil
from datetime import datetime
from pathlib import Path

import course as runner
import exercises
import lint
import nbformat
import pytest
from exercises import HINT, RIGHT, exercises_of
from lint import python_of
from nbformat.v4 import new_code_cell
from outputs import code_cells, differences, outputs, tags, text
from test_colab import colab, repository, run_cell  # noqa: F401 - repository is a fixture
from test_exercises import names
from test_notebooks import course as course_rules  # noqa: F401 - a fixture

ROOT = Path(__file__).resolve().parent.parent
NAME = "Build_an_LLM"
STORED = nbformat.read(ROOT / f"assets/recipes/{NAME}.ipynb", as_version=4)
EXERCISES = {one.check: one for one in exercises_of(STORED)}
PLACES = '[Path(), Path("notebooks"),', '[Path("../../notebooks"), Path("notebooks"),'
WRONG = {
    NAME: {
        "one_card_one_day": [
            ("(4e9, 80e9)", "days of the card"),
            ("(5.34e9, 1.07e9)", "with 0.2 tokens a parameter"),
            ("5e8", "FLOPs = 6"),
        ],
        "own_bits": [
            ('"Too short."', "eight words"),
            ('media.examples("stories")[0]["text"]', "it is your own"),
            ("5", "sentences of your own"),
        ],
        "masked_labels": [
            (
                "lambda messages, words: 2 * [words.apply_chat_template(messages)['input_ids']]",
                "write the questions, too",
            ),
            (
                "lambda messages, words: (words.apply_chat_template(messages)['input_ids'],"
                " [-100] * len(words.apply_chat_template(messages)['input_ids']))",
                "Nothing is left to learn",
            ),
            ("lambda messages, words: ([1, 2], [1, 2])", "unchanged"),
            ("None", "answer is your function itself"),
        ],
    }
}
# What the tests look at, as the kernel holds it at the notebook's end.
PROBE = """
import json
print(json.dumps({
    "losses": losses, "diary": [well for _, well in diary.values()],
    "right": {name: list(found.values()) for name, found in right.items()},
    "plans": plans, "hours": hours, "rule": rule,
    "counted": counter.get_total_flops(), "parameters": parameters(model.config),
}))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    """One execution in a folder of notebooks and assets alone, the exercises' answers behind it."""
    folder = tmp_path_factory.mktemp("course alone")
    ignore = shutil.ignore_patterns("__pycache__", ".*", "*.ipynb")
    for part in ("notebooks", "assets"):
        shutil.copytree(ROOT / part, folder / part, ignore=ignore)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    path = folder / f"assets/recipes/{NAME}.ipynb"
    notebook = nbformat.from_dict(STORED)
    exercises.add_answers(notebook, NAME, WRONG)
    notebook.cells.append(new_code_cell(PROBE))
    nbformat.write(notebook, path)
    refused = folder / "refused"
    refused.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OFFLINE_GUARD_LOG", str(refused))
        done = runner.execute(path, timed=True)
    assert not done.error
    done.seen = json.loads(text(done.notebook.cells.pop()))
    done.answers = exercises.take_answers(done.notebook)
    done.refused = refused.read_text("utf-8")
    after = {p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    done.left_behind = [
        *(after - {*before, path, refused}),
        *(p for p, time in before.items() if p not in after or p.stat().st_mtime_ns != time),
    ]
    return done


@pytest.fixture(scope="module")
def said(run) -> str:
    return "\n".join(text(cell) for cell in code_cells(run.notebook))


# --- as the other notebooks -----------------------------------------------------------------------


# A class is taught from the eleven: paths through a lesson, and cells to begin it in its middle.
OF_LESSONS = {"can_begin_at_every_section", "has_two_paths_that_can_be_walked"}


@pytest.mark.parametrize("rule", [rule for rule in lint.RULES if rule not in OF_LESSONS])
def test_keeps_the_rules(rule, course_rules):  # noqa: F811
    held_to = lint.Course(
        repository=course_rules.repository,
        setup_cell=course_rules.setup_cell.replace(*PLACES),
        narrator=course_rules.narrator,
        root=ROOT,
        folder="assets/recipes",
    )
    breaches = list(lint.RULES[rule](STORED, NAME, held_to))
    assert not breaches, f"{lint.RULES[rule].__doc__}\n- " + "\n- ".join(breaches)


def test_runs_quietly_on_this_machine_and_leaves_nothing_behind(run):
    counts = [cell.execution_count for cell in code_cells(run.notebook)]
    noise = [words for c in code_cells(run.notebook) for k, words in outputs(c) if "stderr" in k]
    assert counts == list(range(1, len(counts) + 1))
    assert noise == []
    assert run.refused == ""
    assert run.left_behind == []


def test_stored_outputs_are_those_of_a_fresh_run(run):
    found = differences(STORED, run.notebook)
    assert not found, "make refresh\n- " + "\n- ".join(found)


def test_make_course_and_make_refresh_run_it_too():
    assert runner.every_notebook()[-1] == ROOT / f"assets/recipes/{NAME}.ipynb"


def test_it_needs_less_than_two_gigabytes(run):
    assert 0 < run.memory < 2_000


def test_alone_on_colab_its_setup_cell_fetches_the_course(repository, tmp_path):  # noqa: F811
    cell = next(cell.source for cell in STORED.cells if "setup" in tags(cell))
    recipes = 'print((home.resolve().parent / "assets/text").is_dir())'
    ran = run_cell(
        tmp_path, f"{cell.partition('device = setup')[0]}\n{recipes}", **colab(repository)
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "True"


# --- the training ---------------------------------------------------------------------------------


def test_both_trainings_take_about_a_minute(run):
    cells = [cell for cell in code_cells(run.notebook) if "learn(model, " in cell.source]
    took = 0.0
    for cell in cells[-2:]:  # the first of the three is the loop itself
        times = cell.metadata["execution"]
        began, ended = times["iopub.execute_input"], times["iopub.status.idle"]
        took += (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
    assert len(cells) == 3
    assert 1 < took < 120  # a minute is meant; here other tests compute beside it


def test_the_loss_begins_at_guessing_and_falls(run):
    losses = run.seen["losses"]
    assert losses[0] == pytest.approx(math.log(1_000), abs=0.15)
    assert sum(losses[-20:]) / 20 < 1.0


def test_its_sentences_become_those_of_the_town(run):
    first, *_, last = shares = run.seen["diary"]
    assert len(shares) == 5
    assert first == 0
    assert last >= 0.5
    assert max(shares[:3]) < last


def test_the_checker_of_sentences_knows_the_towns_from_others():
    from toytown.stories import story, told
    from writers import seed

    for number in range(30):
        tale = story(seed("test", number))
        assert all(told(tale.text, tale.who, tale.where)), tale.text
    mixed = "Ben was at the zoo that day. The bus drank a Monday. It had rained all night."
    assert told(mixed, "Ben", "the zoo") == [True, False, True]


# --- what it has learnt ---------------------------------------------------------------------------


def test_tuning_makes_an_assistant_of_a_reader_and_the_course_s_own_is_better(run):
    rows = run.seen["right"]
    reader, ours, assistant = (rows[name] for name in ("reader", "ours", "assistant"))
    assert sum(reader) <= 2
    assert ours[0] >= 15, "questions like those that it was shown"
    assert ours[1] <= 10, "what was never asked stays out of reach: the page says so"
    assert sum(assistant) > sum(ours) > sum(reader)
    assert min(assistant) >= 17
    assert sum(ours[3:]) <= 6, "skills that it was never taught"


def test_what_is_served_answers_rightly_and_says_who_answers(run):
    from toytown.skills import task
    from writers import seed

    (cell,) = (cell for cell in code_cells(run.notebook) if "--assistant" in cell.source)
    lines = [line for line in dict(outputs(cell))["text/stdout"].splitlines() if "?" in line]
    tasks = [task(seed("test", number), "town") for number in range(400)]
    checks = {one.messages[-1]["content"]: one.right for one in tasks}
    right = {}
    for line in lines:
        question, answer, who = re.fullmatch(r"(.+\?) +(.+) — (.+)", line).groups()
        right[question] = checks[question](answer)
        assert who == "local: my-first-llm"
    assert right == {
        "Where is the gallery?": True,
        "When does the museum open?": True,
        "Where is the cinema?": False,  # kept back in the tuning, as the page says
    }


def test_a_folder_that_is_no_model_is_refused_in_a_sentence(tmp_path):
    from services import local

    with pytest.raises(RuntimeError, match=r"holds no config\.json: it is no checkpoint"):
        local.start("gemini", "--assistant", str(tmp_path))


# --- what is computed -----------------------------------------------------------------------------


def test_the_parameters_are_counted_rightly(run, said):
    table, attention, feed_forward, norms = 1_000 * 128, 4 * 128**2, 3 * 128 * 344, 2 * 128
    assert run.seen["parameters"] == table + 3 * (attention + feed_forward + norms) + 128
    assert f"{run.seen['parameters']:,} parameters" in said


def test_the_operations_of_a_step_are_those_of_the_rule(run):
    assert run.seen["rule"] == 6 * run.seen["parameters"] * 8 * 128
    scores = 12 * 128 * (8 * 128) * 3 * 128  # of attention, with no parameters
    assert run.seen["counted"] == pytest.approx(run.seen["rule"] + scores, rel=0.005)
    assert 1 / 8 < scores / run.seen["rule"] < 1 / 6  # "a seventh more"


def test_from_4_million_to_4_billion_is_computed_rightly(run, said):
    card = 0.40 * 989e12
    for name, (parameters, tokens) in run.seen["plans"].items():
        seconds = 6 * parameters * tokens / card
        assert run.seen["hours"][name] == pytest.approx(seconds / 3600)
        if "Llama" not in name:
            assert tokens == 20 * parameters
    prose = "\n".join(cell.source for cell in STORED.cells if cell.cell_type == "markdown")
    assert 6 * 4e9 * 80e9 / card / 86_400 == pytest.approx(56, abs=0.5)
    assert "56 days" in prose
    assert "1.9e+21" in said
    assert pytest.approx(3.8e25, rel=0.01) == 6 * 405e9 * 15.6e12  # as Meta's paper states it
    hours = 6 * 405e9 * 15.6e12 / card / 3600 / 1e6
    assert f"{hours:.1f} million hours" in prose
    assert 1 - hours / 30.84 == pytest.approx(1 / 7, abs=0.01)  # "off by a seventh"
    assert math.ceil(16 * 405e9 / 80e9) == 81


# --- the exercises --------------------------------------------------------------------------------


@pytest.mark.parametrize("check", EXERCISES)
def test_the_folded_solution_is_right(check, run):
    (solution,) = (one for one in run.answers if one.check == check and not one.hint)
    assert not solution.failed
    assert RIGHT in solution.said, solution.said


@pytest.mark.parametrize("check", EXERCISES)
def test_the_solution_uses_only_what_stands_above_it(check):
    known = set(dir(__builtins__)) | set(__builtins__)
    for cell in code_cells(STORED):
        if cell.source == EXERCISES[check].answer.source:
            break
        known |= names(python_of(cell))[0]
    defined, used = names(EXERCISES[check].solution)
    assert used - defined - known == set()


@pytest.mark.parametrize("check", EXERCISES)
def test_wrong_and_missing_answers_get_their_hint(check, run):
    (exercise,) = (one for one in exercises_of(run.notebook) if one.check == check)
    assert HINT in text(exercise.self_check)
    wrong = [one for one in run.answers if one.check == check and one.hint]
    assert len(wrong) >= 3
    for one in wrong:
        assert not one.failed
        assert RIGHT not in one.said, one.source
        assert one.hint in one.said.partition(HINT)[2], f"{one.source} gets {one.said!r}"
