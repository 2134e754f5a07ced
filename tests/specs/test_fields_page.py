"""The page of fields: what the specs say, and a meaning for each."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from broca.instruments import INSTRUMENTS

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_current():
    made = runpy.run_path(str(DOCS / "fields.py"))["page"]()
    assert (DOCS / "fields.md").read_text(encoding="utf-8") == made, "make tables"


@pytest.mark.parametrize("kind", list(INSTRUMENTS))
def test_every_field_says_what_it_means(kind):
    fields = {name: field.description for name, field in INSTRUMENTS[kind].model_fields.items() if name != "kind"}
    assert [name for name, said in fields.items() if not re.search(r"\w", said or "")] == []
