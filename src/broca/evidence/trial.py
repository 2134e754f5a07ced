"""One selection on trial: scored intact, lesioned under each fill and at other sizes, and against matched draws.

Of units, heads, weights or edges alike. The *causal* and the *specific* rung of every instrument are functions of its table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Literal

import polars as pl

from broca.cache.cache import Progress
from broca.evidence import effects, guards
from broca.evidence.abilities import prompts
from broca.evidence.conditions import INTACT, C, Condition, Lesioning, LesionScorer, WeightMasking
from broca.evidence.draws import candidates, matched_units, matched_weights
from broca.evidence.rungs import causal as causal_rung
from broca.evidence.rungs import specific as specific_rung
from broca.evidence.verdict import Guard, Rung
from broca.interventions.lesion import check_mask
from broca.interventions.weights import WeightMask
from broca.items import Item
from broca.models.force import Intervention
from broca.scoring import chat_of
from broca.specs.fields import Edit, FillName, Positions
from broca.stimuli.blind_rules import baselines
from broca.units import UnitMask, WeightSet

CITATIONS = (
    "McNemar (1947), Psychometrika 12:153-157.",
    "Phipson & Smyth (2010), Stat Appl Genet Mol Biol 9:39.",
    "Field & Welsh (2007), J R Stat Soc B 69:369-390.",
    "Zhang & Nanda (2024), Towards best practices of activation patching, ICLR.",
    "Syed, Rager & Conmy (2023), Attribution patching outperforms automated circuit discovery, arXiv 2310.10348.",
)

Abilities = Mapping[str, Sequence[Item]]
"""The items of each ability, the own one first."""


@dataclass(frozen=True, slots=True)
class LesionTrial(Generic[C]):
    """Every condition of a selection's trial, apart from the intact one."""

    lesions: tuple[Condition[C], ...]
    """The selection, once under each fill; the first is the claim."""
    draws: tuple[Condition[C], ...] = ()
    """Random lesions that match it."""
    sizes: tuple[Condition[C], ...] = ()
    """Smaller and larger selections of the same ranking: does the effect hang on the size?"""
    beside: tuple[Condition[C], ...] = ()
    """What goes into the tables and decides nothing: a dose-response curve, other sides, other localizers."""
    wanted: int = 0
    """How many random lesions were asked for."""

    @property
    def claim(self) -> Condition[C]:
        """The lesion that the claim is about."""
        return self.lesions[0]

    @property
    def mask(self) -> C:
        """What is on trial."""
        return self.claim.mask

    @property
    def conditions(self) -> tuple[Condition[C], ...]:
        """Each condition once: a size may also be a point of the dose-response curve."""
        every = (*self.lesions, *self.draws, *self.sizes, *self.beside)
        return tuple({tuple(c.address.values()): c for c in every}.values())

    @property
    def warnings(self) -> tuple[str, ...]:
        """Says so where fewer selections match than were asked for."""
        n = len(self.draws)
        if n >= self.wanted:
            return ()
        text = (
            f"Only {n} distinct random selections match the lesioned one (asked: {self.wanted}), so p cannot be below "
            f"{1 / (n + 1):.2g}. Select more, or match on less."
        )
        return (text,)


@dataclass(frozen=True, eq=False)
class TrialScores:
    """What every condition of a trial scored, and what follows from it."""

    trial: LesionTrial[Any]
    abilities: Abilities
    items: pl.DataFrame
    """One row an item and condition, the intact model's first."""
    alpha: float
    boot: Mapping[str, int]
    """`n` and `seed` of the bootstrap."""

    @property
    def own(self) -> str:
        """The ability that the claim is about."""
        return next(iter(self.abilities))

    @property
    def claim(self) -> dict[str, Any]:
        """The address of the claim's lesion."""
        return self.trial.claim.address

    @property
    def others(self) -> list[dict[str, Any]]:
        """The addresses of the lesions of other localizers."""
        every = [c for c in self.trial.beside if c.name == "lesion" and c.localizer != self.trial.claim.localizer]
        return [condition.address for condition in every]

    @cached_property
    def able(self) -> tuple[str, ...]:
        """The other abilities that the intact model has."""
        return tuple(name for name in self.abilities if name != self.own and self._has(name))

    @property
    def unable(self) -> tuple[str, ...]:
        """The other abilities that it has not, as far as these items tell."""
        return tuple(name for name in self.abilities if name != self.own and name not in self.able)

    def _has(self, ability: str) -> bool:
        rows = self.items.filter((pl.col("condition") == "intact") & (pl.col("ability") == ability))
        return guards.gate(rows, self.abilities[ability], ability, alpha=self.alpha, stop=False).state == "passed"

    @cached_property
    def prompts(self) -> pl.DataFrame:
        """One row an item: its texts."""
        return prompts(self.abilities)

    @cached_property
    def matrix(self) -> pl.DataFrame:
        """One row a localizer and ability: see `effects.matrix`."""
        return effects.matrix(self.items, [self.claim, *self.others], own=self.own, boot=dict(self.boot))

    @cached_property
    def cell(self) -> dict[str, Any]:
        """What the claim's lesion does to the own ability."""
        return self.matrix.filter(pl.col("own")).row(0, named=True)

    def causal(self) -> Rung:
        """Does taking it away cost the ability more than matched random choices do?"""
        lesions, sizes = ([c.address for c in group] for group in (self.trial.lesions, self.trial.sizes))
        return causal_rung.lesion(self.items, self.cell, lesions, sizes, own=self.own, alpha=self.alpha)

    def area(self) -> tuple[str, dict[str, float]]:
        """The whole dose-response curve, in words and numbers."""
        return effects.area(self.items, self.claim, own=self.own)

    def specific(self) -> Rung:
        """Does it cost this ability more than others?"""
        return specific_rung.lesion(self.items, self.claim, own=self.own, able=self.able, boot=dict(self.boot))

    def dissociations(self) -> tuple[str, ...]:
        """Double dissociations between the claim's localizer and the others, in words."""
        lesions = [self.claim, *self.others]
        return specific_rung.dissociations(self.items, lesions, own=self.own, able=self.able, boot=dict(self.boot))

    def in_words(self, what: str, verdict: str) -> str:
        """The result in one sentence."""
        return effects.claim(self.cell, what, self.own, verdict)

    @property
    def tables(self) -> dict[str, Any]:
        """What every result of a trial holds, by field."""
        cell = self.cell
        return {
            "items": self.items,
            "prompts": self.prompts,
            "doses": effects.doses(self.items),
            "matrix": self.matrix,
            "baselines": baselines([item for group in self.abilities.values() for item in group]),
            "flipped": effects.flipped_items(self.items, self.prompts, self.claim),
            "estimate": {name: cell[key] for name, key in (("value", "effect"), ("low", "low"), ("high", "high"))}
            | {"unit": "accuracy", "n": cell["n"]},
        }


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a trial is held."""

    fills: tuple[FillName, ...] = ("zero", "mean", "resample")
    """What lesioned units are held at, or what masked weights become; the first is the claim."""
    positions: Positions = "all"
    gate: Literal["stop", "mark"] = "stop"
    alpha: float = 0.05
    n_bootstrap: int = 2000
    seed: int = 0


def trial_of(
    bench: LesionScorer,
    mask: UnitMask | WeightSet,
    how: Conduct,
    *,
    draws: int,
    match: Sequence[Literal["layer", "size"]],
    among: Literal["all", "rest"] = "rest",
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
        alive = candidates(bench.lm, mask)
        size = bench.sizes(list(alive), mask.grain) if "size" in match else None
        drawn = matched_units(lesions[0], draws, alive=alive, size=size, match=match, among=among, seed=how.seed)
        return LesionTrial(lesions, drawn, wanted=draws)
    masks = [(fill, WeightMask(mask, Edit(fill, seed=how.seed))) for fill in how.fills]
    masked = tuple(Condition("lesion", one, dose=100 * mask.count / mask.total, fill=fill) for fill, one in masks)
    family = "size" if "size" in match else "matrix"
    return LesionTrial(
        masked, tuple(matched_weights(bench.lm, masked[0], draws, family, how.seed, label="")), wanted=draws
    )


def forces(
    bench: LesionScorer, trial: LesionTrial[Any], how: Conduct
) -> Callable[[Condition[Any]], tuple[Intervention, ...]]:
    """What each condition of a trial puts in force; fills of units are measured on the items' own prompts."""
    if isinstance(trial.mask, UnitMask):
        sites = sorted({site for condition in trial.conditions for site in condition.mask.at})
        return Lesioning(bench.fills(how.fills, sites, how.seed), how.positions)
    return WeightMasking()


def hold(
    bench: LesionScorer, trial: LesionTrial[Any], abilities: Abilities, how: Conduct, progress: Progress
) -> tuple[TrialScores, tuple[Guard, ...]]:
    """Hold a trial: guards first, then the intact model, then every lesion.

    Args:
        bench: the model with all items.
        trial: what is lesioned.
        abilities: the items by ability.
        how: fills, positions, gate.
        progress: told what is being done.

    Raises:
        GuardError: if the model lacks the ability, or a lesion would measure its own hook.
    """
    lm, items, mask = bench.lm, bench.items, trial.mask
    checks = guards.probe(lm, items, chat_of(bench.scorer))
    same = guards.restored(lm, mask, checks) if isinstance(mask, WeightMask) else guards.identity(lm, mask, checks)
    passed = [same, guards.padding(lm), *guards.joins(lm, items, bench.scorer)]
    (intact,) = bench.tables([INTACT])
    own = next(iter(abilities))
    can = intact.filter(pl.col("ability") == own)
    passed.append(guards.gate(can, abilities[own], own, alpha=how.alpha, stop=how.gate == "stop"))
    passed.append(guards.shortcut(intact, abilities, alpha=how.alpha))
    force = forces(bench, trial, how)
    (lesion,) = force(trial.claim)
    passed.append(guards.effect(lm, lesion, checks))
    scored = bench.tables(trial.conditions, force, lambda done, total: progress("scoring lesions", done, total))
    boot = {"n": how.n_bootstrap, "seed": how.seed}
    return TrialScores(trial, abilities, pl.concat([intact, *scored]), how.alpha, boot), tuple(passed)


def rungs(scores: TrialScores, passed: Sequence[Guard], *, more: Sequence[tuple[str, Any]] = ()) -> tuple[Rung, Rung]:
    """*Causal* and *specific*, as far as the guards let them stand.

    Args:
        scores: of the trial.
        passed: the guards that ran.
        more: findings that stand beside the causal rung and do not decide it, in words and numbers.
    """
    marked = {guard.name: guard.text for guard in passed if guard.state == "marked"}
    causal = scores.causal()
    for text, numbers in (scores.area(), *more):
        causal = causal.more(text, numbers)
    return causal.failed_if(marked.get("gate")), scores.specific().failed_if(marked.get("shortcut"))
