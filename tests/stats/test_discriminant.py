"""LD-t in other arrangements is LD-t of stimuli that changed sides; labels by lot are seldom significant."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from broca.errors import StatisticsError
from broca.stats.discriminant import Discriminants, discriminant, folds
from broca.stats.exchange import Sides, arrange, random_flags
from broca.stats.permutation import MaxT

GROUPS = {
    "stimuli": (np.arange(40), 100 + np.arange(36)),
    "groups": (np.arange(40) // 4, 100 + np.arange(36) // 4),
    "mixed": (np.arange(40) // 4, 2 + np.arange(36) // 4),
    "pairs": (np.arange(40) // 4, np.arange(40) // 4),
}


def sides_of(scheme):
    groups = tuple([f"g{g:03}" for g in side] for side in GROUPS[scheme])
    sides = Sides.of(*map(len, groups), groups=groups)
    assert sides.scheme == scheme
    return sides, groups


@pytest.mark.parametrize("scheme", GROUPS)
def test_every_arrangement_is_fitted_as_if_it_had_been_given(scheme):
    sides, groups = sides_of(scheme)
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(len(groups[0]), 5, 6)) + 0.2, rng.normal(size=(len(groups[1]), 5, 6))
    refit = Discriminants(a, b, sides, np.concatenate(folds(*groups)))
    np.testing.assert_allclose(
        refit(sides.observed_flags[None]), np.maximum(discriminant(a, b, *groups)[0], 0)[None], rtol=1e-9, atol=1e-9
    )
    values, names, group = np.concatenate([a, b]), np.concatenate(groups), np.concatenate([sides.a, sides.b])
    flags = random_flags(sides, 4, rng)
    for row, found in zip(flags, refit(flags), strict=True):
        given, both = np.arange(len(values)) < len(a), group >= sides.n_groups - sides.n_both
        on_a = np.where(both, row[group] == given, row[group])
        expected = discriminant(values[on_a], values[~on_a], names[on_a], names[~on_a])[0]
        np.testing.assert_allclose(found, np.maximum(expected, 0), rtol=1e-9, atol=1e-9)


def test_a_head_that_never_varies_is_dead():
    sides, groups = sides_of("stimuli")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(40, 2, 4)), rng.normal(size=(36, 2, 4))
    a[:, 1] = b[:, 1] = 3
    test = MaxT(arrange(sides, n=99), calibrate=True)
    test.update_refit(Discriminants(a, b, sides, np.concatenate(folds(*groups))))
    (found,) = test.result()
    assert np.isnan(found.p_max[1])
    assert 0 < found.p_max[0] <= 1


def test_an_arrangement_that_leaves_nothing_to_learn_from_counts_as_extreme():
    groups = [f"g{i}" for i in range(12)], ["h0", "h1"]
    sides = Sides.of(12, 2, groups=tuple(groups))
    fold = np.concatenate(folds(*groups))
    refit = Discriminants(np.zeros((12, 1, 2)), np.ones((2, 1, 2)), sides, fold)
    assert np.isinf(refit(sides.observed_flags[None])).all()
    with pytest.raises(StatisticsError, match="14 groups are too few"):
        discriminant(np.zeros((12, 1, 2)), np.ones((2, 1, 2)), *groups)


def significant(studies, *, n, seed):
    """Studies without a difference in which some head is significant family-wise, and by Welch's p of the projections."""
    permuted = plain = 0
    for i in range(studies):
        rng = np.random.default_rng([seed, i])
        # Heads of a layer read one stream, so they hang together.
        shared = rng.normal(size=(64, 1, 8))
        values = shared + rng.normal(size=(64, 16, 8))
        groups = [f"a{i:02}" for i in range(32)], [f"b{i:02}" for i in range(32)]
        sides = Sides.of(32, 32)
        test = MaxT(arrange(sides, n=n, seed=i), calibrate=True)
        test.update_refit(Discriminants(values[:32], values[32:], sides, np.concatenate(folds(*groups))))
        permuted += bool((test.result()[0].p_max <= 0.05).any())
        plain += bool((discriminant(values[:32], values[32:], *groups)[1] <= 0.05 / 16).any())
    return permuted, plain


def test_sides_by_lot_are_seldom_significant():
    permuted, _ = significant(40, n=99, seed=0)
    assert binomtest(permuted, 40, 0.05, alternative="greater").pvalue > 0.01


@pytest.mark.slow
def test_sides_by_lot_are_significant_as_often_as_alpha_says():
    permuted, plain = significant(400, n=199, seed=1)
    assert binomtest(permuted, 400, 0.05).pvalue > 0.01
    assert plain > 2 * permuted  # Welch's test of projections is none, even corrected for all heads
