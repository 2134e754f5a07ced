"""Is it the contrast, or what comes with it? Units compared after length, position or the like have been taken out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from broca.errors import StatisticsError
from broca.stats.intervals import Array
from broca.stats.sums import UNITS


@dataclass(frozen=True, slots=True)
class Partial:
    """One test per unit with the covariates held fixed; arrays have the shape of the units, NaN for dead ones."""

    t: Array
    df: Array
    p: Array
    """Two-sided."""
    difference: Array
    """Of the means of a and b at equal covariates."""
    kept: Array
    """The adjusted difference as a share of the plain one: near 0 where the covariates explain it all."""
    overlap: float
    """How well the covariates tell the sides apart: R² of the side on them. Near 1, little is left to compare."""


def partial_welch(a: Any, b: Any, covariates_a: Any, covariates_b: Any) -> Partial:
    """Welch's t of a minus b after regressing out covariates of the stimuli (analysis of covariance).

    Least squares of each unit on side and covariates, with HC2 standard errors (MacKinnon & White, 1985) and
    Satterthwaite's degrees of freedom from both sides, of which the covariates take their share: without covariates
    exactly Welch's test. Covariates act linearly and alike on both sides; constant or redundant ones do no harm.

    Args:
        a: (stimulus, ...unit) values of one side.
        b: those of the other.
        covariates_a: (stimulus,) or (stimulus, covariate) of a, such as lengths in tokens.
        covariates_b: those of b.

    Raises:
        StatisticsError: if shapes do not fit, a covariate is not finite, there are too few stimuli, or the covariates tell
            the sides apart completely.
    """
    first, second = (np.asarray(side) for side in (a, b))
    if first.ndim == 0 or first.shape[1:] != second.shape[1:]:
        raise StatisticsError(f"Units differ: {first.shape[1:]} and {second.shape[1:]}. Compare the same units.")
    n_a, n = len(first), len(first) + len(second)
    basis = _basis(covariates_a, covariates_b, n_a, n)
    side = np.repeat([1.0, 0.0], [n_a, n - n_a])
    rest = _without(basis, side)
    overlap = 1 - rest @ rest / (n_a * (n - n_a) / n)
    k = basis.shape[1] - 1
    df_a, df_b = (m - 1 - k * m / n for m in (n_a, n - n_a))
    if min(df_a, df_b) < 1:
        raise StatisticsError(
            f"{n_a} + {n - n_a} stimuli are too few for {k} covariates. Give at least {k + 2} on each side, 10 for each "
            "covariate to be worth reading."
        )
    if overlap > 1 - 1e-9:
        raise StatisticsError(
            "The covariates tell the sides apart completely: at equal ones there is nothing to compare."
        )
    fit = _Fit(basis, rest, n_a, (df_a, df_b))
    found = np.full((4, int(np.prod(first.shape[1:]))), np.nan)
    table = [values.reshape(len(values), -1) for values in (first, second)]
    for start in range(0, found.shape[1], UNITS):
        at = slice(start, start + UNITS)
        found[:, at] = fit(np.concatenate([values[:, at] for values in table]).astype(np.float64))
    t, df, difference, plain = (row.reshape(first.shape[1:]) for row in found)
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = np.where(plain != 0, difference / plain, np.nan)
    return Partial(t, df, 2 * special.stdtr(df, -np.abs(t)), difference, kept, float(max(overlap, 0)))


def _basis(covariates_a: Any, covariates_b: Any, n_a: int, n: int) -> Array:
    """An orthonormal basis of the constant and the covariates."""
    parts = [np.asarray(part, np.float64) for part in (covariates_a, covariates_b)]
    parts = [part[:, None] if part.ndim == 1 else part for part in parts]
    shapes = [part.shape for part in parts]
    if (
        any(part.ndim != 2 for part in parts)
        or [len(p) for p in parts] != [n_a, n - n_a]
        or shapes[0][1] != shapes[1][1]
    ):
        raise StatisticsError(
            f"Covariates have shapes {shapes[0]} and {shapes[1]} for {n_a} and {n - n_a} stimuli. Give (stimulus, covariate)."
        )
    table = np.concatenate(parts)
    if not np.isfinite(table).all():
        raise StatisticsError(f"{int((~np.isfinite(table)).sum())} covariates are not finite. Give a number for each.")
    table = table - table.mean(0)
    spread = table.std(0)
    table = table[:, spread > 1e-12 * np.abs(table).max(0, initial=1)] / spread[spread > 0] if table.size else table
    left, strength, _ = np.linalg.svd(table, full_matrices=False)
    return np.column_stack([np.full(n, n**-0.5), left[:, strength > 1e-9 * strength.max(initial=0)]])


def _without(basis: Array, values: Array) -> Array:
    return values - basis @ (basis.T @ values)


@dataclass(frozen=True, eq=False, slots=True)
class _Fit:
    """Least squares of units on a basis and on what the basis leaves of the side."""

    basis: Array
    rest: Array
    n_a: int
    dfs: tuple[float, float]

    def __call__(self, rows: Array) -> Array:
        """t, df, adjusted and plain difference of (stimulus, unit) values; (4, unit)."""
        n_a, rest, strength = self.n_a, self.rest, self.rest @ self.rest
        leverage = np.square(self.basis).sum(1) + rest**2 / strength
        pull = (rest / strength) ** 2 / np.maximum(1 - leverage, 1e-9)
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            plain = rows[:n_a].mean(0) - rows[n_a:].mean(0)
            centred = rows - rows.mean(0)
            scale = np.abs(centred).max(0)
            residual = _without(self.basis, centred / scale)
            slope = rest @ residual / strength
            squares = np.square(residual - np.outer(rest, slope))
            error_a, error_b = pull[:n_a] @ squares[:n_a], pull[n_a:] @ squares[n_a:]
            t = np.where(error_a + error_b > 1e-28, slope / np.sqrt(error_a + error_b), np.nan)
            share = error_a / (error_a + error_b)
            df = np.where(np.isnan(t), np.nan, 1 / (share**2 / self.dfs[0] + (1 - share) ** 2 / self.dfs[1]))
        return np.stack([t, df, slope * scale, plain])
