"""Loading told in words, wrapping, generation, memory that runs out, fingerprints."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo
from broca.errors import AnatomyError, BrocaError, GuardError, ModelError, UnknownName
from broca.models import hooks
from broca.models.build import fresh, save
from broca.models.lm import LM
from broca.sites import Site

TEXTS = ["The cat sat on", "A", "The dog", "Some longer text, then", "b"]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "llama"
    save(zoo.build("llama"), zoo.tokenizer(), path)
    return path


@pytest.fixture
def directory(stored, tmp_path):
    return shutil.copytree(stored, tmp_path / "model")


@pytest.fixture
def offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


# -- loading ---------------------------------------------------------------------------------------------------------


def test_a_directory_loads_as_it_was_saved(stored):
    lm, original = LM.load(str(stored), device="cpu"), zoo.lm("llama")
    assert lm.fingerprint == original.fingerprint
    assert lm.anatomy == original.anatomy
    assert lm.generate(["abc"]) == original.generate(["abc"])
    assert not lm.model.training
    assert lm.name == str(stored)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_dtypes(stored, dtype):
    assert LM.load(str(stored), dtype=dtype, device="cpu").dtype == getattr(torch, dtype)


def test_an_unknown_dtype(stored):
    with pytest.raises(UnknownName, match="Did you mean 'bfloat16'"):
        LM.load(str(stored), dtype="bfloat61")


def test_a_config_with_a_field_of_the_wrong_type(directory):
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "hidden_size": "wide"}))
    with pytest.raises(ModelError, match="hidden_size"):
        LM.load(str(directory))


@pytest.mark.parametrize("name", ["/no/such/model", "./nowhere", "~/nowhere", "a/b/c"])
def test_a_missing_directory(name):
    with pytest.raises(ModelError, match=r"is not a model directory.*config\.json"):
        LM.load(name)


def test_a_directory_without_config(tmp_path):
    with pytest.raises(ModelError, match=r"directory without config\.json"):
        LM.load(str(tmp_path))


def test_a_misspelt_organism(offline):
    with pytest.raises(ModelError, match="Shipped organisms: beliefs"):
        LM.load("belief")


@pytest.mark.parametrize("damage", [lambda data: data[:1000], lambda _: b"not safetensors", lambda _: b""])
def test_corrupted_weights(directory, damage):
    file = directory / "model.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ModelError, match=r"corrupt|could not be loaded"):
        LM.load(str(directory))


def test_missing_weights(directory):
    (directory / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        LM.load(str(directory))


def test_pickled_weights_are_not_read(directory):
    weights = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    torch.save(weights, directory / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        LM.load(str(directory))


def test_incomplete_weights(directory):
    weights = load_file(directory / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, directory / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"1 weights are not in the files.*layers\.1\.mlp\.up_proj"):
        LM.load(str(directory))


def test_no_tokenizer(directory):
    for file in directory.glob("*token*"):
        file.unlink()
    with pytest.raises(ModelError, match=r"LM\.wrap\(model, tokenizer\)"):
        LM.load(str(directory))


def test_a_config_of_nothing(directory):
    (directory / "config.json").write_text('{"model_type": "no-such-model"}')
    with pytest.raises(ModelError, match="could not be loaded"):
        LM.load(str(directory))


# -- wrapping --------------------------------------------------------------------------------------------------------


def test_wrap_takes_the_model_itself_and_evaluates_it():
    model = zoo.build("qwen3").train()
    lm = LM.wrap(model, zoo.tokenizer())
    assert lm.model is model
    assert not model.training
    assert lm.name == "Qwen3ForCausalLM"
    assert "3 layers, 4 heads, 32 wide" in repr(lm)
    assert lm.n_parameters == sum(p.numel() for p in model.parameters())


def test_wrap_proves_the_wiring():
    model = zoo.build("llama")
    broken = model.model.layers[1]
    broken.register_forward_hook(lambda _m, _a, out: out.tanh())
    with pytest.raises(AnatomyError, match="LlamaDecoderLayer"):
        LM.wrap(model, zoo.tokenizer())


# -- forward and generation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["llama", "gpt2", "gptj", "gemma2", "gpt_oss", "opt", "bloom", "falcon"])
def test_next_logits_are_those_of_each_text_alone(name):
    lm = zoo.lm(name)
    tokens = lm.tokenize(TEXTS)
    alone = torch.cat([lm.next_logits(batch) for one in tokens for batch in lm.batches([one])])
    for side in ("left", "right"):
        (batch,) = lm.batches(tokens, side=side)
        assert torch.allclose(lm.next_logits(batch), alone[list(batch.index)], atol=2e-5)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gptj", "gpt_oss", "opt", "falcon"])
def test_greedy_batches_equal_single_texts(name):
    lm = zoo.lm(name)
    single = [lm.generate([text], max_new_tokens=6)[0] for text in TEXTS]
    assert lm.generate(TEXTS, max_new_tokens=6) == single
    lm.batch_size = 2
    assert lm.generate(TEXTS, max_new_tokens=6) == single


def test_sampling_is_repeatable_and_leaves_the_global_generator_alone():
    lm = zoo.lm("llama")
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one = lm.generate(TEXTS, max_new_tokens=8, do_sample=True, seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert lm.generate(TEXTS, max_new_tokens=8, do_sample=True, seed=0) == one
    assert lm.generate(TEXTS, max_new_tokens=8, do_sample=True, seed=1) != one
    assert lm.generate([]) == []


# -- memory ----------------------------------------------------------------------------------------------------------


def test_batches_are_halved_when_memory_runs_out():
    lm = zoo.lm("llama")
    lm.batch_size = 8
    texts = ["a" * (1 + i % 7) for i in range(30)]
    tries = []

    def step(batch):
        tries.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError("simulated")
        return lm.next_logits(batch)

    found = {}
    for batch, logits in lm.each(lm.tokenize(texts), step):
        found.update(zip(batch.index, logits, strict=True))
    assert sorted(found) == list(range(30))
    assert tries[:3] == [8, 4, 2]
    assert set(tries[2:]) == {2}
    assert lm.batch_size == 2
    assert lm.notes == ["Out of memory: batch size lowered from 8 to 2."]
    for i in (0, 13, 29):
        (batch,) = lm.batches(lm.tokenize([texts[i]]))
        assert torch.allclose(found[i], lm.next_logits(batch)[0], atol=1e-5)


def test_one_text_that_does_not_fit_is_an_error():
    lm = zoo.lm("llama")

    def step(batch):
        raise torch.OutOfMemoryError("simulated")

    with pytest.raises(BrocaError, match="one text of 4 tokens"):
        list(lm.each(lm.tokenize(["abc", "d"]), step))


def test_other_errors_pass_through():
    lm = zoo.lm("llama")

    def step(batch):
        raise RuntimeError("another")

    with pytest.raises(RuntimeError, match="another"):
        list(lm.each(lm.tokenize(["abc"]), step))
    assert lm.notes == []


# -- fingerprints and interventions ----------------------------------------------------------------------------------


def test_one_weight_changes_the_fingerprint():
    one, same, other = zoo.lm("llama"), zoo.lm("llama"), zoo.lm("llama")
    with torch.no_grad():
        other.model.model.layers[2].mlp.up_proj.weight[3, 4] += 1e-3
    assert one.fingerprint == same.fingerprint
    assert one.fingerprint != other.fingerprint
    assert len(one.fingerprint) == 16
    assert zoo.lm("llama", seed=1).fingerprint != one.fingerprint


class Nothing:
    """An intervention at a site, named."""

    reads_prompt = False

    def __init__(self, name, site="1.z", edit=torch.zeros_like):
        self.fingerprint, self.site, self.edit = name, Site.parse(site), edit

    def apply(self, lm):
        return hooks.edit_sites(lm.model, lm.anatomy, {self.site: self.edit})


def test_interventions_nest_and_are_gone():
    lm = zoo.lm("llama")
    (batch,) = lm.batches(lm.tokenize(["abc"]))
    before = lm.forward(batch)
    with lm.under(Nothing("a"), Nothing("b", "0.resid_post")):
        assert lm.condition == ("a", "b")
        with lm.under(Nothing("c")):
            assert lm.condition == ("a", "b", "c")
        assert lm.condition == ("a", "b")
        assert not torch.equal(lm.forward(batch), before)
        lm.assert_fired()
    assert lm.condition == ()
    assert torch.equal(lm.forward(batch), before)


def test_an_intervention_that_cannot_be_applied_leaves_nothing():
    lm = zoo.lm("llama")
    (batch,) = lm.batches(lm.tokenize(["abc"]))
    before = lm.forward(batch)
    with pytest.raises(BrocaError, match="layers 0 to 2"), lm.under(Nothing("a"), Nothing("b", "9.z")):
        pass
    assert lm.condition == ()
    assert torch.equal(lm.forward(batch), before)


def test_an_edit_that_never_runs_is_told():
    lm = zoo.lm("llama")
    with lm.under(Nothing("a")), pytest.raises(GuardError, match=r"1\.z never ran"):
        lm.assert_fired()


# -- building --------------------------------------------------------------------------------------------------------


def test_fresh_is_seeded_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    one, two, other = (fresh(zoo.CONFIGS["llama"], seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    first, same, third = (model.state_dict()["lm_head.weight"] for model in (one, two, other))
    assert torch.equal(first, same)
    assert not torch.equal(first, third)
    with pytest.raises(UnknownName, match="Did you mean 'llama"):
        fresh({"model_type": "lama"})
    with pytest.raises(ModelError, match="cannot be built"):
        fresh({**zoo.CONFIGS["llama"], "num_attention_heads": "four"})
