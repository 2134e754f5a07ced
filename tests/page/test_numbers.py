from __future__ import annotations

import math

import pytest

from broca.page import numbers as wording
from broca.page.words import count


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (wording.number(0.123), "0.12"),
        (wording.number(math.nan), "undefined"),
        (wording.number(None, ".0%"), "undefined"),
        (wording.number(math.inf), "∞"),
        (wording.number(-math.inf, "+.1f"), "−∞"),
        (wording.number(-0.08, ".0%"), "−8%"),
        (wording.number(0.08, "+.2f"), "+0.08"),
        (wording.limits(0.1, 0.25), "[0.10, 0.25]"),
        (wording.limits(0.1, 0.25, ".0%"), "[10%, 25%]"),
        (wording.limits(math.nan, math.nan), "(no interval: fewer than two groups)"),
        (wording.limits(0.1, None), "(no interval: fewer than two groups)"),
        (wording.p_value(0.0213), "p = 0.021"),
        (wording.p_value(math.nan), "p is undefined"),
        (count(1, "group"), "1 group"),
        (count(2000, "group"), "2,000 groups"),
        (count(2, "is", "are"), "2 are"),
    ],
)
def test_numbers_in_sentences(told, text):
    assert told == text
