"""A stranger's instrument: one folder and an entry point, and its command, run, resume, verdict and report exist."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent / "stranger"
CALL = "import sys; from broca.cli import main; sys.argv = ['broca', *sys.argv[1:]]; main()"
STOP = """
import sys, broca
from norms.spec import Norms
def stop(what, done, total):
    if done == int(sys.argv[2]):
        raise KeyboardInterrupt
broca.run(Norms(), broca.LM.load("beliefs"), sys.argv[1], progress=stop)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> dict[str, str]:
    """The environment in which the folder is a distribution with an entry point."""
    place = tmp_path_factory.mktemp("site")
    about = place / "norms-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: norms\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[broca.instruments]\nnorms = norms\n"
        "[broca.benchmarks]\nevenness = parts.evenness:evenness\n"
        "[broca.scorers]\nconfident = parts.confident:Confident\n"
    )
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), str(place), os.environ.get("PYTHONPATH", "")])}


def python(code: str, *words: object, env: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=cwd, check=False)


def test_a_strangers_instrument_is_one_folder(installed, tmp_path):
    assert sum(len(path.read_text().splitlines()) for path in (HERE / "norms").glob("*.py")) < 130
    shown = python(CALL, "norms", "--help", env=installed, cwd=tmp_path).stdout
    assert "Share of the heads to select." in shown
    assert "--percent" in shown
    done = python(CALL, "norms", "beliefs", "--percent", 12.5, env=installed, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "has the largest z" in done.stdout
    assert "reliable" in done.stdout
    (run,) = (tmp_path / "runs").glob("norms-*")
    assert "percent = 12.5" in (run / "spec.toml").read_text()
    page = (run / "report.html").read_text()
    assert "of heads with the largest z were selected." in page
    assert "Heads by the norm of z" in page
    assert "root mean square norm of its z (L2)" in page
    again = python(CALL, "run", run / "spec.toml", "--out", tmp_path / "again", env=installed, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    (other,) = (tmp_path / "again").glob("norms-*")
    assert (other / "result.json").read_bytes() == (run / "result.json").read_bytes()
    lesion = python(
        CALL, "lesion", "beliefs", "--units", run, "--items", "beliefs/false-belief", "--n-items", 8, "--draws", 1,
        "--gate", "mark", "--fills", "zero", "--match", "layer", env=installed, cwd=tmp_path,
    )  # fmt: skip
    assert lesion.returncode == 0, lesion.stderr
    wrong = python(CALL, "norms", "beliefs", "--percent", 0, env=installed, cwd=tmp_path)
    assert wrong.returncode == 2
    assert "--percent" in wrong.stderr


def test_it_goes_on_where_it_was_stopped(installed, tmp_path):
    whole = python(STOP, tmp_path / "whole", -1, env=installed, cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    stopped = python(STOP, tmp_path / "run", 1, env=installed, cwd=tmp_path)
    assert stopped.returncode != 0
    assert not (tmp_path / "run").exists()
    resumed = python(STOP, tmp_path / "run", -1, env=installed, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["cells"] == {
        "computed": 2,
        "reused": 1,
        "discarded": 0,
    }
    for file in ("result.json", "tensors.safetensors", "tables/heads.parquet"):
        assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


PARTS = """
import json, sys
import numpy as np
import broca
from broca.capture import capture
from broca.sites import Site
from parts.largest import Largest
from parts.layer_off import LayerOff

lm = broca.LM.load("beliefs")
tokens = lm.tokenize(["Anna puts the key in the box .", "Ben waits ."])
site = Site(1, "mlp_act")
seen = capture(lm, tokens, [site], Largest)[site].result()
with lm.under(LayerOff(1)):
    off = capture(lm, tokens, [Site(1, "resid_post")], Largest)
before = capture(lm, tokens, [Site(1, "resid_pre")], Largest)
same = np.allclose(off[Site(1, "resid_post")].result(), before[Site(1, "resid_pre")].result())
units = broca.UnitMask.of({"0.z": [1]}, n=4, grain="head")
spec = broca.CausalTest(selection=units, items="evenness", options={"n": 24}, scorer={"kind": "confident", "nats": 0.5},
                        draws=2, gate="mark", n_bootstrap=50)
run = broca.run(spec, lm, sys.argv[1])
rows = run.tables["items"]
print(json.dumps({"same": bool(same), "units": int(seen.size), "right": bool((rows["correct"] == (rows["score"] >= 0.5)).all()),
                  "items": rows["id"].n_unique(), "kind": run.spec["study"]["scorer"]["kind"]}))
"""


def test_a_strangers_intervention_scorer_benchmark_and_reducer_are_a_file_each(installed, tmp_path):
    assert all(len(path.read_text().splitlines()) < 40 for path in (HERE / "parts").glob("*.py"))
    done = python(PARTS, tmp_path / "run", env=installed, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {"same": True, "units": found["units"], "right": True, "items": 24, "kind": "confident"}
    again = python(
        CALL, "run", tmp_path / "run" / "spec.toml", "--out", tmp_path / "again", env=installed, cwd=tmp_path
    )
    assert again.returncode == 0, again.stderr
    scored = python(CALL, "score", "beliefs", "--items", "evenness", "--options.n", 8, env=installed, cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    assert "evenness" in scored.stdout
