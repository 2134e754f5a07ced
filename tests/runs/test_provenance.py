from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from broca import __version__
from broca.runs import provenance
from broca.runs.execution import run
from runs.toy import Choice, Toy, ToyLM

GIT = shutil.which("git")


@pytest.fixture
def manifest(tmp_path):
    return run(Toy(selection=Choice(seed=7)), ToyLM(), tmp_path / "toy").manifest


def test_what_was_run_on_what(manifest):
    assert manifest["schema"] == 2
    assert manifest["kind"] == "toy"
    assert manifest["broca"] == __version__
    assert manifest["seeds"] == {"seed": 0, "selection.seed": 7}
    assert manifest["data"] == {"contrast": "feedfeedfeedfeed"}
    assert manifest["model"]["fingerprint"] == "0123456789abcdef"
    assert manifest["model"]["anatomy"]["n_layers"] == 3
    assert manifest["model"]["dtype"] == "float32"
    assert manifest["guards"] == [{"name": "effect", "state": "passed", "text": "the lesion changes the logits"}]
    assert manifest["warnings"] == ["few stimuli"]
    assert manifest["created"] <= manifest["finished"]
    assert manifest["seconds"] >= 0
    assert manifest["peak_memory"]["host"] is None or manifest["peak_memory"]["host"] > 2**20
    assert {"python", "torch", "transformers", "numpy", "cuda", "platform", "device", "threads"} <= {
        *manifest["environment"]
    }
    assert len(manifest["hash"]) == len(manifest["spec_hash"]) == 16
    assert manifest["hash"] != manifest["spec_hash"]


def test_nothing_private_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    monkeypatch.chdir(tmp_path)
    done = run(Toy(), ToyLM(), "toy")
    for file in done.path.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert b"hf_secretsecret" not in content
            assert str(tmp_path).encode() not in content
            assert f"{Path.home()}/".encode() not in content
            assert b"HF_TOKEN" not in content


@pytest.mark.skipif(GIT is None, reason="git is not installed")
def test_the_users_commit_and_whether_it_was_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert provenance.git() is None

    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run([GIT, *who, *arguments], check=True, capture_output=True)

    (tmp_path / "file").write_text("1")
    git("init")
    git("add", "file")
    git("commit", "-m", "first")
    (tmp_path / "untracked").write_text("")
    clean = provenance.git()
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "file").write_text("2")
    assert provenance.git() == {**clean, "dirty": True}


def test_without_git(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert provenance.git() is None


def test_a_real_model_is_described(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    from transformers import PreTrainedTokenizerFast

    from broca.models.build import fresh
    from broca.models.lm import LM

    config = {
        "model_type": "gpt2",
        "n_layer": 2,
        "n_head": 2,
        "n_embd": 8,
        "vocab_size": 16,
        "n_positions": 16,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1, "<unk>": 2}, unk_token="<unk>"))
    lm = LM.wrap(fresh(config), PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>"), name="gpt")
    done = run(Toy(n_cells=2), lm, tmp_path / "toy")
    model = done.manifest["model"]
    assert model["class"] == "GPT2LMHeadModel"
    assert model["attention"] == "sdpa"
    assert model["fingerprint"] == lm.fingerprint
    assert model["parameters"] == lm.n_parameters
    assert len(model["identity"]["tokenizer"]) == 16
    assert model["identity"]["config"]["n_layer"] == 2
    assert model["generation"] == {"inherited": {"bos_token_id": 0, "eos_token_id": 0}, "ignored": {}}
    assert {k: model["anatomy"][k] for k in ("n_layers", "n_heads", "d_model")} == {
        "n_layers": 2,
        "n_heads": 2,
        "d_model": 8,
    }
    assert done.spec["model"] == {"name": "gpt", "dtype": "float32"}
    json.dumps(done.manifest, allow_nan=False)
