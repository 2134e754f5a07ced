"""An observed value among draws that know nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from broca.errors import StatisticsError
from broca.stats.intervals import Array, Interval, tails

Side = Literal["greater", "less", "two-sided"]


@dataclass(frozen=True, slots=True)
class DoseResponse:
    """The effect over all doses, among those of draws."""

    area: float
    """Mean effect over the range of doses."""
    null: Interval
    """Median area of the draws, and the range that holds `level` of them."""
    p: float
    """Of the area among those of the draws."""


def empirical_p(observed: Any, null: Any, side: Side = "two-sided") -> Array:
    """(1 + draws at least as extreme) / (1 + draws) (Phipson & Smyth, 2010); the shape of `observed`.

    Two-sided is twice the smaller side, at most 1. A NaN observation has p NaN. It cannot fall below 1 / (1 + draws):
    20 draws are needed for 0.05, or 40 when two-sided.

    Raises:
        StatisticsError: if there are no draws, or one of them is NaN.
    """
    draws = _draws(null)
    values = np.asarray(observed, np.float64)
    above = draws.size - np.searchsorted(draws, values, side="left")
    below = np.searchsorted(draws, values, side="right")
    match side:
        case "greater":
            count = above
        case "less":
            count = below
        case "two-sided":
            count = np.minimum(above, below)
        case _:
            raise StatisticsError(f"side is {side!r}. Choose 'greater', 'less' or 'two-sided'.")
    p = (1 + count) / (1 + draws.size)
    p = np.minimum(2 * p, 1) if side == "two-sided" else p
    return np.where(np.isnan(values), np.nan, p)


def quantile_band(null: Any, *, level: float = 0.95) -> Interval:
    """Median of the draws, and the range that holds `level` of them.

    Raises:
        StatisticsError: if there are no draws, one is NaN, or `level` is impossible.
    """
    low, middle, high = np.quantile(_draws(null), [tails(level)[0], 0.5, tails(level)[1]])
    return Interval(value=float(middle), low=float(low), high=float(high))


def dose_area(doses: Any, effects: Any) -> Array:
    """Mean effect over the range of doses: the area under (..., dose) effects by trapezoids, divided by the range.

    Raises:
        StatisticsError: if there are fewer than 2 doses, they do not rise, or effects are not one a dose.
    """
    x, y = np.asarray(doses, np.float64), np.asarray(effects, np.float64)
    if x.ndim != 1 or x.size < 2 or not (np.diff(x) > 0).all():
        raise StatisticsError(f"Doses are {x.tolist()}. Give 2 or more in rising order, 0 (intact) among them.")
    if y.ndim == 0 or y.shape[-1] != x.size:
        raise StatisticsError(
            f"Effects have shape {y.shape} for {x.size} doses. Give one for each dose, on the last axis."
        )
    return np.trapezoid(y, x, axis=-1) / (x[-1] - x[0])


def dose_response(
    doses: Any, effects: Any, null: Any, *, side: Side = "two-sided", level: float = 0.95
) -> DoseResponse:
    """The area under effects (dose,) among those under the effects of draws (draw, dose) of the same sizes.

    One test for the whole curve, where a test at each dose would have to be corrected.

    Raises:
        StatisticsError: if there are no draws or one is NaN; and as `dose_area`.
    """
    area, draws = dose_area(doses, effects), dose_area(doses, null)
    return DoseResponse(float(area), quantile_band(draws, level=level), float(empirical_p(area, draws, side)))


def _draws(null: Any) -> Array:
    draws = np.sort(np.asarray(null, np.float64).ravel())
    if draws.size == 0 or np.isnan(draws[-1]):
        raise StatisticsError(
            f"{int(np.isnan(draws).sum())} of {draws.size} null draws are NaN. Give at least 1 draw, each a number; 1000 "
            "make a p of 0.001 possible."
        )
    return draws
