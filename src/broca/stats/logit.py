"""Logistic regression of a yes or no on a number, where answers come in clusters: does a text's probe margin foretell its answer?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats

from broca.errors import StatisticsError
from broca.stats.intervals import Array, Interval, codes, tails


@dataclass(frozen=True, slots=True)
class Logit:
    """The slope of a logistic regression, per unit of its predictor."""

    slope: Interval
    """Change of the log odds, with a Wald interval from the clusters' own spread."""
    p: float
    """Two-sided."""
    intercept: float
    n: int
    n_clusters: int


def logit(y: Any, x: Any, *, groups: Any | None = None, level: float = 0.95) -> Logit:
    """Maximum-likelihood fit with cluster-robust errors (Liang & Zeger, 1986), small-sample factor as in Stata.

    Args:
        y: ``(row,)`` of 0 and 1.
        x: ``(row,)`` the predictor.
        groups: of the rows; each row is its own when None.
        level: of the interval.

    Raises:
        StatisticsError: if the predictor or the answers do not vary, a threshold separates the answers completely, or there
            are fewer than 3 clusters.
    """
    answers, value = np.asarray(y, np.float64), np.asarray(x, np.float64)
    group = np.arange(len(answers)) if groups is None else codes(np.asarray(groups))
    if not answers.shape == value.shape == group.shape or answers.ndim != 1:
        raise StatisticsError(
            f"There are {answers.size} answers, {value.size} values and {group.size} groups. Give one each."
        )
    n_groups = int(group.max()) + 1 if group.size else 0
    if n_groups < 3 or not np.isfinite(value).all() or np.ptp(value) == 0 or np.ptp(answers) == 0:
        raise StatisticsError(
            "A logistic regression needs answers of both kinds, a finite predictor that varies, and 3 or more clusters."
        )
    if _is_separable(answers, value):
        raise StatisticsError(
            "A threshold on the predictor separates the answers completely, so the slope has no finite estimate."
        )
    centre, spread = value.mean(), value.std()
    design = np.column_stack([np.ones(len(value)), (value - centre) / spread])
    beta, inverse = _fit_newton(design, answers)
    pulls = design * (answers - special.expit(design @ beta))[:, None]
    sums = np.column_stack([np.bincount(group, column) for column in pulls.T])
    factor = n_groups / (n_groups - 1) * (len(answers) - 1) / (len(answers) - 2)
    error = float(np.sqrt((inverse @ (sums.T @ sums) @ inverse)[1, 1] * factor))
    z = stats.norm.ppf(tails(level)[1])
    slope = Interval(*(float(b) / spread for b in (beta[1], beta[1] - z * error, beta[1] + z * error)))
    p = float(2 * stats.norm.sf(abs(beta[1]) / error))
    return Logit(slope, p, float(beta[0] - slope.value * centre), len(answers), n_groups)


def _is_separable(y: Array, x: Array) -> bool:
    low, high = x[y == 0], x[y == 1]
    return bool(low.max() <= high.min() or high.max() <= low.min())


def _fit_newton(design: Array, y: Array) -> tuple[Array, Array]:
    """Newton's method; the coefficients, and the inverse of the information."""
    beta, inverse = np.zeros(design.shape[1]), np.eye(design.shape[1])
    for _ in range(100):
        p = special.expit(design @ beta)
        inverse = np.linalg.inv((design * (p * (1 - p))[:, None]).T @ design)
        step = inverse @ (design.T @ (y - p))
        beta = beta + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-12:
            break
    return beta, inverse
