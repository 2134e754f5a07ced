"""The *causal* rung: does taking it away cost the ability more than matched random choices do?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from broca.evidence.effects import limits, matches, points, rows_of
from broca.evidence.verdict import Rung
from broca.page.numbers import limits as bounds
from broca.page.numbers import number, p_value
from broca.stats.nulls import empirical_p, quantile_band
from broca.stats.power import mcnemar_detectable


def lesion(
    items: pl.DataFrame,
    cell: dict[str, Any],
    lesions: Sequence[dict[str, Any]],
    sizes: Sequence[dict[str, Any]],
    *,
    own: str,
    alpha: float,
) -> Rung:
    """Does the lesion cost the ability more than matched random lesions of its size do, whatever the fill and the size?

    Args:
        items: rows of all conditions.
        cell: the own cell of the matrix.
        lesions: the labels of the main lesion under each fill, the main one first.
        sizes: those of the smaller and the larger selection of the same ranking, if any were lesioned.
        own: the ability in question.
        alpha: level of both tests.
    """
    of = items.filter(pl.col("ability") == own)
    intact = rows_of(of, {"condition": "intact"})["correct"].mean()

    def change(labels: dict[str, Any]) -> float:
        return float(rows_of(of, labels)["correct"].mean() - intact)  # type: ignore[operator]

    by_fill = {labels["fill"]: change(labels) for labels in lesions}
    by_size = {f"{labels['dose']:g} %": change(labels) for labels in sizes}
    agree, robust = (
        all(np.sign(effect) == np.sign(cell["effect"]) for effect in found.values()) for found in (by_fill, by_size)
    )
    numbers = {
        "effect": cell["effect"],
        "p_mcnemar": cell["p"],
        "p_random": cell["p_random"],
        "random_median": cell["random_median"],
        "draws": int(items.filter(matches(lesions[0] | {"condition": "random"}, skip=("seed",)))["seed"].n_unique()),
        "alpha": alpha,
        **{f"effect_{name}": effect for name, effect in (by_fill | by_size).items()},
    }
    seen = mcnemar_detectable(cell["n"], alpha=alpha)
    numbers["detectable"] = seen if np.isfinite(seen) else None
    power = (
        f" {cell['n']} items show a loss of {100 * seen:.0f} points with 80 % power."
        if np.isfinite(seen)
        else f" {cell['n']} items are too few to show any loss with 80 % power."
    )
    if cell["p_random"] is None:
        return Rung("causal", "not tested", "No matched random lesions were drawn (draws = 0).", numbers)
    passed = cell["effect"] < 0 and cell["p"] <= alpha and cell["p_random"] <= alpha and agree and robust
    more = _agreement("Fills", by_fill, agree=agree) if len(by_fill) > 1 else ""
    more += _agreement("Sizes", by_size, agree=robust) if by_size else ""
    return Rung(
        "causal",
        "passed" if passed else "failed",
        f"The lesion changes {own} accuracy by {points(cell['effect'])} (McNemar {p_value(cell['p'])}); {numbers['draws']} "
        f"matched random lesions by {points(cell['random_median'])} in the median (95 % of them within "
        f"{limits(cell['random_low'], cell['random_high'])}; {p_value(cell['p_random'])}).{more}{power}",
        numbers,
    )


def _agreement(what: str, found: Mapping[str, float], *, agree: bool) -> str:
    listed = ", ".join(f"{name} {points(effect)}" for name, effect in found.items())
    return f" {what} {'agree' if agree else 'disagree'} in sign ({listed})."


def against_families(rung: Rung, table: pl.DataFrame, alpha: float) -> Rung:
    """The causal rung, which has to hold against each family of random masks."""
    if table.height < 2:
        return rung
    told = "; ".join(
        f"{row['family']} ({row['draws']}): {points(row['median'])} {limits(row['low'], row['high'])}, {p_value(row['p'])}"
        for row in table.iter_rows(named=True)
    )
    rung = rung.more(
        f" Against each family of random masks: {told}.",
        {f"p_{name}": p for name, p in table.select("family", "p").rows()},
    )
    lost = [name for name, p in table.select("family", "p").rows() if p > alpha]
    return rung.failed_if(f"It is not beyond random masks of the family {', '.join(lost)}." if lost else None)


class PatchChoice(Protocol):
    """What was chosen to be patched, and against what it is tested."""

    @property
    def what(self) -> str: ...

    @property
    def percent(self) -> float: ...

    @property
    def draws(self) -> int: ...

    @property
    def alpha(self) -> float: ...


def patch_choice(
    own: tuple[float, float, float], drawn: NDArray[np.float64], n: int, how: PatchChoice, *, matched: bool
) -> Rung:
    """Does the choice, patched as a whole, restore more than random choices of its size do?"""
    low, share, high = own
    numbers = {"share": share, "low": low, "high": high, "cases": n, "draws": len(drawn)}
    if 1 / (len(drawn) + 1) > how.alpha:
        few = f"percent = {how.percent:g} leaves too few {how.what} to draw from: "
        why = (
            (few if len(drawn) < how.draws else "")
            + f"{len(drawn)} random choices cannot give p ≤ {how.alpha:g}; draw {int(np.ceil(1 / how.alpha)) - 1} or more."
        )
        return Rung("causal", "not tested", why, numbers)
    band, p = quantile_band(drawn), float(empirical_p(share, drawn, "greater"))
    return Rung(
        "causal",
        "passed" if p <= how.alpha and low > 0 else "failed",
        f"Patched together in {n} cases that did not choose them, the chosen {how.what} restore {number(share, '.0%')} "
        f"{bounds(low, high, '.0%')} of the lost logit difference; {len(drawn)} random choices of the same size"
        f"{' and layers' if matched else ''} {number(band.value, '.0%')} in the median (95 % of them within "
        f"{bounds(band.low, band.high, '.0%')}; {p_value(p)}).",
        numbers | {"random_median": band.value, "random_low": band.low, "random_high": band.high, "p_random": p},
    )
