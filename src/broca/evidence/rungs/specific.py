"""Is it this ability alone? The specific rung, and double dissociations between localizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from broca.errors import StatisticsError
from broca.evidence.effects import clusters, limits, points, rows_of
from broca.evidence.verdict import Rung
from broca.page.numbers import limits as bounds
from broca.page.numbers import number
from broca.stats.intervals import Interval
from broca.stats.pairs import difference_interval, paired_bootstrap


def lesion(items: pl.DataFrame, labels: dict[str, Any], *, own: str, able: Sequence[str], boot: dict[str, int]) -> Rung:
    """Does the lesion cost the own ability more than each other ability that the intact model has?

    Args:
        items: rows of all conditions.
        labels: of the main lesion.
        own: the ability in question.
        able: the other abilities that the intact model has.
        boot: `n` and `seed` of the bootstrap.
    """
    if not able:
        return Rung("specific", "not tested", "No other ability that the intact model has was scored.", {})

    level = 1 - 0.05 / len(able)
    found = {ability: more_than(items, labels, own, ability, level=level, boot=boot) for ability in able}
    alone = [ability for ability, interval in found.items() if np.isnan(interval.high)]
    if alone:
        return Rung(
            "specific", "not tested", f"{own} or {alone[0]} has one item only, so that nothing can be resampled.", {}
        )
    worst = max(found, key=lambda ability: found[ability].high)
    text = "; ".join(f"{a}: {points(i.value)} {limits(i.low, i.high)}" for a, i in found.items())
    return Rung(
        "specific",
        "passed" if found[worst].high < 0 else "failed",
        f"Effect on {own} minus effect on each other ability (95 % intervals, Bonferroni over {len(able)}): {text}.",
        {f"own_minus_{ability}": interval.value for ability, interval in found.items()}
        | {"worst_high": found[worst].high},
    )


def dissociations(
    items: pl.DataFrame, lesions: Sequence[dict[str, Any]], *, own: str, able: Sequence[str], boot: dict[str, int]
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
    """
    first, *rest = lesions
    level = 1 - 0.05 / max(1, len(rest) * len(able))
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
    """Does the clean run of another text restore less than the text's own?"""
    try:
        found = paired_bootstrap(own, foreign, groups=groups, **boot)
    except StatisticsError:
        found = Interval(float((own - foreign).mean()), float("nan"), float("nan"))
    share = float(np.nansum(foreign) / lost.sum())
    return Rung(
        "specific",
        "passed" if found.low > 0 else "failed",
        f"With the clean run of another text, whose answer is another, the same patch restores {number(share, '.0%')}: "
        f"{number(found.value)} logits {bounds(found.low, found.high)} less than with the text's own.",
        {"share_other": share, "difference": found.value, "low": found.low, "high": found.high},
    )
