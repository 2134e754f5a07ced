"""Probing classifiers against scikit-learn's own, and the folds and controls around them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from broca.errors import StatisticsError
from broca.stats.probing import (
    Classifier,
    control_labels,
    folds,
    margins,
    nested_scores,
    predictions,
    shuffle_within,
    waiting,
)


def rows(seed=0, n_texts=40, per=6, n_features=5, classes=2, apart=0.8):
    """Features, labels and texts: every text has every class."""
    draw = np.random.default_rng(seed)
    text = np.repeat(np.arange(n_texts), per)
    y = np.concatenate([draw.permutation(np.arange(per) % classes) for _ in range(n_texts)])
    x = draw.normal(size=(len(y), n_features))
    x[:, 0] += apart * y
    return x, y, text


@given(st.integers(2, 30), st.integers(0, 99), st.integers(2, 6))
def test_folds_take_whole_groups_and_test_every_row_once(n_groups, seed, k):
    group = np.random.default_rng(seed).integers(0, n_groups, 60)
    if len(set(group)) < k:
        with pytest.raises(StatisticsError, match="Give 2 folds or more"):
            folds(60, group, k=k)
        return
    parts = folds(60, group, k=k, seed=seed)
    assert sorted(np.concatenate([test for _, test in parts])) == list(range(60))
    for train, test in parts:
        assert not set(group[train]) & set(group[test])
        assert len(train) + len(test) == 60


def test_folds_of_rows_tear_groups_apart():
    train, test = folds(60, k=3)[0]
    assert set(train // 6) & set(test // 6)
    with pytest.raises(StatisticsError, match="Give one group for each row"):
        folds(5, [1, 2])


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("distance", ["l1", "l2"])
@pytest.mark.parametrize("n_features", [1, 5])
def test_neighbours_vote_as_scikit_learns(n_features, distance, standardise):
    x, y, text = rows(n_features=n_features, classes=3)
    if n_features > 1:
        x[::7] = x[0]  # distances of exactly 0
    parts = folds(len(x), text)
    how = Classifier("knn", distance=distance, standardise=standardise)
    scores = waiting(x, parts, how)(y[None], 3)[0]
    for train, test in parts:
        steps = [StandardScaler()] if standardise else []
        own = KNeighborsClassifier(8, weights="distance", p=1 if distance == "l1" else 2, algorithm="brute")
        reference = make_pipeline(*steps, own).fit(x[train], y[train]).predict_proba(x[test])
        kept = ~(x[test] == x[0]).all(1)  # among equally near neighbours, any 8
        np.testing.assert_allclose(scores[test][kept], reference[kept], atol=1e-7)


def test_neighbours_serve_any_number_of_labellings(monkeypatch):
    x, y, text = rows()
    votes = waiting(x, folds(len(x), text), Classifier())
    many = shuffle_within(y, text, n=7)
    together = votes(many, 2)
    monkeypatch.setattr("broca.stats.probing.ROWS", 3 * len(y))
    np.testing.assert_array_equal(votes(many, 2), together)
    np.testing.assert_array_equal(votes(many[5][None], 2)[0], together[5])


def test_the_other_classifiers_are_scikit_learns():
    x, y, text = rows(classes=3)
    parts = folds(len(x), text)
    logistic = waiting(x, parts, Classifier("logistic", c=0.3))(y[None], 3)[0]
    for distance, metric in (("l2", "euclidean"), ("l1", "manhattan")):
        centroid = predictions(waiting(x, parts, Classifier("centroid", distance=distance))(y[None], 3)[0])
        for train, test in parts:
            np.testing.assert_array_equal(
                centroid[test], NearestCentroid(metric=metric).fit(x[train], y[train]).predict(x[test])
            )
    for train, test in parts:
        own = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=1000)).fit(x[train], y[train])
        np.testing.assert_allclose(logistic[test], own.predict_proba(x[test]), atol=1e-5)


def test_a_fold_that_trains_on_one_class_says_that_class():
    x, y = np.arange(20.0), np.repeat([0, 1], 10)
    scores = waiting(x, [(np.arange(10), np.arange(10, 20))], Classifier("logistic"))(y[None], 2)[0]
    assert predictions(scores)[10:].tolist() == [0] * 10


def test_margins_say_by_how_much_the_true_class_wins():
    scores = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])
    np.testing.assert_allclose(margins(scores, [0, 1]), [0.5, -0.1])
    assert scores[0, 0] == 0.7


def test_the_choice_of_features_is_made_without_the_rows_that_are_tested():
    x, y, text = rows(n_texts=60, apart=2.5)
    noise = np.random.default_rng(1).normal(size=(len(y), 2))
    scores, names = nested_scores({"noise": noise, "real": x[:, :1]}, y, text, Classifier(), seed=3)
    assert names == ("real",) * 5
    own = waiting(x[:, :1], folds(len(y), text, seed=3), Classifier())(y[None], 2)[0]
    np.testing.assert_allclose(scores, own)
    # Labels of the rows that are tested must not reach the choice: with them changed, the predictions stay.
    (_, test), *_ = folds(len(y), text, seed=3)
    other = y.copy()
    other[test] = 1 - other[test]
    again, _ = nested_scores({"noise": noise, "real": x[:, :1]}, other, text, Classifier(), seed=3)
    np.testing.assert_allclose(again[test], scores[test])


def test_the_choice_is_made_on_whole_groups_up_to_a_number_of_rows():
    from broca.stats.probing import _whole_groups

    _, _, text = rows(n_texts=60)
    some = _whole_groups(np.arange(300), text, 100, 0)
    assert len(some) == 96
    assert all((text[some] == t).sum() == 6 for t in set(text[some]))


def test_shuffling_keeps_every_texts_own_labels():
    _, y, text = rows(per=5)
    for labels in shuffle_within(y, text, n=20):
        for t in set(text):
            assert sorted(labels[text == t]) == sorted(y[text == t])
    assert len({labels.tobytes() for labels in shuffle_within(y, text, n=20)}) == 20
    np.testing.assert_array_equal(shuffle_within(y, text, n=3, seed=1), shuffle_within(y, text, n=3, seed=1))


def test_texts_may_lie_anywhere_when_labels_are_shuffled():
    y, text = np.array([0, 1, 1, 0, 0, 1]), np.array(["b", "a", "b", "a", "b", "a"])
    for labels in shuffle_within(y, text, n=10):
        assert sorted(labels[text == "a"]) == [0, 1, 1]


def test_a_control_task_gives_each_type_one_label_and_can_be_learned_by_heart():
    draw = np.random.default_rng(0)
    types = draw.integers(0, 30, 2000)
    y = (draw.random(2000) < 0.3).astype(int)
    labels = control_labels(y, types, seed=1)
    assert all(len(set(labels[types == t])) == 1 for t in range(30))
    assert 0.1 < np.mean(labels) < 0.5
    one_hot = np.eye(30)[types] * 3
    guess = predictions(waiting(one_hot, folds(2000), Classifier())(labels[None], 2)[0])
    assert (guess == labels).mean() > 0.99


def test_what_cannot_be_classified_is_refused():
    x, y, text = rows()
    x[3, 1] = np.nan
    with pytest.raises(StatisticsError, match="1 features are NaN"):
        waiting(x, folds(len(y), text), Classifier())
    with pytest.raises(StatisticsError, match="8 neighbours are asked of 5 rows"):
        waiting(rows()[0], [(np.arange(5), np.arange(5, 240))], Classifier())
