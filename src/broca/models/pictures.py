"""Pictures before a text: places for them in the prompt, and the tensors that a model's own processor makes of them.

Every prompt is processed alone, so that nothing depends on its neighbours. Its tokens are known at once; its pixels are
made again when it is batched, unless they are still at hand: pixels of many pictures would outgrow memory.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from broca.errors import ModelError, StimulusError
from broca.items import PicturedText, Text, as_text, picture_hash
from broca.items.text import plain_text
from broca.models.processing import ProcessedPrompt, Shelf, fit_tokens, lengthen_prompt, process, state_of
from broca.models.rendering import Frame, TokenizerText, instruct, refuse_idle
from broca.models.templates import chat_text
from broca.models.tokens import Chat, Tokens, tokenize
from broca.specs.fields import template_parts

AT_HAND = 256 * 2**20
"""Bytes of pixels that are kept, and of tokens."""


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """The pictures of one tokenised prompt: a `broca.models.tokens.View`."""

    viewer: Viewer
    prompt: TokenizerText
    key: Hashable
    start: int
    """Tokens of the processor that were dropped in front."""

    @property
    def content(self) -> tuple[str, ...]:
        return tuple(map(picture_hash, self.prompt.images))

    def beside(self, n: int) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Values of `n` tokens: those behind the prompt are text, and see of the pictures what its last token sees."""
        made = self.viewer.process_prompt(self.prompt)
        by_token = {name: fit_tokens(values[:, self.start :], n) for name, values in made.by_token.items()}
        return by_token, self.viewer.pixels(self.prompt)


class Viewer:
    """A vision-language model's processor at work."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self._words: Shelf[ProcessedPrompt] = Shelf(AT_HAND, lambda it: 64 * len(it.ids) + _bytes(it.by_token.values()))
        self._pixels: Shelf[Mapping[str, Tensor]] = Shelf(AT_HAND, lambda it: _bytes(it.values()))
        self._last: dict[Hashable, str] = {}

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
                self._chat_words([{"role": "user", "content": c}]) for c in ([words], [{"type": "image"}, words])
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

    def render(self, prompt: Text | PicturedText | TokenizerText, *, chat: Chat = "auto") -> TokenizerText:
        """The string to tokenise. Prompts with pictures go through the chat template, unless there is none or `chat` is "never".

        Raises:
            StimulusError: if a chat meets a processor without a template.
        """
        if isinstance(prompt, TokenizerText):
            return prompt
        text, images = (prompt.text, prompt.images) if isinstance(prompt, PicturedText) else (prompt, ())
        text = as_text(text)
        when, told = template_parts(chat)
        plain = isinstance(text, str) and when == "auto" and not (images and self.template)
        if when == "never" or plain:
            refuse_idle(text, told)
            return TokenizerText((self.mark * len(images) if images else "") + plain_text(text), images=images)
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
        if "system" in told:
            told = {**told, "system": [{"type": "text", "text": told["system"]}]}
        turned, how = instruct(parts, told)
        return TokenizerText(self._chat_words(turned, **how), templated=True, images=images)

    def _chat_words(self, turns: Sequence[Mapping[str, Any]], **how: Any) -> str:
        return chat_text(self.processor, turns, template=self.template, add_generation_prompt=True, **how)

    def tokenize(self, prompt: TokenizerText, *, truncate: int | None = None) -> Tokens:
        """One prompt with pictures in tokens, with exactly one BOS where the tokenizer has one.

        Raises:
            StimulusError: if a picture is missing or damaged, the processor refuses the prompt, or `truncate` would cut a
                picture.
        """
        made, words = self.process_prompt(prompt), self.processor.tokenizer
        ids, offsets, prefix = Frame.of(words).once(made.ids, made.offsets)
        start = next(i for i in range(len(made.ids)) if made.ids[i : i + len(ids)] == ids)
        pictures = tuple(i - start for i in made.pictures)
        if truncate is not None and truncate < len(ids):
            if pictures and pictures[-1] >= truncate:
                raise StimulusError(
                    f"truncate={truncate} would cut the pictures of {prompt.text[:60]!r}, which end at token {pictures[-1] + 1} "
                    f"of {len(ids)}. Keep more tokens, or None for all."
                )
            ids, offsets = ids[:truncate], offsets[:truncate] if offsets is not None else None
        return Tokens(
            tuple(ids),
            prompt.text,
            tuple(offsets) if offsets is not None else None,
            min(prefix, len(ids) - 1, *pictures[:1]),
            pictures,
            Shown(self, prompt, made.shapes, start),
        )

    def tokenize_all(
        self,
        tokenizer: Any,
        prompts: Sequence[Text | PicturedText | TokenizerText],
        *,
        chat: Chat,
        truncate: int | None,
    ) -> list[Tokens]:
        """Each prompt in tokens: those with pictures by the processor, those of words alone by the tokenizer.

        Raises:
            StimulusError: as `render`, `tokenize` and `broca.models.tokens.tokenize`.
        """
        rendered = [self.render(prompt, chat=chat) for prompt in prompts]
        words = iter(tokenize(tokenizer, [it for it in rendered if not it.images], truncate=truncate))
        # One picture after the other: what goes on from a prompt then finds it at hand.
        order = sorted((i for i, it in enumerate(rendered) if it.images), key=lambda i: rendered[i].images)
        seen = {i: self.tokenize(rendered[i], truncate=truncate) for i in order}
        return [seen[i] if it.images else next(words) for i, it in enumerate(rendered)]

    def process_prompt(self, prompt: TokenizerText) -> ProcessedPrompt:
        """The words of one prompt, as the processor expands and tokenizes them."""
        seen = _picture_key(prompt)
        found = self._words.find((prompt.text, seen))
        if found is None:
            known = self._words.find((self._last.get(seen), seen))
            found = lengthen_prompt(self.processor, known, prompt.text) if known else None
        if found is None:
            found, pixels = process(self.processor, prompt)
            self._pixels.put(seen, pixels)
            self._last[seen] = prompt.text
        self._words.put((prompt.text, seen), found)
        return found

    def pixels(self, prompt: TokenizerText) -> Mapping[str, Tensor]:
        """The tensors of its pictures, which do not depend on the words."""
        seen = _picture_key(prompt)
        found = self._pixels.find(seen)
        if found is None:
            _, found = process(self.processor, prompt)
            self._pixels.put(seen, found)
        return found


def _picture_key(prompt: TokenizerText) -> Hashable:
    """The pictures of a prompt as they are now."""
    return prompt.images, tuple(map(state_of, prompt.images))


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
