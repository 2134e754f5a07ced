"""The study of perturbations: answers by kind, cases, patches, choices; on the organism that it is made for, and on files."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from scipy.stats import binomtest

import broca
from broca.cache.cache import no_cache, silent
from broca.errors import SpecError, StimulusError, UnknownName
from broca.instruments.perturb.blocks import _examples
from broca.instruments.perturb.cases import CLASSES, flipped_pairs
from broca.instruments.perturb.grid import Patches, donor_cases, grid
from broca.instruments.perturb.result import PerturbResult
from broca.instruments.perturb.selection import Choosing, select_units
from broca.instruments.perturb.spec import Perturb
from broca.instruments.perturb.stimuli import source_of, way_for
from broca.instruments.perturb.summary import examples
from broca.instruments.perturb.twins import TwinCases
from broca.interventions.patching import position_pairs
from broca.models.lm import LM
from broca.page.blocks import Tokens, every
from broca.page.record import Record
from broca.runs import open_run, run
from broca.scoring.likelihood import Likelihood
from broca.sites import Site
from broca.stats.corrections import holm
from broca.stimuli.sums import WORDS

KINDS = ("keyboard", "transpose", "delete", "insert", "substitute", "case", "homoglyph", "polite")
SPEC = Perturb(
    n_items=150,
    kinds=KINDS,
    among=tuple(sorted(WORDS)),
    compare=4,
    cases=60,
    draws=30,
    twins=2,
    patterns="layers",
    n_bootstrap=200,
    probes=0,
)


@pytest.fixture(scope="module")
def lm():
    return LM.load("sums")


@pytest.fixture(scope="module")
def found(lm) -> PerturbResult:
    return SPEC.run(lm)


@pytest.fixture(scope="module")
def cases(lm, found):
    return flipped_pairs(lm, SPEC.texts(lm), found.answers, way="choices", chat="auto", most=60, seed=0)


def test_accuracies_are_those_of_each_text_asked_by_itself(lm, found):
    texts = SPEC.texts(lm)
    for kind in ("delete", "polite"):
        pairs = [pair for pair in texts.pairs if pair.kind == kind]
        items = [texts.items[source_of(pair)] for pair in pairs]
        clean = Likelihood()(lm, items)["correct"].to_numpy()
        after = Likelihood()(lm, [replace(i, prompt=p.perturbed) for i, p in zip(items, pairs, strict=True)])[
            "correct"
        ].to_numpy()
        row = found.kinds.filter(pl.col("kind") == kind).row(0, named=True)
        assert (row["n"], row["clean"], row["perturbed"]) == (len(pairs), clean.mean(), after.mean())
        assert (row["broken"], row["mended"]) == ((clean & ~after).sum(), (~clean & after).sum())
        assert row["drop"] == pytest.approx(after.mean() - clean.mean())
        assert row["drop_low"] <= row["drop"] <= row["drop_high"]
        assert row["p"] == pytest.approx(
            binomtest(row["broken"], max(1, row["broken"] + row["mended"])).pvalue
            if row["broken"] + row["mended"]
            else 1,
            abs=0.01,
        )
    np.testing.assert_allclose(found.kinds["p_holm"], holm(found.kinds["p"].to_numpy()))


def test_shown_tokens_are_shaded_by_what_the_mistake_does_to_them(lm):
    few = {"n_items": 24, "kinds": ("homoglyph",), "compare": 0, "controls": False, "n_bootstrap": 50}
    spec = SPEC.model_copy(update={**few, "cases": 0, "probes": 0})
    answers = spec.run(lm).answers
    turned = flipped_pairs(lm, spec.texts(lm), answers, way="choices", chat="auto", most=2, seed=0)[0]
    made = examples(lm, turned, np.ones(len(turned)), 2)
    for one in turned:
        clean, perturbed = (
            lm.model(torch.tensor([text.ids])).logits[0].detach().double().log_softmax(-1)
            for text in (one.case.donor, one.case.run)
        )
        ids = one.case.donor.ids, one.case.run.ids
        wanted = {j: perturbed[j - 1, ids[1][j]] - clean[i - 1, ids[0][i]] for i, j in one.aligned.matched if i}
        rows = made.filter(pl.col("id") == one.pair.id, pl.col("change").is_not_null())
        given = dict(rows.select("place", "change").iter_rows())
        assert given == pytest.approx({j: float(change) for j, change in wanted.items()}, abs=1e-4)
        assert set(rows["side"]) == {"perturbed"}
        assert rows.filter(pl.col("class") == "prefix")["change"].abs().max() < 1e-4
        assert rows["change"].abs().max() > 0.01
    record = Record(Path(), {}, {}, {}, {}, {"examples": made}, {}, {})
    shown = [block for block in every(_examples(record)) if isinstance(block, Tokens)]
    assert len(shown) == 2
    assert max(abs(token.strength) for block in shown for line in block.lines for token in line.tokens) == 1


def test_mistakes_in_the_word_that_counts_cost_answers(found):
    assert found.answers.filter(pl.col("kind") == "clean")["correct"].mean() >= 0.95
    assert found.kinds.filter((pl.col("p_holm") < 0.01) & (pl.col("drop") < -0.05)).height >= 3


def test_controls_are_compared_with_the_pairs_they_are_for(found):
    row = found.kinds.filter(pl.col("controls") > 0).row(0, named=True)
    answers = found.answers
    own = answers.filter((pl.col("kind") == "control") & (pl.col("of") == row["kind"]))
    pairs = answers.filter(pl.col("kind") == row["kind"])
    beside = pairs.filter(pl.col("id").is_in([name.removesuffix("/control") for name in own["id"]]))
    assert row["controls"] == len(own) == len(beside)
    assert row["control"] == pytest.approx(own["correct"].mean())
    assert row["over_control"] == pytest.approx(beside["correct"].mean() - own["correct"].mean())


def test_the_worst_case_is_right_under_every_kind(found):
    wide = (
        found.answers.filter(pl.col("kind") != "control").pivot("kind", index="source", values="correct").drop_nulls()
    )
    assert found.task["worst_case"] == pytest.approx(wide.select(pl.all_horizontal(pl.exclude("source")).mean()).item())


def test_cases_are_texts_that_turned_with_the_two_answers_they_got(lm, cases, found):
    said = {row["id"]: row for row in found.answers.iter_rows(named=True)}
    made, left = cases
    assert left.turned >= left.used == len(made) >= 20
    assert len({one.pair.perturbed for one in made}) == len(made)
    for one in made:
        assert said[source_of(one.pair)]["correct"]
        assert not said[one.pair.id]["correct"]
        assert (one.right, one.wrong) == (said[source_of(one.pair)]["said"], said[one.pair.id]["said"])
        assert one.case.right != one.case.wrong
        right = lm.tokenizer(one.pair.clean + one.right, add_special_tokens=True)["input_ids"]
        assert right[: len(one.case.donor) + 1] == [*one.case.donor.ids, one.case.right]


def test_classes_of_tokens_part_the_text(cases):
    for one in cases[0]:
        places = {name: one.case.places.get(name, ((), ())) for name in CLASSES}
        clean = [i for own, _ in places.values() for i in own]
        assert len(set(clean)) == len(clean)
        for name, (own, theirs) in places.items():
            if name != "edited":
                ids = [(one.case.donor.ids[i], one.case.run.ids[j]) for i, j in zip(own, theirs, strict=True)]
                assert all(a == b for a, b in ids)
        if places["boundary"][0]:
            assert places["boundary"][0][0] == places["edited"][0][-1] + 1
        random = one.case.places["random"][0]
        assert not set(random) & {*places["edited"][0], *places["boundary"][0], *places["answer"][0]}
        assert len(position_pairs(one.case, "edited")) == min(map(len, places["edited"]))


def test_a_lent_run_has_another_answer(cases):
    for one, case in zip(cases[0], donor_cases(cases[0]), strict=True):
        donor = next(other for other in cases[0] if other.case.donor is case.donor)
        assert donor.right != one.right


def test_patches_of_the_word_restore_what_the_mistake_took_and_another_texts_do_not(found):
    own = found.recovery.filter((pl.col("kind") == "resid_post") & (pl.col("direction") == "restore"))
    word = (
        own.filter((pl.col("at") == "edited") & (pl.col("donor") == "own"))
        .sort("share", descending=True)
        .row(0, named=True)
    )
    assert word["share"] >= 0.8
    other = own.filter((pl.col("at") == "edited") & (pl.col("donor") == "other") & (pl.col("layer") == word["layer"]))
    assert other["share"][0] < 0.5 * word["share"]
    elsewhere = own.filter((pl.col("donor") == "elsewhere") & (pl.col("layer") == word["layer"]))
    assert elsewhere["share"][0] < 0.5 * word["share"]
    broken = found.recovery.filter(
        (pl.col("direction") == "break") & (pl.col("at") == "edited") & (pl.col("layer") == word["layer"])
    )
    assert broken["share"][0] < -0.5
    assert found.estimate["value"] == word["share"]


def test_what_a_patch_cannot_reach_is_untouched_and_the_last_place_is_all_there_is(found):
    own = found.recovery.filter((pl.col("donor") == "own") & (pl.col("direction") == "restore"))
    assert own.filter(pl.col("at") == "prefix")["share"].abs().max() < 1e-5
    last = own.filter((pl.col("kind") == "resid_post") & (pl.col("layer") == own["layer"].max()))
    assert last.filter(pl.col("at") == "answer")["share"][0] == pytest.approx(1, abs=1e-4)
    assert last.filter(pl.col("at") == "edited")["share"][0] == pytest.approx(0, abs=1e-6)
    states = {guard.name: guard.state for guard in found.guards}
    assert {states[name] for name in ("identity", "upstream", "effect", "gate")} == {"passed"}


def test_a_patch_that_does_nothing_is_marked(lm, cases):
    """The effect guard: whatever is patched at the prefix alone changes nothing, and is said to."""
    blind = tuple(
        replace(one, case=replace(one.case, places={"prefix": one.case.places["prefix"]}))
        for one in cases[0]
        if "prefix" in one.case.places
    )
    made = grid(Patches(lm, blind, no_cache, silent), threshold=0.5, boot={"n": 50, "seed": 0})
    assert {guard.name: guard.state for guard in made.guards}["effect"] == "marked"


def test_choices_climb_by_cases_that_did_not_choose_them(found):
    numbers = {rung.name: rung.numbers for rung in found.verdict.rungs}
    assert found.selected is not None
    assert found.selected.count == 3 == found.units["chosen"].sum()
    assert found.units.filter("chosen")["share"].min() > 0.08, "in all cases about what it was in those that chose"
    assert found.units.filter(~pl.col("chosen"))["share"].max() < 0.12
    assert numbers["causal"]["cases"] < found.recovery["n"].max()
    assert numbers["causal"]["draws"] == 23, "so many distinct choices of these layers there are"
    assert numbers["learned"]["twins"] <= 2
    states = {rung.name: rung.state for rung in found.verdict.rungs}
    assert states["selective"] == states["causal"] == states["specific"] == "passed"


@pytest.mark.parametrize(
    ("given", "large", "twins"), [({}, False, 19), ({}, True, 0), ({"twins": 19}, True, 19), ({"twins": 0}, False, 0)]
)
def test_a_large_model_has_no_twins_unless_they_are_asked_for(lm, monkeypatch, given, large, twins):
    monkeypatch.setattr("broca.instruments.perturb.spec.LARGE", lm.n_parameters - large)
    assert Perturb(**given).fit_to(lm).twins == twins


@pytest.mark.slow
def test_untrained_twins_are_compared_in_cases_that_chose_nothing(lm, cases, monkeypatch):
    """Where the model is its own twin, what was chosen by its first half has no head start in the second."""
    monkeypatch.setattr(sys.modules[select_units.__module__], "untrained_twin", lambda own, _seed: own)
    patches = Patches(lm, cases[0], no_cache, silent)
    made = grid(patches, threshold=0.5, boot={"n": 50, "seed": 0})
    twins = TwinCases(SPEC.texts(lm), "choices", "auto", 16, 60, 0.5, 0)
    how = Choosing("heads", "estimated", 12.5, 0.1, 5, 5, twins, 0.05, {"n": 50, "seed": 0})
    numbers = {rung.name: rung.numbers for rung in select_units(patches, made, how).rungs}
    assert numbers["learned"]["d"] == pytest.approx(numbers["learned"]["d_untrained_largest"], abs=1e-3)
    assert numbers["learned"]["cases"] == numbers["causal"]["cases"] < int(made.kept.sum())


def test_estimates_of_all_tokens_are_the_sum_over_their_classes(lm, cases):
    found = Patches(lm, cases[0], no_cache, silent).estimate_effects({Site(0, "z"): lm.anatomy.n_heads})
    by_class = np.nansum([found[f"{name}/0.z"] for name in CLASSES], 0)
    np.testing.assert_allclose(found["all/0.z"], by_class, atol=1e-6)


@pytest.mark.slow
def test_neurons_are_ranked_by_estimates_and_patched_together(lm):
    spec = SPEC.model_copy(
        update={
            "select": "neurons",
            "percent": 5.0,
            "twins": 0,
            "compare": 0,
            "patterns": "none",
            "draws": 19,
            "n_items": 100,
            "cases": 40,
        }
    )
    made = spec.run(lm)
    width = sum(lm.anatomy.width(site) for site in lm.anatomy.sites("mlp_act"))
    assert made.selected.count == round(0.05 * width)
    assert made.units["restored"].null_count() == len(made.units) <= 200
    assert {rung.name: rung.state for rung in made.verdict.rungs}["learned"] == "not tested"


@pytest.mark.slow
def test_a_pilot_patches_no_case(lm, cases, tmp_path):
    """By group; and where it is all that there is, nothing is decided."""
    items = SPEC.texts(None).items
    few = {one.group for one in cases[0][:20]}

    def written(name, some):
        rows = [
            {"id": i.id, "prompt": i.prompt, "choices": list(i.choices), "answer": i.answer, "group": i.group}
            for i in some
        ]
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return str(path)

    part, whole = (
        written(n, [i for i in items.values() if i.cluster in few or n == "whole"]) for n in ("part", "whole")
    )
    update = {"twins": 0, "compare": 0, "patterns": "none", "draws": 19, "rank": "estimated"}
    some, every = (SPEC.model_copy(update={**update, "pilot": (path,)}).run(lm) for path in (part, whole))
    dropped = sum(one.group in few for one in cases[0])
    assert not few & set(some.cases["group"])
    assert some.cases.height == len(cases[0]) - dropped
    assert any(f"{dropped} cases left out" in text for text in some.warnings)
    assert [(c.apart, c.dropped) for c in some.ledger.choices[1:]] == [(True, dropped)]
    assert every.cases.height == len(cases[0])
    assert every.ledger.choices[-1].apart is False
    for name in ("causal", "specific"):
        assert every.verdict[name].state == "undecided"
        assert "Every case helped to choose" in every.verdict[name].text
        assert "helped to choose" not in some.verdict[name].text


def test_a_model_that_never_learned_gives_no_cases_and_says_so(lm):
    from broca.models.twins import untrained_twin

    made = SPEC.model_copy(update={"compare": 0, "kinds": ("delete",), "cases": 1}).run(untrained_twin(lm, 0))
    states = {guard.name: guard.state for guard in made.guards}
    assert (states["gate"], states["join"]) == ("marked", "passed")
    assert {rung.state for rung in made.verdict.rungs} == {"not tested"}
    assert made.recovery.is_empty()


def test_a_typo_file_is_read_by_what_is_generated(lm, tmp_path):
    rows = [
        {
            "element_index": i,
            "normal": f"What is {a} plus {b} =",
            "swap": f"What is {a} pluw {b} =",
            "main": f"Waht is {a} plus {b} =",
        }
        for i, (a, b) in enumerate(zip(range(3, 23), range(20, 0, -1), strict=True))
    ]
    path = tmp_path / "typos.json"
    path.write_text(json.dumps(rows))
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(
        "\n".join(
            json.dumps(
                {"clean": r["normal"], "perturbed": r["swap"], "kind": "swap", "answer": str(3 + 20), "group": "w"}
            )
            for r in rows
        )
    )
    spec = Perturb(items=str(pairs), compare=4, cases=10, twins=0, draws=5, n_bootstrap=50)
    assert set(spec.data_fingerprints()) == {str(pairs)}
    made = spec.run(lm)
    clean = made.answers.filter(pl.col("kind") == "clean")
    assert clean["correct"].mean() >= 0.9
    assert all(said.strip().rstrip(".").lstrip("-").isdigit() for said in clean["said"])
    with pytest.raises(StimulusError, match="no choices"):
        spec.model_copy(update={"answers": "choices"}).run(lm)


def test_pairs_without_answers_are_refused(lm, tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("clean,perturbed\nWhat is 1 plus 2 =,What is 1 pluss 2 =\nFind 3 plus 4 =,Find 3 plsu 4 =\n")
    with pytest.raises(StimulusError, match="no right answer"):
        Perturb(items=str(path)).run(lm)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("n_items", 0, "1 or more"),
        ("draws", -1, "0 or more"),
        ("percent", 0, "percent"),
        ("rewriter_server", "http://x", "rewriter"),
        ("kinds", "typo", "kinds"),
    ],
)
def test_impossible_specs_are_refused(field, value, said):
    with pytest.raises(SpecError, match=said):
        Perturb(**{field: value})


def test_unknown_kinds_and_items_are_refused_with_near_ones(lm):
    with pytest.raises(UnknownName, match="transpose"):
        Perturb(kinds=("transpos",)).run(lm)
    with pytest.raises(UnknownName, match="sums"):
        Perturb(items="sum").run(lm)


@pytest.mark.slow
def test_a_run_that_was_killed_ends_with_the_same_bytes(lm, tmp_path):
    spec = SPEC.model_copy(
        update={"n_items": 60, "kinds": ("delete", "case", "homoglyph"), "cases": 30, "draws": 5, "twins": 0}
    )
    whole = run(spec, lm, tmp_path / "whole")

    class Killed(BaseException):
        pass

    def stop(at):
        def tell(what, _done, _total):
            if what == at:
                raise Killed

        return tell

    for at in ("comparing runs", "patching", "patching heads"):
        with pytest.raises(Killed):
            run(spec, lm, tmp_path / "killed", progress=stop(at))
    again = run(spec, lm, tmp_path / "killed")
    names = ["result.json", *(f"tables/{path.name}" for path in (whole.path / "tables").iterdir())]
    for name in names:
        assert (again.path / name).read_bytes() == (whole.path / name).read_bytes(), name
    assert open_run(again.path).result["claim"] == whole.result["claim"]


def test_controls_are_left_out_where_they_are_not_wanted(lm):
    texts = SPEC.model_copy(update={"controls": False}).texts(lm)
    assert texts.controls == ()
    assert way_for(texts) == "choices"


def test_what_broca_exports():
    assert broca.Perturb is Perturb
    assert broca.perturb("Work this sum out", "delete", seed=1).text != "Work this sum out"


@pytest.mark.parametrize(
    ("how", "restored", "count"),
    [
        ({}, [0.48, 0.12, 0.1, 0.09, -0.5], 3),
        ({}, [0.04, 0.01, 0.0, 0.0, 0.0], 1),
        ({"smallest_effect": 0.4}, [0.48, 0.12, 0.1, 0.09, -0.5], 1),
        ({"percent": 40.0}, [0.48, 0.12, 0.1, 0.09, -0.5], 2),
        ({"select": "neurons"}, [0.01] * 80, 10),
        ({"select": "neurons", "percent": 50.0}, [0.01] * 80, 40),
    ],
)
def test_what_is_chosen_restores_enough_or_is_the_share_that_was_asked_for(how, restored, count):
    made = Perturb(items="sums", **how)
    twins = TwinCases(made.texts(None), "choices", made.chat, 16, made.cases, made.threshold, 0)
    choosing = Choosing(
        made.select, made.rank, made.percent, made.smallest_effect, 20, 19, twins, 0.05, {"n": 100, "seed": 0}
    )
    assert choosing.count(np.array(restored)) == count
