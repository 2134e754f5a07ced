"""Two means compared, for every unit at once, from moments or from samples.

Variances carry n - 1 in the denominator. A unit whose variances are both 0, or that is NaN, has no statistic: it
comes back as NaN, without warnings, and is what the rest of broca calls dead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from broca.errors import StatisticsError
from broca.stats.intervals import Array, tails


@dataclass(frozen=True, slots=True)
class Welch:
    """One test per unit; all four have the shape of the means."""

    t: Array
    df: Array
    p: Array
    """Two-sided."""
    d: Array
    """Effect size in standard deviations: Cohen's d (pooled SD), or d_z for paired values."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference of means per unit, with its limits."""

    value: Array
    low: Array
    high: Array


def welch(  # noqa: PLR0917 - two sides of three moments, in the order of scipy.stats.ttest_ind_from_stats
    mean_a: Any, var_a: Any, n_a: Any, mean_b: Any, var_b: Any, n_b: Any
) -> Welch:
    """Unequal-variances t of a minus b from moments (Welch, 1947), with Cohen's d (Cohen, 1988, eq. 2.5.2).

    Arrays of any shapes that broadcast together; n counts stimuli.

    Raises:
        StatisticsError: if a side has fewer than 2 stimuli, a variance is negative, or shapes do not fit.
    """
    m_a, v_a, k_a, m_b, v_b, k_b = _moments(mean_a, var_a, n_a, mean_b, var_b, n_b)
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = m_a - m_b
        squared, df = _spread(v_a / k_a, k_a, v_b / k_b, k_b)
        t = np.where(squared > _rounding(m_a, m_b), difference / np.sqrt(squared), np.nan)
        pooled = ((k_a - 1) * v_a + (k_b - 1) * v_b) / (k_a + k_b - 2)
        d = np.where(np.isnan(t), np.nan, difference / np.sqrt(pooled))
    df = np.where(np.isnan(t), np.nan, df)
    return Welch(t=t, df=df, p=_two_sided(t, df), d=d)


def welch_from_samples(a: Any, b: Any) -> Welch:
    """`welch` of samples (stimulus, ...) along the first axis.

    Raises:
        StatisticsError: if a side has fewer than 2 stimuli or the units differ.
    """
    return welch(*_of(a, "a"), *_of(b, "b"))


def mean_difference(  # noqa: PLR0917 - as welch
    mean_a: Any, var_a: Any, n_a: Any, mean_b: Any, var_b: Any, n_b: Any, *, level: float = 0.95
) -> Difference:
    """The mean of a minus that of b, with Welch's interval (Welch, 1947), from moments.

    Where both variances are 0 the limits are NaN and the value stands.

    Raises:
        StatisticsError: as `welch`; or if `level` does not lie between 0 and 1.
    """
    m_a, v_a, k_a, m_b, v_b, k_b = _moments(mean_a, var_a, n_a, mean_b, var_b, n_b)
    _, upper = tails(level)
    with np.errstate(divide="ignore", invalid="ignore"):
        squared, df = _spread(v_a / k_a, k_a, v_b / k_b, k_b)
        half = np.where(squared > _rounding(m_a, m_b), special.stdtrit(df, upper) * np.sqrt(squared), np.nan)
        value = m_a - m_b
    return Difference(value=value, low=value - half, high=value + half)


def paired_t(a: Any, b: Any) -> Welch:
    """Student's t of the differences a - b along the first axis (Student, 1908); d is Cohen's d_z.

    Raises:
        StatisticsError: if shapes differ or there are fewer than 2 pairs.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        raise StatisticsError(f"Pairs need as many values on each side; a has shape {a.shape}, b has {b.shape}.")
    return paired_t_from_moments(*_of(a - b, "a - b"))


def paired_t_from_moments(mean: Any, var: Any, n: Any) -> Welch:
    """`paired_t` from the mean and the variance of n differences.

    Raises:
        StatisticsError: if n is less than 2 or a variance is negative.
    """
    m, v, k, *_ = _moments(mean, var, n, mean, var, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        d = np.where(v > 0, m / np.sqrt(v), np.nan)
        t = d * np.sqrt(k)
    df = np.where(np.isnan(t), np.nan, k - 1)
    return Welch(t=t, df=df, p=_two_sided(t, df), d=d)


def _of(sample: Any, name: str) -> tuple[Array, Array, int]:
    values = np.asarray(sample, np.float64)
    if values.ndim == 0 or len(values) < 2:
        raise StatisticsError(
            f"{name} holds {values.size if values.ndim == 0 else len(values)} stimuli. Give 2 or more."
        )
    with np.errstate(invalid="ignore", over="ignore"):
        return values.mean(0), values.var(0, ddof=1), len(values)


def _moments(*given: Any) -> tuple[Array, ...]:
    """The six moments as float64 of one shape, checked."""
    arrays = [np.asarray(value, np.float64) for value in given]
    try:
        arrays = np.broadcast_arrays(*arrays)
    except ValueError as error:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise StatisticsError(f"Moments have shapes {shapes}. Give them for the same units.") from error
    for label, n in (("a", arrays[2]), ("b", arrays[5])):
        if (n < 2).any():
            raise StatisticsError(f"n_{label} is {n.min():g}. A variance needs at least 2 stimuli on each side.")
    for label, var in (("a", arrays[1]), ("b", arrays[4])):
        if (var < 0).any():
            raise StatisticsError(f"var_{label} is {np.nanmin(var):g} somewhere. A variance is 0 or more.")
    return tuple(arrays)


def _spread(a: Array, n_a: Array, b: Array, n_b: Array) -> tuple[Array, Array]:
    """Squared standard error, and Satterthwaite's (1946) degrees of freedom.

    In terms of the share that a has of the squared error, which tiny variances cannot underflow.
    """
    squared = a + b
    share = a / squared
    return squared, 1 / (share**2 / (n_a - 1) + (1 - share) ** 2 / (n_b - 1))


def _rounding(mean_a: Array, mean_b: Array) -> Array:
    """The squared error below which a spread is what float64 makes of a constant: 0.1 summed ten times is not 1."""
    return (2 * np.finfo(np.float64).eps * np.maximum(np.abs(mean_a), np.abs(mean_b))) ** 2


def _two_sided(t: Array, df: Array) -> Array:
    return 2 * special.stdtr(df, -np.abs(t))
