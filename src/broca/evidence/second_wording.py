"""Does what a lesion costs hold where the same items are asked in other words?"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from broca.errors import StatisticsError
from broca.evidence import guards
from broca.evidence.effects import limits, points
from broca.page.numbers import p_value
from broca.page.words import count
from broca.stats.loss import Loss, loss_test
from broca.stats.pairs import sign_flip_test

if TYPE_CHECKING:
    from broca.evidence.ability_scores import AbilityScores


@dataclass(frozen=True, slots=True)
class SecondWording:
    """The loss of the own ability in a second wording of the same items, beside that in the first."""

    state: Literal["holds", "does not hold", "undecided"]
    """*Holds* where the loss is decided alike in both wordings, as *causal* decides it but for draws; *undecided* where either is open."""
    text: str
    items: int
    """That have a second wording."""
    intact: float
    """Accuracy in the second wording, positions and answers balanced."""
    loss: float
    """The mean over fills."""
    low: float | None
    """Of its interval; None where there is none."""
    high: float | None
    p: float
    first_loss: float
    """Of the same items in the first wording."""
    difference: float
    """Loss in the first wording minus that in the second, paired by item."""
    difference_low: float | None
    difference_high: float | None


def second_wording(
    first: AbilityScores,
    second: AbilityScores,
    *,
    level: float,
    alpha: float,
    smallest_effect: float | None = None,
    seed: int = 0,
) -> SecondWording:
    """Compare what a lesion costs in two wordings.

    Args:
        first: scores of the own ability.
        second: of items of the same ids in other words, under the same lesions; those that have none are missing.
        level: of the claim.
        alpha: level of the gate.
        smallest_effect: the smallest loss of interest, as a share of 1; by default a fifth of intact minus chance, in either wording.
        seed: of sign flips.
    """
    place = {item.id: i for i, item in enumerate(first.items)}
    at = np.array([place[item.id] for item in second.items])
    weights, groups = first.weights[at], first.groups[at]
    how = {"groups": groups, "weights": weights, "alpha": level, "seed": seed}
    before, after = first.intact[at] - first.lesioned[:, at], second.intact - second.lesioned
    intact = float(np.average(second.intact, weights=weights))
    able = guards.gate(pl.DataFrame({"correct": second.intact}), second.items, second.name, alpha=alpha, stop=False)
    try:
        difference = sign_flip_test(before.mean(0) - after.mean(0), **how)
        one = loss_test(
            first.intact[at], first.lesioned[:, at], first.chance[at], smallest_effect=smallest_effect, **how
        )
        two = loss_test(second.intact, second.lesioned, second.chance, smallest_effect=smallest_effect, **how)
    except StatisticsError as error:
        loss = float(np.average(after.mean(0), weights=weights))
        own = float(np.average(before.mean(0), weights=weights))
        text = f"Asked in other words ({count(len(at), 'item')}), nothing is decided. {error if able.state == 'passed' else able.text}"
        return SecondWording("undecided", text, len(at), intact, loss, None, None, 1.0, own, own - loss, None, None)
    state = _state(one, two) if able.state == "passed" else "undecided"
    text = (
        f"Asked in other words ({count(len(at), 'item')}), the intact model answers {intact:.1%}, and the lesion changes that by "
        f"{points(-two.value)} {limits(-two.high, -two.low)} ({p_value(two.p)}); on the same items in the first wording by "
        f"{points(-one.value)}. {_WORDS[state]} {_size(difference.value, difference.low, difference.high, one.smallest_effect)}"
    )
    if able.state != "passed":
        text += f" {able.text}"
    return SecondWording(
        state, text, len(at), intact, two.value, _finite(two.low), _finite(two.high), two.p, one.value,
        difference.value, _finite(difference.low), _finite(difference.high),
    )  # fmt: skip


_WORDS = {
    "holds": "What is found holds in both wordings.",
    "does not hold": "What is found holds in one wording alone.",
    "undecided": "Whether what is found holds in both is undecided.",
}


def _state(one: Loss, two: Loss) -> Literal["holds", "does not hold", "undecided"]:
    if "undecided" in (one.state, two.state):
        return "undecided"
    return "holds" if one.state == two.state else "does not hold"


def _size(value: float, low: float, high: float, smallest: float) -> str:
    """Whether both wordings lose as much."""
    if max(abs(low), abs(high)) < smallest:
        return f"The losses are the same to within the smallest of interest (they differ by {points(abs(value))})."
    if low > 0 or high < 0:
        return f"The second wording loses {'less' if value > 0 else 'more'}, by {points(abs(value))}."
    return f"They differ by {points(abs(value))}, which may be chance."


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
