"""Published selection rules come out exactly, their quirks included.

The toy map and the masks are facts recorded from the published localizers; the masks are listed as [layer, unit].
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from broca.sites import Site
from broca.stats.mean_tests import welch_from_samples
from broca.units import Select, UnitMask, select, subset

TOY = {
    "top": [[1, 0], [2, 1], [1, 2], [3, 3]],
    "bottom_offby1": [[0, 1], [2, 2], [3, 2], [0, 3], [2, 4]],
    "middle": [[2, 0], [1, 1], [3, 1], [2, 3], [0, 4]],
    "both_tails": [[2, 1], [1, 2], [2, 2], [0, 3]],
    "random_seed1": [[0, 4], [2, 1], [2, 2], [3, 0]],
    "random_seed2": [[0, 0], [0, 1], [0, 3], [2, 4]],
}
T = [
    [-0.256663, 0.955771, 0.065668, -0.366363],
    [-0.966183, 0.020985, 2.920516, 0.109273],
    [0.520912, 1.497196, -1.871862, -0.934696],
    [-1.193273, -0.863507, 0.287033, 1.029466],
    [-0.061574, 0.402092, -0.916553, 0.522835],
]

RULES = Select(
    percent=20, base="all", extra_one=True, ties="threshold", unseeded_zero=True, stream="legacy", order="unit"
)
HOW = {
    "top": RULES,
    "bottom_offby1": replace(RULES, side="bottom"),
    "middle": replace(RULES, side="middle"),
    "both_tails": replace(RULES, side="both"),
    "random_seed1": replace(RULES, side="random", seed=1),
    "random_seed2": replace(RULES, side="random", seed=2),
}


def toy():
    """t of the magnitudes, (unit, layer): eight stimuli on each side, drawn as the recipe says."""
    generator = np.random.default_rng(0)
    positive, negative = generator.normal(0.3, 1, (8, 5, 4)), generator.normal(0, 1, (8, 5, 4))
    return welch_from_samples(np.abs(positive), np.abs(negative)).t


def by_site(matrix):
    """(unit, layer) to one array per layer."""
    return {Site(layer, "resid_post"): matrix[:, layer] for layer in range(matrix.shape[1])}


def as_matrix(mask):
    return np.stack(list(mask.at.values()), axis=1)


def listed(mask):
    return sorted([site.layer, int(unit)] for site, flags in mask.at.items() for unit in np.flatnonzero(flags))


def test_the_toy_map():
    np.testing.assert_allclose(toy(), T, atol=1e-6)


@pytest.mark.parametrize("name", TOY)
def test_the_toy_masks(name):
    assert listed(select(by_site(toy()), HOW[name]).mask) == sorted(TOY[name])


def test_the_recorded_golden_values_are_those_carried_here(shared):
    golden = json.loads((shared / "facts" / "localizer_golden.json").read_text())["toy"]["abs"]
    np.testing.assert_allclose(toy(), golden.pop("t"), atol=1e-6)
    assert golden == TOY


@pytest.mark.parametrize("seed", range(6))
def test_thresholds_let_equals_in(seed):
    generator = np.random.default_rng(seed)
    t = generator.integers(-6, 7, (40, 5)).astype(float)
    t[generator.random(t.shape) < 0.2] = np.nan
    alive, k = np.sort(t[~np.isnan(t)]), 20
    how = replace(RULES, percent=10)
    at = by_site(t)
    assert (as_matrix(select(at, how).mask) == (t >= alive[-k])).all()
    assert (as_matrix(select(at, replace(how, side="bottom")).mask) == (t <= alive[k])).all()
    assert (as_matrix(select(at, replace(how, side="both")).mask) == (np.abs(t) >= np.sort(np.abs(alive))[-k])).all()
    reach = np.sort(np.abs(alive - alive.mean()))[k]
    middle = as_matrix(select(at, replace(how, side="middle")).mask)
    assert (middle == (np.abs(t - alive.mean()) <= reach + 1e-12)).all()


def test_the_middle_is_summed_unit_by_unit():
    """The mean of a published map is taken over unit 0 of all layers, then unit 1: its last bits decide who is on the edge."""
    for seed in range(60):
        generator = np.random.default_rng(seed)
        t = generator.normal(size=(37, 7))
        t[generator.random(t.shape) < 0.2] = np.nan
        alive, k = t[~np.isnan(t)], int(0.1 * t.size)
        mean = np.mean(alive)
        reach = np.partition(np.abs(alive - mean), k)[k]
        found = select(by_site(t), replace(RULES, percent=10, side="middle")).mask
        np.testing.assert_array_equal(as_matrix(found), (t >= mean - reach) & (t <= mean + reach))


@pytest.mark.parametrize("seed", [1, 42, 1042])
def test_random_units_are_those_of_the_legacy_stream(seed):
    generator = np.random.default_rng(seed)
    t = generator.normal(size=(30, 4))
    t[generator.random(t.shape) < 0.3] = np.nan
    flat = np.flatnonzero(~np.isnan(t.ravel()))
    legacy = np.random.RandomState(seed)
    expected = np.zeros(t.size, bool)
    expected[flat[legacy.choice(flat.size, 12, replace=False)]] = True
    chosen = select(by_site(t), replace(RULES, percent=10, side="random", seed=seed)).mask
    np.testing.assert_array_equal(as_matrix(chosen).ravel(), expected)


def test_seed_0_was_no_seed():
    at = by_site(np.random.default_rng(0).normal(size=(200, 10)))
    how = Select(percent=10, side="random", seed=0, stream="legacy")
    assert select(at, how).mask == select(at, how).mask
    unseeded = replace(how, unseeded_zero=True)
    assert select(at, unseeded).mask != select(at, unseeded).mask


def test_dense_ranks_count_equals_once():
    at = {
        Site(0, "resid_post"): np.array([3.0, 3, 2, 1, 1, np.nan]),
        Site(1, "resid_post"): np.array([2.0, 0, 0, 0, 0, 0]),
    }
    how = Select(count=2, ties="dense-rank")
    assert listed(select(at, how).mask) == [[0, 0], [0, 1], [0, 2], [1, 0]]
    assert select(at, replace(how, side="bottom")).k == 7
    assert select(at, replace(how, ties="index")).k == 2


def test_a_draw_between_percentiles():
    generator = np.random.default_rng(4)
    t = generator.normal(size=(6, 50))  # (layer, unit), as this localizer stores it
    low, high = np.percentile(t, [40, 60])
    inside = np.flatnonzero((t >= low) & (t <= high))
    expected = np.zeros(t.size, bool)
    expected[np.random.RandomState(42).choice(inside, 15, replace=False)] = True
    how = Select(percent=5, side="random", seed=42, stream="legacy", between=(40, 60))
    chosen = select({Site(layer, "resid_post"): t[layer] for layer in range(6)}, how).mask
    np.testing.assert_array_equal(np.concatenate(list(chosen.at.values())), expected)


def test_a_draw_from_the_complement():
    t = np.random.default_rng(4).normal(size=(3, 20))
    at = {Site(layer, "resid_post"): t[layer] for layer in range(3)}
    top = select(at, Select(count=6)).mask
    outside = np.flatnonzero(~np.concatenate(list(top.at.values())))
    expected = np.zeros(60, bool)
    expected[np.random.RandomState(42).choice(outside, 6, replace=False)] = True
    how = Select(count=6, side="random", among="rest", seed=42, stream="legacy")
    np.testing.assert_array_equal(np.concatenate(list(select(at, how, rest_of=top).mask.at.values())), expected)


def test_a_part_of_a_mask():
    bottom = select(by_site(toy()), HOW["bottom_offby1"]).mask
    places = np.argwhere(as_matrix(bottom))  # (unit, layer)
    kept = places[np.random.default_rng(43).choice(5, 3, replace=False)]
    part = subset(bottom, 3, seed=43, order="unit")
    assert listed(part) == sorted([int(layer), int(unit)] for unit, layer in kept)
    assert isinstance(part, UnitMask)
