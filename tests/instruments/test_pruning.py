"""Head maps and pruning: counts, orders and curves; and that the published intervention does nothing any more."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError
from scipy import stats

import lists
from broca.cache.cache import no_cache, silent
from broca.instruments.probe.head_maps import (
    attention_table,
    entropies,
    entropy,
    halves_agree,
    mean_by,
    place_of,
    preference,
    ranks,
)
from broca.instruments.probe.pruning import (
    conditions,
    how_many,
    importance_order,
    mask_of,
    orders_of,
    probe_weights,
    pruning_curves,
)
from broca.instruments.probe.spec import Pruning
from broca.instruments.probe.statements import Statements
from broca.interventions.lesion import Lesion
from broca.sites import Site
from broca.stimuli.trees import trees


@pytest.fixture(scope="module")
def lm():
    return lists.reader()


@pytest.fixture(scope="module")
def golden(shared):
    return json.loads((shared / "facts/reasoning_probe_golden.json").read_text())


def test_published_counts_are_one_more_than_the_whole_part():
    levels = range(10, 100, 10)
    assert [how_many(p, 144, "published") for p in levels] == [15, 29, 44, 58, 73, 87, 101, 116, 130]
    assert [how_many(p, 144, "share") for p in levels] == [14, 29, 43, 58, 72, 86, 101, 115, 130]
    assert how_many(10, 4, "share") == 1


def test_the_published_entropies_order_heads_as_published(golden):
    place = np.array(golden["entropy_pos_head_x_layer"]).T  # (layer, head)
    size = np.array(golden["entropy_size_head_x_layer"]).T
    assert place.mean() == pytest.approx(0.611, abs=2e-3)
    assert size.mean() == pytest.approx(0.889, abs=2e-3)
    first = [divmod(int(head), 12) for head in importance_order(-place)[:3]]
    assert first == [(9, 10), (7, 2), (11, 11)]  # L10H11, L8H3, L12H12
    assert divmod(int(importance_order(-size)[0]), 12) == (9, 9)  # L10H10
    mask = mask_of(importance_order(-place)[: how_many(40, 144, "published")], range(12), 12)
    assert mask.count == 58
    assert np.corrcoef(place.ravel(), size.ravel())[0, 1] == pytest.approx(-0.505, abs=2e-3)


def test_entropy_is_that_of_the_mean_row():
    even = np.full((4, 1, 1), 0.25)
    one = np.zeros((4, 1, 1))
    one[2] = 0.9
    assert entropy(even) == pytest.approx(1)
    assert entropy(one) == pytest.approx(0)
    assert entropy(np.array([0.1, 0.3, 0.0])[:, None, None]) == pytest.approx(
        -(0.25 * np.log(0.25) + 0.75 * np.log(0.75)) / np.log(3)
    )


def test_places_and_ranks_are_those_of_the_list():
    lists = trees("kth", k=2, m=5, n=30, pool=8, paper_compat=True)
    rows = Statements.of(lists)
    at, rank = ranks(rows)
    assert rank.tolist() == list(range(5)) * 30
    for i, tree in enumerate(lists):
        numbers = [int(said) for said in tree.statement_texts]
        assert (at[5 * i : 5 * i + 5] - 5 * i).tolist() == [numbers.index(number) for number in sorted(numbers)]
    assert place_of(rows).tolist() == list(range(5)) * 30
    assert ranks(Statements.of(trees("rules", depth=1, n=3))) is None
    mixed = Statements.of([*lists, *trees("kth", k=2, m=4, n=3, pool=8)])
    assert (place_of(mixed)[-12:] == -1).all()


def test_entropy_by_size_is_the_published_one_where_numbers_repeat():
    """The i-th smallest number, repeats counted, is looked up where its value first stands."""
    lists = trees("kth", k=2, m=6, n=40, pool=9, paper_compat=True)
    assert any(len(set(tree.statement_texts)) < 6 for tree in lists)
    values = np.random.default_rng(1).random((240, 2, 3)) ** 4
    mean = np.zeros((6, 2, 3))
    for i, tree in enumerate(lists):
        for size, number in enumerate(sorted(map(int, tree.statement_texts))):
            mean[size] += values[6 * i + tree.statement_texts.index(str(number))] / 40
    expected = stats.entropy(mean, axis=0) / np.log(6)
    np.testing.assert_allclose(entropies(values, Statements.of(lists))["size"], expected)


def test_means_and_tables_are_plain_averages():
    rows = Statements.of(trees("kth", k=2, m=5, n=30, pool=64))
    values = np.random.default_rng(0).random((150, 2, 3))
    np.testing.assert_allclose(mean_by(values, rows.place)[3], values[rows.place == 3].mean(0))
    table = attention_table(values, rows, (0, 4))
    cell = table.filter((pl.col("by") == "size") & (pl.col("label") == 1) & (pl.col("layer") == 4))["attention"][0]
    assert cell == pytest.approx(values[ranks(rows)[0][ranks(rows)[1] == 1]][:, 1].mean())
    assert table["by"].unique().sort().to_list() == ["place", "size", "step"]
    assert entropies(values, rows).keys() == {"place", "size"}


def test_preference_and_its_halves_see_a_head_that_looks_at_useful_statements():
    rows = Statements.of(trees("kth", k=2, m=5, n=80, pool=64))
    values = np.random.default_rng(0).random((400, 2, 3))
    values[:, 1, 2] += (rows.height > 0) * 2
    found = preference(values, rows)
    assert np.unravel_index(found.argmax(), found.shape) == (1, 2)
    assert found[1, 2] > 1.5
    assert np.abs(np.delete(found.ravel(), 5)).max() < 0.4
    assert halves_agree(values, rows, seed=0).full > 0.9
    assert halves_agree(values[:, :1, :1], rows, seed=0) is None
    weights = probe_weights(values, (rows.height > 0).astype(int))
    assert np.unravel_index(weights.argmax(), weights.shape) == (1, 2)


def test_every_level_takes_the_heads_of_the_one_before_and_keeps_the_rest():
    spec = Pruning(levels=(25, 50, 75), draws=3, fills=("zero", "mean"))
    made = conditions(spec, {"place": np.arange(8)[::-1]}, (0, 1), 4, seed=0)
    named = [c for c in made if c.name == "lesion" and c.fill == "zero"]
    removed = [c.mask for c in named if c.side == "remove"]
    kept = [c.mask for c in named if c.side == "keep"]
    assert [mask.count for mask in removed] == [2, 4, 6]
    assert [mask.count for mask in kept] == [6, 4, 2]
    for small, large in pairwise(removed):
        assert (small - large).count == 0
    for mask, rest in zip(removed, kept, strict=True):
        assert (mask & rest).count == 0
        assert (mask | rest).count == 8
    assert removed[0].at[Site(1, "z")].tolist() == [False, False, True, True]
    random = [c for c in made if c.name == "random"]
    assert len(random) == 3 * 3 * 2
    assert {c.fill for c in random} == {"zero"}
    assert len(made) == 3 * 2 * 2 + 18


def test_curves_are_accuracies_under_real_lesions(lm):
    lists = trees("kth", k=1, m=4, n=40, pool=64, tokenizer=lm.tokenizer)
    items = [tree.item for tree in lists]
    rows = Statements.of(lists)
    values = np.random.default_rng(0).random((160, 2, 4))
    importance = {"place": -entropies(values, rows)["place"], "probe": probe_weights(values, rows.height)}
    spec = Pruning(levels=(25, 75), draws=4)
    orders, missing = orders_of(spec, lm, items, importance, (0, 1), chat="never", cache=no_cache)
    assert orders.keys() == {"place", "probe", "gradient"}
    assert missing == ("There is no order by size for this task or model, so none was pruned by it.",)
    curves, areas, guards = pruning_curves(
        spec, lm, items, orders, (0, 1), chat="never", seed=0, cache=no_cache, progress=silent
    )
    assert [guard.state for guard in guards] == ["passed", "passed"]
    one = curves.filter((pl.col("order") == "gradient") & (pl.col("mode") == "remove") & (pl.col("fill") == "zero"))
    with lm.under(Lesion(mask_of(orders["gradient"][:6], (0, 1), 4))):
        from broca.scoring import Likelihood

        by_hand = Likelihood()(lm, items)["correct"].mean()
    assert one.filter(pl.col("level") == 75)["accuracy"][0] == pytest.approx(by_hand)
    assert set(areas["order"]) == {"place", "probe", "gradient"}
    assert curves.filter(pl.col("condition") == "intact")["k"].to_list() == [0]
    assert areas.filter(pl.col("mode") == "remove")["p"].min() >= 1 / 5


def test_the_published_way_to_prune_heads_does_nothing_under_transformers_5(lm):
    """The ancestor hands the model a `head_mask`; it is swallowed without a word, so its curves would be flat."""
    batch = next(lm.batches(lm.tokenize(["5 3 9"])))
    plain = lm.call(batch).logits
    masked = lm.call(batch, head_mask=torch.zeros(2, 4)).logits
    assert torch.equal(masked, plain)
    with lm.under(Lesion(mask_of(np.arange(8), (0, 1), 4))):
        assert not torch.equal(lm.call(batch).logits, plain)


def test_levels_are_of_one_type_by_default_too():
    made = conditions(Pruning(draws=0), {"place": np.arange(8)}, (0, 1), 4, seed=0)
    assert {type(condition.dose) for condition in made} == {float}
    assert len({condition.mask.count for condition in made}) > 5


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValidationError, match="rising order"):
        Pruning(levels=(50, 20))
    with pytest.raises(ValidationError, match="between 0 and 100"):
        Pruning(levels=(0, 20))
    with pytest.raises(ValidationError, match="at least one fill"):
        Pruning(fills=())
