"""Weights that the answers hang on are told from those that only their format moves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from broca.errors import StatisticsError
from broca.stats.answer_lots import answer_test


def gradients(n, *, k=2, truth=0.0, seed=0):
    """Log-odds of k options of n items over 60 weights, the first 10 chosen; right answers pull at these alike, by `truth`."""
    rng = np.random.default_rng(seed)
    answers = rng.integers(0, k, n)
    whole = []
    for answer in answers:
        options = rng.normal(size=(k, 60))
        options[answer, :10] += truth
        whole.append(options - options.mean(0))
    return whole, [each[:, :10] for each in whole], answers.tolist()


def test_answers_that_pull_together_are_found():
    found = answer_test(*gradients(40, truth=1.0), [str(i) for i in range(40)], n=499, seed=0)
    assert found.p == 1 / 500
    assert found.more > 1.5
    assert found.share > found.usual > 0.1


@pytest.mark.parametrize("k", [2, 4])
def test_answers_by_lot_are_uniform(k):
    p = [answer_test(*gradients(12, k=k, seed=s), [str(i) for i in range(12)], n=99, seed=s).p for s in range(120)]
    assert kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) <= 0.05) < 0.11


def test_groups_share_their_lot_and_few_of_them_allow_no_small_p():
    found = answer_test(*gradients(40, truth=1.0), [str(i % 4) for i in range(40)], n=499, seed=0)
    assert found.n_groups == 4
    assert found.smallest_p == 2 / 2**4
    assert found.p >= 0.05


def test_the_sign_of_all_answers_is_no_matter_with_two_options():
    whole, chosen, answers = gradients(10)
    groups = [str(i) for i in range(10)]
    turned = answer_test(whole, chosen, [1 - a for a in answers], groups, n=99, seed=0)
    assert turned.share == pytest.approx(answer_test(whole, chosen, answers, groups, n=99, seed=0).share)


def test_an_item_with_one_option_is_refused():
    with pytest.raises(StatisticsError, match="one option only"):
        answer_test([np.ones((1, 4))], [np.ones((1, 2))], [0], ["a"], n=9, seed=0)
