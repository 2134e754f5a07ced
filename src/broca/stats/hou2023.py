"""Macro-F1 of a probe as the code of Hou et al. (2023) computes it, quirks included: one way for numbers, one for sentences."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from broca.errors import StatisticsError
from broca.stats.f1 import confusion, f1_of_classes
from broca.stats.probing import Classifier, predictions, waiting

NEIGHBOURS, FOLDS = 8, 5


def row_cut_f1(x: Any, y: Any, n_examples: int) -> float:
    """As for GPT-2 and lists of numbers.

    Two folds that are cut at *row* n_examples // 2, though rows are statements: one trains on a small part, the other is tested
    on it. Labels with several columns are scored a column each; a column that is constantly 1 has F1 1, which lifts the mean.

    Args:
        x: ``(row, feature)``.
        y: ``(row,)`` classes, or ``(row, column)`` of 0 and 1.
        n_examples: how many texts the rows come from.

    Raises:
        StatisticsError: if rows cannot be cut there, or are fewer than neighbours.
    """
    features, labels = np.asarray(x, np.float64), np.asarray(y, np.int64)
    cut = n_examples // 2
    if not 0 < cut < len(features):
        raise StatisticsError(
            f"{len(features)} rows cannot be cut at row {cut}. Give rows of several statements a text."
        )
    parts = [np.arange(cut), np.arange(cut, len(features))]
    found = []
    for train, test in (parts, parts[::-1]):
        votes = waiting(features, [(train, test)], Classifier("knn", NEIGHBOURS, "l2"))
        columns = labels[:, None] if labels.ndim == 1 else labels
        f1 = []
        for column in columns.T:
            guess = predictions(votes(column[None], 2)[0])[test]
            each = f1_of_classes(confusion(column[test], guess, 2))
            f1.append(np.nanmean(each) if labels.ndim == 1 else each[1])
        found.append(np.mean(f1))
    return float(np.mean(found))


def cross_validated_f1(x: Any, y: Any) -> float:
    """As for LLaMA and sentences: the mean over five folds of rows, stratified and in their order, by Manhattan distance.

    Theories are torn apart, and where all rows are of one class the score is 1.

    Args:
        x: ``(row, feature)``.
        y: ``(row,)`` classes.

    Raises:
        StatisticsError: if there are too few rows for folds and neighbours.
    """
    from sklearn.model_selection import cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    features, labels = np.asarray(x), np.asarray(y, np.int64)
    n = len(labels)
    if n - math.ceil(n / FOLDS) < NEIGHBOURS or np.bincount(labels).max() < FOLDS:
        raise StatisticsError(
            f"{n} rows are too few for {FOLDS} folds and {NEIGHBOURS} neighbours. Give {math.ceil(NEIGHBOURS / (1 - 1 / FOLDS))} or "
            f"more, {FOLDS} of one class."
        )
    classifier = KNeighborsClassifier(NEIGHBOURS, weights="distance", p=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return float(np.mean(cross_val_score(classifier, features, labels, cv=FOLDS, scoring="f1_macro")))
