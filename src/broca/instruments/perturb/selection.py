"""Typo heads, typo neurons, typo features: what restores answers when it alone is patched, chosen in one half of the cases and tested in the other.

Ranked by what patches give (heads) or are estimated to give (neurons, features). The causal rung patches the whole choice together in
cases that did not choose it, beside random choices of the same layers; the specific one lends it the clean run of another
text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from broca.errors import SiteUnavailable, StatisticsError
from broca.evidence.conditions import Condition
from broca.evidence.draws import Draws, candidates, matched_units
from broca.evidence.features import measure
from broca.evidence.ledger import group_digest
from broca.evidence.matched_draws import MatchedDraws
from broca.evidence.rungs import causal, learned, reliable, selective, specific
from broca.evidence.verdict import Rung
from broca.instruments.perturb.grid import Floats, Grid, Patches, donor_cases, share_of
from broca.instruments.perturb.spec import What
from broca.instruments.perturb.twins import TwinCases
from broca.instruments.perturb.unit_effects import SITE, UnitEffects, jointly, unit_effects
from broca.models.twins import untrained_twin
from broca.page.words import count as counted
from broca.stats.permutation import permutation_test
from broca.stats.reliability import halves
from broca.stats.stopping import EVERY, decide, stopping_rule
from broca.units import UnitMask

ENOUGH_CASES, ENOUGH_GROUPS = 20, 4
_SHOWN = 200
OF_NEURONS = 12.5
"""Percent of the neurons or features that are chosen where nothing is said."""
UNITS = {"layer": pl.Int64, "unit": pl.Int64, "n": pl.Int64, "restored": pl.Float64, "share": pl.Float64, "estimate": pl.Float64,
         "t": pl.Float64, "p_max": pl.Float64, "chosen": pl.Boolean}  # fmt: skip
"""One row a head, or one of the 200 neurons or features that rank highest. `restored`: mean change of the logit difference when it alone is
patched at every aligned token; null for the others, which are ranked by `estimate`. `t` and `p_max` are of the half that chose."""


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """What was chosen, and how far it climbs."""

    mask: UnitMask | None
    table: pl.DataFrame
    rungs: tuple[Rung, ...]
    groups: tuple[str, ...] = ()
    """Digests of the groups that chose."""


@dataclass(frozen=True, slots=True)
class Choosing:
    """How many are chosen, and what they are tested against."""

    what: What
    rank: Literal["patched", "estimated"]
    """Heads by patching each, or by attribution patching, which costs two passes whatever their number."""
    percent: float | None
    """Of the candidates; those that restore enough where it is None."""
    smallest_effect: float
    """Share of what was lost that a head must restore."""
    draws: int
    twins: int
    twin_cases: TwinCases
    alpha: float
    boot: Mapping[str, int]

    @property
    def seed(self) -> int:
        return self.boot["seed"]

    def count(self, restored: Floats) -> int:
        """How many are chosen, of the shares that each candidate restores: one at least."""
        if self.percent is None and self.what == "heads":
            return max(1, int((restored >= self.smallest_effect).sum()))
        return max(1, round((self.percent or OF_NEURONS) / 100 * len(restored)))

    @property
    def patches(self) -> bool:
        """Whether each candidate is patched by itself."""
        return self.what == "heads" and self.rank == "patched"


def select_units(patches: Patches, grid: Grid, how: Choosing) -> Selection:
    """Choose, and climb.

    Args:
        patches: the cases.
        grid: what patching them by layer gave: which cases lost enough to count.
        how: what to choose, and against what to test it.
    """
    kept = np.flatnonzero(grid.kept)
    cases = replace(patches, cases=tuple(patches.cases[i] for i in kept))
    groups = np.asarray(cases.groups)
    if _too_few(groups):
        why = (
            f"{counted(len(kept), 'case')}, of {counted(len(set(groups)), 'group')}, lost enough to be patched. At least {ENOUGH_CASES} cases, of at least "
            f"{ENOUGH_GROUPS} groups, are needed: give more texts, or kinds of perturbation that cost more answers."
        )
        return _no_selection(why)
    try:
        patches.lm.anatomy.sites(SITE[how.what])
    except SiteUnavailable as error:
        return _no_selection(f"This model has no {how.what} to choose from. {error}")
    first, second = halves(len(kept), seed=how.seed, groups=groups)
    found = unit_effects(cases, how.what, patched=how.patches)
    lost = grid.lost[kept]
    mean = found.values[first].mean(0)
    count = how.count(mean / lost[first].mean())
    chosen = np.argsort(-mean, kind="stable")[:count]
    mask = found.mask(chosen, "head" if how.what == "heads" else "unit")
    t, p_max, tells = _sign_flip_test(found.values[first], groups[first], chosen, how)
    held = replace(cases, cases=tuple(cases.cases[i] for i in second))
    rungs = (
        tells,
        reliable.ranking(mean, found.values[second].mean(0), count, how.what, "cases"),
        _learned_rung(cases, found, chosen, second, how),
        *_causal_rungs(held, mask, lost[second], how),
    )
    return Selection(
        mask,
        _table(found, (t, p_max), chosen, lost, how),
        rungs,
        tuple(sorted({group_digest(group) for group in groups[first]})),
    )


def _no_selection(why: str) -> Selection:
    names = ("selective", "reliable", "learned", "causal", "specific")
    return Selection(None, pl.DataFrame(schema=UNITS), tuple(Rung(name, "not tested", why, {}) for name in names))


def _sign_flip_test(
    values: Floats, groups: np.ndarray, chosen: NDArray[np.int64], how: Choosing
) -> tuple[Floats, Floats, Rung]:
    """Of each candidate t and p (max-T) over arbitrary signs of groups, NaN where there are too few of them; and the rung."""
    try:
        test = permutation_test(
            values, np.zeros_like(values), groups=(groups, groups), paired=True, seed=how.seed, alpha=how.alpha
        )
    except StatisticsError as error:
        nothing = np.full(values.shape[1], np.nan)
        return nothing, nothing, Rung("selective", "undecided", f"In the half that chose: {error}", {})
    what = f"chosen {how.what} restore more than arbitrary signs of the cases' changes would have it"
    rung = selective.family_wise(test.p_max[chosen], what, "cases would decide (--cases)", how.alpha)
    return test.t, test.p_max, rung


def _learned_rung(
    cases: Patches, found: UnitEffects, chosen: NDArray[np.int64], second: NDArray[np.int64], how: Choosing
) -> Rung:
    """The rung *learned*: what a choice restores in cases that chose nothing, the whole study held in each twin as in the model.

    A twin has cases of its own, and chooses for itself. That the model's choice restores little in other networks tells nothing: whatever
    is largest in one network, trained or not, is not so in the next.
    """
    own = _effect_size(found.values[np.ix_(second, chosen)])
    random: list[float] = []
    for i in range(how.twins):
        cases.progress("patching untrained twins", i, how.twins)
        twin = how.twin_cases.of(untrained_twin(cases.lm, how.seed + i), f"untrained {how.seed + i}", cases)
        random.append(_share_restored(twin, len(chosen), how))
        if learned.decide(own, random, most=how.twins, alpha=how.alpha)[0] == "failed":
            break
    cases.progress("patching untrained twins", how.twins, how.twins)
    return learned.patch_choice(own, random, most=how.twins, cases=len(second), what=how.what, alpha=how.alpha)


def _share_restored(twin: Patches, count: int, how: Choosing) -> float:
    """What as many restore as one half of a twin's cases chooses, in the other half; 0 where so few answers turned that none are chosen."""
    groups = np.asarray(twin.groups)
    if _too_few(groups):
        return 0.0
    first, second = halves(len(groups), seed=how.seed, groups=groups)
    values = unit_effects(twin, how.what, patched=how.patches).values
    best = np.argsort(-values[first].mean(0), kind="stable")[:count]
    return _effect_size(values[np.ix_(second, best)])


def _too_few(groups: np.ndarray) -> bool:
    """Whether nothing is chosen on cases of these groups."""
    return len(groups) < ENOUGH_CASES or len(set(groups.tolist())) < ENOUGH_GROUPS


def _effect_size(values: Floats) -> float:
    """Mean over candidates of the mean over cases by their standard deviation: it does not grow with the number of cases."""
    spread = values.std(0, ddof=1)
    return float(np.divide(values.mean(0), spread, out=np.zeros(values.shape[1]), where=spread > 0).mean())


def _causal_rungs(held: Patches, mask: UnitMask, lost: Floats, how: Choosing) -> tuple[Rung, Rung]:
    """The causal and the specific rung, in cases that chose nothing."""
    random = _matched_choices(held, mask, how)
    groups, cases = np.asarray(held.groups), [one.case for one in held.cases]
    own = _gains(held, cases, [mask])[:, 0]
    low, share, high = share_of(own, lost, groups, how.boot)
    n, drawn = len(random.conditions), np.zeros(0)
    rule = stopping_rule(how.alpha, draws=max(how.draws, 1), distinct=n if n < how.draws else None)
    for start in range(0, n, EVERY):
        some = [condition.mask for condition in random.conditions[start : start + EVERY]]
        drawn = np.concatenate([drawn, _gains(held, cases, some).sum(0) / lost.sum()])
        if decide(drawn >= share - 1e-9, rule).state in ("passed", "failed"):
            break
    decided = MatchedDraws(decide(drawn >= share - 1e-9, rule), random.matched, n, short=n < how.draws)
    restores = causal.patch_choice((low, share, high), drawn, decided, cases=len(lost), what=how.what, alpha=how.alpha)
    others = donor_cases(held.cases)
    if not others:
        why = "All these cases have the same right answer, so none can lend a run with another."
        return restores, Rung("specific", "not tested", why, {})
    foreign = _gains(held, others, [mask], "patching the choice from other texts")[:, 0]
    return restores, specific.patch_choice(own, foreign, lost, groups, how.boot)


def _matched_choices(held: Patches, mask: UnitMask, how: Choosing) -> Draws[UnitMask]:
    """Random choices of the same layers; of features, those that fire as often in these cases and write as much."""
    like, alive = Condition("lesion", mask), candidates(held.lm, mask)
    if how.what != "features":
        return matched_units(like, how.draws, alive=alive, size=None, match=("layer",), seed=how.seed)
    texts = [text for one in held.cases for text in (one.case.run, one.case.donor)]
    seen = measure(held.lm, texts, [*alive], cache=held.cache, progress=held.progress)
    fires = alive | seen.fires
    return matched_units(like, how.draws, alive=fires, size=seen.likeness, match=("layer", "size"), seed=how.seed)


def _gains(held: Patches, cases: Sequence[Any], masks: Sequence[UnitMask], what: str = "patching the choice") -> Floats:
    """``(case, mask)`` How much of the logit difference each choice restores."""
    arrays = held.run(what, cases, [jointly(held, mask) for mask in masks])
    return arrays["after"][:, :, 0] - arrays["before"][:, None, 0]


def _table(
    found: UnitEffects, test: tuple[Floats, Floats], chosen: NDArray[np.int64], lost: Floats, how: Choosing
) -> pl.DataFrame:
    (t, p_max), places = test, found.places
    flags = np.isin(np.arange(len(t)), chosen)
    mean, guess = found.values.mean(0), found.estimates.mean(0)
    shown = np.arange(len(t)) if how.what == "heads" else np.sort(np.argsort(-mean, kind="stable")[:_SHOWN])
    rows = [
        {"layer": places[i][0], "unit": places[i][1], "n": len(lost), "restored": float(mean[i]) if how.patches else None,
         "share": float(mean[i] / lost.mean()), "estimate": float(guess[i]), "t": float(t[i]), "p_max": float(p_max[i]),
         "chosen": bool(flags[i])}
        for i in shown
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=UNITS)
