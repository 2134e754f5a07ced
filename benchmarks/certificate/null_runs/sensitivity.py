"""Weights that items by lot, or with right answers by lot, are said to need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from broca.instruments.sensitivity.spec import Sensitivity
from broca.models.lm import LM
from certificate.random_models import Rng, abilities, model
from certificate.runs import BOTH, DRAWS, RunCase, once


def _weights(*, said: bool) -> Any:
    def made(rng: Rng, folder: Path) -> tuple[Sensitivity, LM]:
        lm = model(rng)
        own, other = abilities(lm, rng, folder, said=said)
        spec = Sensitivity(
            task=own, others=(other,), gate="mark", draws=DRAWS, sweep="0.01", sweep_draws=0, nulls=("matrix",), n_general=12, n_read=8,
            window=24, reading={"length": 24}, sizes=(), twins=19,
        )  # fmt: skip
        return spec, lm

    return made


CASES = (
    RunCase("own items by lot", once(_weights(said=True)), ("learned", "specific", BOTH)),
    RunCase("right answers by lot", once(_weights(said=False)), ("selective", "learned", "causal", "specific", BOTH)),
)  # fmt: skip
