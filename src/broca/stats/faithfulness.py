"""How faithful circuits of rising size are: the curve of Mueller et al. (2025), MIB, and the two areas by which it is summed up.

Published tables rank edges as signed for CPR and by size for CMD, leaderboards both from one curve: say which ranking a number is of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broca.errors import StatisticsError

SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Nine sizes and the whole, as shares of all edges."""
Floats = NDArray[np.float64]


def sizes(total: int, shares: Sequence[float] = SHARES) -> tuple[int, ...]:
    """How many edges each share is, rounded down: 0 is a size."""
    return tuple(int(share * total) for share in shares)


def faithfulness(kept: Any, intact: float, nothing: float) -> Floats:
    """(m(circuit) - m(nothing)) / (m(all) - m(nothing)), m the mean margin: 1 where the circuit alone does as the model does.

    Args:
        kept: mean margin with a circuit alone.
        intact: of the model.
        nothing: with every edge patched.

    Raises:
        StatisticsError: if patching every edge changes nothing, so that there is nothing to be faithful to.
    """
    if abs(intact - nothing) < 1e-9 * max(1.0, abs(intact)):
        raise StatisticsError(
            f"The margin is {intact:.3g} whether or not every edge is patched, so no circuit can be told from none. Give counterfactuals "
            "that change the answer."
        )
    return (np.asarray(kept, dtype=np.float64) - nothing) / (intact - nothing)


@dataclass(frozen=True, slots=True)
class CurveAreas:
    """Two areas over the share of edges, by trapezoids on a linear scale from the smallest share to the whole."""

    cpr: float
    """Of the faithfulness: larger is better, and may exceed 1."""
    cmd: float
    """Of its distance from 1: smaller is better."""


def curve_areas(shares: Sequence[float], curve: Any) -> CurveAreas:
    """CPR and CMD of a curve.

    Raises:
        StatisticsError: if there are not as many shares as values, two at least, rising.
    """
    x, f = np.asarray(shares, dtype=np.float64), np.asarray(curve, dtype=np.float64)
    if x.shape != f.shape or x.ndim != 1 or len(x) < 2 or (np.diff(x) <= 0).any():
        raise StatisticsError(
            f"{f.size} values stand at {x.size} shares. Give as many, two at least, at rising shares."
        )
    return CurveAreas(float(np.trapezoid(f, x)), float(np.trapezoid(np.abs(1 - f), x)))
