"""Random vectors share what they are said to share, and deals of groups keep groups together."""

from __future__ import annotations

import numpy as np
import pytest

from broca.errors import StatisticsError
from broca.stats.axes import auroc, fit_axis
from broca.stats.axis_draws import (
    half_cosine,
    null_aurocs,
    random_vectors,
    shuffled_sides,
    shuffled_vectors,
    variance_along,
)
from broca.stats.dose_trend import dose_trend
from broca.stats.exchange import Sides, arrange, random_flags


def stream(n=200, d=40, seed=0):
    """Points that vary along a few directions far more than along others, as a residual stream does."""
    draw = np.random.default_rng(seed)
    return draw.normal(size=(n, d)) * np.geomspace(10, 0.1, d) @ np.linalg.qr(draw.normal(size=(d, d)))[0]


@pytest.mark.parametrize("family", ["norm", "variance"])
def test_random_vectors_have_the_norm_and_are_all_different(family):
    vector = np.arange(1.0, 41)
    found = random_vectors(vector, stream(), 30, family=family, seed=0)
    assert np.allclose(np.linalg.norm(found, axis=1), np.linalg.norm(vector))
    assert np.linalg.matrix_rank(found) == 30
    assert np.array_equal(found, random_vectors(vector, stream(), 30, family=family, seed=0))


@pytest.mark.parametrize("place", [0, 3, 20])
def test_those_of_a_variance_vary_as_much_on_average_and_isotropic_ones_do_not(place):
    points = stream()
    directions = np.linalg.svd(points - points.mean(0))[2]
    vector = directions[place] + 0.5 * directions[place + 1]
    wanted = variance_along(vector, points)
    found = [variance_along(each, points) for each in random_vectors(vector, points, 400, family="variance", seed=1)]
    isotropic = [variance_along(each, points) for each in random_vectors(vector, points, 400, family="norm", seed=1)]
    assert np.mean(found) == pytest.approx(wanted, rel=0.35)
    assert abs(np.mean(isotropic) - wanted) > 0.5 * min(wanted, np.mean(isotropic))


def test_a_wider_space_than_points_is_matched_too():
    points = stream(12)
    vector = points[0] - points[1]
    found = random_vectors(vector, points, 200, family="variance", seed=0)
    assert np.mean([variance_along(each, points) for each in found]) > 5 / 40


def test_points_that_do_not_vary_are_refused():
    with pytest.raises(StatisticsError, match="do not vary"):
        random_vectors(np.ones(3), np.ones((4, 3)), 2, family="variance", seed=0)


@pytest.mark.parametrize("groups", [(list("aabbcc"), list("ddeeff")), (list("abcdef"), list("abcdef"))])
def test_deals_move_whole_groups_and_the_observed_one_moves_nothing(groups):
    a, b = np.arange(6.0)[:, None], np.arange(6.0, 12)[:, None]
    sides = Sides.of(6, 6, groups=groups)
    same = shuffled_sides(a, b, sides, sides.observed_flags)
    assert [part[:, 0].tolist() for part in same] == [a[:, 0].tolist(), b[:, 0].tolist()]
    labels = np.array([*groups[0], *groups[1]])
    for flags in random_flags(sides, 20, np.random.default_rng(0)):
        one, two = shuffled_sides(a, b, sides, flags)
        assert sorted([*one[:, 0], *two[:, 0]]) == list(range(12))
        if sides.n_both:
            assert len(one) == len(two) == 6
        else:
            assert not set(labels[one[:, 0].astype(int)]) & set(labels[two[:, 0].astype(int)])


def test_the_null_of_a_separation_is_about_a_half_and_its_p_is_uniform_under_noise():
    draw = np.random.default_rng(0)
    labels = ([f"a{i // 2}" for i in range(16)], [f"b{i // 2}" for i in range(16)])
    sides = Sides.of(16, 16, groups=labels)
    a, b = draw.normal(size=(2, 16, 12))
    null = null_aurocs(a, b, sides, labels, 60, method="mean", seed=0)
    assert 0.35 < np.median(null) < 0.65
    assert len(arrange(sides, n=60)) == 60


def test_directions_of_shuffled_sides_have_the_norm_and_tell_nothing():
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=(2, 40, 60))
    a[:, 0] += 6
    axis = fit_axis(a, b)
    sides = Sides.of(40, 40)
    found = shuffled_vectors(axis.vector, a, b, sides, 40, method="mean", seed=0)
    assert np.allclose(np.linalg.norm(found, axis=1), np.linalg.norm(axis.vector))
    assert auroc(axis.places(a), axis.places(b)) > 0.99
    cosines = np.abs(found @ axis.vector) / np.linalg.norm(axis.vector) ** 2
    assert cosines.mean() < 0.25, "the shift of the sides is in none of them"
    assert half_cosine(a, b, (np.arange(40) % 2, np.arange(40) % 2), "mean") > 0.7


def test_a_trend_is_kendalls_tau_with_the_signs_of_groups_flipped():
    from scipy.stats import kendalltau

    draw = np.random.default_rng(0)
    doses = [-2, -1, 0, 1, 2]
    values = draw.normal(size=(24, 5)) + 1.5 * np.array(doses)
    found = dose_trend(doses, values, groups=np.arange(24) // 2)
    assert found.tau == pytest.approx(np.mean([kendalltau(doses, row).statistic for row in values]))
    assert found.p < 0.01
    assert dose_trend(doses, draw.normal(size=(24, 5)), groups=np.arange(24)).p > 0.01
    assert dose_trend(doses, -values, groups=np.arange(24) // 2).tau == pytest.approx(-found.tau)
    with pytest.raises(StatisticsError, match="different doses"):
        dose_trend([1, 1], np.zeros((3, 2)), groups=np.arange(3))
