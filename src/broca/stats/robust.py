"""How steady answers are when their questions are worded badly; and how steady they are anyway.

`broca.stats.paired` has the tests of one condition against another, `broca.stats.corrections` those over many kinds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

from broca.errors import StatisticsError
from broca.stats.intervals import Array, Interval
from broca.stats.paired import ratio_interval


@dataclass(frozen=True, slots=True)
class Flips:
    """Items whose answer turned, and of how many that could."""

    broken: int
    """Right when clean, wrong when perturbed."""
    right: int
    """Right when clean."""
    mended: int
    """Wrong when clean, right when perturbed."""
    wrong: int
    """Wrong when clean."""

    @property
    def broken_rate(self) -> float:
        """The share of the right ones that broke; NaN if none was right."""
        return self.broken / self.right if self.right else float("nan")

    @property
    def mended_rate(self) -> float:
        """The share of the wrong ones that mended; NaN if none was wrong."""
        return self.mended / self.wrong if self.wrong else float("nan")


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """What repeated runs of one condition, with other seeds, differ by."""

    mean: float
    """Accuracy over all runs."""
    sd: float
    """Of the accuracies of runs."""
    binomial: float
    """The standard deviation that independent items would give."""
    difference: float
    """The largest absolute difference between two of the runs: what must be exceeded to be an effect."""
    chi2: float
    """Of all runs having the same accuracy (Pearson), and its p."""
    p: float
    runs: int


def flips(clean_correct: Any, perturbed_correct: Any) -> Flips:
    """Flip rates both ways.

    Raises:
        StatisticsError: if the conditions have different items, or none.
    """
    a, b = _paired(clean_correct, perturbed_correct)
    return Flips(int((a & ~b).sum()), int(a.sum()), int((~a & b).sum()), int((~a).sum()))


def drop_rate(
    clean_correct: Any,
    perturbed_correct: Any,
    *,
    groups: Any | None = None,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Performance drop rate, 1 - perturbed / clean accuracy (Zhu et al., 2023), with its interval over resampled groups.

    Resamplings in which nothing is right when clean are left out.

    Raises:
        StatisticsError: if the conditions have different items, nothing is right when clean, or there are fewer than 2 groups.
    """
    a, b = _paired(clean_correct, perturbed_correct)
    if not a.any():
        raise StatisticsError(
            f"None of {a.size} clean items is right, so nothing can drop. Give items that the model can do."
        )
    if groups is not None and len(groups) != a.size:
        raise StatisticsError(f"There are {a.size} items but {len(groups)} groups. Give one group per item.")
    kept = ratio_interval(b, a, groups=groups, n=n, seed=seed, level=level)
    return Interval(1 - kept.value, 1 - kept.high, 1 - kept.low)


def consistency(answers: Sequence[Sequence[Any]]) -> Array:
    """For each item, the share of pairs of conditions under which it gets the same answer, right or wrong; ``(item,)``.

    The consistency rate of lm-evaluation-harness' robustness tasks. An answer of None (unparsed) agrees with nothing.

    Args:
        answers: one list a condition, each with one answer an item.

    Raises:
        StatisticsError: if there are fewer than 2 conditions, or they have different items.
    """
    if len(answers) < 2 or len({len(each) for each in answers}) > 1 or not answers[0]:
        raise StatisticsError(
            f"Conditions have {[len(each) for each in answers]} answers. Give 2 or more conditions of the same items."
        )
    agree = [
        [a is not None and a == b for a, b in zip(first, second, strict=True)]
        for first, second in combinations(answers, 2)
    ]
    return np.asarray(agree, np.float64).mean(0)


def worst_case(correct: Mapping[str, Any]) -> Array:
    """Whether each item is right under every condition, ``(item,)``.

    Raises:
        StatisticsError: if there are no conditions, or they have different items.
    """
    each = [np.asarray(values, bool) for values in correct.values()]
    if not each or len({values.shape for values in each}) > 1:
        raise StatisticsError(
            f"Conditions have {[values.size for values in each]} items. Give 1 or more conditions of the same items."
        )
    return np.logical_and.reduce(each)


def noise_floor(correct: Any) -> NoiseFloor:
    """What seeds alone do: runs of the same items under the same condition.

    Args:
        correct: ``(run, item)``.

    Raises:
        StatisticsError: if there are fewer than 2 runs or no items.
    """
    values = np.asarray(correct, bool)
    if values.ndim != 2 or values.shape[0] < 2 or not values.shape[1]:
        raise StatisticsError(f"Runs have shape {values.shape}. Give 2 or more runs of the same items, (run, item).")
    runs, n = values.shape
    right = values.sum(1)
    accuracies, mean = right / n, float(values.mean())
    spread = mean * (1 - mean)
    chi2 = float(((right - n * mean) ** 2).sum() / (n * spread)) if spread else 0.0
    return NoiseFloor(
        mean=mean,
        sd=float(accuracies.std(ddof=1)),
        binomial=float(np.sqrt(spread / n)),
        difference=float(accuracies.max() - accuracies.min()),
        chi2=chi2,
        p=float(stats.chi2.sf(chi2, runs - 1)),
        runs=runs,
    )


def _paired(clean: Any, perturbed: Any) -> tuple[Array, Array]:
    a, b = np.asarray(clean, bool), np.asarray(perturbed, bool)
    if a.shape != b.shape or a.size == 0 or a.ndim != 1:
        raise StatisticsError(f"Conditions have {a.size} and {b.size} items. Give the same 1 or more items under both.")
    return a, b
