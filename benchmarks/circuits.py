"""Known circuits: which method ranks the edges that carry an answer first, and what scoring them costs.

The truth is what patching each edge alone shows: of `induction` what ``truth.json`` holds, of `routed` what is measured here on items
that no method sees. An edge is true if patching it alone costs at least a tenth of the margin. Times are ratios to one forward and one
backward pass over the same batch, through activations alone, taken in turns.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from ground import Row, arguments, settle, write
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from broca.capture.edges import EdgeScoring, score_edges, score_nodes
from broca.capture.gradient import differentiate
from broca.capture.metrics import LogitDifference
from broca.instruments.circuit.pairs import pair_items
from broca.models.build import fresh
from broca.models.circuit.pairs import CounterfactualPair
from broca.models.circuit.parts import circuit_parts
from broca.models.lm import LM
from broca.models.tokens import Tokens
from broca.organisms import organism_path
from broca.organisms.induction.truth import beside
from broca.scoring import Likelihood
from broca.sites import Site
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


def of_induction(lm: LM) -> tuple[list[CounterfactualPair], np.ndarray]:
    truth = json.loads((organism_path("induction") / "truth.json").read_text(encoding="utf-8"))
    graph = circuit_parts(lm).graph
    costs = np.array([truth["edges"][graph.name(edge)] for edge in range(graph.n_edges)])
    return [beside(lm, item) for item in induction(n=100, seed=11)], costs / truth["margin"]


def of_routed(lm: LM) -> tuple[list[CounterfactualPair], np.ndarray]:
    def pairs(seed: int, n: int) -> list[CounterfactualPair]:
        items = benchmark("beliefs/false-belief", n=n, seed=seed, detail=0.0)
        return list(pair_items(lm, items, "exchange", Likelihood(), 0).pairs)

    held = pairs(21, 64)
    costs = score_edges(lm, held, EdgeScoring("exact")).mean(0)
    margin = float(np.mean(margin_of(lm, held)))
    return pairs(22, 100), costs / margin


def margin_of(lm: LM, pairs: Sequence[CounterfactualPair]) -> np.ndarray:
    logits = lm.all_logits([pair.clean for pair in pairs]).double().numpy()
    rows = np.arange(len(pairs))
    return logits[rows, [p.right for p in pairs]] - logits[rows, [p.wrong for p in pairs]]


def recovery(
    name: str, made: Callable[[LM], tuple[list[CounterfactualPair], np.ndarray]]
) -> tuple[list[Row], dict[str, Any]]:
    lm = LM.load(name, dtype="float32", device="cpu")
    pairs, costs = made(lm)
    true = np.abs(costs) >= TRUE
    rows, found = [], {}
    for method, how in METHODS.items():
        scores = score_edges(lm, pairs, how).mean(0)
        area = float(roc_auc_score(true, np.abs(scores)))
        found[method] = {"auroc": area, "spearman": float(spearmanr(scores, costs).statistic)}
        wanted = 0.95 if method == "EAP-IG, midpoints" else None
        note = f"{int(true.sum())} of {len(true)} edges, rank correlation {found[method]['spearman']:.2f}"
        rows.append(Row(f"AUROC of true edges, {method}", name, area, "", wanted, "at least", note))
    return rows, found


def speed(rounds: int) -> list[Row]:
    """Scoring every edge of a model of 12 by 12 against forward and backward passes over the same batch."""
    lm = LM.wrap(fresh(GPT2, 0), None, name="GPT-2, 12 x 12, 384 wide")
    draw = np.random.default_rng(0)
    ids = draw.integers(3, 1000, (8, 24))
    other = ids.copy()
    other[:, 5] = draw.integers(3, 1000, 8)
    pairs = [
        CounterfactualPair(Tokens(tuple(a.tolist()), ""), Tokens(tuple(b.tolist()), ""), 10 + i, 20 + i)
        for i, (a, b) in enumerate(zip(ids, other, strict=True))
    ]
    circuit_parts(lm)
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
            graph = circuit_parts(lm).graph
            what = f"{len(graph.writers)} nodes" if name in nodes else f"{graph.n_edges} edges"
            note = f"of 2 forward and {m} forward and backward passes; {what}"
            rows.append(Row(f"time of {name}", lm.name, best[name] / whole, "x", bound, "at most", note))
    return rows


def main() -> None:
    given = arguments(__doc__).parse_args()
    load = settle(given.threads)
    torch.manual_seed(0)
    rows: list[Row] = []
    found: dict[str, Any] = {}
    for name, made in (("induction", of_induction), ("routed", of_routed)):
        more, found[name] = recovery(name, made)
        rows += more
    rows += speed(given.rounds)
    write("circuits", rows, load=load, recovery=found)


if __name__ == "__main__":
    main()
