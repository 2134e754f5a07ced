"""A small part of `make certify`, with fixed seeds: nothing is claimed of nothing, what is true is, and no bound breaks unseen."""

from __future__ import annotations

import json
import re
import sys
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import certify
from certificate import cases, instruments, maps, page, parts, planted, runs, truths
from certificate.rows import Row, share
from certificate.studies import Outcome, Side, falls

from broca.evidence.controls import negative_control
from broca.interventions import Lesion
from broca.scoring import Likelihood

FEW = 6


def places(name, made, n=FEW):
    of = parts.outcome(name, made)
    return [Outcome(*of(k)).place for k in range(n)]


@pytest.fixture(scope="module")
def recommended():
    return next(size for size in truths.sizes() if size.size == "as recommended")


@pytest.mark.parametrize("kind", ["null", "adversary"])
def test_nothing_is_claimed_of_nothing(kind):
    states = [s for case in cases.CASES if case.kind == kind for s in places(case.name, case.made)]
    row = share(kind, "all", states, bound=0.05)
    assert row.n >= 60
    assert row.met, row.states
    assert row.states["failed"] >= row.n / 5


@pytest.mark.parametrize("case", [c for c in cases.CASES if c.claim == "specific"], ids=lambda c: c.name)
def test_few_groups_are_not_specific(case):
    of = parts.outcome(case.name, case.made)
    assert share("null", case.name, [of(k)[1] for k in range(20)], bound=0.05).met


def test_a_truth_is_found_at_the_recommended_size_and_nothing_is_said_to_be_nothing(recommended):
    kinds = recommended.kinds
    assert share("size", "truth", places("truth", kinds["truth"], 12), bound=0.8, side="at least").met
    assert places("nothing", kinds["nothing lost"], 12).count("failed") >= 8


def test_the_negative_control_errs_at_alpha_whatever_the_ways_to_part(recommended):
    """Of 20 places that cost all items alike, at alpha .4; where every way to part them took all of it, more would be refused."""
    own = recommended.designs()[0]
    places = [Side(own, falls(2.5)).scores(np.random.default_rng(k)) for k in range(20)]
    refused = [negative_control(one, smallest_share=0.2, alpha=0.4, seed=0) is not None for one in places]
    assert sum(refused) <= 0.4 * len(places)


@pytest.mark.parametrize("case", maps.CASES, ids=lambda c: c.name)
def test_maps(case):
    states = [case.state(parts.generator(case.name, k)) for k in range(12)]
    if case.true:
        assert states.count("passed") >= 10
    elif case.fails:
        assert states.count("failed") >= 8
    else:
        assert share("map", case.name, states, bound=0.05).met, states


@pytest.mark.slow
def test_a_lesion_of_everything_is_refuted_at_the_size_for_it_and_open_at_the_other():
    small, large = (truths.sizes([name])[1] for name in ("as recommended", truths.REFUTING))
    assert large.groups > 3 * small.groups
    found = [places("alike", size.kinds["everything lost alike"], 12).count("failed") for size in (small, large)]
    assert found[1] >= 7 > found[0]
    assert set(large.kinds) == {"everything lost alike"}


@pytest.mark.parametrize("case", instruments.CASES_OF_RUNGS, ids=lambda c: f"{c.instrument} {c.name} {c.rung}")
def test_rungs_of_single_instruments(case):
    n = 2 if (case.instrument, case.rung) == ("probe", "learned") else 8
    states = [case.state(parts.generator(case.name, k)) for k in range(n)]
    if case.true:
        assert states.count("passed") >= 6, states
    else:
        assert share("rung", case.name, states, bound=0.05).met, states


@pytest.mark.slow
@pytest.mark.parametrize(
    ("instrument", "case"),
    [(name, case) for name in runs.INSTRUMENTS for case in runs.cases_of(name)],
    ids=lambda each: getattr(each, "name", each),
)
def test_a_whole_run_on_nothing_claims_nothing_that_is_false(instrument, case):
    """One claim in twenty is allowed, so two runs may not both make it."""
    found = [runs.verdict(instrument, case, k) for k in range(2)]
    assert all(verdict.keys() >= {"selective", "reliable", "learned", "causal", "specific"} for verdict in found)
    for rung in case.false:
        if rung != runs.BOTH:
            assert [verdict[rung] for verdict in found] != ["passed", "passed"], rung


def test_a_planted_head_carries_its_ability_and_no_other():
    rng = parts.generator("planted", 1)
    world = planted.build("Llama, 5 heads a layer", "head", 12, rng)
    items = {name: list(some) for name, some in world.abilities.items()}
    with world.lm.under(*world.plants):
        intact = {name: Likelihood()(world.lm, some)["correct"].mean() for name, some in items.items()}
        with world.lm.under(Lesion(world.place)):
            without = {name: Likelihood()(world.lm, some)["correct"].mean() for name, some in items.items()}
    assert min(intact.values()) > 0.85
    assert without["own"] < 0.75
    assert without["other"] > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("grain", planted.GRAINS)
def test_planted_places_are_found(grain):
    found = [planted.climb(planted.build("Phi", grain, 14, parts.generator(grain, k)), k)[:2] for k in range(2)]
    assert ("passed", "passed") in found


def test_cases_have_names_of_their_own():
    names = [case.name for case in (*cases.CASES, *maps.CASES)]
    assert len(set(names)) == len(names)
    rungs = [(case.instrument, case.name, case.rung) for case in instruments.CASES_OF_RUNGS]
    assert len(set(rungs)) == len(rungs)
    kinds = [(name, case.name) for name in runs.INSTRUMENTS for case in runs.cases_of(name)]
    assert len(set(kinds)) == len(kinds)


def test_a_single_row_breaks_a_bound_with_its_whole_interval_and_a_pooled_one_with_any_of_it():
    row = Row("null", "x", "passed", 200, 14, bound=0.05)
    assert row.met
    assert not replace(row, strict=True).met
    assert not replace(row, claimed=30).met
    assert replace(row, claimed=150, bound=0.8, side="at least").met
    assert not replace(row, claimed=140, bound=0.8, side="at least").met
    assert replace(row, bound=None).met is None


def test_the_page_says_which_bounds_are_broken(tmp_path):
    rows = [Row("null", "one", "passed", 200, 1, bound=0.05), Row("null", "two", "passed", 200, 100, bound=0.05)]
    results, target = tmp_path / "certify.json", tmp_path / "certify.md"
    results.write_text(json.dumps({"rows": [asdict(row) | {"met": row.met} for row in rows]}))
    page.write(results, target)
    text = target.read_text()
    assert "1 of 2 bounds are **broken**" in text
    assert "| two | passed | 200 | 100 (50.0 % [42.9 %, 57.1 %]) | ≤ 5 % | **no** |" in text


def test_the_page_names_truths_of_which_few_studies_cannot_tell(tmp_path):
    rows = [
        Row("planted", "few", "passed", 16, 10, bound=0.8, side="at least"),
        Row("planted", "enough", "passed", 16, 15, bound=0.8, side="at least"),
        Row("null", "one by chance", "passed", 10, 1, bound=0.05),
    ]
    assert [row.met for row in rows] == [True] * 3
    results, target = tmp_path / "certify.json", tmp_path / "certify.md"
    results.write_text(json.dumps({"rows": [asdict(row) | {"met": row.met} for row in rows]}))
    page.write(results, target)
    text = target.read_text()
    assert "All 3 bounds hold." in text
    assert "In 2 rows the share itself misses its bound" in text
    assert "* few: passed 10 (62.5 %" in text
    assert "* enough" not in text
    assert "* one by chance" not in text


def test_studies_are_kept_and_go_on_where_they_were_killed(tmp_path):
    made: list[int] = []

    def of(k: int) -> int:
        if k == 7 and 7 not in made:
            made.append(k)
            raise KeyboardInterrupt
        made.append(k)
        return k * k

    with pytest.raises(KeyboardInterrupt):
        certify.keeper(tmp_path)("squares", 9, of)
    assert certify.keeper(tmp_path)("squares", 9, of) == [k * k for k in range(9)]
    assert made == [*range(5), 5, 6, 7, 5, 6, 7, 8]
    assert certify.keeper(tmp_path)("squares", 4, of) == [0, 1, 4, 9]
    assert len(made) == 12


def test_a_part_is_kept_by_the_code_that_decides_it():
    parser = Namespace(studies=2, sizes=2, n_items=4, runs=2, planted=1)
    every = certify.every_part(parser)
    assert {name.removeprefix("runs ") for name in every if name.startswith("runs ")} == {*runs.INSTRUMENTS}
    assert every["sizes"].folder == every["refuting"].folder
    folders = {name: part.folder for name, part in every.items()}
    assert len({*folders.values()}) == len(every) - 1
    apart = replace(every["runs circuit"], instruments=())
    assert apart.folder != folders["runs circuit"]


def test_each_trap_is_seen_by_a_test_that_exists():
    root = Path(__file__).parents[2]
    text = (root / "docs/traps.md").read_text(encoding="utf-8")
    assert sorted(map(int, re.findall(r"^\*\*(\d+)\.", text, re.MULTILINE))) == list(range(1, 21))
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(named) >= 20
    missing = [name for path, name in named if f"def {name}(" not in (root / path).read_text(encoding="utf-8")]
    assert not missing


def test_the_page_of_the_results_is_theirs(tmp_path):
    root = Path(__file__).parents[2]
    target = tmp_path / "certify.md"
    page.write(root / "benchmarks/results/certify.json", target)
    assert target.read_text(encoding="utf-8") == (root / "docs/certify.md").read_text(encoding="utf-8")
