"""The pipeline guard: every pipeline task and every name taken from transformers exists there.

transformers 5 removed pipelines that most courses still call. Each breach names what to use now.
"""

import ast
import difflib
import functools
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import transformers
from lint import python_of
from transformers.pipelines import PIPELINE_REGISTRY

TRANSLATE = "AutoTokenizer + M2M100ForConditionalGeneration, generate(forced_bos_token_id=…)"
SUMMARIZE = "AutoTokenizer + BartForConditionalGeneration, generate()"
CHAT = "AutoTokenizer + BlenderbotForConditionalGeneration, generate(); or 'text-generation'"
CAPTION = "BlipProcessor + BlipForConditionalGeneration, generate(); or 'image-text-to-text'"
VISUAL_ANSWER = "BlipProcessor + BlipForQuestionAnswering, generate(); or 'image-text-to-text'"
SEQUENCE = "AutoTokenizer + AutoModelForSeq2SeqLM, generate()"
ANSWER = "AutoTokenizer + AutoModelForQuestionAnswering; or 'document-question-answering'"
IMAGE = "AutoImageProcessor + the model's class, such as Swin2SRForImageSuperResolution"

TASKS = {
    "conversational": CHAT,
    "translation": TRANSLATE,
    "summarization": SUMMARIZE,
    "text2text-generation": SEQUENCE,
    "question-answering": ANSWER,
    "image-to-text": CAPTION,
    "visual-question-answering": VISUAL_ANSWER,
    "vqa": VISUAL_ANSWER,
    "image-to-image": IMAGE,
}
NAMES = {
    "Conversation": CHAT,
    "ConversationalPipeline": CHAT,
    "TranslationPipeline": TRANSLATE,
    "SummarizationPipeline": SUMMARIZE,
    "Text2TextGenerationPipeline": SEQUENCE,
    "QuestionAnsweringPipeline": ANSWER,
    "ImageToTextPipeline": CAPTION,
    "VisualQuestionAnsweringPipeline": VISUAL_ANSWER,
    "ImageToImagePipeline": IMAGE,
    "AdamW": "torch.optim.AdamW",
    "AutoModelForVision2Seq": "AutoModelForImageTextToText",
    "AutoModelWithLMHead": "AutoModelForCausalLM or AutoModelForSeq2SeqLM",
}


def sources_of(path: Path) -> Iterator[tuple[str, str]]:
    """The Python of a module, or of a notebook's code cells and markdown blocks, with its place."""
    if path.suffix == ".py":
        yield path.name, path.read_text(encoding="utf-8")
        return
    notebook = nbformat.read(path, as_version=4)
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code":
            yield f"{path.name}, cell {number}", python_of(cell)
        elif cell.cell_type == "markdown":
            for block in re.findall(r"```python\n(.*?)```", cell.source, re.DOTALL):
                yield f"{path.name}, cell {number}", block


def missing(source: str) -> Iterator[str]:
    """What a source asks of transformers that the installed version lacks, one sentence each."""
    tree = ast.parse(source)
    modules = {"transformers"}  # the names under which the package is known here
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {a.asname for a in node.names if a.name == "transformers" and a.asname}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "transformers":
            yield from _missing_names(node.module, [alias.name for alias in node.names])
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in modules:
            yield from _missing_names("transformers", [node.attr])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "pipeline":
            given = [*node.args[:1], *(k.value for k in node.keywords if k.arg == "task")]
            for task in given:
                if isinstance(task, ast.Constant) and isinstance(task.value, str):
                    yield from _missing_task(task.value)


def _missing_task(task: str) -> Iterator[str]:
    tasks = PIPELINE_REGISTRY.get_supported_tasks()
    if task not in tasks:
        known = "translation" if task.startswith("translation_") else task
        yield _sentence(f"pipeline({task!r})", TASKS.get(known), task, tasks)


def _missing_names(module: str, names: list[str]) -> Iterator[str]:
    try:
        there = _names(module)
    except ModuleNotFoundError:
        yield _sentence(module, None, module, [])
        return
    for name in names:
        if name != "*" and name not in there and not hasattr(sys.modules[module], name):
            yield _sentence(f"{module}.{name}", NAMES.get(name), name, there)


@functools.cache
def _names(module: str) -> list[str]:
    # transformers lists its names without importing what is behind them, but takes 0.2 s for it.
    return dir(importlib.import_module(module))


def _sentence(what: str, instead: str | None, name: str, known: list[str]) -> str:
    if not instead and re.match(r"(TF|Flax)[A-Z]", name):
        instead = f"the PyTorch class {re.sub('^(TF|Flax)', '', name)}"
    elif not instead and (renamed := name.replace("FeatureExtractor", "ImageProcessor")) in known:
        instead = renamed
    near = [] if instead else difflib.get_close_matches(name, known, n=3)  # slow: 5,000 names
    advice = instead or " or ".join(near) or "what its documentation names"
    return f"{what} is not in transformers {transformers.__version__}: use {advice}"


def all_sources(root: Path) -> list[Path]:
    """Every notebook, recipe, app, helper and service of the course."""
    found = [*(root / "notebooks").rglob("*.ipynb"), *(root / "notebooks").rglob("*.py")]
    found += (root / "assets").rglob("*.py")
    return sorted(path for path in found if ".ipynb_checkpoints" not in path.parts)
