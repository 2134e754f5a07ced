"""Scores of all weights made into a ranking, one matrix in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broca.stats.threshold import kth_largest
from broca.units.weight_ranking import MatrixRanking, Scope, WeightRanking, fraction_size, group_of
from broca.units.weights import Address, Indices

Values = NDArray[np.float32]


def rank_weights(
    scores: Callable[[str], Any], addresses: Mapping[str, Address], *, scope: Scope = "matrix", most: float
) -> WeightRanking:
    """The top of the ranking of all weights, up to the fraction `most` of each group.

    Args:
        scores: gives a matrix's scores, ``(row, column)``, by its name; where groups span matrices it is asked three
            times. NaN is ranked first where groups do not span matrices, and refused where they do.
        addresses: of the matrices.
        scope: what a group is.
        most: the largest fraction that will be asked for.

    Raises:
        StatisticsError: if a score is negative, or NaN over several matrices.
    """
    lists: dict[str, MatrixRanking] = {}
    groups: dict[str, list[str]] = {}
    for name, address in addresses.items():
        groups.setdefault(group_of(name, address, scope), []).append(name)
    for names in groups.values():
        if scope == "row":
            lists[names[0]] = _rows(_flat(scores(names[0])), addresses[names[0]], most)
        elif len(names) == 1:
            lists[names[0]] = _top(_flat(scores(names[0])), fraction_size(addresses[names[0]].size, most))
        else:
            lists |= _across(scores, names, fraction_size(sum(addresses[name].size for name in names), most))
    return WeightRanking({name: lists[name] for name in addresses}, addresses, scope, most)


def _top(values: Values, k: int) -> MatrixRanking:
    """The k largest, ties by index, NaN before all."""
    missing = np.isnan(values)
    key = np.where(missing, np.float32(np.inf), values)
    if not k:
        return MatrixRanking(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.int64))
    threshold = np.partition(key, key.size - k)[key.size - k]
    index = np.flatnonzero(key >= threshold)
    order = np.lexsort((index, -key[index], ~missing[index]))[:k]
    return MatrixRanking(index[order], values[index[order]], np.arange(k))


def _rows(values: Values, address: Address, most: float) -> MatrixRanking:
    """The largest of each row, those of one rank together."""
    k = fraction_size(address.columns, most)
    table = np.where(np.isnan(values), np.float32(np.inf), values).reshape(address.rows, address.columns)
    columns = np.argsort(-table, axis=1, kind="stable")[:, :k]
    index = (np.arange(address.rows)[:, None] * address.columns + columns).T.ravel()
    return MatrixRanking(index, values[index], np.repeat(np.arange(k), address.rows))


def _across(scores: Callable[[str], Any], names: list[str], k: int) -> dict[str, MatrixRanking]:
    """The k largest over several matrices: what is above the threshold, then its ties in the order of the matrices."""
    if not k:
        return {name: _top(np.zeros(0, np.float32), 0) for name in names}
    threshold, above = kth_largest(lambda: (scores(name) for name in names), k)
    left = k - above
    found: dict[str, tuple[Indices, Values]] = {}
    for name in names:
        values = _flat(scores(name))
        index = np.flatnonzero(values >= threshold)
        equal = values[index] == np.float32(threshold)
        index = index[~equal | (np.cumsum(equal) <= left)]
        left -= min(left, int(equal.sum()))
        found[name] = (index, values[index])
    where = np.concatenate([np.full(index.size, i) for i, (index, _) in enumerate(found.values())])
    index, values = (np.concatenate([pair[side] for pair in found.values()]) for side in (0, 1))
    order = np.lexsort((index, where, -values))
    rank = np.empty(k, np.int64)
    rank[order] = np.arange(k)
    lists = {}
    for i, name in enumerate(names):
        own = order[where[order] == i]
        lists[name] = MatrixRanking(index[own].astype(np.int64), values[own].astype(np.float32), rank[own])
    return lists


def _flat(scores: Any) -> Values:
    return np.ravel(np.asarray(scores, np.float32))
