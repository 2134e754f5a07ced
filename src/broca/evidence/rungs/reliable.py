"""The *reliable* rung: would other stimuli have given the same map and the same selection?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom, poisson

from broca.errors import SelectionError, StatisticsError
from broca.evidence.contrast_map import flat
from broca.evidence.maps import Maps
from broca.evidence.stimuli import Split
from broca.evidence.verdict import Rung
from broca.page.numbers import limits, number, p_value
from broca.specs.expectation import State
from broca.stats.nulls import empirical_p
from broca.stats.reliability import SplitHalf, chance_overlap, overlap, spearman_brown, split_half
from broca.stats.stability import Stability
from broca.units import Grain, Select, select
from broca.units.weights import WeightSet

RELIABLE = 0.8
"""Split-half reliability (Spearman-Brown) that a map must reach."""
BEYOND = 0.05
"""Of an overlap of the halves' selections at least as large by chance."""


def _state(r: float, full: float, p_overlap: float, what: str) -> tuple[State, str]:
    """*Passed*: reliable, and the halves' selections overlap beyond chance; *failed*: neither; and what would decide anything else."""
    beyond = p_overlap <= BEYOND
    if full >= RELIABLE and beyond:
        return "passed", ""
    if full >= RELIABLE:
        return (
            "undecided",
            f" The maps agree, but the selections overlap no more than chance could: select more, or give more {what}.",
        )
    if beyond and r > 0:
        # Spearman-Brown for a map of so many times as long a test; the whole is two halves.
        times = RELIABLE * (1 - r) / (r * (1 - RELIABLE)) / 2
        return "undecided", f" About {times:.1f} times as many {what} would reach {RELIABLE}."
    return "failed", ""


def unit_map(
    splits: Mapping[Split, tuple[Maps, Maps]], how: Select, grain: Grain, stability: Stability | None = None
) -> Rung:
    """Would other stimuli of the kind have given the same map and the same selection?

    Each half selects as the whole did; effect sizes are then read from the other half. Beside them stands what the same
    half would have claimed (double dipping; Kriegeskorte et al., 2009). The rung is read from random halves; odd and even
    ones stand beside them, for stimuli that come in an order.
    """
    parts = splits["random"]
    try:
        stable = split_half(flat(parts[0].t), flat(parts[1].t))
        ordered = split_half(*(flat(part.t) for part in splits["odd-even"]))
        chosen = [select(part.t, how, grain=grain) for part in parts]
    except (StatisticsError, SelectionError) as error:
        return Rung("reliable", "undecided", f"Too few stimuli or units for two halves: {error}", {})
    masks = [flat(selection.mask.at) for selection in chosen]
    n = min(selection.n_alive for selection in chosen)
    shared = overlap(*masks)
    chance = chance_overlap(chosen[0].k, chosen[1].k, n)
    # P(as many or more shared | random selections of these sizes)
    p_overlap = float(hypergeom.sf(shared.shared - 1, n, chosen[0].k, chosen[1].k))
    d = [flat(part.d) for part in parts]
    # The sign is the one that the selecting half saw: an effect that turns round in the other half counts against it.
    held_out, same = (
        float(np.mean([np.nanmean(np.sign(d[by][masks[by]]) * d[on][masks[by]]) for by, on in pairs]))
        for pairs in (((0, 1), (1, 0)), ((0, 0), (1, 1)))
    )
    state, more = _state(stable.r, stable.full, p_overlap, "stimuli")
    text, extra = _resampled_words(stability) if stability is not None else ("", {})
    if state == "passed" and stability is not None and stability.jaccard.value <= stability.noise:
        state = "failed"
    return Rung(
        "reliable",
        state,
        f"Split-half r = {number(stable.r)} ({number(stable.full)} for the whole by Spearman-Brown, {RELIABLE} is asked; odd "
        f"against even {number(ordered.full)}). The halves' selections share {number(shared.jaccard, '.0%')} (Jaccard; chance "
        f"{number(chance.jaccard, '.1%')}, {p_value(p_overlap)}). Effect size of the selection on stimuli that did not select it: "
        f"d = {number(held_out)}, against {number(same)} on its own.{text}{more}",
        {
            "r": stable.r,
            "r_full": stable.full,
            "r_odd_even": ordered.r,
            "r_odd_even_full": ordered.full,
            "jaccard": shared.jaccard,
            "dice": shared.dice,
            "chance_jaccard": chance.jaccard,
            "chance_dice": chance.dice,
            "p_overlap": p_overlap,
            "d_held_out": held_out,
            "d_same_half": same,
            **extra,
        },
    )


def _resampled_words(stability: Stability) -> tuple[str, dict[str, float]]:
    """How alike the selections of bootstrap samples are, in words and as numbers."""
    shared, noise = stability.jaccard, number(stability.noise, ".0%")
    text = (
        f" {stability.n} bootstrap samples of the stimuli select units that share {number(shared.value, '.0%')} with each other (95 % of "
        f"pairs {limits(shared.low, shared.high, '.0%')}; shuffled labels {noise}; 80 % is good)."
    )
    return text, {"bootstrap_jaccard": shared.value, "bootstrap_noise": stability.noise, "resamples": stability.n}


def weight_mask(halves: Sequence[WeightSet], r: float, r_all: float) -> Rung:
    """Would other samples of the kind have given the same scores and the same mask?

    Matrices differ in scale, whatever is asked, so that scores of any two sets of samples correlate over all weights. The correlation is
    that within matrices, pooled by Fisher's z.

    Args:
        halves: the mask that each half of the task's samples, and of the control's, gives; empty where not kept.
        r: correlation of the halves' log scores within matrices.
        r_all: over all weights.
    """
    if len(halves) != 2 or not np.isfinite(r):
        return Rung(
            "reliable", "not tested", "Sums of the two halves of the samples were not kept (halves = false).", {}
        )
    full, shared = spearman_brown(r), halves[0].overlap(halves[1])
    # The shared counts of the matrices are hypergeometric; their sum, of rare events, is close to Poisson.
    p = float(poisson.sf(shared.shared - 1, shared.expected)) if shared.shared else 1.0
    state, more = _state(r, full, p, "samples (--n-score)")
    return Rung(
        "reliable",
        state,
        f"Split-half r = {number(r)} of log scores within matrices ({number(full)} for the whole by Spearman-Brown, {RELIABLE} is "
        f"asked; over all weights r = {number(r_all)}). The halves' masks share {shared.shared} of {halves[0].count} and {halves[1].count} weights (Jaccard "
        f"{number(shared.jaccard, '.0%')}; {number(shared.expected, '.2g')} expected by chance, {p_value(p)}).{more}",
        {
            "r": r,
            "r_full": full,
            "r_all": r_all,
            "jaccard": shared.jaccard,
            "expected": shared.expected,
            "p_overlap": p,
        },
    )


def map_agreement(halves: SplitHalf, what: str, of: str) -> Rung:
    """Do two halves of the data say alike what the map says? A map that selects nothing has no overlap to ask for.

    Args:
        halves: the two maps, correlated.
        what: what the map says, in words: "which heads look at useful statements".
        of: what was split into halves, in the plural: "theories".
    """
    text = (
        f"Two halves of the {of} say {what}: r = {number(halves.r)}, full-length {number(halves.full)} (Spearman-Brown; {RELIABLE} is "
        "asked)."
    )
    state, more = _state(halves.r, halves.full, 0.0, of)
    return Rung("reliable", state, text + more, {"r": halves.r, "full": halves.full, "heads": halves.n_units})


def ranking(first: NDArray[np.float64], second: NDArray[np.float64], count: int, what: str, of: str) -> Rung:
    """Do two halves of the data rank and choose alike?

    Args:
        first: what the ranking is by, of each candidate ``(candidate,)``, from one half.
        second: the same from the other half.
        count: how many are chosen.
        what: the candidates, in the plural: "heads".
        of: what was split into halves, in the plural: "cases".
    """
    try:
        stable = split_half(first, second)
    except StatisticsError as error:
        return Rung("reliable", "undecided", str(error), {})
    tops = [np.isin(np.arange(len(each)), np.argsort(-each, kind="stable")[:count]) for each in (first, second)]
    shared, chance = overlap(*tops), chance_overlap(count, count, len(first))
    p = float(hypergeom.sf(shared.shared - 1, len(first), count, count))
    state, more = _state(stable.r, stable.full, p, of)
    return Rung(
        "reliable",
        state,
        f"Two halves of the {of} rank {what} alike: r = {number(stable.r)}, full-length {number(stable.full)} (Spearman-Brown; {RELIABLE} is "
        f"asked). They choose {shared.shared:.0f} of {count} in common ({number(chance.shared, '.1f')} by chance, {p_value(p)}).{more}",
        {"r": stable.r, "full": stable.full, "shared": shared.shared, "shared_chance": chance.shared, "p_overlap": p},
    )


def axis(cosine: float, null: NDArray[np.float64], *, alpha: float) -> Rung:
    """Would other stimuli have given the same direction? The cosine of two halves' directions, beside that of shuffled sides.

    Args:
        cosine: of the directions of two random halves of the groups.
        null: the same where the groups' sides were dealt at random.
        alpha: level at which the halves must be alike beyond chance.
    """
    if not np.isfinite(cosine) or not len(null):
        return Rung(
            "reliable", "not tested", "The halves were not compared with shuffled sides (--permutations 200).", {}
        )
    full, p = spearman_brown(float(np.clip(cosine, -1, 1))), float(empirical_p(cosine, null, "greater"))
    # What `_state` holds against BEYOND is a p at alpha.
    state, more = _state(cosine, full, p * BEYOND / alpha, "stimuli")
    if state != "passed" and full >= RELIABLE:
        more = " The halves agree no more than those of shuffled sides do."
    return Rung(
        "reliable",
        state,
        f"The directions of two halves of the groups have a cosine of {number(cosine)} ({number(full)} for the whole by Spearman-Brown, "
        f"{RELIABLE} is asked); with shuffled sides {number(float(np.median(null)))} in the median ({p_value(p)}).{more}",
        {"cosine": cosine, "cosine_full": full, "cosine_shuffled": float(np.median(null)), "p": p},
    )
