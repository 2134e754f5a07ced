"""The dictionary of `routed`: features of what the heads of its first layer hand on, where head 0.4 is known to carry beliefs.

python -m broca.organisms.routed.features features.safetensors
"""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from broca.cache.cache import Progress, silent
from broca.models.hooks import read_sites
from broca.models.lm import LM
from broca.organisms import organism_path
from broca.organisms.beliefs.lessons import Pace, lessons
from broca.organisms.beliefs.train import model_inputs
from broca.organisms.dictionary import train_dictionary
from broca.organisms.routed.train import DETAIL
from broca.sites import Site
from broca.units.dictionary import Dictionary

SITE, FEATURES, K, STEPS, TOKENS = Site(0, "z"), 384, 12, 4000, 200_000


def train(
    *,
    site: Site = SITE,
    features: int = FEATURES,
    k: int = K,
    steps: int = STEPS,
    tokens: int = TOKENS,
    seed: int = 0,
    progress: Progress = silent,
) -> Dictionary:
    """Train it on the stories and sums that taught `routed`; how well it came out stands in `about`.

    Args:
        site: of which activations.
        features: how many.
        k: how many fire at a token.
        steps: of training.
        tokens: to train on.
        seed: of texts and weights.
        progress: told what is done, how much of it, and how much there is.
    """  # fmt: skip
    lm = LM.load(str(organism_path("routed")))
    rows = _activations(lm, site, tokens, seed)
    made, fit = train_dictionary(
        rows, site, features=features, k=k, steps=steps, seed=seed, model=lm.fingerprint, progress=progress
    )
    about = {
        "name": f"routed-{site}",
        "model_name": "routed",
        "tokens": tokens,
        "steps": steps,
        "seed": seed,
        **asdict(fit),
    }
    return replace(made, about=about)


@torch.no_grad()
def _activations(lm: LM, site: Site, tokens: int, seed: int) -> Any:
    """``(token, unit)``: what stands at a site in lessons, without their first tokens and padding."""
    source = lessons(np.random.default_rng(seed), lm.tokenizer.backend_tokenizer, Pace(DETAIL, limit=DETAIL))
    found: list[np.ndarray] = []
    while sum(map(len, found)) < tokens:
        for part in next(source):
            real = part.segments >= 0
            real[:, 0] = False

            def keep(x: torch.Tensor, real: torch.Tensor = real) -> None:
                found.append(x[real].float().numpy())

            with read_sites(lm.model, lm.anatomy, {site: keep}, stop=True):
                lm.model(**model_inputs(part))
    return np.concatenate(found)[:tokens]


if __name__ == "__main__":
    made = train()
    print(made.save(Path(sys.argv[1])), made.about)  # noqa: T201 - a script
