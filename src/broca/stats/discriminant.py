"""The linear-discriminant t of heads (LD-t; Kriegeskorte et al., 2007; Nili et al., 2014, here with diagonal covariance).

A direction is learned on some groups of stimuli, the others are projected on it, and the projections are compared by Welch's
t. So a head's value never comes from the stimuli that chose its direction, and is 0 on average where nothing differs. But the
projections of one fold depend on the stimuli of the others, so Welch's p is none: labels by lot make some head of sixteen
"significant" in a third of all studies. Hence `Discriminants`: the same statistic refitted in other arrangements of the sides.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from broca.errors import StatisticsError
from broca.stats.exchange import Sides
from broca.stats.intervals import Array
from broca.stats.mean_tests import welch_from_samples

FOLDS = 5
_SHRUNK = 0.1
"""A unit that hardly varies would rule the direction: how far its variance is moved towards the head's mean."""


def folds(groups_a: Any, groups_b: Any) -> tuple[Array, Array]:
    """The fold of each stimulus of either side: a group is never divided, and twins of one group on both sides share a fold."""
    fold_of = {group: i % FOLDS for i, group in enumerate(sorted({*groups_a, *groups_b}))}
    first, second = (np.array([fold_of[group] for group in groups]) for groups in (groups_a, groups_b))
    return first, second


def discriminant(a: Array, b: Array, groups_a: Any, groups_b: Any) -> tuple[Array, Array, Array]:
    """LD-t, Welch's p of the projections, and d of every head from ``(stimulus, head, unit)`` activations of both sides.

    Raises:
        StatisticsError: if there are too few stimuli to learn a direction in each fold.
    """
    projected = [np.empty(a.shape[:2]), np.empty(b.shape[:2])]
    folds_a, folds_b = folds(groups_a, groups_b)
    for fold in range(FOLDS):
        train_a, train_b = folds_a != fold, folds_b != fold
        if min(train_a.sum(), train_b.sum()) < 2:
            n = len({*groups_a, *groups_b})
            raise StatisticsError(
                f"{len(a)} + {len(b)} stimuli in {n} group{'s' * (n != 1)} are too few to learn a "
                f"head's direction in {FOLDS} folds. Use at least 20 a side, in at least {2 * FOLDS} groups."
            )
        x, y = a[train_a], b[train_b]
        spread = (x.var(0, ddof=1) * (len(x) - 1) + y.var(0, ddof=1) * (len(y) - 1)) / (len(x) + len(y) - 2)
        spread = (1 - _SHRUNK) * spread + _SHRUNK * spread.mean(-1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            w = (x.mean(0) - y.mean(0)) / spread
            centre = (x.mean(0) + y.mean(0)) / 2
            w = w / np.sqrt((w * w * spread).sum(-1, keepdims=True))
        projected[0][~train_a] = ((a[~train_a] - centre) * w).sum(-1)
        projected[1][~train_b] = ((b[~train_b] - centre) * w).sum(-1)
    test = welch_from_samples(*projected)
    return test.t, test.p, test.d


class Discriminants:
    """LD-t of every head in any arrangement of the sides, the directions learned anew in each; for `MaxT.update_refit`.

    Values below 0 count as 0: a direction that turns round on other stimuli tells nothing apart. An arrangement that leaves a
    fold without stimuli to learn from counts as extreme.
    """

    def __init__(self, a: Array, b: Array, sides: Sides, fold: Any) -> None:
        """Take in the values.

        Args:
            a: (stimulus, head, unit) of one side.
            b: of the other.
            sides: which stimuli move together.
            fold: (stimulus,) of a, then of b; see `folds`.
        """
        values = np.concatenate([a, b]).astype(np.float64)
        values -= values.mean(0)
        # head by head, for products of matrices
        self._values = np.ascontiguousarray(values.transpose(1, 0, 2))
        self._group = np.concatenate([sides.a, sides.b])
        self._given = np.arange(len(values)) < len(a)
        self._swaps = self._group >= sides.n_groups - sides.n_both
        self._fold = np.asarray(fold)

    def __call__(self, flags: Array) -> Array:
        """The statistics of arrangements ``(row, group)``: ``(row, head)``; NaN for heads that never vary."""
        moved = flags[:, self._group].astype(bool)
        on_a = np.where(self._swaps, moved == self._given, moved).astype(np.float64)
        sums, blind = np.zeros((4, len(self._values), len(flags))), np.zeros(len(flags), bool)
        for fold in np.unique(self._fold):
            held = self._fold == fold
            projected, few = self._project(on_a, held)
            blind |= few
            squares, here = np.square(projected), on_a[:, held].T
            sums += [(table * side).sum(1) for side in (here, 1 - here) for table in (projected, squares)]
        n_a = on_a.sum(1)
        n_b = on_a.shape[1] - n_a
        with np.errstate(divide="ignore", invalid="ignore"):
            error = sum(
                (squares - np.square(total) / n) / (n * (n - 1))
                for total, squares, n in ((sums[0], sums[1], n_a), (sums[2], sums[3], n_b))
            )
            t = (sums[0] / n_a - sums[2] / n_b) / np.sqrt(error)
        return np.where(blind, np.inf, np.maximum(t, 0)).T

    def _project(self, on_a: Array, held: Array) -> tuple[Array, Array]:
        """Stimuli of one fold on the directions of the others ``(head, stimulus, row)``, and which rows leave none to learn from."""
        train, label = self._values[:, ~held], on_a[:, ~held]
        n_a = label.sum(1)[:, None]
        n_b = label.shape[1] - n_a
        few = np.minimum(n_a, n_b) < 2
        n_a, n_b = np.where(few, 2, n_a), np.where(few, 2, n_b)
        of_a = label @ train
        mean_a, mean_b = of_a / n_a, (train.sum(1)[:, None] - of_a) / n_b
        spread = np.square(train).sum(1)[:, None] - n_a * np.square(mean_a) - n_b * np.square(mean_b)
        spread = np.maximum(spread, 0) / (label.shape[1] - 2)
        spread = (1 - _SHRUNK) * spread + _SHRUNK * spread.mean(-1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            w = (mean_a - mean_b) / spread
            w /= np.sqrt((w * w * spread).sum(-1, keepdims=True))
        found = self._values[:, held] @ w.transpose(0, 2, 1)
        found -= ((mean_a + mean_b) / 2 * w).sum(-1)[:, None]
        return found, few[:, 0]
