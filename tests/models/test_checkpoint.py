"""What users have instead of a directory of safetensors: each is refused in one sentence that says what it is and what to do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    T5Config,
    T5ForConditionalGeneration,
    ViTConfig,
    ViTForImageClassification,
)

import zoo
from broca.errors import ModelError
from broca.models.embedding import Embedder
from broca.models.export import save
from broca.models.lm import LM
from broca.models.load import announcement, footprint
from loopback import hub


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "llama"
    save(zoo.build("llama"), zoo.tokenizer(), path)
    return path


@pytest.fixture
def folder(stored, tmp_path):
    return shutil.copytree(stored, tmp_path / "model")


def only(folder, *names):
    for each in folder.iterdir():
        if not any(each.match(name) for name in names):
            each.unlink()


def without_weights(folder, name, content=b"x"):
    (folder / "model.safetensors").unlink()
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)


def bare(folder, **files):
    only(folder)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


def configured(folder, **fields):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **fields}))


def of_class(model):
    def make(folder):
        only(folder, "token*")
        model().save_pretrained(folder)

    return make


def sentences(folder):
    of_class(
        lambda: BertModel(
            BertConfig(vocab_size=99, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
        )
    )(folder)
    (folder / "modules.json").write_text("[]")


def inside(name):
    def make(folder):
        shutil.copytree(folder, folder.parent / "copy")
        only(folder)
        shutil.move(folder.parent / "copy", folder / name)

    return make


ADAPTER = {"base_model_name_or_path": "owner/base", "peft_type": "LORA"}
INDEX = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
PICKLES = r"pickles, can run code when they are read, and are not read: .*use_safetensors=False"
FOLDERS = {
    "an adapter": (
        lambda f: bare(f, adapter_config__json=json.dumps(ADAPTER), adapter_model__safetensors=""),
        r"an adapter \(PEFT\) of 'owner/base', and whole models are studied: .*merge_and_unload",
    ),
    "an adapter of nothing": (lambda f: bare(f, adapter_config__json="{}"), "of a base that it does not name"),
    "pickles": (
        lambda f: without_weights(f, "pytorch_model.bin"),
        f"weights in pytorch_model.bin, which are {PICKLES}",
    ),
    "pickles in parts": (lambda f: without_weights(f, "pytorch_model-00001-of-00002.bin"), PICKLES),
    "TensorFlow": (lambda f: without_weights(f, "tf_model.h5"), "tf_model.h5, which TensorFlow wrote: .*from_tf=True"),
    "Flax": (
        lambda f: without_weights(f, "flax_model.msgpack"),
        "flax_model.msgpack, which Flax wrote: .*from_flax=True",
    ),
    "ONNX": (lambda f: without_weights(f, "onnx/model.onnx"), "onnx/model.onnx, which ONNX runs"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "and no weights at all"),
    "optimizer alone": (lambda f: without_weights(f, "training_args.bin"), "and no weights at all"),
    "parts that are gone": (
        lambda f: without_weights(f, "model.safetensors.index.json", json.dumps(INDEX).encode()),
        r"lacks 2 of the files that its index names \(model-00001-of-00002.safetensors, ",
    ),
    "a pointer": (
        lambda f: (f / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid"),
        "git lfs pull",
    ),
    "sentence-transformers": (
        lambda f: bare(f, config_sentence_transformers__json="{}"),
        "config.json: it is a model of sentences",
    ),
    "sentence-transformers with a config": (
        sentences,
        r"a model of sentences \(BertModel\), which predicts no next token",
    ),
    "a tokenizer": (lambda f: only(f, "token*"), "it holds a tokenizer and no model"),
    "no tokenizer": (lambda f: only(f, "config*", "model*"), r"no files of a tokenizer .*LM\.wrap\(model, tokenizer\)"),
    "a broken tokenizer": (
        lambda f: (f / "tokenizer.json").write_text("{}"),
        "The tokenizer of .* could not be loaded: KeyError 'added_tokens'",
    ),
    "nothing": (only, "directory without config.json: it is empty"),
    "something else": (
        lambda f: bare(f, notes__txt="x", data__csv="y"),
        "config.json. It holds data.csv, notes.txt. Give a directory",
    ),
    "diffusers": (lambda f: bare(f, model_index__json="{}"), "a pipeline of diffusers"),
    "its makers' format": (lambda f: bare(f, params__json="{}", consolidated__00__pth=""), "its makers' own format"),
    "a run of training": (inside("checkpoint-500"), "but these in it have one: checkpoint-500"),
    "a cache of the hub": (inside("snapshots/abc"), "a cache of the hub. Give '.*snapshots/abc', or the model's id"),
    "MLX": (lambda f: configured(f, quantization={"bits": 4}), "written by MLX"),
    "a list for a config": (lambda f: (f / "config.json").write_text("[1]"), "its config.json holds no object"),
    "a broken config": (lambda f: (f / "config.json").write_text("{"), "is not a valid JSON file"),
    "other shapes": (lambda f: configured(f, hidden_size=64), "other shapes than its config.json says"),
    "code of its own": (
        lambda f: configured(f, model_type="mine", auto_map={"AutoConfig": "configuration_x.X"}),
        "code of its own, which is not run unless you trust it: trust_remote_code=True",
    ),
    "an encoder-decoder": (
        of_class(
            lambda: T5ForConditionalGeneration(
                T5Config(vocab_size=99, d_model=8, num_layers=1, num_heads=1, d_ff=8, d_kv=8)
            )
        ),
        r"of the type t5 \(T5ForConditionalGeneration\), which is no causal language model",
    ),
    "eyes alone": (
        of_class(
            lambda: ViTForImageClassification(
                ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
            )
        ),
        "of the type vit",
    ),
}


@pytest.mark.parametrize(("make", "message"), FOLDERS.values(), ids=FOLDERS)
def test_folders(folder, make, message):
    (folder.parent / "snapshots").mkdir()
    make(folder)
    with pytest.raises(ModelError, match=message) as caught:
        LM.load(str(folder), device="cpu")
    assert str(folder) in str(caught.value)
    assert len(str(caught.value)) < 480 + 2 * len(str(folder))


def test_a_config_alone_has_a_size(folder):
    only(folder, "config.json")
    assert footprint(str(folder))["parameters"] == zoo.lm("llama").n_parameters


def test_parts_of_a_model_that_are_all_there_are_read(folder):
    model = zoo.build("llama")
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    assert (folder / "model.safetensors.index.json").is_file()
    assert LM.load(str(folder), device="cpu").fingerprint == zoo.lm("llama").fingerprint


FILES = {
    "model.safetensors": "is one file, and a model is a directory of several: give '.*model'",
    "config.json": "is one file, and a model is a directory of several: give '.*model'",
    "../alone.bin": f"is one file, with weights, which are {PICKLES}",
    "../alone.txt": "is one file, and a model is a directory of several, with config.json",
}


@pytest.mark.parametrize(("name", "message"), FILES.items(), ids=FILES)
def test_files(folder, name, message):
    (folder / name).touch()
    with pytest.raises(ModelError, match=message):
        LM.load(str(folder / name))


NAMES = {
    "": "name is empty",
    "  ": "name is empty",
    "https://huggingface.co/owner/name/tree/main": "is an address. Give the id alone: 'owner/name'",
    "hf.co/owner/name": "Give the id alone: 'owner/name'",
    "hf://owner/name": "Give the id alone: 'owner/name'",
    "owner/name:main": "A revision is an option: 'owner/name', revision='main'",
    "owner/": "no id of the hub",
    "two words/name": "no id of the hub",
    "C:\\models\\x": "no id of the hub, which is made of letters, digits, '-', '_' and '.': 'owner/name'.$",
    "owner/name--x": "no id of the hub: ",
    "x" * 200: "no id of the hub: ",
}


@pytest.mark.parametrize(("name", "message"), NAMES.items(), ids=[name[:20] for name in NAMES])
def test_names(name, message):
    with pytest.raises(ModelError, match=message):
        LM.load(name)


# ---- devices


DEVICES = ["cuda:99", "nonsense", "", "disk", {"": "nowhere"}, {"": 99}, {"model.layers": "cpu", "lm_head": "cuda:99"}]
DEVICES += [] if torch.cuda.is_available() else ["cuda", {"": "cuda"}]
DEVICES += [] if torch.backends.mps.is_available() else ["mps"]
DEVICES += [] if torch.xpu.is_available() else ["xpu", "xpu:1"]


@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_devices_that_are_not_here(device):
    for load in (
        lambda: LM.load("/no/such/model", device=device),  # the device comes first: nothing is read
        lambda: announcement("beliefs", "auto", device),
    ):
        with pytest.raises(ModelError, match=r"There is no device .* here that torch can use. There is cpu"):
            load()


def test_a_device_without_numbers():
    with pytest.raises(ModelError, match="'meta' holds no numbers"):
        LM.load("beliefs", device="meta")


def test_the_device_of_a_model_of_sentences():
    with pytest.raises(ModelError, match="There is no device 'nonsense' here"):
        Embedder.load(device="nonsense")


# ---- the hub


REFUSALS = {
    "gone": (404, "RepoNotFound", "There is no 'owner/no-such-model' on the hub, or it is private and HF_TOKEN"),
    "private": (401, "RepoNotFound", "There is no 'owner/no-such-model' on the hub, or it is private and HF_TOKEN"),
    "gated": (
        403,
        "GatedRepo",
        r"is gated: ask for access at https://huggingface.co/owner/no-such-model, then log in \(hf auth login\)",
    ),
    "another revision": (404, "RevisionNotFound", "has no revision 'mine' on the hub"),
}


@pytest.mark.parametrize(("status", "code", "message"), REFUSALS.values(), ids=REFUSALS)
def test_what_the_hub_refuses_is_asked_for_once(monkeypatch, status, code, message):
    with hub(monkeypatch, lambda _path: (status, {"X-Error-Code": code}, b"{}")) as asked:
        for load in (LM.load, footprint):
            asked.clear()
            with pytest.raises(ModelError, match=message):
                load("owner/no-such-model", revision="mine")
            assert len([each for each in asked if "owner/no-such-model" in each]) == 1


def test_a_gated_model_whose_card_is_open(monkeypatch, tmp_path):
    monkeypatch.setenv("CACHE_DIR", str(tmp_path))
    for name in ("HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)

    def answer(path):
        if path.startswith("/api/models/"):
            return 200, {}, json.dumps({"id": "owner/gated", "gated": "manual", "siblings": []}).encode()
        return 403, {"X-Error-Code": "GatedRepo"}, b"{}"

    with hub(monkeypatch, answer), pytest.raises(ModelError, match="owner/gated is gated: ask for access"):
        LM.load("owner/gated")


def test_no_network(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(
        ModelError, match=r"no directory here, and the hub cannot be reached to ask for it .* Check the connection"
    ):
        LM.load("owner/name")
    for wrong, right in {"beleifs": "beliefs", "smolm2": "smollm2"}.items():
        with pytest.raises(ModelError, match=f"Did you mean '{right}'"):
            LM.load(wrong)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="not in the cache of the hub, and HF_HUB_OFFLINE says not to fetch it"):
        LM.load("owner/name")


def test_a_hub_that_is_out_of_order_is_left_to_the_loaders(monkeypatch):
    from broca.models.hub import reach

    with hub(monkeypatch, lambda _path: (500, {}, b"{}")) as asked:
        reach("owner/name", None)
    assert asked


def test_looking_at_a_directory_imports_no_torch(tmp_path):
    code = (
        "import sys\nfrom broca.errors import ModelError\nfrom broca.models.checkpoint import locate\n"
        f"try: locate({str(tmp_path)!r})\nexcept ModelError as error: assert 'it is empty' in str(error)\n"
        "assert not {'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
