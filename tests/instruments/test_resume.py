"""A lesion test killed at any moment and resumed ends with the same bytes as one that was not."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time

import pytest

import zoo
from broca.instruments.lesion.spec import CausalTest
from broca.instruments.localize.spec import Localize
from broca.runs import run


def contents(path):
    """Hash of each table and tensor file, by name."""
    files = [*path.glob("tables/*.parquet"), path / "tensors.safetensors", path / "result.json"]
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked child")
def test_kill_nine_at_ten_moments_and_resume(tmp_path):
    lm = zoo.lm("llama", positions=1024)
    rows = [f"where is {i}?,box|bag,{i % 2}" for i in range(150)]
    (tmp_path / "items.csv").write_text("\n".join(["prompt,choices,answer", *rows]))
    spec = CausalTest(
        localizer=Localize(contrast="pain", sites="*.mlp_act"),
        items=str(tmp_path / "items.csv"),
        percent=5,
        doses=(10,),
        fills=("zero", "mean", "resample"),
        draws=8,
        gate="mark",
    )
    began = time.monotonic()
    whole = contents(run(spec, lm, tmp_path / "whole").path)
    seconds = time.monotonic() - began
    killed = 0
    draw = random.Random(0)
    while killed < 10:
        child = os.fork()
        if child == 0:
            try:
                run(spec, lm, tmp_path / "killed")
            finally:
                os._exit(0)
        # Wait for a random part of the whole run, but no longer than the child lives.
        deadline = time.monotonic() + draw.uniform(0.02, 0.35) * seconds
        while time.monotonic() < deadline and os.waitpid(child, os.WNOHANG) == (0, 0):
            pass
        try:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        killed += 1
        if (tmp_path / "killed").exists():
            break
    assert killed >= 3, "the run ended before it could be killed"
    assert contents(run(spec, lm, tmp_path / "killed").path) == whole
