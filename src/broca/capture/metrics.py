"""Numbers read from the next-token logits of each text: what gradients are taken of, and lesions are judged by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.models.lm import LM
from broca.models.tokens import Batch, Tokens

Metric = Callable[[Tensor, Batch], Tensor]
"""Given next-token logits ``(batch, vocabulary)`` in float32 and the batch, one number a text, ``(batch,)``."""


@dataclass(frozen=True, slots=True)
class Logit:
    """The next-token logit of one token id: the same for all texts, or one a text."""

    token: int | Sequence[int]

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        ids = [self.token if isinstance(self.token, int) else self.token[i] for i in batch.index]
        return logits.gather(1, torch.tensor(ids, device=logits.device)[:, None])[:, 0]


@dataclass(frozen=True, slots=True)
class LogitDifference:
    """The logit of the right answer minus that of the foil, token ids as in `Logit`."""

    right: int | Sequence[int]
    foil: int | Sequence[int]

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        return Logit(self.right)(logits, batch) - Logit(self.foil)(logits, batch)


def metric_values(lm: LM, tokens: Sequence[Tokens], metric: Metric) -> NDArray[np.float64]:
    """The metric of every text, ``(text,)``, without gradients."""
    found = np.empty(len(tokens))
    for batch, values in lm.each(tokens, lambda batch: metric(lm.next_logits(batch), batch).double().cpu()):
        found[list(batch.index)] = values.numpy()
    return found
