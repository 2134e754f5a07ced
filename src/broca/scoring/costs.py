"""What scoring costs: the tokens that are read, and a batch of items to take the time of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from broca.items import Item
from broca.scoring.generation import Generation
from broca.scoring.likelihood import Likelihood, priced_parts
from broca.scoring.orders import Permuted, orders
from broca.scoring.sampling import Sampled
from broca.specs.cost import Sample, typical

if TYPE_CHECKING:
    from broca.models.lm import LM


KEPT = 256
"""Counts that are remembered at most."""

_known: WeakKeyDictionary[Any, dict[tuple[Any, ...], int]] = WeakKeyDictionary()
"""By tokenizer: a budget asks for the same ones often."""


def count_tokens(lm: LM, items: Sequence[Item], scorer: object, *, cell: int) -> int:
    """Tokens that are read when items are scored, so many of them in a call.

    By likelihood: prompts and what follows them, beginnings that prompts of one call share once. By generation: prompts, and all
    tokens that may be written. Of a scorer that is not ours: the prompts.

    Args:
        lm: the model.
        items: what is scored.
        scorer: how.
        cell: items in a call.

    Raises:
        StimulusError: as the scorer.
    """
    known = _known.setdefault(lm.tokenizer, {})
    key = (repr(scorer), cell, tuple(item.fingerprint for item in items))
    if key not in known:
        if len(known) >= KEPT:
            known.clear()
        known[key] = sum(_count(lm, items[start : start + cell], scorer) for start in range(0, len(items), cell))
    return known[key]


def _count(lm: LM, items: Sequence[Item], scorer: object) -> int:
    match scorer:
        case Permuted():
            again = [item for item in items for _ in orders(item, scorer.orders, scorer.seed)]
            return _count(lm, again, scorer.scorer)
        case Sampled():
            return scorer.repetitions * _count(lm, items, scorer.reader)
        case Generation():
            prompts = lm.tokenize(scorer.prompts(lm, items))
            return sum(map(len, prompts)) + len(items) * (scorer.max_new_tokens - 1)
        case Likelihood():
            from broca.models.continuation import tokens_read

            return tokens_read(scorer.questions(lm, [part for item in items for part in priced_parts(item)]))
        case _:
            return sum(_prompt_lengths(lm, items))


def _prompt_lengths(lm: LM, items: Sequence[Item]) -> Iterator[int]:
    """Tokens of each item's prompt as it stands."""
    return map(len, lm.tokenize([item.content for item in items]))


def sample_items(lm: LM, items: Sequence[Item], scorer: object) -> Sample:
    """Scoring a batch of these items.

    Args:
        lm: the model, under whatever is in force.
        items: all that will be scored.
        scorer: how.

    Raises:
        StimulusError: as the scorer.
    """
    some = [items[i] for i in typical([*_prompt_lengths(lm, items)])]
    return Sample(count_tokens(lm, some, scorer, cell=len(some)), lambda: scorer(lm, some))  # type: ignore[operator]
