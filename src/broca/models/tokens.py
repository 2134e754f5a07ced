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
from broca.items import Pictured, Text, as_text

Side = Literal["left", "right"]
Chat = Literal["auto", "never", "always"]
"""Whether the model's chat template is used: for chats only, never (contents joined by blank lines), or always."""

Span = tuple[int, int]
"""Characters of the text, start inclusive, end exclusive."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A text as the tokenizer gets it; `templated` where a chat template has already put the special tokens in."""

    text: str
    templated: bool = False
    images: tuple[str, ...] = ()
    """Paths of pictures whose places are marked in the text."""


Prompt = Text | Pictured | Rendered
"""What can be tokenised: a plain prompt, a chat, either with pictures, or a text that `render` has been through."""


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
    that stand for pictures, all of those that the processor put in the place of each.
    """

    ids: tuple[int, ...]
    text: str
    offsets: tuple[Span, ...] | None = None
    prefix: int = 0
    pictures: tuple[int, ...] = ()
    view: View | None = field(default=None, repr=False, compare=False)

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

    def extended(self, ids: tuple[int, ...]) -> Tokens:
        """The text with further tokens at its end."""
        return Tokens(self.ids + ids, self.text, None, self.prefix, self.pictures, self.view)

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
    def pictured(self) -> bool:
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
    """Tokenise each text alone, with exactly one BOS where the tokenizer has one and no EOS at the end.

    Args:
        tokenizer: a transformers tokenizer.
        texts: prompts or chats.
        chat: see `Chat`.
        truncate: keep this many tokens from the start, BOS counted.

    Raises:
        StimulusError: if a text yields no tokens, a chat meets a tokenizer without a template, or `truncate` is below 1.
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
    special = frozenset(getattr(tokenizer, "all_special_ids", ()))
    found = []
    for i, it in enumerate(rendered):
        ids, offsets = list(encoded["input_ids"][i]), list(encoded["offset_mapping"][i]) if fast else None
        ids, offsets, prefix = one_bos(tokenizer, ids, offsets, special, templated=it.templated)
        if not ids:
            raise StimulusError(f"{it.text[:60]!r} gives no tokens. Remove it, or check the tokenizer.")
        ids, offsets = ids[:truncate], offsets[:truncate] if offsets is not None else None
        found.append(
            Tokens(tuple(ids), it.text, tuple(offsets) if offsets is not None else None, min(prefix, len(ids) - 1))
        )
    return found


def batches(
    tokens: Sequence[Tokens], size: int, pad: int, *, side: Side = "left", device: Any = "cpu"
) -> Iterator[Batch]:
    """Each of `buckets`, padded."""
    for index in buckets(tokens, size):
        yield padded(tokens, index, pad, side=side, device=device)


def buckets(tokens: Sequence[Tokens], size: int) -> list[tuple[int, ...]]:
    """Which texts share a batch: at most `size` of similar length, longest first, in an order that depends on the lengths alone.

    Texts with pictures share one only where what their processor makes of them has the same shapes.
    """
    order = sorted(range(len(tokens)), key=lambda i: -len(tokens[i]))
    alike: dict[Hashable, list[int]] = {}
    for i in order:
        alike.setdefault(tokens[i].key, []).append(i)
    return [tuple(rows[start : start + size]) for rows in alike.values() for start in range(0, len(rows), size)]


def padded(
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


def render(tokenizer: Any, text: Prompt, *, chat: Chat = "auto") -> Rendered:
    """The string to tokenise; what has been rendered stays as it is.

    Raises:
        StimulusError: if a chat meets a tokenizer without a template, or there are pictures.
    """
    if isinstance(text, Rendered):
        return text
    if isinstance(text, Pictured):
        raise StimulusError(
            f"{len(text.images)} picture(s) were given, and this model has no processor to see them with. Load a "
            "vision-language model, or give its processor: LM.wrap(model, tokenizer, processor=...)."
        )
    text = as_text(text)
    if chat == "never" or (chat == "auto" and isinstance(text, str)):
        return Rendered(text if isinstance(text, str) else "\n\n".join(m.content for m in text))
    if not getattr(tokenizer, "chat_template", None):
        raise StimulusError(
            f"This tokenizer has no chat template, but {_ASKED[isinstance(text, str)]}. Use plain text, or chat='never'."
        )
    turns = (
        [{"role": "user", "content": text}]
        if isinstance(text, str)
        else [{"role": m.role, "content": m.content} for m in text]
    )
    return Rendered(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True), templated=True)


_ASKED = {True: "chat='always' asks for one", False: "a chat was given"}


def one_bos(
    tokenizer: Any, ids: list[int], offsets: list[Span] | None, special: frozenset[int], *, templated: bool
) -> tuple[list[int], list[Span] | None, int]:
    """Drop a doubled BOS and an EOS that the tokenizer appended; count the special tokens in front."""
    bos, eos = getattr(tokenizer, "bos_token_id", None), getattr(tokenizer, "eos_token_id", None)
    start, end = 0, len(ids)
    while bos is not None and end - start > 1 and ids[start] == bos and ids[start + 1] == bos:
        start += 1
    # A prompt that ends in EOS has nothing left to predict. A template may rightly end in one: then it covers characters.
    if (
        eos is not None
        and end - start > 1
        and ids[end - 1] == eos
        and (not templated if offsets is None else offsets[-1][0] == offsets[-1][1])
    ):
        end -= 1
    prefix = 0
    while start + prefix < end - 1 and ids[start + prefix] in special:
        prefix += 1
    return ids[start:end], offsets[start:end] if offsets is not None else None, prefix
