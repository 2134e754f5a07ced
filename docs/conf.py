"""The documentation as a site: `make docs` builds it, offline, with every warning an error."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import generate

import broca

project = "broca"
author = "The Broca developers"
copyright = author  # noqa: A001 - what Sphinx calls it
version = release = broca.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 4
exclude_patterns = ["_build"]
nitpicky = False
# A type in a signature stands there by its short name: the class of ours, and a member of another that is called alike.
suppress_warnings = ["ref.python"]

autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False

html_theme = "pydata_sphinx_theme"
html_title = "broca"
html_static_path = ["_static"]
html_css_files = ["broca.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 8,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_context = {"default_mode": "auto"}

logging.getLogger("broca").setLevel(logging.ERROR)  # runs of an earlier version say so
generate.write(HERE)


def setup(app):  # noqa: ANN001, ANN201 - Sphinx's own hook
    """Docstrings are plain text with `names` in backticks: what reStructuredText would take for markup is escaped."""
    app.connect("autodoc-process-docstring", lambda *args: generate.escape(args[-1]), priority=900)
    return {"parallel_read_safe": True}
