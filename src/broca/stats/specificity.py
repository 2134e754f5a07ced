"""Does a lesion cost one ability more than another? As a share of what each had to lose, and in log-odds: each alone is fooled.

Points of accuracy are fooled by floors (an ability at 90 % cannot lose what one at 70 % keeps), the share lost by difficulty (slim
margins flip first), log-odds by floors again. A lesion that costs one ability more does so in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from broca.errors import StatisticsError
from broca.stats.intervals import Array, codes
from broca.stats.loss import SMALLEST_SHARE
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
    """(fill, item) Intact minus lesioned, divided by what the ability has above chance."""
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
        headroom = max(float(np.average(before - chance, weights=each)), FLOOR)
        labels = codes(np.arange(before.size) if groups is None else np.asarray(groups))
        return cls((before - after) / headroom, odds - odds_after, labels, each)

    @property
    def share_lost(self) -> float:
        """Of what the ability has above chance, in the mean over fills."""
        return float(np.average(self.share.mean(0), weights=self.weights))

    def means(self) -> tuple[Array, Array]:
        """(fill,) Share lost, and log-odds lost."""
        return tuple(_mean(values, self.weights) for values in (self.share, self.log_odds))  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Specificity:
    """One ability's loss against another's.

    *Passed*: the share lost and the log-odds both fall more, in the mean over fills at `alpha`, one-sided, and under each fill by sign.
    *Failed*: the whole interval of the difference of shares lies below the smallest effect. Else *undecided*.
    """

    state: State
    why: Literal["", "few groups", "fills disagree", "measures disagree", "interval", "no margins"]
    share_own: float
    share_other: float
    share: ShuffleTest | None
    """Own minus other; None where nothing varies or too few groups are there."""
    log_odds: ShuffleTest | None
    by_fill: tuple[tuple[float, float], ...]
    """Own minus other under each fill: share lost, log-odds lost."""
    groups: tuple[int, int]


def specificity_test(
    own: Drops,
    other: Drops,
    *,
    smallest_share: float = SMALLEST_SHARE,
    alpha: float = 0.05,
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
        n: arrangements of groups.
        seed: of random ones.
    """
    groups = (len(np.unique(own.groups)), len(np.unique(other.groups)))
    by_fill = tuple(zip(*(a - b for a, b in zip(own.means(), other.means(), strict=True)), strict=True))
    told = (own.share_lost, other.share_lost)
    if min(groups) < FEWEST_GROUPS:
        return Specificity("undecided", "few groups", *told, None, None, by_fill, groups)
    how = {"alpha": alpha, "n": n, "seed": seed}
    share, odds = (_test(own, other, name, **how) for name in ("share", "log_odds"))
    state, why = _state(share, odds, by_fill, smallest_share=smallest_share, alpha=alpha)
    return Specificity(state, why, *told, share, odds, by_fill, groups)


def _state(
    share: ShuffleTest | None,
    odds: ShuffleTest | None,
    by_fill: tuple[tuple[float, float], ...],
    *,
    smallest_share: float,
    alpha: float,
) -> tuple[State, Any]:
    if share is None:  # neither lost anything
        return "failed", ""
    # The p is two-sided, the question one-sided: of the difference that has the sign asked for, half of it.
    more = [test is not None and test.value > 0 and test.p / 2 <= alpha for test in (share, odds)]
    if share.high < smallest_share:
        return "failed", ""
    if odds is None:
        return "undecided", "no margins"
    if all(more):
        agree = all(min(each) > 0 for each in by_fill)
        return ("passed", "") if agree else ("undecided", "fills disagree")
    return "undecided", "measures disagree" if any(more) else "interval"


def _test(own: Drops, other: Drops, name: str, **how: Any) -> ShuffleTest | None:
    mine, theirs = (getattr(side, name).mean(0) for side in (own, other))
    if np.isnan(mine).all() or np.isnan(theirs).all():
        return None
    try:
        return shuffle_test(
            mine,
            theirs,
            groups=(_apart(own.groups, "a"), _apart(other.groups, "b")),
            weights=(own.weights, other.weights),
            **how,
        )
    except StatisticsError:
        return None


def _apart(groups: Array, side: str) -> Array:
    """Groups of two abilities are two sets, whatever they are called."""
    return np.array([f"{side}{group}" for group in groups])


def _mean(values: Array, weights: Array) -> Array:
    """(fill,) Weighted means over items that have a value."""
    known = ~np.isnan(values)
    total = (known * weights).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, (np.where(known, values, 0.0) * weights).sum(1) / total, np.nan)
