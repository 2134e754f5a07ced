"""Ids that look like text: what a model is shown when something about it is to be proved.

The first ids of a vocabulary are its rarest tokens. On these, trained models hold activations thousands of times as large as on
any text, and half precision swallows what blocks add to them (Sun et al., 2024, *Massive activations*).
"""

from __future__ import annotations

import random
from itertools import chain, cycle, islice
from typing import Any

TOKENS = 16
"""Of a text."""
TEXTS = 2
_WORDS = 200
"""Different words to draw from."""
_LOOKED_AT = 2048
"""Tokens that are looked at for words, from the most frequent on."""
_SPECIAL = ("_token_id", "_token_index", "_token_ids")
_ENOUGH = 8
"""Different ids, fewer of which are no text."""


def plain_texts(model: Any, tokenizer: Any = None, *, texts: int = TEXTS, tokens: int = TOKENS) -> list[list[int]]:
    """The ids of some texts, the same ones for the same model.

    Args:
        model: a transformers model.
        tokenizer: its tokenizer, whose own words they are made of; ids are spread over the vocabulary where there is none, or
            none of its tokens is a word.
        texts: how many.
        tokens: of each.
    """
    size, special = _rows(model), _special(model, tokenizer)
    draw = random.Random(0)  # noqa: S311 - a choice of words, not a secret
    known = _words(tokenizer, size, special)
    order = cycle(draw.sample(known, len(known)))
    made = [_sentence(tokenizer, list(islice(order, 2 * tokens)), size)[:tokens] for _ in range(texts)]
    if all(len(ids) == tokens and len(set(ids)) >= min(_ENOUGH, len(known), tokens // 2) for ids in made):
        return made
    every = range(min(3, size - 1), size)
    # Steps of the golden ratio are spread evenly, however many there are (Weyl, 1916).
    places = [int(len(every) * ((i + 1) * 0.6180339887498949 % 1)) for i in range(texts * tokens)]
    ids = [next((i for i in chain(every[at:], every) if i not in special), every[at]) for at in places]
    return [ids[at : at + tokens] for at in range(0, texts * tokens, tokens)]


def _rows(model: Any) -> int:
    """How many ids the model has an embedding for."""
    try:
        rows = getattr(model.get_input_embeddings(), "num_embeddings", None)
    except (AttributeError, NotImplementedError):
        rows = None
    sizes = (rows, getattr(model.config.get_text_config(decoder=True), "vocab_size", None))
    return min((n for n in sizes if isinstance(n, int) and n > 0), default=TOKENS + 3)


def _special(model: Any, tokenizer: Any) -> frozenset[int]:
    """Ids that stand for something else than text: ends, pictures, sounds."""
    found: set[int] = set()
    for config in (model.config, model.config.get_text_config(decoder=True)):
        for name, value in vars(config).items():
            if name.endswith(_SPECIAL):
                found.update(i for i in (value if isinstance(value, list | tuple) else [value]) if isinstance(i, int))
    added = getattr(tokenizer, "added_tokens_decoder", None)
    return frozenset(
        found | set(getattr(tokenizer, "all_special_ids", ())) | set(added if isinstance(added, dict) else ())
    )


def _words(tokenizer: Any, size: int, special: frozenset[int]) -> list[int]:
    """Frequent tokens that are whole words; where there are none, letters or whatever can be seen."""
    words: list[int] = []
    seen: list[int] = []
    if tokenizer is None:
        return words
    try:
        for i in range(min(len(tokenizer), size, _LOOKED_AT)):
            text = "" if i in special else str(tokenizer.decode([i])).strip()
            if len(text) > 2 and text.isalpha() and " " in str(tokenizer.decode([i, i])).strip():
                words.append(i)
            if text.isprintable() and text and "\ufffd" not in text:
                seen.append(i)
            if len(words) >= _WORDS:
                break
    except Exception:  # noqa: BLE001 - a tokenizer may fail in any way, and ids of any kind will do
        return []
    return words if len(words) >= _ENOUGH else seen[-_WORDS:]


def _sentence(tokenizer: Any, words: list[int], size: int) -> list[int]:
    """The words as the tokenizer writes them down, with what it puts in front of a text."""
    if not words:
        return []
    try:
        ids = [int(i) for i in tokenizer(str(tokenizer.decode(words)))["input_ids"]]
    except Exception:  # noqa: BLE001 - as above
        return words
    whole = len(ids) >= len(words) // 2 and all(0 <= i < size for i in ids)
    return ids if whole and len(set(ids)) >= min(_ENOUGH, len(set(words))) else words
