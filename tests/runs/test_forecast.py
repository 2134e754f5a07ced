"""What a study will cost: counted against what it then reads, and timed by a clock that is set."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import broca
import zoo
from broca.instruments.parts import plan_of
from broca.models.lm import LM
from broca.runs.costs import Cost, forecast, measure
from broca.specs.cost import Phase, Plan, Sample
from counting import tokens_read

SMALL = {"gate": "mark", "n_bootstrap": 50}


@pytest.fixture(scope="module")
def lm():
    return LM.wrap(zoo.build("llama", positions=1024), zoo.tokenizer())


@pytest.fixture(scope="module")
def items(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("items") / "q.jsonl"
    rows = [
        {"prompt": f"where is {i}?", "choices": ["box", "bag"], "answer": i % 2, "group": str(i % 6)} for i in range(24)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def test_of_short_batches_the_shortest_counts():
    now, takes = [0.0], iter((9.0, 0.5, 0.2, 0.4, 7.0))

    def run():
        now[0] += next(takes)

    found = measure(Plan((Phase("looking", 100),), Sample(10, run)), clock=lambda: now[0])
    assert (found.seconds, found.once) == (pytest.approx(2), pytest.approx(8.8))
    assert next(takes) == 7.0


def test_time_is_that_of_the_second_batch():
    now, ran = [0.0], []

    def run():
        ran.append(now[0])
        now[0] += 100.0 if len(ran) == 1 else 2.0

    found = measure(
        Plan((Phase("looking", 300, 2), Phase("fitting", seconds=5.0), Phase("twins", models=3)), Sample(50, run)),
        clock=lambda: now[0],
    )
    assert len(ran) == 2
    assert found.rate == pytest.approx(2 / 50)
    assert (found.tokens, found.passes, found.seconds) == (600, 2, pytest.approx(600 * 2 / 50 + 5 + 3 * 98))


@pytest.mark.parametrize(
    ("phases", "said"),
    [
        ((Phase("a", 38_000),), "about 38,000 tokens in 1 pass, at most 38 s on this machine"),
        (
            (Phase("a", 6_000), Phase("b", 6_000, 200, expected=38)),
            "about 1.2 M tokens in 201 passes, at most 20 minutes on this machine, 4 minutes where draws stop as they do for a selection like any other",
        ),
    ],
)  # fmt: skip
def test_what_is_said(phases, said):
    assert Cost(phases, 1e-3).sentence == said


STUDIES = {
    "localize": lambda _: broca.Localize(contrast="language", options={"n": 8}, sites="*.mlp_act", twins=1),
    "heads": lambda items: broca.CausalTest(selection="0.1,1.2", items=items, draws=6, **SMALL),
    "lesion": lambda items: broca.CausalTest(
        localizer=broca.Localize(contrast="language", options={"n": 8}, sites="*.mlp_act", permutations=0),
        items=items, percent=5, draws=6, **SMALL,
    ),
    "sensitivity": lambda items: broca.Sensitivity(
        task=items, n_general=4, n_read=4, n_score=8, window=16, twins=2, draws=3, sweep_draws=1, nulls=("matrix", "rows"), **SMALL
    ),
    "selftest": lambda _: broca.Selftest(
        contrast="language", options={"n": 40}, n=10, pairs=1, rivals=8, sites="*.mlp_act"
    ),
    "sums": lambda _: broca.Perturb(items="sums", n_items=24, kinds=("case", "delete"), compare=4, draws=19, twins=1, cases=12),
    "kth": lambda _: broca.Probe(task="kth", n=24, n_items=12, draws=4, twins=1, permutations=5),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in ("sums", "sensitivity"))) for name in STUDIES]
)
def test_a_study_reads_what_was_forecast_at_most(name, lm, items, monkeypatch, tmp_path):
    """No more, but for the texts by which each twin is proved."""
    study = STUDIES[name](items)
    model = broca.LM.load(name) if name in ("sums", "kth") else lm
    plan = plan_of(study.fit_to(model), model)
    study.run(model)  # what is done once for a model is done
    found = tokens_read(monkeypatch, lambda: broca.run(study, model, tmp_path / "run"))
    told = sum(each.read for each in plan.phases)
    assert LEAST[name] * told <= found <= told + PROOF * sum(each.models for each in plan.phases)


PROOF = 50
"""Tokens by which a twin is proved."""
LEAST = {"sensitivity": 0.7, "selftest": 0.8, "sums": 0.45}
"""Of those that may end early, or read what nobody knows before."""
LEAST = {name: LEAST.get(name, 0.9) for name in STUDIES}


def test_draws_are_counted_at_most_and_as_a_rule(lm, items):
    test = broca.CausalTest(selection="0.1,1.2", items=items, **SMALL)
    (draws,) = (each for each in plan_of(test.fit_to(lm), lm).phases if each.name == "scoring random lesions")
    assert draws.passes == 200
    assert draws.expected == pytest.approx(38, abs=1)


def test_what_a_run_has_found_is_not_counted_again(lm, items):
    test = STUDIES["lesion"](items)
    known = test.knowing(test.every_localizer[0].run(lm))
    names = [{each.name for each in plan_of(each, lm).phases} for each in (test, known)]
    assert names[0] - names[1] == {"localizing"}


def test_a_study_that_cannot_be_is_not_forecast(lm):
    wrong = broca.Localize(contrast="language", sites="40.resid_post")
    assert forecast(wrong, lm) is None


def test_an_instrument_that_does_not_count_is_not_forecast(lm, monkeypatch):
    monkeypatch.setattr("broca.instruments.parts.part_beside", lambda _spec, _name: None)
    assert forecast(broca.Localize(contrast="language", options={"n": 8}), lm) is None


def test_a_forecast_leaves_the_model_as_it_was(lm, items):
    before = (lm.fingerprint, lm.condition, lm.batch_size)
    found = forecast(STUDIES["heads"](items), lm)
    assert found is not None
    assert found.seconds > 0
    assert (lm.fingerprint, lm.condition, lm.batch_size) == before
    assert replace(found, rate=0.0).seconds == 0
