"""An LM that travelled to another process is the same LM, or it is refused in words."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

import zoo
from broca.errors import EngineError
from broca.interventions.lesion import Keep, Lesion, Mean, Noise, Resample, Zero
from broca.models.build import save
from broca.models.lm import LM
from broca.models.source import worker_source
from broca.sites import Site
from broca.units import UnitMask
from broca.workers.worker import WorkerId

TEXTS = ["where is the ball?", "a", "the box is in the bag, the bag is in the box"]
SITE = Site(1, "mlp_act")


def travelled(source):
    return pickle.loads(pickle.dumps(source))(WorkerId(3, 1))


def logits(lm):
    (batch,) = lm.batches(lm.tokenize(TEXTS))
    return lm.next_logits(batch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "tiny"
    save(zoo.build("llama"), zoo.tokenizer(), path)
    return path


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral", "gemma2"])
def test_a_wrapped_model_travels_by_its_weights(name):
    lm = zoo.lm(name)
    lm.batch_size = 7
    with worker_source(lm) as source:
        other = travelled(source)
    assert other.model is not lm.model
    assert torch.equal(logits(other), logits(lm))
    assert (other.name, other.batch_size, other.anatomy) == (name, 7, lm.anatomy)
    assert other.fingerprint == lm.fingerprint


def test_a_loaded_model_travels_by_its_name_and_as_it_is_now(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    lm = LM.load("tiny", dtype="bfloat16", device="cpu")
    lm.model.set_attn_implementation("eager")
    lm.tokenizer = pickle.loads(pickle.dumps(lm.tokenizer))
    lm.tokenizer.chat_template = "{{ messages[0].content }}!"
    lm.model.generation_config.max_new_tokens = 3
    with worker_source(lm, here=False) as source:
        monkeypatch.chdir("/")
        other = travelled(source)
    assert other.dtype == torch.bfloat16
    assert other.tokenizer.chat_template == lm.tokenizer.chat_template
    assert other.model.config._attn_implementation == "eager"
    assert other.model.generation_config.max_new_tokens == 3
    assert torch.equal(logits(other), logits(lm))


def test_a_model_that_was_changed_after_it_was_loaded_is_refused(folder):
    lm = LM.load(str(folder), device="cpu")
    with torch.no_grad():
        next(lm.model.parameters()).add_(1)
    with (
        worker_source(lm) as source,
        pytest.raises(EngineError, match=r"other fingerprint\): .* Save it with save_pretrained"),
    ):
        travelled(source)


def test_a_model_in_memory_cannot_go_where_its_copy_is_not_seen():
    with pytest.raises(EngineError, match="made in memory"), worker_source(zoo.lm("llama"), here=False):
        pass


def test_a_model_that_is_spread_over_devices_cannot_be_multiplied():
    lm = zoo.lm("llama")
    lm.model.hf_device_map = {"model.layers.0": 0, "model.layers.1": 1}
    with pytest.raises(EngineError, match="spread over 0, 1"), worker_source(lm):
        pass


FILLS = [
    Zero(),
    Keep(),
    Mean({SITE: np.linspace(0, 1, 48)}),
    Noise({SITE: np.zeros(48)}, {SITE: np.ones(48)}, seed=3),
    Resample({SITE: np.arange(96.0).reshape(2, 48)}, seed=4),
]


@pytest.mark.parametrize("fill", FILLS, ids=lambda fill: type(fill).__name__)
def test_an_intervention_travels_as_a_value(fill):
    lm = zoo.lm("llama")
    lesion = Lesion(UnitMask.of({SITE: [1, 5]}, n=48), fill, positions=(0, -1))
    other = pickle.loads(pickle.dumps(lesion))
    assert other.fingerprint == lesion.fingerprint
    with lm.under(lesion):
        expected = logits(lm)
    with lm.under(other):
        assert torch.equal(logits(lm), expected)
    assert replace(other, positions="all").fingerprint != lesion.fingerprint
