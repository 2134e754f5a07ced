"""Weights under which every answer counts equally, so that a bias towards one of them is no loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from broca.stats.intervals import Array

LEAST = 5
"""Items that a class needs to count as much as the others: fewer would be weighed up without limit."""
_ROUNDS, _CLOSE = 200, 1e-9


def balanced_weights(*factors: Sequence[Any], least: int = LEAST) -> Array:
    """(item,) Weights of mean 1 under which, of each factor, all values of `least` items or more have the same total.

    Iterative proportional fitting (Deming & Stephan, 1940); where factors hang together so much that not all can be balanced, the
    last one is. Items of rarer values keep the weight that their other factors give them.

    Args:
        factors: of each item a value, such as where its right answer stands, and which it is.
        least: items of a value that make it one of those that count equally.
    """
    codes = [np.unique(np.asarray(factor, dtype=str), return_inverse=True)[1] for factor in factors]
    weights = np.ones(len(codes[0]) if codes else 0)
    common = [np.flatnonzero(np.bincount(code) >= least) for code in codes]
    for _ in range(_ROUNDS):
        before = weights.copy()
        for code, values in zip(codes, common, strict=True):
            if len(values) < 2:
                continue
            totals = np.bincount(code, weights)
            scale = np.ones(len(totals))
            scale[values] = totals[values].mean() / totals[values]
            weights *= scale[code]
        if np.abs(weights - before).max(initial=0.0) < _CLOSE:
            break
    return weights * (len(weights) / weights.sum()) if len(weights) else weights
