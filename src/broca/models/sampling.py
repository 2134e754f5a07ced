"""Sampled texts that depend on their own numbers and on nothing else: not on the batch, its size or the device's generator.

Each token is the quantile of one given number in the distribution that temperature and top-p leave, tokens ordered from the
most to the least probable. The same numbers under two conditions make paired samples (common random numbers).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.errors import StimulusError
from broca.models import decoding
from broca.models.lm import LM
from broca.models.rendering import Prompt
from broca.models.tokens import Batch


@torch.no_grad()
def sample_texts(
    lm: LM, prompts: Sequence[Prompt], draws: NDArray[np.float64], *, temperature: float, top_p: float = 1.0
) -> list[str]:
    """Continue each prompt by as many tokens as it has numbers, or until the model stops.

    Args:
        lm: the model, under whatever is in force.
        prompts: plain or rendered.
        draws: numbers in [0, 1), ``(prompt, token)``.
        temperature: above 0.
        top_p: only the most probable tokens that together hold this mass are drawn from.

    Raises:
        StimulusError: if `temperature` or `top_p` is out of its range.
    """
    if temperature <= 0 or not 0 < top_p <= 1:
        raise StimulusError(
            f"temperature {temperature} with top_p {top_p} is no way to sample. Give a temperature above 0 and a top_p above 0 "
            "and up to 1."
        )
    numbers = torch.from_numpy(np.ascontiguousarray(draws, dtype=np.float64))
    how = decoding.settings(lm, numbers.shape[1], {})

    def step(batch: Batch) -> list[str]:
        mine, width = numbers[list(batch.index)], batch.ids.shape[1]

        def pick(ids: Tensor, scores: Tensor) -> Tensor:
            chosen = quantile(scores / temperature, mine[:, ids.shape[1] - width].to(scores.device), top_p)
            return torch.full_like(scores, float("-inf")).scatter(1, chosen[:, None], 0.0)

        made = decoding.generate_ids(lm, batch, how | {"logits_processor": [pick]})
        return lm.tokenizer.batch_decode(made, skip_special_tokens=True)

    out = [""] * len(prompts)
    for batch, made in lm.each(lm.tokenize(prompts), step, more=numbers.shape[1] - 1):
        for i, text in zip(batch.index, made, strict=True):
            out[i] = text
    return out


def quantile(logits: Tensor, at: Tensor, top_p: float = 1.0) -> Tensor:
    """The token at which the cumulative probability passes `at` of the mass that top-p leaves (Holtzman et al., 2020).

    Args:
        logits: ``(row, token)``.
        at: ``(row,)`` in [0, 1).
        top_p: the least mass that is kept, from the most probable token on.

    Returns:
        token ids, ``(row,)``.
    """
    values, order = logits.double().softmax(-1).sort(dim=-1, descending=True, stable=True)
    below = values.cumsum(-1) - values
    values = torch.where(below < top_p, values, 0.0)
    mass = values.cumsum(-1)
    passed = mass > at[:, None] * mass[:, -1:]
    # Of a distribution that is no number, nothing is passed: its first token, as argmax of nothing is.
    return order.gather(1, passed.int().argmax(-1, keepdim=True))[:, 0]
