"""What scoring will cost: tokens that are counted, and seconds from a batch of the real work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from broca.items import Item
from broca.scoring.likelihood import Likelihood, priced_parts

if TYPE_CHECKING:
    from broca.models.lm import LM

SAMPLE = 16
"""Items of the batch that is timed."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of scoring items by likelihood."""

    items: int
    tokens: int
    """Of all prompts and choices, each read once."""
    seconds: float
    """By a batch of the real work, on this machine as it was then."""

    @property
    def sentence(self) -> str:
        told = f"{self.seconds:.0f} s" if self.seconds < 120 else f"{self.seconds / 60:.0f} minutes"
        return f"{self.items:,} items, {self.tokens:,} tokens: about {told}"


def cost(lm: LM, items: Sequence[Item], scorer: Likelihood) -> Cost:
    """What scoring these items will cost; takes about as long as scoring a few of them twice.

    Args:
        lm: the model, under whatever is in force.
        items: all that will be scored; those that are timed are spread over them, long and short.
        scorer: how they are scored.

    Raises:
        StimulusError: as the scorer.
    """
    counts = count_tokens(lm, items, scorer)
    by_length = sorted(range(len(items)), key=counts.__getitem__)
    step = max(1, len(items) // SAMPLE)
    chosen = by_length[step // 2 :: step][:SAMPLE]
    sample = [items[i] for i in chosen]
    scorer(lm, [sample[0], sample[-1]])  # what is done once for a model is done now
    start = perf_counter()
    scorer(lm, sample)
    rate = sum(counts[i] for i in chosen) / (perf_counter() - start)
    return Cost(len(items), sum(counts), sum(counts) / rate)


def count_tokens(lm: LM, items: Sequence[Item], scorer: Likelihood) -> list[int]:
    """Tokens of each item's prompt and choices.

    Raises:
        StimulusError: as the scorer.
    """
    parts = [priced_parts(item) for item in items]
    read = iter(scorer.questions(lm, [part for own in parts for part in own]))
    return [sum(len(q.shared) + sum(map(len, q.options)) for q in (next(read) for _ in own)) for own in parts]
