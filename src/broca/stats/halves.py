"""One ability parted in two, as a control: a lesion that is *specific* to a half of it has found a difficulty or an answer."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from broca.errors import StatisticsError
from broca.stats.intervals import Array, codes

LEAST = 5
"""Items, and groups where they stay whole, that each half needs."""


def margin_halves(margin: Any, groups: Any | None = None) -> Array | None:
    """(item,) Whether each is in the half with slim margins, by a split at the median; None where each half would be too small.

    Groups stay whole, by their mean margin, where each half gets `LEAST` of them. Otherwise each group is parted, so that it stands on
    both sides. Items without a margin count as slim.

    Raises:
        StatisticsError: if there is not one group an item.
    """
    values = np.asarray(margin, np.float64)
    values = np.where(np.isnan(values), -np.inf, values)
    labels = _labels(groups, values.size)
    if values.size < 2 * LEAST:
        return None
    sizes = np.bincount(labels)
    if len(sizes) >= 2 * LEAST:
        order = np.argsort(np.bincount(labels, values) / sizes, kind="stable")
        before = np.cumsum(sizes[order]) - sizes[order] / 2
        n_slim = np.clip(int((before < values.size / 2).sum()), LEAST, len(sizes) - LEAST)
        return np.isin(labels, order[:n_slim])
    order = np.lexsort((values, labels))
    place = np.empty(values.size)
    place[order] = np.arange(values.size) - (np.cumsum(sizes) - sizes)[labels[order]]
    slim = place < sizes[labels] / 2
    # Of a group of an odd number the one in the middle goes by turns, so that halves stay as large as each other.
    middle = (2 * place + 1 == sizes[labels]) & (labels % 2 == 1)
    return _large_enough(slim & ~middle)


def value_halves(values: Sequence[Hashable]) -> Array | None:
    """(item,) Whether each is in the first of two halves that part the values (classes, positions) of the items, not their items.

    The largest value goes to the smaller half first, so that both are about as large. None where there is one value, or a half would
    be too small.
    """
    index = codes(np.array([repr(value) for value in values]))
    sizes = np.bincount(index) if len(index) else np.array([], np.int64)
    first: list[int] = []
    total = [0, 0]
    for value in np.argsort(-sizes, kind="stable"):
        side = int(total[0] > total[1])
        total[side] += int(sizes[value])
        if side == 0:
            first.append(int(value))
    return _large_enough(np.isin(index, first))


def halves(margin: Any, factors: Mapping[str, Sequence[Hashable]], groups: Any | None = None) -> dict[str, Array]:
    """All the halves that there are, by what parts them: ``intact margin``, and the name of each factor.

    Args:
        margin: (item,) of the intact model.
        factors: of each item a value, such as its answer class and the position of its answer.
        groups: of the items.

    Raises:
        StatisticsError: if numbers of items differ.
    """
    n = len(margin)
    if any(len(values) != n for values in factors.values()):
        raise StatisticsError(
            f"There are {n} margins, and {[len(values) for values in factors.values()]} values of factors. Give one an item."
        )
    parted = {
        "intact margin": margin_halves(margin, groups) if np.isfinite(np.asarray(margin, np.float64)).any() else None
    }
    parted |= {name: value_halves(values) for name, values in factors.items()}
    return {name: half for name, half in parted.items() if half is not None}


def _labels(groups: Any | None, n: int) -> Array:
    labels = np.arange(n) if groups is None else np.asarray(groups)
    if labels.shape != (n,):
        raise StatisticsError(f"There are {n} items but {labels.size} groups. Give one group an item.")
    return codes(labels)


def _large_enough(half: Array) -> Array | None:
    return half if min(int(half.sum()), int((~half).sum())) >= LEAST else None
