"""Heads that are patched in models that learned nothing, or whose heads are one and the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from broca.instruments.perturb.spec import Perturb
from broca.models.lm import LM
from certificate.random_models import Rng, as_said, model, questions, sentence, write
from certificate.runs import BOTH, DRAWS, RunCase, once


def _patched(change: Callable[[LM], None] | None = None, **config: int) -> Any:
    def made(rng: Rng, folder: Path) -> tuple[Perturb, LM]:
        lm = model(rng, 0.4, **config)
        if change is not None:
            change(lm)
        asked = [replace(item, prompt=f"{i} {sentence(rng, 2)}") for i, item in enumerate(questions(rng, 100))]
        spec = Perturb(
            items=write(as_said(lm, asked), folder / "own.jsonl"), n_items=100, kinds=("keyboard", "delete", "homoglyph"), words=2, controls=False,
            compare=0, cases=48, patterns="none", draws=DRAWS, percent=10,
        )  # fmt: skip
        return spec, lm

    return made


def _clone(lm: LM) -> None:
    """Every head of a layer is its first one."""
    heads, layers = lm.anatomy.n_heads, lm.model.model.layers
    with torch.no_grad():
        for block in layers:
            for name in ("q_proj", "k_proj", "v_proj"):
                weight = getattr(block.self_attn, name).weight
                weight.copy_(weight[: len(weight) // heads].repeat(heads, 1))
            weight = block.self_attn.o_proj.weight
            weight.copy_(weight[:, : weight.shape[1] // heads].repeat(1, heads))


WIDE = {"num_hidden_layers": 1, "num_attention_heads": 24, "num_key_value_heads": 24, "hidden_size": 96}
# Heads that are copies do what heads of untrained twins do not: *learned* is no lot there.
CASES = (
    RunCase("an untrained model", once(_patched()), ("learned",)),
    RunCase("heads of a layer that are one and the same", once(_patched(_clone)), ("causal", BOTH)),
    RunCase("24 heads that are one and the same", once(_patched(_clone, **WIDE)), ("causal", BOTH)),
)
