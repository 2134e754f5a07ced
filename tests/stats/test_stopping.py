"""The boundaries against their definition, the risks against enumeration and simulation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from broca.errors import StatisticsError
from broca.stats.stopping import FAIL_RISK, PASS_RISK, Operation, decide, draws_needed, operation, stopping_rule


def test_the_boundaries_of_200_draws_are_the_published_table():
    rule = stopping_rule()
    assert rule.looks == tuple(range(20, 201, 20))
    assert rule.pass_at == (-1, -1, -1, -1, -1, 0, 1, 2, 4, 9)
    assert rule.fail_at == (5, 6, 8, 9, 9, 10, 10, 10, 10, 10)


def test_its_error_and_cost_are_those_of_the_exact_calculation():
    rule = stopping_rule()
    null = operation(rule)
    assert null.passed == pytest.approx(0.04972, abs=5e-6)
    assert null.draws == pytest.approx(38.1, abs=0.05)
    assert operation(rule, 0) == Operation(1.0, 120.0)
    grid = [operation(rule, p) for p in (np.arange(400) + 0.5) / 400]
    assert np.mean([each.passed for each in grid]) == pytest.approx(null.passed, abs=2e-4)


@pytest.mark.parametrize("p", [0.001, 0.01, 0.02, 0.03, 0.05, 0.1, 0.3])
def test_it_decides_as_all_draws_would(p):
    """The table of the exact calculation beside these rules: probability of passing, and draws."""
    known = {
        0.001: (1.000, 122), 0.01: (1.000, 147), 0.02: (0.992, 171), 0.03: (0.919, 186),
        0.05: (0.454, 176), 0.1: (0.004, 93), 0.3: (0.000, 25),
    }  # fmt: skip
    found = operation(stopping_rule(), p)
    assert (round(found.passed, 3), round(found.draws)) == known[p]


@pytest.mark.parametrize("claims", [1, 2, 3, 5, 10, 20])
def test_claims_share_the_level_and_the_error_stays_below(claims):
    rule = stopping_rule(claims=claims)
    assert rule.n == max(200, 100 * claims)
    assert rule.alpha == 0.05 / claims
    assert rule.limit >= 5
    assert 0.9 * rule.alpha < operation(rule).passed <= rule.alpha
    assert operation(rule, 0.2 * rule.alpha).passed > 0.99


def test_two_claims_pass_at_180_at_the_earliest():
    rule = stopping_rule(claims=2)
    assert next(look for look, low in zip(rule.looks, rule.pass_at, strict=True) if low >= 0) == 180


@pytest.mark.parametrize("n", [1, 3, 7, 12])
def test_the_error_of_few_draws_is_that_of_all_orders(n, monkeypatch):
    """Exchangeable values: each of the ranks of the selection, and each order of the draws, is as likely."""
    monkeypatch.setattr("broca.stats.stopping.EVERY", 3)
    rule = stopping_rule(0.4, draws=n)
    passed = draws = 0.0
    for pattern in product([False, True], repeat=n):
        b = sum(pattern)
        decision = decide(pattern, rule)
        weight = 1 / (n + 1) / np.prod([(n - i) / (i + 1) for i in range(b)])
        passed += weight * (decision.state == "passed")
        draws += weight * decision.draws
    found = operation(rule)
    assert (found.passed, found.draws) == pytest.approx((passed, draws) if rule.limit else (0, 0))


def test_a_decision_agrees_with_that_of_all_draws_as_often_as_it_says():
    rng = np.random.default_rng(3)
    rule = stopping_rule()
    wrong = {"passed": 0, "failed": 0}
    for p in rng.random(4000) * 0.15:
        draws = rng.random(rule.n) < p
        final = "passed" if draws.sum() < rule.limit else "failed"
        state = decide(draws, rule).state
        wrong[state] += state != final
    assert wrong["passed"] <= 4000 * 10 * PASS_RISK
    assert wrong["failed"] <= 4000 * 10 * FAIL_RISK


def test_a_decision_is_a_function_of_the_prefix():
    rule = stopping_rule()
    draws = np.zeros(200, bool)
    draws[[3, 30, 130, 150]] = True
    assert [decide(draws[:n], rule).state for n in (0, 19, 20, 120, 159)] == ["go on"] * 5
    assert decide(draws[:150], rule).until == 160
    first = decide(draws[:180], rule)
    assert (first.state, first.draws, first.as_costly) == ("passed", 180, 4)
    draws[181:] = True
    assert decide(draws, rule) == first, "what was drawn after the decision counts for nothing"
    assert decide([True] * 20, rule).state == "failed"


def test_where_few_choices_exist_each_is_drawn_once_and_the_rank_is_the_p():
    rule = stopping_rule(distinct=39)
    assert (rule.n, rule.limit, rule.smallest_p) == (39, 2, 1 / 40)
    assert decide([False] * 38 + [True], rule).state == "passed"
    assert decide([False] * 37 + [True] * 2, rule).state == "failed"
    assert operation(rule).passed == pytest.approx(2 / 40, abs=1e-3)


@pytest.mark.parametrize("distinct", [0, 4, 18])
def test_where_no_p_is_small_enough_nothing_is_decided(distinct):
    rule = stopping_rule(distinct=distinct)
    assert rule.smallest_p == 1 / (distinct + 1) > rule.alpha
    assert decide([False] * distinct, rule).state == "undecided"
    assert operation(rule).passed == 0
    assert decide([False] * 19, stopping_rule(distinct=19)).state == "passed"


def test_impossible_numbers_are_named():
    with pytest.raises(StatisticsError, match="alpha is 0"):
        draws_needed(0)
    with pytest.raises(StatisticsError, match="0 claims"):
        stopping_rule(claims=0)
    with pytest.raises(StatisticsError, match="p is 2"):
        operation(stopping_rule(), 2)
