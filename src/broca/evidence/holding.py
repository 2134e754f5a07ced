"""How a trial is held: the gate before anything is looked for, guards, every lesion, and random ones until they have decided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import polars as pl

from broca.capture.massive import massive_coordinates
from broca.evidence import guards
from broca.evidence.conditions import CHUNK, EQUAL, INTACT, Condition, Lesioning, LesionScorer, WeightMasking
from broca.evidence.draws import Draws, candidates, matched_units, matched_weights
from broca.evidence.families import families, with_equal_changes
from broca.evidence.rungs.causal import against_families
from broca.evidence.trial import Conduct, LesionTrial
from broca.evidence.trial_scores import Abilities, TrialScores
from broca.evidence.verdict import Guard, Rung
from broca.interventions.lesion import check_mask
from broca.interventions.weights import WeightMask
from broca.items import Item
from broca.models.force import Intervention
from broca.models.lm import LM
from broca.models.tokens import Tokens
from broca.page.words import count
from broca.scoring import chat_of
from broca.specs.fields import Edit
from broca.units import UnitMask, WeightSet


def trial_of(
    bench: LesionScorer,
    mask: UnitMask | WeightSet,
    how: Conduct,
    *,
    draws: int,
    match: Sequence[Literal["layer", "size"]],
    among: Literal["all", "rest"] = "all",
) -> LesionTrial[Any]:
    """The trial of a selection that was given: nothing was ranked, so there is no other size of it.

    Args:
        bench: the model with all items.
        mask: units, heads or weights.
        how: fills and seed.
        draws: random lesions to compare with.
        match: what they share with the selection. Of weights there are as many in each matrix anyway.
        among: whether units of the selection may be drawn.

    Raises:
        SelectionError: if too few others are left to draw from.
    """
    if isinstance(mask, UnitMask):
        check_mask(bench.lm, mask)
        dose = 100 * mask.count / mask.total
        lesions = tuple(Condition("lesion", mask, dose=dose, fill=fill) for fill in how.fills)
        # A feature that never fires on these items would be a draw that does nothing.
        alive = candidates(bench.lm, mask)
        alive |= bench.feature_statistics(list(alive)).fires
        size = bench.sizes(list(alive), mask.grain) if "size" in match else None
        drawn = matched_units(lesions[0], draws, alive=alive, size=size, match=match, among=among, seed=how.seed)
        return LesionTrial(lesions, drawn, wanted=draws)
    masks = [(fill, WeightMask(mask, Edit(fill, seed=how.seed))) for fill in how.fills]
    masked = tuple(Condition("lesion", one, dose=100 * mask.count / mask.total, fill=fill) for fill, one in masks)
    family = "size" if "size" in match else "matrix"
    drawn = tuple(matched_weights(bench.lm, masked[0], draws, family, how.seed, label=""))
    return LesionTrial(masked, Draws(drawn, f"matched on {family}"), wanted=draws)


def forces(
    bench: LesionScorer, trial: LesionTrial[Any], how: Conduct
) -> Callable[[Condition[Any]], tuple[Intervention, ...]]:
    """What each condition of a trial puts in force; fills of units are measured on the items' own prompts."""
    if isinstance(trial.mask, UnitMask):
        sites = sorted({site for condition in trial.conditions for site in condition.mask.at})
        return Lesioning(bench.fills(how.fills, sites, how.seed), how.positions)
    return WeightMasking()


@dataclass(frozen=True, slots=True)
class Examination:
    """What the intact model answers, and whether it has the ability: known before anything is looked for."""

    intact: pl.DataFrame
    guards: tuple[Guard, ...]


def examine(bench: LesionScorer, abilities: Abilities, how: Conduct) -> Examination:
    """Score the intact model: the gate, before anything is localized or trained.

    Args:
        bench: the model with all items.
        abilities: the items by ability.
        how: gate and level.

    Raises:
        GuardError: if the model lacks the ability, and the gate stops.
    """
    passed = [guards.padding(bench.lm), *guards.joins(bench.lm, bench.items, bench.scorer)]
    (intact,) = bench.tables(
        [INTACT], progress=lambda done, total: bench.progress("scoring the intact model", done, total)
    )
    own = next(iter(abilities))
    can = intact.filter(pl.col("ability") == own)
    passed.append(guards.gate(can, abilities[own], own, alpha=how.alpha, stop=how.gate == "stop"))
    passed.append(guards.shortcut(intact, abilities, alpha=how.alpha))
    return Examination(intact, tuple(passed))


def hold(
    bench: LesionScorer,
    trial: LesionTrial[Any],
    abilities: Abilities,
    how: Conduct,
    *,
    examined: Examination | None = None,
    rewordings: Sequence[Item] = (),
) -> tuple[TrialScores, tuple[Guard, ...]]:
    """Hold a trial: guards first, then every lesion, then random ones until they have decided.

    Args:
        bench: the model with all items.
        trial: what is lesioned.
        abilities: the items by ability.
        how: fills, positions, gate.
        examined: the intact model, where it was examined before.
        rewordings: items of the own ability in other words, to be scored intact and under the claim's fills.

    Raises:
        GuardError: if the model lacks the ability, or a lesion would measure its own hook.
    """
    known = examined or examine(bench, abilities, how)
    lm, mask = bench.lm, trial.mask
    checks = guards.probe(lm, bench.items, chat_of(bench.scorer))
    same = guards.restoration(lm, mask, checks) if isinstance(mask, WeightMask) else guards.identity(lm, mask, checks)
    trial, massive = (trial, ()) if isinstance(mask, WeightMask) else _without_massive(lm, trial, checks)
    trial = with_equal_changes(trial, how.level, how.seed)
    force = forces(bench, trial, how)
    (lesion,) = force(trial.claim)
    passed = (same, *known.guards, guards.effect(lm, lesion, checks), *massive)
    waiting = {tuple(each.address.values()) for each in trial.draws.conditions}
    first = [each for each in trial.conditions if tuple(each.address.values()) not in waiting]

    chunks = -(-len(bench.items) // CHUNK)
    most = chunks * len(trial.conditions)

    def score(conditions: Sequence[Condition[Any]], before: int) -> pl.DataFrame:
        def tell(done: int, _: int) -> None:
            if done or not before:
                bench.progress("scoring lesions", before * chunks + done, most)

        return pl.concat(bench.tables(conditions, force, tell))

    scores = TrialScores(trial, abilities, pl.concat([known.intact, score(first, 0)]), how)
    scores = scores.until_decided(lambda draws, before: score(draws, len(first) + before))
    if scores.decision.until:
        bench.progress("scoring lesions", most, most)
    other = replace(bench, items=rewordings)

    def reword(lesions: Sequence[Condition[Any]]) -> pl.DataFrame:
        told = partial(bench.progress, "scoring the second wording")
        return pl.concat(other.tables([INTACT, *lesions], force, told))

    return scores.with_rewordings(rewordings, reword), passed


def _without_massive(
    lm: LM, trial: LesionTrial[UnitMask], checks: Sequence[Tokens]
) -> tuple[LesionTrial[UnitMask], tuple[Guard, ...]]:
    """The trial with a condition that leaves the massive coordinates of the selection alone, and the guard that says so."""
    claim = trial.claim
    if claim.mask.grain != "unit":
        return trial, ()
    sites = [site for site, on in claim.mask.at.items() if on.any()]
    massive = massive_coordinates(lm, checks, sites)
    hit = {site: claim.mask.at[site] & massive[site] for site in sites}
    names = [f"{site}:{unit}" for site, on in hit.items() for unit in on.nonzero()[0]]
    if not names:
        return trial, (
            Guard("massive coordinates", "passed", "No lesioned unit carries massive activations at any token."),
        )
    text = f"{count(len(names), 'lesioned unit')} carry massive activations at some token ({', '.join(names[:5])}): every task needs them."
    guard = Guard("massive coordinates", "marked", text)
    if len(names) == claim.mask.count:
        return trial, (guard,)
    left = UnitMask({site: on & ~hit.get(site, on & False) for site, on in claim.mask.at.items()}, claim.mask.grain)
    name = f"{claim.localizer} without massive coordinates".strip()
    rest = replace(claim, mask=left, localizer=name, dose=claim.dose * left.count / claim.mask.count)
    return replace(trial, without=rest), (guard,)


def rungs(scores: TrialScores, passed: Sequence[Guard], *, more: Sequence[tuple[str, Any]] = ()) -> tuple[Rung, Rung]:
    """*Causal* and *specific*, as far as the guards let them stand.

    Args:
        scores: of the trial.
        passed: the guards that ran.
        more: findings that stand beside the causal rung and do not decide it, in words and numbers.
    """
    marked = {guard.name: guard.text for guard in passed if guard.state == "marked"}
    equal = families(scores, (EQUAL,))
    causal = against_families(scores.causal(), equal, scores.how.level, of="directions")
    for text, numbers in (scores.area(), *more):
        causal = causal.more(text, numbers)
    specific = scores.specific().undecided_if(marked.get("gate"))
    return causal.undecided_if(marked.get("gate")), specific.undecided_if(marked.get("shortcut"))
