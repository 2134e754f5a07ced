"""When random draws are enough: a test of a selection against matched random choices that stops as soon as its end is plain.

The fixed test passes if at most `allowed - 1` of n draws cost at least as much as the selection: its rank among n + 1 is a p. If
the selection and its draws are exchangeable then, after m draws of which b cost as much, the number among the rest is
BetaBinomial(n - m, b + 1, m - b + 1), exactly, with replacement or without. At each look the test passes if the fixed one would fail
with a probability of at most `PASS_RISK`, and fails if that would pass with at most `FAIL_RISK`.

A decision is a function of the first draws alone: workers may run ahead, and a test that is resumed stops at the same draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

import numpy as np
from scipy.stats import betabinom

from broca.errors import StatisticsError
from broca.stats.intervals import Array

PASS_RISK = 2.4e-4
FAIL_RISK = 1e-3
EVERY = 20
"""Draws between looks."""
DRAWS = 200
"""Draws at most, where the level allows."""
ALLOWED = 5
"""The rank that must still pass: with fewer, one draw that costs as much by chance would often decide."""


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """Looks, and what decides at each."""

    n: int
    """Draws at most."""
    alpha: float
    """Level of the test."""
    looks: tuple[int, ...]
    """After how many draws; the last is n."""
    pass_at: tuple[int, ...]
    """At each look, the most draws that cost as much and still pass; -1 where none does."""
    fail_at: tuple[int, ...]
    """At each look, the fewest draws that cost as much and fail."""

    @property
    def limit(self) -> int:
        """The largest rank among n + 1 that passes; 0 where n draws allow no p of `alpha`."""
        return int(self.alpha * (self.n + 1) + 1e-9)

    @property
    def smallest_p(self) -> float:
        """The smallest p that n draws allow."""
        return 1 / (self.n + 1)


@dataclass(frozen=True, slots=True)
class Decision:
    """What the first draws decide."""

    state: Literal["passed", "failed", "undecided", "go on"]
    """*Undecided* where no number of the draws that there are would do."""
    draws: int
    """How many decided, or how many there are; later ones do not count."""
    as_costly: int
    """How many of them cost at least as much as the selection."""
    until: int
    """The look that comes next; `draws` where none does."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What a rule does."""

    passed: float
    """Probability of passing."""
    draws: float
    """Expected number of draws."""


def draws_needed(alpha: float) -> int:
    """Draws at most for a test of level `alpha`: `DRAWS`, or more where these would not allow a rank of `ALLOWED`.

    Raises:
        StatisticsError: if alpha does not lie between 0 and 1.
    """
    _check(alpha)
    return max(DRAWS, EVERY * ceil((ALLOWED / alpha - 1) / EVERY - 1e-9))


def fewest_draws(alpha: float) -> int:
    """The fewest draws, or untrained twins, that allow a p of `alpha`: ``ceil(1 / alpha) - 1``, none of them reaching the selection.

    Raises:
        StatisticsError: if alpha does not lie between 0 and 1.
    """
    _check(alpha)
    return ceil(1 / alpha - 1e-9) - 1


def stopping_rule(
    alpha: float = 0.05, *, claims: int = 1, draws: int | None = None, distinct: int | None = None
) -> StoppingRule:
    """The looks and boundaries of a test.

    Args:
        alpha: level of all claims together.
        claims: how many share it (Bonferroni); a decision that was stopped cannot be corrected afterwards.
        draws: draws at most; `draws_needed` by default.
        distinct: how many choices there are beside the selection. If they are no more than the draws, each is drawn once, and the
            rank of the selection among all of them is its p.

    Raises:
        StatisticsError: if a number is impossible.
    """
    _check(alpha)
    if claims < 1 or (draws is not None and draws < 1) or (distinct is not None and distinct < 0):
        raise StatisticsError(
            f"There are {claims} claims, {draws} draws and {distinct} distinct choices. Give 1 claim and 1 draw or more."
        )
    level = alpha / claims
    n = draws_needed(level) if draws is None else draws
    n = n if distinct is None else min(n, distinct)
    allowed = int(level * (n + 1) + 1e-9)
    looks = (*range(EVERY, n, EVERY), n)
    bounds = [_bounds(n, allowed, look) for look in looks]
    return StoppingRule(n, level, looks, tuple(low for low, _ in bounds), tuple(high for _, high in bounds))


def decide(as_costly: Sequence[bool] | Array, rule: StoppingRule) -> Decision:
    """What draws decide, in the order in which they were drawn.

    Args:
        as_costly: of each draw, whether it costs at least as much as the selection: a tie counts against the selection. More draws
            than the rule looks at change nothing.
        rule: the looks and boundaries.
    """
    draws = np.asarray(as_costly, bool)[: rule.n]
    if not rule.limit:
        return Decision("undecided", len(draws), int(draws.sum()), len(draws))
    for look, low, high in zip(rule.looks, rule.pass_at, rule.fail_at, strict=True):
        if look > len(draws):
            return Decision("go on", len(draws), int(draws.sum()), look)
        count = int(draws[:look].sum())
        if count <= low or count >= high:
            return Decision("passed" if count <= low else "failed", look, count, look)
    raise AssertionError("The last look decides.")


def operation(rule: StoppingRule, p: float | None = None) -> Operation:
    """Probability of passing and expected draws, exactly, by dynamic programming over the count of draws that cost as much.

    Args:
        rule: the looks and boundaries.
        p: probability that a draw costs as much. None: selection and draws are exchangeable, and passing is the error of the
            first kind.

    Raises:
        StatisticsError: if p is no probability.
    """
    if p is not None and not 0 <= p <= 1:
        raise StatisticsError(f"p is {p}. Give the probability that a draw costs at least as much, from 0 to 1.")
    if not rule.limit:
        return Operation(0.0, 0.0)
    chance: Callable[[int, Array], Any] = (lambda n, b: (b + 1) / (n + 2)) if p is None else (lambda _n, _b: p)
    count = np.arange(rule.limit + 1)  # from `limit` on the test has failed, or will at the next look
    weight = np.zeros(len(count))
    weight[0] = 1.0
    passed = draws = 0.0
    bounds = {look: (low, high) for look, low, high in zip(rule.looks, rule.pass_at, rule.fail_at, strict=True)}
    for n in range(rule.n):
        up = weight * chance(n, count)
        up[-1] = 0.0  # the last count stands for itself and all above
        weight = weight - up
        weight[1:] += up[:-1]
        low, high = bounds.get(n + 1, (-1, len(count)))
        passed += weight[: low + 1].sum()
        draws += (n + 1) * (weight[: low + 1].sum() + weight[high:].sum())
        weight[: low + 1] = weight[high:] = 0
    return Operation(float(passed), float(draws))


def _bounds(n: int, allowed: int, look: int) -> tuple[int, int]:
    if look == n:
        return allowed - 1, allowed
    count = np.arange(allowed)
    passes = betabinom.cdf(allowed - 1 - count, n - look, count + 1, look - count + 1)
    sure = (1 - passes <= PASS_RISK) & (count <= look)
    lost = passes <= FAIL_RISK
    return int(sure.sum()) - 1, int(np.argmax(lost)) if lost.any() else allowed


def _check(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise StatisticsError(f"alpha is {alpha}. Give the level of the test, for instance 0.05.")
