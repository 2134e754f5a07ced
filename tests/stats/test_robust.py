from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from broca.errors import StatisticsError
from broca.stats.robust import calibration, consistency, drop_rate, flips, length_change, noise_floor, worst_case


def runs(rights, n):
    return np.arange(n) < np.asarray(rights)[:, None]


def test_the_published_patching_runs_are_one_condition():
    # 8 runs over 1000 items whose accuracies were published as effects of patching
    found = noise_floor(runs([852, 833, 822, 852, 849, 839, 845, 843], 1000))
    assert found.mean == pytest.approx(0.8419, abs=5e-5)
    assert found.sd == pytest.approx(0.0103, abs=5e-5)
    assert found.binomial == pytest.approx(0.0115, abs=5e-5)
    assert found.chi2 == pytest.approx(5.6, abs=0.05)
    assert found.p == pytest.approx(0.58, abs=0.005)
    assert (found.difference, found.runs) == (pytest.approx(0.03), 8)
    rights = np.array([852, 833, 822, 852, 849, 839, 845, 843])
    scipy = stats.chi2_contingency([rights, 1000 - rights], correction=False)
    assert (found.chi2, found.p) == (pytest.approx(scipy.statistic), pytest.approx(scipy.pvalue))


def test_runs_that_agree_have_no_floor():
    found = noise_floor(np.ones((3, 10)))
    assert (found.sd, found.difference, found.chi2, found.p) == (0, 0, 0, 1)


pairs = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40)


@given(pairs)
def test_flips_add_up_to_the_difference(rows):
    a, b = np.asarray(rows).T
    found = flips(a, b)
    assert found.right + found.wrong == len(rows)
    assert found.right - found.broken + found.mended == b.sum()
    assert math.isnan(found.broken_rate) == (found.right == 0)
    if found.wrong:
        assert found.mended_rate == np.mean(b[~a])


@given(pairs.filter(lambda rows: any(a for a, _ in rows)))
def test_the_drop_rate_is_that_of_the_accuracies(rows):
    a, b = np.asarray(rows).T
    found = drop_rate(a, b, n=50)
    assert found.value == pytest.approx(1 - b.mean() / a.mean())
    assert found.low <= found.high


def test_the_interval_of_the_drop_rate_is_that_of_an_independent_loop():
    draw = np.random.default_rng(3)
    a, b, groups = draw.random(60) < 0.8, draw.random(60) < 0.6, np.repeat(np.arange(20), 3)
    found = drop_rate(a, b, groups=groups, n=4000, seed=1)
    again = []
    for _ in range(4000):
        rows = np.concatenate([np.flatnonzero(groups == g) for g in draw.integers(20, size=20)])
        again.append(1 - b[rows].mean() / a[rows].mean())
    assert [found.low, found.high] == pytest.approx(np.quantile(again, [0.025, 0.975]), abs=0.02)
    same = drop_rate(a, b, groups=np.arange(60) // 30, n=100)
    assert same.high - same.low < found.high - found.low


def test_consistency_counts_pairs_of_conditions():
    found = consistency([["1", "2", None], ["1", "2", None], ["1", "3", None]])
    assert found.tolist() == [1, pytest.approx(1 / 3), 0]


def test_the_worst_case_is_right_everywhere():
    assert worst_case({"a": [1, 1, 0], "b": [1, 0, 1]}).tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: flips([1], [1, 0]), "1 and 2 items"),
        (lambda: flips([], []), "0 and 0 items"),
        (lambda: drop_rate([0, 0], [1, 1]), "nothing can drop"),
        (lambda: drop_rate([1, 0], [1, 1], groups=["a", "a"]), "1 independent group"),
        (lambda: drop_rate([1, 0], [1, 1], groups=["a"]), "2 items but 1 groups"),
        (lambda: consistency([["1"]]), "2 or more conditions"),
        (lambda: consistency([["1"], ["1", "2"]]), "2 or more conditions"),
        (lambda: worst_case({}), "1 or more conditions"),
        (lambda: worst_case({"a": [1], "b": [1, 0]}), "of the same items"),
        (lambda: noise_floor([1, 0]), "2 or more runs"),
    ],
)
def test_what_is_refused(call, said):
    with pytest.raises(StatisticsError, match=said):
        call()


def test_calibration_by_an_independent_loop():
    draw = np.random.default_rng(0)
    p = draw.dirichlet(np.ones(4), size=300)
    answers = np.asarray([draw.choice(4, p=row) for row in p])
    found = calibration(p, answers, bins=10)
    total = 0.0
    for low in range(10):
        inside = [i for i, row in enumerate(p) if low / 10 < row.max() <= (low + 1) / 10]
        if inside:
            sure = np.mean([p[i].max() for i in inside])
            right = np.mean([p[i].argmax() == answers[i] for i in inside])
            total += len(inside) * abs(sure - right)
            assert found.bins[low] == pytest.approx([len(inside), sure, right])
        else:
            assert np.isnan(found.bins[low, 1])
    assert found.error == pytest.approx(total / 300)
    assert found.error < 0.1
    assert 0 in found.overconfidence


def test_a_model_that_is_too_sure():
    answers = np.arange(200) % 2
    found = calibration(np.tile([0.99, 0.01], (200, 1)), answers, groups=np.arange(200) // 2)
    assert found.error == pytest.approx(0.49)
    assert found.overconfidence.value == pytest.approx(0.49)
    three = calibration([[0.2, 0.8, np.nan], [0.1, 0.2, 0.7]], [1, 2])
    assert three.error == pytest.approx(0.25)
    for wrong, right, said in (
        ([[0.5, 0.6]], [0], "sum to 1"), ([[1.0, np.nan]], [1], "none of its item's choices"), ([[0.5, 0.5]], [2], "choices"),
        ([0.5, 0.5], [0], "shape"),
    ):  # fmt: skip
        with pytest.raises(StatisticsError, match=said):
            calibration(wrong, right)


def test_lengths():
    clean, perturbed = np.asarray([10.0, 20, 30, 40]), np.asarray([20.0, 20, 60, 50])
    found = length_change(clean, perturbed, groups=[0, 0, 1, 1])
    assert found.difference.value == 12.5
    assert found.ratio.value == 1.5
    assert found.ratio.low <= 1.5 <= found.ratio.high
    for a, b in (([1, 2], [1]), ([0, 0], [1, 2]), ([1, -1], [1, 2]), ([], [])):
        with pytest.raises(StatisticsError, match="lengths"):
            length_change(a, b)
