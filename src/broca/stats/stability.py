"""Would the same units be chosen again? Overlap of the choices that resampled stimuli make.

Resamples of one sample share most of their stimuli, so their choices overlap even where nothing is there to be found. The
overlap on shuffled labels (`noise`) is what an unstable choice shows; that of random choices (`chance`) is far lower.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np

from broca.errors import StatisticsError
from broca.stats.exchange import Groups, Sides, random_flags
from broca.stats.intervals import Array, Interval, require_draws
from broca.stats.reliability import chance_overlap
from broca.stats.sums import GroupMoments, Side, group_sums, unit_shape

Choose = Callable[[Array], Array]
"""From the t of every unit (NaN for dead ones) to a flag for every unit."""

NOISE_RESAMPLES = 20


@dataclass(frozen=True, slots=True)
class Stability:
    """How alike the choices of n resamples are."""

    jaccard: Interval
    """Mean over all pairs of resamples, and the range that holds `level` of the pairs."""
    whole: float
    """Mean Jaccard of a resample's choice with that of all stimuli."""
    chance: float
    """What random choices of the same size would share."""
    noise: float
    """The mean over pairs of resamples when the labels are shuffled first; NaN if this was not asked for."""
    frequency: Array
    """Of each unit: the share of resamples that choose it (Meinshausen & Bühlmann, 2010)."""
    k: float
    """Mean number of chosen units."""
    n: int


def bootstrap_overlap(
    a: Side,
    b: Side,
    *,
    count: int | None = None,
    signed: bool = True,
    choose: Choose | None = None,
    groups: Groups = (None, None),
    paired: bool = False,
    n: int = 100,
    shuffles: int = 10,
    seed: int = 0,
    level: float = 0.95,
) -> Stability:
    """Stability of the choice of units by Welch's t, over n bootstrap resamples of stimuli or groups (Efron, 1979).

    A mean pairwise Jaccard of 0.8 over 100 or more resamples has been asked for (Méloux et al., 2025, arXiv:2510.00845). Takes
    4 n bytes a unit.

    Args:
        a: (stimulus, ...unit) values of one side, or the moments of its groups.
        b: those of the other.
        count: choose this many units with the largest t, the first of equal ones; or give `choose`.
        signed: whether the largest t counts, or the largest absolute t.
        choose: from t, of the shape of the units, to flags of that shape.
        groups: labels of the stimuli of a and of b; groups are resampled whole, within a, within b, or with both sides.
        paired: whether the i-th of each side belong together.
        n: resamples.
        shuffles: of the labels, for `noise`; 0 for none.
        seed: of resamples and shuffles.
        level: share of the pairs that the interval holds.

    Raises:
        StatisticsError: if there is nothing to resample or to choose from, or nothing is chosen; and as `Sides.of`.
    """
    if require_draws(n) < 2:
        raise StatisticsError("1 resample has nothing to be compared with. Give at least 2; 100 make a steady overlap.")
    sides = _sides(a, b, groups, paired=paired)
    choice, generator = choose or _largest(count, signed=signed), np.random.default_rng(seed)

    def masks(flags: Array, resamples: int) -> tuple[Array, int]:
        weights = np.vstack([np.ones(sides.n_groups), _bootstrap_counts(sides, flags, resamples, generator)])
        t = _maps(a, b, sides, flags != sides.observed_flags, weights)
        return np.array([_flags(choice, row.reshape(unit_shape(a))) for row in t]), int(np.isfinite(t[0]).sum())

    chosen, n_alive = masks(sides.observed_flags, n)
    jaccards = _jaccards(chosen)
    if not len(pairs := _pairs(jaccards)):
        raise StatisticsError(f"Fewer than 2 of {n} resamples choose a unit. Choose by count, or less strictly.")
    k = float(chosen[1:].sum(1).mean())
    noise = [_pairs(_jaccards(masks(flags, NOISE_RESAMPLES)[0])) for flags in random_flags(sides, shuffles, generator)]
    return Stability(
        jaccard=Interval.of(pairs.mean(), pairs, level),
        whole=float(np.nanmean(jaccards[0, 1:])),
        chance=chance_overlap(round(k), round(k), n_alive).jaccard,
        noise=float(np.mean([found.mean() for found in noise if len(found)] or np.nan)),
        frequency=chosen[1:].mean(0).reshape(unit_shape(a)),
        k=k,
        n=n,
    )


def _sides(a: Side, b: Side, groups: Groups, *, paired: bool) -> Sides:
    rows = "groups" if isinstance(a, GroupMoments) else "stimuli"
    sides = Sides.of(len(a), len(b), groups=groups, paired=paired, rows=rows)
    if min(sides.n_only_a, sides.n_only_b) + sides.n_both < 2:
        raise StatisticsError("A side is 1 group. Resampling needs at least 2 on each side, 20 to be worth reading.")
    return sides


def _largest(count: int | None, *, signed: bool) -> Choose:
    if count is None or count < 1:
        raise StatisticsError(f"count is {count}. Give the number of units to choose, or a function as `choose`.")

    def choose(t: Array) -> Array:
        score = (t if signed else np.abs(t)).ravel()
        alive = int(np.isfinite(score).sum())
        if count > alive:
            raise StatisticsError(f"{count} units cannot be chosen of {alive} that vary. Give a smaller count.")
        # argsort puts NaN last, and equal values in their order.
        flags = np.zeros(score.size, bool)
        flags[np.argsort(-score, kind="stable")[:count]] = True
        return flags.reshape(t.shape)

    return choose


def _flags(choose: Choose, t: Array) -> Array:
    flags = np.asarray(choose(t.astype(np.float64)))
    if flags.shape != t.shape or flags.dtype != bool:
        raise StatisticsError(
            f"choose gave {flags.dtype} of shape {flags.shape} for units of shape {t.shape}. Return one bool for each."
        )
    return flags.ravel()


def _bootstrap_counts(sides: Sides, flags: Array, n: int, generator: np.random.Generator) -> Array:
    """How often each group is drawn in n resamples of the groups of a, of b and of both, as the flags arrange them."""
    one_sided = sides.n_groups - sides.n_both
    on_a = flags[:one_sided]
    weights = np.zeros((n, sides.n_groups))
    for stratum in (np.flatnonzero(on_a), np.flatnonzero(~on_a), np.arange(one_sided, sides.n_groups)):
        if len(stratum):
            weights[:, stratum] = generator.multinomial(len(stratum), np.full(len(stratum), 1 / len(stratum)), size=n)
    return weights


def _maps(a: Side, b: Side, sides: Sides, swapped: Array, weights: Array) -> Array:
    """Welch's t (Welch, 1947) of every unit under each weighting of the groups; (weighting, unit) float32."""
    t = np.empty((len(weights), prod(unit_shape(a))), np.float32)
    for at, sums in group_sums(a, b, sides):
        here, there = (np.where(swapped[:, None], y, x) for x, y in ((sums.a, sums.b), (sums.b, sums.a)))
        n_a, n_b = (np.where(swapped, y, x) for x, y in ((sums.n_a, sums.n_b), (sums.n_b, sums.n_a)))
        (mean_a, error_a), (mean_b, error_b) = (_moments(weights, n, s) for n, s in ((n_a, here), (n_b, there)))
        t[:, at] = (mean_a - mean_b) / np.sqrt(np.maximum(error_a + error_b, 2.0**-sums.bits))
        t[:, at][:, ~sums.alive] = np.nan
    return t


def _moments(weights: Array, n: Array, sums: Array) -> tuple[Array, Array]:
    """Mean of a side and its squared error; (weighting, unit)."""
    held = n > 0
    count = (weights[:, held] @ n[held])[:, None]
    first, second = (weights[:, held] @ each[held] for each in sums)
    return first / count, (second - first * first / count) / (count * (count - 1))


def _jaccards(masks: Array) -> Array:
    """Jaccard (1901) of every two rows; NaN where both are empty."""
    shared = np.zeros((len(masks), len(masks)))
    for start in range(0, masks.shape[1], 1 << 14):
        part = masks[:, start : start + (1 << 14)].astype(np.float32)  # counts below 2^24 are exact
        shared += part @ part.T
    size = masks.sum(1)
    either = size[:, None] + size - shared
    return np.divide(shared, either, out=np.full_like(shared, np.nan), where=either > 0)


def _pairs(jaccards: Array) -> Array:
    """Those of two different resamples of which one chose something; the first row is no resample."""
    found = jaccards[1:, 1:][np.triu_indices(len(jaccards) - 1, 1)]
    return found[np.isfinite(found)]
