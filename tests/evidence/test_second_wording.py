"""A second wording: the same items in other words, under the same lesion, beside the first."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import broca
from broca.errors import StimulusError
from broca.evidence.abilities import abilities, rewordings
from broca.evidence.ability_scores import AbilityScores
from broca.evidence.blocks import second_wording as block
from broca.evidence.second_wording import second_wording
from broca.instruments.lesion.spec import CausalTest
from broca.items import Item
from broca.runs.record import read_record
from broca.stimuli.benchmarks import benchmark
from broca.stimuli.benchmarks import second_wording as other_words

N, EACH = 60, 3


def scores(lost, seed=0, intact=0.97, n=N):
    """An ability of which a lesion takes a share of the right answers."""
    rng = np.random.default_rng(seed)
    items = [Item(str(i), f"where is {i}?", ("box", "bag"), i % 2, "own", f"g{i // EACH}") for i in range(n)]
    right = (rng.random(n) < intact) * 1.0
    under = np.stack([right * (rng.random(n) >= lost) for _ in range(2)])
    margin = np.where(right > 0, 2.0, -2.0)
    return AbilityScores(
        "own", items, np.arange(n) // EACH, right, margin, ("zero", "mean"), under, under, np.zeros(n, int), {}, np.zeros((0, n)),
    )  # fmt: skip


def told(first, second, **more):
    return second_wording(first, second, level=0.05, alpha=0.05, **more)


def test_a_loss_in_both_wordings_holds_and_its_size_is_compared():
    found = told(scores(0.6), scores(0.6, seed=1))
    assert found.state == "holds"
    assert found.low > 0.1
    assert found.items == N
    assert "holds in both wordings" in found.text
    assert "which may be chance" in found.text or "the same to within" in found.text
    half = told(scores(0.9), scores(0.3, seed=1))
    assert half.difference == pytest.approx(half.first_loss - half.loss)
    assert half.difference_low > 0
    assert "The second wording loses less" in half.text


def test_no_loss_in_both_holds_and_a_loss_in_one_alone_does_not():
    assert told(scores(0.0), scores(0.0, seed=1)).state == "holds"
    alone = told(scores(0.7), scores(0.0, seed=1))
    assert alone.state == "does not hold"
    assert "holds in one wording alone" in alone.text


def test_what_is_open_in_one_wording_is_undecided():
    assert told(scores(0.7), scores(0.1, seed=5)).state == "undecided"
    unable = told(scores(0.7), scores(0.0, seed=1, intact=0.5))
    assert unable.state == "undecided"
    assert "it does not have the ability" in unable.text


def test_items_without_a_second_wording_are_left_out_of_both_sides():
    first, second = scores(0.7), scores(0.0, seed=1)
    some = AbilityScores(
        "own", second.items[30:], np.arange(30) // EACH, second.intact[30:], second.intact_margin[30:], second.fills,
        second.lesioned[:, 30:], second.lesioned_margin[:, 30:], second.predicted[30:], {}, np.zeros((0, 30)),
    )  # fmt: skip
    found = told(first, some)
    assert found.items == 30
    assert found.first_loss == pytest.approx(
        np.average((first.intact - first.lesioned).mean(0)[30:], weights=first.weights[30:])
    )
    one = told(first, AbilityScores(
        "own", second.items[:1], np.zeros(1, int), second.intact[:1], second.intact_margin[:1], second.fills,
        second.lesioned[:, :1], second.lesioned_margin[:, :1], second.predicted[:1], {}, np.zeros((0, 1)),
    ))  # fmt: skip
    assert (one.state, one.low) == ("undecided", None)


WITH = [
    *(f"beliefs/{name}" for name in ("false-belief", "true-belief", "belief", "photograph", "reality", "memory", "rival-belief")),
    *("beliefs/arithmetic-easy", "beliefs/arithmetic-hard", "sums", "passkey", "facts/capitals", "stories/belief"),
]  # fmt: skip


@pytest.mark.parametrize("name", WITH)
def test_both_wordings_ask_the_same(name):
    first, second = benchmark(name, n=24), other_words(name, n=24)
    for kept in ("id", "choices", "answer", "ability", "group"):
        assert [getattr(item, kept) for item in second] == [getattr(item, kept) for item in first]
    assert all(a.prompt != b.prompt for a, b in zip(first, second, strict=True))
    assert other_words(name, n=24, wording=2) == first
    assert other_words(name, n=24) == second


def test_a_benchmark_in_one_wording_brings_no_other():
    assert other_words("cells/contents") == ()
    assert rewordings(("cells/contents",), {}, next(iter(abilities(("cells/contents",), {}, None).values()))) == ()


def table(folder, **columns):
    rows = {
        "id": ["a", "b", "c"],
        "prompt": ["x?", "y?", "z?"],
        "choices": ["p|q"] * 3,
        "answer": ["p", "q", "p"],
        **columns,
    }
    path = folder / "items.csv"
    pl.DataFrame(rows).write_csv(path)
    return str(path)


def test_a_table_brings_one_in_a_column_and_a_row_may_have_none(tmp_path):
    path = table(tmp_path, rewording=["x, say", None, "z, say"])
    items = next(iter(abilities((path,), {}, None).values()))
    made = rewordings((path,), {}, items)
    assert [(item.id, item.prompt, item.answer) for item in made] == [("a", "x, say", 0), ("c", "z, say", 0)]
    assert rewordings((table(tmp_path),), {}, items) == ()
    with pytest.raises(StimulusError, match="has no column 'rewording'"):
        benchmark(table(tmp_path), wording=2)


def test_another_answer_is_no_second_wording(monkeypatch):
    from broca.evidence import abilities as room

    items = benchmark("sums", n=4)
    monkeypatch.setattr(
        room,
        "second_wording",
        lambda *_, **__: tuple(item.reorder([1, 0, *range(2, len(item.choices))]) for item in items),
    )
    with pytest.raises(StimulusError, match="other choices or another answer"):
        rewordings(("sums",), {}, items)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    spec = CausalTest(selection="0.4", items="beliefs/false-belief", options={"detail": 0.0}, n_items=32, draws=0)
    return broca.run(spec, broca.LM.load("routed"), tmp_path_factory.mktemp("runs") / "run")


def test_the_same_lesion_is_scored_on_both_and_the_run_says_what_came_of_it(done):
    found = done.result["second_wording"]
    assert found["state"] == "holds"
    assert found["loss"] > 0.25
    record = read_record(done.path)
    (section,) = block(record)
    shown = section.blocks[-1]
    assert shown.rows[0][2:] == (found["loss"], shown.rows[0][3], "holds")
    # Items of the second wording are in no table: what is counted there is asked in one wording.
    assert done.tables["items"].filter(pl.col("condition") == "intact").height == 32
    assert "second wording" in done.manifest["data"]


def test_what_has_no_second_wording_says_nothing(done):
    record = read_record(done.path)
    assert block(type(record)(record.path, record.manifest, record.study, record.model, {}, {}, {}, {})) == []
