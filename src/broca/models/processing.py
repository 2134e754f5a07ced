"""What a model's own processor makes of one prompt with pictures: tokens with their places in the text, and tensors."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from broca.errors import StimulusError, first_line
from broca.models.rendering import TokenizerText
from broca.models.tokens import Span
from broca.storage.pictures import opening

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class ProcessedPrompt:
    """The words of one prompt, pictures aside."""

    ids: list[int]
    offsets: list[Span] | None
    """Characters of the prompt, placeholders of pictures unexpanded."""
    pictures: tuple[int, ...]
    by_token: Mapping[str, Tensor]
    """``(1, token, ...)``"""
    shapes: tuple[Hashable, ...]
    """Of one row of every tensor, those of the pictures too: prompts of one batch have the same."""
    text: str
    expanded: str | None
    """The prompt as the tokenizer got it; None where that is not known."""


class Shelf(Generic[T]):
    """Values by name, the latest used of them, up to so many bytes; the last one in any case."""

    def __init__(self, room: int, size: Callable[[T], int]) -> None:
        self.room, self._size, self._used = room, size, 0
        self._held: OrderedDict[Hashable, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def find(self, name: Hashable) -> T | None:
        """The value, which is then the latest used; None where it is not held."""
        if name in self._held:
            self._held.move_to_end(name)
        return self._held.get(name)

    def put(self, name: Hashable, value: T) -> None:
        """Hold a value, and let go of what there is no more room for."""
        if name in self._held:
            self._used -= self._size(self._held.pop(name))
        self._held[name] = value
        self._used += self._size(value)
        while self._used > self.room and len(self._held) > 1:
            self._used -= self._size(self._held.popitem(last=False)[1])


def process(processor: Any, prompt: TokenizerText) -> tuple[ProcessedPrompt, Mapping[str, Tensor]]:
    """What a processor makes of one prompt, and of its pictures: one row a picture, a patch or a prompt.

    Raises:
        StimulusError: if a picture is missing or damaged, or the processor refuses the prompt.
    """
    pictures, words = [open_picture(path) for path in prompt.images], processor.tokenizer
    fast = {"return_offsets_mapping": True} if getattr(words, "is_fast", False) else {}
    try:
        out = processor(text=[prompt.text], images=[pictures], return_text_replacement_offsets=True, **fast)
        offsets, replaced = out.pop("offset_mapping", None), out.pop("text_replacement_offsets", None)
        out.pop("attention_mask", None)
        out.convert_to_tensors("pt")
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        first = first_line(error)
        raise StimulusError(
            f"{type(processor).__name__} cannot read {prompt.text[:60]!r} with {len(pictures)} picture(s): {first} "
            "Use fewer pictures, or check the prompt."
        ) from error
    tensors = {name: values for name, values in out.items() if isinstance(values, Tensor)}
    places = tensors.pop("input_ids")
    ids = places[0].tolist()
    by_token = {name: values for name, values in tensors.items() if values.shape[:2] == places.shape}
    others = {name: values for name, values in tensors.items() if name not in by_token}
    swaps = [(it["span"], it["replacement"]) for it in replaced[0]] if replaced else []
    expanded, bos = _expand_text(prompt.text, swaps), getattr(words, "bos_token", None) or ""
    # Some processors put a BOS into the string itself.
    expanded = next((it for it in (expanded, bos + expanded) if words(it)["input_ids"] == ids), None)
    marks = {i for i in getattr(processor, "image_token_ids", ()) if i is not None}
    found = {i for i, token in enumerate(ids) if token in marks}
    own = None
    if expanded is not None and offsets:
        lead = len(bos) if expanded.startswith(bos) and not prompt.text.startswith(bos) else 0
        own, inside = _unexpand_offsets([(a - lead, b - lead) for a, b in offsets[0]], swaps)
        found = inside or found
    shapes = (
        *sorted((name, *values.shape[2:]) for name, values in by_token.items()),
        *sorted((name, *values.shape[1:]) for name, values in others.items()),
    )
    return ProcessedPrompt(ids, own, tuple(sorted(found)), by_token, shapes, prompt.text, expanded), others


def lengthen_prompt(processor: Any, known: ProcessedPrompt, text: str) -> ProcessedPrompt | None:
    """A prompt that goes on from a known one behind its pictures: only its words are new."""
    if known.expanded is None or not known.pictures or not text.startswith(known.text):
        return None
    more = text[len(known.text) :]
    words = processor.tokenizer
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
    by_token = {name: fit_tokens(values, len(ids)) for name, values in known.by_token.items()}
    return ProcessedPrompt(ids, offsets, known.pictures, by_token, known.shapes, text, known.expanded + more)


def open_picture(path: str) -> Any:
    """A picture in its own colours and aspect, the right way up.

    Raises:
        ModelError: if Pillow is not installed.
        StimulusError: if there is no such picture, or it is damaged or too large.
    """
    try:
        with opening(Path(path).read_bytes()) as image:
            from PIL import ImageOps

            return ImageOps.exif_transpose(image).convert("RGB")
    except FileNotFoundError as error:
        raise StimulusError(f"There is no picture {path!r}. Check where the pictures lie.") from error
    except OSError as error:
        raise StimulusError(f"The picture {path!r} cannot be read: {error}. Give the path of a picture.") from error
    except ValueError as error:
        raise StimulusError(f"The picture {path!r} is {error}. Get it again.") from error


def state_of(path: str) -> Hashable:
    """What changes when the file does."""
    try:
        state = Path(path).stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size


def fit_tokens(values: Tensor, n: int) -> Tensor:
    """``(1, token, ...)`` values of `n` tokens: kinds of token are 0 (text) behind the prompt, masks go on as they end."""
    short = n - values.shape[1]
    if short <= 0:
        return values[:, :n]
    tail = values.new_zeros(1, short) if values.ndim == 2 else values[:, -1:].expand(-1, short, *values.shape[2:])
    return torch.cat([values, tail], 1)


def _expand_text(text: str, swaps: Sequence[tuple[Span, str]]) -> str:
    """The text with each placeholder replaced."""
    parts, at = [], 0
    for (start, end), new in swaps:
        parts += text[at:start], new
        at = end
    return "".join((*parts, text[at:]))


def _unexpand_offsets(offsets: Sequence[Span], swaps: Sequence[tuple[Span, str]]) -> tuple[list[Span], set[int]]:
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
