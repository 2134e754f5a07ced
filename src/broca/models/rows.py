"""Rows of an attention matrix: which are asked for, where they stand in a padded batch, and their arithmetic.

A row is ``softmax(q k^T * scaling)`` after soft-capping, position bias, mask and sinks, for the queries asked for and
no others, in float32 or wider. Nothing here knows a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from broca.errors import StimulusError

Queries = Literal["last", "all"] | tuple[int, ...] | tuple[tuple[int, ...], ...]
"""Which queries of each text: its last token, every token, or chosen tokens (0 is the first, BOS counted; -1 the last):
the same of every text, or a tuple for each row of the batch, where those of shorter ones are filled up with padding."""

_CELLS = 2**23
"""How many attention weights are computed at once: 32 MiB in float32."""


@dataclass(frozen=True, slots=True)
class Look:
    """What to look at."""

    rows: Queries = "last"
    heads: tuple[int, ...] | Mapping[int, tuple[int, ...]] | None = None
    """Which heads, in this order: the same in every layer, or by layer. All when None."""
    layers: tuple[int, ...] | None = None
    """All that have attention when None."""

    def heads_at(self, layer: int) -> tuple[int, ...] | None:
        """The heads looked at in `layer`; all when None; none when empty."""
        if self.layers is not None and layer not in self.layers:
            return ()
        return self.heads.get(layer, ()) if isinstance(self.heads, Mapping) else self.heads


@dataclass(frozen=True, slots=True)
class Rows:
    """A block of queries of one layer, as shown to whoever looks."""

    layer: int
    at: Tensor
    """``(batch, query)``: where the queries stand among the tokens of this call."""
    real: Tensor
    """``(batch, query)``: False where the query is padding."""
    weights: Tensor
    """``(batch, head, query, key)`` in float32 or wider; NaN where the query is padding, 0 where the key is."""


@dataclass(frozen=True, slots=True, eq=False)
class RowReplacement:
    """Rows that stand in for a layer's own in one call of the model. Indices and `real` are on the CPU."""

    at: Tensor
    """``(batch or 1, query)``: where the queries stand among the tokens of this call."""
    weights: Tensor
    """``(batch, head, query, key)``, float32 or wider."""
    heads: tuple[int, ...] | None = None
    """Which heads, in this order; all when None."""
    real: Tensor | None = None
    """``(batch, query)``: False where a query only fills the table, and keeps its own row. All are real when None."""

    def places(self, batch: int) -> tuple[Tensor, Tensor]:
        """`at` and `real`, both ``(batch, query)``."""
        at = self.at.expand(batch, -1)
        return at, torch.ones_like(at, dtype=torch.bool) if self.real is None else self.real.expand(batch, -1)


Show = Callable[[Rows], None]

Places = tuple[Tensor, Tensor, int]
"""Where the queries of a call stand among its tokens and which are real, both ``(batch or 1, query)``; how many texts."""

Compute = Callable[[Tensor, Sequence[int] | None], Tensor]
"""Given queries ``(batch or 1, query)`` and heads (all when None), their weights ``(batch, head, query, key)``."""


def blocks(look: Look, layer: int, places: Places, shape: tuple[int, int, int], compute: Compute) -> Iterator[Rows]:
    """The rows that `look` asks for in one layer of one call of a model, a block of queries at a time.

    Args:
        look: what is asked for.
        layer: which layer this is.
        places: of `query_places`; the same in every layer.
        shape: heads, queries and keys of this layer.
        compute: gives the weights.
    """
    heads = look.heads_at(layer)
    if heads == ():
        return
    n_heads, _, n_keys = shape
    at, real, batch = places
    size = max(1, _CELLS // (batch * n_keys * (n_heads if heads is None else len(heads))))
    for start in range(0, at.shape[1], size):
        where, known = at[:, start : start + size], real[:, start : start + size]
        weights = compute(where, heads)
        if not known.all():
            weights = weights.masked_fill(~known[:, None, :, None].to(weights.device), float("nan"))
        yield Rows(layer, where.expand(batch, -1), known.expand(batch, -1), weights)


def query_places(rows: Queries, mask: Tensor, n_queries: int) -> Places:
    """Where the queries of a call stand among its tokens.

    Args:
        rows: which queries.
        mask: the real tokens of this call and those cached before it, ``(batch, key)``, boolean and on the CPU: an
            index that waits for the GPU would cost more than the rows.
        n_queries: how many tokens the call has.
    """
    return *_locate_queries(rows, mask, n_queries), len(mask)


def _locate_queries(rows: Queries, mask: Tensor, n_queries: int) -> tuple[Tensor, Tensor]:
    """Where the queries stand, and which are real; both ``(batch or 1, query)``."""
    n_keys = mask.shape[1]
    behind = n_keys - n_queries
    if rows == "all":
        return torch.arange(n_queries)[None], mask[:, behind:]
    last = n_keys - 1 - mask.flip(1).int().argmax(1)
    if rows == "last":
        at = last[:, None] - behind
    else:
        if behind:
            # Tokens are counted from the start of the text, which earlier calls have been shown.
            return torch.zeros(1, 0, dtype=torch.long), torch.zeros(1, 0, dtype=torch.bool)
        at, real = _locate_chosen(rows, mask.sum(1), last + 1)
        if not real.all():
            return at, real
    if bool((at == at[:1]).all()):
        at = at[:1]
    return at, torch.ones_like(at, dtype=torch.bool)


def _locate_chosen(
    rows: tuple[int, ...] | tuple[tuple[int, ...], ...], length: Tensor, end: Tensor
) -> tuple[Tensor, Tensor]:
    """Where chosen tokens of texts that end before `end` stand, and which are no filling; both ``(batch, query)``."""
    each = [row if isinstance(row, tuple) else (row,) for row in rows]
    own = each if rows and isinstance(rows[0], tuple) else [tuple(n for row in each for n in row)] * len(length)
    if len(own) != len(length) or not all(own):
        raise StimulusError(
            f"{len(own)} lists of attention rows come with {len(length)} texts. Give each at least one."
        )
    for wanted, n in zip(own, length.tolist(), strict=True):
        if max(max(wanted) + 1, -min(wanted)) > n:
            raise StimulusError(
                f"Attention rows {', '.join(map(str, wanted))} are asked for, but a text has only {n} tokens. Ask for rows "
                "that every text has."
            )
    width = max(map(len, own))
    filled = torch.tensor([[*wanted, *[wanted[-1]] * (width - len(wanted))] for wanted in own])
    real = torch.arange(width)[None] < torch.tensor([len(wanted) for wanted in own])[:, None]
    return torch.where(filled < 0, end[:, None], (end - length)[:, None]) + filled, real


def probabilities(
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    at: Tensor,
    *,
    causal: bool,
    heads: Sequence[int] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Tensor:
    """Attention of chosen queries over every key, ``(batch, head, query, key)``.

    Args:
        query: ``(batch, head, token, unit)``.
        key: ``(batch, kv head, token, unit)``; each key head serves a run of consecutive query heads.
        mask: ``(1 or batch, 1 or head, token, key)``, boolean (True is seen) or added to the scores.
        at: which queries, ``(batch, query)``, or ``(1, query)`` where they are the same for every text.
        causal: without a mask, whether a query sees only keys up to its own position.
        heads: which heads, in this order; all when None.
        options: what the model passes to its kernel: `scaling`, `softcap`, `position_bias` and `s_aux` (one sink a
            head: a column that takes mass and belongs to no token, so the row sums to less than 1).
    """
    options = options or {}
    wide = torch.float64 if query.dtype == torch.float64 else torch.float32
    group = query.shape[1] // key.shape[1]
    picked = None if heads is None else torch.as_tensor(heads, device=query.device)
    at = at.to(query.device)
    q = rows_at(query if picked is None else query[:, picked], at).to(wide)
    k = (key if picked is None else key[:, picked // group]).to(wide)
    # Query heads that share a key head are stacked as further queries, so that no key is copied.
    batch, count, n, width = q.shape
    scores = (q.reshape(batch, k.shape[1], -1, width) @ k.transpose(-1, -2)).view(batch, count, n, -1)
    scaling = options.get("scaling")
    scores = scores * (width**-0.5 if scaling is None else scaling)
    if options.get("softcap") is not None:
        scores = torch.tanh(scores / options["softcap"]) * options["softcap"]
    for extra in (options.get("position_bias"), mask):
        if extra is not None:
            scores = _mask_scores(scores, rows_at(_heads_of(extra, picked).expand(batch, -1, -1, -1), at))
    if mask is None and causal:
        seen = torch.arange(k.shape[2], device=at.device) <= at[..., None]
        scores = scores.masked_fill(~seen[:, None], float("-inf"))
    sinks = options.get("s_aux")
    if sinks is None:
        return scores.softmax(-1)
    sinks = sinks.detach().to(wide) if picked is None else sinks.detach().to(wide)[picked]
    return torch.cat([scores, sinks.view(1, -1, 1, 1).expand(batch, -1, n, 1)], -1).softmax(-1)[..., :-1]


def rewritten(output: Tensor, value: Tensor, new: RowReplacement) -> Tensor:
    """A kernel's output ``(batch, token, head, unit)`` with what replaced rows take from `value` in its place.

    Args:
        output: stays as it is.
        value: ``(batch, kv head, key, unit)``; each value head serves a run of consecutive query heads.
        new: the rows.
    """
    heads = torch.arange(output.shape[2]) if new.heads is None else torch.tensor(new.heads)
    weights = new.weights.to(output.device)
    # Grouped heads: each row meets the values of its own key head.
    mine = value[:, heads * value.shape[1] // output.shape[2], : weights.shape[-1]]
    mixed = (weights @ mine.to(weights.dtype)).to(output.dtype)
    at, real = new.places(len(output))
    row, query = real.nonzero(as_tuple=True)
    output = output.clone()
    output[row[:, None], at[row, query][:, None], heads] = mixed[row, :, query]
    return output


def replace_rows(compute: Compute, new: RowReplacement) -> Compute:
    """`compute` as it is once rows have been replaced."""

    def compute_changed(at: Tensor, heads: Sequence[int] | None) -> Tensor:
        weights = compute(at, heads).clone()
        wanted = range(weights.shape[1]) if heads is None else heads
        known = range(max(wanted) + 1) if new.heads is None else new.heads
        mine = torch.tensor([i for i, head in enumerate(wanted) if head in known], dtype=torch.long)
        theirs = torch.tensor([known.index(head) for head in wanted if head in known], dtype=torch.long)
        places, real = new.places(len(weights))
        hit = (at.cpu().expand(len(weights), -1)[:, :, None] == places[:, None]) & real[:, None]
        row, query = hit.any(-1).nonzero(as_tuple=True)
        source = hit.int().argmax(-1)[row, query]
        put = new.weights.to(weights)[row[:, None], theirs, source[:, None]]
        weights[row[:, None], mine, query[:, None]] = put
        return weights

    return compute_changed


def carry_rows(
    rows: Tensor, covers: Sequence[Sequence[int]], n_keys: int, *, at: Sequence[int] | None = None
) -> Tensor:
    """Attention rows over the keys of one text, carried to those of another, each with the sum that it had.

    Args:
        rows: ``(..., query, key)``.
        covers: for each key, the other text's keys over the same characters: its weight is spread evenly over them, and
            lost to the rest of the row where there are none.
        n_keys: how many keys the other text has.
        at: where the queries stand in the other text: keys behind them take nothing.

    Returns:
        ``(..., query, n_keys)``; NaN in rows of which nothing is left.
    """
    moves = torch.zeros(len(covers), n_keys, dtype=rows.dtype)
    for key, others in enumerate(covers):
        moves[key, list(others)] = 1 / max(1, len(others))
    moved = rows @ moves.to(rows.device)
    if at is not None:
        behind = torch.arange(n_keys)[None] > torch.tensor(at)[:, None]
        moved = moved.masked_fill(behind.to(rows.device), 0)
    return moved * (rows.sum(-1, keepdim=True) / moved.sum(-1, keepdim=True))


def rows_at(x: Tensor, at: Tensor) -> Tensor:
    """``(batch, head, token, ...)`` to the tokens at `at`, ``(batch, head, query, ...)``."""
    at = at.to(x.device)
    if len(at) == 1:
        return x[:, :, at[0]]
    return x[torch.arange(len(at), device=x.device)[:, None], :, at].transpose(1, 2)


def _heads_of(x: Tensor, picked: Tensor | None) -> Tensor:
    return x if picked is None or x.shape[1] == 1 else x[:, picked]


def _mask_scores(scores: Tensor, mask: Tensor) -> Tensor:
    mask = mask[..., : scores.shape[-1]]
    return scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
