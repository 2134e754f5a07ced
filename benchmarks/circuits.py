"""Known circuits: which method ranks the edges that carry an answer first, and what scoring them costs.

The truth is what patching each edge alone shows: of `induction` what ``truth.json`` holds, of `routed` what is measured here on items
that no method sees, of a unit planted in a random model, as selftest plants them, what is measured on other texts. An edge is true if patching it alone costs at least a tenth of the margin. Times are ratios to one forward and one
backward pass over the same batch, through activations alone, taken in turns. Memory is the rise of the high-water mark while a study's
scores are taken, in a process of its own, for few pairs and for many.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from ground import Row, arguments, lower_the_mark, model, peak_mb, resident_mb, settle, strict_malloc, write
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from broca.cache.cache import no_cache, silent
from broca.capture.edges import EdgeScoring, score_edges, score_exactly, score_nodes
from broca.capture.gradient import differentiate
from broca.capture.metrics import LogitDifference
from broca.instruments.circuit.pairs import pair_items
from broca.instruments.circuit.scores import EdgeBench
from broca.interventions.plant import Plant, Planting, text_key
from broca.models.build import fresh
from broca.models.circuit.pairs import CounterfactualPair
from broca.models.circuit.parts import circuit_parts
from broca.models.lm import LM
from broca.models.tokens import Tokens
from broca.organisms import organism_path
from broca.organisms.induction.truth import beside
from broca.scoring import Likelihood
from broca.sites import Kind, Site
from broca.stimuli.benchmarks import benchmark
from broca.stimuli.induction import induction

METHODS: dict[str, EdgeScoring] = {
    "EAP": EdgeScoring("eap"),
    "EAP-IG, midpoints": EdgeScoring("eap-ig", 5),
    "EAP-IG, left": EdgeScoring("eap-ig", 5, "left"),
    "IG on activations": EdgeScoring("ig-activations", 5),
}
TRUE = 0.1
"""Share of the margin that a true edge costs at least."""
GPT2 = {"model_type": "gpt2", "n_layer": 12, "n_head": 12, "n_embd": 384, "vocab_size": 1024, "n_positions": 128}
"""Twelve by twelve, half as wide as GPT-2 small: its numbers of edges and nodes."""
FEW, MANY = 32, 128
"""Pairs whose scores are taken, for the memory that takes."""


def of_induction(lm: LM) -> tuple[list[CounterfactualPair], np.ndarray]:
    truth = json.loads((organism_path("induction") / "truth.json").read_text(encoding="utf-8"))
    graph = circuit_parts(lm).graph
    costs = np.array([truth["edges"][graph.name(edge)] for edge in range(graph.n_edges)])
    return [beside(lm, item) for item in induction(n=60, seed=11)], costs / truth["margin"]


def of_routed(lm: LM) -> tuple[list[CounterfactualPair], np.ndarray]:
    def pairs(seed: int, n: int) -> list[CounterfactualPair]:
        items = benchmark("beliefs/false-belief", n=n, seed=seed, detail=0.0)
        return list(pair_items(lm, items, "exchange", Likelihood(), 0).pairs)

    held = pairs(21, 24)
    costs = score_edges(lm, held, EdgeScoring("exact")).mean(0)
    margin = float(np.mean(margin_of(lm, held)))
    return pairs(22, 48), costs / margin


def planted(lm: LM, kind: Kind, unit: int, n: int, seed: int = 0) -> tuple[Plant, list[CounterfactualPair]]:
    """A unit of the middle layer that says one answer after half of the texts and the other after their counterfactuals, as loud as the stream.

    Args:
        lm: a random model.
        kind: of its site: mlp_act, or z for a head.
        unit: its place.
        n: pairs.
        seed: of the texts.
    """
    draw, site = np.random.default_rng(seed), Site(lm.anatomy.n_layers // 2, kind)
    ids = draw.integers(30, 90, (2, n, 12)).tolist()
    right, wrong = lm.model.get_output_embeddings().weight.detach().double()[[10, 20]]
    says = (right - wrong) / (right - wrong).norm() * lm.anatomy.d_model**0.5
    sides = {text_key(row): side for rows, side in zip(ids, (1, -1), strict=True) for row in rows}
    planting = Planting(np.array([unit]), np.ones(1), np.array([16.0]), says.numpy()[None] / 2, rest=0.0)
    texts = [[Tokens(tuple(row), "") for row in rows] for rows in ids]
    pairs = [CounterfactualPair(a, b, 10, 20, str(i)) for i, (a, b) in enumerate(zip(*texts, strict=True))]
    return Plant({site: planting}, sides), pairs


def margin_of(lm: LM, pairs: Sequence[CounterfactualPair]) -> np.ndarray:
    logits = lm.all_logits([pair.clean for pair in pairs]).double().numpy()
    rows = np.arange(len(pairs))
    return logits[rows, [p.right for p in pairs]] - logits[rows, [p.wrong for p in pairs]]


def recovery(
    name: str, made: Callable[[LM], tuple[list[CounterfactualPair], np.ndarray]]
) -> tuple[list[Row], dict[str, Any]]:
    lm = LM.load(name, dtype="float32", device="cpu")
    return compare(lm, *made(lm))


def recovery_of_planted(kind: Kind) -> tuple[list[Row], dict[str, Any]]:
    lm = model("small")
    lm = LM.wrap(lm.model, lm.tokenizer, name=f"planted, {kind}")
    held, other = planted(lm, kind, 5, 24, seed=1)
    with lm.under(held):
        costs = score_edges(lm, other, EdgeScoring("exact")).mean(0) / float(np.mean(margin_of(lm, other)))
    plant, pairs = planted(lm, kind, 5, 24)
    with lm.under(plant):
        return compare(lm, pairs, costs)


def compare(lm: LM, pairs: Sequence[CounterfactualPair], costs: np.ndarray) -> tuple[list[Row], dict[str, Any]]:
    """Each method against what every edge costs, as a share of the margin."""
    true = np.abs(costs) >= TRUE
    rows, found = [], {}
    for method, how in METHODS.items():
        scores = score_edges(lm, pairs, how).mean(0)
        area = float(roc_auc_score(true, np.abs(scores)))
        found[method] = {"auroc": area, "spearman": float(spearmanr(scores, costs).statistic)}
        wanted = 0.95 if method == "EAP-IG, midpoints" else None
        note = f"{int(true.sum())} of {len(true)} edges, rank correlation {found[method]['spearman']:.2f}"
        rows.append(Row(f"AUROC of true edges, {method}", lm.name, area, "", wanted, "at least", note))
    return rows, found


def large() -> LM:
    return LM.wrap(fresh(GPT2, 0), None, name="GPT-2, 12 x 12, 384 wide")


def random_pairs(n: int) -> list[CounterfactualPair]:
    """Of 24 tokens, of which one in the middle differs."""
    draw = np.random.default_rng(0)
    ids = draw.integers(3, 1000, (n, 24))
    other = ids.copy()
    other[:, 12] = 3 + (other[:, 12] + 1) % 1000
    return [
        CounterfactualPair(Tokens(tuple(a.tolist()), ""), Tokens(tuple(b.tolist()), ""), 10 + i % 100, 200 + i % 100)
        for i, (a, b) in enumerate(zip(ids, other, strict=True))
    ]


def speed(rounds: int) -> list[Row]:
    """Scoring every edge of a model of 12 by 12 against forward and backward passes over the same batch."""
    lm, pairs = large(), random_pairs(8)
    graph = circuit_parts(lm).graph
    batch = lm.pad_batch([pair.clean for pair in pairs])
    metric = LogitDifference([p.right for p in pairs], [p.wrong for p in pairs])
    ways: dict[str, Callable[[], Any]] = {
        "forward": lambda: lm.next_logits(batch),
        "backward": lambda: differentiate(lm, batch, lm.anatomy, [Site(0, "resid_pre")], metric),
        **{
            name: lambda how=how: score_edges(lm, pairs, how)
            for name, how in METHODS.items()
            if how.method != "ig-activations"
        },
    }
    some = np.random.default_rng(1).permutation(graph.n_edges)[:24].tolist()
    ways["exact"] = lambda: score_exactly(lm, pairs, some)
    ways["nodes, EAP"] = lambda: score_nodes(lm, pairs, METHODS["EAP"])
    ways["nodes, EAP-IG"] = lambda: score_nodes(lm, pairs, METHODS["EAP-IG, midpoints"])
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            began = time.process_time()
            way()
            times[name].append(time.process_time() - began)
    best = {name: float(np.median(each[1:])) for name, each in times.items()}
    rows = []
    nodes = {"nodes, EAP": METHODS["EAP"], "nodes, EAP-IG": METHODS["EAP-IG, midpoints"]}
    for name, how in (METHODS | nodes).items():
        if name in best:
            m = 1 if how.method == "eap" else how.steps
            whole = 2 * best["forward"] + m * best["backward"]
            bound = 1.25 * (1 if name in nodes else 2)
            what = f"{len(graph.writers)} nodes" if name in nodes else f"{graph.n_edges} edges"
            note = f"of 2 forward and {m} forward and backward passes; {what}"
            rows.append(Row(f"time of {name}", lm.name, best[name] / whole, "x", bound, "at most", note))
    each = best["exact"] / ((3 + len(some)) * best["forward"])
    note = f"of 3 + {len(some)} forward passes; blocks and tokens that an edge cannot change are spared"
    return [*rows, Row("time of exact scores of some edges", lm.name, each, "x", 1.0, "at most", note)]


def rise(n: int) -> float:
    """MB of the high-water mark above what is resident before every edge is scored by some pairs."""
    bench, pairs = EdgeBench(large(), no_cache, silent), random_pairs(n)
    bench.mean(pairs[:16], METHODS["EAP"])
    lower_the_mark()
    before = resident_mb()
    bench.mean(pairs, METHODS["EAP"])
    return peak_mb() - before


def memory(threads: int, repeats: int = 2) -> list[Row]:
    """Does it grow with the pairs?"""

    def of(n: int) -> float:
        again = [sys.executable, __file__, "--pairs", str(n), "--threads", str(threads)]
        done = subprocess.run(again, check=True, capture_output=True, text=True, env=os.environ | strict_malloc())
        return float(done.stdout.splitlines()[-1])

    few, many = (statistics.median(each) for each in zip(*((of(FEW), of(MANY)) for _ in range(repeats)), strict=True))
    name, what = "GPT-2, 12 x 12, 384 wide", "scores of every edge, EAP"
    return [
        Row(f"{what}: peak beyond the model, {FEW} pairs", name, few, "MB"),
        Row(f"{what}: peak, {MANY} pairs / {FEW} pairs", name, many / few, "x", 1.05),
    ]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--pairs", type=int, default=0)
    given = parser.parse_args()
    load = settle(given.threads)
    if given.pairs:
        print(rise(given.pairs))
        return
    torch.manual_seed(0)
    rows: list[Row] = []
    found: dict[str, Any] = {}
    for name, made in (("induction", of_induction), ("routed", of_routed)):
        more, found[name] = recovery(name, made)
        rows += more
    for kind in ("mlp_act", "z"):
        more, found[f"planted, {kind}"] = recovery_of_planted(kind)
        rows += more
    rows += speed(given.rounds)
    rows += memory(given.threads)
    write("circuits", rows, load=load, recovery=found)


if __name__ == "__main__":
    main()
