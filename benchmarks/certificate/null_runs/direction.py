"""Directions of contrasts that say nothing of the items, in models that learned nothing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

from broca.instruments.direction.spec import DirectionTest
from broca.items import Contrast
from broca.models.lm import LM
from certificate.maps import WORDS
from certificate.random_models import Rng, abilities, contrast_of, model, sentence
from certificate.runs import BOTH, DRAWS, RunCase, once


def _steered(contrast: Callable[[Rng], Contrast]) -> Any:
    def made(rng: Rng, folder: Path) -> tuple[DirectionTest, LM]:
        lm = model(rng)
        own, other = abilities(lm, rng, folder)
        spec = DirectionTest(
            contrast=contrast(rng), items=own, others=(other,), doses=(-4.0, -2.0, 0.0, 2.0, 4.0), n_text=4, permutations=79, twins=19,
            draws=DRAWS, dose_draws=0, max_new_tokens=0, n_bootstrap=500,
        )  # fmt: skip
        return spec, lm

    return made


def _lots(rng: Rng) -> Contrast:
    return contrast_of(*([sentence(rng) for _ in range(40)] for _ in "ab"))


def _templates(rng: Rng) -> Contrast:
    """Ten of each side, by lot, with four fillings each."""
    shapes = [sentence(rng) for _ in range(20)]
    sides = [[f"{word} {shape}" for shape, word in product(some, WORDS[:4])] for some in (shapes[:10], shapes[10:])]
    return contrast_of(*sides, [[f"{side}{i // 4}" for i in range(40)] for side in "ab"])


def _last_words(rng: Rng) -> Contrast:
    """The sides end in other words, which any network tells apart."""
    words = rng.permutation(WORDS)
    sides = [[f"{sentence(rng)} {word}" for word in some for _ in range(5)] for some in (words[:8], words[8:])]
    return contrast_of(*sides)


_PLACE = ("learned", "causal", "specific", BOTH)
CASES = (
    RunCase("sides by lot", once(_steered(_lots)), ("selective", "reliable", *_PLACE)),
    RunCase("templates by lot", once(_steered(_templates)), ("selective", "reliable", *_PLACE)),
    RunCase("last words, an untrained model", once(_steered(_last_words)), _PLACE),
)
