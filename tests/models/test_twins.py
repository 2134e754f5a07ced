"""Twins: same shape, nothing learned, the model itself untouched."""

from __future__ import annotations

import pytest
import torch

import zoo
from broca.errors import ModelError
from broca.models import twins
from broca.models.twins import shuffled_twin, untrained_twin


def weights(lm):
    return {name: p.detach().clone() for name, p in lm.model.named_parameters()}


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral"])
def test_an_untrained_twin_has_the_shape_and_other_weights_by_its_seed(name):
    lm = zoo.lm(name)
    before = weights(lm)
    state = torch.random.get_rng_state()
    one, again, other = (weights(untrained_twin(lm, seed)) for seed in (1, 1, 2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert {k: v.shape for k, v in one.items()} == {k: v.shape for k, v in before.items()}
    assert all(torch.equal(one[k], again[k]) for k in one)
    assert any(not torch.equal(one[k], other[k]) for k in one)
    assert any(not torch.equal(one[k], before[k]) for k in one)
    assert all(torch.equal(v, before[k]) for k, v in weights(lm).items())


def test_a_shuffled_twin_keeps_the_values_of_each_weight_and_loses_their_places():
    lm = zoo.lm("llama")
    before, mixed = weights(lm), weights(shuffled_twin(lm, 0))
    for name, value in before.items():
        assert torch.equal(value.flatten().sort().values, mixed[name].flatten().sort().values)
    assert any(not torch.equal(before[k], mixed[k]) for k in before)


def test_a_twin_has_the_models_dtype_and_batch_size():
    lm = zoo.lm("llama")
    lm.batch_size = 5
    try:
        lm.model.to(torch.bfloat16)
        twin = untrained_twin(lm, 0)
        assert twin.dtype == torch.bfloat16
        assert twin.batch_size == 5
    finally:
        lm.model.to(torch.float32)
        lm.batch_size = 32


def test_no_memory_for_a_twin_is_said_with_the_numbers(monkeypatch):
    monkeypatch.setattr(twins.os, "sysconf", lambda name: 4096 if name == "SC_PAGE_SIZE" else 1)
    for make in (untrained_twin, shuffled_twin):
        with pytest.raises(ModelError, match=r"needs 0\.0 GiB beside the model, and 0\.0 GiB are free.*0 twins"):
            make(zoo.lm("llama"), 0)
