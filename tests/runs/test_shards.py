"""Raw captures: what is on disk is what the model did, and a kill leaves nothing behind that a repeated call does not mend."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import zoo
from broca.capture.raw import CaptureParts, raw_bytes
from broca.errors import RunError, SiteUnavailable, StimulusError
from broca.items import Message
from broca.runs import shards
from broca.runs.shards import open_raw, write_raw
from broca.sites import Site

ROWS = [
    (f"r{i}", text)
    for i, text in enumerate(["3 + 4 =", "what is 12 - 5?", "sum: 1 1", "a", "one more text of some length", "b c"])
]
EVERY = CaptureParts(
    (Site(0, "resid_pre"), Site(1, "resid_post"), Site(2, "pattern"), Site(0, "z")), top=5, new_tokens=3
)


@pytest.mark.parametrize("name", ["llama", "gptj", "gpt_oss"])
def test_rows_are_what_the_model_does_with_each_text_alone(name, tmp_path):
    lm = zoo.lm(name)
    found = write_raw(tmp_path / "raw", lm, ROWS, EVERY, shard=4)
    eager = zoo.lm(name, attention="eager")
    assert found.ids == tuple(name for name, _ in ROWS)
    for (own, text), row in zip(ROWS, found, strict=True):
        tokens = lm.tokenize([text])[0]
        with torch.no_grad():
            out = eager.model(
                input_ids=torch.tensor([tokens.ids]), output_hidden_states=True, output_attentions=True, use_cache=False
            )
        assert (row.id, tuple(row.tensors["ids"].tolist())) == (own, tokens.ids)
        torch.testing.assert_close(row.tensors["0.resid_pre"], out.hidden_states[0][0])
        torch.testing.assert_close(row.tensors["1.resid_post"], out.hidden_states[2][0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(row.tensors["2.pattern"], out.attentions[2][0], atol=1e-5, rtol=1e-4)
        top = out.logits[0].topk(5)
        torch.testing.assert_close(row.tensors["topk_logits"], top.values, atol=1e-4, rtol=1e-3)
        assert (row.tensors["topk_ids"].long() == top.indices).float().mean() > 0.95
        assert row.completion == lm.generate([text], max_new_tokens=3)[0]
        one = found.row(own)
        assert one.completion == row.completion
        assert all(torch.equal(one.tensors[key], row.tensors[key]) for key in row.tensors)


def test_the_size_is_known_before_anything_runs(tmp_path, monkeypatch):
    lm = zoo.lm("llama")
    wanted = CaptureParts((Site(1, "resid_post"), Site(0, "pattern"), Site(2, "pattern")), heads=(1, 3), top=4)
    volume = raw_bytes(lm, [text for _, text in ROWS], wanted)
    found = write_raw(tmp_path / "raw", lm, ROWS, wanted, shard=3)
    stored = sum(t.numel() * t.element_size() for row in found for t in row.tensors.values())
    assert volume == stored == found.manifest["tensor_bytes"]
    lm.model.to(torch.bfloat16)
    half = write_raw(tmp_path / "half", lm, ROWS, CaptureParts((Site(1, "resid_post"),)))
    assert half.row("r0").tensors["1.resid_post"].dtype == torch.bfloat16
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(RunError, match="GB left"):
        write_raw(tmp_path / "full", lm, ROWS, wanted)


def test_the_manifest_says_what_it_is_and_chats_are_told_from_texts(tmp_path):
    lm = zoo.lm("llama")
    manifest = write_raw(tmp_path / "raw", lm, ROWS, EVERY).manifest
    assert manifest["model"]["fingerprint"] == lm.fingerprint
    assert manifest["wanted"]["sites"] == ["0.resid_pre", "1.resid_post", "2.pattern", "0.z"]
    assert {"revision", "name"} < set(manifest["model"])
    assert {"dtype", "config_hash", "convention", "texts"} < set(manifest)
    assert {"tokenizer", "condition", "config", "attention"} < set(manifest["model"]["identity"])
    chat = [("r0", (Message("user", ROWS[0][1]),))]
    other = write_raw(tmp_path / "chat", lm, chat, EVERY, chat="never").manifest
    assert other["texts"][0] != manifest["texts"][0]


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import zoo
from broca.runs import shards
from test_shards import EVERY, ROWS
done = 0
real = shards.write
def write(path, content):
    global done
    if path.suffix == ".safetensors":
        done += 1
        if done == 3:
            path.with_name(".tmp-123456-7-0123456789ab").write_bytes(content[:50])
            os.kill(os.getpid(), signal.SIGKILL)
    real(path, content)
shards.write = write
shards.write_raw({folder!r}, zoo.lm("llama"), ROWS, EVERY, shard=2)
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
def test_a_killed_capture_resumes_to_the_same_bytes(tmp_path):
    here = Path(__file__).resolve().parent
    whole = write_raw(tmp_path / "whole", zoo.lm("llama"), ROWS, EVERY, shard=2)
    code = KILLED.format(tests=str(here.parent), folder=str(tmp_path / "killed"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    killed = tmp_path / "killed"
    assert sorted(p.name for p in killed.glob("shard*")) == ["shard-00000.safetensors", "shard-00001.safetensors"]
    with pytest.raises(RunError, match="lacks 2 of 6 rows, 'r4' first"):
        open_raw(killed)
    before = (killed / "shard-00000.safetensors").stat().st_mtime_ns
    write_raw(killed, zoo.lm("llama"), ROWS, EVERY, shard=2)
    assert (killed / "shard-00000.safetensors").stat().st_mtime_ns == before
    for path in sorted((tmp_path / "whole").iterdir()):
        assert (killed / path.name).read_bytes() == path.read_bytes(), path.name
    assert sorted(p.name for p in killed.iterdir()) == sorted(p.name for p in (tmp_path / "whole").iterdir())
    assert whole.ids == open_raw(killed).ids


def test_what_is_missing_damaged_or_of_something_else_is_refused(tmp_path):
    lm, folder = zoo.lm("llama"), tmp_path / "raw"
    wanted = CaptureParts((Site(1, "resid_post"),))
    found = write_raw(folder, lm, ROWS, wanted, shard=2)
    with pytest.raises(RunError, match=r"something else: .*wanted"):
        write_raw(folder, lm, ROWS, EVERY, shard=2)
    with pytest.raises(RunError, match=r"something else: .*texts"):
        write_raw(folder, lm, [("r0", "other"), *ROWS[1:]], wanted, shard=2)
    with pytest.raises(RunError, match="no row 'r9'"):
        found.row("r9")
    with pytest.raises(RunError, match="an id of its own"):
        write_raw(tmp_path / "twice", lm, [ROWS[0], ROWS[0]], wanted)
    path = folder / shards._name(1)
    path.write_bytes((folder / shards._name(0)).read_bytes())
    with pytest.raises(RunError, match="other rows"):
        found.row("r2")
    path.write_bytes(b"half")
    with pytest.raises(RunError, match="damaged"):
        list(found)
    path.unlink()
    with pytest.raises(RunError, match="lacks 2 of 6 rows, 'r2' first"):
        open_raw(folder)
    (folder / "manifest.json").write_text(json.dumps({"rows": 3}))
    with pytest.raises(RunError, match="damaged"):
        open_raw(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(RunError, match="no manifest"):
        write_raw(folder, lm, ROWS, wanted)
    for wrong, words in ((Site(9, "resid_post"), "layers 0 to 2"), (Site(9, "pattern"), "attention in layers 0, 1, 2")):
        with pytest.raises(SiteUnavailable, match=words):
            write_raw(tmp_path / "none", lm, ROWS, CaptureParts((wrong,)))
    for options in ({}, {"top": -1, "new_tokens": 3}, {"top": 1, "heads": ()}):
        with pytest.raises(StimulusError):
            CaptureParts(**options)
    with pytest.raises(StimulusError, match="has 99 tokens"):
        raw_bytes(lm, ["a"], CaptureParts(top=100))
