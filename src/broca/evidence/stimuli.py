"""The stimuli of a contrast as a model is shown them: in tokens, in groups, in halves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from broca.errors import StimulusError
from broca.items import Contrast, Stimulus, cluster
from broca.models.lm import LM
from broca.models.tokens import Chat, Tokens
from broca.page.words import count
from broca.stats.reliability import halves

Split = Literal["random", "odd-even"]


@dataclass(frozen=True, slots=True)
class TokenizedSide:
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

    def part(self, kept: NDArray[np.bool_]) -> TokenizedSide:
        """Some of its stimuli."""
        at = np.flatnonzero(kept).tolist()
        tokens, groups = [self.tokens[i] for i in at], [self.groups[i] for i in at]
        return TokenizedSide(tokens, self.half[kept], self.odd[kept], groups)


def tokenize_contrast(
    contrast: Contrast, lm: LM, *, chat: Chat, truncate: int | None, seed: int, advice: str = ""
) -> tuple[TokenizedSide, TokenizedSide]:
    """Both sides tokenised, with halves that keep groups, and pairs across sides, together.

    Args:
        contrast: the stimuli.
        lm: the model.
        chat: whether its chat template is used.
        truncate: tokens of each that are kept; all when None.
        seed: of the random halves.
        advice: what else to say where nothing is left to tell apart.

    Raises:
        StimulusError: if all stimuli are the same to the model, or a half would have fewer than 2 stimuli on one side.
    """
    both = (*contrast.positive, *contrast.negative)
    tokens = lm.tokenize([s.content for s in both], chat=chat, truncate=truncate)
    if len({each.content for each in tokens}) == 1:
        whole = lm.tokenize([s.content for s in both], chat=chat)
        raise StimulusError(f"{_alike(contrast, tokens[0], [each.ids for each in whole], truncate)}{advice}")
    n = len(contrast.positive)
    groups = _groups(contrast)

    def second_half(scheme: Split) -> NDArray[np.int64]:
        second = np.zeros(len(both), dtype=np.int64)
        if set(groups[:n]) & set(groups[n:]):
            second[halves(len(both), seed=seed, groups=groups, scheme=scheme)[1]] = 1
        else:
            # Sides without common groups are halved one by one, so that each half has as many of either side.
            second[halves(n, seed=seed, groups=groups[:n], scheme=scheme)[1]] = 1
            second[n + halves(len(both) - n, seed=seed, groups=groups[n:], scheme=scheme)[1]] = 1
        return second

    half, odd = second_half("random"), second_half("odd-even")
    fewest = min(
        int((by[side] == part).sum()) for by in (half, odd) for side in (slice(n), slice(n, None)) for part in (0, 1)
    )
    if fewest < 2:
        raise StimulusError(
            f"Contrast {contrast.name!r} has {n} + {len(both) - n} stimuli in {count(len(set(groups)), 'group')}, so a half of them would "
            f"have {fewest} on one side. Give at least 4 stimuli a side, in 4 groups or pairs (20 or more to find anything)."
        )
    return TokenizedSide(tokens[:n], half[:n], odd[:n], groups[:n]), TokenizedSide(
        tokens[n:], half[n:], odd[n:], groups[n:]
    )


def _alike(contrast: Contrast, one: Tokens, whole: Sequence[tuple[int, ...]], truncate: int | None) -> str:
    """Why all stimuli are the same to the model, and what would be better."""
    if truncate is None or len(set(whole)) == 1:
        return f"All stimuli of {contrast.name!r} are the same {len(one)} tokens. Give sides that differ."
    firsts = enumerate(zip(*whole, strict=False))
    common = next((i for i, ids in firsts if len(set(ids)) > 1), min(map(len, whole)))
    return (
        f"All stimuli of {contrast.name!r} begin with the same {common} tokens ({one.text[:40]!r}...), and truncate = {truncate} keeps no "
        f"others: nothing is left to tell apart. Keep more (truncate = {max(map(len, whole))} keeps all), or show the stimuli without "
        "what they have in common."
    )


def _groups(contrast: Contrast) -> list[str]:
    """The group of each stimulus; one of its own where none is given, the pair's where sides are paired."""

    def group(stimulus: Stimulus, side: str, i: int) -> str:
        return cluster(stimulus.group, f"pair {i}" if contrast.paired else f"{side} {i}")

    return [group(s, "+", i) for i, s in enumerate(contrast.positive)] + [
        group(s, "-", i) for i, s in enumerate(contrast.negative)
    ]
