"""The first of a study's prompts as the model gets it, token by token: what no text can tell of templates, spaces and special tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from broca.items import Item, PicturedText, Text
from broca.models.lm import LM
from broca.scoring import Likelihood, chat_of
from broca.specs.fields import Chat

FIRST, LAST = 100, 300
"""Tokens that are kept of a longer prompt, at either end."""


def of_text(
    lm: LM, name: str, content: Text | PicturedText, *, chat: Chat, truncate: int | None = None
) -> dict[str, Any] | None:
    """The tokens of a text; None where it has pictures."""
    if isinstance(content, PicturedText):
        return None
    (tokens,) = lm.tokenize([content], chat=chat, truncate=truncate)
    return _tokens_of(lm, name, tokens.ids, tokens.prefix, 0)


def of_item(lm: LM, item: Item, scorer: Any) -> dict[str, Any] | None:
    """The tokens of an item's prompt as a scorer asks it, with the right answer behind it where choices are priced."""
    asking = getattr(scorer, "scorer", scorer)
    if item.images or item.passages or not isinstance(asking, Likelihood):
        return of_text(lm, item.id, item.content, chat=chat_of(scorer))
    (question,) = asking.questions(lm, [item])
    answer = question.options[item.answer]
    return _tokens_of(lm, item.id, (*question.shared.ids, *answer), question.shared.prefix, len(answer))


def _tokens_of(lm: LM, name: str, ids: Sequence[int], special: int, answer: int) -> dict[str, Any]:
    kept = ids if len(ids) <= FIRST + LAST else (*ids[:FIRST], *ids[-LAST:])
    return {
        "id": name,
        "tokens": [lm.tokenizer.decode([each]) for each in kept],
        "special": special,
        "answer": answer,
        "first": FIRST,
        "left_out": len(ids) - len(kept),
    }
