"""How an item becomes a prompt: options listed under letters, a cue for the answer, what stands before a choice."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from broca.errors import StimulusError
from broca.items import Item, Message, PicturedText, Text
from broca.spacing import is_closing, is_space_between
from broca.specs.fields import Chat

if TYPE_CHECKING:
    from broca.models.lm import LM
    from broca.models.rendering import TokenizerText

LETTERS = string.ascii_lowercase


def words_alone(items: Iterable[Item]) -> None:
    """Refuse items with pictures: a model that is shown the words alone would be scored on another question.

    Raises:
        StimulusError: An item has pictures.
    """
    seen = next((item for item in items if item.images), None)
    if seen is not None:
        raise StimulusError(
            f"Item {seen.id!r} has {len(seen.images)} picture(s), and this scorer shows words alone. Read such items without "
            "them (images='leave out', or no frames) to ask in words only."
        )


def one_prompt(items: Iterable[Item]) -> None:
    """Refuse items whose choices are priced after contexts of their own: they ask nothing that could be answered in words.

    Raises:
        StimulusError: An item has passages.
    """
    seen = next((item for item in items if item.passages), None)
    if seen is not None:
        raise StimulusError(
            f"Item {seen.id!r} compares texts after contexts of their own, not choices after one prompt. Score it by the likelihood of its "
            "texts (the scorer likelihood, options='text'); weights, patches and written answers need other items."
        )


def beside(item: Item, text: Text) -> Text | PicturedText:
    """What is made of an item's prompt, with the item's pictures where it has any."""
    return PicturedText(text, item.images) if item.images else text


def lists_itself(item: Item) -> bool:
    """Whether the choices are the letters a, b, ... themselves: then the prompt has listed what they stand for."""
    said = {choice.strip().lower() for choice in item.choices}
    return len(item.choices) > 1 and said == set(LETTERS[: len(item.choices)])


def letters(item: Item) -> tuple[str, ...]:
    """One letter a choice.

    Raises:
        StimulusError: if there are more choices than letters.
    """
    if lists_itself(item):
        return tuple(choice.strip() for choice in item.choices)
    if len(item.choices) > len(LETTERS):
        raise StimulusError(
            f"Item {item.id!r} has {len(item.choices)} choices, there are {len(LETTERS)} letters. Score it by text."
        )
    return tuple(LETTERS[: len(item.choices)])


def list_choices(item: Item, cue: str) -> Text:
    """The prompt with the choices under letters at its end; in a chat, at the end of the user's last turn.

    A `cue` that ends the prompt is taken off, because it belongs behind the options. A prompt that lists its options
    itself is left as it is.

    Raises:
        StimulusError: if a chat has no turn of the user's.
    """
    lines = [f"{letter}. {choice.strip()}" for letter, choice in zip(letters(item), item.choices, strict=True)]
    listing = "" if lists_itself(item) else "\n\n" + "\n".join(lines)
    if isinstance(item.prompt, str):
        return _ending(item.prompt, cue) + listing
    turns = [i for i, turn in enumerate(item.prompt) if turn.role == "user"]
    if not turns:
        raise StimulusError(f"Item {item.id!r} is a chat without a user's turn, so options cannot be listed in one.")
    last = turns[-1]
    asked: Message = replace(item.prompt[last], content=_ending(item.prompt[last].content, cue) + listing)
    return (*item.prompt[:last], asked, *item.prompt[last + 1 :])


def _ending(text: str, cue: str) -> str:
    bare = text.rstrip()
    return bare.removesuffix(cue).rstrip() if cue.strip() else bare


def cued(lm: LM, prompt: Text | PicturedText, *, chat: Chat, cue: str, gap: str | None = None) -> TokenizerText:
    """The prompt as the tokenizer gets it, with `cue` at its end.

    In a chat the cue opens the model's own turn. `gap` parts it from a plain prompt, as `gap_before` says; a chat's is a space;
    nothing is put where there is white space already.
    """
    rendered = lm.render(prompt, chat=chat)
    if not cue:
        return rendered
    between = gap_before(rendered.text, cue, " " if rendered.templated else gap)
    return replace(rendered, text=rendered.text + between + cue)


def gap_before(text: str, more: str, join: str | None) -> str:
    """What parts two texts: nothing where either brings white space, else `join`; for None what a person would put there."""
    if not text or text[-1].isspace() or more[:1].isspace():
        return ""
    if join is None:
        return " " if is_space_between(text, more) else ""
    return join


def gaps(prompt: TokenizerText, choices: Sequence[str], join: str | None) -> tuple[str, ...]:
    """What parts each choice from its prompt, as `gap_before` says.

    A chat template has said where an answer starts, so nothing is put after one. Where all choices are stops or the like, no
    space stands before them.
    """
    if prompt.templated or (join is None and all(map(is_closing, choices))):
        return ("",) * len(choices)
    return tuple(gap_before(prompt.text, choice, join) for choice in choices)
