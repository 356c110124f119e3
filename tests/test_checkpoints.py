"""Every trained checkpoint: small, with a card that was filled in, and loaded without a word."""

import json
import re
import subprocess
import sys
import tomllib

import pytest
from conftest import ROOT
from helpers import checkpoints

FOLDER = ROOT / "assets" / "checkpoints"
THRESHOLDS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))
PROCESSORS = {  # what a notebook loads beside the model
    "segmenter": "SamProcessor",
    "captioner": "BlipProcessor",
    "answerer": "BlipProcessor",
    "matcher": "BlipProcessor",
    "classifier": "CLIPProcessor",
    "listener": "ClapProcessor",
    "transcriber": "WhisperProcessor",
    "speaker": "VitsTokenizer",
}


@pytest.mark.parametrize("role", PROCESSORS)
def test_it_is_small_and_its_card_and_its_curve_are_there(role: str):
    weights = (FOLDER / role / "model.safetensors").stat().st_size / 1e6
    assert weights <= THRESHOLDS[role]["megabytes"]
    card = (FOLDER / role / "README.md").read_text("utf-8")
    assert f"{weights:.1f} MB" in card
    assert "license: apache-2.0" in card
    assert "{" not in card, "every figure is filled in"
    parameters = checkpoints.row(role, "micro")["parameters"]
    assert f"{parameters:,}" in card, "the catalog and the card count the same"
    assert json.loads((FOLDER / role / "training.json").read_text())[-1]["step"] >= 1000


@pytest.fixture(scope="module")
def loaded() -> dict[str, tuple[str, str]]:
    """What loading each role says on stdout and stderr, all in one new process."""
    code = "import sys, transformers\n"
    for role, processor in PROCESSORS.items():
        model, folder = checkpoints.row(role, "micro")["class"], str(FOLDER / role)
        code += f"print('role', {role!r}, flush=True)\n"
        code += f"print('role', {role!r}, file=sys.stderr, flush=True)\n"
        code += f"transformers.{model}.from_pretrained({folder!r})\n"
        code += f"print(type(transformers.{processor}.from_pretrained({folder!r})).__name__)\n"
    command = [sys.executable, "-W", "error::UserWarning", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    told, warned = (
        dict(zip(parts[1::2], parts[2::2], strict=True))
        for parts in (
            re.split(r"^role (\w+)$", said, flags=re.M) for said in (run.stdout, run.stderr)
        )
    )
    return {role: (told[role], warned[role]) for role in PROCESSORS}


@pytest.mark.parametrize("role", PROCESSORS)
def test_its_class_and_processor_load_it_without_a_warning(role: str, loaded):
    told, warned = loaded[role]
    lines = [line for line in warned.splitlines() if line.strip()]
    assert [line for line in lines if "Loading weights" not in line] == []
    assert told.strip() == PROCESSORS[role]
