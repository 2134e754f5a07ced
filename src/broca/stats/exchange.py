"""Who may trade places: arrangements of two sides that are as likely as the given one, if the sides do not differ.

* *stimuli*: each moves by itself; the sides' labels are shuffled;
* *groups*: the stimuli of a group (a template, a source text) are not independent, so they move together: whole groups
  are shuffled;
* *pairs*: groups that have both sides (matched pairs, templates filled in two ways) stay together and swap their sides:
  the sign of each group's difference is arbitrary (Fisher, 1935);
* *mixed*: groups of one side are shuffled, groups of both sides swap.

Tokens are never exchanged, for those of one text hang together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, count, product
from math import ceil, comb, log2
from typing import Any, Literal

import numpy as np

from broca.errors import StatisticsError
from broca.items import cluster
from broca.stats.intervals import Array, require_draws

Scheme = Literal["stimuli", "groups", "pairs", "mixed"]
Groups = tuple[Any | None, Any | None]
"""The group of each stimulus of a, and of b. None instead of the labels, or a label that names none: a stimulus by itself."""


@dataclass(frozen=True, eq=False)
class Sides:
    """Two sides and the groups that their stimuli belong to: first those of a only, then of b only, then of both."""

    a: Array
    """The group of each stimulus of a."""
    b: Array
    n_only_a: int
    n_only_b: int
    n_both: int
    rows: Literal["stimuli", "groups"] = "stimuli"
    """What a row is: moments of a group are one row."""

    @classmethod
    def of(
        cls,
        n_a: int,
        n_b: int,
        *,
        groups: Groups = (None, None),
        paired: bool = False,
        rows: Literal["stimuli", "groups"] = "stimuli",
    ) -> Sides:
        """Sides of `n_a` and `n_b` stimuli; when `paired`, the i-th of each are a group where no label says otherwise.

        Raises:
            StatisticsError: if a side has fewer than 2 stimuli, groups have another length than their side, or pairs
                are of sides that differ in size.
        """
        if min(n_a, n_b) < 2:
            raise StatisticsError(f"The sides have {n_a} and {n_b} stimuli. Give 2 or more on each side.")
        if paired and n_a != n_b:
            raise StatisticsError(f"The sides have {n_a} and {n_b} stimuli. Pairs need as many on each side.")
        a, b = (
            _labels(n, labels, "pair" if paired else side)
            for n, labels, side in ((n_a, groups[0], "a"), (n_b, groups[1], "b"))
        )
        on_a, on_b = set(a), set(b)
        order = [g for g in dict.fromkeys(a) if g not in on_b]
        n_only_a = len(order)
        order += [g for g in dict.fromkeys(b) if g not in on_a]
        n_only_b = len(order) - n_only_a
        order += [g for g in dict.fromkeys(a) if g in on_b]
        index = {group: i for i, group in enumerate(order)}
        where = [np.array([index[group] for group in side]) for side in (a, b)]
        return cls(where[0], where[1], n_only_a, n_only_b, len(order) - n_only_a - n_only_b, rows)

    @property
    def n_groups(self) -> int:
        return self.n_only_a + self.n_only_b + self.n_both

    @property
    def scheme(self) -> Scheme:
        if self.n_both:
            return "mixed" if self.n_only_a + self.n_only_b else "pairs"
        return self.rows if self.n_groups == len(self.a) + len(self.b) else "groups"

    @cached_property
    def n_arrangements(self) -> int:
        """How many there are, the given one among them."""
        return comb(self.n_only_a + self.n_only_b, self.n_only_a) * 2**self.n_both

    @property
    def smallest_p(self) -> float:
        """The smallest two-sided p that all arrangements together allow."""
        # Where a and b have as many groups, exchanging the sides altogether is an arrangement too, as extreme as this.
        return (1 + (self.n_only_a == self.n_only_b)) / self.n_arrangements

    @property
    def observed_flags(self) -> Array:
        """The arrangement that was observed; as a row of `Arrangements.flags`."""
        return np.repeat([True, False, True], [self.n_only_a, self.n_only_b, self.n_both])


@dataclass(frozen=True, eq=False)
class Arrangements:
    """Arrangements of two sides: what a permutation test compares the given one with."""

    sides: Sides
    flags: Array
    """(arrangement, group): whether a group of one side is on side a, or a group of both sides is as it was given."""
    exact: bool = False
    """Whether these are all there are, the given one among them."""

    def __len__(self) -> int:
        return len(self.flags)

    def same_as(self, other: Arrangements) -> bool:
        """Whether the same stimuli are arranged in the same ways."""
        ours, theirs = ((of.flags, of.sides.a, of.sides.b) for of in (self, other))
        return all(map(np.array_equal, ours, theirs))

    @property
    def smallest_p(self) -> float:
        """The smallest two-sided p that these allow."""
        return self.sides.smallest_p if self.exact else 1 / (1 + len(self))

    def p(self, as_extreme: Any) -> Array:
        """The p of a statistic that `as_extreme` of these arrangements reach (Phipson & Smyth, 2010)."""
        count = np.asarray(as_extreme, np.float64)
        return count / len(self) if self.exact else (1 + count) / (1 + len(self))


def arrange(sides: Sides, *, n: int = 1000, seed: int = 0, alpha: float = 0.05) -> Arrangements:
    """All arrangements if there are at most `n`, else `n` random ones.

    Args:
        sides: which stimuli move together.
        n: how many arrangements to compare with.
        seed: of the random ones.
        alpha: a level that p must be able to reach.

    Raises:
        StatisticsError: if a side has one group only, or no p could be as small as `alpha`: the message says how many
            groups, or arrangements, would do.
    """
    _check(sides, require_draws(n), alpha)
    if sides.n_arrangements <= n:
        return Arrangements(sides, np.array(list(_every(sides))), exact=True)
    return Arrangements(sides, random_flags(sides, n, np.random.default_rng(seed)))


def random_flags(sides: Sides, n: int, generator: np.random.Generator) -> Array:
    """Flags of `n` random arrangements, whatever their number allows."""
    one_sided = np.repeat(sides.observed_flags[None, : sides.n_only_a + sides.n_only_b], n, axis=0)
    generator.permuted(one_sided, axis=1, out=one_sided)
    kept = generator.integers(0, 2, size=(n, sides.n_both), dtype=np.int8).astype(bool)
    return np.hstack([one_sided, kept])


def _every(sides: Sides) -> Iterator[Array]:
    one_sided = sides.n_only_a + sides.n_only_b
    for on_a in combinations(range(one_sided), sides.n_only_a):
        row = np.zeros(sides.n_groups, bool)
        row[list(on_a)] = True
        for kept in product((True, False), repeat=sides.n_both):
            row[one_sided:] = kept
            yield row.copy()


def _labels(n: int, labels: Any | None, alone: str) -> list[str]:
    given = [None] * n if labels is None else np.asarray(labels).tolist()
    if len(given) != n:
        raise StatisticsError(f"A side has {n} stimuli but {len(given)} groups. Give one group per stimulus.")
    return [cluster(label, f"{alone} {i}") for i, label in enumerate(given)]


def _check(sides: Sides, n: int, alpha: float) -> None:
    if not 0 < alpha < 1:
        raise StatisticsError(f"alpha is {alpha}. Give the level that p shall be able to reach, for instance 0.05.")
    if not sides.n_both and min(sides.n_only_a, sides.n_only_b) < 2:
        raise StatisticsError(
            f"There are {_count_text(sides)}. The stimuli of a group move together, so a side that is one group cannot be "
            f"told from chance. Give {_enough(sides, alpha)}."
        )
    if sides.smallest_p > alpha:
        raise StatisticsError(
            f"{_count_text(sides)} can be arranged in {sides.n_arrangements} ways, so no p can be below "
            f"{sides.smallest_p:.2g}, where alpha is {alpha:g}. Give {_enough(sides, alpha)}."
        )
    wanted = ceil(1 / alpha - 1 - 1e-9)
    if n < min(sides.n_arrangements, wanted):
        raise StatisticsError(
            f"n is {n} arrangements, so no p can be below {1 / (1 + n):.2g}, where alpha is {alpha:g}. Give at least "
            f"{wanted}; 1000 make a steady p."
        )


def _count_text(sides: Sides) -> str:
    what = "stimuli" if sides.scheme == "stimuli" else "groups (templates)"
    one_sided = f"{sides.n_only_a} + {sides.n_only_b} {what} of one side"
    two_sided = (
        f"{sides.n_both} pair{'s' * (sides.n_both != 1)} (or template{'s' * (sides.n_both != 1)} with both sides)"
    )
    return {"pairs": two_sided, "mixed": f"{one_sided} and {two_sided}"}.get(sides.scheme, one_sided)


def _enough(sides: Sides, alpha: float) -> str:
    """The fewest groups whose arrangements let p reach `alpha`."""
    if sides.n_both:
        return f"at least {ceil(log2(2 / alpha) - 1e-9)} pairs (or templates with both sides)"
    k = next(k for k in count(2) if 2 / comb(2 * k, k) <= alpha)
    return f"at least {k} + {k} {'stimuli' if sides.scheme == 'stimuli' else 'groups (templates)'}, or pair the sides"
