"""A study of a circuit, on an organism of which the circuit is known, and what it refuses."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import zoo
from broca.capture.edges import score_exactly
from broca.errors import BrocaError, GuardError, SelectionError, StimulusError
from broca.instruments.circuit import blocks, entry, method
from broca.instruments.circuit.choice import _below
from broca.instruments.circuit.curve import areas
from broca.instruments.circuit.pairs import SAME, UNEQUAL, pair_items
from broca.instruments.circuit.spec import Circuit
from broca.instruments.circuit.trial import circuit_trial
from broca.interventions import circuit_margins
from broca.items import Item
from broca.models.circuit.pairs import margins
from broca.models.circuit.parts import circuit_parts
from broca.models.lm import LM
from broca.page.record import Record
from broca.scoring import Likelihood
from broca.specs.method import Choices
from broca.stats.faithfulness import SHARES
from broca.stimuli.benchmarks import benchmark
from broca.units.edge_choices import strongest
from broca.units.graph import EdgeGraph

FAST = {"items": "induction", "n_items": 48, "draws": 20, "random_curves": 2, "minimal": 4, "steps": 3}


@cache
def organism() -> LM:
    return LM.load("induction", dtype="float32", device="cpu")


@cache
def study():
    return Circuit(**FAST, twins=2, paths=("input->a0.h0<v>->a1.h1<k>->logits", "a1.h*->logits")).run(organism())


def test_the_planted_circuit_comes_first_and_climbs():
    found = study()
    top = found.edges["edge"][:12].to_list()
    assert {"input->a0.h0<v>", "a1.h1->logits"} <= set(top)
    assert "a0.h0->a1.h1<k>" in top
    states = {rung.name: rung.state for rung in found.verdict.rungs}
    assert states["selective"] == states["reliable"] == states["causal"] == "passed"
    assert states["specific"] == "not tested"


def test_the_circuit_alone_answers_and_without_it_nothing_does():
    doses = study().doses
    own = {(row["condition"], row["side"]): row["accuracy"] for row in doses.filter(pl.col("seed") < 0).to_dicts()}
    assert own["intact", ""] == 1
    assert own["lesion", "keep"] > 0.9
    assert own["lesion", "remove"] < 0.2


def test_the_whole_has_faithfulness_1_and_curves_of_both_rankings_are_named():
    found = study()
    whole = found.curves.filter(pl.col("share") == 1.0)
    assert set(whole["ranking"]) == {"signed", "absolute"}
    assert whole["faithfulness"].to_numpy() == pytest.approx(1, abs=1e-4)
    assert set(found.areas["ranking"]) == {"signed", "absolute", "random"}
    row = {r["ranking"]: r for r in found.areas.to_dicts()}
    assert row["absolute"]["cpr"] > row["random"]["cpr"]


def test_nodes_are_sums_of_the_edges_that_leave_them():
    found = study()
    sums = dict(found.edges.group_by("writer").agg(pl.col("score").sum()).rows())
    for node, score in found.nodes.select("node", "score").rows():
        assert score == pytest.approx(sums[node], abs=1e-9)


def test_paths_that_were_asked_for_are_patched_and_the_two_steps_cost_most_of_the_margin():
    found = study()
    assert len(found.paths) == 1 + organism().anatomy.n_heads
    row = {each["path"]: each for each in found.paths.to_dicts()}
    steps = ("input->a0.h0<v>->a1.h1<k>->logits", "a1.h1->logits")
    assert set(found.paths["path"][:2]) == set(steps)
    assert row[steps[0]]["loss"] == pytest.approx(
        row[steps[1]]["loss"], rel=0.05
    )  # what the head says, it has from there
    assert found.paths["loss"][1] > 3 * found.paths["loss"][2]
    for each in row.values():
        assert each["low"] <= each["loss"] <= each["high"]
        assert each["loss"] == pytest.approx(each["share"] * (found.pairs["margin"] - found.pairs["margin_patched"]))
    words = method.paths(found.spec.paths, Choices(found.spec.model_dump(), {}))
    assert "2 paths were patched by themselves" in words
    assert "nothing between their steps" in words


def test_a_signed_ranking_goes_on_behind_the_edges_that_support_the_answer_and_says_so():
    graph = EdgeGraph(1, 1, (False,))
    scores = np.array([1.0, -1.0] * graph.n_edges)[: graph.n_edges]
    chosen = strongest(graph, scores, int((scores > 0).sum()) + 1, absolute=False)
    assert scores[chosen.on].min() == -1
    words = method.ranking("signed", Choices({"edges": chosen.count}, {}))
    assert words.endswith(f"scores as signed, those that support the answer first: {chosen.count}.")


def test_the_token_at_which_an_edge_acts_is_named_for_the_highest_of_the_circuit():
    edges = study().edges
    inside = edges.filter(pl.col("circuit"))
    assert set(inside["token"].is_not_null().to_list()) == {True}
    assert edges.filter(~pl.col("circuit"))["token"].is_null().all()
    last = study().shown["text"][0].split()[-1]
    assert {row["token"].strip() for row in inside.to_dicts() if row["reader"] == "logits"} == {last}


def test_no_group_that_chose_tests():
    found = study()
    (choice,) = found.ledger.choices
    assert choice.apart
    assert choice.groups
    assert len(set(found.prompts["id"])) == 24


def test_an_untrained_model_is_stopped_at_the_gate():
    from broca.models.twins import untrained_twin

    with pytest.raises(GuardError, match="does not have the ability"):
        Circuit(**FAST, twins=0).run(untrained_twin(organism(), 0))


def test_exact_scores_of_the_highest_edges_rank_before_the_rest():
    found = Circuit(**{**FAST, "method": "eap", "steps": 5}, twins=0, rescore=10, edges=5).run(organism())
    scored = found.edges.filter(pl.col("exact").is_not_null())
    assert scored.height == 10
    assert found.edges["exact"].is_not_null().to_list() == [True] * 10 + [False] * (found.edges.height - 10)
    assert scored["exact"].abs().is_sorted(descending=True)


def test_a_run_of_its_own_ranks_an_edge_and_leaves_every_score_as_it_is():
    fields = {**FAST, "method": "eap", "steps": 5, "edges": 5, "draws": 1, "random_curves": 0, "minimal": 0}
    plain, again = (Circuit(**fields, twins=0, rescore=n).run(organism()) for n in (0, 10))
    names = ["score", "first", "second"]
    assert again.edges.sort("edge").select("edge", *names).equals(plain.edges.sort("edge").select("edge", *names))
    assert again.nodes.drop("circuit").equals(plain.nodes.drop("circuit"))


@pytest.mark.parametrize(("exact", "wanted"), [([0.5, 0.0], [0.25, 0.5, 0.375]), ([0.0, 0.0], [2.0, 4.0, 3.0])])
def test_the_rest_keep_their_order_behind_edges_that_move_nothing(exact, wanted):
    found = _below(np.array([9.0, 8.0, 2.0, 4.0, 3.0]), np.array([*exact, np.nan, np.nan, np.nan]))
    assert found[2:] == pytest.approx(wanted, rel=2e-3)
    assert max(np.abs(found[2:])) < (max(exact) or 9)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"edges": 3, "percent": 1.0}, "not as both"),
        ({"counterfactual": "exchnge"}, "exchange"),
        ({"method": "exact", "rescore": 5}, None),
        ({"through": "mlps", "rescore": 5}, "through"),
    ],
)
def test_what_contradicts_itself_is_refused(fields, says):
    if says in (None, "through"):
        assert list(Circuit(**fields).idle([says or "rescore"]))
        return
    with pytest.raises(BrocaError, match=says):
        Circuit(**fields)


def test_items_without_a_usable_counterfactual_are_left_out_and_counted():
    lm = zoo.lm("llama")
    scorer = Likelihood(join="")
    good = [Item(f"g{i}", f"where {i} a b", ("a", "b"), i % 2) for i in range(10)]
    alike = [Item("s", "where a b", ("ab", "ac"), 0)]
    longer = [
        Item(
            "l",
            "who knows what it is",
            ("c", "d"),
            0,
            tags={"counterfactual": "who knows this", "counterfactual answer": "d"},
        )
    ]
    found = pair_items(lm, [*good, *alike, *longer], "auto", scorer, 0)
    assert [item.id for item in found.items] == [item.id for item in good]
    assert found.left == {SAME: ("s",), UNEQUAL: ("l",)}
    assert found.warnings("places")[1] == f"1 item of places left out: {UNEQUAL} (l)."
    with pytest.raises(StimulusError, match="the fewest"):
        pair_items(lm, good[:4], "exchange", scorer, 0)
    unequal = [replace(longer[0], id=f"l{i}", prompt=f"{longer[0].prompt} {i:02}") for i in range(9)]
    with pytest.raises(StimulusError, match=rf"4 of 13 items .* \(9: {UNEQUAL}\)"):
        pair_items(lm, [*good[:4], *unequal], "auto", scorer, 0)


def test_items_left_out_are_counted_in_the_result_the_summary_and_the_method(tmp_path):
    items = list(benchmark("induction", n=20))
    for i in (4, 9):  # a word is missing
        told = items[i].tags["counterfactual"].split()
        items[i] = replace(items[i], tags={**items[i].tags, "counterfactual": " ".join(told[1:])})
    rows = [
        (i.prompt, "|".join(i.choices), i.answer, i.tags["counterfactual"], i.tags["counterfactual answer"])
        for i in items
    ]
    path = tmp_path / "lists.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("prompt", "choices", "answer", "counterfactual", "counterfactual_answer"), *rows])
    few = {
        "counterfactual": "own",
        "draws": 0,
        "twins": 0,
        "minimal": 0,
        "random_curves": 0,
        "edges": 5,
        "method": "eap",
    }
    found = Circuit(items=str(path), **few).run(organism())
    ((name, left),) = found.pairs["left_out"].items()
    assert left == {UNEQUAL: 2}
    assert found.pairs["chose"] + found.pairs["tested"] == 18
    record = Record(Path("run"), {}, {}, {}, {"pairs": found.pairs}, {}, {}, {})
    told = dict(blocks.blocks(record)[1].pairs)
    assert told[f"left out of {name}"] == f"2: {UNEQUAL}"
    assert any(f"2 items of {name} left out: {UNEQUAL}" in each for each in found.warnings)
    assert "2 items had no counterfactual" in method.items("induction", Choices({}, {"pairs": found.pairs}))


def test_another_item_of_as_many_tokens_lends_its_run():
    lm = zoo.lm("llama")
    items = [Item(f"{i}", f"say {'xyzw'[i % 4]}{i:02}", ("xyzw"[i % 4], "q"), 0) for i in range(12)]
    found = pair_items(lm, items, "other", Likelihood(join=""), 0)
    assert len(found.pairs) == 12
    assert all(pair.wrong != pair.right for pair in found.pairs)


def test_over_all_choices_the_margin_is_the_score_that_likelihood_gives():
    lm, scorer = zoo.lm("llama"), Likelihood(join="")
    items = [Item(f"{i}", f"{'abcd'[i % 4]}{i:02} is", tuple("wxyz"), i % 4) for i in range(12)]
    found = pair_items(lm, items, "other", scorer, 0, choices=True)
    assert [pair.against for pair in found.pairs] != [(pair.wrong,) for pair in found.pairs]
    own = margins(lm.all_logits([pair.clean for pair in found.pairs]), found.pairs).numpy()
    assert own.tolist() == pytest.approx(scorer(lm, found.items)["score"].to_list(), abs=1e-4)
    graph = circuit_parts(lm).graph
    edge = graph.n_edges - 1
    (lost,) = own - circuit_margins(lm, found.pairs, [graph.mask([edge])])
    assert score_exactly(lm, found.pairs, [edge])[:, 0] == pytest.approx(lost, abs=1e-4)


def test_a_trial_removes_and_keeps_and_matches_its_draws():
    graph = EdgeGraph(4, 4, (False,) * 3)
    circuit = strongest(graph, np.random.default_rng(0).normal(size=graph.n_edges), 20, absolute=True)
    trial = circuit_trial(circuit, [], draws=30, removed=10, seed=0)
    assert trial.removed.claim.mask is circuit
    assert [c.mask.count for c in (*trial.removed.beside, *trial.kept.conditions)] == [graph.n_edges - 20] * 31
    assert len(trial.removed.draws.conditions) == 10
    assert "layers" in trial.kept.matched


def test_areas_need_every_size():
    rows = [{"ranking": "signed", "share": share, "edges": 1, "draw": -1, "faithfulness": 1.0} for share in SHARES]
    found = areas(pl.DataFrame(rows))
    assert found["cpr"].to_list() == [pytest.approx(0.999)]


# -- MIB's entry, read by a small reader of our own ------------------------------------------------------------------


def read_entry(path: Path):
    """As MIB's own `Graph.from_json` asks: every node and edge by name, and no other."""
    told = json.loads(path.read_text())
    cfg = told["cfg"]
    assert set(cfg) == {"n_layers", "n_heads", "parallel_attn_mlp", "d_model"}
    heads, layers = cfg["n_heads"], cfg["n_layers"]
    nodes, edges = ["input"], []
    for layer in range(layers):
        before = list(nodes)
        own = [f"a{layer}.h{head}" for head in range(heads)]
        edges += [f"{node}->{head}<{kind}>" for node in before for head in own for kind in "qkv"]
        edges += [f"{node}->m{layer}" for node in (before if cfg["parallel_attn_mlp"] else [*before, *own])]
        nodes += [*own, f"m{layer}"]
    edges += [f"{node}->logits" for node in nodes]
    assert set(told["nodes"]) == {*nodes, "logits"}
    assert set(told["edges"]) == set(edges)
    assert all(set(edge) == {"score", "in_graph"} for edge in told["edges"].values())
    return told


def test_the_entry_is_what_its_readers_ask_for(tmp_path):
    found = study()
    path = tmp_path / "entry.json"
    path.write_text(json.dumps(entry.entry(found.edges.to_dicts(), found.graph, found.model["d_model"])))
    told = read_entry(path)
    assert sum(edge["in_graph"] for edge in told["edges"].values()) == found.edges["circuit"].sum()


def test_the_edges_of_query_heads_sum_to_that_of_the_key_they_share():
    graph = EdgeGraph(4, 2, (False, False))
    rows = [{"edge": graph.name(i), "score": float(i), "circuit": i == 3} for i in range(graph.n_edges)]
    told = entry.entry(rows, {"heads": 4, "groups": 2, "parallel": [False, False]}, 8)
    for kind in "kv":
        scores = [told["edges"][f"m0->a1.h{head}<{kind}>"]["score"] for head in (2, 3)]
        assert sum(scores) == graph.places[f"m0->a1.g1<{kind}>"]


def test_an_edge_mask_of_another_model_is_refused():
    from broca.interventions.circuit import Counterfactuals, EdgePatch

    mask = circuit_parts(zoo.lm("llama")).graph.mask([0])
    with pytest.raises(SelectionError, match="another model"), organism().under(EdgePatch(mask, Counterfactuals({}))):
        pass


def test_items_of_the_world_of_beliefs_are_paired_by_exchange():
    lm = LM.load("routed", dtype="float32", device="cpu")
    found = pair_items(lm, benchmark("beliefs/false-belief", n=40, detail=0.0), "auto", Likelihood(), 0)
    assert len(found.pairs) > 30
