"""The self-test finds what is there, says which method does not, and leaves the model as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

import broca
import zoo
from broca.errors import GuardError, SelectionError, SiteUnavailable, SpecError, StimulusError
from broca.instruments.selftest import rankings
from broca.instruments.selftest.spec import Selftest
from broca.instruments.selftest.truth import run_trial, set_up
from broca.items import Contrast, Stimulus
from broca.models.lm import LM

WORDS = ("one", "two", "three", "four")
TEXTS = [f"{WORDS[i % 4]} {i}" for i in range(240)]
CONTRAST = Contrast(
    "counting",
    *(tuple(Stimulus(f"{k}{i}", t) for i, t in enumerate(TEXTS[k::2])) for k in (0, 1)),
    source="written here",
)
PAIRS = {"gpt2": 4, "llama": 4, "mixtral": 2, "gemma2": 4}


def spec_for(name, **more):
    return Selftest(contrast=CONTRAST, pairs=PAIRS[name], rivals=64, reference=24, **more)


def state(lm):
    return {name: value.clone() for name, value in lm.model.state_dict().items()}


def identical(a, b):
    return a.keys() == b.keys() and all(a[name].equal(b[name]) for name in a)


@pytest.fixture(scope="module", params=sorted(PAIRS))
def tested(request):
    lm = zoo.lm(request.param)
    before = state(lm)
    result = spec_for(request.param).run(lm)
    return result, identical(before, state(lm))


def auroc(result, method, truth):
    return result.methods.filter(pl.col("method") == method, pl.col("truth") == truth)["auroc"].item()


def test_t_finds_units_that_respond_and_attribution_those_that_matter(tested):
    result, _ = tested
    for method in ("Welch t", "|Welch t|"):
        assert auroc(result, method, "selective") >= 0.95
        assert auroc(result, method, "causal") < 0.85
    assert auroc(result, "attribution", "causal") >= 0.95
    assert auroc(result, "attribution", "selective") < 0.85
    assert auroc(result, "attribution between sides", "both") >= 0.95
    assert 0.25 < auroc(result, "random", "selective") < 0.75


def test_inert_units_that_respond_are_high_by_t_and_low_by_attribution(tested):
    units = tested[0].units
    inert = units.filter(pl.col("planted") == "selective")
    assert inert["selective"].all()
    assert not inert["causal"].any()
    for method, high in (("|Welch t|", True), ("attribution", False)):
        causal_alone = units.filter(pl.col("planted") == "causal")[method]
        above = np.mean([value > other for value in inert[method] for other in causal_alone])
        assert (above > 0.9) if high else (above < 0.1), method


def test_the_model_is_bit_for_bit_what_it_was(tested):
    result, same = tested
    assert same
    assert {guard.name: guard.state for guard in result.guards}["restored"] == "passed"


def test_the_table_repeats_what_the_units_say(tested):
    """Every AUROC again, from the table of units alone, by scikit-learn."""
    result, _ = tested
    for row in result.methods.iter_rows(named=True):
        truth = {
            "selective": result.units["selective"],
            "causal": result.units["causal"],
            "both": result.units["selective"] & result.units["causal"],
        }[row["truth"]]
        assert row["k"] == truth.sum()
        assert row["auroc"] == pytest.approx(roc_auc_score(truth, result.units[row["method"]]))
    assert set(result.methods["method"]) == set(rankings.METHODS)


def test_the_words_say_who_finds_what(tested):
    result, _ = tested
    rungs = {rung.name: rung for rung in result.verdict.rungs}
    assert list(rungs) == list(rankings.METHODS)
    assert (rungs["|Welch t|"].state, rungs["attribution"].state, rungs["random"].state) == (
        "passed",
        "passed",
        "not tested",
    )
    k = rungs["|Welch t|"].numbers["first"]
    assert f"Of its first {k}, " in rungs["|Welch t|"].text
    assert rungs["|Welch t|"].numbers["idle"] >= 0.4 * k
    assert rungs["attribution"].numbers["idle"] <= 0.2 * rungs["attribution"].numbers["first"]
    assert "are found by Welch t, |Welch t|" in result.verdict.sentence
    assert "opposites" in result.method


def test_after_an_exception_in_the_middle_nothing_is_left(monkeypatch):
    lm = zoo.lm("gpt2")
    before = state(lm)

    def fails(*_args, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr("broca.instruments.selftest.rankings.squared_gradients", fails)
    with pytest.raises(KeyboardInterrupt):
        spec_for("gpt2", n=8).run(lm)
    assert identical(before, state(lm))
    assert lm.condition == ()
    assert not sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in lm.model.modules())


def test_a_run_that_was_cut_short_ends_the_same():
    lm = zoo.lm("llama")
    spec = Selftest(contrast=CONTRAST, pairs=1, rivals=8, reference=8, n=8)
    whole = spec.run(lm)
    kept, limit = {}, 3

    def cache(key, compute):
        if repr(key) not in kept:
            if len(kept) == limit:
                raise KeyboardInterrupt
            kept[repr(key)] = compute()
        return kept[repr(key)]

    with pytest.raises(KeyboardInterrupt):
        spec.run(lm, cache=cache)
    limit = 99
    again = spec.run(lm, cache=cache)
    assert len(kept) == 9
    assert again.methods.equals(whole.methods)
    assert again.units.equals(whole.units)


def test_it_is_a_run_like_any_other(tmp_path):
    lm = zoo.lm("llama")
    spec = Selftest(contrast=CONTRAST, pairs=1, rivals=8, reference=8, n=8, ds=(0.8, 2.0), ns=(8, 16))
    run = broca.run(spec, lm, tmp_path / "one")
    assert run.tables["power"].height == 4
    assert run.result["verdict"]["sentence"].startswith("Units that respond are found by")
    assert broca.open_run(tmp_path / "one").tables["methods"].equals(run.tables["methods"])


@pytest.mark.slow
def test_detection_follows_the_analytic_power():
    lm = zoo.lm("llama")
    rows = []
    for seed in range(4):
        spec = Selftest(contrast=CONTRAST, pairs=4, rivals=8, reference=8, n=40, ds=(0.4, 1.0), ns=(20, 60), seed=seed)
        ground = set_up(spec, lm)
        for d in spec.ds:
            trial = run_trial(spec, ground, d, lambda _key, compute: compute(), lambda *_: None)
            for n in spec.ns:
                scores = rankings.rankings(
                    trial, n, seed=0, cache=lambda _key, compute: compute(), progress=lambda *_: None
                )
                rows.append(rankings.power(trial, n, scores, 0.05))
    found = pl.DataFrame(rows).group_by("d", "n").mean()
    for row in found.iter_rows(named=True):
        assert row["detected"] == pytest.approx(row["analytic"], abs=0.17), row


def test_a_unit_is_detected_from_the_critical_t_on():
    class Four:
        d, selective, causal = 0.5, np.array([True, True, True, False]), np.array([True, False, True, False])
        meant, index = dict.fromkeys("abc"), np.arange(4)

    critical = 1.9908  # of Student's t with 78 degrees of freedom at 5 %
    scores = {
        "|Welch t|": np.array([critical - 0.01, critical + 0.01, 9.0, 0.0]),
        "attribution": np.array([2.0, 0, 1, 0]),
    }
    found = rankings.power(Four(), 40, scores, 0.05)
    assert found["detected"] == pytest.approx(2 / 3)
    assert (found["planted"], found["auroc_t_selective"], found["auroc_attribution_causal"]) == (3, 1.0, 1.0)


def test_ties_share_their_places():
    truth = np.array([True, False, True, False, False])
    ranks = rankings.average_ranks(np.array([2.0, 1.0, 1.0, 1.0, np.nan]))
    assert rankings.found_among_top(ranks, truth, 1) == 1
    assert rankings.found_among_top(ranks, truth, 2) == pytest.approx(1 + 1 / 3)
    found = rankings.recovery(np.array([2.0, 1.0, 1.0, 1.0, np.nan]), truth)
    assert found["auroc"] == pytest.approx((3 + 1 + 1) / 6)
    assert found["precision_at_k"] == pytest.approx((1 + 1 / 3) / 2)
    assert np.isnan(rankings.recovery(np.zeros(3), np.zeros(3, dtype=bool))["auroc"])


def test_units_near_zero_hide_from_absolute_activations():
    lm = zoo.lm("llama")
    spec = Selftest(contrast=CONTRAST, pairs=4, rivals=32, reference=8, rest=0.0, n=100, effect=0.5)
    result = spec.run(lm)
    assert auroc(result, "|Welch t|", "selective") >= 0.95
    assert auroc(result, "t of |activation|", "selective") < 0.8


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"n": 3}, r"n is 3. Give 5 or more."),
        ({"ns": (2,)}, r"ns\[0\] is 2. Give 5 or more."),
        ({"d": 0.0}, r"d is 0.0. Give more than 0."),
        ({"effect": -1.0}, r"effect is -1.0. Give more than 0."),
        ({"ds": (0.2, float("nan"))}, r"ds\[1\] is nan. Give a finite number."),
        ({"pairs": 0}, r"pairs is 0. Give 1 or more."),
        ({"reference": 2}, r"reference is 2. Give 4 or more."),
        ({"sight": "*.z"}, "sight"),
    ],
)
def test_impossible_specs_are_refused(fields, told):
    with pytest.raises(SpecError, match=told):
        Selftest(**fields)


def test_what_the_model_has_not_is_named():
    mixture, lm = zoo.lm("mixtral"), zoo.lm("llama")
    with pytest.raises(SiteUnavailable, match="It has resid_pre, resid_post, attn_out, mlp_out, z"):
        Selftest(contrast=CONTRAST, sites="*.mlp_act").run(mixture)
    with pytest.raises(SiteUnavailable, match="no output weights of their own"):
        Selftest(contrast=CONTRAST, sites="*.resid_post").run(lm)
    blocks = tuple(replace(block, mlp_act=None, z=None) for block in lm.anatomy.blocks)
    bare = LM(lm.model, lm.tokenizer, replace(lm.anatomy, blocks=blocks), name="bare")
    with pytest.raises(SiteUnavailable, match="bare has neither mlp_act nor z"):
        Selftest(contrast=CONTRAST).run(bare)


def test_too_little_is_told_with_the_number_that_would_do():
    lm = zoo.lm("llama")
    with pytest.raises(StimulusError, match=r"240 distinct stimuli; 200 a side .* n of at most 112"):
        Selftest(contrast=CONTRAST, n=200).run(lm)
    with pytest.raises(SelectionError, match="at most 4 pairs"):
        Selftest(contrast=CONTRAST, pairs=5).run(lm)
    with pytest.raises(StimulusError, match="begin with the same token"):
        Selftest(contrast=CONTRAST, answers=("box", "bag")).run(lm)


def test_the_answers_are_the_metric():
    lm = zoo.lm("llama")
    ground = set_up(Selftest(contrast=CONTRAST, answers=("x", "y")), lm)
    assert ground.answers == ("x", "y")
    assert (ground.metric.right, ground.metric.foil) == tuple(lm.tokenizer.convert_tokens_to_ids(["x", "y"]))
    likeliest = set_up(Selftest(contrast=CONTRAST), lm)
    assert likeliest.metric.right != likeliest.metric.foil


def test_stimuli_are_dealt_without_regard_to_their_side():
    lm = zoo.lm("llama")
    ground = set_up(Selftest(contrast=CONTRAST), lm)
    first = {text.ids for text in lm.tokenize([s.text for s in CONTRAST.positive])}
    share = np.mean([text.ids in first for text in ground.positive])
    assert 0.35 < share < 0.65
    texts = [t.ids for t in (*ground.reference, *ground.positive, *ground.negative)]
    assert len(set(texts)) == len(texts) == 216


def test_nothing_to_hold_a_ranking_against_is_an_error(monkeypatch):
    lm = zoo.lm("llama")
    monkeypatch.setattr(
        "broca.instruments.selftest.truth.selectivity",
        lambda lm, _plant, _tokens, sites: {site: np.zeros(lm.anatomy.width(site)) for site in sites},
    )
    with pytest.raises(GuardError, match=r"0 of .* units measure as selective"):
        Selftest(contrast=CONTRAST, pairs=1, rivals=8, reference=8, n=8).run(lm)


def test_weights_that_do_not_come_back_stop_it(monkeypatch):
    lm = zoo.lm("llama")
    module = lm.model.model.layers[1].mlp.down_proj
    plain = rankings.rankings

    def spoils(*args, **more):
        module.weight.data[0, 40] += 1
        return plain(*args, **more)

    monkeypatch.setattr("broca.instruments.selftest.rankings.rankings", spoils)
    with pytest.raises(GuardError, match="not what they were"):
        Selftest(contrast=CONTRAST, pairs=1, rivals=8, reference=8, n=8).run(lm)
