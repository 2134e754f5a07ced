"""The *learned* rung: is the effect stronger than in twins of the model that have learned nothing?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from broca.cache.cache import Cache, Json
from broca.cache.mapping import map_cached
from broca.evidence.rungs.selective import ProbedTarget
from broca.evidence.verdict import Rung
from broca.models.lm import LM
from broca.models.twins import shuffled_twin, untrained_twin
from broca.page.numbers import is_known, limits, number, p_value
from broca.specs.expectation import State
from broca.stats.stopping import fewest_draws

Kind = Literal["untrained", "shuffled"]

CITATIONS = (
    "Adebayo et al. (2018), Sanity checks for saliency maps, NeurIPS.",
    "Heap et al. (2025), arXiv:2501.17727.",
)


def decide(own: float, twins: Sequence[float], *, most: int, alpha: float) -> tuple[State, float]:
    """What a figure among those of untrained twins says, and its empirical p (Phipson & Smyth, 2010).

    More twins cannot turn a *failed*, so that the first ones that reach the model end the comparison.

    Args:
        own: the model's figure.
        twins: the same figure in each twin so far.
        most: how many twins are to be compared in all.
        alpha: level.
    """
    reached = sum(value >= own for value in twins)
    p = (1 + reached) / (1 + len(twins))
    allowed = int(alpha * (max(most, fewest_draws(alpha)) + 1) + 1e-9) - 1
    return "failed" if reached > allowed else "passed" if p <= alpha else "undecided", p


def wanting(twins: int, alpha: float) -> str:
    """What would decide the rung where so few twins did not."""
    needed = fewest_draws(alpha)
    return f" {needed} untrained twins are needed, {twins} were compared (--twins {needed})."


def in_twins(
    task: TwinTask,
    lm: LM,
    *,
    n: int,
    seed: int,
    own: float | None,
    alpha: float,
    cache: Cache,
    progress: Callable[[int, int], None],
) -> pl.DataFrame:
    """What a task finds in a twin whose weights are in disorder, and in untrained ones until they have decided.

    One row a twin: kind, seed, and the figures, d_held_out, share_significant, r.

    Args:
        task: what takes the figures.
        lm: the model.
        n: untrained twins at most.
        seed: of the first one.
        own: the model's d_held_out, which the twins' are compared with; None where it has none.
        alpha: level.
        cache: of the twins.
        progress: called with (twins done, twins at most).
    """
    parts: list[tuple[Kind, int]] = [("shuffled", seed), *(("untrained", seed + i) for i in range(n))]
    rows, found = [], []
    for (kind, of), row in zip(parts, map_cached(task, parts, lm, cache, progress), strict=True):
        assert isinstance(row, pl.DataFrame)
        rows.append(row.select(pl.lit(kind).alias("kind"), pl.lit(of).alias("seed"), pl.all()))
        if kind == "untrained":
            found.append(_figure(row["d_held_out"][0]))
        if own is not None and is_known(own) and decide(own, found, most=n, alpha=alpha)[0] == "failed":
            break
    progress(len(parts), len(parts))
    return pl.concat([*rows[1:], rows[0]])


def _figure(value: float | None) -> float:
    """A twin in which nothing can be computed has no effect to speak of."""
    return value if value is not None and np.isfinite(value) else 0.0


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


def unit_map(own: Mapping[str, Any], table: pl.DataFrame, *, most: int, alpha: float) -> Rung:
    """Is the effect on held-out stimuli larger than in untrained twins, by its empirical p?

    Args:
        own: `figures` of the trained model.
        table: `in_twins`.
        most: untrained twins that were to be compared.
        alpha: level.
    """
    if not is_known(own["d_held_out"]):
        return Rung("learned", "undecided", "Too few stimuli for an effect size on held-out ones.", {})
    fresh = table.filter(pl.col("kind") == "untrained")
    d = [_figure(value) for value in fresh["d_held_out"]]
    state, p = decide(own["d_held_out"], d, most=most, alpha=alpha)
    disorder = table.filter(pl.col("kind") == "shuffled")["d_held_out"][0]
    numbers = {
        "d_held_out": own["d_held_out"],
        "d_twins_median": float(np.median(d)),
        "d_twins_largest": max(d),
        "d_shuffled": disorder,
        "share_significant": own["share_significant"],
        "share_significant_twins": float(fresh["share_significant"].mean()),  # type: ignore[arg-type]
        "twins": len(d),
        "p": p,
    }
    text = (
        f"Effect size of the selection on stimuli that did not select it: d = {number(own['d_held_out'])}. In {len(d)} untrained "
        f"twins {number(numbers['d_twins_median'])} in the median and {number(max(d))} at most ({p_value(p)}); with "
        f"the weights in disorder {number(disorder)}. Significant units: {own['share_significant']:.1%}, in the twins "
        f"{numbers['share_significant_twins']:.1%} on average."
    )
    return Rung("learned", state, text + (wanting(len(d), alpha) if state == "undecided" else ""), numbers)


def probe_scores(defined: Sequence[ProbedTarget], alpha: float) -> Rung:
    """Do probes of the trained network read more than those of untrained ones do, whatever is asked of them?

    All targets must pass, each at `alpha` (intersection-union; Berger, 1982).
    """
    texts, numbers, states = [], {}, []
    n = len(defined[0].row["f1_random_all"])
    if not n:
        return Rung("learned", "not tested", "Not compared with untrained networks (--twins 0).", {"twins": 0})
    for each in defined:
        row = each.row
        band = row["f1_random_all"]
        state, p = decide(row["f1"], band, most=n, alpha=alpha)
        states.append("undecided" if state == "passed" and not (row["score_low"] or 0.0) > 0 else state)
        if row["score"] is None:
            continue
        texts.append(
            f"{row['symbol']} = {number(row['score'], '.3f')} {limits(row['score_low'], row['score_high'], '.3f')}: macro-F1 "
            f"{number(row['f1'], '.3f')}, in untrained networks {number(min(band, default=0), '.3f')} to "
            f"{number(max(band, default=0), '.3f')} ({p_value(p)})."
        )
        numbers |= {row["symbol"]: row["score"], f"p_{row['symbol']}": p}
    numbers["twins"] = n
    state: State = next((s for s in ("failed", "undecided") if s in states), "passed")  # type: ignore[assignment]
    short = wanting(n, alpha) if state == "undecided" and n < fewest_draws(alpha) else ""
    return Rung("learned", state, " ".join(texts) + short, numbers)


def patch_choice(own: float, random: Sequence[float], *, most: int, cases: int, what: str, alpha: float) -> Rung:
    """Does the choice restore more than the choices that untrained twins make do in them?

    Args:
        own: effect size of what the chosen ones restore in the trained model.
        random: the same in each twin.
        most: untrained twins that were to be compared.
        cases: how many cases were patched; none of them chose.
        what: heads or neurons.
        alpha: level of the test.
    """
    if not random:
        return Rung("learned", "not tested", "Not compared with untrained twins (--twins 0).", {"d": own})
    state, p = decide(own, random, most=most, alpha=alpha)
    text = (
        f"In {cases} cases that did not choose them, the chosen {what} restore with an effect size of d = {number(own)}; in "
        f"{len(random)} untrained twins those that they choose, in cases of their own, do with {number(min(random))} to {number(max(random))} "
        f"({p_value(p)})."
    )
    numbers = {"d": own, "d_untrained_largest": max(random), "p": p, "twins": len(random), "cases": cases}
    return Rung("learned", state, text + (wanting(len(random), alpha) if state == "undecided" else ""), numbers)


def circuit_edges(own: float, random: Sequence[float], *, most: int, pairs: int, alpha: float) -> Rung:
    """Do the edges that the model chooses carry more than those that untrained twins choose?

    Args:
        own: mean t of as many edges as the circuit has, in pairs that did not choose them.
        random: the same in each twin.
        most: untrained twins that were to be compared.
        pairs: how many pairs t is of.
        alpha: level of the test.
    """
    if not random:
        return Rung("learned", "not tested", "Not compared with untrained twins (--twins 0).", {"twins": 0})
    state, p = decide(own, random, most=most, alpha=alpha)
    text = (
        f"In {pairs} pairs that did not choose them, as many edges as the circuit has carry a mean t of {number(own, '.1f')}; those that "
        f"{len(random)} untrained twins choose carry {number(min(random), '+.1f')} to {number(max(random), '+.1f')} ({p_value(p)})."
    )
    numbers = {"t": own, "t_untrained_largest": max(random), "p": p, "twins": len(random), "pairs": pairs}
    return Rung("learned", state, text + (wanting(len(random), alpha) if state == "undecided" else ""), numbers)


def axis(own: float, table: pl.DataFrame, *, most: int, alpha: float) -> Rung:
    """Does the direction part the sides further than those fitted in untrained twins do, on groups that did not fit it?

    Args:
        own: by how many standard deviations the model's does.
        table: `in_twins`.
        most: untrained twins that were to be compared.
        alpha: level.
    """
    fresh = table.filter(pl.col("kind") == "untrained")
    if not fresh.height:
        return Rung("learned", "not tested", "Not compared with untrained twins (--twins 19).", {"d_held_out": own})
    d = [_figure(value) for value in fresh["d_held_out"]]
    state, p = decide(own, d, most=most, alpha=alpha)
    disorder = table.filter(pl.col("kind") == "shuffled")["d_held_out"][0]
    text = (
        f"On groups that were left out of the fit the sides lie {number(own)} standard deviations apart along the direction; along those "
        f"fitted in {len(d)} untrained twins {number(float(np.median(d)))} in the median and {number(max(d))} at most ({p_value(p)}); with "
        f"the weights in disorder {number(disorder)}."
    )
    numbers = {"d_held_out": own, "d_twins_median": float(np.median(d)), "d_twins_largest": max(d), "d_shuffled": disorder,
               "twins": len(d), "p": p}  # fmt: skip
    return Rung("learned", state, text + (wanting(len(d), alpha) if state == "undecided" else ""), numbers)
