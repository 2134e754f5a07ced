"""Chosen weights: set algebra, files, ranked lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broca.errors import SelectionError
from broca.units.weight_ranking import MatrixRanking, WeightRanking, fraction_size, topped_up, without
from broca.units.weights import Address, WeightSet

ADDRESSES = {"0.q": Address(0, "q", 3, 4), "0.k": Address(0, "k", 2, 4), "1.q": Address(1, "q", 5, 2)}
SIZES = {name: a.size for name, a in ADDRESSES.items()}

sets = st.fixed_dictionaries({n: st.sets(st.integers(0, size - 1)) for n, size in SIZES.items()})


def chosen(picks) -> WeightSet:
    return WeightSet({name: np.array(sorted(some), np.int64) for name, some in picks.items()}, ADDRESSES)


def flat(weights: WeightSet) -> set[tuple[str, int]]:
    return {(name, int(i)) for name, index in weights.at.items() for i in index}


@given(sets, sets)
def test_choices_combine_as_sets_do(a, b) -> None:
    x, y = chosen(a), chosen(b)
    assert flat(x & y) == flat(x) & flat(y)
    assert flat(x | y) == flat(x) | flat(y)
    assert flat(x - y) == flat(x) - flat(y)
    assert x.overlap(y).shared == len(flat(x) & flat(y))
    assert (x - y) | (x & y) == x


@settings(max_examples=10)
@given(sets)
def test_a_file_gives_back_what_was_saved_and_the_same_bytes(tmp_path_factory, picks) -> None:
    folder = tmp_path_factory.mktemp("masks")
    weights = WeightSet(chosen(picks).at, ADDRESSES, {"model": "m1", "edit": {"kind": "zero"}})
    one, two = weights.save(folder / "a.safetensors"), weights.save(folder / "b.safetensors")
    assert one.read_bytes() == two.read_bytes()
    back = WeightSet.load(one, model="m1")
    assert back == weights
    assert back.about == weights.about
    assert back.fingerprint == weights.fingerprint


def test_another_models_file_is_refused(tmp_path) -> None:
    path = WeightSet({"0.q": np.array([1])}, ADDRESSES, {"model": "m1"}).save(tmp_path / "w.safetensors")
    with pytest.raises(SelectionError, match="another model"):
        WeightSet.load(path, model="m2")


def test_what_is_no_such_file_is_refused(tmp_path) -> None:
    path = WeightSet({"0.q": np.array([1, 7])}, ADDRESSES).save(tmp_path / "w.safetensors")
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    (tmp_path / "flipped").write_bytes(content)
    (tmp_path / "short").write_bytes(content[:-4])
    (tmp_path / "text").write_text("hello")
    for name in ("flipped", "short", "text", "absent"):
        with pytest.raises(SelectionError):
            WeightSet.load(tmp_path / name)
    from broca.units import UnitMask

    units = UnitMask.of({"0.z": [0]}, n=2).save(tmp_path / "units")
    with pytest.raises(SelectionError, match="no chosen weights"):
        WeightSet.load(units)


@pytest.mark.parametrize("index", [[12], [-1], [1, 1], [0.5]])
def test_impossible_indices_are_refused(index) -> None:
    with pytest.raises(SelectionError):
        WeightSet({"0.q": np.array(index)}, ADDRESSES)


def test_rows_and_columns_are_counted() -> None:
    table = chosen({"0.q": {0, 3, 4}, "0.k": set(), "1.q": {9}}).by_matrix()
    assert table["n_selected"].to_list() == [0, 3, 1]
    assert table["n_rows"].to_list() == [0, 2, 1]
    assert table["n_columns"].to_list() == [0, 2, 1]


def ranked(scores, scope="matrix", most=1.0) -> WeightRanking:
    """A ranking by brute force."""
    groups: dict[str, list[tuple[float, str, int]]] = {}
    for name, values in scores.items():
        for i, value in enumerate(values):
            a = ADDRESSES[name]
            key = {
                "matrix": name,
                "row": f"{name} {i // a.columns}",
                "layer": a.layer,
                "kind": a.kind,
                "global": "",
            }[scope]
            groups.setdefault(str(key), []).append((-value, name, i))
    ranks = {(n, i): r for group in groups.values() for r, (_, n, i) in enumerate(sorted(group))}
    lists = {}
    for name in scores:
        found = sorted((r, i) for (n, i), r in ranks.items() if n == name)
        index = np.array([i for _, i in found])
        lists[name] = MatrixRanking(index, np.float32(scores[name])[index], np.array([r for r, _ in found]))
    return WeightRanking(lists, ADDRESSES, scope, most)


scores = st.fixed_dictionaries(
    {n: st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0]), min_size=s, max_size=s) for n, s in SIZES.items()}
)
fractions = st.sampled_from([0.0, 0.05, 0.1, 0.25, 0.3, 0.5, 1.0])


@given(scores, fractions, st.sampled_from(["matrix", "row", "layer", "kind", "global"]))
def test_a_slice_is_what_a_full_sort_would_select(values, m, scope) -> None:
    top = ranked(values, scope).top(m)
    groups: dict[str, list[tuple[float, str, int]]] = {}
    for name, some in values.items():
        a = ADDRESSES[name]
        for i, value in enumerate(some):
            key = {"matrix": name, "row": (name, i // a.columns), "layer": a.layer, "kind": a.kind, "global": 0}[scope]
            groups.setdefault(str(key), []).append((-value, name, i))
    wanted = {(n, i) for group in groups.values() for _, n, i in sorted(group)[: int(len(group) * m)]}
    assert flat(top) == wanted
    assert ranked(values, scope).nominal(m) == len(wanted)


@given(scores, fractions)
def test_strict_selects_what_lies_above_the_kth_score(values, m) -> None:
    top = ranked(values).top(m, ties="strict")
    for name, some in values.items():
        k = int(len(some) * m)
        kth = sorted(some, reverse=True)[k - 1] if k else np.inf
        assert set(top.at.get(name, np.zeros(0, int))) == {i for i, v in enumerate(some) if v > kth}


def test_strict_with_infinity_and_nan_selects_nothing_above_them() -> None:
    order = np.arange(12)
    lists = {"0.q": MatrixRanking(order, np.array([np.nan, np.inf, 3] + [1] * 9, np.float32), order)}
    one = WeightRanking(lists, {"0.q": ADDRESSES["0.q"]}, "matrix", 1.0)
    assert one.top(1 / 12, ties="strict").count == 0  # k = 1
    assert one.top(2 / 12, ties="strict").count == 0  # the second is infinite, the first no number
    assert one.top(3 / 12, ties="strict").at["0.q"].tolist() == [1]
    assert one.top(0.0, ties="strict").count == 0


@given(scores, scores, fractions, fractions)
def test_task_minus_control_and_topping_up(task, control, m, q) -> None:
    a, b = ranked(task), ranked(control)
    left = without(a, [b], m, q)
    assert left == a.top(m) - b.top(q)
    full = topped_up(a, [b], m, q)
    for name, size in SIZES.items():
        free = size - fraction_size(size, q)
        assert full.at.get(name, np.zeros(0)).size == min(fraction_size(size, m), free)
    assert not flat(full) & flat(b.top(q))
    assert flat(left) <= flat(full)


def test_more_than_was_ranked_is_refused() -> None:
    with pytest.raises(SelectionError, match="goes up to"):
        ranked({n: list(range(s)) for n, s in SIZES.items()}, most=0.1).top(0.2)
