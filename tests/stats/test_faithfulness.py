"""CPR and CMD are what MIB's own code gives, written out again here."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.errors import StatisticsError
from broca.stats.faithfulness import SHARES, curve_areas, faithfulness, sizes


def mib(percentages, values):
    """The loops of MIB_circuit_track/evaluation.py."""
    cpr = cmd = 0.0
    for i in range(len(values) - 1):
        i_1, i_2 = i, i + 1
        x_1, x_2 = percentages[i_1], percentages[i_2]
        trapezoidal = (x_2 - x_1) * ((values[i_1] + values[i_2]) / 2)
        cpr += trapezoidal
        cmd += (x_2 - x_1) * ((abs(1 - values[i_1]) + abs(1 - values[i_2])) / 2)
    return cpr, cmd


@given(st.lists(st.floats(-3, 3), min_size=10, max_size=10))
def test_both_areas_are_those_of_the_published_loops(curve):
    found = curve_areas(SHARES, curve)
    assert (found.cpr, found.cmd) == pytest.approx(mib(SHARES, curve), abs=1e-12)


def test_a_perfect_curve_has_the_area_of_its_shares():
    found = curve_areas(SHARES, np.ones(10))
    assert found.cpr == pytest.approx(0.999)
    assert found.cmd == pytest.approx(0)


def test_sizes_are_rounded_down():
    assert sizes(32491)[:3] == (32, 64, 162)
    assert sizes(157)[0] == 0


def test_faithfulness_is_the_share_of_what_patching_everything_takes():
    assert faithfulness([3.0, 1.0, 5.0], 3.0, 1.0).tolist() == [1, 0, 2]
    with pytest.raises(StatisticsError, match="change the answer"):
        faithfulness([1.0], 2.0, 2.0)


def test_shares_that_do_not_rise_are_refused():
    with pytest.raises(StatisticsError, match="rising"):
        curve_areas([0.1, 0.1], [1, 1])
