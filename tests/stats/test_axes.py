"""Axes between two sets: the planted one is found, erasers erase, and what is known to fail fails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from broca.errors import StatisticsError
from broca.stats.axes import auroc, cosine, fit_axis, held_out_places, leace

GOLDEN = json.loads((Path(__file__).parent / "leace_golden.json").read_text())


def planted(n: int, d: int = 64, *, shift: float = 4.0, nuisance: float = 3.0, seed: int = 0):
    """Pairs that differ by a shift along one axis, and by a stronger nuisance along another."""
    draw = np.random.default_rng(seed)
    basis = np.linalg.qr(draw.normal(size=(d, 2)))[0]
    base = draw.normal(size=(n, d))
    wander = nuisance / 2**0.5 * draw.normal(size=(2, n, 1)) * basis[:, 1]
    noise = 0.3 * draw.normal(size=(2, n, d))
    return base + shift * basis[:, 0] + wander[0] + noise[0], base + wander[1] + noise[1], basis[:, 0]


@pytest.mark.parametrize("method", ["mean", "pca"])
def test_the_planted_axis_is_found_beside_a_stronger_nuisance(method):
    a, b, truth = planted(64)
    axis = fit_axis(a, b, method, paired=True)
    assert cosine(axis.vector, truth) > 0.9


def test_centred_pca_of_differences_loses_the_planted_axis():
    a, b, truth = planted(64)
    centred = PCA(1).fit(a - b).components_[0]
    assert abs(cosine(centred, truth)) < 0.3


@pytest.mark.parametrize("method", ["mean", "pca", "logistic", "leace"])
def test_the_means_of_both_sides_lie_one_apart_and_the_reader_reads_the_vector(method):
    a, b, _ = planted(40, 12, seed=3)
    axis = fit_axis(a, b, method, paired=True)
    assert axis.reader @ axis.vector == pytest.approx(1)
    assert axis.places(a).mean() == pytest.approx(0.5)
    assert axis.places(b).mean() == pytest.approx(-0.5)


def test_the_logistic_axis_is_that_of_scikit_learn():
    a, b, _ = planted(60, 8, seed=5)
    x, y = np.concatenate([a, b]), np.repeat([1, 0], 60)
    probe = LogisticRegression(max_iter=2000).fit((x - x.mean(0)) / x.std(0), y)
    assert cosine(fit_axis(a, b, "logistic").vector, probe.coef_[0] / x.std(0)) == pytest.approx(1, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(4, 60), st.integers(2, 30), st.integers(1, 3), st.integers(0, 10**6))
@example(29, 26, 1, 1857)  # a direction of the points that holds a billionth of the largest one's variance
def test_law_what_was_erased_covaries_with_nothing_and_erasing_twice_is_erasing_once(n, d, k, seed):
    draw = np.random.default_rng(seed)
    x, z = draw.normal(size=(n, d)) @ draw.normal(size=(d, d)) + draw.normal(size=d), draw.normal(size=(n, k))
    eraser = leace(x, z)
    rest = eraser(x)
    size = np.abs(x - x.mean(0)).max() * np.abs(z).max()
    assert np.abs((rest - rest.mean(0)).T @ (z - z.mean(0))).max() / n <= 1e-9 * size
    assert np.abs(eraser(rest) - rest).max() <= 1e-9 * np.abs(x).max()
    assert np.allclose(rest.mean(0), x.mean(0))


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: f"n{case['n']}-d{case['d']}-k{case['k']}")
def test_leace_is_that_of_the_package_concept_erasure(case):
    draw = np.random.default_rng(case["seed"])
    x = draw.normal(size=(case["n"], case["d"])) @ draw.normal(size=(case["d"], case["d"]))
    z = (draw.normal(size=(case["n"], case["k"])) + x[:, : case["k"]] > 0).astype(float)
    found = leace(x, z)(x[:3])
    assert np.allclose(found, case["erased"], rtol=0, atol=1e-8 * np.abs(x).max())


def test_a_held_out_probe_is_at_chance_after_leace_and_only_there_where_points_are_many():
    """With fewer points than units the covariance in the sample is 0 all the same, which proves nothing."""
    a, b, _ = planted(400, 20, seed=7)
    x, y = np.concatenate([a, b]), np.repeat([1, 0], 400)
    train = np.arange(800) % 2 == 0
    rest = leace(x[train], y[train])
    probe = LogisticRegression(max_iter=2000).fit(rest(x[train]), y[train])
    assert roc_auc_score(y[~train], probe.decision_function(rest(x[~train]))) < 0.6
    few = np.concatenate([a[:5], b[:5]])
    rest = leace(few, np.repeat([1, 0], 5))
    assert np.abs(np.cov(rest(few).T, np.repeat([1, 0], 5))[-1, :-1]).max() < 1e-9
    fresh = fit_axis(rest(a[5:200]), rest(b[5:200]))
    assert auroc(fresh.places(rest(a[200:])), fresh.places(rest(b[200:]))) > 0.7


def test_auroc_is_that_of_scikit_learn():
    draw = np.random.default_rng(0)
    a, b = draw.integers(0, 9, 40), draw.integers(0, 7, 30)
    assert auroc(a, b) == pytest.approx(roc_auc_score(np.repeat([1, 0], [40, 30]), np.concatenate([a, b])))


def test_held_out_places_of_noise_tell_nothing_though_the_fit_does():
    draw = np.random.default_rng(1)
    a, b = draw.normal(size=(2, 30, 100))
    groups = ([f"{i}" for i in range(30)], [f"{i}" for i in range(30)])
    assert auroc(*(fit_axis(a, b).places(side) for side in (a, b))) > 0.95
    assert 0.2 < auroc(*held_out_places(a, b, groups)) < 0.8


@pytest.mark.parametrize(
    ("a", "b", "how", "why"),
    [
        (np.ones((3, 2)), np.ones((3, 2)), {}, "same"),
        (np.ones((1, 2)), np.ones((3, 2)), {}, "2 points or more"),
        (np.full((3, 2), np.nan), np.ones((3, 2)), {}, "finite"),
        (np.ones((3, 2)), np.zeros((4, 2)), {"paired": True}, "paired"),
        (np.ones((3, 2)), np.zeros((4, 2)), {"method": "centred"}, "mean, pca"),
    ],
)
def test_impossible_axes_are_refused(a, b, how, why):
    with pytest.raises(StatisticsError, match=why):
        fit_axis(a, b, **how)


def test_labels_that_covary_with_nothing_cannot_be_erased():
    with pytest.raises(StatisticsError, match="covary"):
        leace(np.eye(4), np.ones(4))


def test_law_held_at_place_0_about_its_origin_an_axis_of_leace_is_the_eraser_whatever_the_sides_numbers():
    draw = np.random.default_rng(4)
    a, b = draw.normal(size=(90, 5)) + 1, draw.normal(size=(10, 5))
    axis, points = fit_axis(a, b, "leace"), np.concatenate([a, b])
    eraser = leace(points, np.repeat([1.0, 0.0], [90, 10]))
    held = points - ((points - axis.origin) @ axis.reader)[:, None] * axis.vector
    assert np.allclose(held, eraser(points))
    assert np.allclose(axis.places(a).mean(), 0.5)
