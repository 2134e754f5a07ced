"""Vectors that share with an axis all but what it was fitted for: its norm, its share of the variance, its stimuli."""

from __future__ import annotations

from typing import Literal

import numpy as np

from broca.errors import StatisticsError
from broca.stats.axes import Method, auroc, cosine, fit_axis, held_out_places
from broca.stats.exchange import Sides, random_flags
from broca.stats.intervals import Array

Family = Literal["norm", "variance"]
"""Isotropic; or such that along it points vary as much, on average, as along the axis: isotropic vectors miss the few directions in which
a stream varies most, and are too weak a foil."""

_STEPS = 60
_POWERS = (-2.0, 3.0)
_FLOOR = 1e-4
"""Of the mean variance: what a direction has in which the points at hand do not vary."""


def variance_along(vector: Array, points: Array) -> float:
    """The share of the variance of points ``(point, unit)`` about their mean that lies along a vector."""
    centred = points - points.mean(0)
    along = centred @ (vector / np.linalg.norm(vector))
    total = float(np.square(centred).sum())
    return float(np.square(along).sum() / total) if total else 0.0


def random_vectors(vector: Array, points: Array, n: int, *, family: Family, seed: int) -> Array:
    """Random vectors of the norm of `vector`, ``(n, unit)``.

    Of the family `variance` they are ``sum_k s_k^p g_k e_k``: g normal, e_k and s_k the directions and deviations of the points, and p such
    that the expected share of the variance along them is that along `vector`. p = 0 is isotropic, p = 1 a draw from the points' covariance.

    Args:
        vector: (unit,).
        points: (point, unit), about the means of their sides: what varies beside the contrast.
        n: how many.
        family: see `Family`.
        seed: of the draws.

    Raises:
        StatisticsError: if the points do not vary at all, and are to be matched.
    """
    draw = np.random.default_rng(seed)
    if family == "norm":
        return _scale(draw.normal(size=(n, vector.size)), vector)
    centred = points - points.mean(0)
    _, deviations, directions = np.linalg.svd(centred / np.sqrt(max(len(points) - 1, 1)), full_matrices=True)
    variances = np.zeros(vector.size)
    variances[: deviations.size] = deviations[: vector.size] ** 2
    if not variances.sum() > 0:
        raise StatisticsError("The points do not vary, so no vector has their variance. Give other stimuli.")
    variances = np.maximum(variances, _FLOOR * variances.mean())
    power = _power(variances / variances.sum(), variance_along(vector, points))
    return _scale((draw.normal(size=(n, vector.size)) * variances ** (power / 2)) @ directions, vector)


def _power(shares: Array, wanted: float) -> float:
    """The p whose draws have, on average, this share of the variance along them."""
    low, high = _POWERS
    for _ in range(_STEPS):
        middle = (low + high) / 2
        weight = shares**middle
        low, high = (middle, high) if float((weight * shares).sum() / weight.sum()) < wanted else (low, middle)
    return (low + high) / 2


def _scale(vectors: Array, like: Array) -> Array:
    return vectors * (np.linalg.norm(like) / np.linalg.norm(vectors, axis=1, keepdims=True))


def shuffled_sides(positive: Array, negative: Array, sides: Sides, flags: Array) -> tuple[Array, Array]:
    """The points on either side in another arrangement of groups, a row of `broca.stats.exchange.Arrangements.flags`."""
    one_sided = np.arange(sides.n_groups) < sides.n_only_a + sides.n_only_b
    on_a = flags[sides.a]
    on_b = np.where(one_sided[sides.b], flags[sides.b], ~flags[sides.b])
    both, kept = np.concatenate([positive, negative]), np.concatenate([on_a, on_b])
    return both[kept], both[~kept]


def shuffled_vectors(
    vector: Array, positive: Array, negative: Array, sides: Sides, n: int, *, method: Method, seed: int
) -> Array:
    """What the method fits where there is nothing to fit, at the norm of `vector`: ``(n, unit)``.

    Each side is moved to its own mean before the groups' sides are dealt at random: otherwise the vectors would lie along the contrast again,
    with a random sign, as the sides of a deal are never mixed evenly.

    Raises:
        StatisticsError: as `broca.stats.axes.fit_axis`.
    """
    a, b = positive - positive.mean(0), negative - negative.mean(0)
    deals = random_flags(sides, n, np.random.default_rng(seed))
    found = [fit_axis(*shuffled_sides(a, b, sides, flags), method).vector for flags in deals]
    return _scale(np.array(found), vector)


def null_aurocs(
    positive: Array,
    negative: Array,
    sides: Sides,
    labels: tuple[list[str], list[str]],
    n: int,
    *,
    method: Method,
    seed: int,
) -> Array:
    """AUROC of points along axes fitted without their group, where the groups' sides are dealt at random: ``(n,)``.

    Args:
        positive: (point, unit).
        negative: (point, unit).
        sides: which points move together.
        labels: their groups, by which folds are made.
        n: how many.
        method: of the fit.
        seed: of the deals.
    """
    out = np.empty(n)
    both = np.array([*labels[0], *labels[1]])
    numbers = np.arange(len(both))[:, None].astype(float)
    for i, flags in enumerate(random_flags(sides, n, np.random.default_rng(seed))):
        a, b = shuffled_sides(positive, negative, sides, flags)
        where = shuffled_sides(numbers[: len(positive)], numbers[len(positive) :], sides, flags)
        groups = tuple(both[each[:, 0].astype(int)].tolist() for each in where)
        out[i] = auroc(*held_out_places(a, b, (groups[0], groups[1]), method, seed=seed))
    return out


def half_cosine(
    positive: Array, negative: Array, halves: tuple[Array, Array], method: Method, *, paired: bool = False
) -> float:
    """The cosine of the axes of two halves of the points, ``halves`` 0 or 1 for each point of either side."""
    fits = [
        fit_axis(positive[halves[0] == half], negative[halves[1] == half], method, paired=paired).vector
        for half in (0, 1)
    ]
    return cosine(*fits)
