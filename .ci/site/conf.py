"""Sphinx's settings for the course's site; `build.py` stages its pages and calls Sphinx."""

import sys
from pathlib import Path

from docutils.utils.math.latex2mathml import tex2mathml

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "notebooks")]

from pages import PROJECT, REPOSITORY

project = "Introduction to LLMs"
author = "the authors of Introduction to LLMs"
project_copyright = f"{author}; text CC BY 4.0, code Apache 2.0"
html_title = project
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["extra"]

nb_execution_mode = "off"  # the outputs stored in the notebooks are what tests compare with a run
nb_merge_streams = True

myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 4  # as GitHub makes them
myst_dmath_allow_digits = False  # "$0.40 an hour" is money
myst_dmath_allow_space = False
myst_url_schemes = {
    "http": None,
    "https": None,
    "mailto": None,
    "term": "glossary.html#term-{{path}}",  # what pages.py makes of links to the glossary
}

default_role = "code"  # `so` in a docstring
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_static_path = [str(HERE / "static")]
html_css_files = ["course.css"]
html_js_files = [("course.js", {"defer": "defer"})]
html_favicon = str(HERE / "static" / "icon.svg")
html_copy_source = False
html_show_sourcelink = False
html_use_index = False
html_domain_indices = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
html_theme_options = {
    "source_repository": REPOSITORY,
    "source_branch": "main",
    "top_of_page_buttons": [],
    "light_css_variables": {
        "color-brand-primary": "#005a8e",
        "color-brand-content": "#005a8e",
        "color-brand-visited": "#6a3d8a",
    },
    "dark_css_variables": {
        "color-brand-primary": "#7cc4f0",
        "color-brand-content": "#7cc4f0",
        "color-brand-visited": "#c9a6e8",
    },
}


def setup(app) -> dict:
    """Formulas as MathML, which browsers draw without a script."""

    def draw(writer, node, block: bool = False) -> None:
        from docutils import nodes

        writer.body.append(tex2mathml(node.astext(), as_block=block))
        raise nodes.SkipNode

    def draw_block(writer, node) -> None:
        draw(writer, node, block=True)

    app.add_html_math_renderer("mathml", (draw, None), (draw_block, None))
    return {"version": PROJECT["version"], "parallel_read_safe": True, "parallel_write_safe": True}


html_math_renderer = "mathml"
