"""What a page says of the first prompt: see `broca.evidence.first_prompt`."""

from __future__ import annotations

from collections.abc import Mapping

from broca.page.blocks import Block, Line, Text, Token, Tokens, section
from broca.page.record import Record


def first_prompt(record: Record) -> list[Block]:
    """The section of a page; nothing where a run has not kept it."""
    told = record.manifest.get("prompt")
    if not isinstance(told, Mapping) or not isinstance(told.get("tokens"), list):
        return []
    texts = [str(each) for each in told["tokens"]]
    special, answer, left_out = (int(told.get(name) or 0) for name in ("special", "answer", "left_out"))
    roles = ["unmatched"] * special + [""] * (len(texts) - special - answer) + ["edited"] * answer
    tokens = [Token(text, role) for text, role in zip(texts, roles, strict=False)]
    if left_out:
        tokens.insert(int(told.get("first") or 0), Token(f" … {left_out:,} tokens … ", "unmatched"))
    words = "The first prompt as the model gets it, token by token, through its chat template where that is used."
    words += " Underlined is the right answer, as it is priced." if answer else ""
    line = Line("", tuple(tokens))
    return section("prompt", "What the model is shown", Text(words), Tokens(str(told.get("id") or ""), "", (line,)))
