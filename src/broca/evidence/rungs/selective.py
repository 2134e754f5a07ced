"""The *selective* rung: does what was selected tell what it is about from what it is not?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from broca.evidence.contrast_map import flat, q_values
from broca.evidence.maps import Floats
from broca.evidence.resampling import NOTHING, Resampling
from broca.evidence.verdict import Rung
from broca.page.numbers import limits, number, p_value
from broca.sites import Site
from broca.stats.corrections import bh, true_share
from broca.stats.mean_tests import welch_from_samples
from broca.stats.pairs import difference_test
from broca.stats.power import welch_detectable
from broca.units import Selection

SELECTIVE_SHARE = 0.95
"""Share of the selection that must be significant."""


def unit_map(
    p: Mapping[Site, Floats],
    q: Mapping[Site, Floats],
    selection: Selection,
    *,
    sides: tuple[int, int],
    alpha: float,
    more: Resampling = NOTHING,
) -> Rung:
    """Do the selected units tell the two sides apart, after correction over all units?

    Args:
        p: of every unit.
        q: adjusted over all of them.
        selection: the selected ones.
        sides: stimuli on each side.
        alpha: level of the corrections.
        more: what shuffling and regressing out lengths gave, if it was asked for.
    """
    adjusted_p, chosen = flat(q), flat(selection.mask.at)
    hits = int((adjusted_p[chosen] <= alpha).sum())
    anywhere = int((adjusted_p <= alpha).sum())
    bound = true_share(flat(p), chosen, alpha=alpha)
    seen = welch_detectable(*sides, alpha=alpha, tests=selection.n_alive)
    extra: dict[str, float | int] = {"detectable_d": seen}
    text = f" {sides[0]} + {sides[1]} stimuli show d = {number(seen)} in a given {selection.mask.grain} with 80 % power (Bonferroni)."
    if more.p_max:
        extra["family_wise_selected"] = int((flat(more.p_max)[chosen] <= alpha).sum())
        extra["arrangements"] = more.n
        text += (
            f" By max-T over {more.n} arrangements of {more.scheme}, {extra['family_wise_selected']} of them are significant "
            f"family-wise ({alpha:g})."
        )
    if more.p_length:
        extra["significant_without_length"] = int((flat(q_values(more.p_length))[chosen] <= alpha).sum())
        text += f" With the length of the stimuli regressed out, {extra['significant_without_length']} remain (BH)."
    return Rung(
        "selective",
        "passed" if hits >= SELECTIVE_SHARE * selection.k else "failed",
        f"{hits} of {selection.k} selected {selection.mask.grain}s are significant (BH, q = {alpha:g}; {anywhere} of {selection.n_alive} "
        f"in the whole model). With {1 - alpha:.0%} confidence at least {bound:.0%} of the selection is truly selective.{text}",
        {
            "k": selection.k,
            "significant_selected": hits,
            "significant": anywhere,
            "share_significant": anywhere / selection.n_alive,
            "true_share": bound,
            "alpha": alpha,
            **extra,
        },
    )


Shares = NDArray[np.float64]
_FLOOR = 1e-6
"""Shares are compared as logs; smaller ones than this count as this."""


def weight_mask(task: Shares, general: Shares, *, alpha: float) -> Rung:
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


class ProbedTarget(Protocol):
    """What a rung reads of the probe of a target."""

    @property
    def name(self) -> str: ...

    @property
    def row(self) -> Mapping[str, Any]: ...

    @property
    def baselines(self) -> Sequence[Mapping[str, Any]]: ...


def probe_scores(defined: Sequence[ProbedTarget], questions: Mapping[str, str], alpha: float) -> Rung:
    """Do probes of attention beat shuffled labels, and what is read from the surface of the text alone?"""
    texts, numbers, passed = [], {}, True
    for each in defined:
        row, name = each.row, each.row["symbol"]
        best = max(each.baselines, key=lambda b: b["f1"])
        texts.append(
            f"{name}: attention tells {questions[each.name]} with macro-F1 {number(row['f1'], '.3f')} "
            f"{limits(row['f1_low'], row['f1_high'], '.3f')}"
            + (f" (labels shuffled within each text: {p_value(row['p'])})" if row["p"] is not None else "")
            + f"; {best['baseline']} alone does with {number(best['f1'], '.3f')}, and attention adds {number(best['gain'], '+.3f')} "
            f"{limits(best['gain_low'], best['gain_high'], '+.3f')} to it."
        )
        numbers |= {f"f1_{each.name}": row["f1"], f"p_{each.name}": row["p"]}
        numbers |= {f"margin_{each.name}": row["margin"], f"gain_{each.name}": best["gain"]}
        passed &= row["p"] is not None and row["p"] <= alpha / len(defined) and best["gain_low"] > 0
    if any(each.row["p"] is None for each in defined):
        return Rung(
            "selective", "not tested", " ".join(texts) + " Labels were not shuffled (permutations = 0).", numbers
        )
    return Rung("selective", "passed" if passed else "failed", " ".join(texts), numbers)


def patch_choice(p_max: NDArray[np.float64], what: str, alpha: float) -> Rung:
    """Do the chosen ones restore more than arbitrary signs of the cases' changes would have it?"""
    hits = int((p_max <= alpha).sum())
    return Rung(
        "selective",
        "passed" if hits >= SELECTIVE_SHARE * len(p_max) else "failed",
        f"{hits} of {len(p_max)} chosen {what} restore more than arbitrary signs of the cases' changes would have it (max-T, "
        f"family-wise {alpha:g}).",
        {"k": len(p_max), "significant_selected": hits},
    )
