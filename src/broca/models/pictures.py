"""Pictures before a text: places for them in the prompt, and the tensors that a model's own processor makes of them.

Every prompt is processed alone, so that nothing depends on its neighbours. Its tokens are known at once; its pixels are
made again when it is batched, unless they are still at hand: pixels of many pictures would outgrow memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from broca.errors import ModelError, StimulusError
from broca.items import Pictured, Text, picture_hash
from broca.models.tokens import Chat, Rendered, Span, Tokens, one_bos

AT_HAND = 256 * 2**20
"""Bytes of processed pictures that are kept."""


@dataclass(frozen=True, slots=True, eq=False)
class Processed:
    """What a processor makes of one prompt."""

    ids: list[int]
    offsets: list[Span] | None
    """Characters of the prompt, placeholders of pictures unexpanded."""
    pictures: tuple[int, ...]
    by_token: Mapping[str, Tensor]
    """``(1, token, ...)``"""
    others: Mapping[str, Tensor]
    """One row a picture, a patch or a prompt."""
    text: str
    expanded: str | None
    """The prompt as the tokenizer got it; None where that is not known."""

    @property
    def size(self) -> int:
        return sum(t.numel() * t.element_size() for t in (*self.by_token.values(), *self.others.values()))


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """The pictures of one tokenised prompt: a `broca.models.tokens.View`."""

    viewer: Viewer
    prompt: Rendered
    key: Hashable
    start: int
    """Tokens of the processor that were dropped in front."""

    @property
    def content(self) -> tuple[str, ...]:
        return tuple(map(picture_hash, self.prompt.images))

    def beside(self, n: int) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Values of `n` tokens: those behind the prompt are text, and see of the pictures what its last token sees."""
        made = self.viewer.processed(self.prompt)
        return {name: _fitted(values[:, self.start :], n) for name, values in made.by_token.items()}, made.others


class Viewer:
    """A vision-language model's processor at work."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self._at_hand: OrderedDict[Hashable, Processed] = OrderedDict()
        self._last: dict[Hashable, Hashable] = {}
        self._size = 0

    @property
    def template(self) -> str | None:
        own = getattr(self.processor, "chat_template", None)
        return own or getattr(getattr(self.processor, "tokenizer", None), "chat_template", None)

    @cached_property
    def mark(self) -> str:
        """How a picture is written in a plain prompt: as the chat template writes one, else as the processor names it."""
        if self.template:
            words = {"type": "text", "text": "x"}
            bare, seen = (
                self._templated([{"role": "user", "content": c}]) for c in ([words], [{"type": "image"}, words])
            )
            start = next((i for i, (a, b) in enumerate(zip(bare, seen, strict=False)) if a != b), len(bare))
            end = next((i for i, (a, b) in enumerate(zip(bare[::-1], seen[::-1], strict=False)) if a != b), len(bare))
            if start < len(seen) - end:
                return seen[start : len(seen) - end]
        names = (getattr(self.processor, name, None) for name in ("boi_token", "image_token"))
        mark = next((str(name) for name in names if name), None)
        if mark is None:
            raise ModelError(
                f"{type(self.processor).__name__} has no chat template and names no picture token, so a picture cannot be "
                "placed in a prompt. Give it a chat_template."
            )
        return mark

    def render(self, prompt: Text | Pictured | Rendered, *, chat: Chat = "auto") -> Rendered:
        """The string to tokenise. Prompts with pictures go through the chat template, unless there is none or `chat` is "never".

        Raises:
            StimulusError: if a chat meets a processor without a template.
        """
        if isinstance(prompt, Rendered):
            return prompt
        text, images = (prompt.text, prompt.images) if isinstance(prompt, Pictured) else (prompt, ())
        plain = isinstance(text, str) and chat == "auto" and not (images and self.template)
        if chat == "never" or plain:
            said = text if isinstance(text, str) else "\n\n".join(m.content for m in text)
            return Rendered((self.mark * len(images) if images else "") + said, images=images)
        if not self.template:
            raise StimulusError(
                "This processor has no chat template, but a chat was given. Use plain text, or chat='never'."
            )
        turns = [("user", text)] if isinstance(text, str) else [(m.role, m.content) for m in text]
        first = next((i for i, (role, _) in enumerate(turns) if role == "user"), None)
        if first is None and images:
            raise StimulusError("A chat without a user's turn has no place for its pictures. Add one.")
        parts = [
            {
                "role": role,
                "content": [*([{"type": "image"}] * len(images) if i == first else ()), {"type": "text", "text": said}],
            }
            for i, (role, said) in enumerate(turns)
        ]
        return Rendered(self._templated(parts), templated=True, images=images)

    def _templated(self, turns: Sequence[Mapping[str, Any]]) -> str:
        return self.processor.apply_chat_template(
            list(turns), chat_template=self.template, tokenize=False, add_generation_prompt=True
        )

    def tokenize(self, prompt: Rendered, *, truncate: int | None = None) -> Tokens:
        """One prompt with pictures in tokens, with exactly one BOS where the tokenizer has one.

        Raises:
            StimulusError: if a picture is missing or damaged, the processor refuses the prompt, or `truncate` would cut a
                picture.
        """
        made, words = self.processed(prompt), self.processor.tokenizer
        special = frozenset(getattr(words, "all_special_ids", ()))
        ids, offsets, prefix = one_bos(words, made.ids, made.offsets, special, templated=prompt.templated)
        start = next(i for i in range(len(made.ids)) if made.ids[i : i + len(ids)] == ids)
        pictures = tuple(i - start for i in made.pictures)
        if truncate is not None and truncate < len(ids):
            if pictures and pictures[-1] >= truncate:
                raise StimulusError(
                    f"truncate={truncate} would cut the pictures of {prompt.text[:60]!r}, which end at token {pictures[-1] + 1} "
                    f"of {len(ids)}. Keep more tokens, or None for all."
                )
            ids, offsets = ids[:truncate], offsets[:truncate] if offsets is not None else None
        shapes = (
            *sorted((name, *values.shape[2:]) for name, values in made.by_token.items()),
            *sorted((name, *values.shape[1:]) for name, values in made.others.items()),
        )
        return Tokens(
            tuple(ids),
            prompt.text,
            tuple(offsets) if offsets is not None else None,
            min(prefix, len(ids) - 1, *pictures[:1]),
            pictures,
            Shown(self, prompt, shapes, start),
        )

    def processed(self, prompt: Rendered) -> Processed:
        """What the processor makes of one prompt, from those at hand where it is among them."""
        seen = (prompt.images, tuple(map(_state, prompt.images)))
        key = (prompt.text, *seen)
        if key in self._at_hand:
            self._at_hand.move_to_end(key)
            return self._at_hand[key]
        known = self._at_hand.get(self._last.get(seen))
        made = (self._lengthened(known, prompt.text) if known else None) or self._process(prompt)
        self._at_hand[key] = made
        if known is None or made.others is not known.others:
            self._last[seen] = key
            self._size += made.size
        while self._size > AT_HAND and len(self._at_hand) > 1:
            self._size -= self._at_hand.popitem(last=False)[1].size
        return made

    def _process(self, prompt: Rendered) -> Processed:
        pictures, words = [opened(path) for path in prompt.images], self.processor.tokenizer
        fast = {"return_offsets_mapping": True} if getattr(words, "is_fast", False) else {}
        try:
            out = self.processor(text=[prompt.text], images=[pictures], return_text_replacement_offsets=True, **fast)
            offsets, replaced = out.pop("offset_mapping", None), out.pop("text_replacement_offsets", None)
            out.pop("attention_mask", None)
            out.convert_to_tensors("pt")
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise StimulusError(
                f"{type(self.processor).__name__} cannot read {prompt.text[:60]!r} with {len(pictures)} picture(s): {first} "
                "Use fewer pictures, or check the prompt."
            ) from error
        tensors = {name: values for name, values in out.items() if isinstance(values, Tensor)}
        places = tensors.pop("input_ids")
        ids = places[0].tolist()
        by_token = {name: values for name, values in tensors.items() if values.shape[:2] == places.shape}
        others = {name: values for name, values in tensors.items() if name not in by_token}
        swaps = [(it["span"], it["replacement"]) for it in replaced[0]] if replaced else []
        expanded, bos = _expanded(prompt.text, swaps), getattr(words, "bos_token", None) or ""
        # Some processors put a BOS into the string itself.
        expanded = next((it for it in (expanded, bos + expanded) if words(it)["input_ids"] == ids), None)
        marks = {i for i in getattr(self.processor, "image_token_ids", ()) if i is not None}
        found = {i for i, token in enumerate(ids) if token in marks}
        own = None
        if expanded is not None and offsets:
            lead = len(bos) if expanded.startswith(bos) and not prompt.text.startswith(bos) else 0
            own, inside = _unexpanded([(a - lead, b - lead) for a, b in offsets[0]], swaps)
            found = inside or found
        return Processed(ids, own, tuple(sorted(found)), by_token, others, prompt.text, expanded)

    def _lengthened(self, known: Processed, text: str) -> Processed | None:
        """A prompt that goes on from a known one behind its pictures: only its words are new."""
        if known.expanded is None or not known.pictures or not text.startswith(known.text):
            return None
        more = text[len(known.text) :]
        words = self.processor.tokenizer
        fast = bool(getattr(words, "is_fast", False))
        out = words(known.expanded + more, return_offsets_mapping=fast)
        ids, through = out["input_ids"], known.pictures[-1] + 1
        if ids[:through] != known.ids[:through]:
            return None
        offsets = None
        if fast and known.offsets is not None:
            shift = len(known.expanded) - len(known.text)
            tail = [(max(a - shift, 0), max(b - shift, 0)) for a, b in out["offset_mapping"][through:]]
            offsets = known.offsets[:through] + tail
        by_token = {name: _fitted(values, len(ids)) for name, values in known.by_token.items()}
        return Processed(ids, offsets, known.pictures, by_token, known.others, text, known.expanded + more)


def opened(path: str) -> Any:
    """A picture in its own colours and aspect, the right way up.

    Raises:
        ModelError: if Pillow is not installed.
        StimulusError: if there is no such picture, or it is damaged.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ModelError("Pictures need Pillow: pip install 'broca[vision]'.") from error
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except FileNotFoundError as error:
        raise StimulusError(f"There is no picture {path!r}. Check where the pictures lie.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise StimulusError(f"The picture {path!r} is damaged, or no picture: {error}. Get it again.") from error


def _state(path: str) -> Hashable:
    try:
        state = Path(path).stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size


def _fitted(values: Tensor, n: int) -> Tensor:
    """``(1, token, ...)`` values of `n` tokens: kinds of token are 0 (text) behind the prompt, masks go on as they end."""
    short = n - values.shape[1]
    if short <= 0:
        return values[:, :n]
    tail = values.new_zeros(1, short) if values.ndim == 2 else values[:, -1:].expand(-1, short, *values.shape[2:])
    return torch.cat([values, tail], 1)


def _expanded(text: str, swaps: Sequence[tuple[Span, str]]) -> str:
    """The text with each placeholder replaced."""
    parts, at = [], 0
    for (start, end), new in swaps:
        parts += text[at:start], new
        at = end
    return "".join((*parts, text[at:]))


def _unexpanded(offsets: Sequence[Span], swaps: Sequence[tuple[Span, str]]) -> tuple[list[Span], set[int]]:
    """Offsets into the expanded text as offsets into the text itself; and which tokens stand for pictures."""
    found, inside, grown = [], set(), 0
    news = []
    for (start, end), new in swaps:
        news.append((start + grown, start + grown + len(new), start, end))
        grown += len(new) - (end - start)

    def at(place: int, *, end: bool) -> int:
        back = 0
        for first, last, start, stop in news:
            if first < place < last or place == (last if end else first):
                return stop if end else start
            if place >= last:
                back = last - stop
        return place - back

    for i, (a, b) in enumerate(offsets):
        if a >= b or b <= 0:
            found.append((0, 0))
            continue
        if any(first <= a and b <= last for first, last, _, _ in news):
            inside.add(i)
        found.append((at(a, end=False), at(b, end=True)))
    return found, inside
