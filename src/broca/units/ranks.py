"""Which k of many numbers: exactly k with fixed ties, or as the published localizers count.

All functions take finite or infinite numbers, never NaN, and give flags of the same shape.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from broca.units.layout import Array

Side = Literal["top", "bottom", "both", "middle", "random"]
Ties = Literal["index", "threshold", "dense-rank"]


def top_scores(scores: Array, k: int, *, side: Side, ties: Ties) -> Array:
    """The k best `scores` of a side that ranks; more than k where `ties` lets equals in."""
    if ties == "index":
        return _largest(_key(scores, side), k)
    if ties == "dense-rank":
        _, rank = np.unique(-_key(scores, side), return_inverse=True)
        return rank < k
    if side == "middle":
        # The published window mean ± deviation, computed as it is there: rounding may drop the unit on its edge.
        centre = np.mean(scores)
        reach = np.partition(np.abs(scores - centre), k - 1)[k - 1]
        return (scores >= centre - reach) & (scores <= centre + reach)
    key = _key(scores, side)
    return key >= np.partition(key, key.size - k)[key.size - k]


def _key(scores: Array, side: Side) -> Array:
    """Larger is chosen first."""
    match side:
        case "bottom":
            return -scores
        case "both":
            return np.abs(scores)
        case "middle":
            with np.errstate(over="ignore"):  # what is too far away to be counted is infinitely far
                return -np.abs(scores - centre(scores))
    return scores


def centre(scores: Array) -> float:
    """The mean of the finite ones, also where their sum overflows; 0 where there are none."""
    finite = scores[np.isfinite(scores)]
    if not finite.size:
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # parts of the sum may be infinite, of either sign
        mean = float(np.mean(finite))
    return mean if np.isfinite(mean) else float(np.sum(finite / finite.size))


def _largest(key: Array, k: int) -> Array:
    """Exactly k: all above the k-th largest, and the first of those equal to it."""
    threshold = np.partition(key, key.size - k)[key.size - k]
    flags = key > threshold
    flags[np.flatnonzero(key == threshold)[: k - int(flags.sum())]] = True
    return flags
