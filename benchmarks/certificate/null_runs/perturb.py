"""Heads that are patched in models that learned nothing, whose heads are one and the same, or write nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from broca.instruments.perturb.spec import Perturb
from broca.interventions.plant import output_weights
from broca.models.lm import LM
from certificate.random_models import CONFIG, Rng, model, questions, sentence, write
from certificate.runs import BOTH, DRAWS, RunCase, once


def _patched(change: Callable[[LM], None] | None = None) -> Any:
    def made(rng: Rng, folder: Path) -> tuple[Perturb, LM]:
        lm = model(rng, 0.4)
        if change is not None:
            change(lm)
        asked = [replace(item, prompt=f"{i} {sentence(rng, 2)}") for i, item in enumerate(questions(rng, 140))]
        asked = [replace(item, answer=int(rng.integers(2))) for item in asked]
        spec = Perturb(
            items=write(asked, folder / "own.jsonl"), n=140, kinds=("keyboard", "delete", "homoglyph"), words=2, controls=False,
            compare=0, cases=48, patterns="none", draws=DRAWS, percent=10,
        )  # fmt: skip
        return spec, lm

    return made


def _clone(lm: LM) -> None:
    """Every head of a layer is its first one."""
    width = CONFIG["hidden_size"] // CONFIG["num_attention_heads"]
    with torch.no_grad():
        for block in lm.model.model.layers:
            for name in ("q_proj", "k_proj", "v_proj"):
                weight = getattr(block.self_attn, name).weight
                weight.copy_(weight[:width].repeat(len(weight) // width, 1))
            weight = block.self_attn.o_proj.weight
            weight.copy_(weight[:, :width].repeat(1, weight.shape[1] // width))


def _silence(lm: LM) -> None:
    """No head writes anything that is seen."""
    with torch.no_grad():
        for site in lm.anatomy.sites("z"):
            output_weights(lm, site).mul_(1e-4)


CASES = (
    RunCase("an untrained model", once(_patched()), ("learned",)),
    RunCase("heads that are one and the same", once(_patched(_clone)), ("learned", "causal", BOTH)),
    RunCase("heads that write nothing", once(_patched(_silence)), ("selective", "learned", "causal", BOTH)),
)  # fmt: skip
