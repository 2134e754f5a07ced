"""The *learned* rung: is the effect stronger than in twins of the model that have learned nothing?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
from scipy import stats

from broca.cache.cache import Cache, Json
from broca.cache.mapping import map_cached
from broca.evidence.rungs.selective import ProbedTarget
from broca.evidence.verdict import Rung
from broca.models.lm import LM
from broca.models.twins import shuffled_twin, untrained_twin
from broca.page.numbers import is_known, limits, number, p_value
from broca.stats.nulls import empirical_p

Kind = Literal["untrained", "shuffled"]

CITATIONS = (
    "Adebayo et al. (2018), Sanity checks for saliency maps, NeurIPS.",
    "Heap et al. (2025), arXiv:2501.17727.",
)
ENOUGH, LEVEL = 20, 0.05
"""So many twins are needed for a p of this level."""


def in_twins(
    task: TwinTask, lm: LM, *, n: int, seed: int, cache: Cache, progress: Callable[[int, int], None]
) -> pl.DataFrame:
    """What a task finds in `n` untrained twins, and in one whose weights are in disorder.

    One row a twin: kind, seed, and the figures, d_held_out, share_significant, r.
    """
    parts: list[tuple[Kind, int]] = [*(("untrained", seed + i) for i in range(n)), ("shuffled", seed)]
    rows = []
    for (kind, of), row in zip(parts, map_cached(task, parts, lm, cache, progress), strict=True):
        assert isinstance(row, pl.DataFrame)
        rows.append(row.select(pl.lit(kind).alias("kind"), pl.lit(of).alias("seed"), pl.all()))
    return pl.concat(rows)


@dataclass(frozen=True)
class TwinTask(ABC):
    """The task of making a twin, by its kind and seed, and of taking figures in it."""

    spec: Any

    def key(self, lm: LM, part: tuple[Kind, int], /) -> dict[str, Json]:
        kind, seed = part
        spec = self.spec.model_dump_json()
        return {"cell": "twin", "kind": kind, "seed": seed, "spec": spec, "condition": list(lm.condition)}

    def __call__(self, lm: LM, part: tuple[Kind, int], /) -> pl.DataFrame:
        kind, seed = part
        twin = {"untrained": untrained_twin, "shuffled": shuffled_twin}[kind](lm, seed)
        return pl.DataFrame([self.figures(twin)], schema=_FIGURES)

    @abstractmethod
    def figures(self, twin: LM) -> dict[str, Any]:
        """d_held_out, share_significant and r."""


_FIGURES = {"d_held_out": pl.Float64, "share_significant": pl.Float64, "r": pl.Float64}


def unit_map(own: Mapping[str, Any], table: pl.DataFrame) -> Rung:
    """Is the effect on held-out stimuli larger than in 95 % of the untrained twins, by its empirical p?

    Args:
        own: `figures` of the trained model.
        table: `twins`.
    """
    if not is_known(own["d_held_out"]):
        return Rung("learned", "not tested", "Too few stimuli for an effect size on held-out ones.", {})
    fresh = table.filter(pl.col("kind") == "untrained")
    d = fresh["d_held_out"].fill_nan(None).fill_null(0.0).to_numpy()
    bar, p = float(np.quantile(d, 0.95)), float(empirical_p(own["d_held_out"], d, "greater"))
    disorder = table.filter(pl.col("kind") == "shuffled")["d_held_out"][0]
    numbers = {
        "d_held_out": own["d_held_out"],
        "d_twins_median": float(np.median(d)),
        "d_twins_95": bar,
        "d_shuffled": disorder,
        "share_significant": own["share_significant"],
        "share_significant_twins": float(fresh["share_significant"].mean()),  # type: ignore[arg-type]
        "twins": len(d),
        "p": p,
    }
    text = (
        f"Effect size of the selection on stimuli that did not select it: d = {own['d_held_out']:.2f}. In {len(d)} untrained "
        f"twins {number(numbers['d_twins_median'])} in the median and {number(bar)} at the 95th percentile ({p_value(p)}); with "
        f"the weights in disorder {number(disorder)}. Significant units: {own['share_significant']:.1%}, in the twins "
        f"{numbers['share_significant_twins']:.1%} on average."
    )
    if len(d) < ENOUGH:
        return Rung("learned", "not tested", f"{text} {ENOUGH} twins are needed for p = 0.05.", numbers)
    return Rung("learned", "passed" if p <= LEVEL else "failed", text, numbers)


ENOUGH_NETWORKS = 5
"""Untrained networks that the rung *learned* needs."""


def probe_scores(defined: Sequence[ProbedTarget], alpha: float) -> Rung:
    """Do probes of the trained network read more than those of untrained ones do?"""
    texts, numbers, passed = [], {}, True
    n = len(defined[0].row["f1_random_all"])
    for each in defined:
        row = each.row
        if row["score"] is None:
            continue
        band = row["score_random_all"]
        texts.append(
            f"{row['symbol']} = {number(row['score'], '.3f')} {limits(row['score_low'], row['score_high'], '.3f')}; untrained networks "
            f"score {number(min(band, default=0), '+.3f')} to {number(max(band, default=0), '+.3f')}"
            + (f" ({p_value(row['p_learned'])})." if row["p_learned"] is not None else ".")
        )
        numbers |= {row["symbol"]: row["score"], f"p_{row['symbol']}": row["p_learned"]}
        passed &= row["p_learned"] is not None and row["p_learned"] <= alpha / len(defined) and row["score_low"] > 0
    numbers["twins"] = n
    if n < ENOUGH_NETWORKS:
        return Rung(
            "learned", "not tested", " ".join([*texts, f"{ENOUGH_NETWORKS} untrained networks are needed."]), numbers
        )
    return Rung("learned", "passed" if passed else "failed", " ".join(texts), numbers)


ENOUGH_TWINS = 5
"""Untrained twins in which a choice is patched."""


def too_few_twins(own: float, twins: int) -> Rung:
    """The rung where a choice was not patched in enough untrained twins."""
    text = f"{ENOUGH_TWINS} untrained twins are needed, {twins} were asked for."
    return Rung("learned", "not tested", text, {"t": own})


def patch_choice(own: float, random: Sequence[float], *, cases: int, what: str, alpha: float) -> Rung:
    """Does the choice restore more than the same one does in untrained twins?

    One value against the few of a control sample (Crawford & Howell, 1998).

    Args:
        own: mean t of what the chosen ones restore in the trained model.
        random: the same in each twin.
        cases: how many cases were patched; none of them chose.
        what: heads or neurons.
        alpha: level of the test.
    """
    twins = len(random)
    spread = float(np.std(random, ddof=1)) * np.sqrt(1 + 1 / twins)
    p = float(stats.t.sf((own - np.mean(random)) / spread, twins - 1)) if spread else 0.0
    return Rung(
        "learned",
        "passed" if p <= alpha and own > max(random) else "failed",
        f"In {cases} cases that did not choose them, the chosen {what} restore with a mean t of {number(own, '.1f')}; in "
        f"{twins} untrained twins the same ones do with {number(min(random), '+.1f')} to {number(max(random), '+.1f')} "
        f"({p_value(p)}).",
        {"t": own, "t_untrained_largest": max(random), "p": p, "twins": twins, "cases": cases},
    )
