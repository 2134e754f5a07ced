"""Numbers and texts as a reader sees them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.page import words
from broca.page.words import visible


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (float("nan"), "–"), (float("inf"), "–"), (3, "3"), (-0.24, "−0.24"), (12345, "12,345"),
     (12345.678, "12,346"), (0.000123456, "0.000123"), (True, "–"), ("x", "–"), (2.0, "2")],
)  # fmt: skip
def test_number(value, shown):
    assert words.number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.123, "+12.3"), (-0.2, "−20.0"), (0.0, "0.0"), (-0.00001, "0.0"), (None, "–")]
)
def test_points_have_a_sign(value, shown):
    assert words.points(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, "p < 0.001"), (0.0213, "p = 0.021"), (0.4, "p = 0.40"), (None, ""), (float("nan"), "")]
)
def test_p_value(value, shown):
    assert words.p_value(value) == shown


def test_told():
    assert words.as_text({"a": [1, None], "b": {"c": True}, "d": ""}) == "a 1, –, b c yes, d –"


@given(st.text(st.characters(codec=None)))
def test_nothing_hides_in_a_visible_text(text):
    shown = visible(text)
    hidden = {c for c in shown if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Cn"}}
    assert hidden <= set("\n\t\u200c\u200d")
    shown.encode("utf-8")


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs", "M"])))
def test_an_ordinary_text_stays_as_it_is(text):
    assert visible(text) == text


def test_marks_that_turn_the_writing_are_written_out():
    assert visible("a\u202eb\x00\ud800\r\nc") == "a⟨U+202E⟩b⟨U+0000⟩⟨U+D800⟩\nc"


def test_columns_and_grids():
    assert [words.column(v) for v in (2.2, 2.123, -0.35, 0, 12345.6, None)] == [
        "2.20",
        "2.12",
        "−0.350",
        "0.00",
        "12,346",
        "–",
    ]
    assert [words.tenths(v) for v in (-0.01, 2, -4.26, float("nan"))] == ["0.0", "2.0", "−4.3", "–"]
