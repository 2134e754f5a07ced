"""Controls: random units that match a selection in all but what it was selected for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from broca.errors import SelectionError
from broca.sites import Site
from broca.units.layout import Array, Layout
from broca.units.mask import UnitMask


@dataclass(frozen=True, slots=True)
class Draw:
    """A random mask."""

    mask: UnitMask
    n_neighbour: int
    """How many units had to come from another size bin than the unit they stand for, its own being exhausted."""


def random_like(
    mask: UnitMask,
    *,
    seed: int,
    alive: Mapping[Site, Array] | None = None,
    among: Literal["all", "rest"] = "rest",
    match: tuple[Literal["layer", "size"], ...] = ("layer",),
    size: Mapping[Site, Array] | None = None,
    n_bins: int = 10,
) -> UnitMask:
    """As many random units as `mask` has; `draw_like` without its report."""
    return draw_like(mask, seed=seed, alive=alive, among=among, match=match, size=size, n_bins=n_bins).mask


def draw_like(
    mask: UnitMask,
    *,
    seed: int,
    alive: Mapping[Site, Array] | None = None,
    among: Literal["all", "rest"] = "rest",
    match: tuple[Literal["layer", "size"], ...] = ("layer",),
    size: Mapping[Site, Array] | None = None,
    n_bins: int = 10,
) -> Draw:
    """As many random units (or heads) as `mask` has, from all alive ones or from those that it leaves.

    Matched on ``layer``, each site gets exactly as many as it has in `mask`. Matched on ``size``, each unit is
    replaced by one from its own quantile bin of `size` (mean magnitude of activation, say), taken over the alive
    units of its site (or of all sites, if not matched on layer); from the nearest bin where that one is exhausted.

    Args:
        mask: What to match.
        seed: 0 is a seed.
        alive: Which units may be drawn, for all sites of `mask` and any others; by default all units of `mask`'s sites.
        among: Whether units of `mask` may be drawn.
        match: What to match on.
        size: One finite number per alive unit; needed to match on size.
        n_bins: How many size bins.

    Raises:
        SelectionError: if there are too few units to draw from, or arrays do not fit each other.
    """
    if among not in ("all", "rest") or not set(match) <= {"layer", "size"} or n_bins < 1:
        raise SelectionError(
            f"among is {among!r}, match {match!r}, n_bins {n_bins}. Choose among 'all' or 'rest', match on 'layer' "
            "and 'size', in 1 or more bins."
        )
    layout = Layout.of(mask.at if alive is None else alive, "alive flags")
    wanted = layout.row(mask.at, np.bool_, "flags of the mask", absent=False)
    living = np.ones_like(wanted) if alive is None else layout.row(alive, np.bool_, "alive flags")
    pool = living & ~wanted if among == "rest" else living
    sizes = _sizes(layout, living, size) if "size" in match else np.zeros(layout.total)
    generator = np.random.default_rng(seed)
    flags, n_neighbour = np.zeros_like(wanted), 0
    strata = layout.site_of if "layer" in match else np.zeros(layout.total, np.int64)
    for stratum in np.unique(strata[wanted]):
        members = np.flatnonzero(strata == stratum)
        bins = _size_bins(sizes[members], living[members], n_bins)
        drawn, moved = _draw_matched(bins, wanted[members], pool[members], generator)
        if drawn is None:
            where = f" at {layout.sites[stratum]}" if "layer" in match else ""
            advice = "Choose among 'all', or select fewer." if among == "rest" else "Select fewer."
            raise SelectionError(
                f"{int(wanted[members].sum())} random units are needed{where}, but only {int(pool[members].sum())} "
                f"alive ones are left to draw from. {advice}"
            )
        flags[members[drawn]] = True
        n_neighbour += moved
    return Draw(UnitMask(layout.split(flags), mask.grain), n_neighbour)


def subset(mask: UnitMask, count: int, *, seed: int, order: Literal["site", "unit"] = "site") -> UnitMask:
    """A random part of a mask: `count` of its units. `order` says how the draw counts them, as in `Select`.

    Raises:
        SelectionError: if `mask` has fewer units, or none is asked for.
    """
    if not 1 <= count <= mask.count:
        raise SelectionError(f"{count} of {mask.count} units cannot be kept. Give 1 to {mask.count}.")
    layout = Layout.of(mask.at, "flags")
    units = np.flatnonzero(layout.row(mask.at, np.bool_, "flags"))
    if order == "unit":
        units = units[np.lexsort((layout.site_of[units], layout.index_of[units]))]
    flags = np.zeros(layout.total, np.bool_)
    flags[units[np.random.default_rng(seed).choice(units.size, count, replace=False)]] = True
    return UnitMask(layout.split(flags), mask.grain)


def _sizes(layout: Layout, living: Array, size: Mapping[Site, Array] | None) -> Array:
    if size is None:
        raise SelectionError("To match on size, give size: one number per unit, such as its mean magnitude.")
    sizes = layout.row(size, np.float64, "sizes")
    if not np.isfinite(sizes[living]).all():
        raise SelectionError(
            f"{int((~np.isfinite(sizes[living])).sum())} alive units have no finite size. Mark them as not alive, or "
            "match on layer alone."
        )
    return np.nan_to_num(sizes)  # a dead unit that the mask names anyway stands for one that does nothing


def _size_bins(sizes: Array, living: Array, n_bins: int) -> Array:
    """Quantile bin of each unit, the limits taken over the living; equal sizes share a bin."""
    if n_bins == 1 or not living.any():
        return np.zeros(sizes.size, np.int64)
    limits = np.quantile(sizes[living], np.arange(1, n_bins) / n_bins)
    return np.searchsorted(limits, sizes, side="right")


def _draw_matched(bins: Array, wanted: Array, pool: Array, generator: np.random.Generator) -> tuple[Array | None, int]:
    """Positions drawn from the pool with the bins of `wanted`, and how many left their bin; None if too few."""
    if int(pool.sum()) < int(wanted.sum()):
        return None, 0
    n_bins = int(bins.max()) + 1
    need = np.bincount(bins[wanted], minlength=n_bins)
    # One shuffle of each bin: its first units are taken for the bin itself, the following ones for its neighbours.
    supply = [generator.permutation(np.flatnonzero(pool & (bins == b))) for b in range(n_bins)]
    taken = np.minimum(need, [units.size for units in supply])
    short = need - taken
    for b in np.flatnonzero(short):
        for other in sorted(range(n_bins), key=lambda other: (abs(other - b), other)):
            moved = min(int(short[b]), supply[other].size - int(taken[other]))
            taken[other] += moved
            short[b] -= moved
    n_neighbour = int(need.sum() - np.minimum(need, [units.size for units in supply]).sum())
    return np.concatenate([units[:n] for units, n in zip(supply, taken, strict=True)]), n_neighbour
