"""The small tier from a cold cache: a local Hub has tiny checkpoints under the tier's real ids.

They have the real sizes, processors and tokenizers, and random weights: a notebook that leans on
what only our checkpoints have (144 pixels, 128 by 128 masks, 12 by 12 patches, five-second windows,
four voices) fails here. So does one whose search, download, cache or examples fail in the clients'
own code. Its outputs mean nothing and are not looked at.
"""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import nbformat
import pytest
import tiny
from conftest import ROOT, printed
from datasets import ClassLabel, Dataset, Features, Image, List, Value
from helpers import checkpoints, media
from huggingface_hub import HfApi
from nbclient import NotebookClient
from services import local, shelf

NOTEBOOKS = {
    "1. Using_Gemini_API": (
        "assistant",
        "captioner",
        "answerer",
        "detector",
        "transcriber",
        "embedder",
    ),
    "2. Open_Source_Models": ("detector", "assistant", "transcriber", "embedder"),
    "2.1. Intro_to_NLP": ("chatbot", "translator", "summarizer", "assistant", "embedder"),
    "2.2. Embeddings": ("embedder",),
    "2.3. Zero_Shot_Audio_Classification": ("listener",),
    "2.4. Automatic_Speech_Recognition": ("transcriber",),
    "2.5. Text_to_Speech": ("speaker", "transcriber"),
    "2.6. Object_Detection": ("detector", "segmenter", "captioner", "speaker"),
    "2.7. Image_Segmentation": ("segmenter", "detector"),
    "2.8. Multimodal_Models": ("matcher", "captioner", "answerer", "classifier"),
    "2.9. Deployment": ("detector",),
}
# Their optional part asks for models of its own, or its requests are counted. That of the others is
# left to the weekly run on the real Hub.
WHOLE = ("1. ", "2.6. ", "2.7. ")
SHORTER = {  # loops that repeat the same calls: fewer rounds show as much here
    "side = 14  # points a side": "side = 4",
    "truth, clicks=5": "truth, clicks=2",
    "for n in (8, 8, 4):": "for n in (1,):",
    "crowds, measured = (1, 2, 4, 8),": "crowds, measured = (1, 2),",
    "twice = 2 * train.to_numpy().tolist()": "twice = train.to_numpy().tolist()[:4]",
    '"num_train_epochs": 4': '"num_train_epochs": 1',
    "if 5 <= len(text.split()) <= 10][:5]": "if 5 <= len(text.split()) <= 10][:2]",
    "for row in tqdm(examples)]": "for row in examples.select(range(4))] * 20",
    "ask(scenes[:30], asked[:30])": "ask(scenes[:6], asked[:6])",
    'rows = letters[letters["split"] == split]': 'rows = letters[letters["split"] == split][-3:]',
    "visitors, answers=24)": "visitors, answers=4)",
    "enumerate(tqdm(scenes))]": "enumerate(scenes.select(range(4)))]",
}


def examples(folder: Path) -> None:
    """Our examples under the ids, splits, columns and types of the public sets."""
    scenes, words = [dict(row) for row in media.examples("detection")], media.examples("similarity")
    names = sorted({name for row in scenes for name in row["objects"]["category"]})
    for row in scenes:
        row["objects"] = {
            "bbox": [[x, y, x + w, y + h] for x, y, w, h in row["objects"]["bbox"]],
            "category": [names.index(name) for name in row["objects"]["category"]],
        }
    boxes = {"bbox": List(List(Value("float32"))), "category": List(ClassLabel(names=names))}
    seen = Features({"image": Image(), "objects": boxes})
    spoken = [row for row in media.examples("speech") if row["language"] == "en"]
    post = [{"text": m["text"], "label_text": m["topic"]} for m in media.examples("messages")]
    rows = {
        "detection-datasets/coco/data/val": (scenes, seen),
        "sentence-transformers/stsb/data/test": (list(words), words.features),
    }
    for place, (found, features) in rows.items():
        file = folder / f"{place}-00000-of-00001.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = [{name: row[name] for name in features} for row in found]
        Dataset.from_list(kept, features=features).to_parquet(file)
    (folder / "SetFit/ag_news").mkdir(parents=True)
    for split, part in (("train", post[:120]), ("test", post[120:])):
        Dataset.from_list(part).to_json(folder / f"SetFit/ag_news/{split}.jsonl")
    libri = folder / "hf-internal-testing/librispeech_asr_dummy"
    (libri / "clean").mkdir(parents=True)
    audio = [{"bytes": Path(row["audio"]).read_bytes(), "path": None} for row in spoken]
    told = [{"audio": one, "text": row["text"]} for one, row in zip(audio, spoken, strict=True)]
    (libri / "clean/validation-00000-of-00001.parquet").write_bytes(shelf.parquet(told))
    card = "configs:\n- config_name: clean\n  data_files:\n  - split: validation\n"
    card += "    path: clean/validation-*.parquet\n"
    (libri / "README.md").write_text(f"---\n{card}---\n", encoding="utf-8")


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Iterator[local.Local]:
    """A Hub with tiny checkpoints and our examples, under the ids that the small tier asks for."""
    folder = tmp_path_factory.mktemp("on the hub")
    tiny.save(folder, {role for roles in NOTEBOOKS.values() for role in roles})
    examples(folder / "datasets")
    hello = folder / "spaces/gradio/hello_world"
    hello.mkdir(parents=True)
    head = "title: Hello\nemoji: 🔥\ncolorFrom: blue\ncolorTo: green\nsdk: gradio\napp_file: run.py"
    (hello / "README.md").write_text(f"---\n{head}\n---\n", encoding="utf-8")
    (hello / "run.py").write_text("import gradio as gr\n", encoding="utf-8")
    with local.start("hub", "--more", str(folder)) as started:
        yield started


def state(folder: Path) -> dict[str, int]:
    """Every file of a folder, with the time of its last change."""
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*")} if folder.is_dir() else {}


@pytest.fixture(scope="module")
def own_cache() -> Iterator[None]:
    """What this machine's user has in the usual cache, which no rehearsal may touch."""
    usual = Path("~/.cache/huggingface").expanduser()
    before = state(usual)
    yield
    assert state(usual) == before


@pytest.fixture
def small(hub: local.Local, own_cache: None, tmp_path: Path, monkeypatch) -> Path:
    """The small tier by name, and an empty cache; gives the cache's folder."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("COURSE_TIER", "small")
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf-home"))
    return tmp_path / "hf-home"


def path_of(name: str) -> Path:
    return ROOT / "notebooks" / f"{name}.ipynb"


def run(name: str, cells: int | None = None) -> tuple[nbformat.NotebookNode, str]:
    """A notebook from top to bottom, or its first cells: as executed, and what its setup says."""
    notebook = nbformat.read(path_of(name), as_version=4)
    notebook.cells = notebook.cells[:cells]
    for cell in notebook.cells:
        for long, short in SHORTER.items():
            cell.source = cell.source.replace(long, short)
    place = {"metadata": {"path": str(ROOT / "notebooks")}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()
    setup = next(cell for cell in notebook.cells if "setup" in cell.metadata.get("tags", []))
    return notebook, "".join(output.get("text", "") for output in setup.outputs)


@pytest.fixture
def google(monkeypatch) -> Iterator[list[str]]:
    """A key, and in Google's place the micro server behind a door that counts who comes in."""
    asked: list[str] = []
    server = local.start("gemini")
    client = httpx.Client(base_url=server.address, timeout=60)

    class Door(BaseHTTPRequestHandler):
        def pass_on(self):
            asked.append(f"{self.command} {self.path}")
            size = int(self.headers.get("Content-Length", 0))
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "te")}
            headers["accept-encoding"] = "identity"
            found = client.request(
                self.command,
                self.path,
                content=self.rfile.read(size),
                headers=headers,
            )
            self.send_response(found.status_code)
            for name, value in found.headers.items():
                if name not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value.replace(server.address, here))
            self.send_header("Content-Length", str(len(found.content)))
            self.end_headers()
            self.wfile.write(found.content)

        do_GET = do_POST = do_DELETE = pass_on

        def log_message(self, *arguments):
            pass

    door = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    here = f"http://127.0.0.1:{door.server_port}"
    threading.Thread(target=door.serve_forever, daemon=True).start()
    monkeypatch.setenv("GEMINI_API_KEY", server.key)
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", here)
    yield asked
    door.shutdown()
    door.server_close()
    client.close()
    server.stop()


@pytest.mark.parametrize("long", SHORTER)
def test_what_is_made_shorter_is_still_there(long: str):
    sources = [
        cell.source
        for name in NOTEBOOKS
        for cell in nbformat.read(path_of(name), as_version=4).cells
    ]
    assert any(long in source for source in sources)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs_from_a_cold_cache(name, hub, small, monkeypatch, request):
    asked = request.getfixturevalue("google") if name.startswith("1.") else None
    writes = name.startswith(("2. ", "2.9."))
    if writes:  # with a token this Hub is the real one to it; nobody is there to be asked
        monkeypatch.setenv("HF_TOKEN", hub.key)
    sources = [cell.source for cell in nbformat.read(path_of(name), as_version=4).cells]
    optional = next(i for i, source in enumerate(sources) if source.startswith("## Deeper"))
    notebook, said = run(name, cells=None if name.startswith(WHOLE) else optional)
    assert "tier      small (COURSE_TIER asks for it)" in said
    if not writes:  # those two ask the Hub by name, after their setup
        assert re.search(r"download +\w+ [\d,]+ MB", said), said
    # With a key another answers in chapter 1, and most of its roles are not needed here.
    for role in NOTEBOOKS[name] if asked is None else ("assistant",):
        id = checkpoints.row(role, "small")["id"].replace("/", "--")
        assert list(small.glob(f"hub/models--{id}/snapshots/*/*")), f"{id} was not downloaded"
    if writes:
        user = HfApi(endpoint=hub.address, token=hub.key)
        mine = [*user.list_models(author="learner"), *user.list_spaces(author="learner")]
        assert mine and all(one.private for one in mine), "made, private, and not deleted unasked"
    if asked is not None:  # with a key: as many requests as are announced, and not one more
        connecting = [cell for cell in notebook.cells if "ai = connect(" in cell.source]
        announced = re.search(r"make (\d+) requests", printed(connecting))[1]
        assert len(asked) == int(announced) <= 60, "\n".join(asked)
        for path in ("tunedModels", "gemini-1.0-pro"):
            assert not any(path in one for one in asked), "such cells stay on this machine"


def test_with_a_warm_cache_it_runs_offline_and_nobody_need_ask_for_the_tier(small, monkeypatch):
    name = "2.7. Image_Segmentation"
    roles = NOTEBOOKS[name]
    fetched = f"from helpers import setup, checkpoint; setup(*{roles}); "
    fetched += "; ".join(f"print(checkpoint({role!r}))" for role in roles)
    subprocess.run([sys.executable, "-c", fetched], cwd=ROOT / "notebooks", check=True)
    before = state(small / "hub")
    monkeypatch.delenv("COURSE_TIER")
    monkeypatch.delenv("HF_ENDPOINT")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    notebook, said = run(name, cells=15)
    assert "from_pretrained(checkpoint(" in "".join(cell.source for cell in notebook.cells)
    assert "tier      small (its checkpoints are cached on this machine)" in said
    assert "download  nothing, all is cached" in said
    assert {k for k in state(small / "hub") if k not in before} == set(), "nothing is fetched"


def test_where_the_hub_goes_away_the_notebook_goes_on_with_ours_and_says_so(hub, small):
    # Colab's default: small, by nobody's wish. The Hub answers, but has not this checkpoint.
    code = (
        "import os; os.environ['COLAB_RELEASE_TAG'] = 'x'; os.environ.pop('COURSE_TIER')\n"
        "from helpers import checkpoints, session\n"
        "tier = checkpoints.choose_tier('auto', []); print(tier.name, tier.why)\n"
        "checkpoints._current = tier\n"
        "checkpoints.catalog()['roles']['listener']['small']['id'] = 'laion/no-such-model'\n"
        "print(checkpoints.checkpoint('listener'))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "notebooks", capture_output=True, text=True
    )
    assert ran.stdout.startswith("small the default on Colab"), ran.stderr
    assert "goes on with the micro tier" in ran.stdout
    assert ran.stdout.rstrip().endswith("listener")
