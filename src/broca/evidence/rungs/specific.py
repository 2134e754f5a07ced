"""Is it this ability alone? The specific rung, and double dissociations between localizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from broca.errors import StatisticsError
from broca.evidence.ability_scores import AbilityScores
from broca.evidence.controls import collapse, negative_control, shares_answers
from broca.evidence.effects import clusters, limits, points, rows_of
from broca.evidence.matched_draws import MatchedDraws
from broca.evidence.verdict import Rung
from broca.page.numbers import UNDEFINED, number, p_value
from broca.page.numbers import limits as bounds
from broca.specs.expectation import State
from broca.stats.intervals import Interval
from broca.stats.loss import SMALLEST_SHARE
from broca.stats.pairs import difference_interval, paired_bootstrap
from broca.stats.specificity import specificity_test


@dataclass(frozen=True, slots=True)
class _Test:
    """How the own ability is compared with each other one."""

    draws: MatchedDraws
    smallest_share: float
    level: float
    others: int
    seed: int


def lesion(
    own: AbilityScores,
    others: Sequence[AbilityScores],
    draws: MatchedDraws,
    *,
    alpha: float,
    claims: int = 1,
    smallest_effect: float | None = None,
    seed: int = 0,
) -> Rung:
    """Does the lesion cost the own ability more than each other one, as a share of what each has to lose and in log-odds?

    All others must pass, each at `alpha`, and the difference of shares must be larger than under matched draws.

    Args:
        own: scores of the ability in question.
        others: those of the other abilities that the intact model has.
        draws: of the causal rung.
        alpha: level of each test, one-sided.
        claims: how many share it; what may refuse the rung is tested at alpha itself.
        smallest_effect: the smallest loss of interest, as a share of 1; by default a fifth of intact minus chance.
        seed: of shuffled groups.
    """
    if not others:
        return Rung("specific", "not tested", "No other ability that the intact model has was scored (--others).", {})
    smallest = SMALLEST_SHARE if smallest_effect is None else smallest_effect / own.headroom
    how = _Test(draws, smallest, alpha / claims, len(others), seed)
    each = [_against(own, other, how) for other in others]
    states = {one.state for one in each}
    state: State = "failed" if "failed" in states else "undecided" if "undecided" in states else "passed"
    text = f"{own.name} {_change(own.drops.share_lost)} of what it has above chance. "
    numbers = {name: value for one in each for name, value in one.numbers.items()}
    numbers |= {"alpha": how.level, "smallest_share": smallest}
    rung = Rung("specific", state, text + " ".join(one.text for one in each), numbers)
    if state == "passed":
        rung = rung.undecided_if(collapse(own, alpha=alpha))
        rung = rung.undecided_if(negative_control(own, smallest_share=smallest, alpha=alpha, seed=seed))
        if not any(shares_answers(own, other) for other in others):
            rung = replace(rung, caveat="answers not controlled")
    return rung


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The own ability against another one."""

    state: State
    text: str
    numbers: Mapping[str, float | int | None]


_WHY = {
    "few groups": "with fewer than 5 groups on a side no test of the difference can be trusted",
    "fills disagree": "under one fill the other ability loses more",
    "measures disagree": "share lost and log-odds disagree",
    "interval": "the interval decides nothing",
    "no margins": "this scorer gives no log-odds, and accuracy alone is fooled by difficulty",
}


def _against(own: AbilityScores, other: AbilityScores, how: _Test) -> _Comparison:
    found = specificity_test(
        own.drops, other.drops, smallest_share=how.smallest_share, alpha=how.level, others=how.others, seed=how.seed
    )
    beyond, as_large = _beyond_draws(own, other, how.draws)
    p = (1 + as_large) / (1 + beyond)
    state, why = found.state, _WHY.get(found.why, "")
    if found.needed is not None:
        why += f", about {found.needed} groups like these of each ability would"
    if state == "passed" and p > how.level:
        state = "undecided"
        why = (
            f"{as_large} of {beyond} random choices cost {own.name} as much more"
            if beyond
            else "no random choices were drawn"
        )
    numbers = {f"share_{other.name}": found.share_other, f"p_random_{other.name}": p if beyond else None}
    told = [f"{beyond - as_large} of {beyond} random choices less"] if beyond else []
    for name, test in (("log_odds", found.log_odds), ("share", found.share)):
        if test is None:
            continue
        show = _shares if name == "share" else _nats
        told.insert(0, f"{show(test.value)} [{show(test.low)}, {show(test.high)}], {p_value(test.p_greater)}")
        numbers |= {f"{name}_own_minus_{other.name}": test.value, f"{name}_p_{other.name}": test.p_greater}
    word = {"passed": "less", "failed": "no less", "undecided": f"undecided, since {why}"}[state]
    beside = f" ({own.name} minus {other.name} {'; '.join(told)})" if told else ""
    return _Comparison(state, f"{other.name} {_change(found.share_other)}{beside}: {word}.", numbers)


def _beyond_draws(own: AbilityScores, other: AbilityScores, draws: MatchedDraws) -> tuple[int, int]:
    """Draws, and how many of them take as much more from the own ability, as shares, under the claim's fill."""
    n = min(draws.decision.draws, len(own.draws), len(other.draws))
    if not n:
        return 0, 0
    random = own.draw_losses[:n] / own.headroom - other.draw_losses[:n] / other.headroom
    return n, int((random >= own.loss / own.headroom - other.loss / other.headroom - 1e-9).sum())


def _change(lost: float) -> str:
    """What becomes of an ability that loses so large a share, in words: a negative loss is a gain."""
    percent = round(100 * lost) if isfinite(lost) else 0
    return f"gains {-percent} %" if percent < 0 else f"loses {percent} %"


def _shares(value: float) -> str:
    return f"{number(100 * value, '+.0f')} %" if isfinite(value) else UNDEFINED


def _nats(value: float) -> str:
    return f"{number(value, '+.2f')} nats" if isfinite(value) else UNDEFINED


def dissociations(
    items: pl.DataFrame,
    lesions: Sequence[dict[str, Any]],
    *,
    own: str,
    able: Sequence[str],
    boot: dict[str, int],
    alpha: float = 0.05,
) -> tuple[str, ...]:
    """Double dissociations (Teuber, 1955) between the first localizer and the others, one sentence each.

    The first one's lesion costs the own ability more than another ability, and another localizer's lesion costs that
    other ability more than the own one; both intervals, Bonferroni-widened over all pairs asked, lie below 0.

    Args:
        items: rows of all conditions.
        lesions: the labels of one lesion for each localizer, the claim's first.
        own: the ability in question.
        able: the other abilities that the intact model has.
        boot: `n` and `seed` of the bootstrap.
        alpha: level of all pairs together.
    """
    first, *rest = lesions
    level = 1 - alpha / max(1, len(rest) * len(able))
    found = []
    for labels in rest:
        for ability in able:
            here = more_than(items, first, own, ability, level=level, boot=boot)
            there = more_than(items, labels, ability, own, level=level, boot=boot)
            if max(here.high, there.high) < 0:
                found.append(
                    f"Double dissociation: the {first['localizer']} lesion costs {own} more than {ability} "
                    f"({points(here.value)} {limits(here.low, here.high)}), the {labels['localizer']} lesion {ability} more "
                    f"than {own} ({points(there.value)} {limits(there.low, there.high)})."
                )
    return tuple(found)


def more_than(
    items: pl.DataFrame, labels: dict[str, Any], ability: str, other: str, *, level: float, boot: dict[str, int]
) -> Interval:
    """What a lesion does to one ability minus what it does to another, with an interval clustered by template."""

    def change(name: str) -> tuple[np.ndarray, np.ndarray]:
        of = items.filter(pl.col("ability") == name)
        intact, lesion = rows_of(of, {"condition": "intact"}), rows_of(of, labels)
        differences = lesion["correct"].cast(float).to_numpy() - intact["correct"].cast(float).to_numpy()
        return differences, clusters(intact)

    (mine, groups), (theirs, other_groups) = change(ability), change(other)
    try:
        return difference_interval(mine, theirs, groups=(groups, other_groups), level=level, **boot)
    except StatisticsError:  # one item of an ability: a difference, and nothing to say of its certainty
        return Interval(float(mine.mean() - theirs.mean()), float("nan"), float("nan"))


def patch_choice(
    own: NDArray[np.float64],
    foreign: NDArray[np.float64],
    lost: NDArray[np.float64],
    groups: np.ndarray,
    boot: Mapping[str, int],
) -> Rung:
    """Does the clean run of another text restore less than the text's own?

    *Failed* where the whole interval lies below a fifth of what was lost.
    """
    try:
        found = paired_bootstrap(own, foreign, groups=groups, **boot)
    except StatisticsError:
        found = Interval(float((own - foreign).mean()), float("nan"), float("nan"))
    share, smallest = float(np.nansum(foreign) / lost.sum()), SMALLEST_SHARE * float(lost.mean())
    enough = found.low > 0 and found.value >= smallest
    state: State = "failed" if found.high < smallest else "passed" if enough else "undecided"
    more = " Undecided: more cases would decide it." if state == "undecided" else ""
    return Rung(
        "specific",
        state,
        f"With the clean run of another text, whose answer is another, the same patch restores {number(share, '.0%')}: "
        f"{number(found.value)} logits {bounds(found.low, found.high)} less than with the text's own; {number(smallest)} is the "
        f"smallest difference of interest.{more}",
        {
            "share_other": share,
            "difference": found.value,
            "low": found.low,
            "high": found.high,
            "smallest_effect": smallest,
        },
    )
