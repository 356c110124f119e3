"""The local Hub as the official clients meet it: search, read, download, create, commit, remove."""

import hashlib
import io
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    DatasetCard,
    HfApi,
    ModelCard,
    SpaceCard,
    constants,
)
from huggingface_hub import get_hf_file_metadata as metadata
from huggingface_hub.errors import (
    BadRequestError,
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import safe_open
from services import local

ROOT = Path(__file__).parents[1]
DETECTOR = ROOT / "assets" / "checkpoints" / "detector"
MODEL = "toytown/detector"
LFS_JSON = {"content-type": "application/vnd.git-lfs+json"}
SPACE_CARD = "---\ntitle: A\nsdk: gradio\ncolorFrom: {}\n---\n"


@pytest.fixture(scope="module")
def guest(hub):
    return HfApi(endpoint=hub.address, token=hub.guest)


@pytest.fixture(scope="module")
def nobody(hub):
    return HfApi(endpoint=hub.address, token=False)


@pytest.fixture(scope="module")
def http(hub):
    """Requests without a client of the Hub between, and without a token."""
    with httpx.Client(base_url=hub.address, timeout=30) as client:
        yield client


@pytest.fixture
def own(hub):
    return {"authorization": f"Bearer {hub.key}"}


@pytest.fixture
def repo(api, request):
    """The name of a new model of one's own."""
    name = f"learner/{hashlib.sha1(request.node.name.encode()).hexdigest()[:12]}"
    api.create_repo(name)
    yield name
    api.delete_repo(name, missing_ok=True)


def upload(api: HfApi, repo: str, path: str, data: bytes, **more):
    return api.upload_file(path_or_fileobj=data, path_in_repo=path, repo_id=repo, **more)


def content(api: HfApi, repo: str, path: str, cache: Path, **more) -> bytes:
    return Path(api.hf_hub_download(repo, path, cache_dir=cache, **more)).read_bytes()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def refusal(response: httpx.Response, code: int) -> str:
    """The sentence of a refusal, which is also in the header that the clients read."""
    assert response.status_code == code, response.text[:300]
    said = response.json()["error"]
    assert response.headers["x-error-message"] == said
    return said


# ---- who


def test_a_token_says_whose_it_is_and_what_it_may(api, guest, http):
    assert api.whoami()["name"] == "learner"
    assert api.whoami()["auth"]["accessToken"]["role"] == "write"
    assert guest.whoami()["name"] == "guest"
    assert guest.whoami()["auth"]["accessToken"]["role"] == "read"
    refusal(http.get("/api/whoami-v2"), 401)
    wrong = {"authorization": "Bearer hf_nobody"}
    assert "Invalid credentials" in refusal(http.get("/api/whoami-v2", headers=wrong), 401)
    assert "Invalid credentials" in refusal(http.get("/api/models", headers=wrong), 401)


# ---- search


def ids(found) -> set[str]:
    return {one.id for one in found}


@pytest.mark.parametrize(
    ("asked", "there", "not_there"),
    [
        (
            {"pipeline_tag": "object-detection"},
            {MODEL, "facebook/detr-resnet-50"},
            "toytown/speaker",
        ),
        ({"filter": "object-detection"}, {MODEL}, "toytown/speaker"),
        ({"trained_dataset": "toytown/scenes"}, {MODEL, "toytown/captioner"}, "toytown/speaker"),
        ({"filter": "license:cc-by-nc-4.0"}, {"facebook/nllb-200-distilled-600M"}, MODEL),
        ({"filter": ["translation", "license:mit"]}, {"facebook/m2m100_418M"}, MODEL),
        (
            {"filter": "sentence-transformers"},
            {"sentence-transformers/all-MiniLM-L6-v2"},
            "toytown/translator",
        ),
        ({"filter": "fr"}, {"toytown/translator", "toytown/transcriber"}, "toytown/summarizer"),
        ({"author": "toytown"}, {MODEL}, "facebook/detr-resnet-50"),
        ({"author": "ToyTown"}, {MODEL}, "facebook/detr-resnet-50"),
        ({"search": "nllb 600m"}, {"facebook/nllb-200-distilled-600M"}, "toytown/translator"),
        ({"num_parameters": "min:100M,max:200M"}, {"openai/clip-vit-base-patch32"}, MODEL),
        ({"num_parameters": "max:3M", "author": "toytown"}, {MODEL}, "toytown/assistant"),
        ({"num_parameters": "min:1.7B"}, {"HuggingFaceTB/SmolLM2-1.7B-Instruct"}, MODEL),
    ],
)
def test_models_are_found_by_what_their_cards_and_files_say(nobody, asked, there, not_there):
    found = ids(nobody.list_models(**asked))
    assert there <= found
    assert not_there not in found
    assert len(found) < len(list(nobody.list_models()))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"task_categories": "translation"}, {"toytown/parallel"}),
        ({"filter": "task_categories:translation"}, {"toytown/parallel"}),
        ({"language": "fr"}, {"toytown/parallel", "toytown/speech"}),
        ({"search": "stor"}, {"toytown/stories"}),
        ({"author": "somebody"}, set()),
    ],
)
def test_datasets_are_found_by_task_language_and_words(nobody, asked, found):
    assert ids(nobody.list_datasets(**asked)) == found


def test_spaces_are_found(nobody):
    assert ids(nobody.list_spaces(filter="gradio", search="hello")) == {"toytown/hello"}
    assert next(iter(nobody.list_spaces(author="toytown"))).sdk == "gradio"


def test_what_was_downloaded_most_comes_first_where_that_is_asked(nobody, tmp_path):
    nobody.hf_hub_download("toytown/segmenter", "config.json", cache_dir=tmp_path)
    found = list(nobody.list_models(sort="downloads"))
    assert found[0].id == "toytown/segmenter"
    assert [one.downloads for one in found] == sorted((m.downloads for m in found), reverse=True)


def test_what_was_changed_last_comes_first(api, nobody, repo):
    assert next(iter(nobody.list_models(sort="last_modified"))).id == repo
    assert next(iter(nobody.list_models(sort="created_at"))).id == repo


def test_a_list_comes_in_pages_each_with_the_address_of_the_next(http, nobody):
    found, page = [], http.get("/api/models", params={"limit": 3, "filter": "toytown"})
    while True:
        assert len(page.json()) <= 3
        found += [row["id"] for row in page.json()]
        if "next" not in page.links:
            break
        page = http.get(page.links["next"]["url"])
    assert len(found) == len(set(found)) > 6
    assert set(found) == ids(nobody.list_models(filter="toytown"))


def test_a_limit_is_how_many_come_even_where_it_is_more_than_a_page_holds(nobody):
    everything = len(list(nobody.list_models()))
    assert len(list(nobody.list_models(limit=5))) == 5
    assert len(list(nobody.list_models(limit=5_000))) == everything


def test_the_card_the_files_and_the_configuration_come_where_they_are_asked_for(nobody):
    def one(**more):
        return next(iter(nobody.list_models(search="toytown/detector", **more)))

    assert one().siblings is None
    assert "model.safetensors" in {file.rfilename for file in one(full=True).siblings}
    assert one(cardData=True).card_data.datasets == ["toytown/scenes"]
    assert one(fetch_config=True).config["model_type"] == "detr"
    assert one(expand=["safetensors"]).safetensors.total == 2_366_101


@pytest.mark.parametrize(
    "asked",
    [{"sort": "beauty"}, {"num_parameters": "many"}, {"limit": 0}, {"cursor": "a"}, {"limit": "x"}],
)
def test_a_search_that_cannot_be_meant_is_refused_with_its_field(http, asked: dict):
    said = refusal(http.get("/api/models", params=asked), 400)
    assert next(iter(asked)) in said


# ---- one repository


def test_a_model_is_described_by_its_card_and_its_files(nobody):
    info = nobody.model_info(MODEL, files_metadata=True)
    assert info.pipeline_tag == "object-detection"
    assert info.library_name == "transformers"
    assert {"detr", "dataset:toytown/scenes", "license:apache-2.0", "safetensors"} <= set(info.tags)
    assert info.card_data.license == "apache-2.0"
    assert info.config["architectures"] == ["DetrForObjectDetection"]
    with safe_open(DETECTOR / "model.safetensors", "np") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
    assert info.safetensors.total == sum(math.prod(shape) for shape in shapes)
    files = {file.rfilename: file for file in info.siblings}
    for path in ("model.safetensors", "config.json"):
        assert files[path].size == (DETECTOR / path).stat().st_size
    weights = (DETECTOR / "model.safetensors").read_bytes()
    assert files["model.safetensors"].lfs.sha256 == sha256(weights)
    assert files["config.json"].lfs is None


def test_a_dataset_and_a_space_are_described_too(nobody, hub):
    data = nobody.dataset_info("toytown/scenes", files_metadata=True)
    assert "task_categories:object-detection" in data.tags
    assert any(file.rfilename.endswith(".parquet") and file.size > 1_000 for file in data.siblings)
    space = nobody.space_info("toytown/hello")
    assert space.sdk == "gradio"
    assert space.host == f"{hub.address}/run/toytown/hello/"
    assert space.card_data.title == "Hello, Toytown"
    assert space.runtime.stage == "SLEEPING", "nobody has asked it for anything"


def test_of_a_real_checkpoint_the_card_is_here_and_the_weights_are_not(nobody, tmp_path):
    name = "facebook/nllb-200-distilled-600M"
    info = nobody.model_info(name)
    assert info.card_data.license == "cc-by-nc-4.0"
    assert info.safetensors.total > 600e6
    assert b"Only the card is here" in content(nobody, name, "README.md", tmp_path)
    with pytest.raises(EntryNotFoundError):
        nobody.hf_hub_download(name, "model.safetensors", cache_dir=tmp_path)


def test_what_is_not_there_is_the_clients_own_exception(nobody, tmp_path):
    with pytest.raises(EntryNotFoundError, match=r"nothing\.txt"):
        nobody.hf_hub_download(MODEL, "nothing.txt", cache_dir=tmp_path)
    with pytest.raises(RevisionNotFoundError):
        nobody.hf_hub_download(MODEL, "config.json", revision="never", cache_dir=tmp_path)
    with pytest.raises(RevisionNotFoundError):
        nobody.model_info(MODEL, revision="0" * 40)
    for missing in ("toytown/nothing", "nobody/detector"):
        with pytest.raises(RepositoryNotFoundError):
            nobody.hf_hub_download(missing, "config.json", cache_dir=tmp_path)
    with pytest.raises(RepositoryNotFoundError):
        nobody.dataset_info(MODEL)  # a model is no dataset of its name
    with pytest.raises(EntryNotFoundError):
        list(nobody.list_repo_tree(MODEL, "folder"))
    assert nobody.repo_exists(MODEL)
    assert not nobody.repo_exists("toytown/nothing")
    assert nobody.file_exists(MODEL, "config.json")
    assert not nobody.file_exists(MODEL, "nothing.txt")


@pytest.fixture(scope="module")
def nested(api):
    """A repository with folders and two commits."""
    name = "learner/nested"
    api.create_repo(name)
    files = {"a.txt": b"a", "folder/b.txt": b"b", "folder/deeper/c.txt": b"c", "folder2/d": b"d"}
    adds = [CommitOperationAdd(path, data) for path, data in files.items()]
    first = api.create_commit(name, adds, commit_message="All\n\nand more", revision="main")
    second = upload(api, name, "folder/b.txt", b"bb", commit_message="Change b")
    yield name, first.oid, second.oid
    api.delete_repo(name)


def test_a_tree_is_listed_by_folder_or_as_a_whole(nobody, nested):
    name, first, second = nested

    def paths(*folder, **more):
        return [row.path for row in nobody.list_repo_tree(name, *folder, **more)]

    top = {".gitattributes", "a.txt", "folder", "folder2"}
    assert set(paths()) == top
    assert set(paths("folder")) == {"folder/b.txt", "folder/deeper"}
    assert set(paths("folder/")) == set(paths("folder"))
    assert set(paths(recursive=True)) == top | {
        "folder/b.txt",
        "folder/deeper",
        "folder/deeper/c.txt",
        "folder2/d",
    }
    last = {row.path: row.last_commit for row in nobody.list_repo_tree(name, expand=True)}
    assert last["a.txt"].oid == first
    assert last["folder"].oid == second
    assert last["folder"].title == "Change b"


def test_some_paths_are_told_about_and_those_that_are_missing_left_out(nobody, nested):
    name, first, second = nested
    asked = ["folder/b.txt", "folder", "nothing"]
    for revision, size in ((first, 1), (second, 2)):
        found = nobody.get_paths_info(name, asked, revision=revision, expand=True)
        assert [one.path for one in found] == asked[:2]
        assert found[0].size == size
        assert found[0].last_commit.oid == revision


def test_commits_are_listed_from_the_newest_with_their_message(nobody, nested):
    name, first, second = nested
    found = nobody.list_repo_commits(name)
    assert [one.commit_id for one in found[:2]] == [second, first]
    assert (found[1].title, found[1].message, found[1].authors) == ("All", "and more", ["learner"])
    assert nobody.list_repo_commits(name, revision=first)[0].commit_id == first


def test_branches_and_tags_are_names_of_commits(api, nested):
    name, first, second = nested
    api.create_branch(name, branch="try/this", revision=first)
    api.create_tag(name, tag="v1", revision=first)
    refs = api.list_repo_refs(name)
    assert {one.name: one.target_commit for one in refs.branches} == {
        "main": second,
        "try/this": first,
    }
    assert [(one.name, one.target_commit) for one in refs.tags] == [("v1", first)]
    for revision in ("try/this", "v1", "refs/heads/try/this", first):
        info = api.model_info(name, revision=revision, files_metadata=True)
        assert info.sha == first
        assert {file.rfilename: file.size for file in info.siblings}["folder/b.txt"] == 1
    for make in (api.create_branch, api.create_tag):
        keyword = "branch" if make == api.create_branch else "tag"
        taken = "try/this" if keyword == "branch" else "v1"
        make(name, **{keyword: taken}, exist_ok=True)
        with pytest.raises(HfHubHTTPError) as refused:
            make(name, **{keyword: taken})
        assert refused.value.response.status_code == 409
    api.delete_branch(name, branch="try/this")
    api.delete_tag(name, tag="v1")
    with pytest.raises(RevisionNotFoundError):
        api.model_info(name, revision="v1")
    with pytest.raises(HfHubHTTPError):
        api.delete_branch(name, branch="main")
    assert api.model_info(name).sha == second


@pytest.mark.parametrize(
    "branch", ["a..b", "a.lock", "-a", "a b", "main/under", "a/.b", "ä", "a@{b"]
)
def test_a_name_that_git_could_not_hold_is_refused(api, repo, branch: str):
    before = api.list_repo_refs(repo)
    with pytest.raises(HfHubHTTPError) as refused:
        api.create_branch(repo, branch=branch)
    assert refused.value.response.status_code in (400, 409)
    assert api.list_repo_refs(repo) == before


# ---- download


@pytest.mark.parametrize("path", ["config.json", "model.safetensors"], ids=["git", "LFS"])
class TestAFile:
    """Of git or of LFS: both are resolved alike."""

    def test_comes_with_what_a_client_keeps_it_by(self, http, nobody, path):
        data = (DETECTOR / path).read_bytes()
        whole = http.get(f"/{MODEL}/resolve/main/{path}")
        assert whole.content == data
        assert whole.headers["x-repo-commit"] == nobody.model_info(MODEL).sha
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        assert whole.headers["etag"] in (f'"{blob}"', f'"{sha256(data)}"')
        if path == "model.safetensors":
            assert whole.headers["etag"] == whole.headers["x-linked-etag"] == f'"{sha256(data)}"'
            assert whole.headers["x-linked-size"] == str(len(data))

    def test_has_a_head(self, http, nobody, hub, path):
        head = http.head(f"/{MODEL}/resolve/main/{path}")
        assert head.status_code == 200
        assert head.content == b""
        assert int(head.headers["content-length"]) == (DETECTOR / path).stat().st_size
        told = metadata(f"{hub.address}/{MODEL}/resolve/main/{path}", token=False)
        assert told.size == (DETECTOR / path).stat().st_size
        assert told.commit_hash == nobody.model_info(MODEL).sha

    @pytest.mark.parametrize(
        ("asked", "part"),
        [
            ("bytes=0-0", slice(0, 1)),
            ("bytes=0-9", slice(0, 10)),
            ("bytes=100-199", slice(100, 200)),
            ("bytes=-7", slice(-7, None)),
            ("bytes=3000-", slice(3_000, None)),
            ("bytes=10-99999999", slice(10, None)),
            ("bytes=-99999999", slice(0, None)),
        ],
    )
    def test_comes_in_parts(self, http, path, asked: str, part: slice):
        data = (DETECTOR / path).read_bytes()
        came = http.get(f"/{MODEL}/resolve/main/{path}", headers={"range": asked})
        assert came.status_code == 206
        assert came.content == data[part]
        begin, end, _ = part.indices(len(data))
        assert came.headers["content-range"] == f"bytes {begin}-{end - 1}/{len(data)}"

    @pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=99999999-100000000", "bytes=-0"])
    def test_has_no_part_behind_its_end(self, http, path, asked: str):
        came = http.get(f"/{MODEL}/resolve/main/{path}", headers={"range": asked})
        refusal(came, 416)
        size = (DETECTOR / path).stat().st_size
        assert came.headers["content-range"] == f"bytes */{size}"

    @pytest.mark.parametrize(
        "asked", ["bytes=9-3", "bytes=a-b", "bytes=-", "lines=1-2", "bytes", ""]
    )
    def test_comes_whole_where_the_part_cannot_be_read(self, http, path, asked: str):
        # https://www.rfc-editor.org/rfc/rfc9110#section-14.2: such a header is as good as none
        came = http.get(f"/{MODEL}/resolve/main/{path}", headers={"range": asked})
        assert came.status_code == 200
        assert came.content == (DETECTOR / path).read_bytes()

    def test_does_not_come_again_to_who_has_it(self, http, path):
        address = f"/{MODEL}/resolve/main/{path}"
        mark = http.head(address).headers["etag"]
        for known in (mark, f"W/{mark}", f'"other", {mark}', "*"):
            came = http.get(address, headers={"if-none-match": known})
            assert came.status_code == 304, known
            assert came.content == b""
            assert came.headers["etag"] == mark
        assert http.get(address, headers={"if-none-match": '"other"'}).status_code == 200

    def test_comes_whole_where_the_part_was_begun_of_another(self, http, path):
        address = f"/{MODEL}/resolve/main/{path}"
        mark = http.head(address).headers["etag"]
        for known, code in ((mark, 206), ('"other"', 200)):
            came = http.get(address, headers={"range": "bytes=5-9", "if-range": known})
            assert came.status_code == code


def test_a_download_that_was_cut_goes_on_where_it_was(nobody, tmp_path):
    whole = content(nobody, MODEL, "model.safetensors", tmp_path / "a")
    found = nobody.model_info(MODEL, files_metadata=True).siblings
    mark = next(file.lfs.sha256 for file in found if file.lfs)
    part = tmp_path / "b" / "models--toytown--detector" / "blobs" / f"{mark}.incomplete"
    part.parent.mkdir(parents=True)
    part.write_bytes(whole[:1_000_000])
    assert content(nobody, MODEL, "model.safetensors", tmp_path / "b") == whole


def test_a_snapshot_is_the_whole_repository(nobody, tmp_path):
    found = Path(nobody.snapshot_download(MODEL, cache_dir=tmp_path))
    for file in DETECTOR.iterdir():
        assert (found / file.name).read_bytes() == file.read_bytes()
    assert found.name == nobody.model_info(MODEL).sha
    some = nobody.snapshot_download(MODEL, allow_patterns="*.json", cache_dir=tmp_path / "b")
    assert {path.suffix for path in Path(some).iterdir()} == {".json"}


def test_a_pinned_revision_keeps_its_content_whatever_comes_later(api, repo, tmp_path):
    def has(revision, data):
        found = content(api, repo, "a.bin", tmp_path / str(time.monotonic_ns()), revision=revision)
        assert found == data

    first = upload(api, repo, "a.bin", b"old" * 1_000)
    upload(api, repo, "a.bin", b"new")
    has(first.oid, b"old" * 1_000)
    has("main", b"new")
    api.delete_file("a.bin", repo)
    has(first.oid, b"old" * 1_000)
    with pytest.raises(EntryNotFoundError):
        has("main", b"")


def test_names_with_spaces_and_accents_come_as_they_went(api, repo, tmp_path):
    path = "dossier é/file #1 + 100%.txt"
    upload(api, repo, path, b"here")
    assert path in api.list_repo_files(repo)
    assert content(api, repo, path, tmp_path) == b"here"
    assert [one.path for one in api.list_repo_tree(repo, "dossier é")] == [path]


LIBRARIES = """
import json, sys
from datasets import load_dataset
from transformers import AutoConfig, AutoModelForObjectDetection
model = AutoModelForObjectDetection.from_pretrained("toytown/detector")
pinned = AutoConfig.from_pretrained("toytown/detector", revision=sys.argv[1])
data = load_dataset("toytown/messages")
scenes = load_dataset("toytown/scenes", split="test", streaming=True)
row = next(iter(scenes))
sounds = next(iter(load_dataset("toytown/sounds", split="test", streaming=True)))
print(json.dumps({
    "parameters": sum(p.numel() for p in model.parameters()),
    "pinned": pinned.model_type,
    "rows": {name: len(part) for name, part in data.items()},
    "size": row["image"].size, "caption": row["caption"],
    "sound": len(sounds["audio"]["bytes"]),
}))
"""


def test_transformers_and_datasets_load_from_it_and_touch_no_other_cache(hub, api, tmp_path):
    home, cache = tmp_path / "home", tmp_path / "cache"
    home.mkdir()
    ours = {"HOME": str(home), "HF_HOME": str(cache), "HF_ENDPOINT": hub.address}
    ran = subprocess.run(
        [sys.executable, "-c", LIBRARIES, api.model_info(MODEL).sha],
        env=os.environ | ours | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-2_000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["parameters"] > 2_000_000
    assert found["pinned"] == "detr"
    assert found["rows"] == {"train": 128, "test": 40}
    assert found["size"] == [512, 512]
    assert found["caption"]
    assert found["sound"] > 1_000
    assert (cache / "hub" / "models--toytown--detector").is_dir()
    assert not (home / ".cache" / "huggingface").exists()


# ---- create, commit, remove


def test_a_repository_is_created_once(api, nobody, guest, hub):
    made = api.create_repo("learner/once")
    assert str(made) == f"{hub.address}/learner/once"
    assert nobody.list_repo_files("learner/once") == [".gitattributes"]
    api.create_repo("learner/once", exist_ok=True)
    for name in ("learner/once", "learner/Once", "once"):
        with pytest.raises(HfHubHTTPError) as refused:
            api.create_repo(name)
        assert refused.value.response.status_code == 409
    api.create_repo("learner/once", repo_type="dataset")  # of another kind: another repository
    api.delete_repo("learner/once", repo_type="dataset")
    for who, name in ((guest, "once"), (api, "toytown/once"), (guest, "learner/twice")):
        with pytest.raises(HfHubHTTPError) as refused:
            who.create_repo(name)
        assert refused.value.response.status_code == 403
    with pytest.raises(HfHubHTTPError) as refused:
        nobody.create_repo("learner/twice")
    assert refused.value.response.status_code == 401
    with pytest.raises(HfHubHTTPError):
        guest.delete_repo("learner/once")
    with pytest.raises(HfHubHTTPError):
        api.delete_repo(MODEL)
    api.delete_repo("learner/once")
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("learner/once")
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("learner/once")


@pytest.mark.parametrize(
    "name", ["..", "a--b", "-a", ".a", "a.git", "a b", "a" * 97, "é", "a/b", ""]
)
def test_a_name_that_the_hub_would_not_take_is_refused(http, own, name: str):
    refusal(http.post("/api/repos/create", json={"name": name}, headers=own), 400)


def test_files_are_committed_one_by_one_or_a_folder_at_once(api, repo, tmp_path):
    done = upload(api, repo, "a.txt", b"one", commit_message="The first")
    assert done.commit_message == "The first"
    assert api.list_repo_commits(repo)[0].commit_id == done.oid
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "b.txt").write_text("two")
    (source / "weights.bin").write_bytes(os.urandom(100_000))
    (source / "notes.tmp").write_text("not this")
    api.upload_folder(repo_id=repo, folder_path=source, ignore_patterns="*.tmp")
    assert set(api.list_repo_files(repo)) == {
        ".gitattributes",
        "a.txt",
        "sub/b.txt",
        "weights.bin",
    }
    found = {row.path: row for row in api.list_repo_tree(repo, recursive=True)}
    assert found["weights.bin"].lfs.sha256 == sha256((source / "weights.bin").read_bytes())
    assert found["a.txt"].lfs is None
    got = content(api, repo, "weights.bin", tmp_path / "cache")
    assert got == (source / "weights.bin").read_bytes()


def test_a_large_file_goes_through_lfs_whatever_its_name(api, repo, tmp_path, folder):
    data = os.urandom(1_000) * 10_500
    upload(api, repo, "large.txt", data)
    assert (folder / "lfs" / sha256(data)).stat().st_size == len(data)
    assert content(api, repo, "large.txt", tmp_path) == data


def test_files_and_folders_are_deleted_and_what_is_not_there_is_said(api, repo):
    for path in ("a.txt", "f/b.txt", "f/g/c.txt", "f2/d.txt"):
        upload(api, repo, path, b"x")
    api.delete_file("a.txt", repo)
    api.delete_folder("f", repo)
    assert api.list_repo_files(repo) == [".gitattributes", "f2/d.txt"]
    before = api.model_info(repo).sha
    for path, is_folder in (("a.txt", False), ("f/", True)):
        with pytest.raises(EntryNotFoundError):
            api.create_commit(
                repo, [CommitOperationDelete(path, is_folder=is_folder)], commit_message="No"
            )
    assert api.model_info(repo).sha == before


def test_a_file_is_copied_on_the_hub(api, repo, tmp_path):
    upload(api, repo, "a.bin", b"weights")
    upload(api, repo, "a.txt", b"words")
    copies = [CommitOperationCopy("a.bin", "b.bin"), CommitOperationCopy("a.txt", "sub/b.txt")]
    api.create_commit(repo, copies, commit_message="Copy")
    assert content(api, repo, "b.bin", tmp_path) == b"weights"
    assert content(api, repo, "sub/b.txt", tmp_path) == b"words"


def test_a_commit_on_what_somebody_else_has_changed_is_refused_and_changes_nothing(api, repo):
    stale = api.model_info(repo).sha
    latest = upload(api, repo, "a.txt", b"theirs").oid
    with pytest.raises(HfHubHTTPError) as refused:
        upload(api, repo, "a.txt", b"mine", parent_commit=stale)
    assert refused.value.response.status_code == 412
    assert api.model_info(repo).sha == latest
    done = upload(api, repo, "a.txt", b"mine", parent_commit=latest)
    assert [one.commit_id for one in api.list_repo_commits(repo)[:2]] == [done.oid, latest]


def test_a_commit_goes_to_the_branch_that_it_names(api, repo, tmp_path):
    with pytest.raises(RevisionNotFoundError):
        upload(api, repo, "a.txt", b"x", revision="dev")
    api.create_branch(repo, branch="dev")
    upload(api, repo, "a.txt", b"of dev", revision="dev")
    assert "a.txt" not in api.list_repo_files(repo)
    assert content(api, repo, "a.txt", tmp_path, revision="dev") == b"of dev"
    api.create_tag(repo, tag="v1", revision="dev")
    with pytest.raises(RevisionNotFoundError):
        upload(api, repo, "a.txt", b"x", revision="v1")  # a tag stays what it is


def test_a_pull_request_is_not_taken_for_a_commit(api, repo):
    before = api.model_info(repo).sha
    with pytest.raises(HfHubHTTPError, match="pull request"):
        upload(api, repo, "a.txt", b"x", create_pr=True)
    assert api.model_info(repo).sha == before


def test_others_may_read_and_not_write(api, guest, nobody, repo, tmp_path):
    upload(api, repo, "a.txt", b"x")
    for who, code in ((guest, 403), (nobody, 401)):
        assert content(who, repo, "a.txt", tmp_path / str(code)) == b"x"
        for attempt in (
            lambda who=who: upload(who, repo, "a.txt", b"y"),
            lambda who=who: upload(who, repo, "a.bin", b"y" * 100),
            lambda who=who: who.create_branch(repo, branch="mine"),
            lambda who=who: who.create_tag(repo, tag="mine"),
            lambda who=who: who.update_repo_settings(repo, private=True),
            lambda who=who: who.delete_file("a.txt", repo),
        ):
            with pytest.raises(HfHubHTTPError) as refused:
                attempt()
            assert refused.value.response.status_code == code
    assert api.list_repo_files(repo) == [".gitattributes", "a.txt"]
    assert len(api.list_repo_commits(repo)) == 2


def test_the_names_of_deleted_repositories_are_free_again(api, nobody, tmp_path):
    api.create_repo("learner/again", private=True)
    upload(api, "learner/again", "a.txt", b"first")
    api.delete_repo("learner/again")
    api.create_repo("learner/again")
    assert nobody.list_repo_files("learner/again") == [".gitattributes"]
    with pytest.raises(EntryNotFoundError):
        content(nobody, "learner/again", "a.txt", tmp_path)
    api.delete_repo("learner/again")


# ---- private


@pytest.fixture
def hidden(api):
    """A private model with a file of git, and one of LFS: its name and the sha256."""
    data = os.urandom(5_000)
    api.create_repo("learner/hidden", private=True)
    upload(api, "learner/hidden", "a.txt", b"secret")
    upload(api, "learner/hidden", "w.bin", data)
    yield "learner/hidden", sha256(data), len(data)
    api.delete_repo("learner/hidden")


def test_a_private_repository_is_there_for_its_owner_alone(api, guest, nobody, hidden, tmp_path):
    name, _, _ = hidden
    assert api.model_info(name).private
    assert name in ids(api.list_models(author="learner"))
    assert content(api, name, "a.txt", tmp_path) == b"secret"
    for who in (guest, nobody):
        assert name not in ids(who.list_models())
        for attempt in (
            lambda who=who: who.model_info(name),
            lambda who=who: who.list_repo_files(name),
            lambda who=who: who.list_repo_commits(name),
            lambda who=who: who.list_repo_refs(name),
            lambda who=who: who.get_paths_info(name, ["a.txt"]),
            lambda who=who: who.hf_hub_download(name, "a.txt", cache_dir=tmp_path / "b"),
            lambda who=who: who.hf_hub_download(name, "w.bin", cache_dir=tmp_path / "b"),
            lambda who=who: upload(who, name, "a.txt", b"y"),
            lambda who=who: who.delete_repo(name),
        ):
            with pytest.raises(RepositoryNotFoundError):
                attempt()
    api.update_repo_settings(name, private=False)
    assert content(nobody, name, "a.txt", tmp_path / "c") == b"secret"
    api.update_repo_settings(name, private=True)
    with pytest.raises(RepositoryNotFoundError):
        nobody.model_info(name)


def test_a_private_one_looks_to_others_like_one_that_is_not_there(http, hub, hidden):
    for token, code in ((None, 401), (hub.guest, 404)):
        headers = {"authorization": f"Bearer {token}"} if token else {}
        said = []
        for name in ("learner/hidden", "learner/hiddem"):
            for path in (f"/api/models/{name}", f"/{name}/resolve/main/a.txt"):
                answer = http.get(path, headers=headers)
                assert refusal(answer, code)
                said.append(answer.text.replace("hiddem", "hidden"))
        assert len(set(said)) == 1


def test_a_setting_of_another_kind_does_not_make_it_public(api, nobody, hidden):
    name, _, _ = hidden
    with pytest.raises(BadRequestError, match="no other setting"):
        api.update_repo_settings(name, gated="auto")
    assert api.model_info(name).private
    with pytest.raises(RepositoryNotFoundError):
        nobody.model_info(name)


def test_a_private_file_cannot_be_had_by_its_sha256(http, hub, hidden):
    _, secret, size = hidden
    weights = (DETECTOR / "model.safetensors").read_bytes()
    public = {"oid": sha256(weights), "size": len(weights)}
    asked = {"operation": "download", "objects": [{"oid": secret, "size": size}, public]}
    guest = {"authorization": f"Bearer {hub.guest}"} | LFS_JSON
    for headers in (LFS_JSON, guest):
        batch = http.post(f"/{MODEL}.git/info/lfs/objects/batch", json=asked, headers=headers)
        mine, other = batch.json()["objects"]
        assert "actions" not in mine
        assert mine["error"]["code"] == 404
        address = other["actions"]["download"]["href"]
        assert http.get(address).content == weights
        refusal(http.get(address.replace(public["oid"], secret)), 403)  # the key is for one file
        refusal(http.get(f"/lfs/{secret}"), 403)
        path = "/learner/hidden.git/info/lfs/objects/batch"
        refusal(http.post(path, json=asked, headers=headers), 404 if headers is guest else 401)


def test_a_private_repository_is_not_cloned_without_its_token(hub, hidden, tmp_path):
    for token in ("", hub.guest):
        helper = f"!f() {{ echo username=x; echo password={token}; }}; f"
        command = ["git", "-c", "credential.helper=", "-c", f"credential.helper={helper}"]
        ran = subprocess.run(
            [*command, "clone", f"{hub.address}/learner/hidden", tmp_path / "clone"],
            env=os.environ | {"GIT_TERMINAL_PROMPT": "0", "HOME": str(tmp_path)},
            capture_output=True,
        )
        assert ran.returncode
        assert not (tmp_path / "clone").exists()


# ---- cards


def test_metadata_is_checked_as_the_hub_checks_it(monkeypatch, hub):
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    ModelCard("---\nlicense: apache-2.0\ndate: 2026-01-01\n---\n# Good").validate()
    DatasetCard("---\nlicense: mit\ntask_categories: [translation]\n---\n").validate()
    SpaceCard(SPACE_CARD.format("blue")).validate()
    for card, field in (
        (ModelCard("---\nlicense: my-own\n---\n"), "license"),
        (ModelCard("---\nlicense: mit\npipeline_tag: [a, b]\n---\n"), "pipeline_tag"),
        (DatasetCard("---\npretty_name: [a]\n---\n"), "pretty_name"),
        (SpaceCard(SPACE_CARD.format("beautiful")), "colorFrom"),
        (SpaceCard("---\ntitle: A\n---\n"), "sdk"),
    ):
        with pytest.raises(ValueError, match=field):
            card.validate()


def test_a_card_that_is_wrong_is_not_committed(api, repo):
    before = api.model_info(repo).sha
    with pytest.raises((ValueError, BadRequestError), match="license"):
        upload(api, repo, "README.md", b"---\nlicense: my-own\n---\n")
    assert api.model_info(repo).sha == before
    upload(api, repo, "README.md", b"---\nlicense: mit\nlanguage: oc\n---\n# Good")
    assert repo in ids(api.list_models(filter=["license:mit", "oc"]))


def test_a_card_of_a_space_with_a_colour_that_is_none_is_refused_with_its_field(api, http, own):
    api.create_repo("learner/colour", repo_type="space", space_sdk="gradio")
    try:
        with pytest.raises(ValueError, match="colorFrom"):
            upload(
                api,
                "learner/colour",
                "README.md",
                SPACE_CARD.format("beautiful").encode(),
                repo_type="space",
            )
        # The client asks first; who does not ask is refused by the commit.
        card = SPACE_CARD.format("beautiful")
        line = {"key": "file", "value": {"path": "README.md", "content": card}}
        path = "/api/spaces/learner/colour/commit/main"
        sent = http.post(path, content=json.dumps(line), headers=own)
        assert "colorFrom" in refusal(sent, 400)
    finally:
        api.delete_repo("learner/colour", repo_type="space")


def test_a_card_may_be_made_by_the_clients_own_cards(api, repo, monkeypatch, hub):
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    card = ModelCard("---\nlicense: mit\ntags: [mine]\n---\n# Mine")
    api.upload_file(
        path_or_fileobj=io.BytesIO(str(card).encode()), path_in_repo="README.md", repo_id=repo
    )
    info = api.model_info(repo)
    assert info.card_data.to_dict() == {"license": "mit", "tags": ["mine"]}
    assert "mine" in info.tags


# ---- large files on their way


def address(http: httpx.Client, own: dict, repo: str, data: bytes) -> str:
    """Where a large file may be sent."""
    asked = {"operation": "upload", "objects": [{"oid": sha256(data), "size": len(data)}]}
    path = f"/{repo}.git/info/lfs/objects/batch"
    answer = http.post(path, json=asked, headers=own | LFS_JSON)
    return answer.json()["objects"][0]["actions"]["upload"]["href"]


@pytest.mark.parametrize("sent", [b"b" * 1_000, b"a" * 999, b"a" * 1_001, b""])
def test_a_file_that_is_not_what_was_said_is_refused_and_nothing_stays(
    http, own, repo, folder, sent: bytes
):
    good, before = b"a" * 1_000, set((folder / "lfs").iterdir())
    where = address(http, own, repo, good)
    said = httpx.put(where, content=sent)
    assert said.status_code in (413, 422)
    assert said.json()["error"]
    assert set((folder / "lfs").iterdir()) == before
    line = {"key": "lfsFile", "value": {"path": "a.bin", "oid": sha256(good), "size": 1_000}}
    commit = f"/api/models/{repo}/commit/main"
    assert "a.bin" in refusal(http.post(commit, content=json.dumps(line), headers=own), 400)
    refusal(httpx.put(where.replace("key=", "key=x"), content=good), 403)
    refusal(httpx.put(where.replace(sha256(good), "0" * 64), content=good), 403)
    assert httpx.put(where, content=good).status_code == 200, "and the right one may come yet"
    (folder / "lfs" / sha256(good)).unlink()


def test_a_large_file_of_an_older_commit_is_given_to_git_lfs_too(api, http, repo):
    old, new = os.urandom(1_000), os.urandom(2_000)
    upload(api, repo, "w.bin", old)
    upload(api, repo, "w.bin", new)
    objects = [{"oid": sha256(data), "size": len(data)} for data in (old, new)]
    asked = {"operation": "download", "objects": objects}
    answer = http.post(f"/{repo}.git/info/lfs/objects/batch", json=asked, headers=LFS_JSON)
    for row, data in zip(answer.json()["objects"], (old, new), strict=True):
        assert http.get(row["actions"]["download"]["href"]).content == data


def half(where: str, data: bytes) -> socket.socket:
    """A connection on which the first half of a file has gone."""
    url = httpx.URL(where)
    connection = socket.create_connection((url.host, url.port))
    head = f"PUT {url.raw_path.decode()} HTTP/1.1\r\nHost: {url.host}:{url.port}\r\n"
    connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode())
    connection.sendall(data[: len(data) // 2])
    return connection


def until(true, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


def test_an_upload_that_breaks_off_leaves_nothing_and_the_old_version_is_served(
    api, http, own, repo, folder, tmp_path
):
    upload(api, repo, "w.bin", b"old" * 1_000)
    before, data = set((folder / "lfs").iterdir()), os.urandom(1_000_000)
    connection = half(address(http, own, repo, data), data)
    until(lambda: set((folder / "lfs").iterdir()) > before)
    connection.close()
    until(lambda: set((folder / "lfs").iterdir()) == before)
    assert content(api, repo, "w.bin", tmp_path) == b"old" * 1_000
    upload(api, repo, "w.bin", data)
    assert content(api, repo, "w.bin", tmp_path) == data


def test_what_is_kept_in_a_folder_outlives_the_server_even_when_it_is_killed(tmp_path):
    folder, data = tmp_path / "kept", os.urandom(50_000)
    first = local.start("hub", "--folder", str(folder))
    api = HfApi(endpoint=first.address, token=first.key)
    api.create_repo("learner/kept", private=True)
    old = upload(api, "learner/kept", "w.bin", data)
    new = upload(api, "learner/kept", "w.bin", b"new")
    api.create_tag("learner/kept", tag="v1", revision=old.oid)
    with httpx.Client(base_url=first.address) as http:
        own = {"authorization": f"Bearer {first.key}"}
        connection = half(address(http, own, "learner/kept", b"x" * 1_000_000), b"x" * 1_000_000)
    until(lambda: list((folder / "lfs").glob("*.part")))
    shelf = {one.id: one.sha for one in api.list_models(full=True)}
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    connection.close()
    with local.start("hub", "--folder", str(folder)) as second:
        api = HfApi(endpoint=second.address, token=second.key)
        info = api.model_info("learner/kept")
        assert (info.private, info.sha) == (True, new.oid)
        assert content(api, "learner/kept", "w.bin", tmp_path / "cache") == b"new"
        assert content(api, "learner/kept", "w.bin", tmp_path / "cache", revision="v1") == data
        assert {one.id: one.sha for one in api.list_models(full=True)} == shelf
        with pytest.raises(RepositoryNotFoundError):
            HfApi(endpoint=second.address, token=second.guest).model_info("learner/kept")
        with pytest.raises(HfHubHTTPError, match="Invalid credentials"):
            HfApi(endpoint=second.address, token=first.key).model_info("learner/kept")
        assert not list((folder / "lfs").glob("*.part"))


def test_without_a_folder_nothing_stays(tmp_path):
    """Two Hubs beside each other do not meet, and each removes what it made."""
    with_tmp = os.environ | {"TMPDIR": str(tmp_path)}
    code = (
        "from services import local; s = local.start('hub'); import os;"
        "print(len([n for n in os.listdir(os.environ['TMPDIR']) if n.startswith('course-')]));"
        "s.stop(); print(os.listdir(os.environ['TMPDIR']))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=local.NOTEBOOKS,
        env=with_tmp,
        capture_output=True,
        text=True,
        check=True,
    )
    there, left = ran.stdout.splitlines()
    assert int(there) == 2
    assert left == "[]"


def test_who_write_at_once_all_come_in(api, repo):
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: upload(api, repo, f"{n}.txt", b"x"), range(12)))
    assert len(api.list_repo_files(repo)) == 13
    assert len({one.title for one in api.list_repo_commits(repo)}) == 13


def test_models_that_are_gated_are_found_by_it_or_left_out(nobody):
    only = {model.id for model in nobody.list_models(gated=True)}
    others = {model.id for model in nobody.list_models(gated=False)}
    assert "meta-llama/Llama-2-7b-hf" in only - others
    assert MODEL in others - only
