"""Answers under two factors, such as kind of perturbation and arithmetic operation: does one's effect depend on the other?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from broca.errors import StatisticsError
from broca.stats.intervals import Array, codes


@dataclass(frozen=True, slots=True)
class Wald:
    """A test of several contrasts at once."""

    f: float
    """Wald's statistic over its degrees of freedom."""
    df: int
    df_error: int
    """Groups less one."""
    p: float


@dataclass(frozen=True, slots=True)
class Factors:
    """A logistic regression on two factors and their interaction, one parameter a cell."""

    first: tuple[str, ...]
    """Levels of the first factor."""
    second: tuple[str, ...]
    accuracy: Array
    """``(first, second)``."""
    n: Array
    """Answers in each cell."""
    log_odds: Array
    """Those of the accuracies; not a number on the scale of points."""
    effect_first: Wald
    """Levels of the first factor are alike, averaged over those of the second."""
    effect_second: Wald
    interaction: Wald
    """What the first factor does is the same at each level of the second."""
    groups: int


def factors(
    correct: Any,
    first: Sequence[str],
    second: Sequence[str],
    *,
    groups: Any | None = None,
    scale: str = "log odds",
) -> Factors:
    """Fit accuracy by kind x operation, with errors that let answers of a group hang together (Liang & Zeger, 1986).

    A model with one parameter a cell is solved by the cells' accuracies; the covariance of these comes from the groups' own sums,
    and reaches the log odds by their slope. So items may come under every kind, wordings in many items: name what hangs together
    in `groups`. Tests are F tests with as many degrees of freedom as groups, less one.

    Args:
        correct: ``(answer,)``.
        first: the level of each answer, e.g. its kind.
        second: likewise, e.g. its operation.
        groups: wordings or items; each answer by itself when None.
        scale: ``log odds``, or ``points`` of accuracy, which has an estimate also where all of a cell are right.

    Raises:
        StatisticsError: if lengths differ, a factor has one level, a cell is empty, or all right or all wrong on the scale of log
            odds, there are no more groups than contrasts, or answers do not vary within a contrast.
    """
    y = np.asarray(correct, np.float64)
    a, b = (np.unique(np.asarray(labels, dtype=str), return_inverse=True) for labels in (first, second))
    group = np.arange(y.size) if groups is None else codes(np.asarray(groups))
    rows, columns = len(a[0]), len(b[0])
    if y.ndim != 1 or not y.size == a[1].size == b[1].size == group.size or min(rows, columns) < 2:
        raise StatisticsError(
            f"There are {y.size} answers, factors of {rows} and {columns} levels and {group.size} groups. Give one of each for every "
            "answer, and 2 levels or more."
        )
    cell = a[1] * columns + b[1]
    size = np.bincount(cell, minlength=rows * columns)
    accuracy = np.bincount(cell, y, rows * columns) / np.maximum(size, 1)
    _check(size, accuracy, [f"{one} x {other}" for one in a[0] for other in b[0]], scale)
    covariance, n_groups = _covariance((y - accuracy[cell]) / size[cell], cell, group, rows * columns)
    value, slope = accuracy, np.ones_like(accuracy)
    if scale == "log odds":
        value, slope = np.log(accuracy / (1 - accuracy)), 1 / (accuracy * (1 - accuracy))
    covariance *= np.outer(slope, slope)
    one, other, both = (_wald(contrast, value, covariance, n_groups) for contrast in _contrasts(rows, columns))
    shape = (rows, columns)
    return Factors(
        first=tuple(map(str, a[0])),
        second=tuple(map(str, b[0])),
        accuracy=accuracy.reshape(shape),
        n=size.reshape(shape),
        log_odds=(value if scale == "log odds" else np.full(value.shape, np.nan)).reshape(shape),
        effect_first=one,
        effect_second=other,
        interaction=both,
        groups=n_groups,
    )


def _check(size: Array, accuracy: Array, names: Sequence[str], scale: str) -> None:
    if scale not in ("log odds", "points"):
        raise StatisticsError(f"scale is {scale!r}. Choose 'log odds' or 'points'.")
    empty = [name for name, n in zip(names, size, strict=True) if not n]
    if empty:
        raise StatisticsError(f"There is no answer in {', '.join(empty)}. Leave out a level, or give answers.")
    extreme = [name for name, share in zip(names, accuracy, strict=True) if share in (0, 1)]
    if extreme and scale == "log odds":
        raise StatisticsError(
            f"All answers in {', '.join(extreme)} are right, or all are wrong, so their log odds have no finite estimate. Use the "
            "scale of points."
        )


def _covariance(pull: Array, cell: Array, group: Array, n_cells: int) -> tuple[Array, int]:
    """Of the cells' accuracies, from what each answer pulls its cell's by, summed over the groups; and how many groups there are."""
    n_groups = int(group.max()) + 1
    pulls = np.zeros((n_groups, n_cells))
    np.add.at(pulls, (group, cell), pull)
    return pulls.T @ pulls * n_groups / max(n_groups - 1, 1), n_groups


def _contrasts(rows: int, columns: int) -> tuple[Array, Array, Array]:
    """Of the first factor, the second, and their interaction, over cells row by row."""
    across, down = _steps(rows), _steps(columns)
    even = np.full((1, rows), 1 / rows), np.full((1, columns), 1 / columns)
    return np.kron(across, even[1]), np.kron(even[0], down), np.kron(across, down)


def _steps(levels: int) -> Array:
    """Each level less the first, ``(level - 1, level)``."""
    return np.column_stack([-np.ones(levels - 1), np.eye(levels - 1)])


def _wald(contrast: Array, value: Array, covariance: Array, groups: int) -> Wald:
    df = len(contrast)
    spread = contrast @ covariance @ contrast.T
    if groups <= df or np.linalg.matrix_rank(spread, hermitian=True) < df:
        raise StatisticsError(
            f"{df} contrasts cannot be tested with {groups} groups whose answers vary too little. Give more groups, or fewer levels."
        )
    moved = contrast @ value
    f = float(moved @ np.linalg.solve(spread, moved)) / df
    return Wald(f, df, groups - 1, float(stats.f.sf(f, df, groups - 1)))
