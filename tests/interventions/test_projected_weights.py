"""A direction out of the weights is a direction out of the stream: biases, positions, tied embeddings and experts included, or it is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import broca
import zoo
from broca.errors import InterventionError, SelectionError
from broca.interventions import Steer, WeightProjection
from broca.models.export import export
from broca.models.lm import LM
from broca.models.tokens import pad_tokens
from broca.models.weight_hashes import weight_hash

TEXTS = ["Sally puts the ball in the basket", "a cat"]
POST_NORM = {"gemma2", "gemma3_text", "olmo2", "olmo3", "exaone4", "glm4", "bloom"}
"""Gains behind a block's parts, or behind the embedding, write to the stream."""


def toward(lm, *sites):
    draw = np.random.default_rng(0)
    return broca.Direction(
        {site: draw.normal(size=lm.anatomy.d_model) for site in sites or ("1.resid_post",)}, model=lm.fingerprint
    )


def logits(lm):
    return lm.next_logits(pad_tokens(lm.tokenize(TEXTS), range(2), lm.pad))


@pytest.mark.parametrize(
    "name",
    ["llama", "gpt2", "gptj", "gpt_neox", "opt", "phi", "qwen2", "mixtral", "gpt_oss", "qwen3_moe", "granite-scaled"],
)
def test_weights_do_what_the_hook_does_and_come_back_bit_for_bit(name):
    lm = zoo.lm(name)
    with torch.no_grad():  # biases of fresh models are 0, and would hide that they write
        for own, parameter in lm.model.named_parameters():
            if own.endswith("bias"):
                parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(len(own)))
    before, intact = weight_hash(lm.model), logits(lm)
    direction = toward(lm)
    with lm.under(Steer(direction, act="project", where="stream")):
        wanted = logits(lm)
    with lm.under(WeightProjection(direction)):
        assert weight_hash(lm.model) != before
        torch.testing.assert_close(logits(lm), wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))
    assert weight_hash(lm.model) == before
    assert torch.equal(logits(lm), intact)
    assert not torch.allclose(wanted, intact, atol=1e-3)


@pytest.mark.parametrize("name", sorted(POST_NORM & zoo.CONFIGS.keys()))
def test_where_gains_write_to_the_stream_the_weights_alone_are_refused(name):
    lm = zoo.lm(name)
    with torch.no_grad():
        for own, parameter in lm.model.named_parameters():
            if "norm" in own and parameter.ndim == 1:
                parameter.uniform_(0.3, 2.0, generator=torch.Generator().manual_seed(len(own)))
    before = weight_hash(lm.model)
    with pytest.raises(InterventionError, match="something else writes along"), lm.under(WeightProjection(toward(lm))):
        pass
    assert weight_hash(lm.model) == before


def test_every_expert_is_changed():
    lm = zoo.lm("mixtral")
    name = next(n for n, p in lm.model.named_parameters() if p.ndim == 3 and "down" in n)
    direction = toward(lm)
    (vector,) = direction.vectors.values()
    unit = torch.tensor(vector / np.linalg.norm(vector))
    before = lm.model.get_parameter(name).detach().clone()
    with lm.under(WeightProjection(direction)):
        after = lm.model.get_parameter(name).detach()
        assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
        assert torch.einsum("erc,r->ec", after, unit).abs().max() < 1e-6


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_a_checkpoint_without_the_direction_is_the_projected_model(name, tmp_path):
    """GPT-2 ties its embeddings: its checkpoint has two tables."""
    lm = zoo.lm(name)
    direction = toward(lm)
    with lm.under(Steer(direction, act="project", where="stream")):
        wanted = logits(lm)
    made = export(lm, [WeightProjection(direction)], tmp_path / "new")
    back = LM.load(str(made.path), device="cpu")
    torch.testing.assert_close(logits(back), wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))


def test_several_vectors_half_precision_and_another_model_are_refused():
    lm = zoo.lm("llama")
    with pytest.raises(SelectionError, match="one vector"):
        WeightProjection(toward(lm, "0.resid_post", "1.resid_post"))
    other = zoo.lm("llama", seed=1)
    with pytest.raises(SelectionError, match="another model"), other.under(WeightProjection(toward(lm))):
        pass
    lm.model.to(torch.bfloat16)
    with pytest.raises(InterventionError, match="float32"), lm.under(WeightProjection(toward(lm))):
        pass
