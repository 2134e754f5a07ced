"""Is it the contrast, or what comes with it? The values that are left when length, position or the like have been taken out."""

from __future__ import annotations

from typing import Any

import numpy as np

from broca.errors import StatisticsError
from broca.stats.intervals import Array


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
