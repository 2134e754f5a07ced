"""The tokens of a text made into one vector: the last, a mean, or that of a span; padding never counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from broca.errors import StimulusError
from broca.models.tokens import Batch, Span, Tokens
from broca.specs.fields import Magnitude


@dataclass(frozen=True, slots=True)
class Pool:
    """How the tokens of a stimulus become one vector. Padding never counts.

    The ancestors average over every token, BOS included; BOS carries attention-sink activations that make a mean
    measure the length of the text, so `bos` says whether special tokens before the text count.
    """

    how: Literal["last", "mean", "span"] = "last"
    bos: Literal["with", "without"] = "without"
    sinks: int = 0
    """How many further tokens at the start to leave out of a mean."""
    magnitude: Magnitude = "signed"
    images: Literal["with", "without", "only"] = "with"
    """Whether the tokens that stand for images count in a mean, or no others do."""

    def weights(self, batch: Batch, spans: Sequence[Span] | None = None) -> Tensor:
        """``(batch, token)`` weights that sum to 1 in each row.

        Raises:
            StimulusError: if a row has no token left, or `how` is "span" and no spans are given.
        """
        weights = torch.zeros(batch.ids.shape, dtype=torch.float32)
        for row, (tokens, start) in enumerate(zip(batch.tokens, batch.start.tolist(), strict=True)):
            chosen = self._token_places(tokens, spans[batch.index[row]] if spans is not None else None)
            if not chosen:
                raise StimulusError(
                    f"Nothing is left to pool of {tokens.text[:60]!r} ({len(tokens)} tokens, {tokens.prefix} special, "
                    f"{self.sinks} sinks left out, {len(tokens.pictures)} of images, images={self.images!r}). Use a longer "
                    "text, or pool bos='with' or other images."
                )
            where = (
                slice(start + chosen.start, start + chosen.stop)
                if isinstance(chosen, range)
                else [start + i for i in chosen]
            )
            weights[row, where] = 1 / len(chosen)
        return weights.to(batch.ids.device)

    def _token_places(self, tokens: Tokens, span: Span | None) -> Sequence[int]:
        if self.how == "last":
            return (len(tokens) - 1,)
        first = (0 if self.bos == "with" else tokens.prefix) + self.sinks
        if self.how == "mean" and (self.images == "with" or (self.images == "without" and not tokens.pictures)):
            return range(first, len(tokens))
        if self.how == "span" and span is None:
            raise StimulusError("Pooling over a span needs a span (start, end) in characters for every stimulus.")
        inside = range(len(tokens)) if span is None or self.how == "mean" else tokens.covering(span)
        seen = set(tokens.pictures)
        return [i for i in inside if i >= first and (self.images == "with" or (i in seen) == (self.images == "only"))]


def pool_tokens(values: Tensor, weights: Tensor, last: Tensor | None = None) -> Tensor:
    """``(batch, token, unit)`` to ``(batch, unit)`` in float32 or wider.

    Args:
        values: activations.
        weights: ``(batch, token)``, rows summing to 1.
        last: positions to read instead of a weighted mean, ``(batch,)``.
    """
    wide = values.dtype if values.dtype == torch.float64 else torch.float32
    if last is not None:
        return values[torch.arange(len(values), device=values.device), last.to(values.device)].to(wide)
    weights = weights.to(values.device, wide)
    # Padded positions may hold anything, infinities too: they must not meet a zero weight in a product.
    mean = torch.bmm(weights.unsqueeze(1), values.to(wide)).squeeze(1)
    if torch.isfinite(mean).all():
        return mean
    kept = values.to(wide).masked_fill((weights == 0).unsqueeze(-1), 0)
    return torch.bmm(weights.unsqueeze(1), kept).squeeze(1)
