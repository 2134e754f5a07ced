"""Circuits in models that learned nothing: the own items are a matter of lots, or their right answers are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from broca.instruments.circuit.spec import Circuit
from broca.models.lm import LM
from certificate.random_models import Rng, abilities, model
from certificate.runs import BOTH, DRAWS, RunCase, once

SMALL = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4}


def _circuits(*, said: bool) -> Any:
    def made(rng: Rng, folder: Path) -> tuple[Circuit, LM]:
        lm = model(rng, **SMALL)
        own, other = abilities(lm, rng, folder, said=said)
        spec = Circuit(
            items=own, others=(other,), counterfactual="other", steps=3, percent=10, random_curves=0, minimal=0, draws=DRAWS, twins=19,
            gate="mark", n_bootstrap=500,
        )  # fmt: skip
        return spec, lm

    return made


CASES = (
    RunCase("own items by lot", once(_circuits(said=True)), ("learned", "specific", BOTH)),
    RunCase("right answers by lot", once(_circuits(said=False)), ("selective", "learned", "causal", "specific", BOTH)),
)
