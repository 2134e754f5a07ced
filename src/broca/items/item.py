"""Stimuli, contrasts between two sets of them, and items that have an answer.

Texts are plain strings, or chat messages that the model's own template renders.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from broca.errors import StimulusError
from broca.items.above import frames
from broca.items.text import PicturedText, Text, as_text
from broca.markup import MOST, table


def cluster(group: object, own: object) -> str:
    """What folds, shuffles and resampling keep together: the group that is named, or, where none is, the thing by itself.

    Args:
        group: a name; None, NaN and white space name none.
        own: what tells the thing from every other one, if it is by itself.
    """
    if group is None or group != group:  # noqa: PLR0124 - NaN is not itself
        group = ""
    elif isinstance(group, float) and group.is_integer():  # whole numbers beside missing ones are read as 1.0
        group = int(group)
    return str(group).strip() or f"alone: {own}"


@dataclass(frozen=True, slots=True)
class Stimulus:
    """One text shown to the model, with or without pictures.

    `group` names the template, pair or source text that several stimuli share: resampling keeps a group together. A stimulus, an
    item, a tree or a pair without one is its own `cluster`.
    """

    id: str
    text: Text
    group: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    """As of an item."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", as_text(self.text))

    @property
    def cluster(self) -> str:
        """Its group, or what it is by itself, see `cluster`."""
        return cluster(self.group, self.id)

    @property
    def content(self) -> Text | PicturedText:
        """The text, with its pictures where it has any."""
        return PicturedText(self.text, self.images) if self.images else self.text


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
                text = stimulus.text if isinstance(stimulus.text, tuple) else stimulus.text.strip()
                if not text and not stimulus.images:
                    raise StimulusError(
                        f"Contrast {self.name!r}: {label} stimulus {stimulus.id!r} is empty. Remove it."
                    )
        if self.paired and len(self.positive) != len(self.negative):
            raise StimulusError(
                f"Contrast {self.name!r} is paired but has {len(self.positive)} positive and {len(self.negative)} "
                "negative stimuli. Give as many of each, or set paired to false."
            )

    @classmethod
    def from_lists(
        cls, positive: Sequence[object], negative: Sequence[object], *, name: str = "mine", paired: bool = False
    ) -> Contrast:
        """A contrast of two lists of texts or chats.

        Args:
            positive: the one side.
            negative: the other.
            name: what to call it.
            paired: whether the i-th of each belong together.

        Raises:
            StimulusError: if a side is no list, has fewer than two texts or an empty one; or pairs are not as many on each side.
        """
        sides = {}
        for label, texts in (("positive", positive), ("negative", negative)):
            if isinstance(texts, str):
                raise StimulusError(f"The {label} side is one text, {texts[:60]!r}. Give a list of texts.")
            sides[label] = tuple(Stimulus(f"{i}-{label}", as_text(text)) for i, text in enumerate(texts, 1))
        return cls(name, sides["positive"], sides["negative"], paired, "Given as two lists.")

    @classmethod
    def from_frame(
        cls, frame: Any, *, positive: str | None = None, negative: str | None = None, name: str = "frame"
    ) -> Contrast:
        """A contrast from a data frame (polars or pandas), or from a list of dictionaries, with the columns that a file has.

        Args:
            frame: columns ``text`` and ``label``, or ``positive`` and ``negative``; see `broca.stimuli.label_tables`.
            positive: the label of the positive stimuli.
            negative: the label of the negative stimuli; rows with a third label are then left out.
            name: what to call it.

        Raises:
            StimulusError: if it is malformed, lacks columns or a side, or has an unknown label or an empty text.
            UnknownName: if `positive` or `negative` is not a label of it.
        """
        return frames().contrast_of(frame, positive=positive, negative=negative, name=name)

    def frame(self) -> Any:
        """One row a stimulus: id, side, text, group; a polars data frame."""
        return frames().frame_of_contrast(self)

    def _repr_html_(self) -> str:
        rows = [(p.text, n.text) for p, n in zip(self.positive[:MOST], self.negative[:MOST], strict=False)]
        title = f"{self.name}: {len(self.positive)} positive, {len(self.negative)} negative{', paired' * self.paired}"
        return table(title, ("positive", "negative"), rows, n=max(len(self.positive), len(self.negative)))

    @property
    def fingerprint(self) -> str:
        """Content hash of the stimuli: what a run records as the identity of its data.

        Raises:
            StimulusError: A picture is missing.
        """
        return fingerprint([*self.positive, *self.negative, len(self.positive)])


Passage = tuple[str, str]
"""A context, and a text that is priced after it; the text brings the space before it."""


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
    images: tuple[str, ...] = ()
    """Paths of pictures, or of the frames of a video, in the order in which they are shown before the prompt."""
    passages: tuple[tuple[Passage, ...], ...] = ()
    """For each choice, what is priced instead of it after the prompt: texts after contexts of their own, summed. The same words after
    two beginnings are compared so, and differences of differences. Only a likelihood can be asked of such an item."""

    def __post_init__(self) -> None:
        if self.passages and (
            len(self.passages) != len(self.choices)
            or not all(own and all(before and said for before, said in own) for own in self.passages)
        ):
            raise StimulusError(
                f"Item {self.id!r} has passages of {len(self.passages)} choices, and {len(self.choices)} choices. Give one or more for "
                "each, none with an empty context or text."
            )
        if len(self.choices) < 1 or any(not choice for choice in self.choices):
            raise StimulusError(
                f"Item {self.id!r} has choices {self.choices!r}. Give at least one, none of them empty."
            )
        if not 0 <= self.answer < len(self.choices):
            raise StimulusError(
                f"Item {self.id!r}: answer {self.answer} is not the index of one of its {len(self.choices)} choices."
            )
        object.__setattr__(self, "prompt", as_text(self.prompt))
        if not self.prompt:
            raise StimulusError(f"Item {self.id!r} has an empty prompt. Remove it.")

    @property
    def cluster(self) -> str:
        """Its group, or what it is by itself, see `cluster`: two abilities may use an id each."""
        return cluster(self.group, f"{self.ability}/{self.id}" if self.ability else self.id)

    @property
    def content(self) -> Text | PicturedText:
        """The prompt, with its pictures where it has any."""
        return PicturedText(self.prompt, self.images) if self.images else self.prompt

    def reorder(self, order: Sequence[int]) -> Item:
        """The item with its choices in another order, and the same answer."""
        return replace(
            self,
            choices=tuple(self.choices[i] for i in order),
            passages=tuple(self.passages[i] for i in order) if self.passages else (),
            answer=order.index(self.answer),
        )

    @property
    def fingerprint(self) -> str:
        """Content hash of the item, and of its pictures: where these lie is no part of it.

        Raises:
            StimulusError: A picture is missing.
        """
        return fingerprint(self)


Span = tuple[int, int]
"""Characters of a text: from `start` up to and without `end`."""


def fingerprint(value: object) -> str:
    """The first 16 hex digits of the SHA-256 of `value` as canonical JSON; a dataclass is the object of its fields."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_object)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _object(value: object) -> object:
    if not is_dataclass(value):
        return str(value)
    content = {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, Item | Stimulus | PicturedText):
        # What has no pictures, or passages, keeps the hash that it had before there were any.
        images = [picture_hash(path) for path in content.pop("images")]
        content |= {"images": images} if images else {}
        if not content.get("passages"):
            content.pop("passages", None)
    return content


def picture_hash(path: str) -> str:
    """SHA-256 of a picture's file.

    Raises:
        StimulusError: There is no such file.
    """
    try:
        state = Path(path).stat()
        return _digest(path, state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise StimulusError(f"There is no picture {path!r} that can be read. Check where the pictures lie.") from error


@lru_cache(maxsize=65536)
def _digest(path: str, changed: int, size: int) -> str:  # noqa: ARG001 - a file that has changed is read again
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
