"""Which end of the ranking, and how much of it: a selection is a value, and `select` carries it out."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from math import inf, nextafter
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import numpy as np

from broca.errors import SelectionError
from broca.sites import Site
from broca.units import ranks
from broca.units.layout import Array, Layout
from broca.units.mask import UnitMask
from broca.units.notation import Grain

_Randomness = np.random.Generator | np.random.RandomState


@dataclass(frozen=True, slots=True)
class Select:
    """What to select. Without `percent` and `count` it is 1 percent, and at least one unit.

    The last eight fields exist to repeat published selections; their defaults are what we would do.

    Raises:
        SelectionError: if fields contradict each other or a value is not one of those allowed.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    percent: float | None = None
    """Share of the units, in percent, above 0 and up to 100. Fractions of a unit are cut off."""
    count: int | None = None
    """Number of units, instead of a percentage."""
    side: ranks.Side = "top"
    """``top``: highest scores. ``bottom``: lowest. ``both``: largest magnitude. ``middle``: nearest to the mean.
    ``random``: any."""
    within: Literal["model", "layer"] = "model"
    """Rank all units together, or each layer by itself: then each layer gives its percentage, or its share of the
    count (largest remainders)."""
    among: Literal["all", "rest"] = "all"
    """Choose from all units, or from those that another mask leaves. The percentage refers to all either way."""
    seed: int = 0
    """Seed of random choices."""
    base: Literal["alive", "all"] = "alive"
    """What the percentage refers to: units with a score, or dead ones too."""
    extra_one: bool = False
    """One more unit for ``bottom`` and ``middle`` (an off-by-one of a published localizer)."""
    ties: ranks.Ties = "index"
    """``index``: exactly as many as asked; of equals those of lower layers, then of lower index, first. ``threshold``:
    all that reach the last score chosen. ``dense-rank``: equals count as one."""
    unseeded_zero: bool = False
    """Seed 0 means no seed: every call draws anew."""
    stream: Literal["generator", "legacy"] = "generator"
    """Random numbers of NumPy's Generator, or of its legacy RandomState."""
    order: Literal["site", "unit"] = "site"
    """How random draws count units, and ``threshold`` sums them for their mean, whose last bits decide who stands on the edge of the
    middle: site after site, or unit 0 of each site, then unit 1 of each."""
    between: tuple[float, float] | None = None
    """For ``random``: only units whose score lies between these two percentiles, limits included."""
    idle: int = 0
    """Further units that have no score, of layers that never ran, which ``base="all"`` counts over the model. A localizer sets it."""

    def __post_init__(self) -> None:
        if self.percent is not None and self.count is not None:
            raise SelectionError(f"Both percent {self.percent} and count {self.count} are given. Give one of them.")
        if self.percent is not None and not 0 < self.percent <= 100:
            raise SelectionError(f"percent is {self.percent}. Give a number above 0, up to 100: 1 is one in a hundred.")
        if self.count is not None and (self.count != int(self.count) or self.count < 1):
            raise SelectionError(f"count is {self.count}. Give a whole number from 1.")
        if self.idle < 0:
            raise SelectionError(f"idle is {self.idle}. Give how many units never ran, 0 or more.")
        if self.seed < 0:
            raise SelectionError(f"seed is {self.seed}. Give 0 or a positive number.")
        for name, choices in _choices().items():
            _require_choice(name, getattr(self, name), choices)
        if self.between is not None and (self.side != "random" or not 0 <= self.between[0] < self.between[1] <= 100):
            raise SelectionError(
                f"between is {self.between} with side {self.side!r}. It takes two ascending percentiles from 0 to 100, "
                "and side 'random'."
            )


@cache
def _choices() -> dict[str, tuple[str, ...]]:
    """The fields that take one of a few words, with these words."""
    hints = get_type_hints(Select)
    return {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}


@dataclass(frozen=True, slots=True)
class Selection:
    """What was selected, and from how many."""

    mask: UnitMask
    n_units: int
    n_alive: int
    """Units that have a score."""
    n_dead: int
    """Units whose score is NaN; they are never selected."""
    k: int
    """Units selected."""


def select(
    scores: Mapping[Site, Array], how: Select, *, rest_of: UnitMask | None = None, grain: Grain = "unit"
) -> Selection:
    """Choose units by their scores: one number per unit, an array per site; NaN marks a dead unit.

    The number is exact unless `how` repeats a published rule that is not. `rest_of` is the mask to leave aside under
    ``among="rest"``.

    Raises:
        SelectionError: if nothing would be selected, more is asked for than there is, or scores have no proper shape.
    """
    layout = Layout.of(scores, "scores")
    row = layout.row(scores, np.float64, "scores")
    alive = ~np.isnan(row)
    pool = alive & ~_left_aside(layout, how, rest_of, grain)
    if how.between is not None:
        pool &= _between(row, alive, how.between)
    n_alive = int(alive.sum())
    if n_alive == 0:
        raise SelectionError(f"All {row.size} units are dead: none has a score. Check the contrast and the site.")
    generator = _generator(how)
    flags = np.zeros(row.size, np.bool_)
    for stratum, k in _quotas(layout, how, alive):
        flags[_pick(row, np.flatnonzero(pool & stratum), k, how=how, layout=layout, generator=generator)] = True
    mask = UnitMask(layout.split(flags), grain)
    total = row.size + (how.idle if how.base == "all" else 0)
    return Selection(mask, n_units=total, n_alive=n_alive, n_dead=total - n_alive, k=mask.count)


def share(base: int, percent: float) -> int:
    """How many whole units `percent` of `base` is; 0.3 percent of 1000 is 3, whatever floats make of it."""
    return int(Decimal(repr(float(percent))) * base / 100)


def percent_of(count: int, of: int) -> float:
    """A percentage that is so many of so many units: 1, or the least one."""
    if share(of, 1.0) == count:
        return 1.0
    percent = 100 * count / of
    while share(of, percent) < count:
        percent = nextafter(percent, inf)
    return percent


def _quotas(layout: Layout, how: Select, alive: Array) -> list[tuple[Array, int]]:
    """Which units compete with each other, and for how many places."""
    counted = alive if how.base == "alive" else np.ones_like(alive)
    if how.within == "model":
        strata = [np.ones_like(alive)]
    else:
        layers = layout.layer_of
        strata = [layers == layer for layer in np.unique(layers)]
    sizes = [int((counted & stratum).sum()) for stratum in strata]
    if how.base == "all" and how.within == "model":
        sizes[0] += how.idle
    if how.count is not None:
        quotas = _apportion(how.count, sizes)
    else:
        # A small model has no whole unit in 1 percent of it; only who asked for a percentage is held to it.
        percent, least = (1.0, 1) if how.percent is None else (how.percent, 0)
        quotas = [max(share(size, percent), min(size, least)) for size in sizes]
    if sum(quotas) == 0:
        raise SelectionError(
            f"{how.percent:g} % of {max(sizes)} units{' per layer' if how.within == 'layer' else ''} is less than one. "
            f"Give at least {100 / max(sizes):.4g} percent, or a count."
        )
    extra = int(how.extra_one and how.side in ("bottom", "middle"))
    return [(stratum, k + extra) for stratum, k in zip(strata, quotas, strict=True) if k]


def _apportion(count: int, sizes: list[int]) -> list[int]:
    """`count` in proportion to `sizes` by largest remainders (Hamilton); of equal remainders the first goes first."""
    total = sum(sizes)
    quotas = [count * size // total for size in sizes]
    by_remainder = sorted(range(len(sizes)), key=lambda i: -(count * sizes[i] % total))
    for i in by_remainder[: count - sum(quotas)]:
        quotas[i] += 1
    return quotas


def _pick(row: Array, pool: Array, k: int, *, how: Select, layout: Layout, generator: _Randomness) -> Array:
    """Positions of k units of the pool."""
    if k > pool.size:
        where = "in one layer" if how.within == "layer" else "in the model"
        limits = (
            " between these percentiles" if how.between else " outside the other mask" if how.among == "rest" else ""
        )
        advice = "Ask for fewer, or choose among 'all'." if how.among == "rest" else "Ask for fewer."
        raise SelectionError(f"{k} units {where} are asked for; {pool.size} alive ones are there{limits}. {advice}")
    if how.order == "unit" and (how.side == "random" or how.ties == "threshold"):
        pool = pool[np.lexsort((layout.site_of[pool], layout.index_of[pool]))]
    if how.side != "random":
        return pool[ranks.top_scores(row[pool], k, side=how.side, ties=how.ties)]
    return pool[generator.choice(pool.size, k, replace=False)]


def _left_aside(layout: Layout, how: Select, rest_of: UnitMask | None, grain: Grain) -> Array:
    if how.among == "all":
        return np.zeros(layout.total, np.bool_)
    if rest_of is None:
        raise SelectionError("among is 'rest', but of which mask? Give rest_of, or choose among 'all'.")
    if rest_of.grain != grain:
        raise SelectionError(f"rest_of chooses {rest_of.grain}s, the scores are of {grain}s. Give a mask of {grain}s.")
    at = {site: flags for site, flags in rest_of.at.items() if site in layout.widths}
    return layout.row(at, np.bool_, "flags of rest_of", absent=False)


def _between(row: Array, alive: Array, limits: tuple[float, float]) -> Array:
    with np.errstate(invalid="ignore"):  # NaN scores compare as false, infinite ones interpolate to NaN
        low, high = np.percentile(row[alive], limits) if alive.any() else (np.nan, np.nan)
        return (row >= low) & (row <= high)


def _generator(how: Select) -> _Randomness:
    seed = None if how.unseeded_zero and how.seed == 0 else how.seed
    return np.random.RandomState(seed) if how.stream == "legacy" else np.random.default_rng(seed)


def _require_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if choices and value not in choices:
        near = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.5)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        raise SelectionError(f"{name} is {value!r}.{guess} Choose one of {', '.join(choices)}.")
