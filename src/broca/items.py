"""What is shown to a model: stimuli, contrasts between two sets of them, and items that have an answer.

Standard library only. Texts are plain strings, or chat messages that the model's own template renders.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Literal

from broca.errors import StimulusError


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


Text = str | tuple[Message, ...]
"""A plain prompt, or a chat."""


@dataclass(frozen=True, slots=True)
class Stimulus:
    """One text shown to the model.

    `group` names the template, pair or source text that several stimuli share: resampling keeps a group together.
    """

    id: str
    text: Text
    group: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contrast:
    """Positive against negative stimuli; when `paired`, the i-th of each belong together."""

    name: str
    positive: tuple[Stimulus, ...]
    negative: tuple[Stimulus, ...]
    paired: bool = False
    source: str = ""
    """Where the stimuli come from, in words, with a citation where one is due."""

    def __post_init__(self) -> None:
        for label, side in (("positive", self.positive), ("negative", self.negative)):
            if len(side) < 2:
                raise StimulusError(
                    f"Contrast {self.name!r} has {len(side)} {label} stimuli. A contrast needs at least 2 on each "
                    "side (20 or more to find anything). Check the labels of your file."
                )
            for stimulus in side:
                if not (stimulus.text if isinstance(stimulus.text, tuple) else stimulus.text.strip()):
                    raise StimulusError(
                        f"Contrast {self.name!r}: {label} stimulus {stimulus.id!r} is empty. Remove it."
                    )
        if self.paired and len(self.positive) != len(self.negative):
            raise StimulusError(
                f"Contrast {self.name!r} is paired but has {len(self.positive)} positive and {len(self.negative)} "
                "negative stimuli. Give as many of each, or set paired to false."
            )

    @property
    def fingerprint(self) -> str:
        """Content hash of the stimuli: what a run records as the identity of its data."""
        return fingerprint([*self.positive, *self.negative, len(self.positive)])


@dataclass(frozen=True, slots=True)
class Item:
    """A question with an answer: `choices[answer]` is right."""

    id: str
    prompt: Text
    choices: tuple[str, ...]
    answer: int
    ability: str = ""
    """What the item measures, e.g. ``false-belief``; accuracies are kept apart by ability."""
    group: str = ""
    """Template or source that several items share; bootstrap intervals resample groups."""
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.choices) < 1 or any(not choice for choice in self.choices):
            raise StimulusError(
                f"Item {self.id!r} has choices {self.choices!r}. Give at least one, none of them empty."
            )
        if not 0 <= self.answer < len(self.choices):
            raise StimulusError(
                f"Item {self.id!r}: answer {self.answer} is not the index of one of its {len(self.choices)} choices."
            )
        if not self.prompt:
            raise StimulusError(f"Item {self.id!r} has an empty prompt. Remove it.")

    @property
    def fingerprint(self) -> str:
        """Content hash of the item."""
        return fingerprint(self)


def fingerprint(value: object) -> str:
    """The first 16 hex digits of the SHA-256 of `value` as canonical JSON; a dataclass is the object of its fields."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_object)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _object(value: object) -> object:
    return {f.name: getattr(value, f.name) for f in fields(value)} if is_dataclass(value) else str(value)
