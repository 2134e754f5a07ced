"""An axis between two sets of points: how it is fitted, where a point lies along it, and what is left of a space without it.

All of it is in float64: an eigenvalue of a space with massive coordinates is lost in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from scipy.stats import rankdata

from broca.errors import StatisticsError
from broca.stats.intervals import Array
from broca.stats.probing import folds

Method = Literal["mean", "pca", "logistic", "leace"]
"""The difference of the means; the first principal component of plus and minus the differences, which are *not* centred (that would
take away the very shift that is looked for); the weights of a ridge logistic regression; the difference of the means, read through
the inverse covariance, whose projection is the LEACE eraser."""

RIDGE = 1.0
"""Inverse strength of the penalty of the logistic regression, on features of deviation 1."""
SMALL = 1e-9
"""Of the largest eigenvalue, below which a direction of a covariance holds nothing but rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """A vector, and how a point's place along it is read: 1 apart are the means of the two sets that it was fitted on."""

    vector: Array
    """(unit,) What is added to move a point by 1."""
    reader: Array
    """(unit,) ``reader @ (x - centre)`` is the place of x; ``reader @ vector`` is 1."""
    centre: Array
    """(unit,) The midpoint of the two means: place 0."""
    mean: Array | None = None
    """(unit,) Of all points, where LEACE fitted it; None else."""

    @property
    def origin(self) -> Array:
        """(unit,) About which what lies along it is taken out: place 0, but the mean of all points where LEACE fitted it.

        The two are one where there are as many points of either set; elsewhere the eraser about the midpoint moves points further than it must.
        """
        return self.centre if self.mean is None else self.mean

    def places(self, x: Any) -> Array:
        """Where points ``(..., unit)`` lie: about 1/2 those of the positive set, -1/2 those of the negative one."""
        return (np.asarray(x, np.float64) - self.centre) @ self.reader


def fit_axis(positive: Any, negative: Any, method: Method = "mean", *, paired: bool = False) -> Axis:
    """The axis from the negative to the positive points.

    Args:
        positive: (point, unit).
        negative: (point, unit).
        method: see `Method`.
        paired: whether the i-th of each belong together; then `pca` is of their differences, else of those from the midpoint.

    Raises:
        StatisticsError: if a set has fewer than 2 points, numbers are not finite, or nothing tells the sets apart.
    """
    a, b = _points(positive), _points(negative)
    if a.shape[1] != b.shape[1] or method not in get_args(Method) or (paired and len(a) != len(b)):
        raise StatisticsError(
            f"Points of shapes {a.shape} and {b.shape}, paired={paired}, method {method!r}. Give (point, unit) of one width, as many "
            f"of each where they are paired, and one of {', '.join(get_args(Method))}."
        )
    shift, centre = a.mean(0) - b.mean(0), (a.mean(0) + b.mean(0)) / 2
    if not float(shift @ shift) > 0:
        raise StatisticsError(
            "The means of both sets are the same, so there is no axis between them. Give sets that differ."
        )
    if method == "leace":
        eraser = leace(np.concatenate([a, b]), np.repeat([1.0, 0.0], [len(a), len(b)]))
        reader = eraser.right[0]
        return Axis(shift, reader / (reader @ shift), centre, eraser.mean)
    unit = {
        "mean": lambda: shift,
        "pca": lambda: _component(a, b, centre, paired=paired),
        "logistic": lambda: _weights(a, b),
    }
    line = unit[method]()
    line = line / np.linalg.norm(line)
    along = float(line @ shift)
    if abs(along) < SMALL * float(np.linalg.norm(shift)):
        raise StatisticsError(f"What {method} finds lies across the difference of the means. Use the mean difference.")
    return Axis(line * along, line / along, centre)


def _points(x: Any) -> Array:
    points = np.asarray(x, np.float64)
    if points.ndim != 2 or len(points) < 2 or not np.isfinite(points).all():
        raise StatisticsError(
            f"Points have shape {points.shape}. Give (point, unit), 2 points or more, all numbers finite."
        )
    return points


def _component(a: Array, b: Array, centre: Array, *, paired: bool) -> Array:
    rows = a - b if paired else np.concatenate([a - centre, centre - b])
    return np.linalg.svd(rows, full_matrices=False)[2][0]


def _weights(a: Array, b: Array) -> Array:
    from sklearn.linear_model import LogisticRegression

    x = np.concatenate([a, b])
    scale = np.maximum(x.std(0), SMALL * x.std(0).max())
    scale[scale == 0] = 1.0
    probe = LogisticRegression(C=RIDGE, max_iter=2000).fit((x - x.mean(0)) / scale, np.repeat([1, 0], [len(a), len(b)]))
    return probe.coef_[0] / scale


@dataclass(frozen=True, slots=True, eq=False)
class Eraser:
    """``x - left.T @ right @ (x - mean)``: what is left of points when nothing linear in them tells a concept."""

    mean: Array
    left: Array
    """(rank, unit)"""
    right: Array
    """(rank, unit)"""

    def __call__(self, x: Any) -> Array:
        points = np.asarray(x, np.float64)
        return points - (points - self.mean) @ self.right.T @ self.left

    @property
    def rank(self) -> int:
        """Dimensions that are erased."""
        return len(self.left)


def leace(x: Any, z: Any, *, tol: float = 1e-6) -> Eraser:
    """The affine map that takes from points every linear trace of a concept and moves them least in mean square.

    Belrose et al. (2023), LEACE, theorem 4.3: ``r(x) = x - W⁺ U Uᵀ W (x - μ)``, W the inverse root of the covariance of x, U an
    orthonormal basis of the column space of ``W cov(x, z)``. On the points that it was fitted on ``cov(r(x), z)`` is 0, whatever their
    number; of others nothing is promised, nor of readers that are not linear.

    Args:
        x: (point, unit).
        z: (point,) or (point, label) what is to be erased, numbers or indicators.
        tol: singular values below this share of the largest one are 0.

    Raises:
        StatisticsError: if shapes do not fit, numbers are not finite, or x and z do not covary at all.
    """
    points = _points(x)
    labels = np.asarray(z, np.float64).reshape(len(np.asarray(z)), -1)
    if len(labels) != len(points) or not np.isfinite(labels).all():
        raise StatisticsError(f"{len(points)} points have {len(labels)} labels. Give one, finite, for each point.")
    mean = points.mean(0)
    centred, n = points - mean, len(points) - 1
    # By the points themselves: their covariance squares what small directions hold, and rounding swallows it.
    own, sizes, lines = np.linalg.svd(centred, full_matrices=False)
    kept = sizes > sizes[0] * np.sqrt(points.shape[1] * np.finfo(np.float64).eps)
    root, vectors = sizes[kept] / np.sqrt(n), lines[kept].T
    white = own[:, kept].T @ (labels - labels.mean(0))
    u, s, _ = np.linalg.svd(white, full_matrices=False)
    basis = u[:, s > tol * s[0]] if s.size and s[0] > SMALL * np.linalg.norm(labels - labels.mean(0)) else u[:, :0]
    if not basis.shape[1]:
        raise StatisticsError("Points and labels do not covary, so there is nothing to erase. Check the labels.")
    return Eraser(mean, ((vectors * root) @ basis).T, ((vectors / root) @ basis).T)


def auroc(positive: Any, negative: Any) -> float:
    """The share of pairs in which the positive value is the larger one, ties counted half (Mann & Whitney, 1947).

    Raises:
        StatisticsError: if a side has no value, or one is NaN.
    """
    a, b = np.asarray(positive, np.float64).ravel(), np.asarray(negative, np.float64).ravel()
    if not a.size or not b.size or np.isnan(a).any() or np.isnan(b).any():
        raise StatisticsError(
            f"There are {a.size} positive and {b.size} negative values. Give 1 or more of each, none NaN."
        )
    ranks = rankdata(np.concatenate([a, b]))[: a.size]
    return float((ranks.sum() - a.size * (a.size + 1) / 2) / (a.size * b.size))


def held_out_places(
    positive: Any,
    negative: Any,
    groups: tuple[Sequence[str], Sequence[str]],
    method: Method = "mean",
    *,
    paired: bool = False,
    k: int = 5,
    seed: int = 0,
) -> tuple[Array, Array]:
    """Where each point lies along an axis that was fitted without the points of its group, of either side.

    Args:
        positive: (point, unit).
        negative: (point, unit).
        groups: of the points of each side.
        method: see `Method`.
        paired: as for `fit_axis`; a fold that parts pairs is fitted without them.
        k: folds; fewer where there are fewer groups.
        seed: of the folds.

    Raises:
        StatisticsError: as `fit_axis`, or if there are fewer than 2 groups.
    """
    a, b = _points(positive), _points(negative)
    labels = [*groups[0], *groups[1]]
    both, side = np.concatenate([a, b]), np.repeat([True, False], [len(a), len(b)])
    out = np.zeros(len(both))
    for train, test in folds(len(both), labels, k=min(k, len(set(labels))), seed=seed):
        on = np.zeros(len(both), bool)
        on[train] = True
        whole = paired and bool((on[: len(a)] == on[len(a) :]).all())
        out[test] = fit_axis(both[on & side], both[on & ~side], method, paired=whole).places(both[test])
    return out[side], out[~side]


def cosine(a: Any, b: Any) -> float:
    """Of two vectors; NaN where one is 0."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    size = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y / size) if size else float("nan")
