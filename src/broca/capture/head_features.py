"""What a question attends to: attention of a few query rows to each statement, one number a layer and head.

The features of a reasoning probe (Hou et al., 2023), computed beside the model's own kernel: only the rows of the question are
ever computed, and they are pooled on the device where they are. A text keeps ``layer x head x statement`` numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.errors import StimulusError
from broca.models.attention import check_tap, watch_attention
from broca.models.lm import LM
from broca.models.rows import Look, Queries, Rows
from broca.models.tokens import Batch, Chat, Span, Tokens
from broca.specs.pooling import PRESETS, Pooling, Step


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """One row a statement, the statements of a text together, texts in the order given."""

    values: NDArray[np.floating]
    """``(row, layer, head)``; one head where their mean was taken."""
    text: NDArray[np.int64]
    """The text of each row."""
    span: NDArray[np.int64]
    """Which of its statements."""
    layers: tuple[int, ...]
    """The layers, which are those that have attention where none were chosen."""

    @classmethod
    def of_texts(cls, rows: Sequence[NDArray[np.floating]], layers: tuple[int, ...]) -> Features:
        """From ``(span, layer, head)`` of each text."""
        count = [len(own) for own in rows]
        return cls(
            values=np.concatenate(rows),
            text=np.repeat(np.arange(len(rows)), count),
            span=np.concatenate([np.arange(n) for n in count]),
            layers=layers,
        )

    def of(self, text: int) -> NDArray[np.floating]:
        """``(layer, head, span)`` of one text."""
        return np.moveaxis(self.values[self.text == text], 0, -1)


def features(
    lm: LM,
    texts: Sequence[str],
    spans: Sequence[Sequence[Span]],
    *,
    queries: Sequence[Span] | None = None,
    pooling: Pooling = PRESETS["heads"],
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    chat: Chat = "never",
    size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Attention from the question of each text to each of its statements.

    Args:
        lm: the model; whatever interventions are in force apply.
        texts: the prompts.
        spans: for each text, the characters of its statements; texts may have different numbers of them.
        queries: for each text, the characters of its question; its last token when None.
        pooling: how rows become features.
        layers: which layers, in this order; all that have attention when None.
        heads: which heads of each layer, in this order; all when None.
        names: what to call each text in errors.
        chat: see `broca.models.tokens.Chat`; spans are those of the text before a template is put around it.
        size: texts a batch.
        progress: called with (texts done, texts in all) after each batch.

    Raises:
        StimulusError: if a statement or question lies beyond the model's context or holds no token, naming it.
        SiteUnavailable: if a layer or head does not exist or has no attention.
        GuardError: if attention cannot be read from this model.
    """
    called = list(names) if names is not None else [f"Text {i}" for i in range(len(texts))]
    order = check_tap(lm).layers if layers is None else tuple(layers)
    tokens = lm.tokenize(texts, chat=chat)
    tokens = [each.bare for each in tokens] if pooling.bos == "without" else tokens
    laid = [_Laid.of(*each, lm.context) for each in zip(tokens, texts, called, strict=True)]
    places = [one.statements(own, pooling.skip) for one, own in zip(laid, spans, strict=True)]
    asked = [(one.n - 1,) for one in laid]
    if queries is not None:
        asked = [one.at(span, "the question") for one, span in zip(laid, queries, strict=True)]
        asked = [at[-1:] for at in asked] if pooling.query == "last" else asked
    for one in laid:
        one.fits()

    def step(batch: Batch) -> Tensor:
        rows = _rows(batch, [asked[i] for i in batch.index])
        look = Look(rows, None if heads is None else tuple(heads), order)
        return _pooled_layers(lm, batch, look, _PoolQueue(pooling, batch, [places[i] for i in batch.index]))

    rows: dict[int, NDArray[np.floating]] = {}
    for batch, values in lm.each(tokens, step, size=size):
        for i, value in zip(batch.index, values.numpy(), strict=True):
            own = value[..., : len(spans[i])]
            rows[i] = np.moveaxis(own / own.max() if pooling.scale == "example" else own, -1, 0)
        if progress:
            progress(len(rows), len(tokens))
    return Features.of_texts([rows[i] for i in range(len(tokens))], order)


def _pooled_layers(lm: LM, batch: Batch, look: Look, queue: _PoolQueue) -> Tensor:
    """``(text, layer, head, statement)`` of one pass."""
    with watch_attention(lm, look, queue.show):
        lm.next_logits(batch)
    found = queue.result()
    return torch.stack([found[layer].to("cpu") for layer in look.layers or found], 1)


@dataclass(frozen=True, slots=True)
class _Laid:
    """Where the characters of one text went: tokens counted from its first one, BOS included."""

    name: str
    n: int
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    context: int | None

    @classmethod
    def of(cls, tokens: Tokens, text: str, name: str, context: int | None) -> _Laid:
        if tokens.offsets is None:
            raise StimulusError("This tokenizer reports no offsets, so statements cannot be found. Use a fast one.")
        shift = tokens.text.find(text)
        if shift < 0:
            raise StimulusError(
                f"{name}: the chat template changes the text, so its statements cannot be found in it. Use chat='never', "
                "or a text that begins and ends without white space."
            )
        starts, ends = np.asarray(tokens.offsets, dtype=np.int64).reshape(-1, 2).T - shift
        # Special tokens in front cover no character, or those of a template.
        ends = np.where(np.arange(len(ends)) < tokens.prefix, starts, ends)
        return cls(name, len(tokens), starts, ends, context)

    def at(self, span: Span, what: str) -> tuple[int, ...]:
        """The tokens that share a character with the span.

        Raises:
            StimulusError: if there are none, or the model has no positions for them; names `what`.
        """
        start, end = span
        found = np.flatnonzero((self.starts < self.ends) & (self.starts < end) & (self.ends > start))
        if not len(found):
            raise StimulusError(f"{self.name}: {what} (characters {start} to {end}) holds no token. Check its place.")
        if self.context is not None and found[-1] >= self.context:
            raise StimulusError(
                f"{self.name}: {what} ends at token {found[-1] + 1}, and the model has positions for {self.context}. Leave "
                "this text out, give it fewer statements, or use a model with a longer context."
            )
        return tuple(found.tolist())

    def statements(self, spans: Sequence[Span], skip: int) -> list[tuple[int, ...]]:
        """The tokens of each statement; of the first one without its first `skip`.

        Raises:
            StimulusError: as `at`, or if nothing would be left of the first one.
        """
        first, *others = (self.at(span, f"statement {k + 1}") for k, span in enumerate(spans))
        if skip >= len(first):
            raise StimulusError(
                f"{self.name}: its first statement is {len(first)} tokens long, and the pooling leaves out {skip}. Leave "
                "out this text, or give a pooling with a smaller skip."
            )
        return [first[skip:], *others]

    def fits(self) -> None:
        """Raises StimulusError if the text does not fit the model, though its statements do."""
        if self.context is not None and self.n > self.context:
            raise StimulusError(
                f"{self.name} has {self.n} tokens, and the model has positions for {self.context}. Leave it out."
            )


def _rows(batch: Batch, asked: Sequence[tuple[int, ...]]) -> Queries:
    last = all(at == (len(tokens) - 1,) for at, tokens in zip(asked, batch.tokens, strict=True))
    return "last" if last else tuple(asked)


class _PoolQueue:
    """Rows of one batch on their way to features: what is held of a layer is pooled as far as its order allows."""

    def __init__(self, how: Pooling, batch: Batch, places: Sequence[Sequence[tuple[int, ...]]]) -> None:
        self.how = how
        self._found: dict[int, Tensor] = {}
        self._part: tuple[int, Tensor, Tensor] | None = None
        """The layer under way, its queries pooled so far, and how many of each text there were."""
        member = np.zeros((*batch.ids.shape, max(map(len, places))), dtype=np.float32)
        for row, (own, start) in enumerate(zip(places, batch.start.tolist(), strict=True)):
            for column, at in enumerate(own):
                member[row, [start + i for i in at], column] = 1 / len(at) if how.span == "mean" else 1
        self._member = torch.from_numpy(member)
        """``(batch, token, statement)``."""
        cut = how.order.index("query")
        self._before, self._after = how.order[:cut], how.order[cut + 1 :]

    def show(self, seen: Rows) -> None:
        """Take in a block of rows. Those of a layer come one after the other."""
        if self._part is not None and self._part[0] != seen.layer:
            self._finish()
        x = seen.weights
        for step in self._before:
            x = self._step(step, x)
        real = seen.real.to(x.device)
        count = real.sum(1)[:, None, None]
        if self.how.query == "max":
            part = x.masked_fill(~real[:, None, :, None], float("-inf")).amax(2)
            part = part if self._part is None else torch.maximum(self._part[1], part)
        else:
            part = x.masked_fill(~real[:, None, :, None], 0).sum(2)
            part = part if self._part is None else self._part[1] + part
        self._part = (seen.layer, part, count if self._part is None else self._part[2] + count)

    def result(self) -> dict[int, Tensor]:
        """``(batch, head, statement)`` of each layer; statements that a text does not have are padding."""
        if self._part is not None:
            self._finish()
        return self._found

    def _finish(self) -> None:
        assert self._part is not None
        layer, x, count = self._part
        if self.how.query == "mean":
            x = x / count
        for step in self._after:
            x = self._step(step, x)
        self._found[layer], self._part = x, None

    def _step(self, step: Step, x: Tensor) -> Tensor:
        """Pool ``(batch, head, ..., token)`` over statements, or over heads."""
        if step == "heads":
            return x.mean(1, keepdim=True) if self.how.heads == "mean" else x
        self._member = self._member.to(x.device, x.dtype)
        member = self._member if x.ndim == 3 else self._member[:, None]
        if self.how.span != "max":
            return x @ member
        spans = [x.masked_fill(member[..., None, :, k] == 0, float("-inf")).amax(-1) for k in range(member.shape[-1])]
        return torch.stack(spans, -1)
