"""The causal test: its tables, its guards, and that it says yes and no where it should."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

import zoo
from broca.cache.cache import no_cache
from broca.capture import Gather, capture
from broca.errors import GuardError, SpecError, StimulusError
from broca.instruments.lesion.spec import CausalTest
from broca.instruments.localize.spec import Localize
from broca.interventions import Lesion
from broca.items import Contrast, Stimulus
from broca.models.pool import Pool
from broca.stimuli.benchmarks import benchmark
from broca.units import UnitMask

NAMES = [f"{a}{b}" for a in "bcdfgh" for b in "aeiou"]


@pytest.fixture(scope="module")
def lm():
    return zoo.lm("llama", positions=1024)


@pytest.fixture(scope="module")
def items(lm, tmp_path_factory):
    """Items whose right answer is what the random model says, so that it has the ability; every fifth one is wrong."""
    from broca.items import Item
    from broca.scoring import Likelihood

    asked = [Item(str(i), f"where is {name}?", ("box", "bag"), 0) for i, name in enumerate(NAMES)]
    said = Likelihood()(lm, asked)["predicted"].to_list()
    rows = [
        {
            "prompt": item.prompt,
            "choices": "box|bag",
            "answer": item.choices[p if i % 5 else 1 - p],
            "group": f"g{i % 10}",
            "ability": ("places", "things")[i % 2],
        }
        for i, (item, p) in enumerate(zip(asked, said, strict=True))
    ]
    path = tmp_path_factory.mktemp("items") / "places.csv"
    pl.DataFrame(rows).write_csv(path)
    return str(path)


def letters(n=24):
    return Contrast(
        "letters",
        tuple(Stimulus(f"p{i}", f"the x number {i % 10} is {chr(97 + i)}") for i in range(n)),
        tuple(Stimulus(f"n{i}", f"the y number {i % 10} is {chr(97 + i)}") for i in range(n)),
    )


def test_every_table_is_there_and_consistent(lm, items):
    spec = CausalTest(
        localizer=Localize(contrast=letters(), sites="*.mlp_act"),
        items=items,
        percent=5,
        doses=(10, 20),
        sides=("top", "bottom"),
        draws=6,
        dose_draws=2,
        fills=("zero", "mean"),
        localizers=("pain",),
        n_bootstrap=200,
        gate="mark",
    )
    found = spec.run(lm)
    n = 30
    # intact; main x 2 fills; 6 draws; half and one and a half times the dose; bottom; 2 doses x (2 sides + 2 draws); one
    # other localizer
    assert len(found.items) == n * (1 + 2 + 6 + 2 + 1 + 2 * 4 + 1)
    assert set(found.matrix["localizer"]) == {"letters", "pain"}
    assert found.matrix["own"].sum() == 1
    assert found.doses.filter(pl.col("condition") == "lesion")["dose"].unique().sort().to_list() == [
        2.5,
        5,
        7.5,
        10,
        20,
    ]
    # tables agree with the rows they come from
    cell = found.matrix.filter(pl.col("own")).row(0, named=True)
    main = found.items.filter(
        (pl.col("ability") == cell["ability"])
        & (pl.col("condition") == "lesion")
        & (pl.col("localizer") == "letters")
        & (pl.col("side") == "top")
        & (pl.col("dose") == 5)
        & (pl.col("fill") == "zero")
    )
    assert cell["lesion"] == pytest.approx(main["correct"].mean())
    assert cell["effect"] == pytest.approx(cell["lesion"] - cell["intact"])
    assert found.estimate["value"] == cell["effect"]
    assert found.selected.count == 144 * 5 // 100
    assert set(found.flipped["change"].unique()) <= {"lost", "gained"}
    assert len(found.prompts) == n


def test_what_tokens_of_an_answer_lose_adds_up_to_what_the_answer_loses(lm, items):
    spec = CausalTest(
        localizer=Localize(contrast=letters(), sites="*.mlp_act"), items=items, percent=10, draws=0, gate="mark"
    )
    found = spec.run(lm)
    own = found.items.filter(pl.col("ability") == found.matrix.filter(pl.col("own"))["ability"][0])
    priced = own.with_columns(price=pl.col("logprobs").list.get(pl.col("answer"))).filter(pl.col("fill") != "resample")
    before = priced.filter(pl.col("condition") == "intact").select("id", "price", "score")
    claim = (pl.col("condition") == "lesion") & (pl.col("fill") == "zero") & (pl.col("dose") == 10)
    both = before.join(priced.filter(claim).select("id", "price", "score"), on="id", suffix="_lesion")
    most = both.sort((pl.col("score_lesion") - pl.col("score")).abs(), descending=True).head(8)
    assert set(found.token_effects["id"]) == set(most["id"])
    told = found.token_effects.filter(pl.col("answer")).group_by("id").agg(pl.col("change").sum())
    for row in most.join(told, on="id").iter_rows(named=True):
        assert row["change"] == pytest.approx(row["price_lesion"] - row["price"], abs=1e-5)
    assert found.token_effects.filter(pl.col("token") == 0)["change"].is_null().all()
    texts = found.token_effects.group_by("id", maintain_order=True).agg(pl.col("text").str.join(""))
    assert all("where is" in text for text in texts["text"])


def test_the_lesion_in_the_tables_is_the_lesion_by_hand(lm, items):
    spec = CausalTest(
        localizer=Localize(contrast=letters(), sites="*.mlp_act"), items=items, percent=10, draws=0, gate="mark"
    )
    found = spec.run(lm)
    rows = found.items.filter(pl.col("condition") == "lesion")
    mask = Localize(contrast=letters(), sites="*.mlp_act", select={"percent": 10}).run(lm).selected
    with lm.under(Lesion(mask)):
        for row in rows.head(6).iter_rows(named=True):
            prompt = found.prompts.filter((pl.col("id") == row["id"]) & (pl.col("ability") == row["ability"]))[
                "prompt"
            ][0]
            logprobs = []
            for choice in ("box", "bag"):
                ids = torch.tensor([lm.tokenizer(f"{prompt} {choice}").input_ids])
                start = len(lm.tokenizer(prompt).input_ids)
                with torch.no_grad():
                    at = torch.log_softmax(lm.model(input_ids=ids).logits[0].double(), -1)
                logprobs.append(float(sum(at[i - 1, ids[0, i]] for i in range(start, ids.shape[1]))))
            np.testing.assert_allclose(row["logprobs"], logprobs, atol=1e-4)


def test_random_lesions_share_the_layers_and_are_never_the_selection_itself(lm, items):
    from broca.instruments.lesion.plan import ranked_trial

    spec = CausalTest(
        localizer=Localize(contrast=letters(), sites="*.mlp_act"), items=items, percent=10, draws=5, gate="mark"
    )
    local = Localize(contrast=letters(), sites="*.mlp_act", select={"percent": 10}).run(lm)
    trial = ranked_trial(spec, [local])
    draws = trial.draws.conditions
    assert len({trial.mask.fingerprint, *(c.mask.fingerprint for c in draws)}) == 6
    for control in draws:
        assert {s: m.sum() for s, m in control.mask.at.items()} == {s: m.sum() for s, m in trial.mask.at.items()}


def test_a_selection_that_no_draw_can_match_says_so(items, lm):
    """All heads of a layer: no draw of that layer is another choice, so the match is loosened to as many heads anywhere."""
    mask = UnitMask.of({"0.z": range(4)}, n=4, grain="head")
    found = CausalTest(selection=mask, items=items, draws=20, gate="mark").run(lm)
    assert "distinct random choices of as many" in found.verdict["causal"].text
    found = CausalTest(selection=mask, items=items, draws=0, gate="mark").run(lm)
    assert found.verdict["selective"].state == found.verdict["reliable"].state == "not tested"
    assert found.verdict["causal"].state in ("not tested", "failed")


def test_the_gate_stops_a_model_that_cannot_answer(lm, tmp_path):
    rows = [
        {"prompt": f"where is {name}?", "choices": "box|bag", "answer": "box" if i % 2 else "bag"}
        for i, name in enumerate(NAMES)
    ]
    path = tmp_path / "coin.csv"
    pl.DataFrame(rows).write_csv(path)
    with pytest.raises(GuardError, match="does not have the ability, so there is nothing to localize"):
        CausalTest(localizer=Localize(contrast=letters()), items=str(path), percent=5, draws=2).run(lm)
    found = CausalTest(localizer=Localize(contrast=letters()), items=str(path), percent=5, draws=2, gate="mark").run(lm)
    assert {guard.name: guard.state for guard in found.guards}["gate"] == "marked"
    joined = next(guard.text for guard in found.guards if guard.name == "join")
    assert joined == f"Choices joined to their prompts with a space {2 * len(rows)}, with nothing 0."
    assert found.verdict["causal"].state == "undecided"


def test_answers_that_a_shortcut_gives_too_are_never_specific(lm, items, tmp_path):
    """The model is right on every item of both files; in one, so is always saying the same."""
    rows = pl.read_csv(items).filter(pl.int_range(pl.len()) % 5 != 0)
    own = rows["answer"].mode()[0]
    states = {}
    for name, kept in (("balanced", rows), ("one answer", rows.filter(pl.col("answer") == own))):
        pl.DataFrame(kept.with_columns(ability=pl.lit("places"))).write_csv(tmp_path / "own.csv")
        spec = CausalTest(localizer=Localize(contrast=letters()), items=str(tmp_path / "own.csv"), percent=5, draws=2)
        states[name] = {guard.name: guard.state for guard in spec.run(lm).guards}["shortcut"]
    assert states == {"balanced": "passed", "one answer": "marked"}


def test_a_lesion_without_effect_is_reported_as_a_no_op(lm, items):
    weight = lm.model.get_submodule(f"{lm.anatomy.path}.1.mlp.down_proj").weight
    with torch.no_grad():
        kept = weight[:, 3].clone()
        weight[:, 3] = 0
    try:
        mask = UnitMask.of({"1.mlp_act": [3]}, n=48)
        found = CausalTest(selection=mask, items=items, draws=3, gate="mark").run(lm)
    finally:
        with torch.no_grad():
            weight[:, 3] = kept
    guard = {guard.name: guard for guard in found.guards}["effect"]
    assert guard.state == "marked"
    assert "no-op" in guard.text
    assert found.verdict["causal"].state in ("failed", "undecided")


def test_the_identity_guard_catches_a_model_that_is_not_deterministic(lm, items):
    module = lm.model.get_submodule(f"{lm.anatomy.path}.0.mlp")
    handle = module.register_forward_hook(lambda _m, _a, out: out + torch.rand(()) * 1e-3)
    try:
        with pytest.raises(GuardError, match="Holding the selected units at their own values changed the logits"):
            CausalTest(localizer=Localize(contrast=letters()), items=items, percent=5, draws=1, gate="mark").run(lm)
    finally:
        handle.remove()


def test_units_that_carry_the_answer_are_causal_and_those_that_do_not_are_not(lm, items, tmp_path):
    """The last block's units that push most towards the answers, and as many that push neither way."""
    pl.read_csv(items).drop("ability").write_csv(tmp_path / "places.csv")
    items = str(tmp_path / "places.csv")
    asked = benchmark(items)
    tokens = lm.tokenize([item.prompt for item in asked])
    right = [lm.tokenize([item.choices[item.answer]])[0].ids[-1] for item in asked]
    wrong = [lm.tokenize([item.choices[1 - item.answer]])[0].ids[-1] for item in asked]
    site = lm.anatomy.sites("resid_post")[-1]
    seen = capture(lm, tokens, [site], Gather)[site].result()
    head = lm.model.get_output_embeddings().weight.detach().numpy()
    push = (seen * (head[right] - head[wrong])).mean(0)
    order = np.argsort(-push)
    n = len(push) // 8

    def rung(units):
        mask = UnitMask.of({str(site): [int(u) for u in units]}, n=len(push))
        found = CausalTest(selection=mask, items=items, draws=39, match=("layer",), gate="mark").run(lm)
        return {rung.name: rung for rung in found.verdict.rungs}["causal"]

    strong, middle = rung(order[:n]), rung(order[len(push) // 2 :][:n])
    assert strong.numbers["loss"] > middle.numbers["loss"]
    assert middle.state != "passed"


def test_a_size_below_one_unit_is_left_out(lm, items):
    """One of twelve heads: half of it is none, one and a half times are two."""
    spec = CausalTest(
        localizer=Localize(contrast=letters(), sites="*.z", grain="head"),
        items=items,
        percent=12.5,
        draws=3,
        gate="mark",
    )
    found = spec.run(lm)
    assert found.selected.total == 12
    assert found.selected.count == 1
    assert found.doses.filter(pl.col("condition") == "lesion")["dose"].unique().sort().to_list() == [12.5, 18.75]


def test_a_given_selection_is_matched_on_size(lm, items):
    """Its draws come from the bins of size that it lies in; a layer of few heads is one bin."""
    from broca.evidence.conditions import LesionScorer
    from broca.evidence.holding import trial_of
    from broca.evidence.trial import Conduct

    site = lm.anatomy.sites("mlp_act")[1]
    bench = LesionScorer(
        lm, benchmark(items), CausalTest(selection=UnitMask.of({str(site): [0]}, n=48)).scorer, "auto", no_cache
    )
    size = bench.sizes(lm.anatomy.sites("mlp_act"), "unit")
    seen = capture(lm, lm.tokenize([i.prompt for i in benchmark(items)]), [site], Gather, pool=Pool("mean"))[
        site
    ].result()
    np.testing.assert_allclose(size[site], np.sqrt((seen**2).mean(0)), rtol=0.02)
    largest = np.argsort(-size[site])
    one = UnitMask.of({str(site): [int(largest[0])]}, n=48)
    few = trial_of(bench, one, Conduct(), draws=7, match=("layer", "size")).draws
    assert {int(np.flatnonzero(c.mask.at[site])[0]) for c in few.conditions} == set(largest[1:8].tolist())
    assert few.matched == "matched on size (6 bins) and layer"
    # Seven others cannot give p = .05: halves of the layer can.
    loose = trial_of(bench, one, Conduct(), draws=30, match=("layer", "size")).draws
    assert {int(np.flatnonzero(c.mask.at[site])[0]) for c in loose.conditions} == set(
        np.flatnonzero(size[site] >= np.median(size[site])).tolist()
    ) - {int(largest[0])}
    assert loose.matched == "matched on size (2 bins) and layer"


def test_draws_that_repeat_themselves_are_no_further_evidence(lm, items):
    one = UnitMask.of({"1.z": [2]}, n=4, grain="head")
    found = CausalTest(selection=one, items=items, draws=20, match=("layer",), gate="mark").run(lm)
    assert found.items.filter(pl.col("condition") == "random")["seed"].n_unique() == 11
    assert any("Only 11 distinct random selections of as many can be drawn" in warning for warning in found.warnings)
    assert found.verdict["causal"].state != "passed"


def test_specs_that_contradict_themselves_are_refused():
    with pytest.raises(SpecError, match="either a localizer or a selection"):
        CausalTest()
    with pytest.raises(SpecError, match="has no ranking"):
        CausalTest(selection=UnitMask.of({"0.z": [1]}, n=4, grain="head"), doses=(1, 2))


def test_a_spec_survives_its_own_json():
    spec = CausalTest(
        localizer=Localize(contrast=letters(4), preset="tl-abs"),
        doses=(1, 2),
        positions=(0, -1),
        fills=("mean", "noise"),
    )
    assert CausalTest(**spec.model_dump(mode="json")).model_dump() == spec.model_dump()
    given = CausalTest(selection=UnitMask.of({"0.z": [1]}, n=4, grain="head"))
    assert CausalTest(**given.model_dump(mode="json")).selection == given.selection


def test_two_benchmarks_of_one_ability_are_refused(items):
    spec = CausalTest(localizer=Localize(contrast=letters()), items=items, others=(items,))
    with pytest.raises(StimulusError, match="comes from two benchmarks"):
        _ = spec.abilities


def test_the_gate_comes_before_anything_is_localized(lm, tmp_path):
    rows = [
        {"prompt": f"where is {name}?", "choices": "box|bag", "answer": "box" if i % 2 else "bag"}
        for i, name in enumerate(NAMES)
    ]
    pl.DataFrame(rows).write_csv(tmp_path / "coin.csv")
    asked = []

    def cache(key, compute):
        asked.append(key["cell"])
        return compute()

    with pytest.raises(GuardError, match="does not have the ability"):
        CausalTest(localizer=Localize(contrast=letters()), items=str(tmp_path / "coin.csv"), percent=5).run(
            lm, cache=cache
        )
    assert set(asked) == {"score"}


def test_draws_from_the_rest_alone_decide_nothing(lm, items):
    mask = UnitMask.of({"1.mlp_act": [3, 7]}, n=48)
    found = CausalTest(selection=mask, items=items, draws=20, among="rest").run(lm)
    assert found.verdict["causal"].state == "undecided"
    assert "among = rest" in found.verdict["causal"].text


def test_a_massive_coordinate_among_given_units_is_a_condition_of_its_own(lm, items):
    site = lm.anatomy.sites("mlp_act")[1]
    up = lm.model.get_submodule(f"{lm.anatomy.path}.1.mlp.up_proj").weight
    with torch.no_grad():
        kept = up[5].clone()
        up[5] *= 1e5
    try:
        found = CausalTest(selection=UnitMask.of({str(site): [5, 9]}, n=48), items=items, draws=0, gate="mark").run(lm)
    finally:
        with torch.no_grad():
            up[5] = kept
    guard = next(guard for guard in found.guards if guard.name == "massive coordinates")
    assert (guard.state, "1.mlp_act:5" in guard.text) == ("marked", True)
    without = found.items.filter(pl.col("localizer") == "without massive coordinates")
    assert without["k"].unique().to_list() == [1]
    assert found.verdict["causal"].numbers.get("massive") in (1, None)
