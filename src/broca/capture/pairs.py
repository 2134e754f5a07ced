"""A clean and a perturbed text, tokenised, with what is to be compared between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from broca.errors import StimulusError
from broca.models.tokens import Tokens

Places = tuple[tuple[int, ...], tuple[int, ...]]
"""Positions in the clean and in the perturbed text: 0 is the first token, BOS counted."""


@dataclass(frozen=True, slots=True)
class AlignedPair:
    """A clean and a perturbed text, tokenized, and which places of one stand for which of the other."""

    clean: Tokens
    perturbed: Tokens
    points: Mapping[str, Places]
    """By class, where the runs are compared: position by position, so as many on either side. A pair's figure of a class is
    the mean over its positions."""
    covers: tuple[tuple[int, ...], ...] = ()
    """For each clean token, the perturbed tokens over its characters: how attention is carried."""
    segments: Mapping[str, Places] = field(default_factory=dict)
    """By name, the parts of the texts that attention goes to: of any lengths, also none."""
    id: str = ""

    def __post_init__(self) -> None:
        for name, (clean, perturbed) in self.points.items():
            if len(clean) != len(perturbed):
                raise StimulusError(
                    f"Pair {self.id!r}: class {name!r} has {len(clean)} clean positions and {len(perturbed)} perturbed ones. Points are "
                    "compared one to one; give as many on either side."
                )
        for side, tokens in enumerate((self.clean, self.perturbed)):
            places = chain(*(place[side] for place in (*self.points.values(), *self.segments.values())))
            if any(not 0 <= i < len(tokens) for i in places):
                raise StimulusError(
                    f"Pair {self.id!r}: a position is not among the {len(tokens)} tokens of {tokens.text[:60]!r}."
                )
        if self.covers and (
            len(self.covers) != len(self.clean) or any(not 0 <= j < len(self.perturbed) for j in chain(*self.covers))
        ):
            raise StimulusError(
                f"Pair {self.id!r}: {len(self.covers)} covers for {len(self.clean)} clean tokens, or one that is not among the "
                f"{len(self.perturbed)} perturbed ones. Give the perturbed tokens over each clean one."
            )


def names(pairs: Sequence[AlignedPair], of: str) -> tuple[str, ...]:
    """The classes (`of` "points") or the "segments" of pairs, in the order in which they first come."""
    return tuple(dict.fromkeys(chain(*(getattr(pair, of) for pair in pairs))))
