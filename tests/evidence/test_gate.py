"""What the gate says of few items: that it cannot be told from them, and not that the ability is missing."""

from __future__ import annotations

import polars as pl
import pytest

from broca.errors import GuardError
from broca.evidence.guards import gate, too_few
from broca.items import Item


def asked(right, n, choices=("a", "b")):
    items = [Item(f"{i}", "p", choices, 0) for i in range(n)]
    return pl.DataFrame({"correct": [i < right for i in range(n)]}), items


@pytest.mark.parametrize(
    ("right", "n", "told"),
    [
        (1, 1, "answers 100.0% of 1 x item (chance 50.0%, p = 0.5). So few cannot tell whether it has the ability: 5 are the least that can."),
        (4, 4, "answers 100.0% of 4 x items (chance 50.0%, p = 0.062). So few cannot tell whether it has the ability: 5 are the least that can."),
        (3, 5, "answers 60.0% of 5 x items (chance 50.0%, p = 0.5): it does not have the ability, so there is nothing to localize."),
    ],
)  # fmt: skip
def test_words_and_decision(right, n, told):
    rows, items = asked(right, n)
    assert told in gate(rows, items, "x", alpha=0.05, stop=False).text
    assert gate(rows, items, "x", alpha=0.05, stop=False).state == "marked"
    with pytest.raises(GuardError) as stopped:
        gate(rows, items, "x", alpha=0.05, stop=True)
    assert told in str(stopped.value)


def test_five_of_five_pass():
    rows, items = asked(5, 5)
    assert gate(rows, items, "x", alpha=0.05, stop=True).state == "passed"


def test_too_few():
    assert too_few(1, 0.25, 0.05).endswith("3 are the least that can.")
    assert too_few(3, 0.25, 0.05) == ""
    assert too_few(1, 0.0, 0.05) == too_few(1, 1.0, 0.05) == ""
