"""Two factors with groups against statsmodels' clustered logistic regression; level under no effect; what has no estimate."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from broca.errors import StatisticsError
from broca.stats.factorial import factors

KINDS, OPERATIONS = ("clean", "swap", "missing"), ("+", "-")


def answers(seed, *, interaction=0.0, kind=0.0, groups=40, each=2):
    """Every group answers under every kind and operation; groups differ in how able they are."""
    draw = np.random.default_rng(seed)
    able = draw.normal(size=groups)
    rows = [(g, k, o) for g in range(groups) for k in range(3) for o in range(2) for _ in range(each)]
    group, k, o = map(np.asarray, zip(*rows, strict=True))
    p = 1 / (1 + np.exp(-(able[group] - kind * (k == 1) - interaction * (k == 2) * (o == 1))))
    return draw.random(len(rows)) < p, [KINDS[i] for i in k], [OPERATIONS[i] for i in o], group


def test_the_interaction_is_that_of_statsmodels():
    y, kind, operation, group = answers(0, interaction=1.0, kind=0.5)
    found = factors(y, kind, operation, groups=group)
    assert (found.first, found.second) == (("clean", "missing", "swap"), ("+", "-"))
    assert found.n.sum() == len(y)
    k, o = np.asarray(kind), np.asarray(operation) == "-"
    missing, swap = k == "missing", k == "swap"
    design = np.column_stack([np.ones(len(y)), missing, swap, o, missing & o, swap & o]).astype(float)
    fit = sm.GLM(y.astype(float), design, family=sm.families.Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": group, "use_correction": False}, tol=1e-12
    )
    test = np.zeros((2, 6))
    test[0, 4] = test[1, 5] = 1
    wald = fit.wald_test(test, use_f=False, scalar=True)
    small = 39 / 40  # our covariance is groups / (groups - 1) times theirs
    assert found.interaction.f == pytest.approx(float(wald.statistic) / 2 * small, rel=1e-6)
    assert (found.interaction.df, found.interaction.df_error) == (2, 39)
    assert found.log_odds[1, 1] == pytest.approx(fit.params[[0, 1, 3, 4]].sum())


def test_effects_are_found_and_told_apart():
    moved = factors(*answers(1, kind=2.0, groups=80)[:3], groups=answers(1, kind=2.0, groups=80)[3])
    assert moved.effect_first.p < 0.001
    assert min(moved.effect_second.p, moved.interaction.p) > 0.01
    y, kind, operation, group = answers(2, interaction=3.0, groups=80)
    both = factors(y, kind, operation, groups=group, scale="points")
    assert both.interaction.p < 0.001
    assert np.isnan(both.log_odds).all()


def test_the_level_holds_although_answers_of_a_group_hang_together():
    found = [factors(*answers(seed)[:3], groups=answers(seed)[3]) for seed in range(200)]
    for name in ("effect_first", "effect_second", "interaction"):
        rejected = sum(getattr(each, name).p <= 0.05 for each in found)
        assert rejected <= 20, name  # 10 are expected; 20 and more in 0.3 % of the cases


def test_what_has_no_estimate():
    y, kind, operation, group = answers(3)
    perfect = y | (np.asarray(kind) == "clean")
    with pytest.raises(StatisticsError, match=r"All answers in clean x \+, clean x - are right"):
        factors(perfect, kind, operation, groups=group)
    assert factors(perfect, kind, operation, groups=group, scale="points").effect_first.p < 0.01
    keep = ~((np.asarray(kind) == "swap") & (np.asarray(operation) == "-"))
    with pytest.raises(StatisticsError, match="no answer in swap x -"):
        factors(y[keep], np.asarray(kind)[keep], np.asarray(operation)[keep])
    with pytest.raises(StatisticsError, match="factors of 1 and 2 levels"):
        factors(y, ["clean"] * len(y), operation)
    with pytest.raises(StatisticsError, match="contrasts cannot be tested with 2 groups"):
        factors(y, kind, operation, groups=group % 2)
    with pytest.raises(StatisticsError, match="scale is 'odds'"):
        factors(y, kind, operation, scale="odds")
