"""Columns declared once: what is written and read is held against them, and says what is wrong."""

from __future__ import annotations

import polars as pl
import pytest

from broca.errors import RunError
from broca.specs.schema import Flag, Float, Floats, Int, Schema, Text

HEADS = Schema(
    "heads",
    "a head",
    layer=Int("block, from 0"),
    norm=Float("mean norm", unit="L2"),
    chosen=Flag("whether it is selected", optional=True, default=False),
    by=Text("of whom", optional=True),
)


def heads(**more):
    return pl.DataFrame({"layer": [0, 1], "norm": [1.5, float("nan")]} | more)


def test_what_is_declared_may_be_written():
    HEADS.check(heads())
    HEADS.check(heads(layer=pl.Series([0, 1], dtype=pl.UInt32), chosen=[True, False], by=["x", None]))
    HEADS.check(heads(norm=[1, 2], by=[None, None]))
    HEADS.check(pl.DataFrame({"layer": []}))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (heads().drop("norm"), "has no column norm"),
        (heads(colour=["a", "b"]), "undeclared column colour"),
        (heads(layer=["0", "1"]), "holds String in layer, which is declared as whole number"),
        (heads(layer=[0.5, 1.0]), "holds Float64 in layer"),
        (heads(chosen=[0, 1]), "declared as yes or no"),
    ],
)
def test_what_is_not_declared_is_refused_with_what_to_do(table, words):
    with pytest.raises(RunError, match=words) as caught:
        HEADS.check(table)
    assert "in tables.py of its instrument" in str(caught.value)


def test_columns_of_others_where_they_are_announced():
    scored = Schema("rows", "an item", "those of a scorer", id=Text("of the item"))
    table = pl.DataFrame({"id": ["a"], "mood": ["good"]})
    scored.check(table)
    assert scored.read(table, "rows").columns == ["id", "mood"]


def test_reading_casts_fills_and_drops_what_is_undeclared():
    read = HEADS.read(heads(layer=pl.Series([0, 1], dtype=pl.Int8), colour=["a", "b"]), "x")
    assert read.to_dicts() == [
        {"layer": 0, "norm": 1.5, "chosen": False, "by": None},
        {"layer": 1, "norm": None, "chosen": False, "by": None},
    ]
    assert read.schema["layer"] == pl.Int64


def test_reading_names_the_place_and_what_is_wrong():
    with pytest.raises(RunError, match=r"t\.parquet has no column norm; it has layer\. Run it again"):
        HEADS.read(pl.DataFrame({"layer": [1]}), "t.parquet", "Run it again.")
    with pytest.raises(RunError, match="another type than heads has"):
        HEADS.read(heads(layer=["a", "b"]), "t.parquet")


def test_lists_and_tips():
    lists = Schema("l", "a row", f=Floats("of each class"))
    lists.check(pl.DataFrame({"f": [[1.0], []]}))
    lists.check(pl.DataFrame({"f": [[], []]}))
    with pytest.raises(RunError, match="List"):
        lists.check(pl.DataFrame({"f": [["a"]]}))
    assert HEADS.tip("norm") == "mean norm (L2)"
    assert HEADS.tip("nothing") == ""
