"""The notebooks' stored outputs as pages that need nothing: no network, no server, no Python.

Pictures and sounds lie in the pages themselves, formulas are drawn, and no page loads anything, so
a browser shows and plays them from a stick. `.ci/classroom.py` puts them beside the course.
"""

import base64
import html
import io
import mimetypes
import os
import re
from pathlib import Path
from urllib.parse import quote

import nbformat
from files import every_notebook, relinked
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook

# nbconvert's own template, without what it would load: RequireJS, MathJax, Mermaid.
TEMPLATE = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js_requirejs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
"""
INDEX = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>The course as pages</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 1.15rem/1.6 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem }}
dt {{ margin-top: 1rem }} dd {{ margin: 0; opacity: .8 }}
</style>
<h1>The course as pages</h1>
<p>Each notebook as it ran, with its pictures and sounds. Nothing here needs a network.
Words that come back are in the <a href="glossary.html">glossary</a>.</p>
<dl>
{rows}
</dl></html>
"""  # noqa: E501
BADGE = re.compile(r"\[!\[[^\]]*\]\(https?://[^)]*\)\]\([^)]*\)\s*")
PICTURE = re.compile(r"(!\[[^\]]*\])\((?!https?:|data:)([^)\s]+)\)")
FORMULA = re.compile(r"(?<![\\$\w])\$(?! )([^$\n]+?)(?<! )\$(?![\w$])")


def write_pages(notebooks: Path, folder: Path) -> int:
    """Write a page for each notebook, the glossary and an index; return how many notebooks."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.html"):
        old.unlink()
    rows = []
    for path in every_notebook(notebooks.parent):
        notebook = nbformat.read(path, as_version=4)
        (folder / f"{path.stem}.html").write_text(page(notebook, path), encoding="utf-8")
        title, link = html.escape(path.stem.replace("_", " ")), quote(f"{path.stem}.html")
        rows.append(f'<dt><a href="{link}">{title}</a></dt><dd>{question(notebook)}</dd>')
    glossary = notebooks.parent / "assets" / "glossary.md"
    if glossary.is_file():
        cells = [new_markdown_cell(glossary.read_text(encoding="utf-8"))]
        text = page(new_notebook(cells=cells), glossary)
        (folder / "glossary.html").write_text(text, encoding="utf-8")
    (folder / "index.html").write_text(INDEX.format(rows="\n".join(rows)), encoding="utf-8")
    return len(rows)


def page(notebook: NotebookNode, path: Path) -> str:
    """Return one notebook, as it was executed, as a page that loads nothing."""
    course = next(folder for folder in path.parents if (folder / "notebooks").is_dir())

    def address(file: Path) -> str:
        if file.suffix == ".ipynb" or file.name == "glossary.md":  # there is a page of it
            return quote(f"{file.stem}.html")
        return quote(f"../course/{Path(os.path.relpath(file, course)).as_posix()}")

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = relinked(self_contained(cell.source, path.parent), path.parent, address)
    exporter = HTMLExporter(raw_template=TEMPLATE)
    return exporter.from_notebook_node(notebook, {"metadata": {"name": path.stem}})[0]


def self_contained(markdown: str, folder: Path) -> str:
    """Return a cell's Markdown without badges, its pictures inside it and its formulas drawn."""
    parts = re.split(r"(```.*?```|`[^`\n]+`)", BADGE.sub("", markdown), flags=re.DOTALL)
    for number in range(0, len(parts), 2):  # code stays as it is
        part = PICTURE.sub(
            lambda found: f"{found[1]}({embedded(folder / found[2])})", parts[number]
        )
        parts[number] = FORMULA.sub(drawn, part)
    return "".join(parts)


def embedded(picture: Path) -> str:
    """Return a picture's file as the address of itself."""
    kind = mimetypes.guess_type(picture.name)[0]
    return f"data:{kind};base64,{base64.b64encode(picture.read_bytes()).decode()}"


def drawn(found: re.Match) -> str:
    """Return a formula of Markdown as a picture, drawn by Matplotlib; a price remains a price."""
    from matplotlib.mathtext import math_to_image

    drawing = io.BytesIO()
    try:
        math_to_image(found[0], drawing, format="svg")
    except ValueError:  # no formula
        return found[0]
    source = base64.b64encode(drawing.getvalue()).decode()
    words = html.escape(found[1], quote=True).replace("\\", "&#92;").replace("_", "&#95;")
    picture = f"data:image/svg+xml;base64,{source}"
    return f'<img alt="{words}" style="vertical-align: middle" src="{picture}">'


def question(notebook: NotebookNode) -> str:
    """Return the question that a notebook opens with, in bold; nothing where it asks none."""
    first = notebook.cells[0].source if notebook.cells else ""
    found = re.search(r"^\*\*(.+?\?)\*\*$", first, flags=re.MULTILINE)
    return html.escape(found[1]) if found else ""
