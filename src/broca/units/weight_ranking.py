"""Weights in the order of a score, so that every size of a sweep is a slice of one list.

What is kept of each matrix is the top of its group only: for a sweep up to a fraction, that share of the weights. Ties
go to the entry that comes first (matrices by name, entries by index), on every device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from broca.errors import SelectionError
from broca.units.weights import Address, Indices, WeightSet

Scope = Literal["matrix", "row", "layer", "kind", "global"]
"""Within what a fraction is taken: each matrix, each of its rows, each layer, each kind of matrix, or all together."""

Ties = Literal["index", "strict"]
"""Exactly k weights; or, as published, those above the k-th score, which are k - 1 or fewer."""


@dataclass(frozen=True, slots=True)
class MatrixRanking:
    """The best entries of one matrix, best first."""

    index: Indices
    score: NDArray[np.float32]
    rank: Indices
    """Place of each within its group, from 0; for `scope` "row" within its row. Rises along the list."""


@dataclass(frozen=True, slots=True)
class WeightRanking:
    """The top of a ranking of all weights, up to the fraction `most`."""

    lists: Mapping[str, MatrixRanking]
    addresses: Mapping[str, Address]
    scope: Scope
    most: float

    def __post_init__(self) -> None:
        if self.scope not in get_args(Scope):
            raise SelectionError(f"scope is {self.scope!r}. Choose one of {', '.join(get_args(Scope))}.")

    def size(self, name: str) -> int:
        """How many weights the group of a matrix has; for rows, those of one row."""
        address = self.addresses[name]
        if self.scope == "row":
            return address.columns
        group = group_of(name, address, self.scope)
        return sum(a.size for n, a in self.addresses.items() if group_of(n, a, self.scope) == group)

    def nominal(self, fraction: float) -> int:
        """How many weights a fraction means: floor(size * fraction) of each group, summed."""
        groups: dict[str, int] = {}
        for name, address in self.addresses.items():
            times = address.rows if self.scope == "row" else 1
            groups[group_of(name, address, self.scope)] = times * fraction_size(self.size(name), fraction)
        return sum(groups.values())

    def smallest(self, fraction: float) -> int:
        """The smallest k of a group at `fraction`: below 2, some matrices are hardly touched, or not at all."""
        return min(fraction_size(self.size(name), fraction) for name in self.addresses)

    def top(self, fraction: float, *, ties: Ties = "index") -> WeightSet:
        """This fraction of each group with the highest scores.

        Raises:
            SelectionError: if fraction is not from 0 to `most`.
        """
        if not 0 <= fraction <= self.most:
            raise SelectionError(
                f"The fraction {fraction:g} is asked of a ranking that goes up to {self.most:g}. Rank further, or ask less."
            )
        if ties == "strict":
            return self._above(fraction)
        at = {}
        for name, listed in self.lists.items():
            at[name] = listed.index[: int(np.searchsorted(listed.rank, fraction_size(self.size(name), fraction)))]
        return WeightSet(at, self.addresses)

    def _above(self, fraction: float) -> WeightSet:
        """What lies strictly above the k-th score of its group; NaN lies above nothing and nothing above it."""
        at = {}
        for name, listed in self.lists.items():
            k = fraction_size(self.size(name), fraction)
            if self.scope not in ("matrix", "row"):
                raise SelectionError("ties='strict' is defined for each matrix or row, not over several matrices.")
            chosen = listed.rank < k
            line = (
                listed.index // self.addresses[name].columns
                if self.scope == "row"
                else np.zeros(len(listed.index), int)
            )
            last = listed.rank == k - 1
            threshold = np.full(int(line.max(initial=0)) + 1, np.nan)
            threshold[line[last]] = listed.score[last]
            with np.errstate(invalid="ignore"):
                at[name] = listed.index[chosen & (listed.score > threshold[line])]
        return WeightSet(at, self.addresses)


def fraction_size(n: int, fraction: float) -> int:
    """How many of n a fraction keeps: floor(n fraction)."""
    return min(n, int(n * fraction))


def group_of(name: str, address: Address, scope: Scope) -> str:
    """The group that a matrix's weights are ranked in."""
    match scope:
        case "layer":
            return f"layer {address.layer}"
        case "kind":
            return address.kind
        case "global":
            return "all"
    return name


def without(
    task: WeightRanking, controls: Sequence[WeightRanking], fraction: float, control: float, *, ties: Ties = "index"
) -> WeightSet:
    """The task's top `fraction` that are not among the top `control` of any of the controls."""
    chosen = task.top(fraction, ties=ties)
    for other in controls:
        chosen = chosen - other.top(control, ties=ties)
    return chosen


def topped_up(task: WeightRanking, controls: Sequence[WeightRanking], fraction: float, control: float) -> WeightSet:
    """As `without`, then filled up from further down the task's list to as many a matrix as `fraction` means.

    Where a list ends before that, fewer are chosen.
    """
    if task.scope != "matrix":
        raise SelectionError(f"Filling up is defined for scope 'matrix', not {task.scope!r}.")
    at = {}
    barred = [other.top(control).at for other in controls]
    for name, listed in task.lists.items():
        free = listed.index
        for taken in barred:
            if name in taken:
                free = free[~np.isin(free, taken[name])]
        at[name] = free[: fraction_size(task.addresses[name].size, fraction)]
    return WeightSet(at, task.addresses)
