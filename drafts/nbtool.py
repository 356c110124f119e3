"""Authoring: md(), code(), setup(), write(). A script calls them in order; write(name) makes the .ipynb (no outputs)."""
import hashlib, json, sys
from pathlib import Path
ROOT = Path("/work/main")
CELLS = []
def _add(kind, text, slide, tags):
    text = text.strip("\n")
    n = len(CELLS)
    ident = hashlib.sha1(f"{n}{kind}{text[:60]}".encode()).hexdigest()[:8]
    meta = {"slideshow": {"slide_type": slide}}
    if tags: meta["tags"] = list(tags)
    cell = {"cell_type": kind, "id": ident, "metadata": meta, "source": text.splitlines(keepends=True)}
    if kind == "code": cell |= {"execution_count": None, "outputs": []}
    CELLS.append(cell)
def md(text, slide=None):
    if slide is None: slide = "slide" if text.strip().startswith("#") and not text.strip().startswith("####") else "notes"
    _add("markdown", text, slide, ())
def code(text, *tags, slide="subslide"):
    _add("code", text, slide, tags)
def setup(*roles):
    text = (ROOT / "notebooks/helpers/setup_cell.txt").read_text()
    import re
    text = re.sub(r"setup\([^()]*\)", "setup(" + ", ".join(f'"{r}"' for r in roles) + ', tier="auto")', text)
    _add("code", text, "skip", ("setup",))
def write(name):
    nb = {"cells": CELLS, "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}, "language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}
    path = ROOT / "notebooks" / f"{name}.ipynb"
    path.write_text(json.dumps(nb, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    core = len(CELLS)
    print(path, core, "cells")
