"""What a tokenizer is given, and what it puts around it: chat templates applied once, special tokens in front exactly once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from broca.errors import StimulusError
from broca.items import Message, PicturedText, Span, Text, as_text
from broca.items.text import plain_text
from broca.models.templates import chat_text
from broca.specs.fields import Chat, template_parts


@dataclass(frozen=True, slots=True)
class TokenizerText:
    """A text as the tokenizer gets it; `templated` where a chat template has already put the special tokens in."""

    text: str
    templated: bool = False
    images: tuple[str, ...] = ()
    """Paths of pictures whose places are marked in the text."""


Prompt = Text | PicturedText | TokenizerText
"""What can be tokenised: a plain prompt, a chat, either with pictures, or a text that `render` has been through."""


def is_prompt(given: object) -> bool:
    """Whether this is one prompt, and not several: a text, or the messages of one chat."""
    if isinstance(given, list | tuple):
        return bool(given) and all(isinstance(each, Message | Mapping) for each in given)
    return isinstance(given, str | PicturedText | TokenizerText)


def render(tokenizer: Any, text: Prompt, *, chat: Chat = "auto") -> TokenizerText:
    """The string to tokenise; what has been rendered stays as it is.

    Raises:
        StimulusError: if a chat meets a tokenizer without a template, or there are pictures.
    """
    if isinstance(text, TokenizerText):
        return text
    if isinstance(text, PicturedText):
        raise StimulusError(
            f"{len(text.images)} picture(s) were given, and this model has no processor to see them with. Load a "
            "vision-language model, or give its processor: LM.wrap(model, tokenizer, processor=...)."
        )
    text = as_text(text)
    when, told = template_parts(chat)
    if when == "never" or (when == "auto" and isinstance(text, str)):
        refuse_idle(text, told)
        return TokenizerText(plain_text(text))
    if not getattr(tokenizer, "chat_template", None):
        raise StimulusError(
            f"This tokenizer has no chat template, but {_ASKED[isinstance(text, str)]}. Use plain text, or chat='never'."
        )
    turns = (
        [{"role": "user", "content": text}]
        if isinstance(text, str)
        else [{"role": m.role, "content": m.content} for m in text]
    )
    turns, how = instruct(turns, told)
    return TokenizerText(chat_text(tokenizer, turns, add_generation_prompt=True, **how), templated=True)


def instruct(turns: Sequence[Any], told: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The turns behind a system message, and what else the template is told.

    Raises:
        StimulusError: if the chat has a system message of its own.
    """
    how = {"thinking": told["thinking"]} if "thinking" in told else {}
    if "system" not in told:
        return list(turns), how
    if turns and turns[0]["role"] == "system":
        raise StimulusError(
            f"A chat has a system message of its own ({str(turns[0]['content'])[:60]!r}), and system is given. Leave it out, or take those "
            "out of the chats."
        )
    return [{"role": "system", "content": told["system"]}, *turns], how


def refuse_idle(text: Text, told: Mapping[str, Any]) -> None:
    """Refuse what would be told to a template that this text does not go through.

    Raises:
        StimulusError: naming it.
    """
    if told:
        raise StimulusError(
            f"{' and '.join(told)} would do nothing: {str(text)[:60]!r} is plain text, which goes through the chat template with chat always "
            "only. Give chat='always' (--chat)."
        )


_ASKED = {True: "chat='always' asks for one", False: "a chat was given"}


@dataclass(frozen=True, slots=True)
class Frame:
    """What a tokenizer puts around a text: found by asking it, since not all of it is called BOS or EOS."""

    front: tuple[int, ...]
    """BOS; or several, as of GLM."""
    behind: tuple[int, ...]
    """EOS, or a separator."""
    special: frozenset[int]

    @classmethod
    def of(cls, tokenizer: Any) -> Frame:
        """The frame of a tokenizer as it is set up now."""
        special = frozenset(getattr(tokenizer, "all_special_ids", ()))
        for text in ("a", "A b", "1"):
            bare, framed = (list(tokenizer([text], add_special_tokens=add)["input_ids"][0]) for add in (False, True))
            for start in range(len(framed) - len(bare) + 1):
                if bare and framed[start : start + len(bare)] == bare:
                    front, behind = tuple(framed[:start]), tuple(framed[start + len(bare) :])
                    return cls(front, behind, special | {*front, *behind})
        return cls((), (), special)

    def once(self, ids: list[int], offsets: list[Span] | None) -> tuple[list[int], list[Span] | None, int]:
        """The ids of a text with the front once, which a chat template may have written too, and without what is put behind.

        A prompt that ends in what the tokenizer puts behind has nothing left to predict; what a template wrote there stays.

        Returns:
            ids, offsets, and how many special tokens stand in front.
        """
        n, start, end = len(self.front), 0, len(ids)
        while n and end - start > n and tuple(ids[start + n : start + 2 * n]) == self.front:
            start += n
        if self.behind and end - start > len(self.behind) and tuple(ids[end - len(self.behind) : end]) == self.behind:
            end -= len(self.behind)
        prefix = 0
        while start + prefix < end - 1 and ids[start + prefix] in self.special:
            prefix += 1
        return ids[start:end], offsets[start:end] if offsets is not None else None, prefix
