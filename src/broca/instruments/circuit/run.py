"""Score edges in one half of the items, choose a circuit there, and test it in the other half."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from broca.cache.cache import Cache, Progress, no_cache, silent
from broca.capture.edges import EdgeScoring, Floats, node_scores
from broca.evidence.conditions import LesionScorer
from broca.evidence.duplicates import warn_of_near_duplicate_items
from broca.evidence.holding import examine
from broca.evidence.model import model_summary
from broca.evidence.trial import Conduct
from broca.evidence.verdict import Guard, Verdict
from broca.instruments.circuit import curve, ladder
from broca.instruments.circuit import trial as trials
from broca.instruments.circuit.ledger import ledger
from broca.instruments.circuit.pairs import PairedItems, counterfactuals, pair_items
from broca.instruments.circuit.result import CircuitResult
from broca.instruments.circuit.scores import EdgeBench
from broca.instruments.circuit.spec import Circuit
from broca.interventions.circuit import EdgePatch
from broca.models.circuit.parts import CircuitParts, circuit_parts
from broca.models.lm import LM
from broca.page.words import count
from broca.scoring import chat_of
from broca.sites import Site
from broca.stats.reliability import halves
from broca.units import UnitMask
from broca.units.graph import EdgeMask, strongest

SIZES = (0.5, 1.5)
"""Times the circuit's edges that are taken away too."""
EXAMPLES = 4
CITATIONS = (
    "Syed, Rager & Conmy (2023), Attribution patching outperforms automated circuit discovery, arXiv 2310.10348.",
    "Hanna, Pezzelle & Belinkov (2024), Have faith in faithfulness: going beyond circuit overlap when finding model mechanisms, COLM.",
    "Mueller et al. (2025), MIB: a mechanistic interpretability benchmark, ICML.",
    "Conmy et al. (2023), Towards automated circuit discovery for mechanistic interpretability, NeurIPS.",
    "Zhang & Nanda (2024), Towards best practices of activation patching in language models, ICLR.",
    "Phipson & Smyth (2010), Stat Appl Genet Mol Biol 9:39.",
    "Field & Welsh (2007), J R Stat Soc B 69:369-390.",
)


def run(spec: Circuit, lm: LM, *, cache: Cache = no_cache, progress: Progress = silent) -> CircuitResult:
    """Score, choose, keep alone, take away, compare.

    Raises:
        SiteUnavailable: if the model's edges cannot be told apart.
        StimulusError: if too few items have a counterfactual of as many tokens.
        GuardError: if the model lacks the ability, or a patch would measure its own hook.
        StatisticsError: if patching every edge changes no margin.
    """
    parts = circuit_parts(lm)
    paired = {
        name: pair_items(lm, items, spec.counterfactual, spec.scorer, spec.seed)
        for name, items in spec.abilities.items()
    }
    own = next(iter(paired))
    groups = [item.cluster for item in paired[own].items]
    choosing, testing = (
        paired[own].part(each) for each in halves(len(groups), seed=spec.seed, groups=np.array(groups))
    )
    tested = {name: testing.items if name == own else each.items for name, each in paired.items()}
    scorer = LesionScorer(
        lm,
        tuple(item for items in tested.values() for item in items),
        spec.scorer,
        chat_of(spec.scorer),
        cache,
        progress,
    )
    how = Conduct(
        (), gate=spec.gate, alpha=spec.alpha, claims=spec.claims, smallest_effect=spec.smallest_effect,
        n_bootstrap=spec.n_bootstrap, seed=spec.seed,
    )  # fmt: skip
    known = examine(scorer, tested, how)
    bench = EdgeBench(lm, cache, progress)
    chosen = _choose(spec, bench, parts, choosing, testing)
    found = curve.curves(
        bench, testing.pairs, parts.graph, chosen.first, draws=spec.random_curves, seed=spec.seed
    )  # fmt: skip
    others = counterfactuals(list(paired.values()))
    same = trials.identity(lm, chosen.circuit, testing.pairs)
    bites = trials.effect(lm, EdgePatch(chosen.circuit, others), testing.pairs)
    made = _trial(spec, chosen, others=len(tested) > 1)
    scores = trials.hold(scorer, made, tested, how, known=known, others=others)
    data = _Data(paired, choosing, testing, own)
    return _result(spec, bench, data, chosen, found, scores=scores, passed=(same, *known.guards, bites))


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    paired: Mapping[str, PairedItems]
    choosing: PairedItems
    testing: PairedItems
    own: str

    @property
    def warnings(self) -> list[str]:
        return [text for name, each in self.paired.items() for text in each.warnings(name)]


@dataclass(frozen=True, slots=True, eq=False)
class _Chosen:
    """The scores of every edge in either half, and the circuit."""

    parts: CircuitParts
    first: Floats
    second: Floats
    exact: Floats
    """By one run each, NaN where there was none."""
    circuit: EdgeMask
    n_first: int
    n_second: int

    @property
    def all(self) -> Floats:
        """Of all pairs."""
        return (self.first * self.n_first + self.second * self.n_second) / (self.n_first + self.n_second)


def _choose(
    spec: Circuit, bench: EdgeBench, parts: CircuitParts, choosing: PairedItems, testing: PairedItems
) -> _Chosen:
    graph, how = parts.graph, EdgeScoring(spec.method, spec.steps, spec.rule)
    first = bench.mean(choosing.pairs, how, "scoring edges in the half that chooses")
    second = bench.mean(testing.pairs, how, "scoring edges in the other half")
    exact = first.copy() if spec.method == "exact" else np.full(graph.n_edges, np.nan)
    if spec.rescore:
        top = np.flatnonzero(strongest(graph, first, spec.rescore, absolute=spec.ranking == "absolute").on)
        exact[top] = bench.each(choosing.pairs, top, None, "scoring the highest edges exactly").mean(0)
        first = np.where(np.isnan(exact), _below(first, exact), exact)
    n = spec.edges
    if n is None and spec.percent is not None:
        n = max(1, round(spec.percent / 100 * graph.n_edges))
    if n is None:
        n = curve.smallest_faithful(
            bench, choosing.pairs, graph, first, ranking=spec.ranking, enough=spec.faithful
        )  # fmt: skip
    circuit = strongest(graph, first, min(n, graph.n_edges), absolute=spec.ranking == "absolute")
    return _Chosen(parts, first, second, exact, circuit, len(choosing.pairs), len(testing.pairs))


def _below(estimates: Floats, exact: Floats) -> Floats:
    """Estimates of edges without a run of their own, none above the lowest that has one: the others rank behind."""
    least = np.nanmin(np.abs(exact))
    largest = np.abs(estimates[np.isnan(exact)]).max(initial=0.0)
    return estimates * min(1.0, least / largest) if largest else estimates


def _trial(spec: Circuit, chosen: _Chosen, *, others: bool) -> trials.CircuitTrial:
    n, absolute = chosen.circuit.count, spec.ranking == "absolute"
    graph = chosen.parts.graph
    counts = {max(1, round(times * n)) for times in SIZES}
    sizes = [strongest(graph, chosen.first, each, absolute=absolute) for each in sorted(counts) if each < graph.n_edges]
    draws = spec.enough_draws(spec.draws)
    return trials.circuit_trial(chosen.circuit, sizes, draws=draws, removed=draws if others else 0, seed=spec.seed)


def _result(
    spec: Circuit,
    bench: EdgeBench,
    data: _Data,
    chosen: _Chosen,
    found: curve.Curves,
    *,
    scores: trials.CircuitScores,
    passed: tuple[Guard, ...],
) -> CircuitResult:
    choosing, testing = data.choosing, data.testing
    tested = ladder.highest(chosen.circuit, chosen.first)
    how = EdgeScoring(spec.method, spec.steps, spec.rule)
    values = bench.each(testing.pairs, tested, how, "scoring the circuit's edges pair by pair")
    t, p_max, tells = ladder.tells(
        values, [item.cluster for item in testing.items], alpha=spec.level, seed=spec.seed
    )  # fmt: skip
    taken = curve.left_out(bench, testing.pairs, chosen.circuit, chosen.first, spec.minimal)
    learned = ladder.beyond_twins(
        bench, (choosing.pairs, testing.pairs), chosen.circuit, twins=spec.enough_twins(spec.twins), alpha=spec.level,
        seed=spec.seed,
    )  # fmt: skip
    causal, specific = scores.rungs(passed)
    removed = scores.removed
    verdict = Verdict.of(
        tells, ladder.agree(chosen.first, chosen.second, chosen.circuit.count), learned, causal, specific
    )
    what = f"the {count(chosen.circuit.count, 'edge')} ({chosen.circuit.count / chosen.circuit.total:.2%}) of the circuit for {data.own} in {bench.lm.name}"
    graph = chosen.parts.graph
    tables = dict(removed.tables)
    tables.pop("second_wording")
    return CircuitResult(
        spec=spec,
        edges=_edges(chosen, dict(zip(tested.tolist(), zip(t, p_max, strict=True), strict=True)), taken),
        nodes=_nodes(chosen),
        curves=found.table,
        areas=found.areas,
        shown=_shown(bench.lm, testing),
        graph={"heads": graph.n_heads, "groups": graph.n_groups, "parallel": list(graph.parallel)},
        verdict=verdict,
        guards=passed,
        warnings=(
            *bench.lm.notes,
            *data.warnings,
            *removed.trial.warnings(spec.level),
            *warn_of_near_duplicate_items({name: each.items for name, each in data.paired.items()}),
        ),
        claim=removed.in_words(f"{what} by patching", verdict.sentence),
        model=model_summary(bench.lm),
        citations=CITATIONS,
        ledger=ledger(spec, choosing.items),
        method=_method(spec, chosen, found),
        selected=_heads(bench.lm, chosen),
        **tables,
    )


def _edges(chosen: _Chosen, tested: Mapping[int, tuple[float, float]], taken: Mapping[int, float]) -> pl.DataFrame:
    """`EDGES`, the highest first."""
    graph, score = chosen.parts.graph, chosen.all
    nothing = (None, None)
    rows = [
        {
            "edge": graph.name(i),
            "writer": graph.writers[graph.edges[i, 0]],
            "reader": graph.readers[graph.edges[i, 1]],
            "writer_layer": int(graph.layers[i, 0]),
            "reader_layer": int(graph.layers[i, 1]),
            "score": float(score[i]),
            "first": float(chosen.first[i]),
            "second": float(chosen.second[i]),
            "exact": None if np.isnan(chosen.exact[i]) else float(chosen.exact[i]),
            "t": tested.get(i, nothing)[0],
            "p_max": tested.get(i, nothing)[1],
            "circuit": bool(chosen.circuit.on[i]),
            "left_out": taken.get(i),
        }
        for i in np.argsort(-np.abs(chosen.first), kind="stable").tolist()
    ]
    table = pl.DataFrame(rows, infer_schema_length=None)
    return table.with_columns(pl.col("exact", "t", "p_max", "left_out").cast(pl.Float64))


def _nodes(chosen: _Chosen) -> pl.DataFrame:
    graph = chosen.parts.graph
    layers = [-1, *(layer for layer in range(graph.n_layers) for _ in range(graph.n_heads + 1))]
    leaving = chosen.circuit.matrix.sum(1)
    scores = node_scores(chosen.all, chosen.parts)
    rows = [
        {"node": name, "layer": layers[i], "score": float(scores[name]), "circuit": int(leaving[i])}
        for i, name in enumerate(graph.writers)
    ]
    return pl.DataFrame(rows).sort(pl.col("score").abs(), descending=True, maintain_order=True)


def _heads(lm: LM, chosen: _Chosen) -> UnitMask | None:
    """The heads that write on an edge of the circuit; None where none does."""
    graph, writes = chosen.parts.graph, np.asarray(chosen.circuit.matrix.any(1))
    found = {Site(layer, "z"): writes[graph.heads_of(layer)].copy() for layer in range(lm.anatomy.n_layers)}
    return UnitMask(found, "head") if any(on.any() for on in found.values()) else None


def _shown(lm: LM, testing: PairedItems) -> pl.DataFrame:
    rows = [
        {
            "id": item.id,
            "text": lm.tokenizer.decode(pair.clean.ids),
            "counterfactual": lm.tokenizer.decode(pair.counterfactual.ids),
            "right": lm.tokenizer.decode([pair.right]),
            "wrong": lm.tokenizer.decode([pair.wrong]),
        }
        for item, pair in zip(testing.items[:EXAMPLES], testing.pairs[:EXAMPLES], strict=True)
    ]
    return pl.DataFrame(rows)


_METHODS = {
    "eap": "by the gradient at the text itself (attribution patching of edges)",
    "eap-ig": "by the mean gradient at {steps} points ({rule} rule) of the line from the counterfactual's input to the text's",
    "ig-activations": "by the mean gradient at {steps} points ({rule} rule) of the lines between what each layer's heads, or its MLP, write",
    "exact": "by one run each",
}


def _method(spec: Circuit, chosen: _Chosen, found: curve.Curves) -> str:
    """How it was done, in words."""
    graph = chosen.parts.graph
    words = _METHODS[spec.method].format(steps=spec.steps, rule=spec.rule)
    again = f" The {spec.rescore} highest were scored again by one run each." if spec.rescore else ""
    shared = (
        " Heads that share a key and a value read them through one edge, not one a head as in MIB."
        if graph.n_groups != graph.n_heads
        else ""
    )
    behind = (
        " Behind the norms that follow its heads, each head's share is what the norm's scale in that run makes of it."
        if any(each.post_norm for each in chosen.parts.layers)
        else ""
    )
    return (
        f"Each of {graph.n_edges:,} edges was scored {words}, in {chosen.n_first} pairs of which no group is among the {chosen.n_second} "
        f"that test.{again} The margin is the logit of the right answer's first token minus that of the counterfactual's: "
        f"{found.intact:.2f} in the model, {found.nothing:.2f} with every edge patched.{shared}{behind}"
    )
