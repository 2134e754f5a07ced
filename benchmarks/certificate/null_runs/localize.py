"""Localizers whose sides are a matter of lots, and lesions of what they select."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

from broca.instruments.lesion.spec import CausalTest
from broca.instruments.localize.spec import Localize
from broca.items import Contrast
from broca.models.lm import LM
from certificate.maps import WORDS
from certificate.random_models import Rng, abilities, contrast_of, model, sentence
from certificate.runs import BOTH, DRAWS, RunCase, once


def _localized(contrast: Callable[[Rng], Contrast], *, pool: str = "last", grain: str = "unit") -> Any:
    def made(rng: Rng, folder: Path) -> tuple[CausalTest, LM]:
        lm = model(rng)
        own, other = abilities(lm, rng, folder)
        shown: dict[str, Any] = {"grain": grain, "pool": pool, "sites": "*.z" if grain == "head" else "*.mlp_act"}
        localizer = Localize(contrast=contrast(rng), permutations=99, twins=19, **shown)
        percent = 10.0
        return CausalTest(localizer=localizer, items=own, others=(other,), percent=percent, draws=DRAWS), lm

    return made


def _lots(rng: Rng) -> Contrast:
    return contrast_of(*([sentence(rng) for _ in range(40)] for _ in "ab"))


def _templates(rng: Rng) -> Contrast:
    """Ten of each side, by lot, with six fillings each."""
    shapes = [sentence(rng) for _ in range(20)]
    sides = [[f"{shape} {word}" for shape, word in product(some, WORDS[:6])] for some in (shapes[:10], shapes[10:])]
    return contrast_of(*sides, [[f"{side}{i // 6}" for i in range(60)] for side in "ab"])


def _opening(rng: Rng) -> Contrast:
    begins = sentence(rng, 3)
    a, b = ([sentence(rng) for _ in range(40)] for _ in "ab")
    return contrast_of([f"{begins} {text}" for text in a], b)


CASES = (
    RunCase("sides by lot", once(_localized(_lots)), ("selective", "reliable", "learned", "causal", "specific", BOTH)),
    RunCase("sides by lot, heads", once(_localized(_lots, grain="head")), ("selective", "reliable", "learned", "causal", "specific", BOTH)),
    RunCase("templates by lot", once(_localized(_templates)), ("selective", "learned", "causal", "specific", BOTH)),
    RunCase("an opening", once(_localized(_opening, pool="mean")), ("selective", "learned", "causal", "specific", BOTH)),
)  # fmt: skip
