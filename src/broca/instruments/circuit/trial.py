"""A circuit on trial: taken away and kept alone, beside random circuits of its size and layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from broca.errors import GuardError
from broca.evidence import guards
from broca.evidence.conditions import CHUNK, Condition, LesionScorer
from broca.evidence.draws import LEAST, Draws
from broca.evidence.holding import Examination
from broca.evidence.matched_draws import KeptAlone, MatchedDraws
from broca.evidence.rungs import causal as causal_rung
from broca.evidence.trial import Conduct, LesionTrial
from broca.evidence.trial_scores import Abilities, TrialScores
from broca.evidence.verdict import Guard, Rung
from broca.interventions.circuit import Counterfactuals, EdgePatch
from broca.interventions.plant import text_key
from broca.models.circuit.pairs import CounterfactualPair
from broca.models.force import Intervention
from broca.models.lm import LM
from broca.stats.stopping import EVERY, decide, stopping_rule
from broca.units.edge_choices import random_edges
from broca.units.graph import EdgeMask

FILL = "counterfactual"
_ROUNDING = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.5, torch.float16: 0.1}
"""Logits by which a text may differ when its edges carry its own run: readers are computed anew, in another order."""


@dataclass(frozen=True)
class EdgePatching:
    """What a condition on edges puts in force: its edges patched from the counterfactuals."""

    counterfactuals: Counterfactuals

    def __call__(self, condition: Condition[Any], /) -> tuple[Intervention, ...]:
        return () if condition.name == "intact" else (EdgePatch(condition.mask, self.counterfactuals),)


@dataclass(frozen=True, slots=True, eq=False)
class CircuitTrial:
    """A circuit taken away, in trial as every lesion is, and kept alone beside random circuits that are."""

    removed: LesionTrial[EdgeMask]
    kept: Draws[EdgeMask]
    """Random circuits that are kept alone, in the order in which they are scored until they have decided."""
    wanted: int
    """How many of these were asked for."""


def circuit_trial(circuit: EdgeMask, sizes: Sequence[EdgeMask], *, draws: int, removed: int, seed: int) -> CircuitTrial:
    """Everything that is patched: the circuit's edges, those of smaller and larger circuits and of random ones, and all but each.

    Args:
        circuit: what the claim is about.
        sizes: smaller and larger circuits of the same ranking.
        draws: random circuits that are kept alone at most.
        removed: those that are taken away at most.
        seed: of the first.
    """
    main = Condition("lesion", circuit, side="remove", dose=100 * circuit.count / circuit.total, fill=FILL)
    drawn, matched = _draws(circuit, max(draws, removed), seed)
    random = [replace(main, name="random", mask=mask, seed=seed + i) for i, mask in enumerate(drawn)]
    others = [each for each in sizes if each.count and each.count != circuit.count]
    trial = LesionTrial(
        lesions=(main,),
        draws=Draws(tuple(random[:removed]), matched),
        sizes=tuple(replace(main, mask=each, dose=100 * each.count / each.total) for each in others),
        beside=(_keep(main),),
        wanted=removed,
    )
    return CircuitTrial(trial, Draws(tuple(map(_keep, random[:draws])), matched), draws)


def _keep(condition: Condition[EdgeMask]) -> Condition[EdgeMask]:
    """The same circuit kept alone: all other edges are patched."""
    return replace(condition, side="keep", mask=condition.mask.rest)


def _draws(circuit: EdgeMask, n: int, seed: int) -> tuple[tuple[EdgeMask, ...], str]:
    """Random circuits, and what they share with this one, in words: layers where these allow enough of them."""
    if not n:
        return (), "matched on size and layers"
    found = random_edges(circuit, n, seed)
    if len(found) >= min(n, LEAST):
        return found, "matched on size and layers"
    return random_edges(circuit, n, seed, match=False), "of as many edges"


def identity(lm: LM, edges: EdgeMask, pairs: Sequence[CounterfactualPair]) -> Guard:
    """Edges that carry a text's own run must change its logits by rounding at most, and nothing may stay behind.

    Raises:
        GuardError: if they do more: then a circuit would measure its own hooks.
    """
    texts = [pair.clean for pair in pairs[:8]]
    own = Counterfactuals({text_key(text.ids): text.ids for text in texts})
    before = lm.all_logits(texts)
    with lm.under(EdgePatch(edges, own)):
        kept = lm.all_logits(texts)
    after = lm.all_logits(texts)
    off = float((kept - before).abs().max())
    if not torch.equal(before, after) or off > _ROUNDING.get(lm.dtype, 0.5):
        raise GuardError(
            f"Edges that carried each text's own run changed its logits by {off:.2g}, so a circuit would measure its hooks. Is the model "
            "deterministic? Report this model's class."
        )
    return Guard(
        "identity",
        "passed",
        f"Edges that carry a text's own run move no logit by more than {off:.1g}; nothing stays behind.",
    )


def effect(lm: LM, patch: EdgePatch, pairs: Sequence[CounterfactualPair]) -> Guard:
    """See `broca.evidence.guards.effect`."""
    return guards.effect(lm, patch, [pair.clean for pair in pairs[:8]])


@dataclass(frozen=True, slots=True, eq=False)
class CircuitScores:
    """What every condition scored, and what random circuits kept alone decide."""

    removed: TrialScores
    kept: KeptAlone
    decision: MatchedDraws

    def rungs(self, passed: Sequence[Guard]) -> tuple[Rung, Rung]:
        """*Causal* and *specific*, as far as the guards let them stand."""
        marked = {guard.name: guard.text for guard in passed if guard.state == "marked"}
        how, scores = self.removed.how, self.removed
        causal = causal_rung.lesion(
            scores.own_scores,
            self.decision,
            alpha=how.alpha,
            claims=how.claims,
            smallest_effect=how.smallest_effect,
            seed=how.seed,
            kept=self.kept,
        )
        specific = scores.specific().undecided_if(marked.get("gate"))
        return causal.undecided_if(marked.get("gate")), specific.undecided_if(marked.get("shortcut"))


def hold(
    bench: LesionScorer,
    trial: CircuitTrial,
    abilities: Abilities,
    how: Conduct,
    *,
    known: Examination,
    others: Counterfactuals,
) -> CircuitScores:
    """Score every condition, then random circuits until they have decided: kept alone, and taken away where there are other abilities."""
    force, chunks = EdgePatching(others), -(-len(bench.items) // CHUNK)
    removed = trial.removed
    waiting = {tuple(each.address.values()) for each in removed.draws.conditions}
    first = [each for each in removed.conditions if tuple(each.address.values()) not in waiting]
    most = chunks * (len(first) + len(trial.kept.conditions) + len(removed.draws.conditions))
    done = 0

    def score(conditions: Sequence[Condition[EdgeMask]]) -> pl.DataFrame:
        nonlocal done
        before = done
        found = bench.tables(conditions, force, lambda n, _: bench.progress("scoring circuits", before + n, most))
        done += chunks * len(conditions)
        return pl.concat(found)

    scores = TrialScores(removed, abilities, pl.concat([known.intact, score(first)]), how)
    scores, kept, decision = _until_kept_decide(scores, trial, score)
    scores = scores.until_decided(lambda draws, _: score(draws))
    bench.progress("scoring circuits", most, most)
    return CircuitScores(scores, kept, decision)


def _until_kept_decide(
    scores: TrialScores, trial: CircuitTrial, score: Callable[[Sequence[Condition[EdgeMask]]], pl.DataFrame]
) -> tuple[TrialScores, KeptAlone, MatchedDraws]:
    """With random circuits kept alone, in their order, until they have decided."""
    draws, level = trial.kept.conditions, scores.how.level
    short = len(draws) if len(draws) < trial.wanted else None
    rule = stopping_rule(level, draws=max(trial.wanted, 1), distinct=short)
    kept = _kept_alone(scores)
    decision = decide(kept.random >= kept.circuit, rule)
    for start in range(0, len(draws), EVERY):
        if decision.state in ("passed", "failed"):
            break
        scores = replace(scores, items=pl.concat([scores.items, score(draws[start : start + EVERY])]))
        kept = _kept_alone(scores)
        decision = decide(kept.random >= kept.circuit, rule)
    return scores, kept, MatchedDraws(decision, trial.kept.matched, len(draws), short=short is not None)


def _kept_alone(scores: TrialScores) -> KeptAlone:
    """Right answers of the own ability, intact, and with circuits kept alone."""
    rows = scores.items.filter(pl.col("ability") == scores.own)
    means = rows.group_by("condition", "side", "seed", maintain_order=True).agg(pl.col("correct").mean())

    def of(condition: str, side: str) -> NDArray[np.float64]:
        return means.filter((pl.col("condition") == condition) & (pl.col("side") == side))["correct"].to_numpy()

    return KeptAlone(float(of("intact", "")[0]), float(of("lesion", "keep")[0]), of("random", "keep"))
