"""Does a lesion cost one ability more than another? As a share of what each had to lose, and in log-odds: each alone is fooled.

Points of accuracy are fooled by floors (an ability at 90 % cannot lose what one at 70 % keeps), the share lost by difficulty (slim
margins flip first), log-odds by floors again. A lesion that costs one ability more does so in both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, comb
from typing import Any, Literal

import numpy as np
from scipy.special import ndtri

from broca.errors import StatisticsError
from broca.stats.intervals import Array, codes
from broca.stats.loss import MOST_TIMES, SMALLEST_SHARE
from broca.stats.shuffle import ShuffleTest, shuffle_test

FEWEST_GROUPS = 5
"""Groups of each ability, below which a comparison is over-confident however it is made."""
FLOOR = 0.05
"""The least headroom that a loss is divided by: an ability so close to chance has nothing to lose."""

State = Literal["passed", "failed", "undecided"]


@dataclass(frozen=True, eq=False, slots=True)
class Drops:
    """What a lesion takes from each item of an ability."""

    share: Array
    """(fill, item) Numbers whose mean is the share lost of what the ability has above chance, and whose spread is that of a ratio."""
    log_odds: Array
    """(fill, item) Intact minus lesioned margin of the right answer, in nats; NaN where nothing tells."""
    groups: Array
    weights: Array

    @classmethod
    def of(
        cls,
        intact: Any,
        lesioned: Any,
        margin: Any,
        lesioned_margin: Any,
        *,
        chance: Any,
        groups: Any | None = None,
        weights: Any | None = None,
    ) -> Drops:
        """From right answers, (item,) and (fill, item), and from margins in nats of the same shapes.

        Args:
            intact: whether each item is right.
            lesioned: the same under each fill.
            margin: log-odds of the right answer against the best other one.
            lesioned_margin: the same under each fill.
            chance: share that guessing gets right, of each item or of all.
            groups: of the items.
            weights: of the items.

        Raises:
            StatisticsError: if shapes do not fit.
        """
        before, after = np.asarray(intact, np.float64), np.atleast_2d(np.asarray(lesioned, np.float64))
        odds, odds_after = np.asarray(margin, np.float64), np.atleast_2d(np.asarray(lesioned_margin, np.float64))
        if (
            before.ndim != 1
            or after.shape != odds_after.shape
            or odds.shape != before.shape
            or after.shape[1:] != before.shape
        ):
            raise StatisticsError(
                f"Intact has shape {before.shape} and margins {odds.shape}, lesioned {after.shape} and {odds_after.shape}. Give (item,) "
                "and (fill, item)."
            )
        each = np.ones(before.size) if weights is None else np.asarray(weights, np.float64)
        labels = codes(np.arange(before.size) if groups is None else np.asarray(groups))
        return cls(_shares(before - after, before - chance, each), odds - odds_after, labels, each)

    @property
    def share_lost(self) -> float:
        """Of what the ability has above chance, in the mean over fills."""
        return float(np.average(self.share.mean(0), weights=self.weights))

    def means(self) -> tuple[Array, Array]:
        """(fill,) Share lost, and log-odds lost."""
        return tuple(_mean(values, self.weights) for values in (self.share, self.log_odds))  # type: ignore[return-value]


def _shares(lost: Array, above: Array, weights: Array) -> Array:
    """Linearised ratios (Woodruff, 1971, JASA 66:411-414): an item on which there is little to lose counts by what it says of both."""
    headroom = float(np.average(above, weights=weights))
    if headroom < FLOOR:
        return lost / FLOOR
    share = np.average(lost, axis=1, weights=weights)[:, None] / headroom
    return share + (lost - share * above) / headroom


@dataclass(frozen=True, slots=True)
class Specificity:
    """One ability's loss against another's.

    *Passed*: the share lost and the log-odds both fall more, in the mean over fills at `alpha`, one-sided, and under each fill by sign.
    *Failed*: the difference of shares lies below the smallest effect, at `alpha`, one-sided. Else *undecided*.
    """

    state: State
    why: Literal["", "few groups", "fills disagree", "measures disagree", "interval", "no margins"]
    share_other: float
    """Of the other ability, lost."""
    share: ShuffleTest | None
    """Own minus other, with limits at one-sided `alpha` each; None where nothing varies or too few groups are there."""
    log_odds: ShuffleTest | None
    by_fill: tuple[tuple[float, float], ...]
    """Own minus other under each fill: share lost, log-odds lost."""
    groups: tuple[int, int]
    needed: int | None = None
    """Where the interval decides nothing, how many groups like these of each ability would, if the difference is what it seems; None
    where more than `MOST_TIMES` as many would be needed."""


def specificity_test(
    own: Drops,
    other: Drops,
    *,
    smallest_share: float = SMALLEST_SHARE,
    alpha: float = 0.05,
    others: int = 1,
    n: int = 10_000,
    seed: int = 0,
) -> Specificity:
    """Does the lesion cost the own ability more than another one?

    With several others all must pass, each at `alpha`: an intersection-union test needs no correction (Berger, 1982).

    Args:
        own: of the ability in question.
        other: of another one.
        smallest_share: the smallest difference of shares lost that is of interest.
        alpha: level of each of the two tests, one-sided.
        others: how many abilities the own one is compared with: one that has failed is enough, so that failing is tested at
            alpha / others.
        n: arrangements of groups.
        seed: of random ones.
    """
    groups = (len(np.unique(own.groups)), len(np.unique(other.groups)))
    by_fill = tuple(zip(*(a - b for a, b in zip(own.means(), other.means(), strict=True)), strict=True))
    if min(groups) < FEWEST_GROUPS or 1 / comb(sum(groups), groups[0]) > alpha:
        return Specificity("undecided", "few groups", other.share_lost, None, None, by_fill, groups)
    share, odds = (_test(own, other, name, alpha=alpha, n=n, seed=seed) for name in ("share", "log_odds"))
    if share is None or share.upper(alpha / others) < smallest_share:  # None: neither lost anything
        state, why = "failed", ""
    else:
        state, why = _state(share, odds, by_fill, alpha)
    needed = None
    if share and why == "interval":
        needed = _groups_needed(share, min(groups), smallest_share, levels=(alpha, alpha / others))
    share, odds = (test and replace(test, low=test.lower(alpha), high=test.upper(alpha)) for test in (share, odds))
    return Specificity(state, why, other.share_lost, share, odds, by_fill, groups, needed)


def _state(
    share: ShuffleTest, odds: ShuffleTest | None, by_fill: tuple[tuple[float, float], ...], alpha: float
) -> tuple[State, Any]:
    if odds is None:
        return "undecided", "no margins"
    more = [test.p_greater <= alpha for test in (share, odds)]
    if all(more):
        agree = all(min(each) > 0 for each in by_fill)
        return ("passed", "") if agree else ("undecided", "fills disagree")
    return "undecided", "measures disagree" if any(more) else "interval"


def _groups_needed(
    share: ShuffleTest, groups: int, smallest: float, *, levels: tuple[float, float], power: float = 0.8
) -> int | None:
    """Groups for an interval that ends above zero, or below the smallest difference of interest, whichever takes fewer.

    Args:
        share: the test.
        groups: of the ability that has fewer.
        smallest: difference of interest.
        levels: of passing, and of failing.
        power: the probability with which so many decide.
    """
    sides = zip((share.value, smallest - share.value), levels, strict=True)
    ratio = min(float(ndtri(1 - level) + ndtri(power)) / distance for distance, level in sides if distance > 0)
    needed = ceil(groups * (share.error * ratio) ** 2)
    return max(needed, groups + 1) if needed <= MOST_TIMES * groups else None


def _test(own: Drops, other: Drops, name: str, *, alpha: float, n: int, seed: int) -> ShuffleTest | None:
    mine, theirs = (getattr(side, name).mean(0) for side in (own, other))
    told = [len(np.unique(side.groups[~np.isnan(each)])) for side, each in ((own, mine), (other, theirs))]
    every = np.concatenate([mine, theirs])
    if min(told) < FEWEST_GROUPS or not np.nanmax(every) > np.nanmin(every):
        return None
    return shuffle_test(
        mine,
        theirs,
        groups=(_apart(own.groups, "a"), _apart(other.groups, "b")),
        weights=(own.weights, other.weights),
        alpha=min(2 * alpha, 0.5),
        n=n,
        seed=seed,
    )


def _apart(groups: Array, side: str) -> Array:
    """Groups of two abilities are two sets, whatever they are called."""
    return np.array([f"{side}{group}" for group in groups])


def _mean(values: Array, weights: Array) -> Array:
    """(fill,) Weighted means over items that have a value."""
    known = ~np.isnan(values)
    total = (known * weights).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, (np.where(known, values, 0.0) * weights).sum(1) / total, np.nan)
