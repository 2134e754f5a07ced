"""What scores under lesions say: effects with their intervals, and the claim in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, isinf
from typing import Any

import numpy as np
import polars as pl

from broca.errors import StatisticsError
from broca.page.numbers import NO_INTERVAL, UNDEFINED, is_known, p_value
from broca.stats.corrections import holm
from broca.stats.intervals import Interval, codes
from broca.stats.nulls import dose_response, empirical_p, quantile_band
from broca.stats.pairs import paired_bootstrap, sign_flip_p

_LABELS = ["ability", "condition", "localizer", "side", "dose", "fill", "k", "seed"]


def doses(items: pl.DataFrame) -> pl.DataFrame:
    """One row an ability and condition: accuracy, mean score, invalid answers."""
    return items.group_by(_LABELS, maintain_order=True).agg(
        pl.col("correct").mean().alias("accuracy"),
        pl.col("score").mean(),
        pl.col("invalid").mean(),
        pl.len().alias("n"),
    )


def matrix(items: pl.DataFrame, lesions: Sequence[dict[str, Any]], *, own: str, boot: dict[str, int]) -> pl.DataFrame:
    """One row a localizer and ability: effect of its lesion, beside that of its matched random lesions.

    Args:
        items: rows of all conditions.
        lesions: the address (labels) of one lesion for each localizer, the claim's first.
        own: the ability that the first localizer is about.
        boot: `n` and `seed` of the bootstrap.
    """
    rows = []
    for labels in lesions:
        for ability in items["ability"].unique(maintain_order=True):
            of = items.filter(pl.col("ability") == ability)
            intact, lesion = rows_of(of, {"condition": "intact"}), rows_of(of, labels)
            low_high = _interval(lesion, intact, boot)
            right = [rows["correct"].cast(float) for rows in (lesion, intact)]
            draws = _draws(of, labels, intact)
            band = quantile_band(draws) if len(draws) else None
            rows.append(
                {
                    "localizer": labels["localizer"],
                    "ability": ability,
                    "own": ability == own and labels == lesions[0],
                    "n": len(intact),
                    "intact": float(intact["correct"].mean()),  # type: ignore[arg-type]
                    "lesion": float(lesion["correct"].mean()),  # type: ignore[arg-type]
                    "effect": low_high.value,
                    "low": low_high.low,
                    "high": low_high.high,
                    "p": sign_flip_p(*right, groups=clusters(intact), seed=boot["seed"]),
                    "random_median": band.value if band else None,
                    "random_low": band.low if band else None,
                    "random_high": band.high if band else None,
                    "p_random": float(empirical_p(low_high.value, draws, "less")) if len(draws) else None,
                }
            )
    # Every cell asks whether a localizer's lesion changes an ability: as many questions as cells.
    for row, q in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = float(q)
    nullable = ("random_median", "random_low", "random_high", "p_random")
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(nullable, pl.Float64))


def area(items: pl.DataFrame, labels: Mapping[str, Any], *, own: str) -> tuple[str, dict[str, float]]:
    """The whole dose-response curve against those of random lesions of the same sizes: one number, one p.

    In words and in numbers; nothing where fewer than two doses have random lesions beside them.

    Args:
        items: rows of all conditions.
        labels: of the main lesion, whose localizer, side and fill the curve has.
        own: the ability in question.
    """
    of = items.filter(pl.col("ability") == own)
    intact = rows_of(of, {"condition": "intact"})
    curve = rows_of(of, {name: labels[name] for name in ("condition", "localizer", "side", "fill")})
    steps = {}
    for dose in curve["dose"].unique().sort():
        draws = _draws(of, {**labels, "dose": dose}, intact)
        if len(draws):
            effect = rows_of(curve, {"dose": dose})["correct"].mean() - intact["correct"].mean()  # type: ignore[operator]
            steps[dose] = (effect, draws)
    if len(steps) < 2:
        return "", {}
    n = min(len(draws) for _, draws in steps.values())
    null = np.stack([np.zeros(n), *(draws[:n] for _, draws in steps.values())], axis=1)
    found = dose_response([0, *steps], [0, *(effect for effect, _ in steps.values())], null, side="less")
    text = (
        f" Over doses of {', '.join(f'{dose:g}' for dose in steps)} % the mean change (area under the curve) is {points(found.area)}; "
        f"of {n} random curves {points(found.null.value)} in the median ({p_value(found.p)})."
    )
    return text, {"area": found.area, "area_random_median": found.null.value, "p_area": found.p, "area_draws": n}


def flipped_items(items: pl.DataFrame, prompts: pl.DataFrame, labels: dict[str, Any]) -> pl.DataFrame:
    """The items that the main lesion turned, either way, with their texts."""
    intact, lesion = rows_of(items, {"condition": "intact"}), rows_of(items, labels)
    turned = intact.select(
        "id", "ability", pl.col("correct").alias("before"), pl.col("text").alias("intact")
    ).with_columns(lesion["correct"].alias("after"), lesion["text"].alias("lesion"))
    return (
        turned.filter(pl.col("before") != pl.col("after"))
        .join(
            prompts.select("id", "ability", "prompt", "answer"), on=["id", "ability"], how="left", maintain_order="left"
        )
        .with_columns(pl.when(pl.col("before")).then(pl.lit("lost")).otherwise(pl.lit("gained")).alias("change"))
        .select("id", "ability", "prompt", "answer", "intact", "lesion", "change")
    )


def claim(cell: dict[str, Any], what: str, own: str, verdict: str) -> str:
    """The result in one sentence, with its interval."""
    beside = (
        f", where matched random lesions change it by {points(cell['random_median'])} (95 % of them "
        f"within {limits(cell['random_low'], cell['random_high'])})"
        if cell["random_median"] is not None
        else ""
    )
    return (
        f"Lesioning {what} changes {own} accuracy from {cell['intact']:.1%} to {cell['lesion']:.1%}, by "
        f"{points(cell['effect'])} {limits(cell['low'], cell['high'])}{beside}. {verdict}"
    )


def points(value: float) -> str:
    """A difference of accuracies in words: +12.5 points."""
    return f"{_signed_percent(value)} points" if is_known(value) else UNDEFINED


def limits(low: float, high: float) -> str:
    """An interval of such differences: [−3.1, +1.6], or why there is none."""
    return (
        f"[{_signed_percent(low)}, {_signed_percent(high)}]" if isfinite(low) and isfinite(high) else _no_interval(low)
    )


def _no_interval(low: float) -> str:
    return "(no interval: too few groups for its level)" if isinf(low) else NO_INTERVAL


def _signed_percent(value: float) -> str:
    return f"{100 * value:+.1f}".replace("+0.0", "0.0").replace("-0.0", "0.0").replace("-", "−")


def _interval(lesion: pl.DataFrame, intact: pl.DataFrame, boot: dict[str, int]) -> Interval:
    a, b = lesion["correct"].cast(float), intact["correct"].cast(float)
    try:
        return paired_bootstrap(a, b, groups=clusters(intact), **boot)
    except StatisticsError:
        value = float((a - b).mean())  # type: ignore[arg-type]
        return Interval(value=value, low=float("nan"), high=float("nan"))


def clusters(rows: pl.DataFrame) -> np.ndarray:
    """What resampling of the items of an ability draws: their groups, or the items where all are of one group.

    In that case the interval is about other items of that group.
    """
    found = codes(rows["group"].to_numpy())
    return found if found.max(initial=0) else np.arange(len(found))


def _draws(of: pl.DataFrame, labels: dict[str, Any], intact: pl.DataFrame) -> np.ndarray:
    """Effect of each random lesion that is matched to the lesion with these labels."""
    random = of.filter(matches(labels | {"condition": "random"}, skip=("seed",)))
    means = random.group_by("seed", maintain_order=True).agg(pl.col("correct").mean())
    return means["correct"].to_numpy() - float(intact["correct"].mean())  # type: ignore[arg-type]


def rows_of(of: pl.DataFrame, labels: dict[str, Any]) -> pl.DataFrame:
    """The rows of the condition with these labels."""
    return of.filter(matches(labels))


def matches(labels: dict[str, Any], skip: tuple[str, ...] = ()) -> pl.Expr:
    """Whether a row is of the condition with these labels.

    Args:
        labels: by column.
        skip: columns that may hold anything.
    """
    return pl.all_horizontal(pl.col(name) == value for name, value in labels.items() if name not in skip)
