"""Profiles of masks: lines, rotary frequencies, geometry, sinks, super weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import zoo
from broca.instruments.sensitivity.profile import (
    frequencies,
    geometry,
    lines,
    rotary,
    sinks,
    super_weight_mask,
    super_weights,
)
from broca.interventions.weights import Edit, WeightMask
from broca.models.weight_matrices import matrices
from broca.units.weights import Address, WeightSet

TEXTS = ["a short text of some words", "another, somewhat longer text than that"]


def chosen(lm, name, index) -> WeightSet:
    return WeightSet({name: np.array(index)}, {m.name: m.address for m in matrices(lm.model, lm.anatomy)})


def test_entries_of_outlier_rows_and_columns_lie_on_few_lines() -> None:
    address = {"m": Address(0, "q", 20, 20)}
    row_and_column = sorted({*(3 * 20 + c for c in range(20)), *(r * 20 + 7 for r in range(20))})
    table = lines(WeightSet({"m": np.array(row_and_column)}, address))
    assert table.row(0) == ("m", 39, 20, 20, 2, 2)
    diagonal = lines(WeightSet({"m": np.arange(20) * 21}, address))
    assert diagonal["lines"][0] == 20


@pytest.mark.parametrize(
    ("name", "pairs", "n"),
    [("llama", "halves", 4), ("phi", "halves", 2), ("cohere", "neighbours", 4), ("gpt2", None, 0)],
)
def test_the_rotation_is_the_models_own(name, pairs, n) -> None:
    found = rotary(zoo.lm(name))
    if pairs is None:
        assert found is None
        return
    assert found is not None
    assert found.pairs == pairs
    assert len(found.angles) == n
    assert found.angles[0] == 1
    np.testing.assert_allclose(found.angles[1:] / found.angles[:-1], found.angles[1], rtol=1e-5)


def test_features_fold_to_the_frequencies_that_they_turn_with() -> None:
    halves, neighbours = rotary(zoo.lm("llama")), rotary(zoo.lm("cohere"))
    assert halves is not None
    assert neighbours is not None
    assert halves.frequency(np.arange(8)).tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert neighbours.frequency(np.arange(8)).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    partial = rotary(zoo.lm("phi"))
    assert partial is not None
    assert partial.frequency(np.arange(8)).tolist() == [0, 1, 0, 1, -1, -1, -1, -1]


@pytest.mark.parametrize("name", ["llama", "gpt_neox", "phi3"])
def test_masked_rows_are_counted_at_their_frequency(name) -> None:
    lm = zoo.lm(name)
    q = next(m for m in matrices(lm.model, lm.anatomy) if m.address.kind == "q" and m.address.layer == 1)
    width = 8
    found = rotary(lm)
    assert found is not None
    rows = [width + 1, width + 2, width + 2]
    index = sorted({row * q.address.columns + i for i, row in enumerate(rows)})
    table = frequencies(lm, chosen(lm, q.name, index), lm.tokenize(TEXTS))
    assert table is not None
    own = table.filter(layer=1, kind="q")
    wanted = np.bincount([f for f in found.frequency(np.array([1, 2, 2])) if f >= 0], minlength=len(found.angles))
    assert own["masked"].to_list() == wanted.tolist()
    assert table["masked"].sum() == wanted.sum()
    assert (table["norm"] > 0).all()


def test_geometry_and_sinks_move_where_the_first_key_is_masked_and_not_elsewhere() -> None:
    lm = zoo.lm("llama")
    tokens = lm.tokenize(TEXTS)
    k = next(m for m in matrices(lm.model, lm.anatomy) if m.address.kind == "k" and m.address.layer == 1)
    mask = WeightMask(chosen(lm, k.name, range(k.address.size)), Edit("zero"))
    table = geometry(lm, mask, tokens)
    assert table is not None
    clean, masked = (table.filter(layer=1, state=state).row(0, named=True) for state in ("clean", "masked"))
    assert masked["norm_first"] == 0 < clean["norm_first"]
    assert masked["norm_q"] == pytest.approx(clean["norm_q"])
    assert (
        table.filter(layer=0, state="clean").drop("state").equals(table.filter(layer=0, state="masked").drop("state"))
    )
    shift = sinks(lm, mask, tokens)
    assert shift["displaced"][0] == 0
    assert shift["displaced"][1] > 0.5
    # Without keys attention is even: the first of t tokens gets 1 / t.
    even = np.mean([np.mean([1 / t for t in range(2, len(text) + 1)]) for text in tokens])
    assert shift["masked"][1] == pytest.approx(even, rel=1e-4)


def test_a_planted_super_weight_is_found_and_breaks_the_model() -> None:
    lm = zoo.lm("llama")
    tokens = lm.tokenize(TEXTS)
    assert super_weights(lm, tokens).is_empty()
    layer = lm.model.model.layers[1].mlp
    with torch.no_grad():
        layer.up_proj.weight[11] *= 300
        layer.gate_proj.weight[11] *= 300
        layer.down_proj.weight[5, 11] = 80.0
    found = super_weights(lm, tokens)
    assert found.row(0, named=True)["matrix"] == "model.layers.1.mlp.down_proj"
    assert found.select("row", "column").row(0) == (5, 11)
    weights = super_weight_mask(lm, found.head(1))
    assert weights.at["model.layers.1.mlp.down_proj"].tolist() == [5 * 48 + 11]
    batch = next(lm.batches(tokens))
    before = lm.next_logits(batch)
    with lm.under(WeightMask(weights)):
        assert float((lm.next_logits(batch) - before).abs().max()) > 1
