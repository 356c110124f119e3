"""`make record`: what real checkpoints answer, kept with where it comes from; never a rehearsal.

A local Hub holds tiny checkpoints under the real ids, so all but the real weights is exercised. The
refusals keep what comes of it out of assets/real.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import record
import soundfile
import tiny
from conftest import ROOT
from helpers import checkpoints
from PIL import Image
from record_cells import CELLS, Answer, keep, peak_memory_mb, proof
from services import local

COMMIT = "a" * 40


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    """The command, as the README gives it, with CI=true as on GitHub."""
    return subprocess.run(
        [sys.executable, ROOT / ".ci/record.py", *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.Local]:
    folder = tmp_path_factory.mktemp("on the hub")
    tiny.save(folder, ["detector"])
    with local.start("hub", "--more", str(folder)) as running:
        yield running


@pytest.fixture(scope="module")
def google() -> Iterator[local.Local]:
    with local.start("gemini") as running:
        yield running


@pytest.fixture(scope="module")
def rehearsed(hub, google, tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess]:
    """A rehearsal: one role, Gemini with a key, and a role of which this Hub has only the card."""
    folder = tmp_path_factory.mktemp("rehearsal")
    told = {"HF_ENDPOINT": hub.address, "GEMINI_API_KEY": google.key, "HF_TOKEN": "hf_not-yours"}
    told["GOOGLE_GEMINI_BASE_URL"] = google.address
    told["HF_HUB_CACHE"] = told["HUGGINGFACE_HUB_CACHE"] = str(
        folder.parent / "the user's own cache"
    )
    told["GITHUB_STEP_SUMMARY"] = str(folder.parent / "summary.md")
    ran = run("--rehearse", folder, "detector", "gemini", "listener", **told)
    return folder, ran


def test_a_record_says_what_answered_and_where_it_comes_from(rehearsed):
    folder, ran = rehearsed
    kept = json.loads((folder / "small/detector.json").read_text("utf-8"))
    assert kept["checkpoint"] == checkpoints.row("detector", "small")["id"]
    assert re.fullmatch("[0-9a-f]{40}", kept["commit"])
    assert re.fullmatch("[0-9a-f]{64}", kept["weights"]["sha256"])
    assert kept["versions"].keys() == {"torch", "transformers"}
    assert kept["seconds"] > 0 and 100 < kept["peak_memory_mb"] < 4000
    assert re.fullmatch(r"(\w+ [01]\.\d\d(, |$))+", kept["answers"][0]["came"])
    assert "def detector(folder" in kept["code"]
    assert f"| detector | {kept['checkpoint']} |" in ran.stdout


def test_pictures_and_sounds_are_kept_small_and_whole(rehearsed, tmp_path):
    folder, _ = rehearsed
    with Image.open(folder / "small/detector.webp") as picture:
        picture.load()
        assert 300 < picture.width <= 640
    assert record.size(folder) < 200_000
    tone = np.sin(np.arange(16_000) / 6).astype(np.float32)
    assert keep(Answer([], sound=(tone, 16_000)), "speaker", tmp_path)["sound"]
    heard, rate = soundfile.read(tmp_path / "speaker.ogg")
    assert rate == 16_000 and np.corrcoef(heard, tone)[0, 1] > 0.99
    assert record.size(tmp_path) < 30_000


def test_one_that_fails_is_told_in_one_sentence_and_the_others_are_kept(rehearsed):
    folder, ran = rehearsed
    assert ran.returncode == 1
    row = next(line for line in ran.stdout.splitlines() if line.startswith("| listener |"))
    assert "FileNotFoundError: laion/clap-htsat-unfused holds no model.safetensors" in row
    assert "Traceback" not in ran.stdout + ran.stderr
    assert not list(folder.parent.glob(".listener-*")), "nothing half made is left"
    assert not (folder / "small/listener.json").exists()
    assert row in (folder.parent / "summary.md").read_text("utf-8"), "GitHub's report has it"


def test_a_rehearsal_says_so_on_every_record_and_on_its_page(rehearsed):
    folder, _ = rehearsed
    records = list(folder.glob("*/*.json"))
    assert len(records) == 2
    assert all(json.loads(path.read_text("utf-8"))["rehearsal"] is True for path in records)
    assert (folder / "README.md").read_text("utf-8").startswith("# A rehearsal: these are no real")
    with pytest.raises(ValueError, match="records of a rehearsal: remove them"):
        record.publish(folder, ROOT / "README.md")


def test_nothing_that_is_kept_holds_a_key_or_leaves_this_cache(rehearsed, hub, google):
    folder, ran = rehearsed
    kept = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    for key in (google.key, hub.key, "hf_not-yours"):
        assert key not in ran.stdout + ran.stderr
        assert not any(key.encode() in content for content in kept)
    said = json.loads((folder / "api/gemini.json").read_text("utf-8"))
    assert any("bakery" in one["given"] for one in said["answers"])
    assert not list(folder.rglob("models--*")), "the tiny weights are gone with their own cache"
    assert not (folder.parent / "the user's own cache").exists(), "and came into no other"


def test_an_answer_that_repeats_a_key_is_thrown_away(tmp_path, monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", "AKeyThatNobodyMayRead")
    (made := tmp_path / "made").mkdir()
    (made / "gemini.json").write_text('{"answers": "I know AKeyThatNobodyMayRead"}')
    became, kept = record.take("gemini", made, tmp_path, tmp_path, rehearsal=False)
    assert became == "its answer holds a key of yours: nothing was kept" and not kept
    assert not (tmp_path / "gemini.json").exists()
    assert record.without_keys("400: AKeyThatNobodyMayRead") == "400: [key]"


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (["--tier", "micro"], {}, "--tier is small or full, not micro"),
        ([], {"HF_ENDPOINT": "http://127.0.0.1:8700"}, "only https://huggingface.co has the real"),
        ([], {"HF_ENDPOINT": "https://a-mirror.example"}, "only https://huggingface.co has the"),
        ([], {"GOOGLE_GEMINI_BASE_URL": "http://localhost:1"}, "is the real Gemini"),
        (["--rehearse", "/nowhere"], {}, "--rehearse is for a Hub on this machine"),
        (
            ["--rehearse", ROOT / "assets/real"],
            {"HF_ENDPOINT": "http://127.0.0.1:8700"},
            "a rehearsal is no result: choose a folder outside of assets",
        ),
        (["detecter"], {}, "no role detecter: use chatbot"),
    ],
)
def test_what_would_be_no_real_result_is_refused(arguments, environment, sentence):
    there = record.REAL.exists()
    ran = run(*arguments, **environment)
    assert ran.returncode == 2
    assert sentence in " ".join(ran.stderr.split())
    assert record.REAL.exists() == there


def rehearse(folder: Path, monkeypatch) -> int:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:8700")
    monkeypatch.setattr(sys, "argv", ["record.py", "--rehearse", str(folder), "detector"])
    return record.main()


def test_a_rehearsal_overwrites_nobody_elses_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(record, "record_all", lambda *_: pytest.fail("it records"))
    (theirs := tmp_path / "data/mine.json").parent.mkdir()
    theirs.write_text("{}")
    for page in (None, "# My thesis\n"):
        if page:
            (tmp_path / "README.md").write_text(page)
        assert rehearse(tmp_path, monkeypatch) == 1
        assert f"{tmp_path} holds something else than a rehearsal" in capsys.readouterr().err
    assert (tmp_path / "README.md").read_text() == page
    assert rehearse(theirs, monkeypatch) == 1


def test_a_rehearsal_that_was_interrupted_is_known_again(tmp_path, monkeypatch):
    def stops(roles: list[str], tier: str, real: Path, hub_home: Path) -> None:
        (real / tier).mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(record, "record_all", stops)
    with pytest.raises(KeyboardInterrupt):
        rehearse(tmp_path / "rehearsal", monkeypatch)
    monkeypatch.setattr(record, "record_all", lambda *_: [])
    assert rehearse(tmp_path / "rehearsal", monkeypatch) == 0


def test_a_page_that_cannot_be_written_is_one_sentence(monkeypatch, capsys):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record, "publish", full)
    monkeypatch.setattr(sys, "argv", ["record.py", "--page"])
    assert record.main() == 1
    assert capsys.readouterr().err == "[Errno 28] No space left on device\n"


def test_weights_that_are_not_the_hubs_are_refused(hub, tmp_path, monkeypatch):
    """As where a rehearsal has filled the cache under a real name."""
    from huggingface_hub import constants, snapshot_download

    files = f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
    facts = checkpoints.row("detector", "small")
    there = {"cache_dir": tmp_path, "endpoint": hub.address}
    folder = snapshot_download(facts["id"], revision=facts["revision"], **there)
    assert proof("detector", "small", Path(folder))["checkpoint"] == facts["id"]
    weights = Path(folder, "model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1  # one bit of one weight
    weights.unlink()
    weights.write_bytes(content)
    with pytest.raises(ValueError, match="in this cache is not the Hub's at"):
        proof("detector", "small", Path(folder))


# --- the page -------------------------------------------------------------------------------------


def made(folder: Path, seconds: float = 1.0, came: str = "a *dog*|<b>") -> Path:
    """What a cell of the detector leaves in a folder."""
    folder.mkdir(exist_ok=True)
    kept = {"role": "detector", "tier": "small", "notebook": "2.6. Object_Detection"}
    kept |= {"task": "object-detection", "checkpoint": "owner/name", "commit": COMMIT}
    kept |= {"weights": {"file": "model.safetensors", "sha256": "b" * 64, "bytes": 1}}
    kept |= {"licence": "mit", "date": "2026-01-01", "machine": "Linux", "device": "cpu"}
    kept |= {"versions": {"torch": "2"}, "seconds": seconds, "peak_memory_mb": 9, "code": "1\n"}
    kept |= {"answers": [{"given": "a street", "came": came}]}
    kept |= {"picture": {"file": "detector.webp", "alt": "A street"}}
    (folder / "detector.json").write_text(json.dumps(kept))
    (folder / "detector.webp").write_bytes(b"picture")
    return folder


def test_a_record_is_replaced_only_by_a_new_answer(tmp_path):
    real = tmp_path / "real"
    target = real / "small"

    def take(**changes) -> tuple[str, dict]:
        return record.take("detector", made(tmp_path / "made", **changes), target, real, False)

    assert take()[0] == "new"
    became, kept = take(seconds=2.0)
    assert (became, kept["seconds"]) == ("as before", 1.0), "a change of the clock alone is no news"
    became, kept = take(seconds=2.0, came="a cat")
    assert (became, kept["seconds"]) == ("new", 2.0)
    assert sorted(path.name for path in target.iterdir()) == ["detector.json", "detector.webp"]


def test_records_that_would_grow_too_large_are_not_kept(tmp_path, monkeypatch):
    real = tmp_path / "real"
    target = real / "small"
    real.mkdir()
    (real / "more").write_bytes(b"x" * 1_000)
    monkeypatch.setattr(record, "MOST", 1_000)
    became, _ = record.take("detector", made(tmp_path / "made"), target, real, False)
    assert became.startswith("all records together would be over")
    assert not (target / "detector.json").exists()


def test_the_readme_leads_to_the_page_only_while_there_is_one(tmp_path):
    real, readme = tmp_path / "real", tmp_path / "README.md"
    before = f"# Course\n\n{record.PLACE}\n\nMore.\n"
    readme.write_text(before)
    assert record.publish(real, readme) == 0
    assert readme.read_text() == before and not real.exists()
    real.mkdir()
    made(real / "small")
    for _ in range(2):  # once is as good as twice
        assert record.publish(real, readme) == 1
        assert readme.read_text().count("](assets/real/README.md)") == 1
    page = (real / "README.md").read_text("utf-8")
    assert f"[owner/name](https://huggingface.co/owner/name/tree/{COMMIT})" in page
    assert "![A street](small/detector.webp)" in page
    assert r"| a street | a \*dog\*\|&lt;b&gt; |" in page, "what a model says is no markup"
    (real / "small/detector.json").unlink()
    record.publish(real, readme)
    assert readme.read_text() == before


def test_no_page_promises_what_is_not_there():
    there = (record.REAL / "README.md").is_file()
    pages = [ROOT / "README.md", *sorted((ROOT / "notebooks").glob("*.ipynb"))]
    assert there or not [p.name for p in pages if "assets/real" in p.read_text("utf-8")]
    for path in record.REAL.glob("*/*.json"):
        assert "rehearsal" not in json.loads(path.read_text("utf-8"))
    assert not record.REAL.is_dir() or record.size(record.REAL) <= record.MOST


def test_every_role_of_the_catalog_has_a_cell():
    assert CELLS.keys() == checkpoints.catalog()["roles"].keys() | {"gemini"}


def test_peak_memory_is_counted_in_megabytes_and_never_falls():
    before = peak_memory_mb()
    # As much as this process ever held: it may have given back most of that.
    block = b"x" * (before * 1_000_000)
    assert 50 < before < peak_memory_mb() and len(block)
