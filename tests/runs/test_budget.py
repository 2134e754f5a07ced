"""A study within a budget: never above it, the same whenever it is asked for, and honest about what it gave up."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import broca
import zoo
from broca.errors import SpecError
from broca.evidence.budget import given_up, what_is_left
from broca.instruments.parts import plan_of
from broca.models.lm import LM
from broca.reports.method import method_text
from broca.runs.budget import items_within, read_budget, set_budget
from broca.runs.costs import forecast
from broca.scoring.costs import count_tokens
from broca.scoring.windows import Windows
from broca.specs.savings import steps
from counting import count_passes, tokens_read

QUICK = {"gate": "mark", "n_bootstrap": 50}


@pytest.fixture(scope="module")
def lm():
    return LM.wrap(zoo.build("llama", positions=1024), zoo.tokenizer())


@pytest.fixture(scope="module")
def test(tmp_path_factory):
    path = tmp_path_factory.mktemp("items") / "q.jsonl"
    rows = [
        {"prompt": f"where is {i}?", "choices": ["box", "bag"], "answer": i % 2, "group": str(i % 12)}
        for i in range(48)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return broca.CausalTest(selection="0.1,1.2", items=str(path), **QUICK)


def read(study, lm) -> int:
    return plan_of(study, lm).tokens


def within(study, tokens: float):
    return study.model_copy(update={"budget_tokens": round(tokens)})


def test_what_costs_least_of_a_verdict_is_given_up_first(lm, test):
    whole = read(test.fit_to(lm), lm)
    assert not within(test, whole).fit_to(lm).budget_from
    assert [*within(test, 0.5 * whole).fit_to(lm).budget_from] == ["draws"]
    assert [*within(test, 0.05 * whole).fit_to(lm).budget_from] == ["draws", "n_items"]
    assert within(test, 0.05 * whole).fit_to(lm).draws == 19


@settings(max_examples=15, deadline=None)
@given(share=st.floats(0.02, 1.2))
def test_no_study_reads_more_than_its_budget_and_each_is_fitted_once(lm, test, share):
    asked = within(test, share * 185_000)
    fitted = asked.fit_to(lm)
    assert read(fitted, lm) <= asked.budget_tokens
    assert fitted.fit_to(lm) == fitted
    again = type(fitted).model_validate(json.loads(fitted.model_dump_json()))
    assert again.fit_to(lm) == fitted
    assert {name: asked.fit_to(lm).budget_from[name] for name in fitted.budget_from} == dict(fitted.budget_from)


def test_what_is_read_is_within_the_budget(lm, test, monkeypatch, tmp_path):
    asked = within(test, 12_000)
    asked.run(lm)
    assert 6_000 < tokens_read(monkeypatch, lambda: broca.run(asked, lm, tmp_path / "run")) <= 12_000


def test_a_time_is_made_into_tokens_once_and_the_same_bytes_come_of_them(lm, test, tmp_path):
    now = [0.0]

    def clock() -> float:  # each batch takes a second
        now[0] += 0.5
        return now[0]

    set_ = set_budget(test, lm, "20s", clock=clock)
    assert set_.budget_tokens < read(test.fit_to(lm), lm)
    run = broca.run(set_, lm, tmp_path / "one")
    assert run.spec["study"]["budget_tokens"] == set_.budget_tokens
    again = type(test).model_validate(run.spec["study"])
    other = broca.run(again, lm, tmp_path / "two")
    for name in ("spec.toml", "result.json"):
        assert (run.path / name).read_bytes() == (other.path / name).read_bytes()
    assert any("Within its budget" in each for each in run.result["warnings"])


@pytest.mark.parametrize("share", [0.07, 0.6])
def test_a_time_is_kept_where_small_batches_are_slow(lm, test, monkeypatch, share):
    """By a clock on which a pass takes as long as three hundred tokens: a study of few items reads slower tokens than the whole."""
    seen = []
    count_passes(monkeypatch, seen)

    def clock() -> float:
        return sum(seen) + 300.0 * len(seen)

    seconds = share * forecast(test, lm, clock=clock).seconds
    set_ = set_budget(test, lm, f"{seconds:.0f}s", clock=clock)
    assert forecast(set_, lm, clock=clock).seconds <= 1.05 * seconds


def test_rungs_that_are_undecided_say_what_the_budget_left(lm, test):
    found = within(test, 9_000).run(lm)
    causal = found.verdict["causal"]
    assert causal.state == "undecided"
    assert "19 of 200 matched draws" in causal.text
    assert "items of each ability" in causal.text


def test_twins_that_do_not_fit_are_left_out_and_learned_says_so(lm):
    asked = broca.Localize(
        contrast="language", options={"n": 8}, sites="*.mlp_act", permutations=0, twins=19, budget_tokens=2_000
    )
    found = asked.run(lm)
    learned = found.verdict["learned"]
    assert learned.state == "not tested"
    assert "none of 19 untrained twins" in learned.text
    assert found.spec.twins == 0


def test_a_part_of_a_study_gives_up_its_twins_too(lm, test):
    localizer = broca.Localize(contrast="language", options={"n": 8}, sites="*.mlp_act", permutations=0, twins=19)
    asked = broca.CausalTest(localizer=localizer, items=test.items, percent=5, draws=19, fills=("zero",), **QUICK)
    fitted = within(asked, read(asked.fit_to(lm), lm) - 19_000).fit_to(lm)
    assert fitted.localizer.twins == 0
    assert fitted.budget_from["localizer.twins"] == 19
    assert given_up(fitted, lm)["localizer.twins"].rungs == ("learned",)


def test_texts_to_predict_are_given_up_before_random_masks_that_decide(lm, test):
    asked = broca.Sensitivity(
        task=test.items, n_general=4, n_score=8, window=16, draws=39, sweep="0.01", nulls=("matrix",), sizes=(), **QUICK
    )
    whole = read(asked.fit_to(lm), lm)
    fitted = within(asked, 0.6 * whole).fit_to(lm)
    assert dict(fitted.budget_from) == {"n_read": 40}
    assert fitted.n_read == 10
    joined = asked.model_copy(update={"perplexity_source": "plain", "reading": Windows(length=64, texts="joined")})
    assert "n_read" not in within(joined, 0.6 * read(joined.fit_to(lm), lm)).fit_to(lm).budget_from


STUDIES = {
    "sensitivity": lambda items: broca.Sensitivity(
        task=items, n_general=4, n_score=8, window=16, twins=19, sweep="0.01,0.02", **QUICK
    ),
    "selftest": lambda _: broca.Selftest(contrast="language", options={"n": 40}, n=10, pairs=1, sites="*.mlp_act", ds=(0.5,)),
    "kth": lambda _: broca.Probe(task="kth", n=64, n_items=32, draws=99),
    "sums": lambda _: broca.Perturb(items="sums", n_items=40, kinds=("case",)),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in ("sums", "sensitivity"))) for name in STUDIES]
)
def test_every_instrument_keeps_a_budget(name, lm, test):
    asked = STUDIES[name](test.items)
    model = broca.LM.load(name) if name in ("sums", "kth") else lm
    tokens = round(0.75 * read(asked.fit_to(model), model))
    fitted = within(asked, tokens).fit_to(model)
    assert read(fitted, model) <= tokens
    assert " of " in what_is_left(fitted, model)
    assert type(asked).model_validate(json.loads(fitted.model_dump_json())).fit_to(model) == fitted


def test_a_budget_too_small_for_any_test_is_refused_and_nothing_is_written(lm, test, tmp_path):
    with pytest.raises(SpecError, match=r"too small for any test: .* reads [\d,]+ tokens with 19 of 200 matched draws"):
        broca.run(within(test, 300), lm, tmp_path / "run")
    assert not [*tmp_path.iterdir()]
    with pytest.raises(SpecError, match="All of it takes"):
        set_budget(test, lm, "0.0001s")


@pytest.mark.parametrize(
    ("text", "found"),
    [("90s", (90, None)), ("20min", (1200, None)), ("1.5 h", (5400, None)), ("2Mtokens", (None, 2_000_000)), ("1,000 tokens", (None, 1000))],
)  # fmt: skip
def test_how_a_budget_is_written(text, found):
    assert read_budget(text) == found


@pytest.mark.parametrize(
    "text", ["", "20", "0min", "-3min", "20 minutes ago", "infh", "1,5h", "12,00tokens", "nantokens", "0.2tokens"]
)
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(SpecError, match="20min or"):
        read_budget(text)


def test_what_a_budget_lowered_needs_a_budget(lm, test):
    with pytest.raises(SpecError, match="no budget_tokens"):
        test.model_copy(update={"budget_from": {"draws": 200}}).fit_to(lm)
    with pytest.raises(SpecError, match="no fields of this study"):
        test.model_copy(update={"budget_tokens": 9_000, "budget_from": {"drawings": 200}}).fit_to(lm)
    with pytest.raises(SpecError, match="give it to the test"):
        broca.CausalTest(localizer=broca.Localize(contrast="language", budget_tokens=9_000), items=test.items)


def test_steps_go_down_to_the_least():
    assert steps(10, 10) == (10,)
    assert steps(100, 20)[0] == 100
    assert steps(100, 20)[-1] == 20
    assert list(steps(100, 20)) == sorted({*steps(100, 20)}, reverse=True)


def test_scoring_keeps_a_budget_too(lm, test):
    items = next(iter(test.abilities.values()))
    scorer = test.scorer
    whole = count_tokens(lm, items, scorer, cell=64)
    assert items_within(lm, items, scorer, f"{whole}tokens", cell=64) == [*items]
    some = items_within(lm, items, scorer, f"{whole // 2}tokens", cell=64)
    assert 10 <= len(some) < len(items)
    assert count_tokens(lm, some, scorer, cell=64) <= whole // 2
    with pytest.raises(SpecError, match="10 items of each ability read"):
        items_within(lm, items, scorer, "20tokens", cell=64)


def test_the_method_section_says_what_a_budget_took(lm, test, tmp_path):
    spec = broca.run(within(test, 12_000), lm, tmp_path / "run").spec["study"]
    text = " ".join(method_text(spec, {}))
    assert "within a budget of 12,000 tokens; for it these were lowered: draws (asked for: 200)" in text
    assert "budget" not in " ".join(method_text({**spec, "budget_tokens": None, "budget_from": {}}, {}))
