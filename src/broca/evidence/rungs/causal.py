"""The *causal* rung: does taking it away cost the ability enough, and more than matched random choices do?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite

import numpy as np
import polars as pl
from numpy.typing import NDArray

from broca.errors import StatisticsError
from broca.evidence.ability_scores import AbilityScores
from broca.evidence.controls import collapse
from broca.evidence.effects import limits, points
from broca.evidence.matched_draws import KeptAlone, MatchedDraws, of_draws, of_kept
from broca.evidence.verdict import Rung
from broca.page.numbers import limits as bounds
from broca.page.numbers import number, p_value
from broca.page.words import count
from broca.stats.dose_trend import Trend
from broca.stats.loss import SMALLEST_SHARE, Loss, loss_test
from broca.stats.nulls import quantile_band
from broca.stats.stopping import fewest_draws


def lesion(
    scores: AbilityScores,
    draws: MatchedDraws,
    *,
    alpha: float,
    claims: int = 1,
    smallest_effect: float | None = None,
    seed: int = 0,
    kept: KeptAlone | None = None,
    what: str = "lesion",
) -> Rung:
    """Does the lesion cost the ability enough, under every fill and size, and more than matched random choices do?

    Args:
        scores: of the own ability.
        draws: what the matched draws decide, and how they were matched.
        alpha: level of both tests.
        claims: how many share it; what may refuse the rung is tested at alpha itself.
        smallest_effect: the smallest loss of interest, as a share of 1; by default a fifth of intact minus chance.
        seed: of sign flips.
        kept: of a circuit, whose draws are told by what they keep alone: one vital edge spoils an answer, so that a random circuit
            that holds one costs as much as the whole, and yet answers nothing by itself.
        what: is done, where it is no lesion.
    """
    level = alpha / claims
    try:
        found = loss_test(
            scores.intact, scores.lesioned, scores.chance, groups=scores.groups, weights=scores.weights,
            smallest_effect=smallest_effect, alpha=level, seed=seed,
        )  # fmt: skip
    except StatisticsError as error:
        return Rung("causal", "undecided", str(error), {"alpha": level})
    by_size = {name: -scores.loss_of(right) for name, right in scores.sizes.items()}
    robust = all(np.sign(effect) == -np.sign(found.value) for effect in by_size.values())
    states = {found.state, draws.decision.state, "passed" if robust else "undecided"}
    text = _words(scores, draws, found, by_size, kept=kept, what=what)
    numbers = _numbers(scores, draws, found, by_size, kept) | {"alpha": level}
    if "failed" in states:
        return Rung("causal", "failed", text, numbers)
    if not draws.decision.draws:
        return Rung("causal", "not tested", f"{text} No matched random choices were drawn (--draws 200).", numbers)
    if states == {"passed"}:
        return Rung("causal", "passed", text, numbers).undecided_if(collapse(scores, alpha=alpha))
    return Rung("causal", "undecided", text + _what_would_decide(found, draws, level, robust=robust), numbers)


def without_massive(rung: Rung, rest: float, taken: int) -> Rung:
    """The rung with what is lost when the massive coordinates of the selection are left alone.

    Args:
        rung: *causal*.
        rest: loss of the selection without them.
        taken: how many they are.
    """
    smallest = rung.numbers.get("smallest_effect")
    without = f" Without its {count(taken, 'massive coordinate')} the selection"
    text = f"{without} {'costs' if rest >= 0 else 'gains'} {100 * abs(rest):.1f} points."
    rung = rung.more(text, {"loss_without_massive": rest, "massive": taken})
    if rung.state == "passed" and smallest is not None and rest < smallest:
        return replace(rung, caveat="carried by massive coordinates")
    return rung


def _numbers(
    scores: AbilityScores, draws: MatchedDraws, found: Loss, by_size: Mapping[str, float], kept: KeptAlone | None
) -> dict[str, float | int | None]:
    n, as_costly = draws.decision.draws, draws.decision.as_costly
    random = -scores.draw_losses[:n] if kept is None else kept.random[:n]
    by_fill = {name: -value for name, value in zip(scores.fills, found.by_fill, strict=True)}
    return {
        "loss": found.value,
        "low": found.low if isfinite(found.low) else None,
        "high": found.high if isfinite(found.high) else None,
        "p": found.p,
        "smallest_effect": found.smallest_effect,
        "groups": found.groups,
        "groups_needed": found.needed,
        "draws": n,
        "as_costly": as_costly,
        "p_random": (1 + as_costly) / (1 + n) if n else None,
        "random_median": float(np.median(random)) if n else None,
        **({} if kept is None else {"kept_alone": kept.circuit, "intact": kept.intact}),
        **{f"effect_{name}": effect for name, effect in (by_fill | dict(by_size)).items()},
    }


def _words(
    scores: AbilityScores,
    draws: MatchedDraws,
    found: Loss,
    by_size: Mapping[str, float],
    *,
    kept: KeptAlone | None,
    what: str,
) -> str:
    by_fill = {name: -value for name, value in zip(scores.fills, found.by_fill, strict=True)}
    fills = f" in the mean over {len(by_fill)} fills" if len(by_fill) > 1 else ""
    balanced = "; positions and answers balanced" if scores.is_balanced else ""
    text = (
        f"The {what} changes {scores.name} accuracy by {points(-found.value)} {limits(-found.high, -found.low)}{fills} (sign flips "
        f"over {count(found.groups, 'group')}, {p_value(found.p)}{balanced}); the smallest loss of interest is "
        f"{100 * found.smallest_effect:.1f} points."
    )
    text += of_draws(scores, draws) if kept is None else of_kept(kept, draws)
    text += _agreement("Fills", by_fill) if len(by_fill) > 1 else ""
    return text + (_agreement("Sizes", by_size) if by_size else "")


def _what_would_decide(found: Loss, draws: MatchedDraws, alpha: float, *, robust: bool) -> str:
    """Why a rung is undecided, and what would decide it."""
    reasons = []
    if found.why == "few groups":
        reasons.append(f"{count(found.groups, 'group')} allow no p ≤ {alpha:g}: {found.needed} are the fewest that do")
    elif found.why == "fills disagree":
        reasons.append("not every fill costs something")
    elif found.state == "undecided":
        reasons.append(
            f"the interval neither lies beyond zero with a loss that large nor below it; {_more_groups(found)}"
        )
    if not robust:
        reasons.append("selections of other sizes change it the other way")
    if draws.decision.state == "undecided":
        n = draws.decision.draws
        reasons.append(
            f"only {count(n, 'distinct choice')} of this size can be drawn, so p cannot be below {1 / (n + 1):.2g}: select another "
            "number of them, or of more"
            if draws.short
            else f"{count(n, 'random choice')} cannot give p ≤ {alpha:g}: {fewest_draws(alpha)} are the fewest that do (--draws)"
        )
    return f" Undecided: {'; '.join(reasons)}."


def _more_groups(found: Loss) -> str:
    """What more groups would do for an interval that decides nothing."""
    if found.needed:
        return f"about {found.needed} groups like these would decide it"
    if found.value < found.smallest_effect:
        return "the estimate lies too near the smallest loss of interest for any number of groups to decide it"
    return "groups differ too much from one another for any number of them to decide it"


def _agreement(what: str, found: Mapping[str, float]) -> str:
    agree = len({np.sign(effect) for effect in found.values()}) == 1
    listed = ", ".join(f"{name} {points(effect)}" for name, effect in found.items())
    return f" {what} {'agree' if agree else 'disagree'} in sign ({listed})."


def with_trend(rung: Rung, trend: Trend, *, alpha: float, about: str) -> Rung:
    """The rung of a steering, which has to move what it moves the more, the higher the dose.

    Args:
        rung: *causal*.
        trend: of the number over doses within which text stays fluent.
        alpha: level of the trend's test.
        about: the number, in words.
    """
    rises = trend.tau > 0 and trend.p <= alpha
    text = f" Over doses {about} rises at {number((1 + trend.tau) / 2, '.0%')} of the steps (Kendall's tau {number(trend.tau)} "
    rung = rung.more(
        f"{text}{bounds(trend.low, trend.high)}, sign flips over {count(trend.groups, 'group')}, {p_value(trend.p)}).",
        {"tau": trend.tau, "p_tau": trend.p},
    )
    return (
        rung
        if rises or rung.state != "passed"
        else replace(rung, state="undecided", text=f"{rung.text} Undecided: no trend.")
    )


def against_families(rung: Rung, table: pl.DataFrame, level: float, *, of: str = "masks") -> Rung:
    """The causal rung, which has to hold against each family of random masks, or directions.

    Args:
        rung: *causal*.
        table: one row a family: its name, how many were drawn, what they cost, and the claim's rank among them.
        level: of the claim.
        of: what was drawn.
    """
    if table.is_empty():
        return rung
    told = "; ".join(
        f"{row['family']} ({row['draws']}): {points(row['median'])} {limits(row['low'], row['high'])}, {p_value(row['p'])}"
        for row in table.iter_rows(named=True)
    )
    rung = rung.more(
        f" Against each family of random {of}: {told}.",
        {f"p_{name}": p for name, p in table.select("family", "p").rows()},
    )
    least = fewest_draws(level)
    few = table.filter(pl.col("draws") < least)["family"].to_list()
    lost = table.filter((pl.col("draws") >= least) & (pl.col("p") > level))["family"].to_list()
    rung = rung.failed_if(f"It is not beyond random {of} of the family {', '.join(lost)}." if lost else None)
    short = f"Fewer than {least} random {of} of the family {', '.join(few)} allow no p ≤ {level:g}."
    return rung.undecided_if(short if few else None)


def patch_choice(
    own: tuple[float, float, float],
    drawn: NDArray[np.float64],
    draws: MatchedDraws,
    *,
    cases: int,
    what: str,
    alpha: float,
) -> Rung:
    """Does the choice, patched as a whole, restore enough, and more than random choices of its size do?

    Args:
        own: share of the lost logit difference that it restores: low, value, high.
        drawn: share that each random choice restores, in the order in which they were drawn.
        draws: what they decide.
        cases: how many were patched; none of them chose.
        what: heads or neurons.
        alpha: level.
    """
    low, share, high = own
    n, as_much = draws.decision.draws, draws.decision.as_costly
    numbers: dict[str, float | int | None] = {"share": share, "low": low, "high": high, "cases": cases, "draws": n}
    numbers |= {"smallest_effect": SMALLEST_SHARE}
    text = (
        f"Patched together in {cases} cases that did not choose them, the chosen {what} restore {number(share, '.0%')} "
        f"{bounds(low, high, '.0%')} of the lost logit difference; {SMALLEST_SHARE:.0%} is the smallest of interest."
    )
    if n:
        band = quantile_band(drawn[:n])
        numbers |= {"random_median": band.value, "random_low": band.low, "random_high": band.high}
        numbers |= {"p_random": (1 + as_much) / (1 + n)}
        text += (
            f" Of {count(n, 'distinct random choice')} {draws.matched} {as_much} restore as much (median {number(band.value, '.0%')}, "
            f"95 % of them within {bounds(band.low, band.high, '.0%')}{draws.until})."
        )
    if high < SMALLEST_SHARE or draws.decision.state == "failed":
        return Rung("causal", "failed", text, numbers)
    if not n:
        return Rung("causal", "not tested", f"{text} No random choices were drawn (--draws 200).", numbers)
    if draws.decision.state == "undecided":
        more = (
            f"choose another number of {what}"
            if draws.short
            else f"{fewest_draws(alpha)} are the fewest that do (--draws)"
        )
        why = f"{count(n, 'random choice')} cannot give p ≤ {alpha:g}: {more}"
        return Rung("causal", "undecided", f"{text} Undecided: {why}.", numbers)
    if low > 0 and share >= SMALLEST_SHARE:
        return Rung("causal", "passed", text, numbers)
    why = "the interval neither lies beyond zero with a share that large nor below it, more cases would decide it"
    return Rung("causal", "undecided", f"{text} Undecided: {why}.", numbers)
