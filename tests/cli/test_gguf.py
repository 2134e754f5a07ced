"""GGUF on the command line: a file is chosen, its run says that it was quantised, and the run's spec repeats it."""

from __future__ import annotations

import json

import pytest

import gguf_files

pytest.importorskip("gguf")


def test_a_run_on_a_quantised_file(typed, here, monkeypatch):
    monkeypatch.setenv("BROCA_CACHE", str(here / "cache"))
    (here / "models").mkdir()
    for name, kind in (("a", "F32"), ("b", "Q8_0")):
        gguf_files.write(here / "models" / f"{name}.gguf", kind=kind)
    words = ("localize", "models", "--contrast", "c.csv", "--sites", "0.z", "--twins", "0")
    code, _, err = typed(*words)
    assert code == 1
    assert "Choose one by gguf (--gguf): a.gguf, b.gguf" in " ".join(err.split())
    code, out, err = typed(*words, "--gguf", "b.gguf", "--out", "first")
    assert code == 0, err
    (place,) = (here / "first").glob("localize-*")
    manifest = json.loads((place / "manifest.json").read_text())
    assert manifest["model"]["gguf"]["types"] == {"Q8_0": 16, "F32": 5}
    assert "quantised (16 Q8_0, of 21 tensors)" in "".join(manifest["warnings"])
    page = (place / "report.html").read_text()
    assert "quantised (16 Q8_0, of 21 tensors)" in page
    assert "--gguf b.gguf" in page
    again = [line for line in out.splitlines() if "broca" in line and "models" in line]
    assert again
    assert all("--gguf b.gguf" in line for line in again)
    code, _, err = typed("run", place / "spec.toml", "--out", "second")
    assert code == 0, err
    (other,) = (here / "second").glob("localize-*")
    assert json.loads((other / "manifest.json").read_text())["hash"] == manifest["hash"]


def test_a_revision_of_a_file(typed, here):
    gguf_files.write(here / "m.gguf")
    code, _, err = typed("inspect", "m.gguf", "--revision", "main")
    assert code == 2
    assert "--revision does nothing beside m.gguf, which is a file" in " ".join(err.split())
