"""Claims about circuits: the rungs on noise, circuits of edges by lot in two organisms, looked up, and organisms whose circuit is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from broca.cache.cache import no_cache
from broca.evidence.ability_scores import AbilityScores
from broca.evidence.conditions import INTACT, Condition, LesionScorer
from broca.evidence.matched_draws import KeptAlone, MatchedDraws
from broca.evidence.rungs import causal, learned, specific
from broca.instruments.circuit import ladder
from broca.instruments.circuit.pairs import counterfactuals, pair_items
from broca.instruments.circuit.spec import Circuit
from broca.instruments.circuit.trial import FILL, EdgePatching
from broca.items import Item
from broca.models.circuit.parts import circuit_parts
from broca.models.lm import LM
from broca.scoring import Likelihood, chat_of
from broca.stats.intervals import codes
from broca.stats.stopping import decide, stopping_rule
from broca.stimuli.benchmarks import benchmark
from broca.units.edge_choices import random_edges
from broca.units.graph import EdgeMask
from certificate.parts import NOMINAL, Kept
from certificate.rows import Row, share
from certificate.studies import Outcome

TRUE = 20
"""Whole studies of the organism."""
PAIRS, EDGES, TWINS = 60, 30, 19
SIZES = (20, 90)
"""Edges of the circuits by lot, of 110: of the large ones about half hold all seven that carry the ability."""
ITEMS = 96
"""Of the own ability and of the other one together, which are parted by lot."""
STUDY: dict[str, Any] = {
    "items": "induction", "n_items": 32, "draws": 60, "twins": 0, "random_curves": 0, "minimal": 0, "steps": 3, "edges": 5,
}  # fmt: skip


def rows(kept: Kept, n: int) -> list[Row]:
    """Rungs on noise, n of each; n circuits by lot; and whole studies."""
    noise = kept("circuit: scores of noise", n, _selective)
    alike = kept("circuit: a network like its twins", n, _learned)
    truth = kept("circuit: the induction organism, whole", TRUE, _whole)
    found = [
        share("circuit", "pairs' scores of any sign", noise, claim="selective", bound=NOMINAL),
        share("circuit", "a network that is one of its twins", alike, claim="learned", bound=NOMINAL),
    ]
    for size in SIZES:
        scored = kept(f"circuit: {size} edges by lot, scored", 1, lambda _, size=size: Lots(size, n // 2 + 1).tables)
        states = kept(
            f"circuit: {size} edges by lot",
            n // 2,
            lambda k, size=size, of=scored[0]: Lots(size, n // 2 + 1, of).claim(k),
        )
        what = f"{size} edges by lot of `induction`, kept alone and taken away"
        found.append(share("circuit", what, [each["causal"] for each in states], claim="causal", bound=NOMINAL))
        found.append(share("circuit", what, [each["specific"] for each in states], claim="specific", bound=NOMINAL))
        places = [Outcome(each["causal"], each["specific"], 0).place for each in states]
        found.append(share("circuit", what, places, claim="causal and specific", bound=NOMINAL))
    for rung in ("selective", "reliable", "causal"):
        states = [each[rung] for each in truth]
        found.append(
            share("circuit", "`induction`, 5 edges, whole studies", states, claim=rung, bound=0.8, side="at least")
        )
    states = [each["causal"] for each in truth]
    return [*found, share("circuit", "`induction`, 5 edges, whole studies", states, of="undecided", bound=0.15)]


def _selective(k: int) -> str:
    """Scores whose signs are arbitrary, heavy tails and all."""
    rng = np.random.default_rng([k, 1])
    values = rng.standard_t(3, (PAIRS, EDGES)) * rng.gamma(1, 1, EDGES)
    return ladder.tells(values, [str(i // 2) for i in range(PAIRS)], alpha=NOMINAL, seed=k)[2].state


def _learned(k: int) -> str:
    """A figure that is drawn as those of its twins are."""
    own, *twins = np.random.default_rng([k, 2]).normal(size=TWINS + 1).tolist()
    return learned.circuit_edges(own, twins, most=TWINS, pairs=PAIRS, alpha=NOMINAL).state


def _whole(k: int) -> dict[str, str]:
    """A whole study of the organism."""
    lm = LM.load("induction", dtype="float32", device="cpu")
    found = Circuit(**STUDY, seed=k, options={"seed": k}).run(lm)
    return {rung.name: rung.state for rung in found.verdict.rungs}


Columns = Mapping[str, list[list[Any]]]
"""Right answers, margins and choices, (circuit, item)."""


@dataclass(frozen=True)
class Lots:
    """Circuits of edges by lot, each scored once; the draws of each are the others."""

    size: int
    n: int
    known: Mapping[str, Columns] | None = None
    """What `tables` gave before."""

    @cached_property
    def abilities(self) -> dict[str, tuple[Item, ...]]:
        """The own one and the other one, which are parted by lot."""
        every = benchmark("induction", n=ITEMS, seed=5)
        own = np.random.default_rng(self.size).permutation(ITEMS) < ITEMS // 2
        named = [replace(item, ability="own" if mine else "other") for item, mine in zip(every, own, strict=True)]
        return {name: tuple(item for item in named if item.ability == name) for name in ("own", "other")}

    @cached_property
    def tables(self) -> Mapping[str, Columns]:
        """Of the intact model, of every circuit taken away, and kept alone."""
        lm = LM.load("induction", dtype="float32", device="cpu")
        paired = {name: pair_items(lm, items, "auto", Likelihood(), 0) for name, items in self.abilities.items()}
        every = [item for each in paired.values() for item in each.items]
        assert len(every) == ITEMS
        bench = LesionScorer(lm, every, Likelihood(), chat_of(Likelihood()), no_cache)
        graph = circuit_parts(lm).graph
        circuits = random_edges(graph.mask(range(self.size)), self.n, 0, match=False)
        force = EdgePatching(counterfactuals(list(paired.values())))
        return {
            "intact": _columns(bench, [INTACT], force),
            "remove": _columns(bench, [_condition(each, "remove") for each in circuits], force),
            "keep": _columns(bench, [_condition(each.rest, "keep") for each in circuits], force),
        }

    def claim(self, k: int) -> dict[str, str]:
        """*Causal* and *specific* of the k-th circuit."""
        tables = self.known if self.known is not None else self.tables
        order = [i for i in np.random.default_rng([self.size, k]).permutation(self.n) if i != k]
        half = ITEMS // 2
        parts = {"own": slice(0, half), "other": slice(half, ITEMS)}
        scores = {name: self._scores(tables, name, parts[name], k, order) for name in parts}
        rule = stopping_rule(NOMINAL, draws=len(order), distinct=len(order))
        alone = np.array(tables["keep"]["right"], dtype=float)[:, parts["own"]].mean(1)
        intact = float(np.mean(tables["intact"]["right"][0][parts["own"]]))
        kept = KeptAlone(intact, float(alone[k]), alone[order])
        by_kept = MatchedDraws(decide(kept.random >= kept.circuit, rule), "of as many edges", len(order), short=True)
        by_loss = MatchedDraws(decide(scores["own"].as_costly, rule), "of as many edges", len(order), short=True)
        return {
            "causal": causal.lesion(scores["own"], by_kept, alpha=NOMINAL, kept=kept).state,
            "specific": specific.lesion(scores["own"], [scores["other"]], by_loss, alpha=NOMINAL).state,
        }

    def _scores(
        self, tables: Mapping[str, Columns], name: str, part: slice, k: int, order: Sequence[int]
    ) -> AbilityScores:
        items = self.abilities[name]
        columns = {
            condition: {column: np.array(rows, dtype=float)[:, part] for column, rows in found.items()}
            for condition, found in tables.items()
        }
        intact, removed = columns["intact"], columns["remove"]
        return AbilityScores(
            name, items, codes(np.array([item.cluster for item in items])), intact["right"][0], intact["margin"][0], (FILL,),
            removed["right"][[k]], removed["margin"][[k]], removed["predicted"][k].astype(int), {}, removed["right"][order],
        )  # fmt: skip


def _condition(mask: EdgeMask, side: str) -> Condition[EdgeMask]:
    return Condition("lesion", mask, side=side, dose=100 * mask.count / mask.total, fill=FILL)


def _columns(
    bench: LesionScorer, conditions: Sequence[Condition[Any]], force: EdgePatching
) -> dict[str, list[list[Any]]]:
    names = {"right": "correct", "margin": "score", "predicted": "predicted"}
    tables = bench.tables(conditions, force)
    return {name: [table[column].to_list() for table in tables] for name, column in names.items()}
