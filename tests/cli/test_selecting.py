"""`broca select` names what a run selected, or another share of its ranking, and writes a mask that lesions take."""

from __future__ import annotations

from pathlib import Path

import pytest

from broca.runs import open_run
from broca.units import UnitMask, WeightSet

GOLDEN = Path(__file__).parents[1] / "parity" / "golden"


def golden(name: str) -> Path:
    return next((GOLDEN / name).iterdir())


def test_what_was_selected_is_named_and_written(typed, tmp_path):
    run = open_run(golden("language-ll"))
    code, out, err = typed("select", run.path, "--out", "mask.safetensors")
    assert code == 0, err
    assert UnitMask.load(tmp_path / "mask.safetensors") == run.selection
    assert run.selection.names[0] in out
    assert "broca lesion" in out
    assert "--units mask.safetensors" in out
    code, _, err = typed("select", run.path, "--out", "mask.safetensors")
    assert code == 2
    assert "exists, and is not overwritten" in err


def test_another_share_of_the_ranking(typed, tmp_path):
    run = open_run(golden("language-ll"))
    code, out, err = typed("select", run.path, "--count", 3, "--side", "bottom", "--out", "low.safetensors")
    assert code == 0, err
    low = UnitMask.load(tmp_path / "low.safetensors")
    assert low.count == 3
    assert all(name in out for name in low.names)
    assert (low & run.selection).count == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--percent", "0"), "percent is 0"),
        (("--percent", "1", "--count", "2"), "Give one of them"),
        (("--side", "left"), "left"),
    ],
    ids=["none", "both", "side"],
)
def test_what_cannot_be_selected_is_refused(typed, tmp_path, words, says):
    code, _, err = typed("select", golden("language-ll"), *words)
    assert code != 0
    assert says in err
    assert "Traceback" not in err
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_run_without_a_ranking_gives_what_it_selected_alone(typed, tmp_path):
    run = golden("sums-typos")
    code, _, err = typed("select", run, "--percent", 5)
    assert code != 0
    assert "no ranking" in err
    code, out, err = typed("select", run)
    assert code == 0, err
    assert f"--from {run}" in out


def test_weights_too(typed, tmp_path):
    run = open_run(golden("routed-weights"))
    code, out, err = typed("select", run.path, "--out", "w.safetensors")
    assert code == 0, err
    assert WeightSet.load(tmp_path / "w.safetensors") == run.selection
    assert "broca export w.safetensors" in out
