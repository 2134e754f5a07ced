"""Small classifiers on features of rows that come in groups: folds, out-of-fold predictions, choices that are nested.

A row is a statement, a group a theory: statements of one theory share words, so a fold takes whole groups. Folds of rows are
there too, because the difference between the two is what the published scores owe to leakage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from scipy.spatial.distance import cdist

from broca.errors import StatisticsError
from broca.stats.f1 import confusion, macro_f1
from broca.stats.intervals import Array, codes

Fold = tuple[Array, Array]
"""Indices of the rows that train, and of those that are tested."""

ROWS = 8_000_000
"""Votes that are counted at once."""


@dataclass(frozen=True, slots=True)
class Classifier:
    """An estimator of scikit-learn and what it is given."""

    kind: Literal["knn", "logistic", "centroid"] = "knn"
    """k nearest neighbours, weighted by the inverse of their distance; multinomial logistic regression; nearest centroid."""
    k: int = 8
    """Neighbours."""
    distance: Literal["l1", "l2"] = "l2"
    """Manhattan or Euclidean."""
    c: float = 1.0
    """Inverse strength of the ridge penalty of the logistic regression."""
    standardise: bool = False
    """Bring each feature to mean 0 and deviation 1, as measured on the rows that train. The logistic regression always does."""


class Votes(Protocol):
    """A classifier with its features and folds, waiting for labels."""

    def __call__(self, y: Array, n_classes: int, /) -> Array:
        """Scores of out-of-fold rows, ``(labelling, row, class)``, for labels ``(labelling, row)``."""
        ...


def folds(n: int, groups: Any | None = None, *, k: int = 5, seed: int = 0) -> list[Fold]:
    """Make k folds in random order: of whole groups, or of rows where there are no groups.

    Raises:
        StatisticsError: if there are fewer groups, or rows, than folds.
    """
    labels = np.arange(n) if groups is None else codes(np.asarray(groups))
    if labels.shape != (n,):
        raise StatisticsError(f"There are {n} rows but {labels.size} groups. Give one group for each row.")
    count = int(labels.max()) + 1 if n else 0
    if not 2 <= k <= count:
        what = "rows" if groups is None else "groups"
        raise StatisticsError(f"{k} folds are asked of {count} {what}. Give 2 folds or more, and as many {what}.")
    order = np.random.default_rng(seed).permutation(count)
    place = np.empty(count, np.int64)
    place[order] = np.arange(count) % k
    fold = place[labels]
    return [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(k)]


def waiting(x: Any, parts: Sequence[Fold], how: Classifier) -> Votes:
    """The classifier on features ``(row, feature)``, ready for any labels of the rows.

    Neighbours do not depend on labels: they are sought once, however many labellings are asked for.
    """
    features = np.asarray(x, np.float64)
    features = features.reshape(len(features), -1)
    if not np.isfinite(features).all():
        raise StatisticsError(f"{int((~np.isfinite(features)).sum())} features are NaN or infinite. Leave them out.")
    return _Neighbours(features, parts, how) if how.kind == "knn" else _Refits(features, parts, how)


def predictions(scores: Array) -> Array:
    """The class with the highest score, the first of those that tie; ``(..., row)``."""
    return scores.argmax(-1)


def margins(scores: Array, y: Any) -> Array:
    """By how much the true class of each row outscores the best other one, ``(row,)`` from -1 to 1."""
    labels = np.asarray(y, np.int64)
    own = np.take_along_axis(scores, labels[:, None], -1)[:, 0]
    others = scores.copy()
    np.put_along_axis(others, labels[:, None], -np.inf, -1)
    return own - others.max(-1)


class _Neighbours:
    """k nearest neighbours of each row among the rows that train when it is tested."""

    def __init__(self, x: Array, parts: Sequence[Fold], how: Classifier) -> None:
        self.index = np.zeros((len(x), how.k), np.int64)
        self.weight = np.zeros((len(x), how.k))
        for train, test in parts:
            if len(train) < how.k:
                raise StatisticsError(
                    f"{how.k} neighbours are asked of {len(train)} rows. Give more rows, or a smaller k."
                )
            scaled = _scale_columns(x, train, standardise=how.standardise)
            find = _on_a_line if x.shape[1] == 1 else _in_space
            distance, nearest = find(scaled[train], scaled[test], how)
            same = distance == 0
            # As scikit-learn does: where a neighbour is at distance 0, only such neighbours count.
            with np.errstate(divide="ignore"):
                weight = np.where(same.any(1, keepdims=True), same, 1 / distance)
            self.index[test], self.weight[test] = train[nearest], weight / weight.sum(1, keepdims=True)

    def __call__(self, y: Array, n_classes: int, /) -> Array:
        out = np.zeros((*y.shape, n_classes))
        step = max(1, ROWS // len(self.index))
        for start in range(0, len(y), step):
            some, labels = out[start : start + step], y[start : start + step]
            # Neighbour by neighbour, so that a score does not depend on how many labellings are counted at once.
            for index, weight in zip(self.index.T, self.weight.T, strict=True):
                near = labels[:, index]
                for label in range(n_classes):
                    some[:, :, label] += np.where(near == label, weight, 0)
        return out


def _in_space(train: Array, test: Array, how: Classifier) -> tuple[Array, Array]:
    """Distance of the k nearest rows of `train` to each of `test`, and which they are."""
    from sklearn.neighbors import NearestNeighbors

    finder = NearestNeighbors(n_neighbors=how.k, p=1 if how.distance == "l1" else 2, algorithm="brute")
    return finder.fit(train).kneighbors(test)


def _on_a_line(train: Array, test: Array, how: Classifier) -> tuple[Array, Array]:
    """The same for one feature: the k nearest are among the k before and the k behind."""
    order = np.argsort(train[:, 0], kind="stable")
    line, values = train[order, 0], test[:, 0]
    first = np.clip(np.searchsorted(line, values) - how.k, 0, max(0, len(line) - 2 * how.k))
    near = first[:, None] + np.arange(min(2 * how.k, len(line)))
    distance = np.abs(line[near] - values[:, None])
    kept = np.argsort(distance, axis=1, kind="stable")[:, : how.k]
    return np.take_along_axis(distance, kept, 1), order[np.take_along_axis(near, kept, 1)]


class _Refits:
    """An estimator that is fitted anew for each labelling."""

    def __init__(self, x: Array, parts: Sequence[Fold], how: Classifier) -> None:
        self.how = how
        standard = how.standardise or how.kind == "logistic"
        self.parts = [(train, test, _scale_columns(x, train, standardise=standard)) for train, test in parts]

    def __call__(self, y: Array, n_classes: int, /) -> Array:
        return np.stack([self._scores(labels, n_classes) for labels in y])

    def _scores(self, y: Array, n_classes: int) -> Array:
        out = np.zeros((len(y), n_classes))
        for train, test, x in self.parts:
            seen = np.unique(y[train])
            if len(seen) == 1:
                out[test, seen[0]] = 1
            elif self.how.kind == "logistic":
                out[np.ix_(test, seen)] = self._logistic().fit(x[train], y[train]).predict_proba(x[test])
            else:
                out[np.ix_(test, seen)] = _centroids(x[train], y[train], x[test], self.how.distance)
        return out

    def _logistic(self) -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=self.how.c, max_iter=1000)


def _centroids(x: Array, y: Array, test: Array, distance: str) -> Array:
    """1 for the class of the nearest centroid: the mean of a class, or its median for Manhattan distances.

    What scikit-learn's NearestCentroid does, which warns of features that do not vary within a class.
    """
    classes = np.unique(y)
    centre, metric = (np.median, "cityblock") if distance == "l1" else (np.mean, "euclidean")
    nearest = cdist(test, np.stack([centre(x[y == each], axis=0) for each in classes]), metric).argmin(1)
    return (nearest[:, None] == np.arange(len(classes))).astype(np.float64)


def _scale_columns(x: Array, train: Array, *, standardise: bool) -> Array:
    if not standardise:
        return x
    spread = x[train].std(0)
    return (x - x[train].mean(0)) / np.where(spread > 0, spread, 1)


def nested_scores(
    candidates: Mapping[str, Array],
    y: Any,
    groups: Any,
    how: Classifier,
    *,
    k: int = 5,
    inner: int = 3,
    rows: int = 4096,
    seed: int = 0,
) -> tuple[Array, tuple[str, ...]]:
    """Out-of-fold scores of the best of several sets of features, chosen in each fold on the rows that train alone.

    Args:
        candidates: features ``(row, feature)`` by name.
        y: labels.
        groups: of the rows.
        how: the classifier.
        k: outer folds.
        inner: folds of the rows that train, by which the choice is made; the first name wins a tie.
        rows: rows that the choice is made on at most, whole groups.
        seed: of the folds.

    Returns:
        scores ``(row, class)``, and the name that each fold chose.
    """
    labels, group = np.asarray(y, np.int64), codes(np.asarray(groups))
    n_classes = int(labels.max()) + 1
    scores, names = np.zeros((len(labels), n_classes)), []
    for number, (train, test) in enumerate(folds(len(labels), group, k=k, seed=seed)):
        some = _whole_groups(train, group, rows, seed + number)
        within = folds(len(some), group[some], k=inner, seed=seed + number)
        f1 = {
            name: float(macro_f1(_counts(waiting(x[some], within, how), labels[some], n_classes)))
            for name, x in candidates.items()
        }
        best = max(f1, key=lambda name: -1.0 if np.isnan(f1[name]) else f1[name])
        names.append(best)
        scores[test] = waiting(candidates[best], [(train, test)], how)(labels[None], n_classes)[0][test]
    return scores, tuple(names)


def _counts(votes: Votes, y: Array, n_classes: int) -> Array:
    return confusion(y, predictions(votes(y[None], n_classes)[0]), n_classes)


def _whole_groups(rows: Array, group: Array, most: int, seed: int) -> Array:
    order = np.random.default_rng([seed, 1]).permutation(np.unique(group[rows]))
    size = np.bincount(group[rows], minlength=int(group.max()) + 1)[order]
    kept = order[: max(6, int(np.searchsorted(np.cumsum(size), most, side="right")))]
    return rows[np.isin(group[rows], kept)]


def shuffle_within(y: Any, within: Any, *, n: int, seed: int = 0) -> Array:
    """Labellings, n of them, ``(labelling, row)`` in which the labels of each text have changed places among its own rows."""
    labels, text = np.asarray(y, np.int64), codes(np.asarray(within))
    order = np.argsort(text, kind="stable")
    generator = np.random.default_rng(seed)
    out = np.empty((n, len(labels)), np.int64)
    for row in out:
        mixed = np.lexsort((generator.random(len(labels)), text))
        row[order] = labels[mixed]
    return out


def control_labels(y: Any, types: Sequence[object], *, seed: int = 0) -> Array:
    """Labels of a control task: one for each type of row, drawn from the labels' own distribution (Hewitt & Liang, 2019).

    A probe can only learn them by heart. What it scores above them it owes to what the features say.
    """
    labels = np.asarray(y, np.int64)
    _, kind = np.unique(np.asarray([repr(each) for each in types]), return_inverse=True)
    drawn = np.random.default_rng([seed, 2]).choice(labels, size=int(kind.max()) + 1)
    return drawn[kind]
