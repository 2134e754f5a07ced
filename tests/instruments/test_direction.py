"""The test of a direction: one that was planted is found and carries the verdict, none of a model that has none; killed runs resume."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
import torch

import broca
import zoo
from broca.cache.cache import no_cache
from broca.errors import GuardError, SiteUnavailable, SpecError, StimulusError
from broca.evidence.conditions import Condition
from broca.evidence.rungs.causal import against_families
from broca.evidence.steering import Against, Fluency, against_signs, common_choices, fluent_dose, log_odds
from broca.evidence.verdict import Rung
from broca.instruments.direction import method
from broca.instruments.direction.spec import DirectionTest, dose_range
from broca.items import Contrast, Item, Stimulus
from broca.models.lm import LM
from broca.sites import Site
from broca.specs.method import Choices
from dictionaries import dictionary

WORDS = ("cab", "dog", "egg", "fig", "hat", "ink", "jar", "keg", "lid", "mug", "net", "oar", "rib", "sun", "tub", "van")


def planted(size: float = 12.0) -> tuple[LM, np.ndarray]:
    """A tiny model in which the letters + and - write an axis into the stream that the answers x and y are read from."""
    model, tokenizer = zoo.build("llama"), zoo.tokenizer()
    ids = {letter: tokenizer.convert_tokens_to_ids(letter) for letter in "+-xy"}
    with torch.no_grad():
        axis = model.lm_head.weight[ids["x"]] - model.lm_head.weight[ids["y"]]
        axis = axis / axis.norm()
        model.model.embed_tokens.weight[ids["+"]] += size * axis
        model.model.embed_tokens.weight[ids["-"]] -= size * axis
    return LM.wrap(model, tokenizer, name="planted"), axis.numpy()


def contrast() -> Contrast:
    sides = [tuple(Stimulus(f"{i}{sign}", f"{word} {sign}", word) for i, word in enumerate(WORDS)) for sign in "+-"]
    return Contrast("signs", sides[0], sides[1], paired=True)


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    """Half of them end in +, and are answered with x."""
    rows = [f"{a}{b} {sign},x|y,{'+-'.index(sign)},{b}" for b in WORDS for a in "ab" for sign in "+-"]
    path = tmp_path_factory.mktemp("items") / "items.csv"
    path.write_text("\n".join(["prompt,choices,answer,group", *rows]))
    return str(path)


def study(items, **more):
    fields = {
        "contrast": contrast(), "items": items, "scorer": broca.Likelihood(join=""), "doses": (-1.0, -0.5, 0.0, 0.5, 1.0), "n_items": None, "perplexity_limit": 1.3,
        "n_text": 4, "permutations": 40, "twins": 1, "draws": 19, "beside": 19, "dose_draws": 2, "max_new_tokens": 4, "n_bootstrap": 200,
    }  # fmt: skip
    return DirectionTest(**{**fields, **more})


@pytest.fixture(scope="module")
def model():
    return planted()


@pytest.fixture(scope="module")
def found(model, items):
    return study(items).run(model[0])


# -- the planted axis ------------------------------------------------------------------------------------------------


def test_the_planted_axis_is_found_and_carries_the_verdict(model, found):
    site = Site.parse(found.steered["site"])
    vector = found.vectors[site]
    assert vector @ model[1] / np.linalg.norm(vector) > 0.5
    rungs = {rung.name: rung for rung in found.verdict.rungs}
    states = {name: rung.state for name, rung in rungs.items()}
    assert (states["selective"], states["reliable"], states["causal"]) == ("passed",) * 3, rungs["causal"].text
    assert states["specific"] == "not tested"
    assert (found.steered["toward"], found.steered["orientation"]) == ("x", 1)


def test_steering_against_the_answer_is_steering_each_item_by_its_own_sign(model, items, found):
    """Scored one by one, away from the right answer, and compared with the rows of the result."""
    lm = model[0]
    direction = found.direction.at(found.steered["site"])
    asked = {item.id: item for item in broca.benchmark(items)}
    rows = found.items.filter((pl.col("condition") == "lesion") & (pl.col("dose") == 100))
    for row in rows.head(6).to_dicts():
        item = asked[row["id"]]
        sign = -1 if item.choices[item.answer] == "x" else 1
        with lm.under(broca.Steer(direction, sign * found.steered["dose"])):
            (alone,) = broca.Likelihood(join="")(lm, [item]).to_dicts()
        assert alone["score"] == pytest.approx(row["score"], abs=1e-3)
        assert alone["predicted"] == row["predicted"]


def test_items_that_chose_the_layer_test_nothing_and_their_words_fit_no_vector(model, items, found):
    tested = {*found.items["group"]}
    chosen = {item.cluster for item in broca.benchmark(items)} - tested
    assert len(tested) == len(chosen) == 8
    site = Site.parse(found.steered["site"])
    kept = [[s for s in side if s.group in chosen] for side in (contrast().positive, contrast().negative)]
    again = broca.fit_direction(model[0], Contrast("kept", tuple(kept[0]), tuple(kept[1]), paired=True), str(site))
    assert np.allclose(again.vectors[site], found.vectors[site], atol=1e-5)
    assert len(found.ledger.choices[-1].groups) == 8


def test_the_curve_rises_and_its_numbers_are_those_of_each_dose(model, items, found):
    curve = found.curve.filter(pl.col("series") == "direction").sort("dose")
    assert {-1.0, -0.5, 0.0, 0.5, 1.0} <= {*curve["dose"]}
    assert curve["log_odds"].is_sorted()
    tested = [item for item in broca.benchmark(items) if item.id in {*found.items["id"]}]
    with model[0].under(broca.Steer(found.direction.at(found.steered["site"]), 1.0)):
        rows = broca.Likelihood(join="")(model[0], tested)
    assert curve.filter(pl.col("dose") == 1)["log_odds"][0] == pytest.approx(
        log_odds(rows, tested, "x").mean(), abs=1e-3
    )
    at = curve.filter(pl.col("dose").abs() <= found.steered["dose"] + 1e-9)
    assert max(at["perplexity_ratio"]) <= 1.3
    assert curve.filter(pl.col("dose") == 0)["perplexity_ratio"][0] == pytest.approx(1)


def test_doses_are_those_that_were_asked_for_to_the_last_digit(model, items):
    fields = {"twins": 0, "permutations": 0, "draws": 2, "beside": 0, "max_new_tokens": 0, "tries": 1}
    made = study(items, doses=(-1 / 3, 1 / 3), **fields).run(model[0])
    assert {-1 / 3, 1 / 3} <= {*made.curve["dose"]}
    (fluent,) = (guard.text for guard in made.guards if guard.name == "fluency")
    assert "inf" not in fluent


def test_random_directions_lie_on_a_line_through_the_intact_model_also_at_a_single_dose(model, items):
    fields = {"twins": 0, "permutations": 0, "draws": 2, "beside": 0, "max_new_tokens": 0, "tries": 1}
    made = study(items, doses=(1.0,), **fields).run(model[0])
    intact = made.curve.filter((pl.col("series") == "direction") & (pl.col("dose") == 0))["log_odds"][0]
    at = made.curve.filter(pl.col("series") == "random")["log_odds"].to_numpy()
    wanted = np.median(np.abs(2 * made.shift["dose"] * (at - intact)))
    assert made.shift["random_median"] == pytest.approx(wanted)
    assert wanted > 0


def test_random_directions_have_its_norm_and_cost_less(found):
    matched = found.items.filter((pl.col("condition") == "random") & (pl.col("localizer") == "signs"))
    assert matched["seed"].n_unique() == 19
    assert {*found.families["family"]} == {"same norm", "shuffled sides"}
    assert (found.families["median"] > found.estimate["value"]).all()


@pytest.mark.slow
def test_a_second_run_from_the_shared_cache_says_the_same_to_the_bit(model, items, found):
    again = study(items).run(model[0])
    assert again.items.equals(found.items)
    assert again.curve.equals(found.curve)
    assert again.claim == found.claim


@pytest.mark.slow
def test_a_run_shows_everything_and_its_tables_are_those_that_are_declared(model, items, tmp_path):
    made = broca.run(study(items, twins=0, draws=5, beside=2, permutations=0), model[0], tmp_path / "run")
    assert {"curve", "layers", "tried", "items", "texts"} <= {*made.tables}
    page = broca.report(made).read_text()
    for text in ("What each dose does", "Text at each dose", "Where the sides are told apart"):
        assert text in page


@pytest.mark.parametrize("suffix", [".safetensors", ".gguf"])
def test_the_direction_of_a_run_is_exported_and_steers_alike(model, items, found, tmp_path, suffix):
    from broca.instruments.direction.export import check_export, write_export

    spec = study(items, twins=0, draws=0, beside=0, permutations=0, layer=1, dose_draws=0, max_new_tokens=0)
    check_export(spec, tmp_path / f"d{suffix}")
    made = broca.run(spec, model[0], tmp_path / "run")
    path = write_export(made, tmp_path / f"d{suffix}")["direction"]
    read = broca.read_direction(path, model[0])
    assert np.allclose(read.vectors[Site(1, "resid_post")], made.tensors["vectors/1.resid_post"], atol=1e-6)
    with pytest.raises(SpecError, match="ends in"):
        check_export(spec, tmp_path / "d.npz")
    with pytest.raises(SpecError, match="no control vector of layer 0"):
        check_export(spec.model_copy(update={"layer": 0}), tmp_path / "d.gguf")


def test_an_eraser_of_fewer_stimuli_than_units_says_so(model, items):
    cheap = {"layer": 1, "twins": 0, "permutations": 0, "draws": 0, "beside": 0, "dose_draws": 0, "max_new_tokens": 0}
    warned = {method: study(items, method=method, **cheap).run(model[0]).warnings for method in ("leace", "mean")}
    assert any("Of 32 stimuli LEACE takes away all" in text for text in warned["leace"])
    assert not any("LEACE" in text for text in warned["mean"])


def test_the_dose_of_the_claim_is_none_of_the_grid_and_its_sentence_says_so():
    words = method.perplexity_limit(1.05, Choices({"n_text": 8}, {}))
    assert "largest dose within these" in words
    assert "of them" not in words


# -- a direction that is given ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def given(model, items, found, tmp_path_factory):
    """The study of the fitted direction's file: nothing is fitted."""
    path = tmp_path_factory.mktemp("given") / "signs.safetensors"
    found.direction.save(path)
    fields = study(items, twins=0, layer=Site.parse(found.steered["site"]).layer).model_dump(
        exclude={"contrast", "scorer"}
    )
    return DirectionTest(**fields | {"direction": str(path)}, scorer=broca.Likelihood(join=""))


def test_a_file_is_steered_as_it_is_and_nothing_is_said_of_a_map(model, found, given, tmp_path):
    made = given.run(model[0])
    site = Site.parse(found.steered["site"])
    assert np.array_equal(made.vectors[site].astype(np.float32), found.direction.vectors[site])
    states = {rung.name: rung.state for rung in made.verdict.rungs}
    assert [states[name] for name in ("selective", "reliable", "learned", "causal")] == ["not tested"] * 3 + ["passed"]
    assert made.families["family"].to_list() == ["same norm"]
    assert made.layers["auroc"].null_count() == made.layers.height
    assert (made.steered["toward"], made.contrast) == ("x", {"name": "signs"})
    run = broca.run(given.model_copy(update={"draws": 2, "beside": 0}), model[0], tmp_path / "run")
    page = broca.report(run).read_text()
    assert "Where the sides are told apart" not in page
    assert "dose 1 is the vector that was given" in page
    assert "dose, times the vector that was given" in page
    assert "dose 1 is the distance" not in page
    assert "times the distance" not in page


def test_a_random_direction_is_no_place(model, found, given, tmp_path):
    path = tmp_path / "random.safetensors"
    found.direction.random(3).save(path)
    made = given.model_copy(update={"direction": str(path), "max_new_tokens": 0, "beside": 0, "dose_draws": 0}).run(
        model[0]
    )
    (rung,) = (rung for rung in made.verdict.rungs if rung.name == "causal")
    assert rung.state in ("failed", "undecided"), rung.text
    assert "undefined" not in rung.text, "no curve of random directions was asked for"
    assert "yes" not in made.verdict.sentence.lower()


def test_what_is_not_fitted_takes_no_stimuli_and_no_other_models_file(model, items, given):
    with pytest.raises(SpecError, match="contrast does nothing beside direction"):
        DirectionTest(direction=given.direction, contrast=contrast(), items=items)
    with pytest.raises(broca.errors.SelectionError, match="another model mean nothing"):
        given.run(zoo.lm("llama", seed=3))
    with pytest.raises(broca.errors.SelectionError, match="There is no direction at absent"):
        DirectionTest(direction="absent.gguf", items=items).read()
    with pytest.raises(SiteUnavailable, match="no dictionary of this layer"):
        DirectionTest(direction="1.feature:3", items=items).run(model[0])


def test_what_a_feature_writes_is_steered_along(model, items):
    lm, axis = model
    own = dictionary(d=32, n=6)
    decoder = own.decoder.copy()
    decoder[3] = axis
    held = lm.with_features(dataclasses.replace(own, decoder=decoder), check=False)
    fields = study(items, doses=(-24.0, 24.0), draws=19, max_new_tokens=0).model_dump(exclude={"contrast", "scorer"})
    made = DirectionTest(**fields | {"direction": "1.feature:3"}, scorer=broca.Likelihood(join="")).run(held)
    assert made.steered["name"] == "1.feature:3"
    assert {rung.name: rung.state for rung in made.verdict.rungs}["causal"] == "passed"
    with pytest.raises(broca.errors.SelectionError, match="no feature 9"):
        DirectionTest(direction="1.feature:9", items=items).run(held)


# -- a model that has none -------------------------------------------------------------------------------------------


def test_the_axis_of_a_contrast_that_nothing_is_read_from_carries_no_verdict(model, items):
    """Words that say nothing of the answer: the sides are told apart, and steering does what random directions do."""
    sides = [
        tuple(Stimulus(f"{i}{letter}", f"{word} {letter}", word) for i, word in enumerate(WORDS)) for letter in "ae"
    ]
    other = Contrast("letters", sides[0], sides[1], paired=True)
    found = study(items, contrast=other, twins=0, max_new_tokens=0, layer=1).run(model[0])
    states = {rung.name: rung.state for rung in found.verdict.rungs}
    assert states["selective"] == "passed"
    assert states["causal"] in ("failed", "undecided")


def test_a_model_without_the_ability_stops_at_the_gate_or_is_marked(items):
    lm = zoo.lm("llama")
    with pytest.raises(GuardError, match="does not have the ability"):
        study(items).run(lm)
    found = study(items, gate="mark", twins=0, permutations=0, draws=5, beside=0, max_new_tokens=0).run(lm)
    assert {rung.name: rung.state for rung in found.verdict.rungs}["causal"] != "passed"


# -- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "doses"),
    [("-6:6:2", (-6, -4, -2, 0, 2, 4, 6)), ("0:1:0.25", (0, 0.25, 0.5, 0.75, 1)), ("-1,2.5", (-1, 2.5))],
)
def test_doses_are_read_as_they_are_typed(text, doses):
    assert dose_range(text) == doses


@pytest.mark.parametrize("text", ["1:2:0", "a:b:c", "6:-6:2", "0:1:1e-9", "1:2", "0:1:inf", ""])
def test_doses_that_are_none_are_refused(text):
    with pytest.raises(SpecError, match="doses"):
        dose_range(text)


ITEMS = [Item(str(i), f"p{i}", ("x", "y") if i % 2 else ("y", "x"), i // 2 % 2, "a", f"g{i}") for i in range(8)]


def rows(values, predicted, scores=None):
    return pl.DataFrame(
        {"ability": ["a"] * len(values), "condition": ["lesion"] * len(values), "localizer": [""] * len(values), "side": [""] * len(values),
         "dose": [1.0] * len(values), "fill": [""] * len(values), "seed": [-1] * len(values), "k": [1] * len(values),
         "logprobs": values, "predicted": predicted, "correct": scores or [True] * len(values), "score": [0.0] * len(values)},
        schema_overrides={"logprobs": pl.List(pl.Float64)},
    )  # fmt: skip


def test_log_odds_are_of_the_word_wherever_it_stands_and_of_what_was_said_where_nothing_else_is_told():
    table = rows([[-1.0, -3.0]] * 8, [0] * 8)
    assert log_odds(table, ITEMS, "x").tolist() == [-2.0, 2.0] * 4
    assert log_odds(table, ITEMS, "answer").tolist() == [2.0, 2.0, -2.0, -2.0] * 2
    assert log_odds(rows([None] * 8, [0, 1] * 4), ITEMS, "x").tolist() == [-1.0, -1.0] * 4
    assert common_choices(ITEMS) == ("x", "y")
    assert common_choices([*ITEMS, Item("9", "p", ("x", "z"), 0)]) == ()


def test_signs_move_away_from_the_right_answer():
    right = [item.choices[item.answer] for item in ITEMS]
    assert against_signs(ITEMS, "x", 1).tolist() == [-1 if word == "x" else 1 for word in right]
    assert against_signs(ITEMS, "x", -1).tolist() == [1 if word == "x" else -1 for word in right]
    assert against_signs(ITEMS, "answer", 1).tolist() == [-1] * 8


def test_a_random_direction_has_the_side_on_which_it_costs_more_and_the_claim_has_its_own():
    plus = rows([[-1.0, -2.0]] * 8, [0] * 8, [False, True] * 4)
    minus = rows([[-2.0, -1.0]] * 8, [1] * 8, [True] * 8)
    against = Against({"a": ITEMS}, np.array([-1, 1] * 4))
    drawn = Condition("lesion", broca.Direction({"1.resid_post": np.ones(2)}), dose=100.0)
    assert against.rows(drawn, plus, minus)["correct"].to_list() == [True] * 8
    random = dataclasses.replace(drawn, name="random", seed=3)
    worse = against.rows(random, plus, minus)
    assert worse["correct"].to_list() == [False, True] * 4
    assert worse["seed"].to_list() == [3] * 8


def test_the_fluent_dose_keeps_text_within_the_limit_and_a_little_more_does_not(model):
    lm, axis = model
    direction = broca.Direction({"1.resid_post": 3 * axis}, model=lm.fingerprint)
    fluency = Fluency((Stimulus("a", "the cat sat on the mat and slept"), Stimulus("b", "a dog ran to the old barn")))
    dose = fluent_dose(fluency, lm, direction, most=6.0, limit=1.2, cache=no_cache)
    assert max(fluency.ratios(lm, direction, [dose, -dose], no_cache)) <= 1.2
    assert max(fluency.ratios(lm, direction, [2 * dose, -2 * dose], no_cache)) > 1.2
    assert fluent_dose(fluency, lm, direction, most=1e-3, limit=1.2, cache=no_cache) == 1e-3


def test_a_dose_that_leaves_no_numbers_is_refused_in_a_sentence(model, items):
    with pytest.raises(broca.errors.InterventionError, match=r"At a dose of 1e\+38 .* no number.*Give smaller doses"):
        study(items, doses=(-1e38, 1e38), layer=1, twins=0, permutations=0).run(model[0])


@pytest.mark.parametrize(
    ("draws", "p", "level", "state"),
    [
        (39, 0.04, 0.05, "passed"),
        (39, 0.04, 0.025, "failed"),
        (19, 0.05, 0.025, "undecided"),
        (39, 0.025, 0.025, "passed"),
    ],
)
def test_families_are_held_against_the_level_of_the_claim(draws, p, level, state):
    table = pl.DataFrame(
        {"family": ["same norm"], "draws": [draws], "median": [0.0], "low": [-0.1], "high": [0.1], "p": [p]}
    )
    rung = against_families(Rung("causal", "passed", "It costs.", {}), table, level)
    assert rung.state == state
    assert rung.numbers["p_same norm"] == p


def test_claims_that_share_the_level_have_as_many_more_directions_beside_them(items):
    assert study(items, claims=2).enough_draws(19) == 39


def test_perplexities_that_are_no_number_are_refused():
    lm, axis = planted()
    lm.model.lm_head.weight.data *= float("nan")
    direction = broca.Direction({"1.resid_post": axis}, model=lm.fingerprint)
    with pytest.raises(GuardError, match="no number"):
        Fluency((Stimulus("a", "the cat"),)).ratios(lm, direction, [1.0], no_cache)


# -- what is refused -------------------------------------------------------------------------------------------------


def test_what_cannot_be_is_refused_in_a_sentence(items, tmp_path):
    with pytest.raises(SpecError, match="every dose is 0"):
        study(items, doses=(0.0,))
    with pytest.raises(SpecError, match="finite"):
        study(items, doses=(float("nan"), 1.0))
    with pytest.raises(SpecError, match="1\\.05, say"):
        study(items, perplexity_limit=0.9)
    lm = planted()[0]
    with pytest.raises(SiteUnavailable, match="layers 0 to 2"):
        study(items, sites="9.resid_post").run(lm)
    with pytest.raises(SiteUnavailable, match="none of the sites"):
        study(items, layer=9).run(lm)
    with pytest.raises(StimulusError, match="not a choice of every item"):
        study(items, toward="z").run(lm)
    few = tmp_path / "few.csv"
    few.write_text("prompt,choices,answer,group\na +,x|y,0,g\nb -,x|y,1,g")
    with pytest.raises(StimulusError, match="1 groups"):
        study(str(few)).run(lm)
    named = tmp_path / "named.csv"
    named.write_text(
        "prompt,choices,answer,group\n" + "".join(f"a{i} +,question|answer,{i % 2},{i}\n" for i in range(8))
    )
    with pytest.raises(StimulusError, match='as "Answer"'):
        study(str(named)).run(lm)
