"""The stimuli of a contrast as a model is shown them: in tokens, in groups, in halves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from broca.errors import StimulusError
from broca.items import Contrast, Stimulus
from broca.models.lm import LM
from broca.models.tokens import Chat, Tokens
from broca.stats.reliability import halves
from broca.wording import count

Split = Literal["random", "odd-even"]


@dataclass(frozen=True, slots=True)
class Shown:
    """One side of a contrast, tokenised, with the halves and the group that each stimulus belongs to."""

    tokens: Sequence[Tokens]
    half: NDArray[np.int64]
    """0 or 1: a random half."""
    odd: NDArray[np.int64]
    """0 or 1: every other stimulus (or group), in the order given."""
    groups: Sequence[str]

    @property
    def quarter(self) -> NDArray[np.int64]:
        """0 to 3: both halvings at once."""
        return 2 * self.half + self.odd


def shown(contrast: Contrast, lm: LM, *, chat: Chat, truncate: int | None, seed: int) -> tuple[Shown, Shown]:
    """Both sides tokenised, with halves that keep groups, and pairs across sides, together.

    Raises:
        StimulusError: if a half would have fewer than 2 stimuli on one side.
    """
    both = (*contrast.positive, *contrast.negative)
    tokens = lm.tokenize([s.shown for s in both], chat=chat, truncate=truncate)
    n = len(contrast.positive)
    groups = _groups(contrast)

    def halved(scheme: Split) -> NDArray[np.int64]:
        second = np.zeros(len(both), dtype=np.int64)
        if set(groups[:n]) & set(groups[n:]):
            second[halves(len(both), seed=seed, groups=groups, scheme=scheme)[1]] = 1
        else:
            # Sides without common groups are halved one by one, so that each half has as many of either side.
            second[halves(n, seed=seed, groups=groups[:n], scheme=scheme)[1]] = 1
            second[n + halves(len(both) - n, seed=seed, groups=groups[n:], scheme=scheme)[1]] = 1
        return second

    half, odd = halved("random"), halved("odd-even")
    fewest = min(
        int((by[side] == part).sum()) for by in (half, odd) for side in (slice(n), slice(n, None)) for part in (0, 1)
    )
    if fewest < 2:
        raise StimulusError(
            f"Contrast {contrast.name!r} has {n} + {len(both) - n} stimuli in {count(len(set(groups)), 'group')}, so a half of them would "
            f"have {fewest} on one side. Give at least 4 stimuli a side, in 4 groups or pairs (20 or more to find anything)."
        )
    return Shown(tokens[:n], half[:n], odd[:n], groups[:n]), Shown(tokens[n:], half[n:], odd[n:], groups[n:])


def _groups(contrast: Contrast) -> list[str]:
    """The group of each stimulus; one of its own where none is given, the pair's where sides are paired."""

    def group(stimulus: Stimulus, side: str, i: int) -> str:
        return stimulus.group or (f"pair {i}" if contrast.paired else f"{side} {i}")

    return [group(s, "+", i) for i, s in enumerate(contrast.positive)] + [
        group(s, "-", i) for i, s in enumerate(contrast.negative)
    ]
