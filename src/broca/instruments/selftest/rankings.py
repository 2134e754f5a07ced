"""Ways to rank units by a contrast or by a metric, and how well a ranking finds a truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import polars as pl
from scipy.stats import rankdata
from scipy.stats import t as student
from sklearn.metrics import average_precision_score, roc_auc_score

from broca.cache.cache import Cache, Progress
from broca.capture import Moments, capture
from broca.capture.gradient import attribution, squared_gradients
from broca.instruments.selftest.truth import Flags, PlantedTrial, SelfTestSetup
from broca.models.pool import Pool
from broca.models.tokens import Tokens
from broca.organisms.planting import Floats
from broca.stats.mean_tests import welch
from broca.stats.power import welch_power

Truth = Literal["selective", "causal", "both"]
TRUTHS: tuple[Truth, ...] = get_args(Truth)

METHODS: Mapping[str, Truth | None] = {
    "Welch t": "selective",
    "|Welch t|": "selective",
    "t of |activation|": "selective",
    "mean difference": "selective",
    "attribution": "causal",
    "attribution between sides": "both",
    "squared gradient": "causal",
    "ablation": "causal",
    "random": None,
}
"""Each way to rank units, and the truth that it is meant to find."""


Side = Sequence[Tokens]
Scores = dict[str, list[Floats]]
Way = Callable[[SelfTestSetup, Side, Side], Scores]


def by_contrast(ground: SelfTestSetup, positive: Side, negative: Side) -> Scores:
    """Welch t and mean difference."""
    a, b = (capture(ground.lm, side, ground.sites, Moments) for side in (positive, negative))
    return {
        "Welch t": [_t(a[site], b[site]) for site in ground.sites],
        "mean difference": [np.abs(a[site].mean - b[site].mean) for site in ground.sites],
    }


def by_size(ground: SelfTestSetup, positive: Side, negative: Side) -> Scores:
    """Welch t of absolute activations."""
    pool = Pool(magnitude="abs-of-mean")
    a, b = (capture(ground.lm, side, ground.sites, Moments, pool=pool) for side in (positive, negative))
    return {"t of |activation|": [_t(a[site], b[site]) for site in ground.sites]}


def by_attribution(ground: SelfTestSetup, positive: Side, negative: Side) -> Scores:
    """The first-order effect of a zero lesion."""
    found = attribution(ground.lm, [*positive, *negative], ground.sites, ground.metric)
    squares = (found[site].mean ** 2 + found[site].m2 / found[site].count for site in ground.sites)
    return {"attribution": [np.sqrt(square) for square in squares]}


def by_patching(ground: SelfTestSetup, positive: Side, negative: Side) -> Scores:
    """The first-order effect of putting the negative side's mean into positive texts."""
    means = {site: moments.mean for site, moments in capture(ground.lm, negative, ground.sites, Moments).items()}
    found = attribution(ground.lm, positive, ground.sites, ground.metric, towards=means, positions="last")
    return {"attribution between sides": [np.abs(found[site].mean) for site in ground.sites]}


def by_sensitivity(ground: SelfTestSetup, positive: Side, negative: Side) -> Scores:
    """The squared gradient of output weights."""
    found = squared_gradients(ground.lm, [*positive, *negative], ground.sites, ground.metric)
    return {"squared gradient": [found[site].mean for site in ground.sites]}


BRIEF: Mapping[str, Way] = {"contrast": by_contrast, "attribution": by_attribution}
"""What the power surface needs."""

ALL: Mapping[str, Way] = BRIEF | {"size": by_size, "patching": by_patching, "sensitivity": by_sensitivity}


def rankings(
    trial: PlantedTrial, n: int, ways: Mapping[str, Way] = ALL, *, seed: int, cache: Cache, progress: Progress
) -> dict[str, Floats]:
    """The score of every unit of the model by every method but ablation, ``(unit,)``; NaN where it has none.

    * Welch t, its absolute value, and Welch t of absolute activations, at the last token (Welch, 1947; the last as in
      AlKhamissi et al., 2025)
    * mean difference: its absolute value
    * attribution: root mean square over texts of activation x gradient, the first-order effect of a zero lesion (Nanda,
      2023; Syed et al., 2023)
    * attribution between sides: absolute mean over positive texts of (mean over negative texts - activation) x gradient,
      at the last token
    * squared gradient: of the unit's output weights, summed over the column, mean over texts
    * random: what chance gives
    """
    ground, found = trial.ground, {}
    positive, negative = ground.positive[:n], ground.negative[:n]
    with ground.lm.under(trial.plant):
        for done, (name, way) in enumerate(ways.items()):
            progress("ranking units", done, len(ways))
            key = ground.cell("ranking", [*positive, *negative], way=name, n=n)
            part = cache(
                key, lambda way=way: {k: np.concatenate(v) for k, v in way(ground, positive, negative).items()}
            )
            assert isinstance(part, dict)
            found |= part
    progress("ranking units", len(ways), len(ways))
    t = found["Welch t"]
    return {**found, "|Welch t|": np.abs(t), "random": np.random.default_rng(seed).random(len(t))}


def _t(a: Moments, b: Moments) -> Floats:
    return welch(a.mean, a.variance, a.count, b.mean, b.variance, b.count).t


def table(trial: PlantedTrial, scores: Mapping[str, Floats]) -> pl.DataFrame:
    """One row a truth and method: auroc, average_precision, precision_at_k, recall_at_1_percent, k (how many are true).

    The first three are among the units whose truth was measured; recall is that of the true ones among the top 1 % of all
    units at the sites, and null for ablation where it was not done to all of them.
    """
    rows = []
    for truth in TRUTHS:
        flags = trial.true(truth)
        for method in METHODS:
            row = scores[method]
            partial = method == "ablation" and len(flags) < len(row)
            rows.append(
                {"truth": truth, "method": method}
                | recovery(row[trial.index], flags)
                | {"recall_at_1_percent": None if partial else recall(row, trial, flags), "k": int(flags.sum())}
            )
    return pl.DataFrame(rows, schema_overrides={"recall_at_1_percent": pl.Float64})


def recovery(scores: Floats, truth: Flags) -> dict[str, float]:
    """How well a ranking finds the true units: AUROC, average precision, and precision among as many as are true.

    Units without a score (NaN) rank last, equal scores share their places. NaN where all or no units are true.
    """
    k = int(truth.sum())
    if not 0 < k < truth.size:
        return dict.fromkeys(("auroc", "average_precision", "precision_at_k"), float("nan"))
    ranks = average_ranks(scores)
    return {
        "auroc": float(roc_auc_score(truth, ranks)),
        "average_precision": float(average_precision_score(truth, ranks)),
        "precision_at_k": found_among_top(ranks, truth, k) / k,
    }


def recall(row: Floats, trial: PlantedTrial, truth: Flags) -> float:
    """The share of the true units that is in the top 1 % of all units (at least one)."""
    if not truth.any():
        return float("nan")
    everywhere = np.zeros(len(row), dtype=np.bool_)
    everywhere[trial.index[truth]] = True
    return found_among_top(average_ranks(row), everywhere, max(1, len(row) // 100)) / float(truth.sum())


def average_ranks(scores: Floats) -> Floats:
    """Ranks from 1, the highest score last; equal scores share the mean of their ranks; NaN comes first."""
    return rankdata(np.where(np.isnan(scores), -np.inf, scores))


def found_among_top(ranks: Floats, truth: Flags, k: int) -> float:
    """How many true units are among the k that rank highest; of units that share the last place, a share of them."""
    last = np.partition(ranks, ranks.size - k)[ranks.size - k]
    above, level = ranks > last, ranks == last
    return float(truth[above].sum() + truth[level].mean() * (k - above.sum()))


def first(trial: PlantedTrial, row: Floats, truth: Truth) -> dict[str, int]:
    """Of as many units as `truth` is true of, ranked first: how many respond, move the metric, or do only the former."""
    k = int(trial.true(truth).sum())
    top = np.argsort(-average_ranks(row[trial.index]), kind="stable")[:k]
    selective, causal = trial.selective[top], trial.causal[top]
    return {
        "first": k,
        "respond": int(selective.sum()),
        "move": int(causal.sum()),
        "idle": int((selective & ~causal).sum()),
    }


def power(trial: PlantedTrial, n: int, scores: Mapping[str, Floats], alpha: float) -> dict[str, float]:
    """A row of the power surface: what is found with `n` stimuli on each side, and what should be.

    `detected` is the share of selective planted units with a two-sided p of |Welch t| below `alpha`, `analytic` the
    power of that test.
    """
    limit = float(student.isf(alpha / 2, 2 * n - 2))
    planted = np.flatnonzero(trial.selective[: len(trial.meant)])
    t, index = scores["|Welch t|"], trial.index
    causal = recovery(scores["attribution"][index], trial.causal)
    return {
        "d": trial.d,
        "n": n,
        "detected": float((t[index[planted]] > limit).mean()),
        "analytic": welch_power(trial.d, n, alpha=alpha),
        "planted": len(planted),
        "auroc_t_selective": recovery(t[index], trial.selective)["auroc"],
        "recall_t_at_1_percent": recall(t, trial, trial.selective),
        "auroc_attribution_causal": causal["auroc"],
        "auroc_t_causal": recovery(t[index], trial.causal)["auroc"],
    }
