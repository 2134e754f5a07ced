"""Two runs side by side, and many on a page."""

from __future__ import annotations

import numpy as np
import pytest

import broca
from broca import cli
from broca.errors import RunError
from broca.reports.overview import SIDE_BY_SIDE, overview
from broca.runs.comparison import Likeness, differences, likeness, likeness_of
from broca.sites import Site
from broca.units import UnitMask
from reports.pages import read_page
from reports.synthetic import causal_run, localize_run, parts


def test_fields_that_differ():
    one = {"study": {"items": "a", "select": {"percent": 1}, "same": [1]}, "model": {"name": "m"}}
    two = {"study": {"items": "b", "select": {"percent": 1, "side": "top"}, "same": [1]}, "model": {"name": "m"}}
    assert list(differences(one, two)) == [("items", "a", "b"), ("select.side", None, "top")]
    assert list(differences(one, one)) == []


def test_likeness_is_what_numpy_says():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=40), rng.normal(size=40)
    b[3] = np.nan
    found = likeness_of({"0.z": a}, {"0.z": b, "1.z": a}, None, None)
    keep = np.isfinite(b)
    assert found.r == pytest.approx(np.corrcoef(a[keep], b[keep])[0, 1])
    mask = UnitMask.of({Site(0, "z"): [0, 1]}, n=40)
    other = UnitMask.of({Site(0, "z"): [1, 2, 3]}, n=40)
    assert likeness_of({}, {}, mask, other).jaccard == pytest.approx(1 / 4)


def test_what_cannot_be_compared_is_none():
    mask, heads = UnitMask.of({Site(0, "z"): [0]}, n=4), UnitMask.of({Site(0, "z"): [0]}, n=4, grain="head")
    assert likeness_of({"0.z": np.ones(4)}, {"0.z": np.arange(4.0)}, mask, heads) == Likeness(None, None, None)


def test_a_run_is_like_itself(tmp_path):
    run = broca.open_run(localize_run(tmp_path / "run"))
    same = likeness(run, run)
    assert same.r == pytest.approx(1)
    assert same.jaccard in (None, pytest.approx(1))


def test_the_command_says_how_runs_differ(tmp_path, monkeypatch, capsys):
    one, two = causal_run(tmp_path / "one"), localize_run(tmp_path / "two")
    monkeypatch.setattr("sys.argv", ["broca", "diff", str(one), str(two)])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    said = capsys.readouterr().out
    assert "What was chosen otherwise" in said
    assert "causal" in said
    assert "−0.24" in said


def many(folder, n):
    for i in range(n):
        values = parts(n_layers=2, width=8)
        values["spec"]["study"]["seed"] = i
        values["result"]["claim"] = f"Claim {i} <b>"
        localize_run(folder / f"run-{i:03}", n_layers=2, width=8, seed=i) if i % 3 else causal_run(
            folder / f"run-{i:03}", n_layers=2, width=8, spec=values["spec"], result=values["result"]
        )


def test_a_page_of_few_runs_has_their_matrix(tmp_path):
    many(tmp_path / "runs", 4)
    page = read_page(overview(tmp_path / "runs").read_text(encoding="utf-8"))
    assert page.broken == page.open == []
    assert [a["id"] for a in page.all("section")] == ["runs", "choices", "alike"]
    assert "r 1" in page.text
    assert len(page.all("script")) == 1
    assert [a["download"] for a in page.all("a") if "download" in a] == ["pairs.csv"]


def test_of_many_runs_the_nearest(tmp_path):
    many(tmp_path / "runs", SIDE_BY_SIDE + 1)
    first = overview(tmp_path / "runs").read_bytes()
    page = read_page(first.decode())
    assert "nearest" in page.text
    assert overview(tmp_path / "runs").read_bytes() == first


def test_a_damaged_run_is_named_and_the_rest_is_there(tmp_path):
    many(tmp_path / "runs", 3)
    (tmp_path / "runs" / "run-001" / "result.json").write_bytes(b"{}")
    page = read_page(overview(tmp_path / "runs").read_text(encoding="utf-8"))
    assert "broken" in page.text
    assert "run-002" in page.text


def test_no_run_no_page(tmp_path):
    with pytest.raises(RunError, match="There is no run in"):
        overview(tmp_path)
