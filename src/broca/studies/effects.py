"""What the scores say: effects with their intervals, the causal and the specific rung, and the claim in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from broca.errors import StatisticsError
from broca.stats.intervals import Interval
from broca.stats.nulls import empirical_p, quantile_band
from broca.stats.paired import difference_interval, mcnemar_exact, paired_bootstrap
from broca.studies.ladder import Rung

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
            intact, lesion = _rows(of, {"condition": "intact"}), _rows(of, labels)
            low_high = _interval(lesion, intact, boot)
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
                    "p": mcnemar_exact(intact["correct"], lesion["correct"]).p,
                    "random_median": band.value if band else None,
                    "random_low": band.low if band else None,
                    "random_high": band.high if band else None,
                    "p_random": float(empirical_p(low_high.value, draws, "less")) if len(draws) else None,
                }
            )
    nullable = ("random_median", "random_low", "random_high", "p_random")
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(nullable, pl.Float64))


def causal(
    items: pl.DataFrame, cell: dict[str, Any], lesions: Sequence[dict[str, Any]], *, own: str, alpha: float
) -> Rung:
    """Does the lesion cost the ability more than matched random lesions of the same size do, whatever the fill?

    Args:
        items: rows of all conditions.
        cell: the own cell of the matrix.
        lesions: the labels of the main lesion under each fill, the main one first.
        own: the ability in question.
        alpha: level of both tests.
    """
    of = items.filter(pl.col("ability") == own)
    intact = _rows(of, {"condition": "intact"})["correct"].mean()
    by_fill = {labels["fill"]: float(_rows(of, labels)["correct"].mean() - intact) for labels in lesions}  # type: ignore[operator]
    agree = all(np.sign(effect) == np.sign(cell["effect"]) for effect in by_fill.values())
    numbers = {
        "effect": cell["effect"],
        "p_mcnemar": cell["p"],
        "p_random": cell["p_random"],
        "random_median": cell["random_median"],
        "draws": int(items.filter(_matches(lesions[0] | {"condition": "random"}, skip=("seed",)))["seed"].n_unique()),
        "alpha": alpha,
        **{f"effect_{fill}": effect for fill, effect in by_fill.items()},
    }
    if cell["p_random"] is None:
        return Rung("causal", "not tested", "No matched random lesions were drawn (draws = 0).", numbers)
    passed = cell["effect"] < 0 and cell["p"] <= alpha and cell["p_random"] <= alpha and agree
    fills = (
        f" Fills {'agree' if agree else 'disagree'} in sign ({', '.join(f'{f} {_points(e)}' for f, e in by_fill.items())})."
        if len(by_fill) > 1
        else ""
    )
    return Rung(
        "causal",
        "passed" if passed else "failed",
        f"The lesion changes {own} accuracy by {_points(cell['effect'])} (McNemar p = {cell['p']:.2g}); {numbers['draws']} "
        f"matched random lesions by {_points(cell['random_median'])} in the median (95 % of them within "
        f"{_limits(cell['random_low'], cell['random_high'])}; p = {cell['p_random']:.2g}).{fills}",
        numbers,
    )


def specific(
    items: pl.DataFrame, labels: dict[str, Any], *, own: str, able: Sequence[str], boot: dict[str, int]
) -> Rung:
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

    def change(ability: str) -> tuple[np.ndarray, np.ndarray]:
        of = items.filter(pl.col("ability") == ability)
        intact, lesion = _rows(of, {"condition": "intact"}), _rows(of, labels)
        return lesion["correct"].cast(float).to_numpy() - intact["correct"].cast(float).to_numpy(), intact[
            "group"
        ].to_numpy()

    mine, groups = change(own)
    found: dict[str, Interval] = {}
    for ability in able:
        other, other_groups = change(ability)
        found[ability] = difference_interval(
            mine, other, groups=(groups, other_groups), level=1 - 0.05 / len(able), **boot
        )
    worst = max(found, key=lambda ability: found[ability].high)
    text = "; ".join(f"{a}: {_points(i.value)} {_limits(i.low, i.high)}" for a, i in found.items())
    return Rung(
        "specific",
        "passed" if found[worst].high < 0 else "failed",
        f"Effect on {own} minus effect on each other ability (95 % intervals, Bonferroni over {len(able)}): {text}.",
        {f"own_minus_{ability}": interval.value for ability, interval in found.items()}
        | {"worst_high": found[worst].high},
    )


def flipped(items: pl.DataFrame, prompts: pl.DataFrame, labels: dict[str, Any]) -> pl.DataFrame:
    """The items that the main lesion turned, either way, with their texts."""
    intact, lesion = _rows(items, {"condition": "intact"}), _rows(items, labels)
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
        f", where matched random lesions change it by {_points(cell['random_median'])} (95 % of them "
        f"within {_limits(cell['random_low'], cell['random_high'])})"
        if cell["random_median"] is not None
        else ""
    )
    return (
        f"Lesioning {what} changes {own} accuracy from {cell['intact']:.1%} to {cell['lesion']:.1%}, by "
        f"{_points(cell['effect'])} {_limits(cell['low'], cell['high'])}{beside}. {verdict}"
    )


def _points(value: float) -> str:
    return f"{_signed(value)} points"


def _limits(low: float, high: float) -> str:
    return f"[{_signed(low)}, {_signed(high)}]"


def _signed(value: float) -> str:
    return f"{100 * value:+.1f}".replace("+0.0", "0.0").replace("-0.0", "0.0").replace("-", "−")


def _interval(lesion: pl.DataFrame, intact: pl.DataFrame, boot: dict[str, int]) -> Interval:
    a, b = lesion["correct"].cast(float), intact["correct"].cast(float)
    groups = intact["group"].to_numpy()
    if len(set(groups)) < 2:
        groups = np.arange(len(intact))
    try:
        return paired_bootstrap(a, b, groups=groups, **boot)
    except StatisticsError:
        value = float((a - b).mean())  # type: ignore[arg-type]
        return Interval(value=value, low=float("nan"), high=float("nan"))


def _draws(of: pl.DataFrame, labels: dict[str, Any], intact: pl.DataFrame) -> np.ndarray:
    """Effect of each random lesion that is matched to the lesion with these labels."""
    random = of.filter(_matches(labels | {"condition": "random"}, skip=("seed",)))
    means = random.group_by("seed", maintain_order=True).agg(pl.col("correct").mean())
    return means["correct"].to_numpy() - float(intact["correct"].mean())  # type: ignore[arg-type]


def _rows(of: pl.DataFrame, labels: dict[str, Any]) -> pl.DataFrame:
    return of.filter(_matches(labels))


def _matches(labels: dict[str, Any], skip: tuple[str, ...] = ()) -> pl.Expr:
    return pl.all_horizontal(pl.col(name) == value for name, value in labels.items() if name not in skip)
