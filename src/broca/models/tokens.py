"""Texts to padded batches: chat templates applied once, one BOS, positions right for either padding side, spans, pooling.

Every text is tokenised exactly once, alone; batching only pads. So nothing a stimulus shows the model depends on its
neighbours.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from broca.errors import StimulusError
from broca.items import Span
from broca.models.rendering import Frame, Prompt, render
from broca.specs.fields import Chat

Side = Literal["left", "right"]
SIDES: tuple[Side, ...] = ("left", "right")


class View(Protocol):
    """The pictures of one text, of which tensors are made when the text is batched; see `broca.models.pictures`."""

    @property
    def key(self) -> Hashable:
        """Texts share a batch only where it is the same."""
        ...

    @property
    def content(self) -> tuple[str, ...]:
        """Hashes of the pictures."""
        ...

    def beside(self, n: int) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """What the model is given beside `n` tokens: one value a token, ``(1, token, ...)``, and what is joined row by row."""
        ...


@dataclass(frozen=True, slots=True)
class Tokens:
    """One tokenised text.

    `offsets` are the characters of `text` that each token covers (None where the tokenizer cannot tell); `prefix` is
    the number of special tokens, such as BOS, that stand before the text; `pictures` are the positions of the tokens
    that stand for pictures, all of those that the processor put in the place of each; `prompt` is the number of tokens, from
    the first on, that are the prompt, where others follow it: those of an answer.
    """

    ids: tuple[int, ...]
    text: str
    offsets: tuple[Span, ...] | None = None
    prefix: int = 0
    pictures: tuple[int, ...] = ()
    view: View | None = field(default=None, repr=False, compare=False)
    prompt: int | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def key(self) -> Hashable:
        """Texts share a batch only where it is the same: all texts without pictures do."""
        return None if self.view is None else self.view.key

    @property
    def content(self) -> tuple[int | str, ...]:
        """What the model is shown: the tokens, and hashes of the pictures. Part of the address of what is seen of it."""
        return self.ids if self.view is None else (*self.ids, *self.view.content)

    @property
    def n_prompt(self) -> int:
        """How many of the tokens are the prompt: all, unless some answer it."""
        return len(self.ids) if self.prompt is None else self.prompt

    def with_answer(self, ids: tuple[int, ...]) -> Tokens:
        """The prompt with the tokens of an answer at its end."""
        return Tokens(self.ids + ids, self.text, None, self.prefix, self.pictures, self.view, self.n_prompt)

    @property
    def bare(self) -> Tokens:
        """The text without the special tokens in front of it."""
        offsets = None if self.offsets is None else self.offsets[self.prefix :]
        pictures = tuple(place - self.prefix for place in self.pictures)
        return Tokens(self.ids[self.prefix :], self.text, offsets, 0, pictures, self.view)

    def covering(self, span: Span) -> tuple[int, ...]:
        """The positions of the tokens that share a character with `span`.

        Raises:
            StimulusError: if no token does, `span` is empty, or the tokenizer reports no character offsets.
        """
        if self.offsets is None:
            raise StimulusError(
                "This tokenizer reports no character offsets, so spans cannot be found. Use a fast one."
            )
        start, end = span
        if not 0 <= start < end:
            raise StimulusError(f"({start}, {end}) is no span of characters: give 0 <= start < end.")
        found = tuple(i for i, (a, b) in enumerate(self.offsets) if a < end and start < b and i >= self.prefix)
        if not found:
            raise StimulusError(f"Characters {start} to {end} of {self.text!r} hold no token. Check the span.")
        return found


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded token ids with their mask and position ids, each ``(batch, token)``.

    `index` says where each row stood in the list that was batched.
    """

    ids: Tensor
    mask: Tensor
    positions: Tensor
    index: tuple[int, ...]
    tokens: tuple[Tokens, ...]
    side: Side = "left"
    beside: Mapping[str, Tensor] = field(default_factory=dict)
    """What the model is given of the pictures."""

    def __len__(self) -> int:
        return len(self.index)

    @property
    def has_pictures(self) -> bool:
        """Whether its texts have pictures: then all of them do."""
        return self.tokens[0].view is not None

    @property
    def last(self) -> Tensor:
        """The position of each row's last real token, ``(batch,)``."""
        width = self.mask.shape[1]
        return self.mask.sum(1) - 1 if self.side == "right" else torch.full_like(self.mask[:, 0], width - 1)

    @property
    def start(self) -> Tensor:
        """The position of each row's first real token, ``(batch,)``."""
        return torch.zeros_like(self.last) if self.side == "right" else self.mask.shape[1] - self.mask.sum(1)


def tokenize(
    tokenizer: Any, texts: Sequence[Prompt], *, chat: Chat = "auto", truncate: int | None = None
) -> list[Tokens]:
    """Tokenise each text alone, with what the tokenizer puts in front exactly once and nothing of its own at the end.

    Args:
        tokenizer: a transformers tokenizer.
        texts: prompts or chats.
        chat: see `Chat`.
        truncate: keep this many tokens from the start, BOS counted.

    Raises:
        StimulusError: if a text yields no tokens, a chat template is missing or refuses, or `truncate` is below 1.
    """
    if truncate is not None and truncate < 1:
        raise StimulusError(f"truncate is {truncate}. Keep at least 1 token of each text, or None for all.")
    rendered = [render(tokenizer, text, chat=chat) for text in texts]
    fast = bool(getattr(tokenizer, "is_fast", False))
    encoded = (
        tokenizer([it.text for it in rendered], add_special_tokens=True, return_offsets_mapping=fast)
        if rendered
        else {}
    )
    frame = Frame.of(tokenizer)
    found = []
    for i, it in enumerate(rendered):
        ids, offsets = list(encoded["input_ids"][i]), list(encoded["offset_mapping"][i]) if fast else None
        ids, offsets, prefix = frame.once(ids, offsets)
        if not ids:
            raise StimulusError(f"{it.text[:60]!r} gives no tokens. Remove it, or check the tokenizer.")
        ids, offsets = ids[:truncate], offsets[:truncate] if offsets is not None else None
        found.append(
            Tokens(tuple(ids), it.text, tuple(offsets) if offsets is not None else None, min(prefix, len(ids) - 1))
        )
    return found


def pieces(tokenizer: Any, tokens: Tokens) -> tuple[str, ...]:
    """The characters that each token stands for; the tokenizer's own name of a token that has none in the text."""
    spans = tokens.offsets or ((0, 0),) * len(tokens)
    return tuple(
        tokens.text[start:end] if end > start else str(tokenizer.convert_ids_to_tokens(i))
        for i, (start, end) in zip(tokens.ids, spans, strict=True)
    )


def batches(
    tokens: Sequence[Tokens], size: int, pad: int, *, side: Side = "left", device: Any = "cpu"
) -> Iterator[Batch]:
    """Each of `buckets`, padded."""
    for index in buckets(tokens, size):
        yield pad_tokens(tokens, index, pad, side=side, device=device)


def buckets(tokens: Sequence[Tokens], size: int, *, alike: bool = False) -> list[tuple[int, ...]]:
    """Which texts share a batch: at most `size` of similar length, longest first, in an order that depends on the lengths alone.

    Texts with pictures share one only where what their processor makes of them has the same shapes.

    Args:
        tokens: the texts.
        size: how many share one at most.
        alike: whether only texts of one length do.
    """
    order = sorted(range(len(tokens)), key=lambda i: -len(tokens[i]))
    groups: dict[Hashable, list[int]] = {}
    for i in order:
        groups.setdefault((tokens[i].key, len(tokens[i]) if alike else None), []).append(i)
    return [tuple(rows[start : start + size]) for rows in groups.values() for start in range(0, len(rows), size)]


def pad_tokens(
    tokens: Sequence[Tokens], index: Sequence[int], pad: int, *, side: Side = "left", device: Any = "cpu"
) -> Batch:
    """One batch of the texts at `index`, which have the same `key`."""
    rows = tuple(tokens[i] for i in index)
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for r, row in enumerate(rows):
        where = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        ids[r, where] = torch.tensor(row.ids)
        mask[r, where] = 1
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    beside = _beside(rows, width, side, device) if rows[0].view is not None else {}
    return Batch(ids.to(device), mask.to(device), positions.to(device), tuple(index), rows, side, beside)


def _beside(rows: Sequence[Tokens], width: int, side: Side, device: Any) -> dict[str, Tensor]:
    """What the pictures of all rows are to the model: values a token padded as the tokens are, others row after row."""
    joined: dict[str, list[Tensor]] = {}
    for row in rows:
        assert row.view is not None
        by_token, others = row.view.beside(len(row))
        for name, values in by_token.items():
            padding = values.new_zeros(1, width - len(row), *values.shape[2:])
            parts = [padding, values] if side == "left" else [values, padding]
            joined.setdefault(name, []).append(torch.cat(parts, 1))
        for name, values in others.items():
            joined.setdefault(name, []).append(values)
    return {name: torch.cat(values).to(device) for name, values in joined.items()}
