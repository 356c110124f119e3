"""No notebook, recipe, app or helper asks transformers for what the pinned version lacks."""

from pathlib import Path

import pytest
from nbformat import write
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from pipelines import NAMES, TASKS, all_sources, missing, sources_of
from transformers.pipelines import PIPELINE_REGISTRY

ROOT = Path(__file__).resolve().parent.parent


def test_everything_the_course_asks_of_transformers_exists():
    sources = [place for path in all_sources(ROOT) for place in sources_of(path)]
    assert any("transformers" in source for _, source in sources), "nothing was read"
    assert [f"{place}: {what}" for place, source in sources for what in missing(source)] == []


@pytest.mark.parametrize("task", TASKS)
def test_a_removed_pipeline_is_found_and_its_replacement_named(task):
    (what,) = missing(f"from transformers import pipeline\npipe = pipeline({task!r}, model=m)")
    assert what.startswith(f"pipeline({task!r}) is not in transformers 5.")
    assert what.endswith(f"use {TASKS[task]}")


@pytest.mark.parametrize("name", NAMES)
def test_a_removed_class_is_found_and_its_replacement_named(name):
    (what,) = missing(f"from transformers import {name}, AutoModel")
    assert what.startswith(f"transformers.{name} is not in transformers 5.")
    assert what.endswith(f"use {NAMES[name]}")


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        ("pipeline(task='translation_en_to_fr')", "M2M100ForConditionalGeneration"),
        ("transformers.pipeline('object-detecton')", "use object-detection"),
        ("from transformers import DetrFeatureExtractor", "use DetrImageProcessor"),
        ("from transformers import TFAutoModel", "use the PyTorch class AutoModel"),
        ("import transformers as t\nt.AdamW", "use torch.optim.AdamW"),
        ("from transformers.models.detr import DetrModle", "use DetrModel"),
        ("from transformers.models.nothing import X", "transformers.models.nothing is not in"),
    ],
)
def test_other_ways_to_ask_are_found_too(source, advice):
    (what,) = missing(source)
    assert advice in what


def test_the_pipelines_and_classes_of_today_pass():
    tasks = "\n".join(f"pipeline({task!r})" for task in PIPELINE_REGISTRY.get_supported_tasks())
    classes = "from transformers import BlipForQuestionAnswering, ClapModel, DetrImageProcessorPil"
    assert list(missing(f"{classes}\n{tasks}")) == []


def test_cells_and_folded_solutions_are_read(tmp_path):
    block = "<details>\n\n```python\nanswer = pipeline('summarization')\n```\n\n</details>"
    cells = [new_code_cell("%time x = 1\npipeline('vqa')"), new_markdown_cell(block)]
    write(new_notebook(cells=cells), tmp_path / "2. Some.ipynb")
    found = [
        what for _, source in sources_of(tmp_path / "2. Some.ipynb") for what in missing(source)
    ]
    assert [what.partition(" is")[0] for what in found] == [
        "pipeline('vqa')",
        "pipeline('summarization')",
    ]
