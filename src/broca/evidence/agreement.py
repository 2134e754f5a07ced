"""A second, cheap causal score of the same units, and whether being selective goes with being causal.

Attribution (activation times gradient) says to first order what zeroing each unit, alone, does to the margin of the right
answer. The lesion test decides; this says what it would have been likely to find elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from broca.cache.cache import Cache, Progress, silent
from broca.capture.gradient import attribution
from broca.errors import GuardError, SiteUnavailable, StatisticsError, StimulusError
from broca.evidence.abilities import spread
from broca.evidence.maps import Floats
from broca.items import Item, fingerprint
from broca.models.lm import LM
from broca.models.questions import Question
from broca.models.tokens import Batch, Chat, Tokens
from broca.page.numbers import limits, number
from broca.scoring.likelihood import likelihood_of
from broca.sites import Site
from broca.stats.reliability import chance_overlap, overlap, rank_agreement
from broca.units import Grain, UnitMask

ITEMS = 128
"""Items that are differentiated at most, spread over the list: one backward pass for each batch of them."""


@dataclass(frozen=True, slots=True)
class Margin:
    """The logit of the right option's next token minus the log of the summed exponentials of the others'."""

    right: tuple[int, ...]
    foils: tuple[tuple[int, ...], ...]

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        rows = [
            row[self.right[i]] - torch.logsumexp(row[list(self.foils[i])], 0)
            for row, i in zip(logits, batch.index, strict=True)
        ]
        return torch.stack(rows)


def first_order_effects(
    lm: LM,
    items: Sequence[Item],
    sites: Sequence[Site],
    grain: Grain,
    *,
    chat: Chat,
    cache: Cache,
    scorer: object = None,
    progress: Progress = silent,
) -> dict[Site, Floats] | None:
    """What zeroing each unit (or head) alone does to the margin of the right answer, to first order: ``(unit,)`` a site.

    Mean over items of -activation x gradient, summed over tokens (Nanda, 2023; Syed et al., 2023); negative where the
    answer loses. A head's is the sum of its units'. None where the next token does not
    tell most right options from the others, or the model has no gradient at these sites.
    """
    chosen = spread(items, ITEMS)
    try:
        questions = likelihood_of(scorer, chat).questions(lm, chosen)
    except StimulusError:
        return None
    asked = [told for item, q in zip(chosen, questions, strict=True) if (told := _first_tokens(q, item.answer))]
    if len(asked) < max(2, len(chosen) / 2):
        return None
    tokens = [shared for shared, _, _ in asked]
    metric = Margin(tuple(right for _, right, _ in asked), tuple(foils for _, _, foils in asked))

    def compute() -> dict[str, Floats]:
        def report(done: int, total: int) -> None:
            progress("attributing", done, total)

        report(0, len(tokens))
        found = attribution(lm, tokens, sites, metric, progress=report)
        return {str(site): moments.mean for site, moments in found.items()}

    key = {
        "cell": "attribution",
        "texts": fingerprint([t.content for t in tokens]),
        "answers": [list(metric.right), [list(foils) for foils in metric.foils]],
        "sites": [str(site) for site in sites],
        "condition": list(lm.condition),
    }
    try:
        found = cache(key, compute)
    except (SiteUnavailable, GuardError, StatisticsError):
        return None
    assert isinstance(found, dict)
    rows = {site: np.asarray(found[str(site)], np.float64) for site in sites}
    if grain == "unit":
        return rows
    return {site: row.reshape(-1, lm.anatomy.head_width(site)).sum(1) for site, row in rows.items()}


def agreement(t: Mapping[Site, Floats], scores: Mapping[Site, Floats], mask: UnitMask) -> tuple[str, dict[str, Any]]:
    """Whether selective units are the causal ones by attribution: in words, and in numbers.

    Args:
        t: the localizer's statistic of every unit.
        scores: their attributions.
        mask: the selection.
    """
    sites = list(t)
    flat_t, flat = (np.concatenate([table[site] for site in sites]) for table in (t, scores))
    chosen = np.concatenate([mask.at.get(site, np.zeros(len(t[site]), dtype=np.bool_)) for site in sites])
    alive = np.isfinite(flat_t)
    try:
        rho = rank_agreement(np.abs(flat_t), np.abs(flat), n=500)
    except StatisticsError:
        return "", {}
    k = int(chosen.sum())
    order = np.argsort(-np.where(alive, np.abs(flat), -np.inf), kind="stable")[:k]
    most = np.zeros_like(chosen)
    most[order] = True
    shared, chance = overlap(chosen, most).shared, chance_overlap(k, k, int(alive.sum())).shared
    numbers = {
        "attribution_rho": rho.value,
        "attribution_rho_low": rho.low,
        "attribution_rho_high": rho.high,
        "attribution_shared": shared,
        "attribution_selected": float(flat[chosen].sum()),
    }
    text = (
        f" By attribution (activation x gradient) {shared:.0f} of the {k} selected are among the {k} {mask.noun}s that the answers "
        f"lean on most (chance {number(chance, '.1f')}); over all {mask.noun}s selectivity and attribution agree with rho = "
        f"{number(rho.value)} {limits(rho.low, rho.high)}."
    )
    return text, numbers


def _first_tokens(question: Question, answer: int) -> tuple[Tokens, int, tuple[int, ...]] | None:
    """The tokens that all options begin with behind the prompt's, the right option's next one, and the others'.

    None where that does not tell the right option from each other one.
    """
    options = question.options
    common = next((i for i, tokens in enumerate(zip(*options, strict=False)) if len(set(tokens)) > 1), None)
    if common is None or [option[common] for option in options].count(options[answer][common]) > 1:
        return None
    right = options[answer]
    shared = replace(question.shared, ids=question.shared.ids + right[:common], offsets=None)
    return shared, right[common], tuple(option[common] for option in options if option[common] != right[common])
