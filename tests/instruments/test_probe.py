"""The whole probe on a tiny reader of lists: what it keeps, what it refuses, and that it resumes."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

import lists
import zoo
from broca.capture.head_features import Pooling, features
from broca.errors import SpecError, StimulusError, UnknownName
from broca.instruments.probe.cuts import cut_edges, match_cuts
from broca.instruments.probe.ledger import other_data
from broca.instruments.probe.result import ProbeResult
from broca.instruments.probe.robustness import corrupt_trees, margin_regression
from broca.instruments.probe.spec import Probe, Pruning
from broca.instruments.probe.statements import Statements, looked_at, scale_by_text
from broca.interventions.edges import EdgeLesion
from broca.runs import open_run, run
from broca.scoring import Likelihood
from broca.stats.probing import Classifier
from broca.stimuli.trees import trees

SMALL = {"options": {"k": 2, "m": 6}, "n": 40, "n_items": 18, "twins": 3, "permutations": 20, "n_bootstrap": 100}
WHOLE = Probe(
    **SMALL,
    pruning=Pruning(levels=(25, 75), draws=2, fills=("zero",)),
    edges=True,
    corruptions=("shuffle", "insert", "negate-useful"),
    draws=3,
    percent=25,
    published=True,
)


@pytest.fixture(scope="module")
def lm():
    return lists.reader()


@pytest.fixture(scope="module")
def found(lm):
    return WHOLE.run(lm)


def test_features_are_the_attention_of_each_list(lm, found):
    shown, held = WHOLE.split_trees(lm)
    assert (len(shown), len(held)) == (40, 18)
    assert not {tree.group for tree in shown} & {tree.group for tree in held}
    rows = Statements.of(shown)
    own = features(lm, [t.text for t in shown], [t.statements for t in shown], queries=[t.query for t in shown])
    kept, layers = looked_at(lm, shown, Pooling(), chat="never", cache=lambda _key, compute: compute())
    np.testing.assert_allclose(kept, own.values, atol=1e-6)
    assert layers == (0, 1)
    assert kept.sum(-3).shape == (2, 4)
    by_text = scale_by_text(kept, rows.text, Pooling(scale="example"))
    assert [by_text[rows.text == i].max() for i in range(40)] == pytest.approx([1.0] * 40)
    place = found.attention.filter((pl.col("by") == "place") & (pl.col("layer") == 1) & (pl.col("label") == 2))
    assert place["attention"][0] == pytest.approx(kept[rows.place == 2, 1].mean(), rel=1e-5)


def test_an_untrained_reader_is_told_that_nothing_was_learned(found):
    states = {rung.name: rung.state for rung in found.verdict.rungs}
    assert states["selective"] == "failed"
    assert states["learned"] in ("undecided", "failed")  # 3 twins
    assert states["causal"] != "passed"
    assert found.verdict.sentence.startswith("Map: no")
    assert {guard.name for guard in found.guards} >= {"gate", "degenerate statistic", "identity", "effect"}
    assert "S_P1" in found.claim
    assert "S_P2" in found.claim


def test_every_table_has_its_rows(found):
    assert found.scores["target"].to_list() == ["useful", "step"]
    assert found.layer_scores.shape[0] == 2 * 2 * 2
    assert found.head_scores.shape[0] == 2 * 8
    assert found.predictions.filter(pl.col("target") == "useful").shape[0] == 240
    assert found.predictions.filter(pl.col("target") == "step").shape[0] == 80
    assert found.pruning["n"].unique().to_list() == [18]
    assert found.edges["hidden"].to_list() == ["useful", "useless", "useful - useless"]
    assert found.corruptions["n"].to_list() == [40, 40, 0]  # a number cannot be negated
    assert found.corrupted.filter(pl.col("corruption") == "insert")["statement"].null_count() == 0
    assert found.links["link"][0] == "useful, intact"
    assert found.drawn["tree"].n_unique() == 3
    assert found.selected.count == 2
    assert (
        found.guards[-1].text
        == "Choices joined to their prompts with a space 0, with nothing 0, with white space of their own 240."
    )
    assert found.heads.shape == (8, 6)
    assert found.heads["entropy_size"].is_between(0, 1).all()


def test_a_pilot_tests_no_heads(lm, tmp_path):
    """By group and text; and where it is all that there is, nothing is decided."""
    rng = np.random.default_rng(0)

    def written(name, numbers):
        rows = [
            {"id": f"{i}", "statements": [f"{n}" for n in some], "edges": [[int(np.argmin(some)) + 1, "conclusion"]], "question": " :",
             "choices": [f"{some[0]}", f"{some[1]}"], "answer": 0, "group": f"list {i // 2}"}
            for i, some in numbers
        ]  # fmt: skip
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return str(path)

    every = list(enumerate(rng.permutation(np.arange(10, 64))[:6] for _ in range(80)))
    task, few = written("every", every), written("few", [each for each in every if each[0] % 8 == 0])
    spec = Probe(task=task, n=40, n_items=24, draws=3, percent=25, twins=0, permutations=5, n_bootstrap=50, maps=False)
    _, held = spec.split_trees(lm)
    looked = {tree.group for tree in trees(few)} & {tree.group for tree in held}
    data, rest = other_data(spec.model_copy(update={"pilot": (few,)}), held, lm)
    (before,), (after,) = data.abilities.values(), rest.abilities.values()
    assert looked
    assert {item.group for item in before} - {item.group for item in after} == looked
    assert rest.dropped == len(before) - len(after) == 2 * len(looked)
    some, whole = (spec.model_copy(update={"pilot": (name,)}).run(lm) for name in (few, task))
    assert [(c.apart, c.dropped) for c in some.ledger.choices[1:]] == [(True, rest.dropped)]
    assert any(f"{rest.dropped} items left out" in text for text in some.warnings)
    assert whole.ledger.choices[-1].apart is False
    for name in ("causal", "specific"):
        assert whole.verdict[name].state in ("undecided", "not tested")
    assert "helped to choose what is tested on it" in whole.verdict["causal"].text
    assert spec.model_copy(update={"pilot": (few,)}).data_fingerprints().keys() - spec.data_fingerprints().keys() == {
        "pilot"
    }


def test_the_same_run_comes_back_from_disk(lm, tmp_path):
    spec = WHOLE.model_copy(update={"pruning": None, "draws": 0, "corruptions": ()})
    done = run(spec, lm, tmp_path / "run")
    again = open_run(tmp_path / "run").load(ProbeResult) if hasattr(done, "load") else None
    assert done.tables["scores"].equals(spec.run(lm).scores)
    assert again is None or again.claim == done.result["claim"]
    assert Probe(**done.spec["study"]) == spec


def test_what_is_remembered_is_not_done_again(lm, monkeypatch):
    kept = {}

    def cache(key, compute):
        name = repr(sorted(key.items(), key=str))
        if name not in kept:
            kept[name] = compute()
        return kept[name]

    spec = WHOLE.model_copy(update={"draws": 0})
    first = spec.run(lm, cache=cache)
    monkeypatch.setattr(lm.model, "forward", lambda *_, **__: pytest.fail("the model was asked again"))
    monkeypatch.setattr("broca.instruments.probe.steps.untrained_twin", lm.model.forward)
    monkeypatch.setattr("broca.evidence.guards.identity", lambda *_: first.guards[2])
    monkeypatch.setattr("broca.evidence.guards.effect", lambda *_: first.guards[3])
    again = spec.run(lm, cache=cache)
    for name in ("scores", "layer_scores", "head_scores", "pruning", "edges", "corruptions", "links"):
        assert getattr(first, name).equals(getattr(again, name)), name


def test_one_height_leaves_the_second_score_undefined(lm):
    found = Probe(**SMALL | {"options": {"k": 1, "m": 6}}, maps=False).run(lm)
    assert found.scores["undefined"][1].startswith("every statement asked about is of one step")
    assert found.scores["score"][1] is None
    assert found.layer_scores is None
    assert any("S_P2 is undefined" in text for text in found.warnings)


def test_other_poolings_estimators_and_tasks():
    lm = zoo.lm("llama")
    lm.model.config.max_position_embeddings = 1024
    rules = {"task": "rules", "options": {"depth": 1, "people": 2, "distractors": 1}}
    small = SMALL | rules | {"n": 16, "twins": 1, "folds": 3}
    for more in (
        {"pooling": "llama-code", "classifier": Classifier("centroid", distance="l1")},
        {"pooling": "heads", "classifier": {"kind": "logistic"}, "layers": "nested", "maps": False, "permutations": 2},
    ):
        found = Probe(**small | more).run(lm)
        assert found.scores["f1"].is_not_null().all()
        assert found.attention.filter(pl.col("by") == "step")["label"].unique().to_list() == [0, 1, 2]
        assert found.heads["entropy_size"].is_nan().all()


def test_cuts_hide_a_useful_statement_and_one_like_it(lm):
    made = trees("rules", depth=1, n=12)
    for cut in match_cuts(made, seed=0):
        assert cut.tree.useful[cut.useful]
        assert not cut.tree.useful[cut.useless]
        same = [
            i for i, kind in enumerate(cut.tree.kinds) if kind == cut.tree.kinds[cut.useful] and not cut.tree.useful[i]
        ]
        if same:
            assert abs(cut.useless - cut.useful) == min(abs(i - cut.useful) for i in same)
    numbers = trees("kth", k=2, m=5, n=30, tokenizer=lm.tokenizer)
    assert all(4 not in (cut.useful, cut.useless) for cut in match_cuts(numbers, seed=0))  # the question itself
    everything = trees("kth", k=5, m=5, n=4, tokenizer=lm.tokenizer)
    assert match_cuts(everything, seed=0) == []
    how = {"seed": 0, "n_bootstrap": 50, "cache": lambda _key, compute: compute(), "progress": lambda *_: None}
    assert cut_edges(lm, everything, **how).is_empty()


def test_the_effect_of_a_cut_is_that_of_the_edge_lesion(lm):
    from broca.interventions.edges import edges_between

    made = trees("kth", k=2, m=5, n=70, tokenizer=lm.tokenizer)
    how = {"seed": 0, "n_bootstrap": 50, "cache": lambda _key, compute: compute(), "progress": lambda *_: None}
    table = cut_edges(lm, made, **how)
    kept = match_cuts(made, seed=0)
    texts = [cut.tree.text for cut in kept]
    spans = [cut.tree.statements[cut.useful] for cut in kept]
    items = [cut.tree.item for cut in kept]
    plain = Likelihood(chat="never")(lm, items)
    with lm.under(EdgeLesion(edges_between(lm, texts, [cut.tree.query for cut in kept], spans))):
        cut = Likelihood(chat="never")(lm, items)
    row = table.row(0, named=True)
    assert row["n"] == len(kept)
    assert row["accuracy"] == pytest.approx(cut["correct"].mean())
    assert row["margin"] == pytest.approx((cut["score"] - plain["score"]).mean(), abs=1e-5)
    assert row["margin_low"] < row["margin"] < row["margin_high"]


def test_links_are_of_single_examples_and_say_when_they_have_no_estimate():
    draw = np.random.default_rng(0)
    margin, groups = draw.normal(size=200), [f"t{i // 2}" for i in range(200)]
    right = draw.random(200) < 1 / (1 + np.exp(-margin))
    found = margin_regression("useful", right, margin, groups)
    assert found["undefined"] is None
    assert found["low"] > 0
    assert "answers of both kinds" in margin_regression("useful", np.ones(200, bool), margin, groups)["undefined"]


def test_corruptions_say_what_they_touched():
    made = trees("rules", depth=1, n=12)
    for at, each in corrupt_trees(made, "negate-useful", seed=0):
        assert made[at].useful[each.index]
        assert each.tree.statement_texts[each.index] != made[at].statement_texts[each.index]


@pytest.mark.parametrize(
    ("given", "large", "n"),
    [({}, False, 1024), ({}, True, 128), ({"n": 40}, True, 40), ({"options": {"n": 300}}, True, 300)],
)
def test_a_large_model_is_shown_fewer_trees_unless_a_number_is_asked_for(lm, monkeypatch, given, large, n):
    monkeypatch.setattr("broca.instruments.probe.spec.LARGE", lm.n_parameters - large)
    assert Probe(**given).fit_to(lm).n == n


def test_what_cannot_be_probed_is_refused(lm):
    with pytest.raises(UnknownName, match="Did you mean 'heads'"):
        Probe(pooling="head")
    with pytest.raises(SpecError, match=r"n is 1. Give 2 or more."):
        Probe(n=1)
    with pytest.raises(SpecError, match=r"percent is 100. Give less than 100."):
        Probe(percent=100)
    with pytest.raises(UnknownName, match="Did you mean 'rules'"):
        Probe(task="rule").run(lm)
    with pytest.raises(StimulusError, match="too few to set some aside"):
        Probe(**SMALL | {"options": {"m": 6, "n": 2}}, edges=True).run(lm)
    with pytest.raises(StimulusError, match=r"Tree 'kth-2/0/0': statement 33 ends at token 33, .* positions for 32"):
        Probe(**SMALL | {"options": {"m": 40, "pool": 60}}).run(lm)
