"""Random weights: how many, where, what they share, and that a seed is a seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca.errors import SelectionError
from broca.units.weight_draws import _near, _others, random_weights
from broca.units.weight_ranking import MatrixRanking, WeightRanking
from broca.units.weights import Address, WeightSet

ADDRESSES = {"0.q": Address(0, "q", 12, 10), "0.k": Address(0, "k", 6, 10)}
SIZES = {n: np.random.default_rng(3).normal(size=(a.rows, a.columns)).__abs__() for n, a in ADDRESSES.items()}
chosen = st.fixed_dictionaries(
    {n: st.sets(st.integers(0, a.size - 1), max_size=a.size // 3) for n, a in ADDRESSES.items()}
).map(lambda picks: WeightSet({n: np.array(sorted(p), np.int64) for n, p in picks.items()}, ADDRESSES))


def general(k: int = 40) -> WeightRanking:
    index = np.arange(k)
    lists = {n: MatrixRanking(index, np.ones(k, np.float32), index) for n in ADDRESSES}
    return WeightRanking(lists, ADDRESSES, "matrix", 1.0)


@pytest.mark.parametrize("match", ["matrix", "rows", "size", "general"])
@given(like=chosen)
def test_as_many_a_matrix_none_of_them_chosen(match, like) -> None:
    drawn = random_weights(like, 3, seed=5, match=match, sizes=SIZES.__getitem__, general=general())
    again = random_weights(like, 2, seed=6, match=match, sizes=SIZES.__getitem__, general=general())
    assert drawn[1:] == again
    for one in drawn:
        for name, index in like.at.items():
            own = one.at.get(name, np.zeros(0, int))
            if match == "general":
                assert set(own) <= set(range(40)) - set(index)
                assert own.size == min(index.size, 40 - np.intersect1d(index, np.arange(40)).size)
                continue
            assert own.size == index.size
            if match == "rows":
                assert np.bincount(own // 10, minlength=12).tolist() == np.bincount(index // 10, minlength=12).tolist()
                half = np.bincount(index // 10, minlength=12) > 5
                assert not set(own) & {i for i in index if not half[i // 10]}
            else:
                assert not set(own) & set(index)


def test_draws_of_a_size_are_of_that_size() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.normal(size=(100, 100)).__abs__()
    address = {"m": Address(0, "q", 100, 100)}
    like = WeightSet({"m": np.sort(np.argsort(sizes.ravel())[9000:9500:10])}, address)
    (drawn,) = random_weights(like, 1, match="size", sizes=lambda _: sizes)
    (blind,) = random_weights(like, 1, match="matrix")
    value = sizes.ravel()
    near = abs(np.sort(value[drawn.at["m"]]) - np.sort(value[like.at["m"]])).max()
    assert near < 0.05 < abs(np.sort(value[blind.at["m"]]) - np.sort(value[like.at["m"]])).max()


def test_draws_are_uniform() -> None:
    like = WeightSet({"0.k": np.arange(10)}, ADDRESSES)
    counts = np.zeros(60)
    for one in random_weights(like, 2000):
        counts[one.at["0.k"]] += 1
    assert (counts[:10] == 0).all()
    assert abs(counts[10:] / 400 - 1).max() < 0.25


class Stuck:
    """A generator that has one number."""

    def integers(self, _: int, size: int) -> np.ndarray:
        return np.zeros(size, np.int64)


def test_a_draw_by_size_ends_where_nothing_is_left() -> None:
    stream = np.random.default_rng(0)
    assert sorted(_near(stream, np.zeros(90, np.int64), 90)) == list(range(90))
    with pytest.raises(SelectionError, match="91 weights are to be drawn from 90 others"):
        _near(stream, np.zeros(91, np.int64), 90)
    with pytest.raises(SelectionError, match="2 other weights of 16 were not drawn in 200 passes"):
        _others(Stuck(), np.arange(2), 16)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(SelectionError, match="not as many others"):
        random_weights(WeightSet({"0.k": np.arange(31)}, ADDRESSES), 1)
    like = WeightSet({"0.k": np.arange(3)}, ADDRESSES)
    for match in ("size", "general"):
        with pytest.raises(SelectionError, match="give"):
            random_weights(like, 1, match=match)
