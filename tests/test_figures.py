"""What a notebook takes is typed once, in catalog.toml, and measured by a run of the course."""

import shutil
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import tomlkit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".ci"))
import figures

CATALOG = tomllib.loads((ROOT / figures.CATALOG).read_text(encoding="utf-8"))
RUN = {
    "date": "2026-12-07",
    "machine": "Linux x86_64, 2 cores, Python 3.11.14",
    "jobs": 1,
    "notebooks": {
        "2.2. Embeddings": {"seconds": 31, "megabytes": 940, "tier": "micro", "ok": True}
    },
}


@pytest.fixture
def copy(tmp_path):
    """A folder with the course's README, catalog and notebooks, before any table `measured`."""
    (tmp_path / "notebooks/helpers").mkdir(parents=True)
    catalog = tomlkit.parse((ROOT / figures.CATALOG).read_text(encoding="utf-8"))
    catalog.pop("measured", None)
    catalog["notebooks"]["2.2. Embeddings"].update(seconds=18.25, megabytes=1557)
    (tmp_path / figures.CATALOG).write_text(tomlkit.dumps(catalog), encoding="utf-8")
    shutil.copy(ROOT / "README.md", tmp_path)
    (tmp_path / "assets/recipes").mkdir(parents=True)
    for path in [*(ROOT / "notebooks").glob("*.ipynb"), ROOT / "assets/recipes/Build_an_LLM.ipynb"]:
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    return tmp_path


def test_readme_and_notebooks_say_what_the_catalog_says(copy):
    for path, page in figures.pages(copy, CATALOG).items():
        if path.suffix == ".ipynb":
            now = nbformat.read(path, as_version=4).cells[0].source
            assert now == page.cells[0].source, f"{path.name}: run .ci/figures.py"
        else:
            assert path.read_text(encoding="utf-8") == page, "README.md: run .ci/figures.py"


def test_a_measurement_reaches_catalog_notebook_and_readme_and_keeps_comments(copy):
    before = (copy / figures.CATALOG).read_text(encoding="utf-8")
    after = figures.measured(copy, RUN)
    changed = set(after.splitlines()) ^ set(before.splitlines())
    where = {"[measured]", 'date = "2026-12-07"', f'machine = "{RUN["machine"]}"'}
    assert changed >= {"seconds = 31", "megabytes = 940"} | where
    assert len(changed) == 4 + len(where), "nothing else was touched"
    pages = figures.pages(copy, tomlkit.parse(after).unwrap())
    first = pages[copy / "notebooks/2.2. Embeddings.ipynb"].cells[0].source
    line = "*75 minutes with the exercises, about 30 seconds to run · 940 MB of memory · nothing to"
    assert f"{line} download (91 MB on the small tier) · needs no account" in first
    readme = pages[copy / "README.md"]
    assert " | 31 s | 940 MB | 91 MB |" in readme
    assert (
        "(the latest measurement on Linux x86_64, 2 cores, Python 3.11.14, 2026-12-07) without"
        in readme
    )


@pytest.mark.parametrize(
    ("of_the_old", "taken"), [(0.81, False), (1.19, False), (0.79, True), (1.21, True)]
)
def test_a_figure_stays_unless_the_new_one_differs_by_more_than_a_fifth(copy, of_the_old, taken):
    catalog = tomllib.loads((copy / figures.CATALOG).read_text("utf-8"))
    old = catalog["notebooks"]["2.2. Embeddings"]
    figures_now = RUN["notebooks"]["2.2. Embeddings"] | {
        "seconds": old["seconds"] * of_the_old,
        "megabytes": old["megabytes"],
    }
    run = RUN | {"notebooks": {"2.2. Embeddings": figures_now}}
    before = (copy / figures.CATALOG).read_text(encoding="utf-8")
    after = figures.measured(copy, run)
    assert (after != before) == taken == ("measured" in tomlkit.parse(after))
    row = tomlkit.parse(after)["notebooks"]["2.2. Embeddings"]
    assert (row["seconds"] == figures_now["seconds"]) == taken
    assert row["megabytes"] == old["megabytes"]


def test_the_first_figure_of_a_notebook_is_taken(copy):
    text = (copy / figures.CATALOG).read_text(encoding="utf-8")
    catalog = tomlkit.parse(text)
    del catalog["notebooks"]["2.2. Embeddings"]["seconds"]
    (copy / figures.CATALOG).write_text(tomlkit.dumps(catalog), encoding="utf-8")
    row = tomlkit.parse(figures.measured(copy, RUN))["notebooks"]["2.2. Embeddings"]
    assert row["seconds"] == 31


def test_a_second_measurement_takes_the_place_of_the_first(copy):
    for machine in ("Linux x86_64, 2 cores", "Darwin arm64, 8 cores"):
        catalog = CATALOG | {"measured": {"date": "2026-12-07", "machine": machine}}
        readme = figures.pages(copy, catalog)[copy / "README.md"]
        assert (
            readme.count(
                f"cores (the latest measurement on {machine}, 2026-12-07) without a GPU, on"
            )
            == 1
        )
        (copy / "README.md").write_text(readme, encoding="utf-8")


@pytest.mark.parametrize("lost", [("minutes",), ("minutes", "seconds", "megabytes")])
def test_what_the_catalog_lacks_is_one_sentence(copy, monkeypatch, capsys, lost):
    catalog = tomlkit.parse((copy / figures.CATALOG).read_text(encoding="utf-8"))
    for kind in lost:
        del catalog["notebooks"]["2.2. Embeddings"][kind]
    (copy / figures.CATALOG).write_text(tomlkit.dumps(catalog), encoding="utf-8")
    monkeypatch.setattr(figures, "ROOT", copy)
    monkeypatch.setattr(sys, "argv", ["figures.py"])
    with pytest.raises(SystemExit) as ended:
        figures.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"2.2. Embeddings.ipynb: its row in the table `notebooks` of {figures.CATALOG}" in said
    assert f"lacks {', '.join(sorted(lost))};" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ok": False}, "nothing is taken"),
        ({"tier": "small"}, "nothing is taken"),
    ],
)
def test_what_is_no_measurement_of_a_notebook_is_refused(copy, change, said):
    figure = RUN["notebooks"]["2.2. Embeddings"] | change
    with pytest.raises(ValueError, match=said):
        figures.measured(copy, RUN | {"notebooks": {"2.2. Embeddings": figure}})


def test_notebooks_that_shared_the_cores_are_not_taken(copy):
    with pytest.raises(ValueError, match="with --jobs 1"):
        figures.measured(copy, RUN | {"jobs": 2})


def test_the_download_counts_every_checkpoint_that_a_page_loads():
    notebook = nbformat.read(ROOT / "notebooks/2.6. Object_Detection.ipynb", as_version=4)
    assert set(figures.roles(notebook, CATALOG)) == {
        "detector",  # named by setup()
        "segmenter",  # by checkpoint(), further down
        "captioner",
        "speaker",
    }
    notebook = nbformat.read(ROOT / "notebooks/2. Open_Source_Models.ipynb", as_version=4)
    assert "embedder" in figures.roles(notebook, CATALOG), "it names MiniLM by the Hub's id"


def test_half_precision_weights_take_two_bytes_each():
    assert figures.weights({"parameters": 10, "format": "safetensors, bfloat16"}) == 20
    assert figures.weights({"parameters": 10, "format": "pytorch .bin"}) == 40
    assert figures.weights({}) == 0
