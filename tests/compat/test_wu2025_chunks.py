"""Published score chunks: safely read, and ranked as they were."""

from __future__ import annotations

import pickle
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import zoo
from broca.capture.ranking import rank_weights
from broca.compat.wu2025.chunks import Chunks
from broca.errors import SelectionError
from broca.models.weight_matrices import matrices

KEYS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama")


def write(folder, lm, seed=0):
    """What the ancestor's second step writes: a dict of fp16 tensors a layer."""
    draw = torch.Generator().manual_seed(seed)
    for layer in range(lm.anatomy.n_layers):
        own = {m.name.rpartition(".")[2]: m.address for m in matrices(lm.model, lm.anatomy) if m.address.layer == layer}
        chunk = {key: torch.randn(a.rows, a.columns, generator=draw).square().half() for key, a in own.items()}
        torch.save(chunk, folder / f"layer_{layer}.pt")
    (folder / "manifest.json").write_text("{not read")
    return folder


def chunk_of(folder, layer=0):
    return torch.load(folder / f"layer_{layer}.pt", weights_only=True)


@pytest.mark.parametrize("name", ["llama", "mistral", "qwen2", "opt"])
def test_the_published_layouts(name, tmp_path):
    lm = zoo.lm(name)
    scores = Chunks(write(tmp_path, lm), lm)
    for matrix in matrices(lm.model, lm.anatomy):
        chunk = chunk_of(tmp_path, matrix.address.layer)
        np.testing.assert_array_equal(scores(matrix.name), chunk[matrix.name.rpartition(".")[2]].float())
        assert scores(matrix.name).shape == tuple(lm.model.get_parameter(matrix.parameter).shape)


def test_ranked_they_give_the_published_mask(lm, tmp_path):
    """k = floor(N m), strictly above the k-th largest, matrix by matrix: by kthvalue, as it was done."""
    scores = Chunks(write(tmp_path, lm), lm)
    ranking = rank_weights(scores, scores.addresses, most=0.05)
    for m in (0.0, 1e-4, 0.003, 0.02, 0.05):
        chosen = ranking.top(m, ties="strict")
        for matrix in matrices(lm.model, lm.anatomy):
            values = chunk_of(tmp_path, matrix.address.layer)[matrix.name.rpartition(".")[2]].flatten().float()
            k = int(values.numel() * m)
            above = values > values.topk(k).values[-1] if k else torch.zeros_like(values, dtype=torch.bool)
            assert chosen.at.get(matrix.name, np.zeros(0)).tolist() == above.nonzero().flatten().tolist()


class Trap:
    def __reduce__(self):
        return (print, ("run",))


BAD = {
    "code": (lambda path: torch.save({"q_proj": Trap()}, path), "could be code and is not loaded"),
    "a bare pickle": (lambda path: path.write_bytes(pickle.dumps(Trap())), "could be code and is not loaded"),
    "empty": (lambda path: path.write_bytes(b""), "is damaged"),
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:900]), "is damaged"),
    "a list": (lambda path: torch.save([torch.zeros(2)], path), "something else than scores"),
    "numbers": (lambda path: torch.save({"q_proj": 3.0}, path), "something else than scores"),
    "integers": (lambda path: torch.save({"q_proj": torch.zeros(2).long()}, path), "something else than scores"),
    "sparse": (
        lambda path: torch.save({"q_proj": torch.eye(2).to_sparse()}, path),
        "something else than scores|is damaged",
    ),
    "another shape": (
        lambda path: torch.save({"q_proj": torch.zeros(2, 2)}, path),
        r"q_proj is \(2, 2\), and this model's is",
    ),
    "no such key": (
        lambda path: torch.save({"k_proj": torch.zeros(2, 2)}, path),
        "has no scores of q_proj. It has 'k_proj'",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), BAD.values(), ids=BAD)
def test_what_is_no_chunk(lm, tmp_path, capsys, spoil, message):
    scores = Chunks(write(tmp_path, lm), lm)
    spoil(tmp_path / "layer_0.pt")
    with pytest.raises(SelectionError, match=message):
        scores("model.layers.0.self_attn.q_proj")
    assert "run" not in capsys.readouterr().out


def test_layers_that_are_missing_and_models_of_another_kind(lm, tmp_path):
    write(tmp_path, lm)
    (tmp_path / "layer_1.pt").unlink()
    with pytest.raises(
        SelectionError, match=r"layer_1\.pt is missing\. Give the folder with one layer_0\.pt to layer_2\.pt"
    ):
        Chunks(tmp_path, lm)
    with pytest.raises(SelectionError, match="holds several matrices"):
        Chunks(tmp_path, zoo.lm("phi3"))


@given(at=st.floats(0, 1), byte=st.integers(0, 255), cut=st.booleans())
def test_damaged_bytes(lm, tmp_path_factory, at, byte, cut):
    folder = tmp_path_factory.getbasetemp() / "chunks"
    if not folder.exists():
        folder.mkdir()
        write(folder, lm)
        (folder / "whole").write_bytes((folder / "layer_0.pt").read_bytes())
    whole = (folder / "whole").read_bytes()
    place = int(at * (len(whole) - 1))
    (folder / "layer_0.pt").write_bytes(whole[:place] if cut else whole[:place] + bytes([byte]) + whole[place + 1 :])
    with suppress(SelectionError):
        scores = Chunks(folder, lm)("model.layers.0.self_attn.q_proj")
        assert scores.shape == (32, 32)
