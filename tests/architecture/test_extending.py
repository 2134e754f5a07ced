"""The page about extending broca shows the files that are installed and run as a stranger's, and nothing else."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_made_from_the_strangers_files():
    assert (DOCS / "extending.md").read_text() == runpy.run_path(str(DOCS / "extending.py"))["text"](), "make tables"
