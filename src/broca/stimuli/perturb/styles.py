"""Styles by templates: polite, urgent, insulting, longer; and shorter, which takes courtesies away.

A style puts sentences in front, or takes words from the front: the request itself, its operands and the end of the text,
after which the model answers, stay as they are.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

from broca.errors import StimulusError
from broca.items import Edit, Span, apply_edits
from broca.writing import clusters

_FRONT: Mapping[str, tuple[str, ...]] = {
    "polite": (
        "I hope you are well. ",
        "Thank you very much for your kind help. ",
        "If it is not too much trouble, I would be very grateful for your help. ",
        "Good day to you. Your help would be much appreciated. ",
        "Excuse me, I would like to ask you a small favour, thank you in advance. ",
    ),
    "urgent": (
        "This is urgent! ",
        "Hurry, there is no time to lose! ",
        "I need this right now, my deadline is in a minute! ",
        "Emergency! Answer without delay! ",
        "Quick, everybody is waiting for this! ",
    ),
    "insulting": (
        "Listen, you useless machine. ",
        "Even an idiot like you should manage this. ",
        "You have been nothing but stupid so far. ",
        "Stop being so dull, you pathetic program. ",
        "I doubt that a fool like you gets this right. ",
    ),
    "longer": (
        "What follows is a request of the usual sort, and there is nothing hidden in it. ",
        "Before you begin, please note that everything you need is written below, and that nothing else is needed. ",
        "I am going through a list of requests of this kind today, and this is the next of them on my list. ",
        "Here is something that I have been asked by a friend, who in turn had heard it from somebody else. ",
    ),
}

_COURTESIES = re.compile(
    r"(?:(?:please|kindly|hello|hi|hey)\b[,!.]?\s+"
    r"|(?:could|can|would|will) you (?:please |kindly |just |perhaps )*(?:help me (?:to )?)?"
    r"|(?:i would like|i['’]d like|i want|i need) you to (?:please |kindly )?"
    r"|(?:i would like|i['’]d like|i want|i need) to (?:know|ask|find out)[,:]?\s+"
    r"|(?:help me (?:to )?|let us |let['’]s |try to |go ahead and )"
    r"|(?:tell me|show me|give me),?\s+)+",
    re.IGNORECASE,
)

STYLES = (*_FRONT, "shorter")
"""The styles by name."""


def apply_style(text: str, style: str, kept: Sequence[Span], seed: int) -> tuple[str, tuple[Edit, ...]]:
    """A text in a style, with its edits.

    Args:
        text: what is restyled.
        style: one of `STYLES`.
        kept: protected spans.
        seed: of the choice among templates.

    Raises:
        StimulusError: if there is nothing that could be left out.
    """
    if style == "shorter":
        edits = _shorter(text, kept)
        return apply_edits(text, edits), edits
    draw = random.Random(f"{seed}\0{style}\0{text}")  # noqa: S311 - a choice of words, not a secret
    edits = (Edit(0, 0, "", draw.choice(_FRONT[style]), style),)
    return apply_edits(text, edits), edits


def _shorter(text: str, kept: Sequence[Span]) -> tuple[Edit, ...]:
    found = _COURTESIES.match(text)
    end = found.end() if found else 0
    rest = next(iter(clusters(text[end:])), "")
    if not end or not rest[:1].isalpha() or any(start <= end for start, _ in kept):
        raise StimulusError(f"{text[:60]!r} begins with no courtesy that could be left out. Leave the text out.")
    # one edit, capital included: what is left out, and the letter that now comes first
    opens = rest.upper() if text[:1].isupper() and len(clusters(rest.upper())) == 1 else rest
    if opens == rest:
        return (Edit(0, end, text[:end], "", "shorter"),)
    return (Edit(0, end + len(rest), text[: end + len(rest)], opens, "shorter"),)
