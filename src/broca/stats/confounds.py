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

    Least squares of each unit on side and covariates, with HC2 standard errors (MacKinnon & White, 1985) and Satterthwaite's
    degrees of freedom for residuals whose variance differs between the sides (Bell & McCaffrey, 2002): without covariates
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
    if min(n_a, n - n_a) < k + 2:
        raise StatisticsError(
            f"{n_a} + {n - n_a} stimuli are too few for {k} covariates. Give at least {k + 2} on each side, 10 for each "
            "covariate to be worth reading."
        )
    if overlap > 1 - 1e-9:
        raise StatisticsError(
            "The covariates tell the sides apart completely: at equal ones there is nothing to compare."
        )
    fit = _Fit.of(basis, rest, n_a)
    found = np.full((4, int(np.prod(first.shape[1:]))), np.nan)
    table = [values.reshape(len(values), -1) for values in (first, second)]
    for start in range(0, found.shape[1], UNITS):
        at = slice(start, start + UNITS)
        found[:, at] = fit(np.concatenate([values[:, at] for values in table]).astype(np.float64))
    t, df, difference, plain = (row.reshape(first.shape[1:]) for row in found)
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = np.where(plain != 0, difference / plain, np.nan)
    return Partial(t, df, 2 * special.stdtr(df, -np.abs(t)), difference, kept, float(max(overlap, 0)))


def residuals(a: Any, b: Any, covariates_a: Any, covariates_b: Any) -> tuple[Array, Array, float]:
    """The values of both sides without what covariates explain of them, whatever the side; and how well these tell the sides apart.

    For a permutation test: the side's own effect shrinks with the R² of the side on the covariates, the third value, that of
    other arrangements does not, so that the test errs towards caution (Anderson & Robinson, 2001).

    Args:
        a: (stimulus, unit) values of one side.
        b: those of the other.
        covariates_a: (stimulus, covariate) of a; constant or redundant ones do no harm.
        covariates_b: those of b.

    Raises:
        StatisticsError: if shapes do not fit, or a covariate is not finite.
    """
    n = len(a) + len(b)
    basis = _basis(covariates_a, covariates_b, len(a), n)
    side = np.repeat([1.0, 0.0], [len(a), len(b)])
    rest = _without(basis, side)
    values = _without(basis, np.concatenate([a, b]).astype(np.float64))
    return values[: len(a)], values[len(a) :], float(max(1 - rest @ rest / (len(a) * len(b) / n), 0))


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
    spread = table.std(0)
    varies = spread > 1e-12 * np.abs(table).max(0, initial=0)
    scaled = (table - table.mean(0))[:, varies] / spread[varies]
    left, strength, _ = np.linalg.svd(scaled, full_matrices=False)
    return np.column_stack([np.full(n, n**-0.5), left[:, strength > 1e-9 * strength.max(initial=0)]])


def _without(basis: Array, values: Array) -> Array:
    return values - basis @ (basis.T @ values)


@dataclass(frozen=True, eq=False, slots=True)
class _Fit:
    """Least squares of units on a basis and on what the basis leaves of the side."""

    n_a: int
    slope: Array
    """(stimulus,) how much each pulls at the adjusted difference."""
    basis: Array
    """(stimulus, column) orthonormal, the side's among them."""
    left: Array
    """(stimulus,) 1 - leverage: how much of its own noise a residual keeps."""
    spread: Array
    """(2, 2) variance of the squared error, halved, for unit variances of residuals of a and of b."""

    @classmethod
    def of(cls, basis: Array, rest: Array, n_a: int) -> _Fit:
        whole = np.column_stack([basis, rest / np.sqrt(rest @ rest)])
        left = np.maximum(1 - np.square(whole).sum(1), 1e-9)
        slope = rest / (rest @ rest)
        sides = np.arange(len(rest)) < n_a, np.arange(len(rest)) >= n_a
        return cls(n_a, slope, whole, left, _spread(whole, slope**2 / left, sides))

    def __call__(self, rows: Array) -> Array:
        """Statistics t, df, adjusted and plain difference of (stimulus, unit) values; (4, unit)."""
        n_a = self.n_a
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            plain = rows[:n_a].mean(0) - rows[n_a:].mean(0)
            centred = rows - rows.mean(0)
            scale = np.abs(centred).max(0)
            centred /= scale
            difference = self.slope @ centred
            squares = np.square(_without(self.basis, centred))
            pull = self.slope**2 / self.left
            error = pull @ squares
            t = np.where(error > 1e-28, difference / np.sqrt(error), np.nan)
            a, b = (squares[at].sum(0) / self.left[at].sum() for at in (slice(n_a), slice(n_a, None)))
            kept = self.slope**2
            expected = a * kept[:n_a].sum() + b * kept[n_a:].sum()
            (q_aa, q_ab), (_, q_bb) = self.spread
            df = expected**2 / (q_aa * a * a + 2 * q_ab * a * b + q_bb * b * b)
        return np.stack([t, np.where(np.isnan(t), np.nan, df), difference * scale, plain])


def _spread(basis: Array, pull: Array, sides: tuple[Array, Array]) -> Array:
    """Sum over i, j of pull_i pull_j B_g[i, j] B_h[i, j], where B_g = M D_g M, M makes residuals and D_g picks a side."""
    found = np.zeros((2, 2))
    picked = [basis * side[:, None] for side in sides]
    inner = [basis.T @ part for part in picked]
    for start in range(0, len(basis), 512):
        at = slice(start, start + 512)
        every = []
        for side, part, product in zip(sides, picked, inner, strict=True):
            b = (basis[at] @ product - part[at]) @ basis.T - basis[at] @ part.T
            b[np.arange(len(b)), np.arange(len(b)) + start] += side[at]
            every.append(b)
        found += [[np.einsum("ij,ij,i,j", g, h, pull[at], pull) for h in every] for g in every]
    return found
