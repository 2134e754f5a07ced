"""What two choices share, and what chance would give."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Overlap:
    """What two masks share, beside what random masks of the same sizes would share on average."""

    dice: float
    jaccard: float
    chance_dice: float
    chance_jaccard: float
    shared: int

    @classmethod
    def of(cls, *, shared: int, sizes: tuple[int, int], universe: int) -> Overlap:
        """The overlap of two choices among the same units.

        The shared count of random ones is hypergeometric with mean k1 k2 / n. Dice's chance level is exact; Jaccard's is taken at
        that mean. Both are NaN for two empty choices.

        Args:
            shared: units that both choose.
            sizes: units that each chooses.
            universe: units that there are.
        """
        expected, both = sizes[0] * sizes[1] / universe, sum(sizes)
        if both == 0:
            nan = float("nan")
            return cls(dice=nan, jaccard=nan, chance_dice=nan, chance_jaccard=nan, shared=0)
        return cls(
            dice=2 * shared / both,
            jaccard=shared / (both - shared),
            chance_dice=2 * expected / both,
            chance_jaccard=expected / (both - expected),
            shared=shared,
        )
