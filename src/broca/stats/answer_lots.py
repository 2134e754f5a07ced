"""Do chosen weights hang on which answer is right? Their share of a summed gradient, against that with answers by lot.

Of two options one log-odds is the other's negative, so the *square* of one item's gradient is the same whichever is right: it tells
the format of a question, not its answer. What the answers decide is whether gradients of many items add up or cancel. So the items'
gradients are summed, each towards its right answer, and then squared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm, prod

import numpy as np

from broca.errors import StatisticsError
from broca.stats.intervals import Array


@dataclass(frozen=True, slots=True)
class AnswerTest:
    """The share of chosen weights in the squared sum of gradients, with the answers as given and by lot."""

    share: float
    usual: float
    """With answers by lot, on average."""
    p: float
    """One-sided, of as large a share with answers by lot."""
    spread: float
    """Standard deviation of the log of the share with answers by lot."""
    n_groups: int
    smallest_p: float
    """The smallest p that the groups allow."""

    @property
    def more(self) -> float:
        """How many times the usual share it is."""
        return self.share / self.usual


def answer_test(
    whole: Sequence[Array], chosen: Sequence[Array], answers: Sequence[int], groups: Sequence[str], *, n: int, seed: int
) -> AnswerTest:
    """Compare with answers that are moved on by lot, alike for all items of a group.

    Args:
        whole: of each item, gradients of the log-odds of each option over all weights, ``(option, coordinate)``.
        chosen: those over the chosen weights.
        answers: the right option of each item.
        groups: what shares its lot.
        n: lots.
        seed: of them.

    Raises:
        StatisticsError: if an item has one option.
    """
    counts = np.array([len(each) for each in whole])
    if not len(counts) or counts.min() < 2:
        raise StatisticsError("Some items have one option only, so there is no other answer that could be right.")
    starts = np.cumsum(counts) - counts
    rows = [np.concatenate(list(each)).astype(np.float64) for each in (whole, chosen)]
    grams = [part @ part.T for part in rows]
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    options = [lcm(*counts[group == g].tolist()) for g in range(len(names))]
    moves = np.random.default_rng(seed).integers(0, options, size=(n, len(names)))
    moves = np.concatenate([np.zeros((1, len(names)), np.int64), moves])
    picked = starts + (np.asarray(answers) + moves[:, group]) % counts
    flags = np.zeros((n + 1, counts.sum()))
    np.put_along_axis(flags, picked, 1.0, axis=1)
    total, part = (np.maximum(((flags @ gram) * flags).sum(1), 1e-300) for gram in grams)
    shares = part / total
    lots = shares[1:]
    p = (1 + int((lots >= shares[0] * (1 - 1e-9)).sum())) / (1 + n)
    usual = float(np.exp(np.log(lots).mean()))
    # Of two options, moving every answer changes nothing but the sign of the sum.
    ways = prod(options) / (2 if set(options) == {2} else 1)
    return AnswerTest(float(shares[0]), usual, p, float(np.log(lots).std()), len(names), max(1 / ways, 1 / (1 + n)))
