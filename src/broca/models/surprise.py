"""How improbable texts are to a model: token by token, or summed, without ever padding one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from broca.errors import StimulusError
from broca.models.lm import LM
from broca.models.tokens import Batch, Tokens

_TOKENS = 4096
"""Tokens a batch: the logits of more would outgrow the model."""
_POSITIONS = 256
"""Positions whose logits are widened at once."""


def surprise(lm: LM, tokens: Sequence[Tokens], *, size: int | None = None) -> NDArray[np.float64]:
    """The negative log-probability of each text given its first token, in nats, under whatever is in force.

    Texts share a batch only where they are of one length, so that no model's way with padding matters.

    Args:
        lm: the model.
        tokens: two tokens or more each.
        size: texts a batch; by default what `lm.batch_size` and 4096 tokens allow.

    Raises:
        StimulusError: if a text has fewer than two tokens, or more than the model has positions for.
        GuardError: if an intervention in force never fired.
    """
    lengths: dict[int, list[int]] = {}
    for i, text in enumerate(tokens):
        if len(text) < 2 or len(text) > (lm.context or len(text)):
            raise StimulusError(
                f"{text.text[:60]!r} has {len(text)} tokens. This model predicts texts of 2 to {lm.context or 'any number of'} "
                "tokens; cut it, or leave it out."
            )
        lengths.setdefault(len(text), []).append(i)
    out = np.zeros(len(tokens))
    for length, index in lengths.items():
        rows = [tokens[i] for i in index]
        for batch, values in lm.each(rows, lambda b: _sum_surprisal(lm, b), size=size or _size(lm, length)):
            out[[index[i] for i in batch.index]] = values
    if len(tokens):
        lm.assert_fired()
    return out


def token_surprise(lm: LM, tokens: Sequence[Tokens]) -> list[NDArray[np.float64]]:
    """``(token - 1,)`` for each text: the negative log-probability of each of its tokens but the first, in nats, under whatever is in force.

    Raises:
        GuardError: if an intervention in force never fired.
    """
    out = [np.zeros(0)] * len(tokens)

    def step(batch: Batch) -> list[NDArray[np.float64]]:
        logits = lm.call(batch).logits[:, :-1]
        wide = torch.float64 if logits.dtype == torch.float64 else torch.float32
        targets = batch.ids[:, 1:, None].to(logits.device)
        parts = [
            part.log_softmax(-1, dtype=wide).gather(-1, own)
            for part, own in zip(logits.split(_POSITIONS, 1), targets.split(_POSITIONS, 1), strict=True)
        ]
        return [*-torch.cat(parts, 1)[..., 0].double().cpu().numpy()]

    for batch, values in lm.each(tokens, step, size=1):
        out[batch.index[0]] = values[0]
    if tokens:
        lm.assert_fired()
    return out


def _size(lm: LM, length: int) -> int:
    return max(1, min(lm.batch_size, _TOKENS // length))


def _sum_surprisal(lm: LM, batch: Batch) -> list[float]:
    logits = lm.call(batch).logits
    targets = batch.ids[:, 1:].to(logits.device)
    total = torch.zeros(len(batch), dtype=torch.float64, device=logits.device)
    wide = torch.float64 if logits.dtype == torch.float64 else torch.float32
    for start in range(0, targets.shape[1], _POSITIONS):
        here = slice(start, min(start + _POSITIONS, targets.shape[1]))
        logprobs = logits[:, here].log_softmax(-1, dtype=wide)
        total -= logprobs.gather(-1, targets[:, here, None])[..., 0].double().sum(1)
    return total.tolist()
