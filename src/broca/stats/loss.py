"""What a lesion takes from an ability: is it a loss, is it large enough to matter, and if that is open, what would decide it?"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, log2
from typing import Any, Literal

import numpy as np

from broca.errors import StatisticsError
from broca.stats.intervals import Array, codes
from broca.stats.pairs import SignFlip, sign_flip_test
from broca.stats.power import paired_needed

SMALLEST_SHARE = 0.2
"""The smallest effect of interest where none is stated: a fifth of intact minus chance."""

MOST_TIMES = 50
"""So many times the groups that there are is no number to ask for."""

State = Literal["passed", "failed", "undecided"]


@dataclass(frozen=True, slots=True)
class Loss:
    """What an ability lost, and whether it is enough.

    *Passed*: beyond zero, and estimated at no less than the smallest effect. *Failed*: its whole interval lies below that effect,
    which is evidence of absence, though it may be beyond zero. Else *undecided*.
    """

    state: State
    why: Literal["", "few groups", "fills disagree", "interval"]
    """What leaves it undecided: too few groups for any p of alpha, a fill without the sign, or an interval that says too little."""
    value: float
    """Intact minus lesioned, the mean over fills."""
    low: float
    high: float
    p: float
    """Two-sided, of flipped signs of groups."""
    smallest_p: float
    """The smallest p that so many groups allow."""
    groups: int
    by_fill: tuple[float, ...]
    smallest_effect: float
    needed: int | None
    """How many groups like these would decide it, if the loss is what it seems; None where it is decided, or where more than
    `MOST_TIMES` as many would be needed."""


def loss_test(
    intact: Any,
    lesioned: Any,
    chance: Any = 0.0,
    *,
    groups: Any | None = None,
    weights: Any | None = None,
    smallest_effect: float | None = None,
    alpha: float = 0.05,
    n: int = 10_000,
    seed: int = 0,
    power: float = 0.8,
) -> Loss:
    """Does a lesion cost an ability something, under every fill, and enough?

    Args:
        intact: (item,) whether, or how much, each is right without the lesion.
        lesioned: (fill, item) the same under the lesion; (item,) for one fill.
        chance: share that guessing gets right, (item,) or of all items.
        groups: of the items.
        weights: of the items.
        smallest_effect: the smallest loss that matters, in the unit of `intact`; by default a fifth of intact minus chance.
        alpha: level, two-sided.
        n: sign patterns; all of them are tried when there are no more.
        seed: of random patterns.
        power: the probability with which the number of groups named would decide it.

    Raises:
        StatisticsError: if shapes do not fit, there are no items, or the smallest effect is not above 0.
    """
    before, after = np.asarray(intact, np.float64), np.atleast_2d(np.asarray(lesioned, np.float64))
    if before.ndim != 1 or not before.size or after.shape[1:] != before.shape:
        raise StatisticsError(
            f"Intact has shape {before.shape}, lesioned {after.shape}. Give (item,) and (fill, item)."
        )
    lost = before - after
    smallest = smallest_loss(before, chance, weights) if smallest_effect is None else smallest_effect
    if not smallest > 0:
        raise StatisticsError(
            f"The smallest effect of interest is {smallest:g}: the intact model is at chance, or it was given so. Test an ability "
            "that it has, and give a loss above 0."
        )
    by_fill = tuple(float(np.average(each, weights=weights)) for each in lost)
    mean = lost.mean(0)
    labels = codes(np.arange(mean.size) if groups is None else np.asarray(groups))
    if labels.max() < 1:
        value, least = float(np.mean(by_fill)), least_groups(alpha)
        return Loss("undecided", "few groups", value, -inf, inf, 1.0, 1.0, 1, by_fill, smallest, least)
    test = sign_flip_test(mean, groups=labels, weights=weights, n=n, seed=seed, alpha=alpha)
    state, why = _state(test, by_fill, smallest, alpha)
    needed = (
        None if state != "undecided" else _groups_for_power(mean, labels, weights, smallest, alpha=alpha, power=power)
    )
    return Loss(
        state, why, test.value, test.low, test.high, test.p, test.smallest_p, test.groups, by_fill, smallest, needed
    )


def smallest_loss(intact: Any, chance: Any = 0.0, weights: Any | None = None) -> float:
    """A fifth of intact minus chance."""
    above = np.asarray(intact, np.float64) - chance
    return SMALLEST_SHARE * float(np.average(above, weights=weights))


def _state(test: SignFlip, by_fill: tuple[float, ...], smallest: float, alpha: float) -> tuple[State, Any]:
    if test.smallest_p > alpha:
        return "undecided", "few groups"
    if test.high < smallest:
        return "failed", ""
    if test.low > 0 and test.value >= smallest:
        return ("passed", "") if min(by_fill) > 0 else ("undecided", "fills disagree")
    return "undecided", "interval"


def _groups_for_power(
    lost: Array, labels: Array, weights: Any | None, smallest: float, *, alpha: float, power: float
) -> int | None:
    """Groups for an interval that ends before zero, or before the smallest effect, on whose side the estimate lies."""
    each = np.ones(lost.size) if weights is None else np.asarray(weights, np.float64)
    sums, sizes = np.bincount(labels, lost * each), np.bincount(labels, each)
    value = sums.sum() / sizes.sum()
    k = len(sums)
    spread = (k / (k - 1)) ** 0.5 * np.sqrt(np.square(sums - value * sizes).sum() / k) / sizes.mean()
    distance = value if value >= smallest else smallest - value
    least = least_groups(alpha)
    if spread <= 1e-12:
        return least
    if distance / spread < 1e-4:
        return None
    needed = max(least, paired_needed(float(distance / spread), power=power, alpha=alpha))
    return needed if needed <= MOST_TIMES * k else None


def least_groups(alpha: float) -> int:
    """The fewest whose signs allow a two-sided p of alpha."""
    return ceil(log2(2 / alpha) - 1e-9)
