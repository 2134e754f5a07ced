"""Bootstrap overlap against a loop over resampled tables, where units are planted and where nothing is."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from broca.errors import StatisticsError
from broca.stats import stability
from broca.stats.exchange import Sides
from broca.stats.mean_tests import welch_from_samples
from broca.stats.reliability import chance_overlap, jaccard
from broca.stats.stability import bootstrap_overlap
from broca.stats.sums import GroupMoments

TEMPLATES = (np.arange(20) // 4, 10 + np.arange(24) // 3)


@pytest.fixture
def rng():
    return np.random.default_rng(23)


@pytest.fixture
def planted(rng):
    a, b = rng.normal(size=(40, 500)), rng.normal(size=(40, 500))
    a[:, :10] += 3
    return a, b


@pytest.mark.parametrize("how", [{}, {"groups": TEMPLATES}, {"groups": ([*range(20)], [*range(20), 0, 0, 1, 1])}])
@pytest.mark.parametrize("signed", [True, False])
def test_it_is_what_resampled_tables_choose(rng, how, signed):
    a, b = rng.normal(3, 2, (20, 60)) * np.logspace(-6, 6, 60), rng.normal(3, 2, (24, 60)) * np.logspace(-6, 6, 60)
    ours = bootstrap_overlap(a, b, count=6, signed=signed, n=12, shuffles=0, seed=2, **how)
    sides = Sides.of(20, 24, **how)
    masks = []
    for weights in stability._bootstrap_counts(sides, sides.observed_flags, 12, np.random.default_rng(2)).astype(int):
        t = welch_from_samples(np.repeat(a, weights[sides.a], axis=0), np.repeat(b, weights[sides.b], axis=0)).t
        masks.append(np.isin(np.arange(60), np.argsort(-(t if signed else abs(t)))[:6]))
    t = welch_from_samples(a, b).t
    whole = np.isin(np.arange(60), np.argsort(-(t if signed else abs(t)))[:6])
    np.testing.assert_allclose(ours.frequency, np.mean(masks, axis=0))
    pairs = [jaccard(x, y) for x, y in combinations(masks, 2)]
    assert ours.jaccard.value == pytest.approx(np.mean(pairs))
    assert (ours.jaccard.low, ours.jaccard.high) == pytest.approx(np.quantile(pairs, [0.025, 0.975]))
    assert ours.whole == pytest.approx(np.mean([jaccard(x, whole) for x in masks]))
    assert ours.chance == chance_overlap(6, 6, 60).jaccard
    assert (ours.k, ours.n) == (6, 12)
    assert np.isnan(ours.noise)


def test_the_maps_are_welchs_t(rng):
    a, b = rng.normal(1, 1, (6, 30)), rng.normal(0, 3, (24, 30))
    sides = Sides.of(6, 24)
    drawn = stability._bootstrap_counts(sides, sides.observed_flags, 5, rng).astype(int)
    t = stability._maps(a, b, sides, np.zeros(30, bool), np.vstack([np.ones(30), drawn]))
    for row, weights in zip(t, [np.ones(30, int), *drawn], strict=True):
        resampled = (np.repeat(side, weights[of], axis=0) for side, of in ((a, sides.a), (b, sides.b)))
        np.testing.assert_allclose(row, welch_from_samples(*resampled).t, rtol=1e-6)


@pytest.mark.parametrize("how", [{}, {"groups": TEMPLATES}, {"paired": True}])
def test_groups_are_drawn_within_their_side(how):
    sides = Sides.of(20, 24 if not how.get("paired") else 20, **how)
    weights = stability._bootstrap_counts(sides, sides.observed_flags, 50, np.random.default_rng(0))
    one_sided = sides.n_groups - sides.n_both
    assert (weights[:, : sides.n_only_a].sum(1) == sides.n_only_a).all()
    assert (weights[:, sides.n_only_a : one_sided].sum(1) == sides.n_only_b).all()
    assert (weights[:, one_sided:].sum(1) == sides.n_both).all()
    assert len(np.unique(weights, axis=0)) > 40


def test_planted_units_are_chosen_again_and_again(planted):
    found = bootstrap_overlap(*planted, count=10)
    assert found.jaccard.value > 0.95
    assert found.jaccard.high == 1
    assert found.noise < 0.3
    assert (found.frequency[:10] > 0.95).all()
    assert found.frequency.sum() == pytest.approx(10)


def test_where_nothing_is_resamples_agree_no_more_than_on_shuffled_labels(rng):
    a, b = rng.normal(size=(40, 3000)), rng.normal(size=(40, 3000))
    found = bootstrap_overlap(a, b, count=30)
    assert found.jaccard.value > 5 * found.chance  # why chance is not the measure
    assert found.jaccard.value == pytest.approx(found.noise, abs=0.05)


def test_templates_count_once(rng):
    effects = rng.normal(size=(8, 400))
    a = np.repeat(effects[:4], 10, axis=0) + 0.1 * rng.normal(size=(40, 400))
    b = np.repeat(effects[4:], 10, axis=0) + 0.1 * rng.normal(size=(40, 400))
    alone = bootstrap_overlap(a, b, count=20, shuffles=0)
    groups = (np.arange(40) // 10, 4 + np.arange(40) // 10)
    assert bootstrap_overlap(a, b, count=20, shuffles=0, groups=groups).jaccard.value < alone.jaccard.value - 0.1


def test_moments_of_groups_are_as_good_as_their_stimuli(rng):
    a, b = rng.normal(1, 1, (20, 50)), rng.normal(0, 1, (24, 50))

    def moments(side, labels):
        parts = [side[labels == g] for g in np.unique(labels)]
        m2 = np.array([((part - part.mean(0)) ** 2).sum(0) for part in parts])
        return GroupMoments([len(part) for part in parts], np.array([part.mean(0) for part in parts]), m2)

    kept = bootstrap_overlap(*(moments(x, g) for x, g in zip((a, b), TEMPLATES, strict=True)), count=5, n=30)
    values = bootstrap_overlap(a, b, groups=TEMPLATES, count=5, n=30)
    assert kept.jaccard == values.jaccard
    assert kept.noise == pytest.approx(values.noise, nan_ok=True)
    np.testing.assert_array_equal(kept.frequency, values.frequency)


def test_any_rule_may_choose(planted):
    a, b = (side.reshape(40, 50, 10) for side in planted)
    by_count = bootstrap_overlap(a, b, count=10, n=20)
    by_rule = bootstrap_overlap(a, b, choose=lambda t: t >= np.sort(t.ravel())[-10], n=20)
    assert by_rule.jaccard == by_count.jaccard
    assert by_rule.frequency.shape == (50, 10)
    strict = bootstrap_overlap(a, b, choose=lambda t: t > 9, n=20)
    assert strict.k < 10
    assert np.isnan(strict.noise)  # where labels are shuffled, nothing passes


def test_dead_units_are_never_chosen_and_no_part_of_chance(planted):
    dead = np.full((40, 100), np.nan)
    dead[:, 50:] = 7
    found = bootstrap_overlap(*(np.hstack([dead, side]) for side in planted), count=10, shuffles=0)
    assert not found.frequency[:100].any()
    assert found.chance == chance_overlap(10, 10, 500).jaccard


def test_the_seed_decides(planted):
    a, b = planted[0][:, 5:], planted[1][:, 5:]
    assert bootstrap_overlap(a, b, count=9, n=20).jaccard == bootstrap_overlap(a, b, count=9, n=20).jaccard
    assert bootstrap_overlap(a, b, count=9, n=20).jaccard != bootstrap_overlap(a, b, count=9, n=20, seed=1).jaccard


NOISE = np.random.default_rng(0).normal(size=(2, 9, 5))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bootstrap_overlap(*NOISE), "count is None"),
        (lambda: bootstrap_overlap(*NOISE, count=0), "count is 0"),
        (lambda: bootstrap_overlap(*NOISE, count=6), "6 units cannot be chosen of 5"),
        (lambda: bootstrap_overlap(*NOISE, count=1, n=1), "at least 2"),
        (lambda: bootstrap_overlap(*NOISE, count=1, groups=([0] * 9, None)), "A side is 1 group"),
        (lambda: bootstrap_overlap(*NOISE, choose=lambda t: t > 99), "resamples choose a unit"),
        (lambda: bootstrap_overlap(*NOISE, choose=lambda t: t[:2] > 0), r"bool of shape \(2,\)"),
        (lambda: bootstrap_overlap(*NOISE, choose=np.argsort), "int64 of shape"),
        (lambda: bootstrap_overlap(*NOISE, count=1, level=2), "level is 2"),
    ],
)
def test_what_is_undefined_is_said(call, words):
    with pytest.raises(StatisticsError, match=words):
        call()
