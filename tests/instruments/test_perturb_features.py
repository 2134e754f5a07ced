"""Features restore answers as neurons do: patched as a whole they are their site, chosen ones climb beside features that fire as often."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from broca.cache.cache import no_cache, silent
from broca.errors import SiteUnavailable
from broca.instruments.perturb.blocks import blocks
from broca.instruments.perturb.grid import Patches
from broca.instruments.perturb.selected_features import selected_features
from broca.instruments.perturb.selection import UNITS, Selection
from broca.instruments.perturb.spec import Perturb
from broca.interventions.patching import Case, Cell, patch_grid
from broca.models.lm import LM
from broca.page.record import Record
from broca.sites import Site
from broca.stimuli.sums import WORDS
from broca.units import Dictionary, UnitMask


def mirror(lm, site) -> Dictionary:
    """A dictionary that leaves nothing unexplained: each unit's positive and negative part."""
    width = lm.anatomy.width(Site.parse(site))
    both = np.concatenate([np.eye(width), -np.eye(width)])
    zero = np.zeros(width)
    return Dictionary("relu", both.T, both, np.zeros(2 * width), zero, Site.parse(site), model=lm.fingerprint)


@pytest.fixture(scope="module")
def lm():
    lm = LM.load("sums")
    return lm.with_features(mirror(lm, "0.mlp_act"), mirror(lm, "1.resid_post"))


def test_all_features_of_a_dictionary_without_error_are_the_whole_site(lm):
    run, donor = lm.tokenize(["Please add: 2 + 3 =", "Please add: 4 + 5 ="])
    places = {"all of it": (tuple(range(1, len(donor))), tuple(range(1, len(run))))}
    cases = [Case(run, donor, places, 5, 6)]
    cells = [
        Cell("all", {Site(1, "feature"): None}),
        Cell("all", {Site(1, "resid_post"): None}),
        Cell("all", {Site(0, "feature"): None}),
        Cell("all", {Site(0, "mlp_act"): None}),
    ]
    after = patch_grid(lm, cases, cells).after[0]
    assert np.allclose(after[0], after[1], atol=1e-4)
    assert np.allclose(after[2], after[3], atol=1e-4)
    assert not np.allclose(after[1], after[3], atol=1e-2)


def test_features_are_asked_of_a_model_that_has_some():
    with pytest.raises(SiteUnavailable, match="dictionary"):
        Perturb(items="sums", n_items=4, select="features").run(LM.load("sums"))


def said_of_features(made) -> None:
    """Tables, guards and report are those of a localizer with features."""
    assert made.dictionaries["site"].to_list() == ["0.feature", "1.feature"]
    assert made.dictionaries["fvu"].to_list() == pytest.approx([0, 0], abs=1e-6)  # they leave nothing unexplained
    assert [guard.state for guard in made.guards if guard.name == "reconstruction"] == ["passed", "passed"]
    chosen = {f"{site}:{i}" for site, on in made.selected.at.items() for i in np.flatnonzero(on)}
    shown = made.activations
    assert set(shown["feature"]) <= chosen
    assert set(shown["label"]) <= {"clean", "perturbed"}
    assert (shown["activation"].abs() <= shown["largest"] + 1e-6).all()
    first = made.units.filter(pl.col("chosen")).sort("share", descending=True).row(0, named=True)
    assert f"{first['layer']}.feature:{first['unit']}" == shown["feature"][0]
    record = Record(Path("run"), {}, {}, {}, {}, {"dictionaries": made.dictionaries, "activations": shown}, {}, {})
    assert any("What the features are" in str(block) for block in blocks(record))


def test_nothing_is_said_of_features_where_heads_are_chosen(lm):
    none = Selection(UnitMask({Site(0, "z"): np.ones(4, bool)}, "head"), pl.DataFrame(schema=UNITS), ())
    found = selected_features(Patches(lm, (), no_cache, silent), none)
    assert found.dictionaries is found.activations is None
    assert found.guards == ()


@pytest.mark.slow
def test_chosen_features_climb_beside_those_that_fire_as_often(lm):
    spec = Perturb(
        n_items=100, kinds=("delete", "insert", "substitute", "case", "keyboard", "transpose"), among=tuple(sorted(WORDS)), compare=0, cases=40,
        draws=19, twins=1, patterns="none", select="features", percent=5, n_bootstrap=200,
    )  # fmt: skip
    made = spec.run(lm)
    assert made.selected.count == round(0.05 * 2 * (lm.anatomy.width(Site(0, "mlp_act")) + lm.anatomy.d_model))
    assert {site.kind for site in made.selected.at} == {"feature"}
    rungs = {rung.name: rung for rung in made.verdict.rungs}
    assert "matched on firing rate and size" in rungs["causal"].text
    assert made.units["restored"].null_count() == len(made.units) <= 200
    said_of_features(made)
