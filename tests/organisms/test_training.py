"""The training of `beliefs`: it learns, reports what it did, and gives the same weights from the same seed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from broca.organisms import trainer
from broca.organisms.beliefs import train as training


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "EXAM", 4)
    heard: list[tuple[str, int, int]] = []
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        report = trainer("beliefs")(tmp_path / name, seed=seed, steps=6, progress=lambda *told: heard.append(told))
        assert report.steps == 6
        assert json.loads((tmp_path / name / "training.json").read_text())["seed"] == seed
        assert report.command in (tmp_path / name / "MODEL_CARD.md").read_text()
    assert heard[:6] == [("training", step, 6) for step in range(1, 7)]
    one, two, other = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two", "other"))
    assert all((one[key] == two[key]).all() for key in one)
    assert any((one[key] != other[key]).any() for key in one)


@pytest.mark.slow
def test_the_loss_falls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "EXAM", 4)
    curve = training.train(tmp_path, steps=100).curve
    assert [point["step"] for point in curve] == [50, 100]
    assert all(curve[1][name] < curve[0][name] for name in ("stories", "sums", "text"))
