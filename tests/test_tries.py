"""Draws that may be refused have an end and a sentence."""

from __future__ import annotations

from itertools import count

import pytest

from broca.errors import StimulusError
from broca.tries import MOST, first, tries


def test_the_first_draw_that_is_not_refused():
    numbers = count()
    assert first(lambda: n if (n := next(numbers)) > 5 else None, "No number.") == 6
    assert first(lambda: 0, "Zero is a number like any other.", most=1) == 0


def test_what_cannot_be_had_is_said_after_so_many_draws():
    drawn = []
    with pytest.raises(StimulusError, match=r"There is none\. Give more\. \(Given up after 10,000 draws\.\)"):
        first(lambda: drawn.append(1), "There is none. Give more.")
    assert len(drawn) == MOST


def test_a_loop_is_left_or_ends():
    assert next(i for i in tries("None.", most=5) if i == 4) == 4
    with pytest.raises(StimulusError, match=r"None\. \(Given up after 5 draws"):
        list(tries("None.", most=5))
