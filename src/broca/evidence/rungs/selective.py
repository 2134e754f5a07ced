"""The *selective* rung: does what was selected tell what it is about from what it is not?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from broca.evidence.contrast_map import flat
from broca.evidence.maps import Floats
from broca.evidence.resampling import DISTINCT, MapPermutations
from broca.evidence.verdict import Rung
from broca.page.numbers import limits, number, p_value
from broca.page.words import enumeration
from broca.sites import Site
from broca.specs.expectation import State
from broca.stats.intervals import Interval
from broca.stats.nulls import empirical_p
from broca.stats.true_discoveries import calibrated_share
from broca.units import Selection

HALF = 0.5
"""Share of the selection that must be truly selective, at the least."""
SIZE = 1.0
"""Standard deviations between the sides that a study must be able to see before it can say that half of a selection has none such."""


def unit_map(
    q: Mapping[Site, Floats],
    selection: Selection,
    shuffled: MapPermutations | str | None,
    *,
    alpha: float,
    without: Sequence[str] = (),
) -> Rung:
    """Is at least half of the selection truly selective, whatever else was searched?

    *Passed*: of the selection at least half is, by the lower bound at 1 - alpha confidence that the arrangements of the groups
    calibrate (Blain, Thirion & Neuvial, 2022). *Failed*: the bound is 0, no selected unit is significant family-wise, and the
    groups are enough to see one standard deviation: if half of the selection had that, some of it would be significant with
    probability 0.95, however the units hang together (Markov's inequality). Anything else is *undecided*.

    Args:
        q: Benjamini-Hochberg adjusted p of every unit, by the statistic's own distribution.
        selection: the selected ones.
        shuffled: the map among those of other arrangements; why there are none; None where nobody asked.
        alpha: level.
        without: what was regressed out of the activations before they were shuffled, in words.
    """
    chosen = flat(selection.mask.at)
    adjusted = flat(q)
    share = float((adjusted <= alpha).sum() / selection.n_alive)
    numbers = {"k": selection.k, "share_significant": share, "alpha": alpha}
    if shuffled is None:
        text = "The sides were not shuffled (--permutations 1000 does)."
        numbers |= {"significant_selected": int((adjusted[chosen] <= alpha).sum())}
        return Rung("selective", "not tested", text, numbers)
    if isinstance(shuffled, str):
        return Rung("selective", "undecided", shuffled, numbers)
    significant = flat(shuffled.p_max) <= alpha
    hits, anywhere = int(significant[chosen].sum()), int(significant.sum())
    bound, whole = _true_shares(shuffled, chosen, alpha)
    seen = detectable(shuffled)
    state, more = _state(bound, hits, seen, shuffled)
    numbers |= {
        "significant_selected": hits,
        "significant": anywhere,
        "true_share": bound,
        "true_share_whole": whole,
        "detectable_d": seen,
        "arrangements": len(shuffled.arrangements),
        "overlap": shuffled.overlap,
    }
    if without:
        more = f" This is with {enumeration([*without])} regressed out (R² of the side on it {shuffled.overlap:.2f}).{more}"
    of = {"pairs": "pairs", "stimuli": "stimuli"}.get(shuffled.arrangements.sides.scheme, "groups")
    return Rung(
        "selective",
        state,
        f"{hits} of {selection.k} selected {selection.mask.noun}s are significant family-wise (max-T over {len(shuffled.arrangements)} arrangements of "
        f"{of}, {alpha:g}; {anywhere} of {selection.n_alive} in the whole model). With {1 - alpha:.0%} confidence at least {bound:.0%} "
        f"of the selection is truly selective, and at least {whole:.0%} of the whole model ({HALF:.0%} of the selection is asked).{more}",
        numbers,
    )


def _true_shares(shuffled: MapPermutations, chosen: NDArray[np.bool_], alpha: float) -> tuple[float, float]:
    """Lower bounds of the share that is truly selective: of the selection, and of the whole model."""
    p = flat(shuffled.p)
    alive = np.isfinite(p)
    # A selected unit without a statistic, of which nothing was left when covariates were regressed out, is no discovery.
    p = np.where(chosen & ~alive, 1.0, p)
    exact = shuffled.arrangements.exact
    of_selection, of_model = (
        calibrated_share(p, of, shuffled.pivots, exact=exact, alpha=alpha) for of in (chosen, alive | chosen)
    )
    return of_selection, of_model


def detectable(shuffled: MapPermutations) -> float:
    """How far apart a unit's sides must lie, in standard deviations, to be significant family-wise with probability 0.95."""
    sides = shuffled.arrangements.sides
    shift = shuffled.critical + stats.norm.ppf(0.95)
    if sides.scheme == "pairs":
        return float(shift / np.sqrt(sides.n_both))
    return float(shift * np.sqrt(1 / (sides.n_only_a + sides.n_both) + 1 / (sides.n_only_b + sides.n_both)))


def _state(bound: float, hits: int, seen: float, shuffled: MapPermutations) -> tuple[State, str]:
    """The rung's state, and what would decide it where nothing does."""
    if bound >= HALF:
        return "passed", ""
    if shuffled.overlap > DISTINCT:
        return "undecided", " What was regressed out tells the sides apart completely: match the sides in it."
    sides = shuffled.arrangements.sides
    now = min(sides.n_only_a, sides.n_only_b) + sides.n_both
    what = "pairs" if sides.scheme == "pairs" else "stimuli a side" if sides.scheme == "stimuli" else "groups a side"
    enough = f"about {ceil(now * (seen / SIZE) ** 2)} {what} (here {now})" if np.isfinite(seen) else "more arrangements"
    if hits or bound:
        return "undecided", f" More {what} raise the bound, or a smaller selection."
    if seen <= SIZE:
        return "failed", (
            f" If half of it lay {SIZE:g} standard deviation apart, some of it would be significant with 95 % probability: "
            f"{seen:.2f} is seen."
        )
    return "undecided", f" Only {seen:.2f} standard deviations would be seen; {enough} show {SIZE:g}, and would decide."


GAIN = 0.05
"""Macro-F1 beyond a baseline that is of interest."""


class ProbedTarget(Protocol):
    """What a rung reads of the probe of a target."""

    @property
    def name(self) -> str: ...

    @property
    def row(self) -> Mapping[str, Any]: ...

    @property
    def baselines(self) -> Sequence[Mapping[str, Any]]: ...


def probe_scores(defined: Sequence[ProbedTarget], questions: Mapping[str, str], *, shuffles: int, alpha: float) -> Rung:
    """Do probes of attention beat shuffled labels, and what is read from the surface of the text alone?

    All targets must, each at `alpha` (intersection-union; Berger, 1982).
    """
    texts, numbers, states = [], {}, []
    for each in defined:
        row, name = each.row, each.row["symbol"]
        best = max(each.baselines, key=lambda b: b["f1"])
        texts.append(
            f"{name}: attention tells {questions[each.name]} with macro-F1 {number(row['f1'], '.3f')} "
            f"{limits(row['f1_low'], row['f1_high'], '.3f')}"
            + (f" (labels shuffled within each text: {p_value(row['p'])})" if row["p"] is not None else "")
            + f"; {best['baseline']} alone does with {number(best['f1'], '.3f')}, and attention adds {number(best['gain'], '+.3f')} "
            f"{limits(best['gain_low'], best['gain_high'], '+.3f')} to it."
        )
        numbers |= {f"f1_{each.name}": row["f1"], f"p_{each.name}": row["p"]}
        numbers |= {f"margin_{each.name}": row["margin"], f"gain_{each.name}": best["gain"]}
        states.append(_probe_state(row, best, shuffles, alpha))
    if any(each.row["p"] is None for each in defined):
        return Rung(
            "selective", "not tested", " ".join(texts) + " Labels were not shuffled (permutations = 0).", numbers
        )
    state: State = next((s for s in ("failed", "undecided") if s in states), "passed")  # type: ignore[assignment]
    if state == "undecided":
        texts.append(f"More texts would decide (--n), or more shuffles (--permutations {ceil(1 / alpha) - 1} or more).")
    return Rung("selective", state, " ".join(texts), numbers)


def _probe_state(row: Mapping[str, Any], best: Mapping[str, Any], shuffles: int, alpha: float) -> State:
    """Of one target: *failed* where attention surely adds less than `GAIN`, or the shuffles are decided against it."""
    if row["p"] is None:
        return "not tested"
    if best["gain_high"] < GAIN:
        return "failed"
    if row["p"] > alpha:
        return "undecided" if 1 / (1 + shuffles) > alpha else "failed"
    return "passed" if best["gain_low"] > 0 else "undecided"


def family_wise(p_max: NDArray[np.float64], what: str, more: str, alpha: float) -> Rung:
    """Do the chosen ones carry an effect that arbitrary signs of the data would not give them?

    With 1 - alpha confidence all that are significant family-wise do: *passed* where that is at least half of them, *failed* where
    it is none.

    Args:
        p_max: of each chosen one ``(chosen,)``, by max-T over all candidates.
        what: who they are and what they do, in words.
        more: of what more would decide, in words.
        alpha: level, family-wise.
    """
    hits, k = int((p_max <= alpha).sum()), len(p_max)
    state: State = "passed" if hits >= HALF * k else "undecided" if hits else "failed"
    open_words = f" More {more}." if state == "undecided" else ""
    text = f"{hits} of {k} {what} (max-T, family-wise {alpha:g}; {HALF:.0%} is asked).{open_words}"
    return Rung("selective", state, text, {"k": k, "significant_selected": hits, "true_share": hits / k})


TELLS = 0.7
"""AUROC on groups that did not fit it that is of interest: a pair of texts is told apart by it in seven cases of ten."""


def axis(auroc: Interval, null: Floats, *, groups: int, alpha: float) -> Rung:
    """Does a direction tell the two sides apart where it was not fitted, better than directions of shuffled sides do?

    *Passed*: AUROC of at least `TELLS`, its interval beyond 1/2, and p at most alpha. *Failed*: its whole interval lies below `TELLS`.

    Args:
        auroc: over groups that were left out of each fit, with its interval over groups.
        null: the same where the groups' sides were dealt at random.
        groups: how many there are.
        alpha: level.
    """
    if not len(null):
        text = "The sides were not shuffled (--permutations 200 does)."
        return Rung("selective", "not tested", text, {"auroc": auroc.value})
    p = float(empirical_p(auroc.value, null, "greater"))
    state: State = "undecided"
    if auroc.value >= TELLS and auroc.low > 0.5 and p <= alpha:
        state = "passed"
    elif auroc.high < TELLS:
        state = "failed"
    numbers = {
        "auroc": auroc.value,
        "low": auroc.low,
        "high": auroc.high,
        "p": p,
        "groups": groups,
        "arrangements": len(null),
    }
    more = " Undecided: more groups narrow the interval." if state == "undecided" else ""
    return Rung(
        "selective",
        state,
        f"On groups that were left out of the fit the direction tells the sides apart with an AUROC of {number(auroc.value)} "
        f"{limits(auroc.low, auroc.high)}; with sides dealt to {groups} groups at random {number(float(np.median(null)))} in the "
        f"median ({p_value(p)}). {TELLS:g} is asked.{more}",
        numbers,
    )
