"""Score edges in one half of the items, choose a circuit there, and test it in the other half."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from broca.cache.cache import Cache, Progress, no_cache, silent
from broca.capture.edges import EdgeScoring
from broca.evidence.conditions import LesionScorer
from broca.evidence.duplicates import warn_of_near_duplicate_items
from broca.evidence.holding import examine
from broca.evidence.model import model_summary
from broca.evidence.trial import Conduct
from broca.evidence.verdict import Guard, Verdict
from broca.instruments.circuit import curve, ladder
from broca.instruments.circuit import trial as trials
from broca.instruments.circuit.choice import CircuitChoice, choose
from broca.instruments.circuit.findings import edge_frame, node_frame, shown_frame, writing_heads
from broca.instruments.circuit.ledger import ledger
from broca.instruments.circuit.pairs import PairedItems, counterfactuals, pair_items
from broca.instruments.circuit.paths import path_frame
from broca.instruments.circuit.result import CircuitResult
from broca.instruments.circuit.scores import EdgeBench
from broca.instruments.circuit.spec import Circuit
from broca.interventions.circuit import EdgePatch
from broca.models.circuit.parts import circuit_parts
from broca.models.lm import LM
from broca.page.words import count
from broca.scoring import chat_of
from broca.stats.reliability import halves
from broca.units.edge_choices import strongest
from broca.units.edge_paths import EdgePath, edge_paths

SIZES = (0.5, 1.5)
"""Times the circuit's edges that are taken away too."""
CITATIONS = (
    "Syed, Rager & Conmy (2023), Attribution patching outperforms automated circuit discovery, arXiv 2310.10348.",
    "Hanna, Pezzelle & Belinkov (2024), Have faith in faithfulness: going beyond circuit overlap when finding model mechanisms, COLM.",
    "Mueller et al. (2025), MIB: a mechanistic interpretability benchmark, ICML.",
    "Conmy et al. (2023), Towards automated circuit discovery for mechanistic interpretability, NeurIPS.",
    "Zhang & Nanda (2024), Towards best practices of activation patching in language models, ICLR.",
    "Phipson & Smyth (2010), Stat Appl Genet Mol Biol 9:39.",
    "Field & Welsh (2007), J R Stat Soc B 69:369-390.",
)
OF_ACTIVATIONS = (
    "Marks et al. (2024), Sparse feature circuits: discovering and editing interpretable causal graphs in language models, arXiv 2403.19647.",
)
OF_PATHS = (
    "Wang et al. (2023), Interpretability in the wild: a circuit for indirect object identification in GPT-2 small, ICLR.",
    "Goldowsky-Dill et al. (2023), Localizing model behavior with path patching, arXiv 2304.05969.",
)


def run(spec: Circuit, lm: LM, *, cache: Cache = no_cache, progress: Progress = silent) -> CircuitResult:
    """Score, choose, keep alone, take away, compare.

    Raises:
        SiteUnavailable: if the model's edges cannot be told apart.
        StimulusError: if too few items have a counterfactual of as many tokens.
        GuardError: if the model lacks the ability, or a patch would measure its own hook.
        SelectionError: if there is no such path.
        StatisticsError: if patching every edge changes no margin.
    """
    parts = circuit_parts(lm)
    paths = edge_paths(parts.graph, spec.paths)
    paired = {
        name: pair_items(lm, items, spec.counterfactual, spec.scorer, spec.seed, choices=spec.margin == "choices")
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
    chosen = choose(spec, bench, parts, choosing, testing)
    found = curve.curves(
        bench, testing.pairs, parts.graph, chosen.order, draws=spec.random_curves, seed=spec.seed
    )  # fmt: skip
    others = counterfactuals(list(paired.values()))
    same = trials.identity(lm, chosen.circuit, testing.pairs)
    bites = trials.effect(lm, EdgePatch(chosen.circuit, others), testing.pairs)
    made = _trial(spec, chosen, others=len(tested) > 1)
    scores = trials.hold(scorer, made, tested, how, known=known, others=others)
    data = _Data(paired, choosing, testing, own, paths)
    return _result(spec, bench, data, chosen, found, scores=scores, passed=(same, *known.guards, bites))


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    paired: Mapping[str, PairedItems]
    choosing: PairedItems
    testing: PairedItems
    own: str
    paths: tuple[EdgePath, ...]

    @property
    def warnings(self) -> list[str]:
        return [text for name, each in self.paired.items() for text in each.warnings(name)]


def _trial(spec: Circuit, chosen: CircuitChoice, *, others: bool) -> trials.CircuitTrial:
    n, absolute = chosen.circuit.count, spec.ranking == "absolute"
    graph = chosen.parts.graph
    counts = {max(1, round(times * n)) for times in SIZES}
    sizes = [strongest(graph, chosen.order, each, absolute=absolute) for each in sorted(counts) if each < graph.n_edges]
    draws = spec.enough_draws(spec.draws)
    return trials.circuit_trial(chosen.circuit, sizes, draws=draws, removed=draws if others else 0, seed=spec.seed)


def _shape(chosen: CircuitChoice) -> dict[str, Any]:
    """How the model is built, as far as a graph of it has to know."""
    graph = chosen.parts.graph
    return {
        "heads": graph.n_heads,
        "groups": graph.n_groups,
        "parallel": list(graph.parallel),
        "norm_behind_heads": any(each.post_norm for each in chosen.parts.layers),
    }


def _alike(data: _Data) -> tuple[str, ...]:
    """Warnings of items that are nearly the same text, in groups apart."""
    return warn_of_near_duplicate_items({name: each.items for name, each in data.paired.items()})


def _citations(spec: Circuit) -> tuple[str, ...]:
    """The works that this run's way of scoring rests on."""
    of_method = OF_ACTIVATIONS if spec.method == "ig-activations" else ()
    return (*CITATIONS, *of_method, *(OF_PATHS if spec.paths else ()))


def _result(
    spec: Circuit,
    bench: EdgeBench,
    data: _Data,
    chosen: CircuitChoice,
    found: curve.Curves,
    *,
    scores: trials.CircuitScores,
    passed: tuple[Guard, ...],
) -> CircuitResult:
    choosing, testing = data.choosing, data.testing
    tested = ladder.highest(chosen.circuit, chosen.order)
    how = EdgeScoring(spec.method, spec.steps, spec.rule)
    values = bench.each(testing.pairs, tested, how, "scoring the circuit's edges pair by pair")
    t, p_max, tells = ladder.tells(
        values, [item.cluster for item in testing.items], alpha=spec.level, seed=spec.seed
    )  # fmt: skip
    taken = curve.left_out(bench, testing.pairs, chosen.circuit, chosen.order, spec.minimal)
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
    tables = dict(removed.tables)
    tables.pop("second_wording")
    return CircuitResult(
        spec=spec,
        edges=edge_frame(
            bench.lm, testing, chosen, dict(zip(tested.tolist(), zip(t, p_max, strict=True), strict=True)), taken
        ),
        nodes=node_frame(chosen),
        curves=found.table,
        areas=found.areas,
        paths=path_frame(spec, bench, testing, data.paths, found),
        shown=shown_frame(bench.lm, testing),
        graph=_shape(chosen),
        pairs={
            "chose": chosen.n_first,
            "tested": chosen.n_second,
            "left_out": {name: each.left_out for name, each in data.paired.items() if each.left},
            "edges": chosen.parts.graph.n_edges,
            "margin": found.intact,
            "margin_patched": found.nothing,
        },
        verdict=verdict,
        guards=passed,
        warnings=(*bench.lm.notes, *data.warnings, *removed.trial.warnings(spec.level), *_alike(data)),
        claim=removed.in_words(f"{what} by patching", verdict.sentence),
        model=model_summary(bench.lm),
        citations=_citations(spec),
        ledger=ledger(spec, choosing.items),
        selected=writing_heads(bench.lm, chosen),
        **tables,
    )
