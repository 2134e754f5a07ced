"""Perturbations: a clean text, a perturbed one, and the edits that lead from one to the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from broca.errors import StimulusError
from broca.items.item import cluster, fingerprint


@dataclass(frozen=True, slots=True)
class Edit:
    """Characters of a clean text, and what stands in their place in the perturbed one."""

    start: int
    end: int
    """Without it; equal to `start` where something is only put in."""
    before: str
    after: str
    kind: str = ""
    word: int | None = None
    """Which word of the clean text was edited, counted from 0; None where it is not about one word."""


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """`text` with its edits made.

    Raises:
        StimulusError: Edits are out of order or overlap, change nothing, or are about another text.
    """
    parts: list[str] = []
    at = 0
    for edit in edits:
        if not at <= edit.start <= edit.end <= len(text) or text[edit.start : edit.end] != edit.before:
            raise StimulusError(
                f"An edit of characters {edit.start} to {edit.end} from {edit.before!r} does not fit {text[:60]!r} after "
                f"character {at}. Give edits of this very text, in its order, none over another."
            )
        if edit.before == edit.after:
            raise StimulusError(f"An edit leaves {edit.before!r} at character {edit.start} as it is. Leave it out.")
        parts += text[at : edit.start], edit.after
        at = edit.end
    return "".join((*parts, text[at:]))


@dataclass(frozen=True, slots=True)
class Pair:
    """A clean text and its perturbed variant, with the edits that lead from one to the other."""

    id: str
    clean: str
    perturbed: str
    edits: tuple[Edit, ...]
    kind: str
    """Of perturbation, e.g. ``transpose``; kinds are never pooled."""
    group: str = ""
    """The wording, template or source that several pairs share: folds and resampling keep it together."""
    answer: str = ""
    """What a right completion says, to either text; nothing where it is not known."""
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.clean.strip() or not self.perturbed.strip():
            raise StimulusError(f"Pair {self.id!r} has an empty text. Remove it.")
        if self.clean == self.perturbed:
            raise StimulusError(f"Pair {self.id!r}: its {self.kind} variant is identical to the clean text. Remove it.")
        if apply_edits(self.clean, self.edits) != self.perturbed:
            raise StimulusError(
                f"Pair {self.id!r}: its edits lead to {apply_edits(self.clean, self.edits)[:60]!r}, and its perturbed text is "
                f"{self.perturbed[:60]!r}. Give the edits of this pair."
            )

    @property
    def cluster(self) -> str:
        """Its group, or else its clean text, which other kinds of mistakes may share; see `cluster`."""
        return cluster(self.group, fingerprint(self.clean))

    @property
    def fingerprint(self) -> str:
        """Content hash of the pair."""
        return fingerprint(self)
