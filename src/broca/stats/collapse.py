"""Do answers fall on one value, whatever is asked? A lesion that makes them do so takes no ability away."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from broca.errors import StatisticsError
from broca.stats.intervals import codes
from broca.stats.pairs import sign_flip_test

MOST = 0.75
"""Of the answers that belong elsewhere, the share on one value that makes a collapse."""


@dataclass(frozen=True, slots=True)
class Collapse:
    """The value that draws the most answers away from others."""

    value: Hashable
    """None: no answer can be read."""
    given: float
    """Share of the answers that are this value."""
    right: float
    """Share for which it is right."""
    excess: float
    """Of the answers that belong elsewhere, the share that falls on it beyond those that leave it: 0 without bias, 1 where all are it."""
    p: float
    """Two-sided, that answers move towards it as often as away from it; corrected for the number of values (Bonferroni)."""
    collapsed: bool
    """Whether the excess is at least `MOST`, and p at most alpha."""


def collapse(
    given: Sequence[Hashable],
    right: Sequence[Hashable],
    *,
    groups: Any | None = None,
    most: float = MOST,
    alpha: float = 0.05,
    seed: int = 0,
) -> Collapse:
    """The value that most answers fall on beyond those for which it is right, and whether it is a collapse.

    The p flips signs of groups. Where so few groups allow no p of alpha it is that of items, by a binomial test: a guard that cannot
    see would let everything pass.

    Args:
        given: (item,) answers under the lesion, as an option, its class or its position; None where none can be read.
        right: (item,) the right ones, in the same terms.
        groups: of the items.
        most: the excess that makes a collapse.
        alpha: level of the test.
        seed: of the sign flips.

    Raises:
        StatisticsError: if there are no items, or numbers of them differ.
    """
    if len(given) != len(right) or not len(given):
        raise StatisticsError(
            f"There are {len(given)} answers to {len(right)} items. Give one an item, for 1 item or more."
        )
    values = list(dict.fromkeys([*right, *given]))
    found = []
    for value in values:
        says = np.array([each == value for each in given], np.float64)
        holds = np.array([each == value for each in right], np.float64)
        elsewhere = 1 - holds.mean()
        excess = (says.mean() - holds.mean()) / elsewhere if elsewhere else 0.0
        found.append((excess, value, says, holds))
    excess, value, says, holds = max(found, key=lambda each: each[0])
    p = min(1.0, _p(says - holds, groups, alpha / len(values), seed) * len(values))
    return Collapse(
        value,
        float(says.mean()),
        float(holds.mean()),
        float(excess),
        p,
        collapsed=bool(excess >= most - 1e-12 and p <= alpha),
    )


def _p(moved: Any, groups: Any | None, alpha: float, seed: int) -> float:
    if not moved.any():
        return 1.0
    labels = codes(np.arange(moved.size) if groups is None else np.asarray(groups))
    k = int(labels.max()) + 1
    if k < moved.size and 2.0 ** (1 - k) <= alpha:
        return sign_flip_test(moved, groups=labels, seed=seed).p
    return float(binomtest(int((moved > 0).sum()), int((moved != 0).sum())).pvalue)
