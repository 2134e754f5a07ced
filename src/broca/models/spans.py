"""Attention to spans of characters: which tokens a span is, and sums over them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from broca.errors import StimulusError
from broca.models.tokens import Batch, Span


def span_matrix(batch: Batch, spans: Sequence[Sequence[Span]]) -> Tensor:
    """``(batch, token, span)``: 1 where the token shares a character with the span.

    Raises:
        StimulusError: if the texts have different numbers of spans, or a span holds no token.
    """
    if len({len(some) for some in spans}) > 1:
        raise StimulusError("Every text needs the same number of spans: the k-th span is one column of the result.")
    count = len(spans[batch.index[0]])
    matrix = torch.zeros((*batch.ids.shape, count))
    for row, tokens in enumerate(batch.tokens):
        for column, span in enumerate(spans[batch.index[row]]):
            matrix[row, torch.tensor(tokens.covering(span)) + int(batch.start[row]), column] = 1
    return matrix.to(batch.ids.device)


def sum_over_spans(weights: Tensor, over: Tensor) -> Tensor:
    """``(batch, head, query, key)`` summed over spans, ``(batch, head, query, span)``; see `span_matrix`."""
    return weights @ over.to(weights.device, weights.dtype)[:, None]
