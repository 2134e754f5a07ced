"""What a mask is worth on items and texts that chose nothing: its share of their gradients, and of that with answers by lot."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from broca.cache.cache import Cache, Progress
from broca.capture.objectives import OBJECTIVES
from broca.capture.weight_samples import answer_gradients, chosen_shares
from broca.evidence.rungs import selective_weights as rung
from broca.evidence.verdict import Rung
from broca.instruments.sensitivity.samples import Samples, of_items, of_texts
from broca.instruments.sensitivity.sources import nonblank
from broca.items import Item, fingerprint
from broca.models.lm import LM
from broca.models.weight_matrices import Matrix
from broca.stats.answer_lots import AnswerTest, answer_test
from broca.units.weights import WeightSet

if TYPE_CHECKING:
    from broca.instruments.sensitivity.spec import Sensitivity

HELD_OUT = 64
"""Items, and texts, whose gradients are looked at one by one."""
LOTS = 1000
"""Drawings of answers by lot."""


def selective(
    spec: Sensitivity,
    lm: LM,
    mask: WeightSet,
    items: Sequence[Item],
    matrices: Sequence[Matrix],
    *,
    cache: Cache,
    progress: Progress,
) -> Rung:
    """The rung *selective* of a mask, by these items and further texts."""
    own = items[:HELD_OUT]
    held = of_items(spec, lm, own, HELD_OUT, "held-out items")
    texts = of_texts(spec.model_copy(update={"windows": "start"}), lm, nonblank(spec.texts[1])[:HELD_OUT])

    def compute() -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for name, samples in (("task", held), ("general", texts)):
            found[name] = chosen_shares(
                lm, samples.asked, OBJECTIVES[samples.objective], matrices, mask,
                progress=partial(progress, f"looking at held-out gradients of {name}"),
            )  # fmt: skip
        return found

    key = {
        "cell": "held-out gradients",
        "mask": mask.fingerprint,
        "samples": fingerprint(
            [[a.question.shared.ids, a.question.options, a.answer] for a in (*held.asked, *texts.asked)]
        ),
        "objectives": [held.objective, texts.objective],
        "condition": list(lm.condition),
    }
    found = cache(key, compute)
    assert isinstance(found, dict)
    groups = [item.cluster for item in own]
    answers = _by_lot(lm, mask, held, matrices, groups=groups, seed=spec.seed, progress=progress)
    return rung.weight_mask(found["task"], found["general"], answers, groups=groups, alpha=spec.level)


def _by_lot(
    lm: LM,
    mask: WeightSet,
    held: Samples,
    matrices: Sequence[Matrix],
    *,
    groups: Sequence[str],
    seed: int,
    progress: Progress,
) -> AnswerTest | str:
    """The mask's share of the items' summed gradient, against that with answers by lot; or why there is none."""
    if any(len(asked.question.options) < 2 for asked in held.asked):
        return "Some items have one option only, so no answers can be drawn by lot: give choices."
    told = partial(progress, "looking at gradients of every answer")
    whole, chosen = zip(*answer_gradients(lm, held.asked, matrices, mask, progress=told), strict=True)
    return answer_test(whole, chosen, [asked.answer for asked in held.asked], groups, n=LOTS, seed=seed)
