"""What a weight mask climbs: the selective and the reliable rung, and every family of random masks it has to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import poisson

from broca.evidence.rungs.causal import limits, points, rows_of
from broca.evidence.rungs.selective import RELIABLE
from broca.evidence.verdict import Guard, Rung
from broca.page.numbers import number, p_value
from broca.stats.corrections import bh, true_share
from broca.stats.nulls import empirical_p, quantile_band
from broca.stats.pairs import difference_test
from broca.stats.reliability import spearman_brown
from broca.stats.welch import welch_from_samples
from broca.units.weights import WeightSet

_FLOOR = 1e-6
"""Shares are compared as logs; smaller ones than this count as this."""

Shares = NDArray[np.float64]


def selective(task: Shares, general: Shares, *, alpha: float) -> Rung:
    """Does the mask take a greater share of the gradient of task items than of other texts, neither of which chose it?

    The claim is about the mask as a whole, so its whole share is tested; how many of its weights show it by themselves
    stands beside.

    Args:
        task: ``(sample, weight)`` shares of held-out items, in multiples of an even share.
        general: those of held-out texts.
        alpha: level of the test, and of the correction over weights.
    """
    if min(len(task), len(general)) < 3:
        return Rung("selective", "not tested", "Fewer than 3 held-out items or texts.", {})
    a, b = _log(task.mean(1)), _log(general.mean(1))
    whole = welch_from_samples(a, b)
    p = float(difference_test(a, b, alpha=alpha).p) if np.ptp(np.concatenate([a, b])) > 0 else 1.0
    d = float(whole.d) if np.isfinite(whole.d) else 0.0
    each = welch_from_samples(_log(task), _log(general))
    known = np.where(np.isfinite(each.p), each.p, 1.0)
    one_sided = np.where(each.t > 0, known / 2, 1 - known / 2)
    hits, k = int((bh(one_sided) <= alpha).sum()), task.shape[1]
    bound = true_share(one_sided, np.ones(k, dtype=bool), alpha=alpha)
    return Rung(
        "selective",
        "passed" if p <= alpha and d > 0 else "failed",
        f"On {len(task)} held-out items the masked weights have {np.median(10**a):.1f} times their even share of the squared gradient "
        f"in the median, on {len(general)} held-out texts {np.median(10**b):.1f} times (d = {number(d)}, permutation {p_value(p)}). By "
        f"themselves {hits} of {k} weights show it (BH, q = {alpha:g}); with {1 - alpha:.0%} confidence at least {bound:.0%} do.",
        {
            "k": k,
            "p": p,
            "d_held_out": d,
            "significant_selected": hits,
            "share_significant": hits / k,
            "true_share": bound,
            "alpha": alpha,
        },
    )


def _log(shares: Shares) -> Shares:
    return np.log10(np.maximum(shares, _FLOOR))


def reliable(halves: Sequence[WeightSet], r: float) -> Rung:
    """Would other samples of the kind have given the same scores and the same mask?

    Args:
        halves: the mask that each half of the task's samples, and of the control's, gives; empty where not kept.
        r: correlation of the halves' log scores over all weights.
    """
    if len(halves) != 2 or not np.isfinite(r):
        return Rung(
            "reliable", "not tested", "Sums of the two halves of the samples were not kept (halves = false).", {}
        )
    full, shared = spearman_brown(r), halves[0].overlap(halves[1])
    # The shared counts of the matrices are hypergeometric; their sum, of rare events, is close to Poisson.
    p = float(poisson.sf(shared.shared - 1, shared.expected)) if shared.shared else 1.0
    return Rung(
        "reliable",
        "passed" if full >= RELIABLE and p <= 0.05 else "failed",
        f"Split-half r = {number(r)} of log scores over all weights ({number(full)} for the whole by Spearman-Brown, {RELIABLE} is "
        f"asked). The halves' masks share {shared.shared} of {halves[0].count} and {halves[1].count} weights (Jaccard "
        f"{number(shared.jaccard, '.0%')}; {number(shared.expected, '.2g')} expected by chance, {p_value(p)}).",
        {"r": r, "r_full": full, "jaccard": shared.jaccard, "expected": shared.expected, "p_overlap": p},
    )


def families(
    items: pl.DataFrame, claims: Mapping[str, Mapping[str, Any]], main: Mapping[str, Any], own: str
) -> pl.DataFrame:
    """One row a family of random masks: how many, what they do to the own ability, and the mask's p among them.

    Args:
        items: rows of all conditions.
        claims: by the family's name, the labels that its draws share.
        main: the labels of the mask.
        own: the ability in question.
    """
    of = items.filter(pl.col("ability") == own)
    intact = float(rows_of(of, {"condition": "intact"})["correct"].mean())  # type: ignore[arg-type]
    effect = float(rows_of(of, dict(main))["correct"].mean()) - intact  # type: ignore[arg-type]
    rows = []
    for name, labels in claims.items():
        drawn = rows_of(of, dict(labels))
        means = drawn.group_by("seed", maintain_order=True).agg(pl.col("correct").mean(), pl.col("k").first())
        if means.is_empty():
            continue
        draws = means["correct"].to_numpy() - intact
        band = quantile_band(draws)
        p = float(empirical_p(effect, draws, "less"))
        size = float(means["k"].mean())  # type: ignore[arg-type]
        rows.append((name, len(draws), size, effect, band.value, band.low, band.high, p))
    columns = ["family", "draws", "mean_k", "effect", "median", "low", "high", "p"]
    types = [pl.String, pl.Int64, *[pl.Float64] * 6]
    return pl.DataFrame(rows, schema=dict(zip(columns, types, strict=True)), orient="row")


def beaten(rung: Rung, table: pl.DataFrame, alpha: float) -> Rung:
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
    return rung.refused(f"It is not beyond random masks of the family {', '.join(lost)}." if lost else None)


def predicted(table: pl.DataFrame, vocabulary: int) -> Guard:
    """Marks texts that the intact model predicts worse than by chance: their perplexity then measures nothing.

    Args:
        table: perplexity by condition.
        vocabulary: tokens of the model.
    """
    intact = float(rows_of(table, {"condition": "intact"})["perplexity"][0])
    text = f"The intact model predicts running text with perplexity {number(intact, '.4g')}; chance is {vocabulary}"
    if intact < vocabulary:
        return Guard("general texts", "passed", f"{text}.")
    return Guard(
        "general texts",
        "marked",
        f"{text}. It does not know this kind of text: give texts that it does, with --general or --perplexity-source.",
    )


def fluent(table: pl.DataFrame, main: Mapping[str, Any], limit: float) -> Guard:
    """Marks a mask that makes the model a worse model of plain text: what it then loses is not one ability.

    Args:
        table: perplexity by condition.
        main: the labels of the mask.
        limit: the largest ratio to the intact model's perplexity.
    """
    intact = float(rows_of(table, {"condition": "intact"})["perplexity"][0])
    masked = float(rows_of(table, dict(main))["perplexity"][0])
    ratio = masked / intact
    text = f"Perplexity of plain text is {number(intact, '.4g')} intact and {number(masked, '.4g')} masked ({number(ratio, '.3f')} times)"
    if ratio <= limit:
        return Guard("perplexity", "passed", f"{text}; up to {limit:g} times counts as equal.")
    return Guard(
        "perplexity",
        "marked",
        f"{text}, beyond the {limit:g} times that count as equal: the mask costs more than the ability.",
    )
