"""Attention over many texts, reduced while it is looked at: mass on spans, and what each head does on average.

Maps of tokens by tokens are never kept: rows are reduced block by block on the device where they were computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from broca.errors import SiteUnavailable, StatisticsError, StimulusError
from broca.items import Text
from broca.models.attention import watch_attention
from broca.models.lm import LM
from broca.models.rows import Look, Rows
from broca.models.spans import span_matrix, sum_over_spans
from broca.models.tokens import Batch, Chat, Span

_STATISTICS = ("entropy", "relative_entropy", "first", "distance")


def attention_to_spans(
    lm: LM,
    texts: Sequence[Text],
    spans: Sequence[Sequence[Span]],
    *,
    queries: Sequence[Sequence[Span]] | None = None,
    layers: Sequence[int] | None = None,
    chat: Chat = "auto",
    size: int | None = None,
) -> np.ndarray:
    """How much attention each head pays to each span of each text.

    Args:
        lm: the model.
        texts: prompts or chats.
        spans: for each text, the same number of character spans of the text as rendered (`Tokens.text`): attention
            is summed over the tokens of each.
        queries: for each text, the same number of character spans to look *from*: the mean over their tokens. The
            last token when None.
        layers: which layers, in this order; all when None.
        chat: see `broca.models.tokens.Chat`.
        size: texts a batch.

    Returns:
        ``(text, layer, head, span)``, or ``(text, layer, head, query span, span)`` when `queries` are given; float32,
        or float64 for a float64 model. NaN in layers that have no attention.

    Raises:
        StimulusError: if the number of spans differs between texts, or a span holds no token.
        SiteUnavailable: if one of `layers` has no attention.
        GuardError: if attention cannot be read from this model.
    """
    _matching(texts, spans, queries)
    order = tuple(range(lm.anatomy.n_layers)) if layers is None else tuple(layers)
    look = Look("last" if queries is None else "all", layers=None if layers is None else order)
    shape = (
        len(texts),
        len(order),
        lm.anatomy.n_heads,
        *(() if queries is None else (len(queries[0]),)),
        len(spans[0]),
    )
    wide = np.float64 if lm.dtype == torch.float64 else np.float32
    out = np.full(shape, np.nan, dtype=wide)

    def step(batch: Batch) -> dict[int, Tensor]:
        return _masses(lm, batch, look, spans, queries)

    for batch, found in lm.each(lm.tokenize(texts, chat=chat), step, size=size):
        for layer, mass in found.items():
            out[list(batch.index), order.index(layer)] = mass.numpy()
    return out


def _masses(
    lm: LM, batch: Batch, look: Look, spans: Sequence[Sequence[Span]], queries: Sequence[Sequence[Span]] | None
) -> dict[int, Tensor]:
    """Of each layer what a batch's heads pay to its spans: ``(text, head, span)``, or ``(text, head, query span, span)``."""
    over = span_matrix(batch, spans)
    start = None if queries is None else _means(span_matrix(batch, queries))
    found: dict[int, Tensor] = {}

    def show(seen: Rows) -> None:
        mass = sum_over_spans(seen.weights, over)
        if start is None:
            found[seen.layer] = mass[:, :, 0]
            return
        part = _from_queries(start, seen, mass)
        found[seen.layer] = found[seen.layer] + part if seen.layer in found else part

    with watch_attention(lm, look, show):
        lm.next_logits(batch)
    return {layer: _whole(lm, layer, mass).cpu() for layer, mass in found.items()}


@dataclass(frozen=True, slots=True)
class HeadSummary:
    """What each head does on average over texts; every text counts the same. Each array is ``(layer, head)``.

    NaN in layers that have no attention. Where a model has attention sinks, entropy and distance are those of the
    attention that does go to tokens.
    """

    entropy: np.ndarray
    """Of a row, in nats."""
    relative_entropy: np.ndarray
    """Entropy divided by the log of the number of tokens up to the query: 1 is even attention. Queries that are their
    text's first token do not count; NaN if there are no others."""
    first: np.ndarray
    """Mass on the first token of the text: BOS, where the tokenizer has one."""
    distance: np.ndarray
    """Mean number of tokens between a query and what it attends to."""
    n: int
    """How many texts."""


@dataclass(slots=True)
class HeadSums:
    """The reducer behind `head_summary`: sums over texts in float64."""

    n_layers: int
    n_heads: int
    n: int = 0
    total: np.ndarray = field(init=False)
    """``(statistic, layer, head)``, undefined values left out."""
    count: np.ndarray = field(init=False)
    """How many defined values each sum holds."""

    def __post_init__(self) -> None:
        self.total = np.zeros((len(_STATISTICS), self.n_layers, self.n_heads))
        self.count = np.zeros_like(self.total, dtype=np.int64)

    def update(self, values: np.ndarray) -> None:
        """Add one text: ``(statistic, layer, head)``, NaN where undefined."""
        self.n += 1
        self.total += np.nan_to_num(values)
        self.count += ~np.isnan(values)

    def __add__(self, other: HeadSums) -> HeadSums:
        both = HeadSums(self.n_layers, self.n_heads, self.n + other.n)
        both.total, both.count = self.total + other.total, self.count + other.count
        return both

    def result(self) -> HeadSummary:
        """The means.

        Raises:
            StatisticsError: if there were no texts.
        """
        if not self.n:
            raise StatisticsError("A summary of heads needs at least one text.")
        mean = np.divide(self.total, self.count, out=np.full_like(self.total, np.nan), where=self.count > 0)
        return HeadSummary(**dict(zip(_STATISTICS, mean, strict=True)), n=self.n)


def head_summary(
    lm: LM,
    texts: Sequence[Text],
    *,
    rows: Literal["last", "all"] = "last",
    chat: Chat = "auto",
    size: int | None = None,
) -> HeadSummary:
    """Entropy, mass on the first token and reach of every head.

    Args:
        lm: the model.
        texts: prompts or chats.
        rows: from each text's last token, or the mean over all its tokens.
        chat: see `broca.models.tokens.Chat`.
        size: texts a batch.

    Raises:
        StatisticsError: if there are no texts.
        GuardError: if attention cannot be read from this model.
    """
    sums = HeadSums(lm.anatomy.n_layers, lm.anatomy.n_heads)

    def step(batch: Batch) -> np.ndarray:
        shape = (len(batch), len(_STATISTICS), lm.anatomy.n_layers, lm.anatomy.n_heads)
        total, count = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)

        def show(seen: Rows) -> None:
            values = _statistics(_whole(lm, seen.layer, seen.weights), seen, batch)
            total[:, :, seen.layer] += values.nansum(-1).cpu()
            count[:, :, seen.layer] += (~values.isnan()).sum(-1).cpu()

        with watch_attention(lm, Look(rows), show):
            lm.next_logits(batch)
        return (total / count).numpy()

    for _, values in lm.each(lm.tokenize(texts, chat=chat), step, size=size):
        for text in values:
            sums.update(text)
    return sums.result()


def _statistics(weights: Tensor, seen: Rows, batch: Batch) -> Tensor:
    """``(batch, statistic, head, query)`` of rows ``(batch, head, query, key)``; NaN at padded queries."""
    device = weights.device
    start, at = batch.start.to(device), seen.at.to(device)
    mass = weights.sum(-1, keepdim=True)
    shares = weights / mass
    entropy = torch.special.entr(shares).sum(-1)
    visible = (at - start[:, None] + 1)[:, None].to(weights.dtype)
    relative = torch.where(visible > 1, entropy / visible.log(), torch.nan)
    first = weights.gather(-1, start[:, None, None, None].expand(*weights.shape[:3], 1))[..., 0]
    keys = torch.arange(weights.shape[-1], device=device, dtype=weights.dtype)
    distance = at[:, None].to(weights.dtype) - shares @ keys
    return torch.stack([entropy, relative, first, distance], 1).double()


def _means(matrix: Tensor) -> Tensor:
    """Columns of 0 and 1 to columns that sum to 1, ``(batch, token, span)``."""
    return matrix / matrix.sum(1, keepdim=True)


def _from_queries(start: Tensor, seen: Rows, mass: Tensor) -> Tensor:
    """A block's part of the mean over query spans: ``(batch, head, query span, span)``."""
    rows = torch.arange(len(start), device=start.device)[:, None]
    share = start[rows, seen.at.to(start.device)].to(mass.device, mass.dtype)
    # Padded queries are NaN, and NaN times a weight of 0 is NaN.
    known = mass.masked_fill(~seen.real.to(mass.device)[:, None, :, None], 0)
    return share.transpose(1, 2)[:, None] @ known


def _whole(lm: LM, layer: int, values: Tensor) -> Tensor:
    """`values` ``(batch, head, ...)``, if the layer has as many heads as the model says."""
    if values.shape[1] != lm.anatomy.n_heads:
        raise SiteUnavailable(
            f"{layer}.pattern: layer {layer} has {values.shape[1]} heads where the model has {lm.anatomy.n_heads}, so "
            "heads of different layers are no table. Read this layer with broca.models.attention.attention_rows."
        )
    return values


def _matching(texts: Sequence[Text], spans: Sequence[Sequence[Span]], queries: Sequence[Sequence[Span]] | None) -> None:
    for name, given in (("spans", spans), ("queries", queries)):
        if given is not None and (len(given) != len(texts) or len({len(some) for some in given}) != 1 or not given[0]):
            raise StimulusError(
                f"{len(texts)} texts come with {len(given)} lists of {name}, of {sorted({len(s) for s in given})} spans. "
                "Give one list for each text, all of the same length, at least one span in each."
            )
