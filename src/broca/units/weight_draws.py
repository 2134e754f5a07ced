"""Random weights that share something with chosen ones: what a claim about the chosen ones has to beat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from broca.errors import SelectionError
from broca.units.weight_ranking import WeightRanking
from broca.units.weights import Address, Indices, WeightSet

Match = Literal["matrix", "rows", "size", "general"]
"""What a draw shares with the chosen weights, beside how many there are in each matrix: nothing else; its rows; the sizes of
its weights; or that a control ranks it high."""

_NEAR = 32
"""A draw matched on size takes one of so many unchosen weights whose sizes are nearest."""
_PASSES = 200
"""Draws of the missing weights at most; each finds more than half of them."""


def random_weights(
    like: WeightSet,
    n: int,
    *,
    seed: int = 0,
    match: Match = "matrix",
    sizes: Callable[[str], Any] | None = None,
    general: WeightRanking | None = None,
) -> list[WeightSet]:
    """`n` draws of as many weights a matrix as are chosen, none of them chosen.

    Args:
        like: the chosen ones.
        n: how many draws.
        seed: of the first; the i-th draw depends on ``seed + i`` alone.
        match: see `Match`. In a row of which more than half is chosen, chosen weights stand in for those that are missing.
        sizes: the absolute weights of a matrix by its name, ``(row, column)``; to match on size.
        general: the control's ranking; to draw from its top. A matrix in which it lists too few gives what it has.

    Raises:
        SelectionError: if there are too few other weights, or what a match needs is not given.
    """
    if (match == "size" and sizes is None) or (match == "general" and general is None):
        raise SelectionError(f"To match on {match!r}, give {'sizes' if match == 'size' else 'general'}.")
    found: list[dict[str, Indices]] = [{} for _ in range(n)]
    for name, index in like.at.items():
        address = like.addresses[name]
        if match not in {"rows", "general"} and 2 * index.size > address.size:
            raise SelectionError(
                f"{index.size} of {address.size} weights of {name} are chosen: there are not as many others."
            )
        draw = _drawer(
            index, address, match, None if sizes is None else sizes(name), _unchosen_indices(general, name, index)
        )
        for i in range(n):
            found[i][name] = draw(_stream(seed + i, name))
    return [WeightSet(at, like.addresses) for at in found]


def _unchosen_indices(general: WeightRanking | None, name: str, chosen: Indices) -> Indices:
    if general is None or name not in general.lists:
        return np.zeros(0, np.int64)
    return np.setdiff1d(general.lists[name].index, chosen)


def _stream(seed: int, name: str) -> np.random.Generator:
    # One stream a matrix, so that leaving a matrix out does not move the others' draws.
    return np.random.default_rng([seed, *name.encode()])


def _drawer(
    index: Indices, address: Address, match: Match, size: Any, listed: Indices
) -> Callable[[np.random.Generator], Indices]:
    match match:
        case "matrix":
            return lambda draw: _others(draw, index, address.size)
        case "rows":
            return lambda draw: _in_rows(draw, index, address.columns)
        case "general":
            return lambda draw: draw.choice(listed, min(index.size, listed.size), replace=False)
    values = np.ravel(np.asarray(size, np.float32))
    rest = np.setdiff1d(np.arange(address.size), index, assume_unique=True)
    rest = rest[np.argsort(values[rest], kind="stable")]
    place = np.searchsorted(values[rest], values[index])
    return lambda draw: rest[_near(draw, place, rest.size)]


def _others(draw: np.random.Generator, index: Indices, size: int) -> Indices:
    """As many of the other indices, drawn without replacement."""
    if 4 * index.size > size:
        return draw.choice(np.setdiff1d(np.arange(size), index), index.size, replace=False)
    found = np.zeros(0, np.int64)
    for _ in range(_PASSES):
        more = draw.integers(size, size=2 * (index.size - found.size) + 8)
        more = more[~np.isin(more, index)]
        _, first = np.unique(np.concatenate([found, more]), return_index=True)
        found = np.concatenate([found, more])[np.sort(first)]
        if found.size >= index.size:
            return found[: index.size]
    raise SelectionError(f"{index.size} other weights of {size} were not drawn in {_PASSES} passes. Choose fewer.")


def _in_rows(draw: np.random.Generator, index: Indices, columns: int) -> Indices:
    """As many others in each row; where a row has too few, some of the chosen ones too."""
    found = []
    rows, counts = np.unique(index // columns, return_counts=True)
    for row, count in zip(rows, counts, strict=True):
        own = index[index // columns == row] % columns
        rest = np.setdiff1d(np.arange(columns), own)
        taken = draw.choice(rest, min(count, rest.size), replace=False)
        again = draw.choice(own, count - taken.size, replace=False)
        found.append(row * columns + np.concatenate([taken, again]))
    return np.concatenate(found)


def _reaches(n: int) -> Iterator[int]:
    """How far to look for a free weight: twice as far each time, until the whole list of n is in reach."""
    reach = _NEAR // 2
    yield reach
    yield from (reach << doubled for doubled in range(1, max(n, 1).bit_length() + 1))


def _near(draw: np.random.Generator, place: Indices, n: int) -> Indices:
    """For each place in a sorted list of n another one near it, all different."""
    taken: set[int] = set()
    found = []
    for at in draw.permutation(place):
        free: list[int] = []
        for reach in _reaches(n):
            low, high = max(0, at - reach), min(n, at + reach)
            free = [i for i in range(low, high) if i not in taken]
            if free:
                break
        if not free:
            raise SelectionError(f"{place.size} weights are to be drawn from {n} others. Choose fewer.")
        chosen = int(free[draw.integers(len(free))])
        taken.add(chosen)
        found.append(chosen)
    return np.array(found, np.int64)
