"""How steady answers are when their questions are worded badly; and how steady they are anyway.

`broca.stats.pairs` has the tests of one condition against another, `broca.stats.corrections` those over many kinds.
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
from broca.stats.pairs import mean_interval, paired_bootstrap, ratio_interval


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
    a, b = _outcome_pairs(clean_correct, perturbed_correct)
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
    a, b = _outcome_pairs(clean_correct, perturbed_correct)
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


@dataclass(frozen=True, slots=True)
class LengthChange:
    """What a perturbation does to the length of completions."""

    difference: Interval
    """Mean of perturbed minus clean."""
    ratio: Interval
    """Sum of perturbed over sum of clean."""


def length_change(
    clean: Any, perturbed: Any, *, groups: Any | None = None, n: int = 2000, seed: int = 0, level: float = 0.95
) -> LengthChange:
    """Lengths under two conditions, in characters or tokens, with intervals over resampled groups.

    Raises:
        StatisticsError: if the conditions have different items, a length is negative, all are 0, or there are fewer than 2 groups.
    """
    a, b = np.asarray(clean, np.float64), np.asarray(perturbed, np.float64)
    if a.shape != b.shape or a.ndim != 1 or not a.size or (a < 0).any() or (b < 0).any() or not a.any():
        raise StatisticsError(
            f"Conditions have {a.size} and {b.size} lengths. Give the same items under both, lengths of 0 or more, and some clean "
            "completion with any length."
        )
    how = {"groups": groups, "n": n, "seed": seed, "level": level}
    return LengthChange(paired_bootstrap(b, a, **how), ratio_interval(b, a, **how))


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether the probability of the preferred choice is the share that is right."""

    error: float
    """Expected calibration error, 0 to 1."""
    overconfidence: Interval
    """Mean probability of the preferred choice minus accuracy."""
    bins: Array
    """``(bin, 3)``: items, mean probability and accuracy of each; the last two not a number where there is no item."""


def calibration(
    probabilities: Any,
    answers: Any,
    *,
    bins: int = 10,
    groups: Any | None = None,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Calibration:
    """Expected calibration error over bins of equal width (Naeini et al., 2015; Guo et al., 2017).

    It is above 0 for a calibrated model too, the more so with few items a bin: compare conditions with the same items.

    Args:
        probabilities: of the choices, ``(item, choice)``, rows that sum to 1; NaN where an item has fewer choices.
        answers: which choice is right, ``(item,)``.
        bins: from 0 to 1; a bin has its upper end.
        groups: of the items; resampling keeps them together.
        n: resamplings.
        seed: of them.
        level: of the interval.

    Raises:
        StatisticsError: if rows are no probabilities, an answer is no choice, or there are fewer than 2 groups.
    """
    p, right = np.asarray(probabilities, np.float64), np.asarray(answers, np.int64)
    if p.ndim != 2 or right.shape != p.shape[:1] or not right.size or bins < 1:
        raise StatisticsError(
            f"Probabilities have shape {p.shape} and there are {right.size} answers. Give (item, choice)."
        )
    if (p < 0).any() or not np.allclose(np.nansum(p, 1), 1, atol=1e-6):
        raise StatisticsError("Probabilities of an item's choices must be 0 or more and sum to 1. Divide by their sum.")
    if not ((right >= 0) & (right < p.shape[1])).all() or np.isnan(p[np.arange(len(p)), right]).any():
        raise StatisticsError(f"An answer is none of its item's choices (0 to {p.shape[1] - 1}). Check the answers.")
    sure, correct = np.nanmax(p, 1), np.nanargmax(p, 1) == right
    at = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(at, minlength=bins)
    means = [np.bincount(at, x, bins) for x in (sure, correct.astype(np.float64))]
    mean, share = (np.divide(x, count, out=np.full(bins, np.nan), where=count > 0) for x in means)
    error = float(np.nansum(count * np.abs(mean - share)) / len(p))
    over = mean_interval(sure - correct, groups=groups, n=n, seed=seed, level=level)
    return Calibration(error, over, np.column_stack([count, mean, share]))


def _outcome_pairs(clean: Any, perturbed: Any) -> tuple[Array, Array]:
    a, b = np.asarray(clean, bool), np.asarray(perturbed, bool)
    if a.shape != b.shape or a.size == 0 or a.ndim != 1:
        raise StatisticsError(f"Conditions have {a.size} and {b.size} items. Give the same 1 or more items under both.")
    return a, b
