"""Matched random controls."""

from __future__ import annotations

import numpy as np
import pytest

from broca.errors import SelectionError
from broca.sites import Site
from broca.units import UnitMask, draw_like, random_like, subset

A, B, C = (Site(layer, "resid_post") for layer in range(3))
SIZES = {site: np.random.default_rng(i).lognormal(size=200) for i, site in enumerate((A, B, C))}
LARGE = UnitMask({site: sizes >= np.sort(sizes)[-20] for site, sizes in SIZES.items()})
EVERY_FIFTH = UnitMask.of({A: range(0, 100, 5), B: range(0, 200, 20), C: []}, n=200)


def per_site(mask):
    return [int(flags.sum()) for flags in mask.at.values()]


def test_each_site_gets_as_many():
    drawn = random_like(EVERY_FIFTH, seed=0)
    assert per_site(drawn) == [20, 10, 0]
    assert (drawn & EVERY_FIFTH).count == 0


def test_size_is_matched_too():
    drawn = draw_like(EVERY_FIFTH, seed=0, match=("layer", "size"), size=SIZES)
    assert drawn.n_neighbour == 0
    for site in (A, B):
        limits = np.quantile(SIZES[site], np.arange(1, 10) / 10)
        wanted, got = (
            np.bincount(np.digitize(SIZES[site][mask.at[site]], limits), minlength=10)
            for mask in (EVERY_FIFTH, drawn.mask)
        )
        np.testing.assert_array_equal(wanted, got)


def test_an_exhausted_bin_borrows_from_its_neighbour():
    drawn = draw_like(LARGE, seed=0, match=("layer", "size"), size=SIZES)
    assert per_site(drawn.mask) == [20, 20, 20]
    assert drawn.n_neighbour == 60  # the top bins are the mask itself
    for site in (A, B, C):
        assert (np.argsort(np.argsort(-SIZES[site]))[drawn.mask.at[site]] < 40).all()
    assert draw_like(LARGE, seed=0, match=("layer", "size"), size=SIZES, among="all").mask == LARGE


def test_without_layer_the_draw_goes_anywhere():
    counts = np.array([per_site(random_like(EVERY_FIFTH, seed=seed, match=())) for seed in range(200)])
    assert (counts.sum(1) == 30).all()
    assert (counts.mean(0) > 8).all()
    somewhere = random_like(
        UnitMask.of({A: [0]}, n=200), seed=3, match=(), alive=dict.fromkeys((A, B), np.ones(200, bool))
    )
    assert somewhere.sites == (A, B)
    assert somewhere.count == 1


def test_dead_units_are_not_drawn():
    alive = {site: np.arange(200) % 2 == 1 for site in (A, B, C)}
    for seed in range(20):
        drawn = random_like(EVERY_FIFTH, seed=seed, alive=alive, match=("layer", "size"), size=SIZES)
        assert not (drawn & ~UnitMask(alive)).count


def test_size_bins_are_quantiles_of_the_living():
    size = {A: np.concatenate([np.zeros(80), np.arange(1.0, 21)])}  # 80 dead units would fill the lower bins alone
    alive = {A: size[A] > 0}
    mask = UnitMask.of({A: [80, 99]}, n=100)
    for seed in range(20):
        drawn = random_like(mask, seed=seed, alive=alive, match=("layer", "size"), size=size, n_bins=5)
        small, large = size[A][drawn.at[A]]
        assert 2 <= small <= 4
        assert 17 <= large <= 19


def test_draws_are_their_seed():
    draws = [random_like(EVERY_FIFTH, seed=seed, match=("layer", "size"), size=SIZES) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_draws_are_uniform_within_their_bins():
    mask, n = UnitMask.of({A: [0, 1]}, n=10), 1000
    hits = sum(random_like(mask, seed=seed).at[A].astype(int) for seed in range(n))
    assert hits[:2].sum() == 0
    np.testing.assert_allclose(hits[2:] / n, 0.25, atol=0.06)  # 4.4 standard errors
    hits = sum(random_like(mask, seed=seed, among="all").at[A].astype(int) for seed in range(n))
    np.testing.assert_allclose(hits / n, 0.2, atol=0.056)


def test_heads_are_drawn_as_units_are():
    mask = UnitMask.heads("0.0,0.1,2.3", n_heads=4)
    size = {site: np.arange(4.0) for site in mask.sites}
    drawn = draw_like(mask, seed=0, match=("layer", "size"), size=size)
    assert drawn.mask == UnitMask.of(
        {"0.z": [2, 3], "2.z": drawn.mask.at[Site(2, "z")].nonzero()[0]}, n=4, grain="head"
    )
    assert drawn.n_neighbour == 3
    assert drawn.mask.at[Site(2, "z")][2], "head 2 is next in size to head 3"


def test_a_dead_unit_in_the_mask_stands_for_a_small_one():
    size = {A: np.array([np.nan, 1, 2, 3, 4, 5, 6, 7, 8, 9])}
    alive = {A: np.arange(10) > 0}
    drawn = random_like(UnitMask.of({A: [0]}, n=10), seed=0, alive=alive, match=("layer", "size"), size=size, n_bins=9)
    assert drawn == UnitMask.of({A: [1]}, n=10)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"match": ("size",)}, "give size"),
        ({"match": ("norm",)}, "match on 'layer'"),
        ({"among": "others"}, "'all' or 'rest'"),
        ({"n_bins": 0}, "1 or more bins"),
        ({"alive": {A: np.ones(200, bool)}}, "have site 1.resid_post, which is not here"),
        ({"alive": dict.fromkeys((A, B, C), np.ones(7, bool))}, "This site has 7 units"),
        (
            {"alive": dict.fromkeys((A, B, C), np.arange(200) < 19)},
            "20 random units are needed at 0.resid_post, but only 15",
        ),
        ({"match": ("size",), "size": {A: SIZES[A], B: SIZES[B]}}, "sizes lack site 2.resid_post"),
        (
            {"match": ("size",), "size": dict.fromkeys((A, B, C), np.full(200, np.nan))},
            "600 alive units have no finite size",
        ),
    ],
)
def test_draws_that_cannot_be_made(fields, words):
    with pytest.raises(SelectionError, match=words):
        random_like(EVERY_FIFTH, seed=0, **fields)


def test_a_part_of_a_mask():
    part = subset(EVERY_FIFTH, 7, seed=0)
    assert part.count == 7
    assert (part - EVERY_FIFTH).count == 0
    assert subset(EVERY_FIFTH, 30, seed=0) == EVERY_FIFTH
    for count in (0, 31):
        with pytest.raises(SelectionError, match="Give 1 to 30"):
            subset(EVERY_FIFTH, count, seed=0)
