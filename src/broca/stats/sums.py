"""Sums of units over groups of stimuli, on a grid so fine that adding is exact.

Values are centred, scaled to at most 1, and rounded to multiples of 2^-bits, so few bits that any sum of them fits a double
(the pre-rounding of Demmel & Nguyen, 2013). So matrix products give the same digits in whatever order the processor
adds, however units are cut into blocks, and on any machine. What is rounded off is below 1e-12 of a unit's largest
deviation for up to 1000 stimuli.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, log2
from typing import Any

import numpy as np

from broca.errors import StatisticsError
from broca.stats.exchange import Sides
from broca.stats.intervals import Array

UNITS = 1024
"""Units that are worked on at once."""


@dataclass(frozen=True, eq=False, slots=True)
class GroupMoments:
    """One side, of whose groups only the moments were kept; rows are groups."""

    count: Any
    """(group,) stimuli."""
    mean: Any
    """(group, ...unit)"""
    m2: Any
    """(group, ...unit) sums of squared deviations from the group's mean."""

    def __len__(self) -> int:
        return len(self.count)


Side = GroupMoments | Any
"""Values (stimulus, ...unit), or the moments of each group."""


@dataclass(frozen=True, eq=False, slots=True)
class GroupSums:
    """Sums over the stimuli of each group, of units that are centred over all stimuli and scaled to at most 1."""

    n_a: Array
    """(group,) stimuli on side a."""
    n_b: Array
    a: Array
    """(2, group, unit): values, and their squares."""
    b: Array
    bits: int
    """The grid: everything is a multiple of 2^-bits."""
    alive: Array
    """(unit,) whether the unit varies; the sums of others are 0."""


def group_sums(a: Side, b: Side, sides: Sides) -> Iterator[tuple[slice, GroupSums]]:
    """The sums of a few units at a time, with the place of these among all units.

    Raises:
        StatisticsError: if a side has not as many rows as `sides` says, or the units of a and b differ.
    """
    rows = [_rows(side, n, name) for side, n, name in ((a, len(sides.a), "a"), (b, len(sides.b), "b"))]
    if unit_shape(a) != unit_shape(b):
        raise StatisticsError(f"Units differ: {unit_shape(a)} and {unit_shape(b)}. Compare the same units.")
    for start in range(0, rows[0][1].shape[1], UNITS):
        at = slice(start, start + UNITS)
        count, mean, m2 = (
            np.concatenate([side[i][..., at] if i else side[i] for side in rows]).astype(np.float64) for i in range(3)
        )
        yield at, _sums(count, mean, m2, sides)


def unit_shape(side: Side) -> tuple[int, ...]:
    """What is left of the shape when the stimuli are taken away."""
    return np.shape(side.mean if isinstance(side, GroupMoments) else side)[1:]


def on_grid(values: Array, bits: int) -> Array:
    """`values` rounded to multiples of 2^-bits."""
    return np.ldexp(np.rint(np.ldexp(values, bits)), -bits)


def _rows(side: Side, n: int, name: str) -> tuple[Array, Array, Array]:
    """Counts, means and sums of squared deviations, two-dimensional; single stimuli have none of the last."""
    mean = np.asarray(side.mean if isinstance(side, GroupMoments) else side)
    if mean.ndim == 0 or len(mean) != n:
        raise StatisticsError(
            f"{name} has shape {mean.shape}, for {n} stimuli or groups. Give one row for each of them."
        )
    flat = mean.reshape(n, -1)
    if isinstance(side, GroupMoments):
        return np.asarray(side.count), flat, np.asarray(side.m2).reshape(flat.shape)
    return np.ones(n), flat, np.broadcast_to(np.float32(0), flat.shape)


def _sums(count: Array, mean: Array, m2: Array, sides: Sides) -> GroupSums:
    weight = count[:, None]
    with np.errstate(invalid="ignore", over="ignore"):
        mean -= sum(weight * mean for weight, mean in zip(count, mean, strict=True)) / count.sum()
        size = np.maximum(np.abs(mean).max(0), np.sqrt((m2 / weight).max(0)))
        alive = np.isfinite(size) & ((np.ptp(mean, axis=0) > 0) | (m2.max(0) > 0))
    mean[:, ~alive] = m2[:, ~alive] = 0
    size[~alive] = 1
    bits = 50 - ceil(log2(count.sum()))
    mean = on_grid(mean / size, bits)
    both = np.stack([weight * mean, on_grid(m2 / size**2 + weight * (mean * mean), bits)])
    n = len(sides.a)
    return GroupSums(
        n_a=np.bincount(sides.a, count[:n], sides.n_groups),
        n_b=np.bincount(sides.b, count[n:], sides.n_groups),
        a=_by_group(both[:, :n], sides.a, sides.n_groups),
        b=_by_group(both[:, n:], sides.b, sides.n_groups),
        bits=bits,
        alive=alive,
    )


def _by_group(values: Array, groups: Array, n_groups: int) -> Array:
    order = np.argsort(groups, kind="stable")
    found, first = np.unique(groups[order], return_index=True)
    whole = np.zeros((2, n_groups, values.shape[2]))
    whole[:, found] = np.add.reduceat(values[:, order], first, axis=1)
    return whole
