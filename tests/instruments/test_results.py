"""Every result and every run gives its tables as data frames, and its charts."""

from __future__ import annotations

from pathlib import Path

import altair as alt
import numpy as np
import pytest

import broca
import zoo
from broca.errors import UnknownName
from broca.instruments.lesion.result import CausalResult
from broca.instruments.localize.result import Localization
from broca.instruments.perturb.result import PerturbResult
from broca.instruments.probe.result import ProbeResult
from broca.instruments.sensitivity.result import SensitivityResult
from broca.page.lookup import chart_named
from broca.sites import Site

CONTRAST = broca.Contrast.from_lists(
    [f"the x number {i} is {chr(97 + i)}" for i in range(12)], [f"the y number {i} is {chr(97 + i)}" for i in range(12)]
)


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama", positions=1024)


@pytest.fixture(scope="module")
def found(lm):
    return broca.Localize(contrast=CONTRAST, grain="head", permutations=0).run(lm)


def items(n=12):
    rows = [{"prompt": f"where is {i}?", "choices": ["box", "bag"], "answer": i % 2, "group": i % 6} for i in range(n)]
    return broca.Items.from_frame(rows)


def test_heads_are_looked_for_where_heads_are(lm, found):
    assert found.spec.sites == "*.z"
    assert found.spec == broca.Localize(contrast=CONTRAST, grain="head", sites="*.z", permutations=0)
    assert broca.Localize(grain="head", sites="1-2.z").sites == "1-2.z"
    assert broca.Localize().sites == "*.resid_post"


def test_a_localization_has_a_row_for_each_head(found):
    frame = found.frame()
    assert frame.columns == ["layer", "kind", "head", "t", "p", "q", "d", "selected"]
    assert frame.height == 12
    row = frame.filter(layer=2, head=3).row(0, named=True)
    assert row["t"] == found.t[Site(2, "z")][3]
    assert frame["selected"].sum() == found.selected.count
    assert found.frame("layers").equals(found.layers)
    for name in (None, "share-z", "histogram-z"):
        assert isinstance(found.plot(name), alt.LayerChart)
    with pytest.raises(UnknownName, match=r"chart 'shares' is not known. Did you mean 'share-z'"):
        found.plot("shares")
    with pytest.raises(UnknownName, match=r"table 'layer' is not known. Did you mean 'layers'"):
        found.frame("layer")


def test_a_run_has_the_same_tables_and_charts_as_its_result(lm, found, tmp_path):
    run = broca.run(found.spec, lm, tmp_path / "run")
    assert run.frame().equals(found.frame("layers"))
    assert run.frame("layers").equals(found.layers)
    assert run.plot("share-z").to_dict() == found.plot("share-z").to_dict()
    with pytest.raises(UnknownName, match="chart 'x' is not known"):
        run.plot("x")


def test_units_too(lm):
    units = broca.Localize(contrast=CONTRAST, sites="0-1.mlp_act", permutations=0).run(lm)
    frame = units.frame()
    assert frame.columns[2] == "unit"
    assert frame.height == sum(len(t) for t in units.t.values())
    np.testing.assert_array_equal(frame.filter(layer=1)["t"].to_numpy(), units.t[Site(1, "mlp_act")])
    assert isinstance(units.plot(), alt.LayerChart)


def test_a_causal_test_of_given_heads(lm, tmp_path):
    path = tmp_path / "mine.jsonl"
    items().frame().drop("ability").write_ndjson(path)
    spec = broca.CausalTest(selection="0.1,2.3", items=str(path), draws=2, gate="mark")
    result = spec.run(lm)
    assert result.frame().equals(result.frame("items"))
    assert result.frame("doses")["condition"].unique().sort().to_list() == ["intact", "lesion", "random"]
    assert isinstance(result.plot(), alt.LayerChart)
    assert "mine" in str(result.plot("draws").to_dict())


GOLDEN = sorted((Path(__file__).parents[1] / "parity" / "golden").glob("*/*-*"))
RESULTS = {
    "causal": (CausalResult, "items", "dose-response-1"),
    "localize": (Localization, "layers", "profile-resid_post"),
    "perturb": (PerturbResult, "kinds", "kinds"),
    "probe": (ProbeResult, "scores", "layers-useful"),
    "sensitivity": (SensitivityResult, "items", "dose-response-1"),
}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name.partition("-")[0])
def test_stored_runs_and_their_results(path):
    run = broca.open_run(path, unverified=True)
    kind, table, chart = RESULTS[run.manifest["kind"]]
    result = run.restore(kind)
    assert run.frame().equals(run.tables[table])
    assert result.frame(table).equals(run.frame())
    assert result.plot().to_dict() == result.plot(chart).to_dict() == run.plot().to_dict()
    assert "<strong>" in result._repr_html_()


def test_a_self_test():
    lm = zoo.lm("llama", positions=1024)
    result = broca.Selftest(contrast=CONTRAST, pairs=1, rivals=8, reference=8, n=8).run(lm)
    assert result.frame().equals(result.methods)
    points = next(iter(result.plot("areas").to_dict()["datasets"].values()))
    shown = [value for each in result.plot().to_dict()["datasets"].values() for value in each if "method" in value]
    assert points
    assert [each["auroc"] for each in shown] == result.methods["auroc"].drop_nulls().to_list()


def test_a_result_without_charts_says_so():
    with pytest.raises(UnknownName, match=r"This result has no chart\."):
        chart_named((), None)
