"""What a result with features says of its dictionaries: measured as by hand, matched as claimed, quoted as it is."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import broca
from broca.cache.cache import no_cache, silent
from broca.errors import SelectionError
from broca.evidence import features
from broca.evidence.conditions import Condition, LesionScorer
from broca.evidence.draws import matched_units
from broca.evidence.holding import trial_of
from broca.evidence.trial import Conduct
from broca.instruments.localize.spec import Localize
from broca.instruments.localize.twins import Twin
from broca.models.hooks import copy_sites
from broca.models.surprise import surprise
from broca.models.twins import untrained_twin
from broca.scoring import Likelihood
from broca.sites import Site
from broca.units import Select, UnitMask

AT = Site(0, "feature")


@pytest.fixture(scope="module")
def lm():
    return broca.LM.load("routed").with_features(broca.read_dictionary("routed"))


@pytest.fixture(scope="module")
def items():
    return broca.benchmark("beliefs/false-belief", n=12, detail=0)


@pytest.fixture(scope="module")
def tokens(lm, items):
    return lm.tokenize([item.content for item in items])


@pytest.fixture(scope="module")
def statistics(lm, tokens):
    return features.measure(lm, tokens, [AT, Site(0, "z")], cache=no_cache, progress=silent)


def values(lm, each):
    """(token, feature) of one text, without its first token."""
    with copy_sites(lm.model, lm.anatomy, [AT]) as found:
        lm.forward(lm.pad_batch([each]))
    return found[AT][0, max(1, each.prefix) :].double().numpy()


def test_rates_and_sizes_are_those_of_each_text_alone(lm, tokens, statistics):
    rows = np.concatenate([values(lm, each) for each in tokens])
    assert list(statistics.rate) == [AT]
    assert np.allclose(statistics.rate[AT], (rows != 0).mean(0))
    norm = np.linalg.norm(lm.anatomy.dictionary(0).decoder, axis=1)
    assert np.allclose(statistics.written[AT], np.sqrt((rows**2).mean(0)) * norm, rtol=1e-4)
    assert statistics.figures[AT]["l0"] == pytest.approx((rows != 0).sum(1).mean())


def test_the_shipped_dictionary_explains_its_organism_on_texts_that_neither_has_seen(lm, tokens, statistics):
    own = statistics.figures[AT]
    assert own["fvu"] < 0.1
    assert own["intact"] == pytest.approx(surprise(lm, tokens).sum() / sum(len(each) - 1 for each in tokens))
    assert own["intact"] <= own["rebuilt"] < own["zero"]
    row = features.table(lm, statistics).row(0, named=True)
    assert row["recovered"] > 0.9
    assert features.guards(statistics)[0].state == "passed"


def test_a_dictionary_that_explains_little_is_marked(lm, tokens):
    from dictionaries import dictionary

    other = lm.with_features(dictionary("topk", d=160, site="0.z"), check=False)
    found = features.measure(other, tokens, [AT], cache=no_cache, progress=silent)
    (guard,) = features.guards(found)
    assert (guard.name, guard.state) == ("reconstruction", "marked")


_rates = arrays(np.float64, st.shared(st.integers(2, 60), key="n"), elements=st.sampled_from([0, 0.01, 0.05, 0.2, 0.9]))
_sizes = arrays(np.float64, st.shared(st.integers(2, 60), key="n"), elements=st.floats(0, 10))


@given(_rates, _sizes)
def test_features_are_alike_by_rate_first_and_then_by_what_they_write(rate, written):
    found = features.likeness(rate, written)
    whole = np.floor(found)
    for i in range(len(rate)):
        for j in range(len(rate)):
            if rate[i] < rate[j]:
                assert whole[i] <= whole[j]
            if whole[i] == whole[j] and written[i] < written[j]:
                assert found[i] < found[j]


def test_draws_are_of_features_that_fire_and_fire_as_often(lm, items, statistics):
    bench = LesionScorer(lm, items, Likelihood(), "auto", no_cache)
    top = np.argsort(-statistics.rate[AT])[:4]
    mask = UnitMask.of({AT: top.tolist()}, n=384)
    trial = trial_of(bench, mask, Conduct(), draws=20, match=("layer", "size"))
    assert trial.draws.matched == "matched on firing rate and size (10 bins) and layer"
    limits = np.quantile(statistics.likeness[AT][statistics.fires[AT]], np.arange(1, 10) / 10)
    own = np.sort(np.searchsorted(limits, statistics.likeness[AT][top], side="right"))
    for draw in trial.draws.conditions:
        drawn = np.flatnonzero(draw.mask.at[AT])
        assert statistics.fires[AT][drawn].all()
        assert np.array_equal(np.sort(np.searchsorted(limits, statistics.likeness[AT][drawn], side="right")), own)


def test_units_are_matched_and_called_as_ever():
    mask = UnitMask.of({"0.mlp_act": [1]}, n=64)
    alive, size = {Site(0, "mlp_act"): np.ones(64, bool)}, {Site(0, "mlp_act"): np.arange(64.0)}
    drawn = matched_units(Condition("lesion", mask), 20, alive=alive, size=size, match=("size",), seed=0)
    assert drawn.matched == "matched on size (2 bins)"


def test_the_texts_that_fire_a_feature_most_are_quoted_around_their_strongest_token(lm, tokens, statistics):
    feature = int(np.argmax(statistics.rate[AT]))
    mask = UnitMask.of({AT: [feature]}, n=384)
    labels = [f"text {i}" for i in range(len(tokens))]
    table = features.strongest(lm, tokens, labels, mask, cache=no_cache)
    most = [values(lm, each)[:, feature].max() for each in tokens]
    first = table.filter(table["rank"] == 0)
    assert first["largest"][0] == pytest.approx(max(most), rel=1e-5)
    assert first["label"][0] == f"text {int(np.argmax(most))}"
    assert first["activation"].max() == pytest.approx(max(most), rel=1e-5)
    assert "".join(first["text"]) in "".join(lm.pieces(tokens[int(np.argmax(most))]))
    assert table["rank"].n_unique() == features.STIMULI
    assert features.strongest(lm, tokens, labels, UnitMask.of({"0.z": [1]}, n=160), cache=no_cache) is None


def test_rebuilding_leaves_the_first_token_and_the_model_alone(lm, tokens):
    from broca.interventions import Reconstruct

    batch, at = lm.pad_batch(tokens[:3]), Site(0, "z")
    with copy_sites(lm.model, lm.anatomy, [at]) as before:
        intact = lm.forward(batch)
    with lm.under(Reconstruct(0)), copy_sites(lm.model, lm.anatomy, [at]) as after:
        lm.forward(batch)
    starts = batch.start.tolist()
    for row, start in enumerate(starts):
        assert torch.equal(after[at][row, start], before[at][row, start])
        assert not torch.equal(after[at][row, start + 1], before[at][row, start + 1])
    assert torch.equal(lm.forward(batch), intact)


@pytest.mark.slow
def test_features_are_localized_lesioned_from_the_run_and_reported(lm, tmp_path):
    from broca.instruments.lesion.source import fields_of_run
    from broca.instruments.lesion.spec import CausalTest

    spec = broca.Localize(
        contrast="beliefs/outdated", options={"detail": 0, "n": 24}, sites="*.feature", pool="mean", select={"count": 6},
        permutations=0, twins=2,
    )  # fmt: skip
    run = broca.run(spec, lm, tmp_path / "map")
    assert run.spec["model"]["features"] == ["routed"]
    assert run.tables["dictionaries"]["fvu"][0] < 0.1
    assert run.tables["activations"]["feature"].n_unique() == 6
    assert run.tables["twins"].height == 3
    fields = fields_of_run(run, {})
    test = CausalTest(
        items="beliefs/false-belief", options={"detail": 0}, n_items=24, draws=3, gate="mark", fills=("zero",), **fields
    )
    done = broca.run(test, lm, tmp_path / "test")
    assert done.tables["activations"]["label"].unique().to_list() == ["false-belief"]
    moved = done.tables["items"].filter(pl.col("localizer") == "equal change")
    assert moved["seed"].n_unique() == 19
    (causal,) = [rung for rung in done.verdict["rungs"] if rung["name"] == "causal"]
    assert "Against each family of random directions: equal change (19)" in causal["text"]
    page = broca.report(done).read_text()
    assert "What the features are" in page
    assert 'style="--s:' in page
    plain = broca.LM.load("routed")
    with pytest.raises(broca.errors.SiteUnavailable, match="no dictionary"):
        broca.run(test, plain, tmp_path / "other")


def test_a_twin_in_which_few_features_fire_is_compared_by_those(lm):
    """A percentage of them may be none, and a twin without an effect is passed by any noise that is positive."""
    spec = Localize(
        contrast="beliefs/outdated", options={"detail": 0.0, "n": 24}, sites="*.feature", select=Select(percent=5), permutations=0
    )  # fmt: skip
    twin = untrained_twin(lm, 0)
    with pytest.raises(SelectionError, match="less than one"):
        spec.run(twin)
    assert abs(Twin(spec.alone).figures(twin)["d_held_out"]) > 0
