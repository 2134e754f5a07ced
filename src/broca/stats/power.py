"""How probable it is that a given number of stimuli or items shows an effect, and how many it needs.

Every function takes `alpha` of one test and the number of `tests` it is shared among (Bonferroni). Clustered stimuli or items
count for less than their number: with `m` of them in a cluster (template) and an intra-cluster correlation `rho`, n
are worth n / (1 + (m - 1) rho) (Kish, 1965). All tests are two-sided.

* welch_*     two sides of stimuli, standardised difference of means d (noncentral t: Cohen, 1988)
* paired_*    pairs of stimuli, standardised mean difference d_z
* mcnemar_*   items under two conditions: the shares that are lost and gained (exact test; Connor, 1987, for a start)
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np
from scipy import special, stats

from broca.errors import StatisticsError

MOST = 1 << 40
"""Where a search for a number of stimuli gives up."""


def design_effect(m: float, rho: float) -> float:
    """By how much clusters of `m` with intra-cluster correlation `rho` inflate a variance: 1 + (m - 1) rho (Kish, 1965).

    Raises:
        StatisticsError: if m is below 1 or rho outside 0 to 1.
    """
    if m < 1 or not 0 <= rho <= 1:
        raise StatisticsError(f"m is {m} and rho {rho}. Give clusters of 1 or more, and a correlation from 0 to 1.")
    return 1 + (m - 1) * rho


def welch_power(
    d: float, n_a: float, n_b: float | None = None, *, alpha: float = 0.05, tests: int = 1, m: float = 1, rho: float = 0
) -> float:
    """Probability that Welch's t finds a difference of `d` standard deviations, both sides being equally variable.

    Args:
        d: true difference of means in standard deviations.
        n_a: stimuli on side a.
        n_b: stimuli on side b; as many as on a by default.
        alpha: level, two-sided.
        tests: number of tests that share it.
        m: stimuli in a cluster.
        rho: correlation within clusters.

    Raises:
        StatisticsError: if a side is worth fewer than 2 stimuli, or a number is impossible.
    """
    a, b = (_worth(n, m, rho) for n in (n_a, n_a if n_b is None else n_b))
    error = 1 / a + 1 / b
    df = error**2 / (1 / (a * a * (a - 1)) + 1 / (b * b * (b - 1)))  # Satterthwaite's at equal variances
    return _t_power(d / error**0.5, df, _level(alpha, tests))


def welch_needed(
    d: float, *, power: float = 0.8, alpha: float = 0.05, tests: int = 1, m: float = 1, rho: float = 0
) -> int:
    """Stimuli on each side that `welch_power` asks for.

    Raises:
        StatisticsError: if d is 0, or a number is impossible.
    """
    _effect(d, "d")
    return _fewest(lambda n: welch_power(d, n, alpha=alpha, tests=tests, m=m, rho=rho), power, least=_least(m, rho))


def paired_power(d: float, n: float, *, alpha: float = 0.05, tests: int = 1, m: float = 1, rho: float = 0) -> float:
    """Probability that the t of `n` pairs finds a mean difference of `d` standard deviations of the differences (d_z).

    Raises:
        StatisticsError: if n is worth fewer than 2 pairs, or a number is impossible.
    """
    pairs = _worth(n, m, rho)
    return _t_power(d * pairs**0.5, pairs - 1, _level(alpha, tests))


def paired_needed(
    d: float, *, power: float = 0.8, alpha: float = 0.05, tests: int = 1, m: float = 1, rho: float = 0
) -> int:
    """Pairs that `paired_power` asks for.

    Raises:
        StatisticsError: if d is 0, or a number is impossible.
    """
    _effect(d, "d")
    return _fewest(lambda n: paired_power(d, n, alpha=alpha, tests=tests, m=m, rho=rho), power, least=_least(m, rho))


def mcnemar_power(
    lost: float, gained: float, n: float, *, alpha: float = 0.05, tests: int = 1, m: float = 1, rho: float = 0
) -> float:
    """Probability that the exact McNemar test of `n` items finds that more are lost than gained, or fewer.

    Args:
        lost: share of all items that are right under the first condition and wrong under the second.
        gained: share that turn the other way; the difference in accuracy is lost - gained.
        n: items.
        alpha: level, two-sided.
        tests: number of tests that share it.
        m: items in a cluster.
        rho: correlation within clusters.

    Raises:
        StatisticsError: if shares are negative or exceed 1 together, or a number is impossible.
    """
    if min(lost, gained) < 0 or not 0 < lost + gained <= 1:
        raise StatisticsError(f"{lost} of the items are lost and {gained} gained. Give shares that sum to 1 at most.")
    worth, level = int(n / design_effect(m, rho) + 1e-9), _level(alpha, tests)
    changed = lost + gained
    least, most = (float(stats.binom.ppf(q, worth, changed)) for q in (1e-12, 1 - 1e-12))
    count = np.arange(least, most + 1)
    # The largest tail that the exact test rejects, for each number of items that changed.
    tail = stats.binom.ppf(level / 2, count, 0.5)
    tail -= stats.binom.cdf(tail, count, 0.5) > level / 2 * (1 + 1e-9)
    share = lost / changed
    rejects = stats.binom.cdf(tail, count, share) + stats.binom.sf(count - tail - 1, count, share)
    return float(stats.binom.pmf(count, worth, changed) @ rejects)


def _t_power(shift: float, df: float, alpha: float) -> float:
    """Of a two-sided t test whose statistic is noncentral by `shift`; SciPy's `nct` gives NaN for far tails."""
    critical = float(-special.stdtrit(df, alpha / 2))
    return min(1.0, _upper_tail(shift, df, critical) + _upper_tail(-shift, df, critical))


def _upper_tail(shift: float, df: float, critical: float) -> float:
    """P(Z + shift > critical S), Z normal and df S² chi-squared: the integral over z of P(S < (z + shift) / critical)."""
    low, high = max(-10.0, -shift), 10.0
    if low >= high:
        return 0.0
    middle, width = critical - shift, critical / (2 * df) ** 0.5  # where, and how fast, S is passed
    edges = np.clip([low, middle - 6 * width, middle, middle + 6 * width, high], low, high)
    z = (edges[1:, None] * (1 + _NODES) + edges[:-1, None] * (1 - _NODES)) / 2
    passed = special.gammainc(df / 2, df / 2 * ((z + shift) / critical) ** 2)
    density = np.exp(-z * z / 2) / (2 * np.pi) ** 0.5
    return float((density * passed * _WEIGHTS).sum(1) @ np.diff(edges) / 2)


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


def _worth(n: float, m: float, rho: float) -> float:
    worth = n / design_effect(m, rho)
    if worth < 2:
        raise StatisticsError(
            f"{n:g} stimuli in clusters of {m:g} are worth {worth:.2g}. Give at least {_least(m, rho)}."
        )
    return worth


def _least(m: float, rho: float) -> int:
    return ceil(2 * design_effect(m, rho) - 1e-9)


def _level(alpha: float, tests: int) -> float:
    if not 0 < alpha < 1 or tests < 1:
        raise StatisticsError(f"alpha is {alpha} for {tests} tests. Give a level between 0 and 1, and 1 test or more.")
    return alpha / tests


def _share(power: float) -> float:
    if not 0 < power < 1:
        raise StatisticsError(f"power is {power}. Give a probability between 0 and 1, for instance 0.8.")
    return power


def _effect(value: float, name: str) -> None:
    if value == 0:
        raise StatisticsError(
            f"{name} is 0: no number of stimuli finds nothing. Give the smallest effect that matters."
        )


def _fewest(power_of: Callable[[int], float], power: float, *, least: int) -> int:
    """Where the power first passes, by doubling and halving."""
    wanted = _share(power)
    low, high = least - 1, least
    while power_of(high) < wanted:
        low, high = high, 2 * high
        if high > MOST:
            raise StatisticsError("No feasible number finds an effect this small. Give a larger effect.")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(middle) >= wanted else (middle, high)
    return high
