"""Chat templates at arm's length: rendered by a process of their own, within bounds of time and memory.

A template comes with a model, from anybody. Transformers renders it in a sandbox, which keeps it from files and modules; it does not
keep it from a loop without end or a string of ten gigabytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from broca.errors import StimulusError
from broca.storage.child import Child, ChildError

SECONDS = 10.0
"""That one chat may take."""

Turns = Sequence[Mapping[str, Any]]


SWITCHES = ("enable_thinking", "thinking")
"""What templates call the switch that has a model think before it answers."""


def chat_text(
    owner: Any, turns: Turns, *, template: str | None = None, thinking: bool | None = None, **how: Any
) -> str:
    """What the template of a tokenizer, or of a processor, makes of a chat.

    Args:
        owner: the tokenizer or processor.
        turns: messages with role and content.
        template: another template than its own.
        thinking: whether the model thinks before it answers; None leaves it to the template.
        how: `add_generation_prompt` and other arguments of the template.

    Raises:
        StimulusError: if the template refuses, fails, or takes more time or memory than it may.
    """
    words = getattr(owner, "tokenizer", owner)
    if thinking is not None:
        how |= {
            _switch(
                template or str(getattr(owner, "chat_template", None) or getattr(words, "chat_template", ""))
            ): thinking
        }
    if not _renders_templates(type(owner)):
        return _by_itself(owner, turns, how)
    if template is None:
        try:
            template = words.get_chat_template()
        except ValueError as error:
            raise StimulusError(f"The tokenizer has no one chat template: {error}") from error
    plain = [{name: value for name, value in turn.items() if value is not None} for turn in turns]
    return _render_request(template, json.dumps([plain, {**words.special_tokens_map, **how}], default=str))


def _switch(template: str) -> str:
    """What a template calls the switch for thinking."""
    found = next((name for name in SWITCHES if re.search(rf"\b{name}\b", template)), None)
    if found is None:
        raise StimulusError("This chat template has no switch for thinking. Leave thinking out.")
    return found


@lru_cache(maxsize=4096)
def _render_request(template: str, asked: str) -> str:
    turns, more = json.loads(asked)
    try:
        answer = _CHILD.ask({"template": template, "turns": turns, "more": more})
    except ChildError as error:
        raise _refusal("time or memory", str(error)) from error
    if "text" in answer:
        return answer["text"]
    raise _refusal(answer["error"], answer["why"])


def _by_itself(owner: Any, turns: Turns, how: Mapping[str, Any]) -> str:
    """By the tokenizer's own code, where it has some: it is no template."""
    try:
        return owner.apply_chat_template(list(turns), tokenize=False, **how)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise _refusal(type(error).__name__, str(error)) from error


def _renders_templates(kind: type) -> bool:
    """Whether a class renders chats in transformers' own way."""
    from transformers import PreTrainedTokenizerBase, ProcessorMixin

    own = getattr(kind, "apply_chat_template", None)
    return own in (PreTrainedTokenizerBase.apply_chat_template, ProcessorMixin.apply_chat_template)


def _refusal(error: str, why: str) -> StimulusError:
    if error == "TemplateError":
        return StimulusError(
            f"The chat template refuses this chat: {why}. Change the turns (some templates take no system turn, or want user and "
            "assistant in turns), or use chat='never'."
        )
    return StimulusError(
        f"The chat template fails on this chat ({error}: {why}). Check the template, or use chat='never'."
    )


_CHILD = Child("broca.models.template_child", SECONDS)
