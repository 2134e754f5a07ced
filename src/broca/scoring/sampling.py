"""Scoring by sampled texts: several of each item, each from its own seed, so that batches and neighbours do not matter."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import polars as pl

from broca.errors import StimulusError
from broca.items import Item
from broca.scoring.generation import Generation
from broca.scoring.rows import INVALID, Outcome, rows

if TYPE_CHECKING:
    from broca.models.lm import LM

_READER = Generation(max_new_tokens=5, match="first-piece", case="exact")


@dataclass(frozen=True, slots=True)
class Sampled:
    """Texts sampled at a temperature, read as `Generation` reads them.

    The defaults are the recipe of Wu et al. (2025). Repetitions measure the noise of sampling, not that of items: use them
    to compare with published figures, and likelihoods to test.
    """

    reader: Generation = _READER
    """How long a text is and how it is read."""
    temperature: float = 0.6
    top_p: float = 0.9
    """Only the most probable tokens that together hold this mass are drawn from."""
    repetitions: int = 5
    seed: int = 0
    kind: Literal["sampled"] = field(default="sampled", kw_only=True)

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if self.reader.temperature or self.repetitions < 1 or self.temperature <= 0 or not 0 < self.top_p <= 1:
            raise StimulusError(
                f"temperature {self.temperature}, top_p {self.top_p} and {self.repetitions} repetitions, with a reader at "
                f"temperature {self.reader.temperature}, cannot be sampled. Give a temperature above 0, a top_p above 0 and up "
                "to 1, at least one repetition, and leave the reader's temperature at 0."
            )

    def __call__(self, lm: LM, items: Sequence[Item]) -> pl.DataFrame:
        """Rows of `broca.scoring.ROW_SCHEMA`, one an item: the choice named most often, the first of those that tie.

        Raises:
            StimulusError: as for `Generation`.
        """
        return together(items, self.outcomes(lm, items))

    def repetition_rows(self, lm: LM, items: Sequence[Item]) -> pl.DataFrame:
        """Rows of `broca.scoring.ROW_SCHEMA` with a column ``repetition`` from 1, one an item and repetition.

        Raises:
            StimulusError: as for `Generation`.
        """
        return apart(items, self.outcomes(lm, items))

    def outcomes(self, lm: LM, items: Sequence[Item]) -> list[list[Outcome]]:
        """What came of the items, one list a repetition.

        Raises:
            StimulusError: as for `Generation`.
        """
        from broca.models.sampling import sample_texts

        self.reader.check(items)
        prompts = self.reader.prompts(lm, items)
        draws = [
            np.random.default_rng([seed_of(self.seed, item, repetition)]).random(self.reader.max_new_tokens)
            for repetition in range(self.repetitions)
            for item in items
        ]
        shape = (len(draws), self.reader.max_new_tokens)
        texts = sample_texts(
            lm,
            prompts * self.repetitions,
            np.reshape(draws, shape),
            temperature=self.temperature,
            top_p=self.top_p,
        )
        lm.assert_fired()
        n = len(items)
        return [self.reader.read(items, texts[r * n : (r + 1) * n]) for r in range(self.repetitions)]


def seed_of(seed: int, item: Item, repetition: int) -> int:
    """The seed of one text: of the scorer's seed, the item's id and the repetition alone; below 2^31."""
    return zlib.crc32(f"{seed}/{repetition}/{item.id}".encode()) & 0x7FFFFFFF


def together(items: Sequence[Item], outcomes: Sequence[Sequence[Outcome]]) -> pl.DataFrame:
    """One row an item: the choice named most often, the first of those that tie, and the first text that names it."""
    chosen = []
    for mine in zip(*outcomes, strict=True):
        votes = Counter(outcome.predicted for outcome in mine if outcome.predicted != INVALID)
        most = min(votes, key=lambda choice: (-votes[choice], choice)) if votes else INVALID
        chosen.append(next(outcome for outcome in mine if outcome.predicted == most))
    return rows(items, chosen)


def apart(items: Sequence[Item], outcomes: Sequence[Sequence[Outcome]]) -> pl.DataFrame:
    """One row an item and repetition, with the column ``repetition`` from 1."""
    return pl.concat(
        [rows(items, mine).with_columns(repetition=pl.lit(r, pl.Int64)) for r, mine in enumerate(outcomes, start=1)]
    )
