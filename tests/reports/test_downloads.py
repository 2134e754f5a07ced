"""Tables as CSV within the page: whole, exact, and without formulas; figures in other formats."""

from __future__ import annotations

import base64
import io
import logging

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from broca.errors import UnknownName
from broca.reports import downloads
from broca.reports.build import report
from broca.reports.downloads import csv
from reports.pages import read_page
from reports.synthetic import causal_run, localize_run


def held(path):
    page = read_page(report(path).read_text(encoding="utf-8"))
    return {
        a["download"]: base64.b64decode(a["href"].partition("base64,")[2]) for a in page.all("a") if "download" in a
    }


def test_each_table_is_in_the_page_as_it_is(tmp_path):
    path = causal_run(tmp_path / "run")
    files = held(path)
    for name in (each.stem for each in (path / "tables").iterdir()):
        table = pl.read_parquet(path / "tables" / f"{name}.parquet")
        back = pl.read_csv(
            io.BytesIO(files[f"{name}.csv"]),
            schema_overrides={k: v for k, v in table.schema.items() if not v.is_nested()},
        )
        plain = [k for k, v in table.schema.items() if not v.is_nested() and v != pl.String]
        assert_frame_equal(back.select(plain), table.select(plain))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_a_text_is_no_formula_and_a_number_is_a_number(text):
    made = csv(pl.DataFrame({"text": [text, "1=1"], "n": [-1.5, 2.0], "several": [["a", "b"], []]}))
    assert made.splitlines() == ["text,n,several", f"'{text},-1.5,a|b", '1=1,2.0,""']


def test_characters_that_hide_are_written_out():
    assert csv(pl.DataFrame({"text": ["a\u202eb"]})) == "text\r\na⟨U+202E⟩b\r\n"


def test_what_is_too_large_is_said_to_be_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "LARGEST", 50)
    path = causal_run(tmp_path / "run")
    page = read_page(report(path).read_text(encoding="utf-8"))
    assert [a for a in page.all("a") if "download" in a] == []
    assert "too large for this page, see tables/doses.parquet" in page.text


def test_figures_in_other_formats(tmp_path):
    path = localize_run(tmp_path / "run", n_layers=2, width=8)
    report(path, figures=["png", "pdf", "png"])
    first = {file.name: file.read_bytes() for file in (path / "figures").iterdir()}
    for name in [name for name in first if name.endswith(".svg")]:
        assert first[name.replace(".svg", ".pdf")].startswith(b"%PDF")
        assert first[name.replace(".svg", ".png")].startswith(b"\x89PNG")
    report(path, figures=["png"])
    assert all(file.read_bytes() == first[file.name] for file in (path / "figures").glob("*.png"))
    with pytest.raises(UnknownName, match="gif"):
        report(path, figures=["gif"])


def test_a_figure_that_cannot_be_converted_is_left_out_and_said(tmp_path, monkeypatch, caplog):
    from broca.reports import drawing

    path = localize_run(tmp_path / "run", n_layers=2, width=8)
    ask = drawing._CHILD.ask

    class Full:
        def ask(self, question):
            return {"error": "no memory"} if "form" in question else ask(question)

    monkeypatch.setattr(drawing, "_CHILD", Full())
    with caplog.at_level(logging.WARNING, "broca"):
        report(path, figures=["pdf"])
    assert "could not be written as pdf: no memory" in caplog.text
    assert not list((path / "figures").glob("*.pdf"))
