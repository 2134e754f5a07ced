"""Every table is declared: its schema says what it holds, and the docs say what the schemas say."""

from __future__ import annotations

import re
import runpy
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import polars as pl
import pytest

from broca.errors import RunError
from broca.instruments import INSTRUMENTS
from broca.instruments.parts import tables_by_name, tables_of
from broca.runs.store import save_result, schema_of

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", list(INSTRUMENTS))
def test_every_table_of_a_result_is_declared(name):
    declared = tables_by_name(name)
    result = get_type_hints(INSTRUMENTS[name].work())["return"]
    written = {field.name for field in fields(result) if "DataFrame" in str(field.type)}
    assert written
    assert written <= declared.keys()


@pytest.mark.parametrize("name", list(INSTRUMENTS))
def test_every_column_has_a_meaning_in_one_line(name):
    for schema in tables_by_name(name).values():
        assert schema.rows
        for column, field in schema.columns.items():
            assert re.fullmatch(r"[^\n]{5,110}", field.meaning), (schema.name, column)


def test_the_page_of_tables_is_current():
    made = runpy.run_path(str(DOCS / "tables.py"))["page"]()
    assert (DOCS / "tables.md").read_text(encoding="utf-8") == made, "make tables"


def test_what_is_not_declared_is_not_written(tmp_path):
    class Ours:
        pass

    Ours.__module__ = "broca.instruments.localize.spec"
    schemas = tables_of(Ours)
    with pytest.raises(RunError, match="The table moods is written and not declared"):
        schema_of("moods", schemas)
    result = get_type_hints(INSTRUMENTS["localize"].work())["return"]
    values = dict.fromkeys(field.name for field in fields(result)) | {"layers": pl.DataFrame({"layer": ["first"]})}
    with pytest.raises(RunError, match="The table layers has no column kind"):
        save_result(result(**values), tmp_path / "run", schemas)
    assert not (tmp_path / "run").exists()
