from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broca.stimuli.arithmetic import carries, multiple_demand, multiple_demand_matched
from broca.stimuli.contrasts import contrast, length_match

POSITIVE = "17e0ba84a027a72b486fcd35cb1121dadea1fea6abdfa7faef86b945bebae8f1"
NEGATIVE = "917e45d21d00c9b0cef26e759bc3c1bbcb964c2f871ec74186e462d4607b7512"


def digest(stimuli):
    return hashlib.sha256("\n\n".join(s.text for s in stimuli).encode()).hexdigest()


def solved(text):
    a, operator, b = re.fullmatch(r"Question: Solve (\d+) ([+-]) (\d+)\?\nAnswer:", text).groups()
    return int(a), operator, int(b)


def test_the_published_problems_to_the_letter():
    found = contrast("multiple-demand")
    assert digest(found.positive) == POSITIVE
    assert digest(found.negative) == NEGATIVE
    assert found.positive[0].text == "Question: Solve 151 + 192?\nAnswer: 343"
    assert found.negative[4].text == "Question: Solve 3 - 2?\nAnswer: 1"
    assert len({s.text for s in found.negative}) == 89


def test_the_global_generator_is_left_alone():
    before = np.random.get_state()  # noqa: NPY002 - that it does not move is the point
    for name in ("multiple-demand", "multiple-demand-matched", "language"):
        contrast(name, n=20)
    after = np.random.get_state()  # noqa: NPY002
    assert before[2:] == after[2:]
    assert np.array_equal(before[1], after[1])


def test_fewer_published_problems_are_the_first_of_them():
    assert multiple_demand(n=7).positive == multiple_demand().positive[:7]


@settings(max_examples=8)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 40))
def test_matched_problems_differ_in_carries_alone(seed, n):
    found = multiple_demand_matched(n=n, seed=seed)
    assert found.paired
    assert len({s.text for s in (*found.positive, *found.negative)}) == 2 * n
    additions = 0
    for hard, easy in zip(found.positive, found.negative, strict=True):
        one, other = solved(hard.text), solved(easy.text)
        assert hard.group == easy.group
        assert one[1] == other[1]
        assert sorted(f"{one[0]}{one[2]}") == sorted(f"{other[0]}{other[2]}")
        for a, operator, b in (one, other):
            assert all(100 <= number <= 999 for number in (a, b, a + b if operator == "+" else a - b))
        assert (carries(one), carries(other)) == (2, 0)
        additions += one[1] == "+"
    assert additions == (n + 1) // 2
    assert length_match(found)["characters"].t == 0


def test_no_matched_problem_comes_twice_among_many():
    found = multiple_demand_matched(n=300)
    assert len({s.text for s in (*found.positive, *found.negative)}) == 600


def test_matched_problems_depend_on_the_seed_and_on_nothing_else():
    assert multiple_demand_matched(n=9, seed=3) == multiple_demand_matched(n=9, seed=3)
    assert multiple_demand_matched(n=9, seed=0) != multiple_demand_matched(n=9, seed=1)
    assert multiple_demand_matched(n=9).positive == multiple_demand_matched(n=40).positive[:9]


@pytest.mark.parametrize(
    ("problem", "count"),
    [
        ((199, "+", 1), 2),
        ((123, "+", 456), 0),
        ((500, "-", 1), 2),
        ((95, "+", 5), 2),
        ((87, "-", 6), 0),
        ((7, "+", 8), 1),
    ],
)
def test_carries_by_hand(problem, count):
    assert carries(problem) == count
