"""Selections: which units, how many, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from broca.errors import SelectionError
from broca.sites import Site
from broca.units import Select, UnitMask, select
from broca.units.selection import share

A, B = Site(0, "resid_post"), Site(1, "resid_post")
NAN, INF = np.nan, np.inf


def units(selection):
    return {str(site): np.flatnonzero(flags).tolist() for site, flags in selection.mask.at.items()}


def scores(first, second):
    return {B: np.array(second, float), A: np.array(first, float)}


SCORES = scores([5, -7, NAN, 2], [5, 0, -1, 9])


@pytest.mark.parametrize(
    ("side", "first", "second"),
    [("top", [0], [0, 3]), ("bottom", [1], [1, 2]), ("both", [0, 1], [3]), ("middle", [3], [1, 2])],
)
def test_sides(side, first, second):
    selection = select(SCORES, Select(count=3, side=side))
    assert units(selection) == {"0.resid_post": first, "1.resid_post": second}
    assert (selection.n_units, selection.n_alive, selection.n_dead, selection.k) == (8, 7, 1, 3)


def test_of_equals_the_lower_layer_and_index_go_first():
    flat = scores([1, 1, 1], [1, 1, 2])
    assert units(select(flat, Select(count=3))) == {"0.resid_post": [0, 1], "1.resid_post": [2]}
    assert units(select(flat, Select(count=4, side="bottom"))) == {"0.resid_post": [0, 1, 2], "1.resid_post": [0]}


def test_infinite_scores_rank_and_dead_units_do_not():
    odd = scores([INF, NAN, -INF], [1, 2, 3])
    assert units(select(odd, Select(count=1))) == {"0.resid_post": [0], "1.resid_post": []}
    assert units(select(odd, Select(count=1, side="bottom"))) == {"0.resid_post": [2], "1.resid_post": []}
    assert units(select(odd, Select(count=2, side="both"))) == {"0.resid_post": [0, 2], "1.resid_post": []}
    assert units(select(odd, Select(count=1, side="middle"))) == {"0.resid_post": [], "1.resid_post": [1]}


@pytest.mark.parametrize(
    ("base", "percent", "k"),
    [
        (1000, 0.3, 3),
        (131_072, 1, 1310),
        (163_840, 1, 1638),
        (819_200, 1, 8192),
        (1000, 0.29, 2),
        (100, 29, 29),
        (100, 57, 57),
        (1000, 0.7, 7),
        (3, 100, 3),
        (10, 9.999, 0),
    ],
)
def test_a_percentage_is_not_fooled_by_floats(base, percent, k):
    assert share(base, percent) == k


def test_percent_refers_to_the_living_or_to_all():
    half_dead = scores([NAN] * 100, range(100))
    assert select(half_dead, Select(percent=10)).k == 10
    assert select(half_dead, Select(percent=10, base="all")).k == 20
    assert select(half_dead, Select()).k == 1


def test_within_layer_each_gives_its_percentage():
    uneven = scores(range(10), range(100, 130))
    assert units(select(uneven, Select(percent=20, within="layer"))) == {
        "0.resid_post": [8, 9],
        "1.resid_post": list(range(24, 30)),
    }


def test_within_layer_a_count_is_shared_by_largest_remainders():
    three = {Site(i, "z"): np.arange(n, dtype=float) for i, n in enumerate((5, 3, 2))}
    assert [flags.sum() for flags in select(three, Select(count=4, within="layer")).mask.at.values()] == [2, 1, 1]
    equal = {Site(i, "z"): np.arange(4.0) for i in range(3)}
    assert [flags.sum() for flags in select(equal, Select(count=4, within="layer")).mask.at.values()] == [2, 1, 1]


def test_sites_of_one_layer_compete_within_it():
    both = {
        Site(0, "attn_out"): np.arange(5.0),
        Site(0, "mlp_out"): np.arange(10.0, 15),
        Site(1, "mlp_out"): np.zeros(10),
    }
    chosen = select(both, Select(percent=30, within="layer")).mask
    assert [flags.sum() for flags in chosen.at.values()] == [0, 3, 3]


def test_the_rest_is_what_a_mask_leaves():
    top = select(SCORES, Select(count=3)).mask
    rest = select(SCORES, Select(count=4, among="rest", side="random", seed=0), rest_of=top).mask
    assert rest == UnitMask.of({A: [1, 3], B: [1, 2]}, n=4)
    only_a = UnitMask.of({A: [0]}, n=4)
    assert units(select(SCORES, Select(count=1, among="rest"), rest_of=only_a)) == {
        "0.resid_post": [],
        "1.resid_post": [3],
    }


def test_random_choices_depend_on_the_seed_alone():
    many = scores(range(50), range(50))
    draws = [select(many, Select(percent=10, side="random", seed=seed)).mask for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the global stream must stay as it is
    select(many, Select(percent=10, side="random", stream="legacy"))
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_heads_are_selected_too():
    chosen = select({Site(2, "z"): np.array([1.0, 3, 2])}, Select(count=1), grain="head").mask
    assert chosen == UnitMask.heads("2.1", n_heads=3)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"percent": 1.0, "count": 5}, "Give one of them"),
        ({"percent": 0}, "percent is 0"),
        ({"percent": 100.1}, "percent is 100.1"),
        ({"percent": NAN}, "percent is nan"),
        ({"count": 0}, "count is 0"),
        ({"count": 1.5}, "count is 1.5"),
        ({"seed": -1}, "seed is -1"),
        ({"side": "botom"}, "Did you mean 'bottom'"),
        ({"within": "layers"}, "Did you mean 'layer'"),
        ({"among": "rst"}, "Did you mean 'rest'"),
        ({"ties": "rank"}, "index, threshold, dense-rank"),
        ({"between": (0, 50)}, "side 'random'"),
        ({"between": (50, 50), "side": "random"}, "ascending percentiles"),
    ],
)
def test_selections_that_make_no_sense(fields, words):
    with pytest.raises(SelectionError, match=words):
        Select(**fields)


@pytest.mark.parametrize(
    ("given", "how", "rest_of", "words"),
    [
        (SCORES, Select(percent=10), None, "10 % of 7 units is less than one. Give at least 14.29 percent"),
        (SCORES, Select(count=8), None, "8 units in the model are asked for; 7 alive ones"),
        (SCORES, Select(count=1, among="rest"), None, "Give rest_of"),
        (SCORES, Select(count=7, among="rest"), UnitMask.of({A: [0]}, n=4), "or choose among 'all'"),
        (SCORES, Select(count=1, among="rest"), UnitMask.of({A: [0]}, n=3), "This site has 4 units"),
        (SCORES, Select(count=1, among="rest"), UnitMask.heads("0.1", n_heads=4), "rest_of chooses heads"),
        (scores([NAN], [NAN]), Select(), None, "All 2 units are dead"),
        ({}, Select(), None, "no site is given"),
        ({A: np.zeros((2, 2))}, Select(), None, r"shape \(2, 2\)"),
        (SCORES, Select(percent=25, within="layer", base="all", extra_one=False), None, None),
        (scores([NAN, NAN], [1, 2]), Select(percent=50, within="layer", base="all"), None, "in one layer"),
    ],
)
def test_selections_that_cannot_be_made(given, how, rest_of, words):
    if words is None:
        assert select(given, how, rest_of=rest_of).k == 2
        return
    with pytest.raises(SelectionError, match=words):
        select(given, how, rest_of=rest_of)


def test_without_a_number_it_is_one_percent_and_at_least_one_unit():
    assert select({A: np.arange(1000.0)}, Select()).k == 10
    assert select({A: np.arange(40.0)}, Select()).k == 1
    with pytest.raises(SelectionError, match="less than one"):
        select({A: np.arange(40.0)}, Select(percent=1))
