"""The published scores of probes beside their steps written out one by one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier

from broca.errors import StatisticsError
from broca.stats.hou2023 import cross_validated_f1, row_cut_f1


def rows(seed=0, n=400, classes=2, apart=1.5):
    draw = np.random.default_rng(seed)
    y = draw.integers(0, classes, n) * draw.integers(0, 2, n)  # class 0 is the most frequent one
    x = draw.normal(size=(n, 4))
    x[:, 0] += apart * y
    return x.astype(np.float32), y


def test_two_folds_are_cut_at_a_row_and_columns_are_scored_apart():
    x, y = rows()
    two = np.column_stack([np.ones_like(y), y])

    def literal(labels):
        found = []
        for train, test in ((slice(0, 25), slice(25, None)), (slice(25, None), slice(0, 25))):
            fit = KNeighborsClassifier(8, weights="distance").fit(x[train], labels[train])
            found.append(f1_score(labels[test], fit.predict(x[test]), average="macro"))
        return np.mean(found)

    assert row_cut_f1(x, y, 50) == pytest.approx(literal(y))
    assert row_cut_f1(x, two, 50) == pytest.approx(literal(two))
    assert row_cut_f1(x, np.ones((len(x), 2), int), 50) == 1  # k = 1: nothing to tell apart, yet a perfect score
    with pytest.raises(StatisticsError, match="cannot be cut at row 200"):
        row_cut_f1(x[:100], y[:100], 400)


def by_hand(x, y):
    """Five folds: rows of each class in their order, so many to each fold as it gets where all, class by class, are dealt in turn."""
    in_order = np.concatenate([y[y == label] for label in dict.fromkeys(y.tolist())])
    fold = np.empty(len(y), int)
    for label in np.unique(y):
        shares = [int((in_order[first::5] == label).sum()) for first in range(5)]
        fold[y == label] = np.repeat(np.arange(5), shares)
    scores = []
    for own in range(5):
        train, test = np.flatnonzero(fold != own), np.flatnonzero(fold == own)
        guess = []
        for row in test:
            distance = np.abs(x[train].astype(float) - x[row].astype(float)).sum(1)
            near = np.argsort(distance, kind="stable")[:8]
            votes = np.bincount(y[train[near]], weights=1 / distance[near], minlength=y.max() + 1)
            guess.append(votes.argmax())
        guess = np.array(guess)
        f1 = []
        for label in np.union1d(y[test], guess):
            hits = ((guess == label) & (y[test] == label)).sum()
            f1.append(2 * hits / ((guess == label).sum() + (y[test] == label).sum()))
        scores.append(np.mean(f1))
    return np.mean(scores)


@pytest.mark.parametrize(("n", "classes"), [(400, 2), (203, 3), (37, 2)])
def test_five_stratified_folds_by_manhattan_distance(n, classes):
    x, y = rows(n, n, classes)
    assert cross_validated_f1(x, y) == pytest.approx(by_hand(x, y), abs=1e-12)


def test_one_class_scores_1_and_few_rows_do_not_score():
    x, y = rows(n=60)
    assert cross_validated_f1(x, np.zeros(60, int)) == 1
    assert cross_validated_f1(x[:30], np.r_[np.zeros(27, int), 1, 1, 1]) < 1  # a class that some folds lack
    with pytest.raises(StatisticsError, match=r"9 rows are too few for 5 folds and 8 neighbours. Give 10 or more"):
        cross_validated_f1(x[:9], y[:9])
    with pytest.raises(StatisticsError, match="5 of one class"):
        cross_validated_f1(x[:12], np.arange(12) // 4)
