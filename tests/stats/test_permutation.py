"""Max-T permutation against nilearn, SciPy, an independent loop, and its own laws."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from broca.errors import StatisticsError
from broca.stats import sums
from broca.stats.exchange import Arrangements, Sides, arrange
from broca.stats.mean_tests import paired_t, welch_from_samples
from broca.stats.permutation import MaxT, permutation_test
from broca.stats.sums import GroupMoments

TEMPLATES = (np.arange(11) // 2, 10 + np.arange(13) // 3)
MIXED = ([0, 0, 1, 1, 2, 3, 3, 4, 5, 6, 7], [0, 1, 1, 2, 2, 2, 8, 8, 9, 10, 11, 12, 13])


@pytest.fixture
def rng():
    return np.random.default_rng(13)


def noise(rng, n_a, n_b, units=6):
    """Correlated units with skewed noise, large means and many scales."""
    values = rng.gamma(2, size=(n_a + n_b, 1)) + rng.gamma(1, size=(n_a + n_b, units))
    values = (values + 10) * np.logspace(-9, 9, units)
    return values[:n_a], values[n_a:]


def by_hand(a, b, every):
    """t of the given arrangement, p and p_max by a loop that knows only the definitions."""
    sides = every.sides

    def t_of(flags):
        if sides.scheme == "pairs":
            d = [a[sides.a == g].mean(0) - b[sides.b == g].mean(0) for g in range(sides.n_groups)]
            signed = np.where(flags[:, None], d, -np.array(d))
            return signed.mean(0) / signed.std(0, ddof=1) * len(d) ** 0.5
        one_sided = np.arange(sides.n_groups) < sides.n_groups - sides.n_both
        rows = np.concatenate([a, b])
        on_a = np.concatenate([flags[sides.a], flags[sides.b] == one_sided[sides.b]])
        x, y = rows[on_a], rows[~on_a]
        return (x.mean(0) - y.mean(0)) / np.sqrt(x.var(0, ddof=1) / len(x) + y.var(0, ddof=1) / len(y))

    t = t_of(sides.observed_flags)
    null = np.abs([t_of(flags) for flags in every.flags])
    reached = (null >= np.abs(t) - 1e-9).sum(0)
    beaten = (null.max(1)[:, None] >= np.abs(t) - 1e-9).sum(0)
    extra = 0 if every.exact else 1
    return t, (reached + extra) / (len(null) + extra), (beaten + extra) / (len(null) + extra), null.max(1)


@pytest.mark.parametrize(
    "how",
    [{}, {"groups": TEMPLATES}, {"groups": MIXED}, {"paired": True}, {"groups": ([*range(11)], [*range(11), 3, 4])}],
    ids=["stimuli", "groups", "mixed", "pairs", "templates with both sides"],
)
@pytest.mark.parametrize("n", [99, 2100])
def test_it_is_what_a_loop_over_arrangements_finds(rng, how, n):
    n_a, n_b = (11, 11) if how.get("paired") else (11, 13)
    a, b = noise(rng, n_a, n_b)
    every = arrange(Sides.of(n_a, n_b, **how), n=n)
    result = permutation_test(a, b, n=n, **how)
    assert result.exact == every.exact == (n == 2100 and every.sides.n_arrangements <= 2100)
    t, p, p_max, largest = by_hand(a, b, every)
    np.testing.assert_allclose(result.t, t, rtol=1e-9)
    np.testing.assert_array_equal(result.p, p)
    np.testing.assert_array_equal(result.p_max, p_max)
    np.testing.assert_allclose(result.largest, largest, rtol=1e-9)


def test_the_statistics_are_welchs_and_students_t(rng):
    a, b = rng.normal(3, 1, (7, 4, 2)), rng.normal(2, 5, (9, 4, 2))
    np.testing.assert_allclose(permutation_test(a, b, n=19).t, welch_from_samples(a, b).t, rtol=1e-10)
    np.testing.assert_allclose(permutation_test(a, b[:7], paired=True).t, paired_t(a, b[:7]).t, rtol=1e-10)


def permuted_ols(labels, table, **how):
    """nilearn's result and the labels or signs that it draws inside (its `_permuted_ols_on_chunk`)."""
    from nilearn.mass_univariate import permuted_ols as theirs

    n = 199
    result = theirs(
        labels,
        table,
        model_intercept=how["intercept"],
        n_perm=n,
        random_state=4,
        two_sided_test=True,
        output_type="dict",
    )
    inside = np.random.RandomState(np.random.RandomState(4).randint(1, np.iinfo(np.int32).max - 1))
    drawn, now = [], np.asarray(labels).ravel()
    for _ in range(n):
        now = (
            now[inside.permutation(len(now))] if how["intercept"] else now * (inside.randint(2, size=len(now)) * 2 - 1)
        )
        drawn.append(now)
    return result, np.array(drawn) > 0


def test_it_is_nilearns_on_the_same_shuffles(rng):
    a, b = rng.normal(0.4, 1, (15, 40)), rng.normal(0, 1, (15, 40))  # equal sizes: Welch's t is the pooled t
    labels = np.repeat([1.0, 0.0], 15)[:, None]
    theirs, flags = permuted_ols(labels, np.concatenate([a, b]), intercept=True)
    test = MaxT(Arrangements(Sides.of(15, 15), flags))
    test.update(a, b)
    ours = test.result()[0]
    np.testing.assert_allclose(ours.t, theirs["t"][0], rtol=1e-9)
    np.testing.assert_allclose(ours.largest, theirs["h0_max_t"][0], rtol=1e-9)
    np.testing.assert_allclose(ours.p_max, 10 ** -theirs["logp_max_t"][0], rtol=1e-12)


def test_it_is_nilearns_on_the_same_sign_flips(rng):
    a, b = rng.normal(0.4, 1, (15, 40)), rng.normal(0, 1, (15, 40))
    theirs, flags = permuted_ols(np.ones((15, 1)), a - b, intercept=False)
    test = MaxT(Arrangements(Sides.of(15, 15, paired=True), flags))
    test.update(a, b)
    ours = test.result()[0]
    np.testing.assert_allclose(ours.t, theirs["t"][0], rtol=1e-9)
    np.testing.assert_allclose(ours.largest, theirs["h0_max_t"][0], rtol=1e-9)
    np.testing.assert_allclose(ours.p_max, 10 ** -theirs["logp_max_t"][0], rtol=1e-12)


def test_exact_p_is_scipys(rng):
    a, b = rng.normal(0.8, 1, (5, 30)), rng.normal(0, 1, (5, 30))

    def measure(x, y, axis):
        return np.abs(stats.ttest_ind(x, y, axis=axis, equal_var=False).statistic)

    exact = stats.permutation_test(
        (a, b), measure, vectorized=True, n_resamples=np.inf, alternative="greater", axis=0
    ).pvalue
    np.testing.assert_allclose(permutation_test(a, b).p, exact, rtol=1e-12)


def cut(table, places):
    return [table[:, i:j] for i, j in pairwise([0, *sorted(places), table.shape[1]])]


UNEQUAL = ([0, 0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 2, 2, 3, 3, 3, 4, 5, 6, 7])
HOW = ({}, {"groups": (np.arange(12) // 2, 20 + np.arange(12) // 3)}, {"paired": True}, {"groups": UNEQUAL})


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sets(st.integers(1, 299), max_size=5),
    st.integers(1, 5),
    st.sampled_from(["float32", "float64"]),
    st.sampled_from(HOW),
)
def test_cuts_and_block_sizes_change_no_bit(places, log_units, dtype, how):
    generator = np.random.default_rng(5)
    a, b = (side.astype(dtype) for side in noise(generator, 12, 12, 300))
    whole = permutation_test(a, b, n=39, **how)
    blocks = list(zip(cut(a, places), cut(b, places), strict=True))
    parts = [MaxT(arrange(Sides.of(12, 12, **how), n=39)) for _ in range(2)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sums, "UNITS", 7**log_units)
        patched.setattr("broca.stats.permutation.ROWS", 2**log_units)
        for i, (x, y) in enumerate(blocks):
            parts[i >= 2].update(np.asfortranarray(x) if i % 2 else x, y)
    results = (parts[0] + parts[1]).result()
    for name in ("t", "p", "p_max"):
        joined = np.concatenate([getattr(result, name) for result in results])
        assert joined.tobytes() == getattr(whole, name).tobytes()
    assert results[0].largest.tobytes() == whole.largest.tobytes()


def test_blocks_keep_their_shapes_and_share_their_family(rng):
    a, b = rng.normal(size=(10, 2, 3)), rng.normal(size=(10, 2, 3))
    test = MaxT(arrange(Sides.of(10, 10), n=99))
    test.update(a, b)
    test.update(a[:, 0, :1] * 0 + rng.normal(9, 1, (10, 1)), b[:, 0, :1])
    first, second = test.result()
    assert first.t.shape == (2, 3)
    assert second.p_max.shape == (1,)
    assert first.largest is second.largest
    assert (first.p_max >= permutation_test(a, b, n=99).p_max).all()


def test_moments_of_groups_are_as_good_as_their_stimuli(rng):
    a, b = noise(rng, 11, 13)

    def moments(side, labels):
        parts = [side[np.asarray(labels) == g] for g in dict.fromkeys(np.asarray(labels).tolist())]
        means = np.array([part.mean(0) for part in parts])
        m2 = np.array([((part - part.mean(0)) ** 2).sum(0) for part in parts])
        return GroupMoments([len(part) for part in parts], means, m2)

    values = permutation_test(a, b, groups=TEMPLATES, n=199)
    kept = permutation_test(moments(a, TEMPLATES[0]), moments(b, TEMPLATES[1]), n=199)
    assert kept.scheme == values.scheme == "groups"
    np.testing.assert_allclose(kept.t, values.t, rtol=1e-9)
    np.testing.assert_array_equal(kept.p_max, values.p_max)


def test_p_is_uniform_under_the_null(rng):
    a, b = rng.normal(size=(10, 2000)), rng.normal(size=(12, 2000))
    p = permutation_test(a, b, n=199, seed=1).p
    assert stats.kstest(p, "uniform").statistic < 0.05
    assert 0.03 < (p <= 0.05).mean() < 0.07


@pytest.mark.parametrize("scheme", ["stimuli", "groups", "pairs"])
def test_the_family_wise_p_holds_for_all_units_at_once(scheme):
    false = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        values = generator.normal(size=(24, 1)) + generator.normal(size=(24, 60))  # correlated units
        how = {}
        if scheme == "groups":
            values += np.repeat(generator.normal(size=(12, 60)), 2, axis=0)
            how["groups"] = (np.arange(12) // 2, 6 + np.arange(12) // 2)
        if scheme == "pairs":
            values += np.tile(generator.normal(size=(12, 60)), (2, 1))
            how["paired"] = True
        false += permutation_test(values[:12], values[12:], n=99, seed=seed, **how).p_max.min() <= 0.05
    assert false / 200 <= 0.10  # 0.05 expected


def test_groups_that_are_shuffled_one_by_one_would_pass_for_an_effect():
    generator = np.random.default_rng(0)
    values = np.repeat(generator.normal(size=(12, 300)), 8, axis=0)  # templates differ, sides do not
    groups = np.repeat(np.arange(12), 8)
    alone = permutation_test(values[:48], values[48:], n=199)
    together = permutation_test(values[:48], values[48:], n=199, groups=(groups[:48], groups[48:]))
    assert (alone.p <= 0.05).mean() > 0.3
    assert (together.p <= 0.05).mean() < 0.1


def test_pairs_find_what_their_common_part_hides(rng):
    common = rng.normal(0, 5, (20, 1))
    a, b = common + rng.normal(1, 1, (20, 30)), common + rng.normal(0, 1, (20, 30))
    assert (permutation_test(a, b, paired=True).p_max <= 0.05).mean() > 0.5
    assert (permutation_test(a, b).p_max <= 0.05).mean() < 0.1


def test_a_planted_unit_is_found(rng):
    a, b = rng.normal(size=(30, 50)), rng.normal(size=(30, 50))
    a[:, 7] += 3
    result = permutation_test(a, b, n=199)
    assert result.p_max[7] == result.smallest_p == 1 / 200
    assert (np.delete(result.p_max, 7) > 0.05).all()
    assert (result.p_max >= result.p).all()
    assert result.largest.shape == (199,)


@pytest.mark.parametrize("n", [1000, 60])
@pytest.mark.parametrize("alpha", [0.03, 0.05, 0.5, 0.99])
def test_the_critical_t_parts_what_is_significant_from_what_is_not(rng, n, alpha):
    a, b = rng.normal(0.9, 1, (4, 300)), rng.normal(size=(4, 300))
    result = permutation_test(a, b, n=n, alpha=0.05)
    assert result.exact == (n == 1000)
    np.testing.assert_array_equal(result.p_max <= alpha, np.abs(result.t) > result.critical(alpha) * (1 + 1e-9))


def test_no_t_is_critical_where_no_p_is_small_enough(rng):
    assert permutation_test(rng.normal(size=9), rng.normal(size=9), n=19).critical(0.01) == np.inf


def test_scale_and_sign_do_not_matter(rng):
    a, b = rng.normal(1, 1, (8, 3)), rng.normal(0, 1, (8, 3))
    first = permutation_test(a, b, n=99)
    scaled = permutation_test(a * [1e-8, 1, -1e8], b * [1e-8, 1, -1e8], n=99)
    np.testing.assert_array_equal(first.p, scaled.p)
    np.testing.assert_array_equal(first.p_max, scaled.p_max)


def test_dead_units_have_no_p_and_disturb_nobody(rng):
    a, b = rng.normal(1, 1, (8, 3)), rng.normal(0, 1, (8, 3))
    with_dead = [np.insert(np.insert(side, 1, 0.1, axis=1), 0, np.nan, axis=1) for side in (a, b)]
    with_dead[0][0, 0] = np.inf
    result, plain = permutation_test(*with_dead, n=99), permutation_test(a, b, n=99)
    for name in ("t", "p", "p_max"):
        assert np.isnan(getattr(result, name)[[0, 2]]).all()
        np.testing.assert_array_equal(getattr(result, name)[[1, 3, 4]], getattr(plain, name))


def test_entirely_separated_samples_are_as_extreme_as_can_be():
    result = permutation_test(np.ones((10, 1)), np.zeros((10, 1)), n=99, seed=1)
    assert result.p == pytest.approx(0.01)
    assert np.isfinite(result.t)


@pytest.mark.parametrize("outlier", [1e3, 1e5])
def test_an_outlier_costs_few_digits(rng, outlier):
    a, b = rng.normal(size=(40, 5)), rng.normal(size=(50, 5))
    a[3] = outlier
    np.testing.assert_allclose(permutation_test(a, b, n=19).t, welch_from_samples(a, b).t, rtol=1e-9)


def test_ties_count_for_the_arrangements_that_repeat_the_data():
    a, b = np.array([[0.1], [0.2], [0.2], [0.3]]), np.array([[0.1], [0.2], [0.1], [0.3]])
    result = permutation_test(a, b, alpha=0.2)
    null = [abs(stats.ttest_ind(*x, equal_var=False).statistic) for x in both_ways(np.concatenate([a, b]).ravel())]
    assert result.p == np.mean(np.array(null) >= abs(result.t) - 1e-7)


def both_ways(values):
    for flags in product((True, False), repeat=len(values)):
        if sum(flags) == len(values) // 2:
            yield values[np.array(flags)], values[~np.array(flags)]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: permutation_test([1.0], [1.0, 2.0]), "1 and 2 stimuli"),
        (lambda: permutation_test(np.zeros((9, 2)), np.zeros((9, 4))), "Units differ"),
        (lambda: permutation_test(np.zeros((9, 2)), np.zeros((9, 2))), "None of 2 units varies"),
        (lambda: permutation_test([1.0, 2.0], [1.0, 2.0]), r"at least 4 \+ 4 stimuli"),
        (lambda: permutation_test(np.eye(9), np.eye(9), groups=(np.zeros(9), np.zeros(9))), "at least 6 pairs"),
        (lambda: MaxT(arrange(Sides.of(9, 9))).update(np.eye(8), np.eye(9)), "a has shape .8, 8., for 9"),
        (lambda: MaxT(arrange(Sides.of(9, 9))) + MaxT(arrange(Sides.of(9, 9), seed=1)), "do not add up"),
        (lambda: MaxT(arrange(Sides.of(9, 9))).result(), "None of 0 units"),
        (lambda: permutation_test(np.eye(2), np.eye(2), groups=([0, 0], [0, 1]), alpha=0.5), "groups of 2 or"),
    ],
)
def test_what_is_undefined_is_said(call, words):
    with pytest.raises(StatisticsError, match=words):
        call()
