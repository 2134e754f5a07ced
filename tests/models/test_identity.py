"""A model's identity: whatever an answer depends on moves it, and what only runs does not."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import GenerationConfig

import zoo
from broca.interventions.lesion import Lesion
from broca.models import identity
from broca.models.build import save
from broca.models.lm import LM
from broca.models.weight_hashes import weight_hash
from broca.sites import Site
from broca.units import UnitMask

OUTWARD = {"_name_or_path", "transformers_version", "architectures", "dtype", "model_type", "output_attentions"}
"""Fields of a config that say where it came from; the dtype is a part of the identity by itself, the type is the class's, and
transformers lets nobody ask for attentions under this kernel."""


@pytest.fixture
def lm():
    return zoo.lm("llama")


@pytest.mark.parametrize("name", zoo.CONFIGS)
def test_what_only_runs_leaves_the_identity_and_a_copy_from_disk_has_it_too(name, tmp_path):
    lm = zoo.lm(name)
    before = lm.identity
    lm.generate(["abc", "a longer one"], max_new_tokens=2)
    lm.call(lm.pad_batch(lm.tokenize(["xy"])), output_hidden_states=True)
    assert lm.identity == before
    save(lm.model, lm.tokenizer, tmp_path / "copy")
    copy = LM.load(str(tmp_path / "copy")).identity
    if name == "qwen2":  # transformers loads a class of tokenizer of its own for it
        del before["tokenizer"], copy["tokenizer"]
    assert copy == before


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral", "gemma2", "deepseek_v3"])
def test_any_field_of_the_config_moves_it(name):
    lm = zoo.lm(name)
    config, before = lm.model.config, lm.address
    for field, value in config.to_dict().items():
        if field in OUTWARD:
            continue
        object.__setattr__(config, field, "another")
        assert lm.address != before, field
        object.__setattr__(config, field, value)
    assert lm.address == before


@settings(max_examples=40)
@given(where=st.floats(0, 1), which=st.integers(0, 10**6), by=st.sampled_from([1e-3, -1.0, 64.0]))
def test_any_weight_moves_it_whichever_way_it_is_written(where, which, by):
    model = _shared_model()
    names = [name for name, _ in model.named_parameters()]
    weight = model.get_parameter(names[min(len(names) - 1, int(where * len(names)))])
    before, index = identity.weights(model), which % weight.numel()
    with torch.no_grad():
        flat, kept = weight.view(-1), weight.view(-1)[index].clone()
        flat[index] += by
        assert identity.weights(model) != before
        assert identity.weights(model) == weight_hash(model)
        flat[index] = kept
    assert identity.weights(model) == before


@functools.cache
def _shared_model():
    return zoo.build("llama")


def test_training_through_data_which_makes_no_new_version_is_seen(lm):
    before = lm.fingerprint
    for weight in lm.model.parameters():
        weight.data.mul_(1.01)
    assert lm.fingerprint != before


def test_weights_are_hashed_once_and_then_watched(lm, monkeypatch):
    hashed = []
    monkeypatch.setattr(identity, "weight_hash", lambda model: hashed.append(1) or weight_hash(model))
    for _ in range(5):
        assert lm.fingerprint == weight_hash(lm.model)
    assert len(hashed) == 1
    with torch.no_grad():
        next(lm.model.parameters()).add_(1)
    assert lm.fingerprint == weight_hash(lm.model)
    assert len(hashed) == 2


def _steer(_module, _args, output, *, by):
    return output + by


class Steering:
    def __init__(self, by):
        self.by = by

    def hook(self, _module, _args, output):
        return output + self.by


CHANGES = {
    "attention": lambda lm: lm.model.set_attn_implementation("eager"),
    "dtype": lambda lm: lm.model.to(torch.bfloat16),
    "hook": lambda lm: lm.model.model.layers[1].mlp.register_forward_hook(functools.partial(_steer, by=1.0)),
    "another hook": lambda lm: lm.model.model.layers[1].mlp.register_forward_hook(functools.partial(_steer, by=2.0)),
    "a method": lambda lm: lm.model.model.layers[1].mlp.register_forward_hook(Steering(torch.ones(32)).hook),
    "another method": lambda lm: lm.model.model.layers[1].mlp.register_forward_hook(Steering(torch.zeros(32)).hook),
    "a hook elsewhere": lambda lm: lm.model.model.layers[0].mlp.register_forward_hook(
        functools.partial(_steer, by=1.0)
    ),
    "a pre-hook": lambda lm: lm.model.model.layers[0].mlp.register_forward_pre_hook(lambda _m, args: args),
    "a forward": lambda lm: setattr(lm.model.model.layers[0].mlp, "forward", lambda x: x),
    "an activation": lambda lm: setattr(lm.model.model.layers[0].mlp, "act_fn", nn.ReLU()),
    "a scale": lambda lm: setattr(lm.model.model.layers[0].self_attn, "scaling", 1.0),
    "rotary angles": lambda lm: lm.model.model.rotary_emb.inv_freq.mul_(0.5),
    "eos": lambda lm: setattr(lm.model, "generation_config", GenerationConfig(eos_token_id=7)),
    "template": lambda lm: setattr(lm, "tokenizer", _templated("{{ messages[0].content }}")),
    "another template": lambda lm: setattr(lm, "tokenizer", _templated("> {{ messages[0].content }}")),
}


def _templated(template):
    tokenizer = zoo.tokenizer.__wrapped__()
    tokenizer.chat_template = template
    return tokenizer


def test_each_of_what_answers_depend_on_moves_it_in_a_way_of_its_own():
    seen = {"nothing": zoo.lm("llama").address}
    for name, change in CHANGES.items():
        lm = zoo.lm("llama")
        change(lm)
        seen[name] = lm.address
    assert len(set(seen.values())) == len(seen)


def test_a_hook_that_is_taken_away_is_gone(lm):
    before = lm.address
    handle = lm.model.model.layers[1].mlp.register_forward_hook(functools.partial(_steer, by=1.0))
    assert lm.address != before
    handle.remove()
    assert lm.address == before


def test_a_hook_that_cannot_be_read_is_like_nothing_but_itself(lm):
    opened = object()

    def hook(_module, _args, _output):
        return opened and None

    lm.model.model.layers[0].register_forward_hook(hook)
    assert lm.address == lm.address
    assert "unreadable" in lm.identity["hooks"][0]


def test_a_lesion_is_the_condition_and_not_the_model(lm):
    before = lm.identity
    with lm.under(Lesion(UnitMask({Site(0, "z"): np.arange(32) < 4}))):
        under = lm.identity
    assert under["condition"] != before["condition"]
    assert {**under, "condition": []} == before
    assert lm.identity == before


def test_calls_of_a_tokenizer_are_no_part_of_it(lm):
    tokenizer = _templated(None)
    lm.tokenizer = tokenizer
    before = lm.address
    tokenizer(["a", "bcd"], padding=True, truncation=True, max_length=2)
    assert lm.address == before


def test_models_made_under_inference_mode_have_one_too():
    with torch.inference_mode():
        lm = zoo.lm("gpt2")
    assert lm.fingerprint == weight_hash(lm.model)
    assert lm.address == lm.address


# -- adapters ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def adapted():
    peft = pytest.importorskip("peft")
    how = {"r": 4, "target_modules": ["q_proj"], "init_lora_weights": False}
    model = peft.get_peft_model(zoo.build("llama"), peft.LoraConfig(**how))
    model.add_adapter("second", peft.LoraConfig(**how))
    return LM.wrap(model, zoo.tokenizer())


@pytest.mark.filterwarnings("ignore")
def test_any_state_of_adapters_moves_it(adapted):
    model, seen = adapted.model, {}

    def note(name):
        seen[name] = adapted.address

    note("first")
    model.set_adapter("second")
    note("second")
    model.set_adapter("default")
    assert adapted.address == seen["first"]
    model.base_model.disable_adapter_layers()
    note("off")
    model.base_model.enable_adapter_layers()
    assert adapted.address == seen["first"]
    model.merge_adapter()
    note("merged")
    model.unmerge_adapter()
    with torch.no_grad():
        next(weight for name, weight in model.named_parameters() if "lora_B.second" in name).add_(1)
    note("trained")
    assert len(set(seen.values())) == len(seen)
