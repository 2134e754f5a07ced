"""Two samples whose labels are shuffled: p per unit, and family-wise over all units.

The family-wise p compares each unit with the largest statistic of each arrangement (max-T: Westfall & Young, 1993), so
it holds for all units at once whatever their dependence.

What is shuffled follows from the groups (`broca.stats.exchange`), and so does the statistic. Stimuli and whole groups:
Welch's t of the stimuli. Pairs and groups with both sides: Student's t of the groups' differences of means, which takes out
what the two sides of a group have in common.

    permutation_test(a, b, groups=(templates_a, templates_b))       # one table of units

    test = MaxT(arrange(Sides.of(len(a), len(b)), n=1000))          # one site at a time, one family
    for site in sites:
        test.update(a_of(site), b_of(site))
    by_site = test.result()
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from broca.errors import StatisticsError
from broca.stats.exchange import Arrangements, Groups, Scheme, Sides, arrange
from broca.stats.intervals import Array
from broca.stats.sums import GroupMoments, GroupSums, Side, group_sums, on_grid, unit_shape
from broca.stats.true_discoveries import BinnedPivots

ROWS = 128
"""Arrangements that are worked on at once."""


@dataclass(frozen=True, slots=True)
class Permutation:
    """The statistic of each unit, and how often other arrangements do as well; NaN for dead units."""

    t: Array
    p: Array
    """Two-sided, for each unit by itself."""
    p_max: Array
    """Two-sided, corrected for all units of the family (family-wise)."""
    largest: Array
    """The largest absolute t over the family in each arrangement."""
    scheme: Scheme
    exact: bool
    """Whether these were all arrangements."""
    smallest_p: float
    """The smallest p that was possible."""
    pivots: Array | None = None
    """Of the family in each arrangement, where calibration was asked for (`broca.stats.true_discoveries`)."""

    def critical(self, alpha: float = 0.05) -> float:
        """The absolute t that a unit must exceed for p_max <= alpha; infinity where none would do."""
        n = len(self.largest)
        # How many arrangements may reach t: count / n <= alpha if exact, else (1 + count) / (1 + n) <= alpha.
        allowed = int(alpha * (n + (not self.exact)) + 1e-9) - (not self.exact)
        if allowed < 0:
            return float("inf")
        return float(np.sort(self.largest)[-1 - allowed]) if allowed < n else 0.0


def permutation_test(
    a: Side,
    b: Side,
    *,
    groups: Groups = (None, None),
    paired: bool = False,
    n: int = 1000,
    seed: int = 0,
    alpha: float = 0.05,
) -> Permutation:
    """Is the mean of a unlike that of b, in any unit?

    Memory grows with n x groups and with the units, not with their product; float32 tables stay float32.

    Args:
        a: (stimulus, ...unit) values of one side, or the moments of its groups.
        b: those of the other.
        groups: labels of the stimuli of a and of b; those of a group move together, those without a label alone.
        paired: whether the i-th of each side belong together.
        n: arrangements; all of them are tried when there are no more.
        seed: of the random ones.
        alpha: a level that p must be able to reach.

    Raises:
        StatisticsError: if there are too few stimuli or groups for `alpha` (the message says how many would do), units
            differ, or none of them varies.
    """
    rows = "groups" if isinstance(a, GroupMoments) else "stimuli"
    sides = Sides.of(len(a), len(b), groups=groups, paired=paired, rows=rows)
    test = MaxT(arrange(sides, n=n, seed=seed, alpha=alpha))
    test.update(a, b)
    return test.result()[0]


@dataclass(frozen=True, eq=False, slots=True)
class _Block:
    shape: tuple[int, ...]
    t: Array
    reached: Array
    """How many arrangements are as extreme in this unit."""


class MaxT:
    """A max-T test of a family of units that arrives in blocks; a monoid, as reducers are.

    How the family is cut into blocks, and which worker did which, changes no bit of the result. With `calibrate` it also counts the
    p of each arrangement, for a bound on true discoveries.
    """

    def __init__(self, arrangements: Arrangements, *, calibrate: bool = False) -> None:
        self.arrangements = arrangements
        self._pivots = BinnedPivots(arrangements) if calibrate else None
        self._blocks: list[_Block] = []
        self._largest = np.zeros(len(arrangements))  # squared

    def update(self, a: Side, b: Side) -> None:
        """Take in units: (stimulus, ...unit) values, or moments of groups, of both sides.

        Raises:
            StatisticsError: if the sides do not have the stimuli of the arrangements, or units differ.
        """
        shape = unit_shape(a)
        t, reached = np.full(prod(shape), np.nan), np.zeros(prod(shape), np.int64)
        for at, sums in group_sums(a, b, self.arrangements.sides):
            t[at], reached[at] = self._tile(sums)
        self._blocks.append(_Block(shape, t, reached))

    def __add__(self, other: MaxT) -> MaxT:
        if not self.arrangements.same_as(other.arrangements):
            raise StatisticsError("Two tests of different arrangements do not add up. Arrange once, with one seed.")
        if (self._pivots is None) != (other._pivots is None):
            raise StatisticsError("Two tests of which one is calibrated do not add up. Calibrate both.")
        both = MaxT(self.arrangements, calibrate=self._pivots is not None)
        for part in (self, other):
            both._include_counts(None if part._pivots is None else part._pivots.counts)
        both._blocks = [*self._blocks, *other._blocks]
        both._largest = np.maximum(self._largest, other._largest)
        return both

    @property
    def arrays(self) -> dict[str, Array]:
        """What one `update` has left, to be kept or sent: ``t`` and ``reached`` (unit,), ``largest`` (arrangement,).

        And, if calibrated, ``counts`` (arrangement, bin).
        """
        (block,) = self._blocks
        found = {"t": block.t, "reached": block.reached, "largest": self._largest}
        if self._pivots is not None:
            found["counts"] = self._pivots.counts.astype(np.min_scalar_type(block.t.size))
        return found

    def include(self, arrays: Mapping[str, Array]) -> None:
        """Take in units that another test of the same arrangements has seen, as its `arrays`."""
        t = np.asarray(arrays["t"], np.float64)
        self._blocks.append(_Block(t.shape, t, np.asarray(arrays["reached"], np.int64)))
        self._largest = np.maximum(self._largest, arrays["largest"])
        self._include_counts(arrays.get("counts"))

    def _include_counts(self, counts: Array | None) -> None:
        if self._pivots is not None:
            if counts is None:
                raise StatisticsError("A part of a calibrated test was not calibrated. Calibrate each.")
            self._pivots.counts += counts

    def result(self) -> tuple[Permutation, ...]:
        """One result for each block, in their order and shape, all corrected for the whole family.

        Raises:
            StatisticsError: if no unit of the family varies.
        """
        every = self.arrangements
        if not any(np.isfinite(block.t).any() for block in self._blocks):
            n_units = sum(block.t.size for block in self._blocks)
            raise StatisticsError(f"None of {n_units} units varies over the stimuli. There is nothing to compare.")
        largest = np.sqrt(self._largest)
        ordered = np.sort(largest)
        pivots = None if self._pivots is None else self._pivots.pivots()

        def of(block: _Block) -> Permutation:
            dead = np.isnan(block.t)
            beaten = len(every) - np.searchsorted(ordered, _bar(block.t), side="left")
            p, p_max = (
                np.where(dead, np.nan, every.p(count)).reshape(block.shape) for count in (block.reached, beaten)
            )
            t = block.t.reshape(block.shape)
            return Permutation(t, p, p_max, largest, every.sides.scheme, every.exact, every.smallest_p, pivots)

        return tuple(of(block) for block in self._blocks)

    def update_refit(self, statistic: Callable[[Array], Array]) -> None:
        """Take in units by a statistic that is refitted: from arrangements (row, group) to (row, unit), NaN for dead units."""
        t = statistic(self.arrangements.sides.observed_flags[None].astype(np.float64))[0]
        alive = np.isfinite(t)

        def squares(flags: Array) -> Array:
            return np.square(np.where(alive, statistic(flags), 0))

        self._blocks.append(_Block(t.shape, t, self._count(np.where(alive, t, 0), squares, alive)))

    def _tile(self, sums: GroupSums) -> tuple[Array, Array]:
        """Statistics of some units, and how many arrangements reach it; raises the record of each arrangement."""
        every = self.arrangements
        parts = (_student if every.sides.scheme == "pairs" else _welch)(sums, every.sides)
        difference, error = parts(every.sides.observed_flags[None].astype(np.float64))
        t = (difference / np.sqrt(error))[0]

        def squares(flags: Array) -> Array:
            difference, error = parts(flags)
            return np.divide(np.square(difference, out=difference), error, out=error)

        reached = self._count(t, squares, sums.alive)
        t[~sums.alive] = np.nan
        return t, reached

    def _count(self, t: Array, squares: Callable[[Array], Array], alive: Array) -> Array:
        """How many arrangements are as extreme as t in each unit; raises the record of each arrangement."""
        every, bar = self.arrangements, np.square(_bar(t))
        reached = np.zeros(t.size, np.int64)
        for start in range(0, len(every), ROWS):
            at = slice(start, start + ROWS)
            squared = squares(every.flags[at].astype(np.float64))
            reached += np.add.reduce(squared >= bar, axis=0, dtype=np.uint8)
            np.maximum(self._largest[at], squared.max(1), out=self._largest[at])
            if self._pivots is not None:
                self._pivots.update(at, squared, alive)
        return reached


def _bar(t: Array) -> Array:
    """What counts as being as extreme as t: the same sums divided in another order may differ in the last digits."""
    return np.maximum(np.abs(t) * (1 - 1e-9) - 1e-9, 0)


Parts = Callable[[Array], tuple[Array, Array]]
"""From arrangements (row, group) to the difference of means and its squared error, each (row, unit)."""


def _welch(sums: GroupSums, sides: Sides) -> Parts:
    """Welch's t over stimuli (Welch, 1947)."""
    both = slice(sides.n_groups - sides.n_both, None)
    # What a group adds to side a: `off` where its flag is down, `off + gain` where it is up.
    gain, n_gain = sums.a + sums.b, sums.n_a + sums.n_b
    total, n_total = gain.sum(1), n_gain.sum()
    gain[:, both] -= 2 * sums.b[:, both]
    n_gain[both] -= 2 * sums.n_b[both]
    off, n_off = sums.b[:, both].sum(1), sums.n_b[both].sum()
    floor = 2.0**-sums.bits

    def parts(flags: Array) -> tuple[Array, Array]:
        n_a = (flags @ n_gain + n_off)[:, None]
        n_b = n_total - n_a
        if min(n_a.min(), n_b.min()) < 2:
            raise StatisticsError(
                "Groups differ so much in size that some arrangements leave a side with 1 stimulus. Give groups of 2 or "
                "more stimuli on each side."
            )
        weight_a, weight_b = 1 / (n_a * (n_a - 1)), 1 / (n_b * (n_b - 1))
        first = flags @ gain[0]
        first += off[0]
        # (squares of a - first^2 / n_a) weight_a + (squares of b - (total - first)^2 / n_b) weight_b, by powers of first
        error = first * (-weight_a / n_a - weight_b / n_b)
        error += (2 * weight_b / n_b) * total[0]
        error *= first
        error += weight_b * total[1] - (weight_b / n_b) * np.square(total[0])
        if (n_a != n_b).any():
            second = flags @ gain[1]
            second += off[1]
            second *= weight_a - weight_b
            error += second
        first *= 1 / n_a + 1 / n_b
        first -= total[0] / n_b
        # No spread within either side: the labels separate the stimuli entirely, as extreme as a statistic can be.
        return first, np.maximum(error, floor, out=error)

    return parts


def _student(sums: GroupSums, _sides: Sides) -> Parts:
    """Student's t of the differences of groups (Student, 1908)."""
    n = len(sums.n_a)
    difference = sums.a[0] / sums.n_a[:, None] - sums.b[0] / sums.n_b[:, None]
    difference = on_grid(difference, sums.bits)
    total, squares = difference.sum(0), on_grid(np.square(difference), sums.bits).sum(0)
    floor = 2.0**-sums.bits

    def parts(flags: Array) -> tuple[Array, Array]:
        mean = flags @ (2 * difference)
        mean -= total
        mean /= n
        error = np.square(mean)
        error *= -1 / (n - 1)
        error += squares / (n * (n - 1))
        return mean, np.maximum(error, floor, out=error)

    return parts
