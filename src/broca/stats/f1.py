"""Macro-F1 of out-of-fold predictions, what it is worth against untrained networks, and the range that its clusters allow.

Everything is a function of confusion counts, so that thousands of shuffled labels or resampled clusters cost one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from broca.errors import StatisticsError
from broca.stats.intervals import Array, Interval, codes, require_draws


def confusion(y: Any, predicted: Any, n_classes: int) -> Array:
    """Counts ``(..., true class, predicted class)`` of labels ``(..., row)``; either may have leading axes."""
    true, guess = np.broadcast_arrays(np.asarray(y, np.int64), np.asarray(predicted, np.int64))
    lead, n = true.shape[:-1], true.shape[-1]
    flat = (true * n_classes + guess).reshape(-1, n)
    flat = flat + np.arange(len(flat))[:, None] * n_classes**2
    counts = np.bincount(flat.ravel(), minlength=len(flat) * n_classes**2)
    return counts.reshape(*lead, n_classes, n_classes)


def f1_of_classes(counts: Array) -> Array:
    """F1 of each class, ``(..., class)``: 0 where a class is never right, NaN where it neither exists nor is predicted."""
    both = counts.sum(-1) + counts.sum(-2)
    hits = 2.0 * np.diagonal(counts, axis1=-2, axis2=-1)
    return np.divide(hits, both, out=np.full(both.shape, np.nan), where=both > 0)


def macro_f1(counts: Array) -> Array:
    """The mean F1 over the classes that exist; NaN where fewer than two do, since then nothing can be told apart."""
    exists = counts.sum(-1) > 0
    each = np.where(exists, f1_of_classes(counts), 0.0)
    n = exists.sum(-1)
    return np.divide(each.sum(-1), n, out=np.full(n.shape, np.nan), where=n > 1)


def probing_score(f1: Any, f1_random: Any) -> Array:
    """(F1 - F1 random) / (1 - F1 random): 0 is an untrained network, 1 is perfect (Hou et al., 2023, eq. 5 and 6).

    NaN where the untrained network is perfect already, or either is undefined.
    """
    own, random = np.broadcast_arrays(np.asarray(f1, np.float64), np.asarray(f1_random, np.float64))
    room = 1 - random
    return np.divide(own - random, room, out=np.full(own.shape, np.nan), where=room > 0)


def by_cluster(y: Any, predicted: Any, groups: Any, n_classes: int) -> Array:
    """Confusion counts of each cluster, ``(cluster, true class, predicted class)``, clusters by first appearance."""
    true, guess, group = np.asarray(y, np.int64), np.asarray(predicted, np.int64), codes(np.asarray(groups))
    n = int(group.max()) + 1
    flat = (group * n_classes + true) * n_classes + guess
    return np.bincount(flat, minlength=n * n_classes**2).reshape(n, n_classes, n_classes)


def f1_interval(clusters: Array, *, n: int = 2000, seed: int = 0, level: float = 0.95) -> Interval:
    """Macro-F1 with its percentile interval over resampled clusters (Field & Welsh, 2007)."""
    return Interval.of(macro_f1(clusters.sum(0)), _bootstrap_f1([clusters], n, seed)[0], level)


def score_interval(
    own: Array, random: Sequence[Array], *, n: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """The probing score against the mean F1 of untrained networks, with its interval over resampled clusters.

    The same clusters are drawn for all networks, whose predictions are of the same rows.

    Args:
        own: ``(cluster, true, predicted)`` of the trained network.
        random: that of each untrained one.
        n: resamplings.
        seed: of them.
        level: share of the resamplings that the interval holds.

    Raises:
        StatisticsError: if there are no untrained networks, or fewer than 2 clusters.
    """
    if not random:
        raise StatisticsError(
            "A probing score needs untrained networks to be compared with. Give at least 1, better 5."
        )
    drawn_own, *drawn_random = _bootstrap_f1([own, *random], n, seed)
    value = probing_score(macro_f1(own.sum(0)), np.mean([macro_f1(each.sum(0)) for each in random]))
    return Interval.of(value, probing_score(drawn_own, np.mean(drawn_random, axis=0)), level)


def difference_interval(own: Array, other: Array, *, n: int = 2000, seed: int = 0, level: float = 0.95) -> Interval:
    """Macro-F1 of one classifier minus that of another on the same rows, with its interval over resampled clusters."""
    first, second = _bootstrap_f1([own, other], n, seed)
    return Interval.of(macro_f1(own.sum(0)) - macro_f1(other.sum(0)), first - second, level)


def _bootstrap_f1(tables: Sequence[Array], n: int, seed: int) -> list[Array]:
    """Macro-F1 ``(draw,)`` of each table, under the same resamplings of its clusters."""
    size = len(tables[0])
    if size < 2 or any(len(table) != size for table in tables):
        raise StatisticsError(f"Resampling needs 2 or more clusters, the same in all tables; {size} were given.")
    generator = np.random.default_rng(seed)
    weights = generator.multinomial(size, np.full(size, 1 / size), size=require_draws(n)).astype(np.float64)
    shape = tables[0].shape[1:]
    return [macro_f1((weights @ table.reshape(size, -1)).reshape(n, *shape)) for table in tables]
