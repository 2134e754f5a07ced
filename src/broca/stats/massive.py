"""Massive activations: a few coordinates, hundreds of times larger than the others, that every text shows.

They act as fixed biases and feed attention sinks (Sun et al., 2024, arXiv:2402.17762). A lesion that hits one breaks the
model whatever the task, and a mean over tokens that contains one measures the length of the text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from broca.errors import StatisticsError
from broca.stats.intervals import Array


@dataclass(frozen=True, slots=True)
class Massive:
    """Which units carry massive activations; each array is (unit,)."""

    units: Array
    """Whether a unit is massive in at least one row."""
    largest: Array
    """Its largest absolute activation."""
    ratio: Array
    """The largest multiple of its row's median that it reaches."""
    share: Array
    """The share of rows in which it is massive."""


def massive(activations: Any, *, ratio: float = 100, floor: float = 1) -> Massive:
    """Units with |activation| > `ratio` x the median |activation| of their row, and > `floor`.

    The median is that of the row's units that are neither 0 nor NaN, so that a sparse row (ReLU) has one. Sun et al. use
    ratio 1000 and floor 100, for single tokens of the residual stream of large models; the defaults are wider because
    the mean over a text, and small models, bring both down.

    Args:
        activations: (row, unit), or (unit,) for one row: hidden states of tokens, or pooled ones of stimuli.
        ratio: multiple of the median that must be passed.
        floor: absolute activation that must be passed.

    Raises:
        StatisticsError: if there are no rows or units, or a threshold is not positive.
    """
    size = np.abs(np.array(activations, np.float64, ndmin=2))
    if size.ndim != 2 or size.size == 0:
        raise StatisticsError(
            f"Activations have shape {np.shape(activations)}. Give (row, unit) or (unit,), not empty."
        )
    if ratio <= 0 or floor <= 0:
        raise StatisticsError(f"ratio is {ratio} and floor {floor}. Give positive numbers, for instance 100 and 1.")
    size[np.isnan(size)] = 0
    typical = np.median(size, 1) if size.all() else np.array([np.median(r[r > 0]) if r.any() else 1.0 for r in size])
    multiple = size / typical[:, None]
    hit: Array = (multiple > ratio) & (size > floor)
    return Massive(units=np.any(hit, axis=0), largest=size.max(0), ratio=multiple.max(0), share=hit.mean(0))
