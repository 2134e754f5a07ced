"""Can a linear classifier tell clean from perturbed, and what does that owe to the model?

Rows come in pairs, one clean and one perturbed. Folds keep whatever must not leak together: wordings, or edited words. Beside
each accuracy stand those of features that no model was needed for: random embeddings of the same tokens, and their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from broca.errors import StatisticsError
from broca.items import cluster
from broca.stats.intervals import Array, Interval, codes
from broca.stats.nulls import empirical_p
from broca.stats.pairs import mean_interval
from broca.stats.probing import Classifier, control_labels, folds, predictions, shuffle_within, waiting

STRENGTHS = (0.001, 0.01, 0.1)
"""Inverse strengths of the ridge penalty to choose from, for features that are scaled."""
WIDTH = 768
"""Units of a random embedding."""


@dataclass(frozen=True, slots=True)
class Separability:
    """How often clean and perturbed rows are told apart, out of fold."""

    accuracy: Interval
    """Its interval is over resampled groups; not a number where there is one group only."""
    correct: Array
    """Of each row, ``(row,)``."""
    c: tuple[float, ...]
    """The inverse strength that each fold chose on the rows that train."""
    p: float | None = None
    """One-sided, against labels exchanged within pairs; None without permutations."""
    null: float | None = None
    """The mean accuracy with such labels."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Features of the rows of one kind of perturbation."""

    x: Array
    """``(row, feature)``."""
    y: Array
    """1 where perturbed, ``(row,)``."""
    pairs: Array
    """Which pair each row is of."""
    groups: Array
    """What folds keep together: wordings, edited words, pairs; or the rows' own numbers, where nothing is."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How a probe is fitted."""

    strengths: tuple[float, ...] = STRENGTHS
    folds: int = 5
    inner: int = 3
    """Folds of the rows that train, by which the strength is chosen; the strongest penalty wins a tie."""
    seed: int = 0


CHOICE = Choice()


def separability(rows: Rows, how: Choice = CHOICE, *, permutations: int = 0, n_bootstrap: int = 2000) -> Separability:
    """A logistic regression on scaled features, out of fold, its penalty chosen within each fold.

    For the null, labels change places within pairs, n times; each fold keeps the penalty that the true labels chose.

    Raises:
        StatisticsError: if there are fewer groups than folds, a feature is not finite, or a pair is not one row of each label.
    """
    x, y, pairs, groups = _read_rows(rows)
    parts = folds(len(y), groups, k=how.folds, seed=how.seed)
    mixed = shuffle_within(y, pairs, n=permutations, seed=how.seed)
    correct, null, chosen = np.zeros(len(y)), np.zeros(permutations), []
    for number, (train, test) in enumerate(parts):
        c = _strength(x[train], y[train], groups[train], how, seed=how.seed + number)
        chosen.append(c)
        votes = waiting(x, [(train, test)], Classifier("logistic", c=c))
        correct[test] = predictions(votes(y[None], 2)[0])[test] == y[test]
        for i, labels in enumerate(mixed):
            null[i] += (predictions(votes(labels[None], 2)[0])[test] == labels[test]).sum()
    accuracy = float(correct.mean())
    p = float(empirical_p(accuracy, null / len(y), "greater")) if permutations else None
    return Separability(
        _interval(correct, groups, n_bootstrap, how.seed),
        correct,
        tuple(chosen),
        p,
        float(null.mean() / len(y)) if permutations else None,
    )


def transfer(kinds: Mapping[str, Rows], how: Choice = CHOICE) -> Array:
    """Accuracy of a probe that learns one kind of perturbation and is tested on another, ``(learned, tested)``.

    Folds are over the groups of all kinds: no group is learned and tested, neither off nor on the diagonal. Not a number where
    a kind has no rows in the groups that the other leaves out.

    Raises:
        StatisticsError: as `separability`, or if the kinds have different features.
    """
    checked = [_read_rows(rows) for rows in kinds.values()]
    if len({x.shape[1] for x, *_ in checked}) > 1:
        raise StatisticsError(f"Kinds have {[x.shape[1] for x, *_ in checked]} features. Give the same ones of each.")
    every = np.unique(np.concatenate([groups for *_, groups in checked]))
    right, tested = (np.zeros((len(checked), len(checked))) for _ in range(2))
    for number, (_, left) in enumerate(folds(len(every), k=how.folds, seed=how.seed)):
        held = [np.isin(groups, every[left]) for *_, groups in checked]
        for i, (x, y, _, groups) in enumerate(checked):
            train = np.flatnonzero(~held[i])
            if len(np.unique(y[train])) < 2:
                continue
            c = _strength(x[train], y[train], groups[train], how, seed=how.seed + number)
            # one fit for all kinds that are tested
            features = np.concatenate([x[train], *(other[out] for (other, *_), out in zip(checked, held, strict=True))])
            truth = np.concatenate(
                [y[train], *(labels[out] for (_, labels, *_), out in zip(checked, held, strict=True))]
            )
            at = np.arange(len(train)), np.arange(len(train), len(truth))
            guess = predictions(waiting(features, [at], Classifier("logistic", c=c))(truth[None], 2)[0])
            hits = np.split((guess == truth)[at[1]], np.cumsum([out.sum() for out in held])[:-1])
            right[i] += [part.sum() for part in hits]
            tested[i] += [part.size for part in hits]
    return np.divide(right, tested, out=np.full(right.shape, np.nan), where=tested > 0)


def on_control(rows: Rows, types: Sequence[object], how: Choice = CHOICE) -> float | None:
    """Accuracy on a control task, in folds of rows; by how much the real one is higher is the selectivity (Hewitt & Liang, 2019).

    The control task gives each type of row a label of its own, by lot: a probe that learns it by heart is not selective. Folds
    are of rows, since types that are held out cannot be known. None where types do not recur, or all are one.

    Args:
        rows: their groups do not matter.
        types: of the rows, such as the token at the probed place.
        how: how the probes are fitted.

    Raises:
        StatisticsError: as `separability`.
    """
    alone = Rows(rows.x, rows.y, rows.pairs, np.arange(len(rows.y)))
    different = len({repr(each) for each in types})
    labels = control_labels(rows.y, types, seed=how.seed)
    if different < 2 or different > len(types) / 2 or len(np.unique(labels)) < 2:
        return None
    x, _, _, groups = _read_rows(alone)
    correct = []
    for number, (train, test) in enumerate(folds(len(labels), groups, k=how.folds, seed=how.seed)):
        c = _strength(x[train], labels[train], groups[train], how, seed=how.seed + number)
        guess = predictions(waiting(x, [(train, test)], Classifier("logistic", c=c))(labels[None], 2)[0])
        correct.append(guess[test] == labels[test])
    return float(np.concatenate(correct).mean())


def random_embeddings(ids: Sequence[Sequence[int]], *, width: int = WIDTH, seed: int = 0) -> Array:
    """The mean of Gaussian vectors, one for each token id whatever else there is, ``(row, width)``: a model-free baseline.

    Raises:
        StatisticsError: if a row has no tokens.
    """
    if any(not row for row in ids):
        raise StatisticsError("A row has no tokens to embed. Leave it out.")
    known = {one: np.random.default_rng([seed, one]).standard_normal(width) for row in ids for one in set(row)}
    return np.stack([np.mean([known[one] for one in row], axis=0) for row in ids])


def token_counts(ids: Sequence[Sequence[int]]) -> Array:
    """How many tokens each text has, ``(row, 1)``: another one."""
    return np.asarray([[len(row)] for row in ids], np.float64)


def _read_rows(rows: Rows) -> tuple[Array, Array, Array, Array]:
    x, y = np.asarray(rows.x, np.float64), np.asarray(rows.y, np.int64)
    pairs = codes(np.asarray(rows.pairs))
    groups = np.array(
        [cluster(group, f"pair {i}") for group, i in zip(np.asarray(rows.groups).tolist(), pairs, strict=False)]
    )
    if x.ndim != 2 or not len(x) == len(y) == len(pairs) == len(groups):
        raise StatisticsError(
            f"Features have shape {x.shape}, for {len(y)} labels, {len(pairs)} pairs and {len(groups)} groups. Give (row, feature), "
            "and one of each for every row."
        )
    n = int(pairs.max(initial=-1)) + 1
    sums = np.stack([np.bincount(pairs[y == label], minlength=n) for label in (0, 1)])
    if 2 * n != len(y) or not (sums == 1).all():
        raise StatisticsError(
            f"{len(y)} rows are of {n} pairs. Give one row with label 0 and one with label 1 of each."
        )
    return x, y, pairs, groups


def _strength(x: Array, y: Array, groups: Array, how: Choice, *, seed: int) -> float:
    strengths = sorted(how.strengths)
    if len(strengths) == 1:
        return strengths[0]
    parts = folds(len(y), groups, k=min(how.inner, len(np.unique(groups))), seed=seed)
    right = [(predictions(waiting(x, parts, Classifier("logistic", c=c))(y[None], 2)[0]) == y).sum() for c in strengths]
    return strengths[int(np.argmax(right))]


def _interval(correct: Array, groups: Any, n: int, seed: int) -> Interval:
    if len(np.unique(groups)) < 2:
        return Interval(float(correct.mean()), float("nan"), float("nan"))
    return mean_interval(correct, groups=groups, n=n, seed=seed)
