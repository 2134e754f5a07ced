"""Figures that measure no layer: the same in every one of them, or a number of tokens in disguise.

The published share of attention that a prompt "gives", row sums up to the colon by all row sums, was (c + 1) / S in every layer
and head: softmax rows sum to 1, so that it counted tokens. Both marks of such a figure can be looked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Any

import numpy as np

from broca.errors import StatisticsError
from broca.stats.intervals import Array


def degenerate(figure: Any, counts: Mapping[str, Any] | None = None, *, tolerance: float = 1e-4) -> tuple[str, ...]:
    """What is wrong with a figure, in words; nothing if nothing is.

    Args:
        figure: (row, layer, ...) values of rows such as texts or pairs, in each layer, or each head of it; NaN is left out.
        counts: (row,) numbers that it must not merely repeat, by name, such as numbers of tokens: each of them, and each
            one divided by another.
        tolerance: largest difference taken for none, relative to the figure's largest value: bfloat16 rows sum to 1 within
            a few thousandths, float32 ones within 1e-6.

    Raises:
        StatisticsError: if shapes do not fit.
    """
    values = np.asarray(figure, np.float64)
    known = {name: np.asarray(count, np.float64) for name, count in (counts or {}).items()}
    if values.ndim < 2 or any(count.shape != values.shape[:1] for count in known.values()):
        raise StatisticsError(
            f"The figure has shape {values.shape}, the counts {[count.shape for count in known.values()]}. Give (row, layer, ...) "
            "and a count a row."
        )
    values = values.reshape(*values.shape[:2], -1)
    rows = np.isfinite(values).any((1, 2))
    if not rows.any():
        return ()
    values = values[rows]
    layers = np.isfinite(values).any((0, 2))
    slack = tolerance * float(np.nanmax(np.abs(values)))
    found = []
    if layers.sum() > 1 and bool((np.nanmax(values, 1) - np.nanmin(values, 1) <= slack).all()):
        found.append("the same in every layer")
    for name, count in _ratios({name: count[rows] for name, count in known.items()}):
        if bool((np.nan_to_num(np.abs(values - count[:, None, None])) <= slack).all()):
            found.append(f"equal to {name}")
    return tuple(found)


def _ratios(counts: Mapping[str, Array]) -> list[tuple[str, Array]]:
    """Every count, and every one divided by another where that is defined."""
    pairs = ((a, b) for a, b in permutations(counts, 2) if counts[b].all())
    return [*counts.items(), *((f"{a} / {b}", counts[a] / counts[b]) for a, b in pairs)]
