"""The *selective* rung of a weight mask: do its weights matter to the task more than to other texts, and with right answers more than by lot?"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from broca.errors import StatisticsError
from broca.evidence.verdict import Rung
from broca.page.numbers import number, p_value
from broca.specs.expectation import State
from broca.stats.answer_lots import AnswerTest
from broca.stats.corrections import bh, true_share
from broca.stats.mean_tests import welch_from_samples
from broca.stats.pairs import difference_test

Shares = NDArray[np.float64]
"""In multiples of an even share."""
MORE = 0.1
"""How much more of a summed gradient than with answers by lot is of interest."""
_FLOOR = 1e-6
"""Shares are compared as logs; smaller ones than this count as this."""


def weight_mask(
    task: Shares, general: Shares, answers: AnswerTest | str, *, groups: Sequence[str], alpha: float
) -> Rung:
    """Does the mask take more of the gradient of task items than of other texts, and more of it with right answers than with answers by lot?

    The claim is about the mask as a whole, so its whole share is tested; how many of its weights show it by themselves
    stands beside. *Passed*: both tests at alpha. *Failed*: it takes less of the task's gradient than of texts', or surely not a tenth more
    with right answers than with those by lot. Anything else is *undecided*.

    Args:
        task: ``(sample, weight)`` shares of held-out items, in multiples of an even share.
        general: those of held-out texts.
        answers: of the same items with answers by lot; why there is no such test.
        groups: of the items.
        alpha: level of the tests, and of the correction over weights.
    """
    if min(len(task), len(general)) < 3:
        return Rung("selective", "undecided", "Fewer than 3 held-out items or texts: give more (--n-items).", {})
    a, b = _log(task.mean(1)), _log(general.mean(1))
    alone = [f"text {i}" for i in range(len(b))]
    differ = np.ptp(np.concatenate([a, b]))
    try:
        p = float(difference_test(a, b, groups=(groups, alone), alpha=alpha).p) if differ else 1.0
    except StatisticsError as error:
        return Rung("selective", "undecided", str(error), {})
    d = float(np.nan_to_num(welch_from_samples(a, b).d, posinf=0.0, neginf=0.0))
    hits, bound = _weights_alone(task, general, alpha)
    k = task.shape[1]
    numbers = {
        "k": k,
        "p": p,
        "d_held_out": d,
        "significant_selected": hits,
        "share_significant": hits / k,
        "true_share": bound,
        "alpha": alpha,
    }
    text = (
        f"On {len(task)} held-out items the masked weights have {np.median(10**a):.1f} times their even share of the squared gradient "
        f"in the median, on {len(general)} held-out texts {np.median(10**b):.1f} times (d = {number(d)}, permutation {p_value(p)}). By "
        f"themselves {hits} of {k} weights show it (BH, q = {alpha:g}); with {1 - alpha:.0%} confidence at least {bound:.0%} do."
    )
    if p <= alpha and d < 0:
        return Rung("selective", "failed", text, numbers)
    if isinstance(answers, str):
        return Rung("selective", "undecided", f"{text} {answers}", numbers)
    numbers |= {"share_answers": answers.share, "share_lots": answers.usual, "p_answers": answers.p}
    text += (
        f" Of the squared sum of the items' gradients, each towards its right answer, they have {answers.share:.1%}, with answers by "
        f"lot {answers.usual:.1%} ({p_value(answers.p)})."
    )
    state, more = _by_lot(answers, alpha)
    if state == "passed" and p > alpha:
        state, more = "undecided", " More held-out items or texts would decide (--n-items, --n-read)."
    return Rung("selective", state, text + more, numbers)


def _weights_alone(task: Shares, general: Shares, alpha: float) -> tuple[int, float]:
    """How many weights take more of the task's gradient by themselves, and the share that surely does."""
    each = welch_from_samples(_log(task), _log(general))
    known = np.where(np.isfinite(each.p), each.p, 1.0)
    one_sided = np.where(each.t > 0, known / 2, 1 - known / 2)
    bound = true_share(one_sided, np.ones(len(one_sided), dtype=bool), alpha=alpha)
    return int((bh(one_sided) <= alpha).sum()), bound


def _by_lot(answers: AnswerTest, alpha: float) -> tuple[State, str]:
    if answers.smallest_p > alpha:
        return "undecided", f" {answers.n_groups} groups of items are too few for any p ≤ {alpha:g}: give 6 or more."
    if answers.p <= alpha:
        return "passed", ""
    z = stats.norm.ppf(1 - alpha)
    if np.log(answers.more) + z * answers.spread < np.log(1 + MORE):
        return "failed", f" It is surely not {MORE:.0%} more."
    # By how much the lots must spread less for as large a share to be significant.
    wanted = (z * answers.spread / np.log(max(answers.more, 1 + MORE))) ** 2
    return (
        "undecided",
        f" About {ceil(answers.n_groups * max(wanted, 1)) + 1} groups of held-out items would decide (here {answers.n_groups}; --n-items).",
    )


def _log(shares: Shares) -> Shares:
    return np.log10(np.maximum(shares, _FLOOR))
