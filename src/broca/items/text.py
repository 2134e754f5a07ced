"""Texts as prompts hold them: plain strings, the messages of a chat, and either with pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from broca.errors import StimulusError


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


Text = str | tuple[Message, ...]
"""A plain prompt, or a chat."""

_ROLES = ("system", "user", "assistant")


def plain_text(text: Text) -> str:
    """A prompt as one string without a template: the messages of a chat with a blank line between."""
    return text if isinstance(text, str) else "\n\n".join(message.content for message in text)


def as_text(text: object) -> Text:
    """A plain prompt, or a chat from messages or from Hugging Face's dictionaries: ``[{"role": "user", "content": "Hi"}]``.

    Raises:
        StimulusError: if it is anything else, or a message has another role or content.
    """
    if isinstance(text, str):
        return text
    if not isinstance(text, list | tuple):
        raise StimulusError(f"A text is {type(text).__name__}. Give a string, or the messages of a chat.")
    return tuple(message if isinstance(message, Message) else _message(message) for message in text)


def _message(message: object) -> Message:
    match message:
        case {"role": "system" | "user" | "assistant" as role, "content": str(content)}:
            return Message(role, content)
    raise StimulusError(
        f"A message of a chat is {str(message)[:80]!r}. Give {{'role': ..., 'content': ...}} with a role among {', '.join(_ROLES)} "
        "and a text as content; pictures are given by images."
    )


@dataclass(frozen=True, slots=True)
class PicturedText:
    """A text with pictures before it; in a chat, before the first of the user's turns."""

    text: Text
    images: tuple[str, ...]
    """Paths of pictures, or of the frames of a video, in the order in which they are shown."""
