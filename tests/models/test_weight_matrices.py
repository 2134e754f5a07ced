"""Matrices of every architecture: one orientation, fused ones taken apart by proof, refusals in words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import zoo
from broca.errors import SiteUnavailable
from broca.models.weight_matrices import matrices

HEAD = 8


@pytest.mark.parametrize("name", zoo.CONFIGS)
def test_every_entry_of_a_parameter_is_one_entry_of_one_matrix(name) -> None:
    lm = zoo.lm(name)
    counts = {}
    for matrix in matrices(lm.model, lm.anatomy):
        weight = lm.model.get_parameter(matrix.parameter)
        numbered = torch.arange(weight.numel()).view(weight.shape)
        part = matrix.of(numbered)
        assert part.shape == (matrix.address.rows, matrix.address.columns)
        index = np.arange(matrix.address.size)
        places = matrix.places(index, tuple(weight.shape))
        assert (part.reshape(-1).numpy() == places).all()
        counts.setdefault(matrix.parameter, np.zeros(weight.numel(), int))[places] += 1
    assert all((count == 1).all() for count in counts.values())
    kinds = {m.address.kind for m in matrices(lm.model, lm.anatomy)}
    assert {"o", "down"} <= kinds
    assert {"q", "k", "v"} <= kinds or name.startswith("deepseek")


@pytest.mark.parametrize(
    ("name", "key_rows"),
    [
        ("phi3", range(32, 48)),
        ("gpt2", range(32, 64)),
        ("falcon", range(32, 40)),
        ("mpt", range(32, 64)),
        ("gpt_neox", [h * 3 * HEAD + HEAD + i for h in range(4) for i in range(HEAD)]),
        ("bloom", [h * 3 * HEAD + HEAD + i for h in range(4) for i in range(HEAD)]),
        ("falcon-new", [g * 4 * HEAD + 2 * HEAD + i for g in range(2) for i in range(HEAD)]),
        # codegen: per quarter of the heads query, value, key
        ("codegen", [h * 3 * HEAD + 2 * HEAD + i for h in range(4) for i in range(HEAD)]),
    ],
)
def test_key_rows_of_fused_projections_are_where_the_model_reads_them(name, key_rows) -> None:
    lm = zoo.lm(name)
    found = [m for m in matrices(lm.model, lm.anatomy) if m.address.kind == "k"]
    assert len(found) == lm.anatomy.n_layers
    assert all(m.rows is not None and m.rows.tolist() == list(key_rows) for m in found)


def test_gate_and_up_of_fused_projections() -> None:
    for name, gate in (("phi3", range(48)), ("glm", range(48)), ("mixtral", range(48)), ("gpt_oss", range(0, 96, 2))):
        lm = zoo.lm(name)
        rows = [
            m.rows.tolist() for m in matrices(lm.model, lm.anatomy) if m.address.kind == "gate" and m.rows is not None
        ]
        assert rows
        assert all(own == list(gate) for own in rows)


def test_an_expert_is_what_the_expert_computes() -> None:
    lm = zoo.lm("gpt_oss")
    parts = {m.address.kind: m for m in matrices(lm.model, lm.anatomy) if m.expert == 2 and m.address.layer == 0}
    experts = lm.model.model.layers[0].mlp.experts
    x = torch.randn(5, 32)
    fused = x @ experts.gate_up_proj[2]
    torch.testing.assert_close(x @ parts["gate"].of(experts.gate_up_proj).T, fused[:, ::2])
    torch.testing.assert_close(x @ parts["up"].of(experts.gate_up_proj).T, fused[:, 1::2])


def test_a_path_that_contains_another_architectures_name_changes_nothing() -> None:
    lm = zoo.lm("llama")
    lm.name = "models/opt/llama"
    lm.model.config._name_or_path = lm.name
    assert len(matrices(lm.model, lm.anatomy)) == 7 * 3


def test_tied_quantised_and_offloaded_weights_are_refused_in_words() -> None:
    lm = zoo.lm("llama")
    layers = lm.model.model.layers
    layers[1].self_attn.q_proj.weight = layers[0].self_attn.q_proj.weight
    with pytest.raises(SiteUnavailable, match=r"tied.*layers\.1"):
        matrices(lm.model, lm.anatomy)

    lm = zoo.lm("llama")
    lm.model.model.layers[2].mlp.up_proj.weight = torch.nn.Parameter(torch.empty(48, 32, device="meta"))
    with pytest.raises(SiteUnavailable, match="offloaded"):
        matrices(lm.model, lm.anatomy)

    lm = zoo.lm("llama")
    codes = torch.zeros(48, 32, dtype=torch.int8)
    lm.model.model.layers[2].mlp.up_proj.weight = torch.nn.Parameter(codes, requires_grad=False)
    with pytest.raises(SiteUnavailable, match="quantised"):
        matrices(lm.model, lm.anatomy)

    lm = zoo.lm("llama")
    lm.model.config.quantization_config = {"quant_method": "bitsandbytes"}
    with pytest.raises(SiteUnavailable, match="quantised"):
        matrices(lm.model, lm.anatomy)
