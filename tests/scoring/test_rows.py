"""The table: its columns, scores, ties, invalid answers, and its summary."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.items import Item
from broca.scoring.rows import INVALID, ROW_SCHEMA, Outcome, likeliest_choice, rows, summarise


def item(i=0, answer=0, choices=("a", "b", "c"), ability="x"):
    return Item(id=f"i{i}", prompt="p", choices=choices, answer=answer, ability=ability, group="g")


def test_the_first_of_those_that_tie():
    assert likeliest_choice(item(), [-2.0, -1.0, -1.0]).predicted == 1
    assert likeliest_choice(item(), [-1.0, -1.0, -1.0]).text == "a"


def test_what_is_no_number_is_invalid():
    outcome = likeliest_choice(item(), [-1.0, float("nan"), -2.0])
    table = rows([item()], [outcome])
    assert outcome.predicted == INVALID
    assert table.select("correct", "invalid", "score").row(0) == (False, True, None)


@given(
    st.lists(st.floats(-50, 0), min_size=2, max_size=6).flatmap(
        lambda v: st.tuples(st.just(v), st.integers(0, len(v) - 1))
    )
)
def test_the_score_is_positive_only_for_right_answers(drawn):
    values, answer = drawn
    one = item(answer=answer, choices=tuple("abcdef"[: len(values)]))
    row = rows([one], [likeliest_choice(one, values)]).row(0, named=True)
    best = max(v for i, v in enumerate(values) if i != answer)
    assert row["score"] == values[answer] - best
    if row["score"] > 0:
        assert row["correct"]
    if row["score"] < 0:
        assert not row["correct"]
    assert values[row["predicted"]] == max(values)


def test_no_score_without_another_choice_or_between_impossible_ones():
    alone = item(choices=("a",))
    impossible = [-math.inf, -math.inf, -math.inf]
    table = rows([alone, item()], [likeliest_choice(alone, [-1.0]), likeliest_choice(item(), impossible)])
    assert table["score"].to_list() == [None, None]


def test_columns_hold_for_any_number_of_rows():
    for n in (0, 2):
        table = rows([item(i) for i in range(n)], [Outcome(INVALID, "?")] * n)
        assert table.schema == ROW_SCHEMA
        assert len(table) == n


def test_summary_counts_invalid_as_wrong_and_keeps_abilities_apart():
    items = [item(0, ability="b"), item(1, ability="b"), item(2, ability="a"), item(3, ability="b")]
    outcomes = [likeliest_choice(items[0], [-1.0, -3.0, -4.0]), Outcome(INVALID, "?"), Outcome(1, "b"), Outcome(2, "c")]
    found = summarise(rows(items, outcomes))
    assert found.drop("low", "high").rows() == [("b", 3, pytest.approx(1 / 3), 1, 2.0), ("a", 1, 0.0, 0, None)]
    assert found.schema == pl.Schema(
        {
            "ability": pl.String(),
            "n": pl.Int64(),
            "accuracy": pl.Float64(),
            "low": pl.Float64(),
            "high": pl.Float64(),
            "invalid": pl.Int64(),
            "score": pl.Float64(),
        }
    )
