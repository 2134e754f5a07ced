"""Where a model lies, and in which numbers: the same results, or a refusal in words."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import pictures
import zoo
from broca.capture import Gather, Moments, capture
from broca.capture.gradient import attribution
from broca.capture.metrics import Logit
from broca.errors import GuardError, ModelError, SiteUnavailable
from broca.instruments.localize.spec import Localize
from broca.interventions import Lesion
from broca.items import Contrast, Item, PicturedText, Stimulus
from broca.models import memory
from broca.models.access import access, settings
from broca.models.build import fresh
from broca.models.lm import LM
from broca.models.load import announcement, footprint
from broca.models.pool import Pool, pool_tokens
from broca.models.quantisation import packing_of
from broca.models.twins import untrained_twin
from broca.models.weight_hashes import weight_hash
from broca.models.weight_matrices import matrices
from broca.runs.provenance import opening
from broca.runs.spec import Identity
from broca.scoring import Likelihood
from broca.sites import Site
from broca.storage.secrets import hide_secrets

SITES = tuple(Site(layer, "resid_post") for layer in range(3))
SPLITS = {
    "some on disk": {"model.layers.1": "disk", "lm_head": "disk"},
    "first on disk": {"model.embed_tokens": "disk", "model.layers.0": "disk"},
    "all on disk": dict.fromkeys(
        ("model.embed_tokens", "model.layers.0", "model.layers.1", "model.layers.2", "model.norm", "lm_head"), "disk"
    ),
}
_REST = dict.fromkeys(
    (
        "model.embed_tokens",
        "model.layers.0",
        "model.layers.1",
        "model.layers.2",
        "model.norm",
        "model.rotary_emb",
        "lm_head",
    ),
    "cpu",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    zoo.build("llama").save_pretrained(path)
    zoo.tokenizer().save_pretrained(path)
    return str(path)


@pytest.fixture(scope="module")
def whole(folder):
    return LM.load(folder, device="cpu")


def letters(n=8):
    return Contrast(
        "letters",
        tuple(Stimulus(f"p{i}", f"the x number {i} is {chr(97 + i)}") for i in range(n)),
        tuple(Stimulus(f"n{i}", f"the y number {i} is {chr(97 + i)}") for i in range(n)),
    )


ITEMS = [Item(str(i), f"where is {name}?", ("box", "bags"), 0) for i, name in enumerate("abcd")]


def results(lm, *, slopes=True):
    """A map, a lesioned score, a text and a gradient."""
    local = Localize(contrast=letters()).run(lm)
    with lm.under(Lesion(local.select(percent=10))):
        scores = Likelihood()(lm, ITEMS)["logprobs"].to_list()
    asked = {}
    if slopes:
        asked["slopes"] = attribution(lm, lm.tokenize(["hello there", "you"]), [Site(1, "mlp_act")], Logit(5))[
            Site(1, "mlp_act")
        ].mean
    return {
        **asked,
        "t": np.concatenate(list(local.t.values())),
        "scores": np.array(scores),
        "text": lm.generate(["hello"], max_new_tokens=4),
        "fingerprint": lm.fingerprint,
    }


@pytest.fixture(scope="module")
def expected(whole):
    return results(whole)


@pytest.mark.parametrize("split", SPLITS)
def test_results_do_not_depend_on_the_placement(split, folder, whole, expected, tmp_path):
    lm = LM.load(folder, device={**_REST, **SPLITS[split]}, offload=str(tmp_path / "away"))
    assert set(lm.model.hf_device_map.values()) >= {"disk"}
    assert lm.device == torch.device("cpu")
    found = results(lm)
    assert (found["text"], found["fingerprint"]) == (expected["text"], expected["fingerprint"])
    assert opening(Localize(), lm, Identity({}, {}), Path("x"))["model"]["device_map"] == {
        name: str(place) for name, place in lm.model.hf_device_map.items()
    }
    for name in ("t", "scores", "slopes"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6)
    with pytest.raises(SiteUnavailable, match="offloaded"):
        matrices(lm.model, lm.anatomy)
    with pytest.raises(ModelError, match="spread over several devices"):
        untrained_twin(lm, 0)


def test_a_vision_model_may_be_spread_too(tmp_path):
    lm = pictures.lm("llava")
    lm.model.save_pretrained(tmp_path)
    lm.processor.save_pretrained(tmp_path)
    path = pictures.draw(tmp_path / "x.png", "disc", "red")
    split = dict.fromkeys(("model.multi_modal_projector", "lm_head"), "cpu")
    split |= {"model.vision_tower": "disk", "model.language_model": "disk"}
    away = LM.load(str(tmp_path), device=split, offload=str(tmp_path / "away"))
    shown = [PicturedText("What is it?", (path,)), "words"]
    for one in shown:
        mine, own = (model.next_logits(next(model.batches(model.tokenize([one])))) for model in (away, lm))
        torch.testing.assert_close(mine, own, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_statistics_are_wide_in_narrow_models(dtype, folder):
    """1,000 equal values: a sum in the model's own dtype would stop at 256 (bfloat16) or 2,048 (float16)."""
    lm = LM.load(folder, dtype=dtype, device="cpu")
    assert str(lm.dtype) == f"torch.{dtype}"
    tokens = lm.tokenize(["hello"] * 300)
    (site,) = SITES[-1:]
    one = capture(lm, tokens[:1], [site], Gather, pool=Pool("mean"))[site].result()[0]
    found = capture(lm, tokens, [site], Moments, pool=Pool("mean"))[site]
    assert found.mean.dtype == np.float64
    np.testing.assert_allclose(found.mean, one, rtol=0, atol=float(np.abs(one).max()) * torch.finfo(lm.dtype).eps)
    slopes = attribution(lm, tokens[:2], [site], Logit(5))[site]
    assert slopes.mean.dtype == np.float64


def test_a_mean_over_tokens_is_wider_than_the_model():
    values = torch.tensor([100.0, 101.0, 101.0], dtype=torch.bfloat16).reshape(1, -1, 1)
    found = pool_tokens(values, torch.full((1, 3), 1 / 3))
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(302 / 3, abs=1e-4)
    assert abs(float(values.mean()) - 302 / 3) > 1e-2


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A model whose rows are as long as a block of packed weights, and its folder."""
    sizes = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16}
    model = fresh({"model_type": "llama", **zoo.LLAMA, **sizes}, 0).float()
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.15, generator=draw)
    path = tmp_path_factory.mktemp("wide")
    model.save_pretrained(path)
    return LM.wrap(model, zoo.tokenizer()), str(path)


def packed(folder, how, to=None):
    """The model with its linear layers packed by bitsandbytes, on the CPU."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    four = {"load_in_4bit": True, "bnb_4bit_compute_dtype": torch.float32, "bnb_4bit_quant_type": how}
    config = BitsAndBytesConfig(**({"load_in_8bit": True} if how == "int8" else four))
    model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=config, device_map={"": "cpu"})
    if to is not None:  # before it has run: on a CPU, bitsandbytes lays codes out anew on the first pass
        model.save_pretrained(to)
        zoo.tokenizer().save_pretrained(to)
    return LM.wrap(model, zoo.tokenizer())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", ["int8", "nf4", "fp4"])
def test_packed_weights_serve_all_that_edits_no_weight(how, wide, tmp_path):
    plain, folder = wide
    expected, lm = results(plain), packed(folder, how)
    assert packing_of(lm.model) == "bitsandbytes"
    found = results(lm, slopes=how == "int8")
    assert weight_hash(lm.model) == lm.fingerprint
    if how != "int8":
        with pytest.raises(GuardError, match="give no gradient on a CPU"):
            results(lm)
        assert weight_hash(lm.model) == lm.fingerprint
    assert lm.generate(["hello"], max_new_tokens=4) == found["text"]
    # Close to the plain model, and not the same: the weights really are rounded.
    apart = float(np.corrcoef(found["t"], expected["t"])[0, 1])
    assert 0.5 < apart < 1 - 1e-9
    again = results(packed(folder, how, to=tmp_path), slopes=False)
    assert again["fingerprint"] == found["fingerprint"] != expected["fingerprint"]
    np.testing.assert_array_equal(again["t"], found["t"])
    stored = LM.load(str(tmp_path), device="cpu")
    assert stored.fingerprint == found["fingerprint"]
    assert stored.generate(["hello"], max_new_tokens=4) == found["text"]
    with pytest.raises(SiteUnavailable, match="is quantised"):
        matrices(lm.model, lm.anatomy)
    with pytest.raises(ModelError, match=r"is quantised .* ask for 0 twins"):
        untrained_twin(lm, 0)


def test_plain_models_are_not_taken_for_packed_ones():
    for name in ("llama", "gpt2", "mixtral", "bitnet"):
        assert packing_of(zoo.build(name)) is None
    assert packing_of(zoo.build("llama").bfloat16()) is None
    assert packing_of(pictures.build("gemma3")) is None


def test_codes_in_buffers_are_packed_weights():
    """As GPTQ and AWQ keep them: four bits each, eight in an integer."""

    class QuantLinear(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("qweight", torch.zeros(4, 32, dtype=torch.int32))
            self.register_buffer("scales", torch.ones(1, 32))

    model = zoo.build("llama")
    model.model.layers[1].mlp.down_proj = QuantLinear()
    assert packing_of(model) == "int32"
    model = zoo.build("llama")
    model.model.layers[1].mlp.down_proj.weight = torch.nn.Parameter(
        torch.zeros(32, 48, dtype=torch.float8_e4m3fn), requires_grad=False
    )
    assert packing_of(model) == "float8_e4m3fn"


def test_the_need_is_read_from_the_headers(folder, whole):
    size = memory.need(folder)
    assert size is not None
    n = sum(p.numel() for p in whole.model.parameters())
    assert (size.parameters, size.stored) == (n, 4 * n)
    assert size.bytes_at("bfloat16") == 2 * n == footprint(folder)["bytes"]["bfloat16"]
    text, tight = announcement(folder, "bfloat16", "cpu")
    assert f"{n:,} parameters, {memory.in_words(2 * n)} in bfloat16; " in text
    assert text.endswith("free on cpu.")
    assert not tight


def test_several_files_are_added_up_and_damaged_ones_left_to_the_loader(folder, whole, tmp_path):
    whole.model.save_pretrained(tmp_path, max_shard_size="30KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert memory.need(str(tmp_path)) == memory.need(folder)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "model.safetensors").write_bytes(b"\xff" * 40)
    assert memory.need(str(tmp_path / "x")) is None
    assert memory.need("owner/name") is None


def test_too_little_memory_is_said_before_loading(folder, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda _: 1000)
    lm = LM.load(folder, device="cpu")
    assert "1000 B free on cpu. That is too little: take a smaller dtype" in lm.notes[0]
    monkeypatch.setattr("broca.models.load.need", lambda _: None)
    assert LM.load(folder, device="cpu").notes == lm.notes
    monkeypatch.setattr(memory, "free", lambda _: None)
    assert LM.load(folder, device="cpu").notes == []


@pytest.mark.parametrize(
    ("device", "there"),
    [
        ("auto", 10),
        ("cuda:1", 20),
        ("cpu", 5),
        ("balanced", 35),
        ({"a": 1}, 20),
        ({"a": "cuda:0", "b": "1"}, 30),
        ({"a": 0, "b": "cpu"}, 15),
        ({"a": 0, "b": "disk"}, None),
    ],
)
def test_what_is_free_is_counted_where_the_model_goes(device, there, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    index = {0: 10, torch.device("cuda:0"): 10, 1: 20, torch.device("cuda:1"): 20}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda place: (index[place], 99))
    monkeypatch.setattr(memory, "_host", lambda: 5)
    assert memory.free(device) == there


@given(st.integers(0, 10**14))
def test_bytes_in_words(n):
    number, unit = memory.in_words(n).split()
    scale = 1024 ** ["B", "KiB", "MiB", "GiB"].index(unit)
    assert float(number) * scale == pytest.approx(n, rel=0.06, abs=1)


SECRET = "hf_" + "plantedplantedplanted"


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A working directory without settings, in an environment without any."""
    for name in ("HF_TOKEN", "HF_ACCESS_TOKEN", "CACHE_DIR", "HF_HOME", "HF_HUB_CACHE", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_keys_of_older_projects_are_heeded(bare, monkeypatch):
    assert access() == {}
    (bare / ".env").write_text(
        f"# keys\nexport HF_ACCESS_TOKEN='{SECRET}' # mine\nCACHE_DIR = /big/cache  # large\nnonsense\nOTHER=1\n",
        encoding="utf-8",
    )
    assert access() == {"token": SECRET, "cache_dir": "/big/cache"}
    monkeypatch.setenv("HF_ACCESS_TOKEN", "of-the-environment")
    assert access()["token"] == "of-the-environment"
    monkeypatch.setenv("HF_HOME", "/own")
    assert "cache_dir" not in access()
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "stored")
    assert access() == {}
    (bare / ".env").write_bytes(b"\xff\xfe")
    assert dict(settings()) == {"HF_ACCESS_TOKEN": "of-the-environment"}


def test_loaders_are_given_token_and_cache(bare, monkeypatch, folder):
    from transformers import AutoTokenizer

    (bare / ".env").write_text(f"HF_ACCESS_TOKEN={SECRET}\nCACHE_DIR={bare / 'cache'}\n", encoding="utf-8")
    seen = []
    own = AutoTokenizer.from_pretrained
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *a, **k: seen.append(k) or own(*a, **k))
    LM.load(folder, device="cpu")
    assert (seen[0]["token"], seen[0]["cache_dir"]) == (SECRET, str(bare / "cache"))


def test_a_token_is_written_nowhere(bare, folder, caplog):
    import broca

    caplog.set_level(logging.DEBUG)
    (bare / ".env").write_text(f"HF_ACCESS_TOKEN={SECRET}\n", encoding="utf-8")
    lm = LM.load(folder, device="cpu")
    run = broca.run(Localize(contrast=letters()), lm, bare / "run")
    broca.report(run)
    assert json.loads((bare / "run" / "manifest.json").read_text(encoding="utf-8"))["status"] == "finished"
    for file in (bare / "run").rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file
    assert SECRET not in caplog.text
    assert SECRET not in repr(lm) + repr(lm.loaded)
    with pytest.raises(ModelError) as refused:
        LM.load(str(bare / "gone"))
    assert SECRET not in str(refused.value)
    assert hide_secrets(f"401 for {SECRET}!") == "401 for (hidden)!"


def test_memory_that_runs_out_in_a_gradient_halves_the_batch(whole, monkeypatch):
    lm = replace(whole, notes=[])
    tokens = lm.tokenize([f"where is {name}?" for name in "abcdefgh"])
    want = attribution(lm, tokens, [SITES[1]], Logit(5), Gather)[SITES[1]].result()
    tight = replace(whole, notes=[])
    own, sizes = LM.arguments, []

    def arguments(self, batch, **more):
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("full")
        return own(self, batch, **more)

    monkeypatch.setattr(LM, "arguments", arguments)
    found = attribution(tight, tokens, [SITES[1]], Logit(5), Gather)[SITES[1]].result()
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-6)
    assert sizes[:3] == [8, 4, 2]
    assert tight.notes == ["Out of memory: batch size lowered from 32 to 2."]
