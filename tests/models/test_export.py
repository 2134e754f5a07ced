from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import zoo
from broca.errors import ModelError, RunError
from broca.interventions import Lesion
from broca.interventions.weights import Edit, WeightMask
from broca.models import export as room
from broca.models.export import ABOUT, Export, export
from broca.models.lm import LM
from broca.models.weight_hashes import weight_hash
from broca.models.weight_matrices import matrices
from broca.sites import Site
from broca.units import UnitMask
from broca.units.weights import WeightSet

FLIP = Edit("flip")
PROMPTS = ["Anna put the key", "box"]


def masked(lm, n=3, edit=FLIP):
    """The first n weights of each matrix."""
    found = matrices(lm.model, lm.anatomy)
    return WeightMask(
        WeightSet({m.name: np.arange(n) for m in found}, {m.name: m.address for m in found}, {"model": lm.fingerprint}),
        edit,
    )


def logits(lm):
    return torch.stack([lm.next_logits(batch) for text in PROMPTS for batch in lm.batches(lm.tokenize([text]))])


# The zoo's tokenizer gives every class its ids; fused, transposed and expert weights are all among these.
@pytest.mark.parametrize("name", ["llama", "gpt2", "phi3", "gpt_neox", "mixtral", "qwen3_moe", "opt"])
def test_the_checkpoint_is_the_masked_model(name, tmp_path):
    lm = zoo.lm(name)
    mask, intact = masked(lm), weight_hash(lm.model)
    with lm.under(mask):
        wanted = logits(lm)
    made = export(lm, [mask], tmp_path / "new" / name)
    assert weight_hash(lm.model) == intact
    back = LM.load(str(made.path), device="cpu")
    assert back.fingerprint == made.fingerprint != intact
    # The weights are equal bit for bit; where they lie in memory moves the last digits of products.
    torch.testing.assert_close(logits(back), wanted, rtol=1e-4, atol=1e-5)
    assert (logits(lm) - wanted).abs().max() > 1e-2
    assert back.tokenizer("Anna").input_ids == lm.tokenizer("Anna").input_ids
    assert [path.name for path in made.path.parent.iterdir()] == [name]
    assert made.bytes > sum(parameter.nbytes for parameter in {*back.model.parameters()}) * 0.9


def test_what_was_changed_is_kept_beside_it(tmp_path):
    lm = zoo.lm("llama")
    mask = masked(lm)
    made = export(lm, [mask], tmp_path / "a", Export(about={"m": 1e-5}))
    about = json.loads((made.path / ABOUT).read_text())
    assert (about["base"], about["weights"], about["changes"]) == (lm.fingerprint, made.fingerprint, [mask.fingerprint])
    assert (about["model"], about["about"]) == ("llama", {"m": 1e-5})


def test_tied_weights_are_written_once_and_said(tmp_path):
    model = zoo.build("llama")
    model.config.tie_word_embeddings = True
    model.tie_weights()
    lm = LM.wrap(model, zoo.tokenizer(), name="tied")
    made = export(lm, [masked(lm)], tmp_path / "a")
    (note,) = made.notes
    assert "model.embed_tokens.weight and lm_head.weight are one tied tensor" in note
    names = load_file(made.path / "model.safetensors")
    assert len({"model.embed_tokens.weight", "lm_head.weight"} & names.keys()) == 1


def test_the_dtype_stays(tmp_path):
    lm = zoo.lm("llama")
    lm.model.bfloat16()
    made = export(lm, [masked(lm)], tmp_path / "a")
    assert LM.load(str(made.path), device="cpu").dtype == torch.bfloat16


def test_what_changes_no_weight_is_no_checkpoint(tmp_path):
    lm = zoo.lm("llama")
    lesion = Lesion(UnitMask.of({Site(0, "mlp_out"): range(8)}, n=lm.anatomy.d_model))
    for changes in ([], [lesion], [masked(lm, edit=Edit("scale", alpha=1.0))]):
        with pytest.raises(ModelError, match="No weight would be changed"):
            export(lm, changes, tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path):
    lm = zoo.lm("llama")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").write_text("mine")
    for name in "ab":
        with pytest.raises(ModelError, match="There is something at"):
            export(lm, [masked(lm)], tmp_path / name)
    assert (tmp_path / "b").read_text() == "mine"


@pytest.mark.parametrize("at", ["save", "_check"])
def test_whatever_fails_leaves_nothing_and_the_model_as_it_was(tmp_path, monkeypatch, at):
    lm = zoo.lm("llama")
    intact = weight_hash(lm.model)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(room, at, full)
    with pytest.raises(RunError, match=r"could not be written: .*No space left on device"):
        export(lm, [masked(lm)], tmp_path / "a")
    assert not list(tmp_path.iterdir())
    assert weight_hash(lm.model) == intact


def test_a_file_stands_where_a_directory_is_needed(tmp_path):
    lm = zoo.lm("llama")
    (tmp_path / "a").write_text("mine")
    with pytest.raises(RunError, match="could not be written"):
        export(lm, [masked(lm)], tmp_path / "a" / "b")


def test_a_checkpoint_that_does_not_load_as_it_was_is_removed(tmp_path, monkeypatch):
    lm = zoo.lm("llama")
    right = room.save

    def wrong(model, tokenizer, path):
        with torch.no_grad():
            model.lm_head.weight[0, 0] += 1
        right(model, tokenizer, path)
        with torch.no_grad():
            model.lm_head.weight[0, 0] -= 1

    monkeypatch.setattr(room, "save", wrong)
    with pytest.raises(ModelError, match="loads with other weights"):
        export(lm, [masked(lm)], tmp_path / "a")
    assert not list(tmp_path.iterdir())
    assert export(lm, [masked(lm)], tmp_path / "a", Export(check=False)).path.is_dir()


def test_weights_that_are_not_in_memory(tmp_path):
    lm = zoo.lm("llama")
    lm.model.lm_head.to("meta")
    with pytest.raises(ModelError, match=r"1 weights of llama are not in memory \(lm_head.weight"):
        export(lm, [], tmp_path / "a")
