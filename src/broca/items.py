"""What is shown to a model: stimuli, contrasts between two sets of them, items that have an answer, reasoning trees, perturbations.

Standard library only. Texts are plain strings, or chat messages that the model's own template renders.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Literal

from broca.errors import StimulusError


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


Text = str | tuple[Message, ...]
"""A plain prompt, or a chat."""

_ROLES = ("system", "user", "assistant")


def as_text(text: object) -> Text:
    """A plain prompt, or a chat from messages or from Hugging Face's dictionaries: ``[{"role": "user", "content": "Hi"}]``.

    Raises:
        StimulusError: if it is anything else, or a message has another role or content.
    """
    if isinstance(text, str):
        return text
    if not isinstance(text, list | tuple):
        raise StimulusError(f"A text is {type(text).__name__}. Give a string, or the messages of a chat.")
    return tuple(message if isinstance(message, Message) else _message(message) for message in text)


def _message(message: object) -> Message:
    match message:
        case {"role": "system" | "user" | "assistant" as role, "content": str(content)}:
            return Message(role, content)
    raise StimulusError(
        f"A message of a chat is {str(message)[:80]!r}. Give {{'role': ..., 'content': ...}} with a role among {', '.join(_ROLES)} "
        "and a text as content; pictures are given by images."
    )


@dataclass(frozen=True, slots=True)
class PicturedText:
    """A text with pictures before it; in a chat, before the first of the user's turns."""

    text: Text
    images: tuple[str, ...]
    """Paths of pictures, or of the frames of a video, in the order in which they are shown."""


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

CONCLUSION = -1
"""What the last edges of a reasoning tree lead to: the answer, which is no statement of the text."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A question over statements, with the steps that lead from statements to its answer (Hou et al., 2023).

    An edge leads from a premise to the statement that takes it, or to `CONCLUSION`. A statement is useful when the
    conclusion can be reached from it; edges among other statements are allowed, and make nothing useful.
    """

    id: str
    text: str
    """The whole prompt, statements and question; the answer comes after it."""
    statements: tuple[Span, ...]
    """Where each statement stands in the text, in the order of the text."""
    query: Span
    """The question, whose attention to the statements is read. It may be the last statement itself."""
    edges: tuple[tuple[int, int], ...]
    choices: tuple[str, ...]
    answer: int
    """`choices[answer]` is right."""
    group: str = ""
    """The theory, template or list that several questions share: folds and resampling keep it together."""
    kinds: tuple[str, ...] = ()
    """The surface form of each statement ("fact", "rule", "number", ...), which baselines may use; or none at all."""
    counted: Literal["leaf", "root"] = "leaf"
    """Where heights are counted from: up from the leaves, or, as the paper does, down from the root."""
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Item(self.id, self.text, self.choices, self.answer)  # the same demands, in the same words
        self._check_spans()
        if self.kinds and len(self.kinds) != len(self.statements):
            raise StimulusError(
                f"Tree {self.id!r} has {len(self.kinds)} kinds for {len(self.statements)} statements. Give one for each, "
                "or none."
            )
        self._check_edges()

    def _check_spans(self) -> None:
        before = 0
        for number, (start, end) in enumerate(self.statements):
            if not before <= start < end <= len(self.text):
                raise StimulusError(
                    f"Tree {self.id!r}: statement {number} is at characters {start} to {end}. Statements are in the order "
                    f"of the text ({len(self.text)} characters), hold one character or more, and do not overlap."
                )
            before = end
        if not self.statements:
            raise StimulusError(f"Tree {self.id!r} has no statements. Give at least one.")
        if not 0 <= self.query[0] < self.query[1] <= len(self.text):
            raise StimulusError(
                f"Tree {self.id!r}: the query is at characters {self.query[0]} to {self.query[1]} of {len(self.text)}. "
                "Give the place of the question in the text."
            )

    def _check_edges(self) -> None:
        n = len(self.statements)
        for edge in self.edges:
            if not (0 <= edge[0] < n and CONCLUSION <= edge[1] < n) or edge[0] == edge[1]:
                raise StimulusError(
                    f"Tree {self.id!r}: edge {edge[0]} -> {edge[1]}. Edges lead from one of the statements 0 to {n - 1} to "
                    f"another one, or to the conclusion ({CONCLUSION})."
                )
        if len(set(self.edges)) < len(self.edges):
            raise StimulusError(f"Tree {self.id!r} has the same edge twice. Give each once.")
        try:
            self._order()
        except CycleError as error:
            raise StimulusError(
                f"Tree {self.id!r}: the edges go in a circle ({' -> '.join(map(str, error.args[1]))}). A statement cannot "
                "rest on itself; remove an edge."
            ) from error
        if not any(target == CONCLUSION for _, target in self.edges):
            raise StimulusError(
                f"Tree {self.id!r} has no edge to its conclusion, so no statement is useful. Add (statement, "
                f"{CONCLUSION}) for each that the answer rests on."
            )

    def _order(self) -> list[int]:
        """Every node, premises before what takes them."""
        sorter: TopologicalSorter[int] = TopologicalSorter(dict.fromkeys(range(len(self.statements)), ()))
        for source, target in self.edges:
            sorter.add(target, source)
        return list(sorter.static_order())

    @property
    def cluster(self) -> str:
        """Its group, or what it is by itself, as of its item."""
        return self.item.cluster

    @property
    def heights(self) -> tuple[int, ...]:
        """The reasoning step of each statement; 0 for one that is not useful.

        From the leaves: 1 for a leaf, else one more than the highest of its premises. From the root: the most edges that
        any useful statement is away from a last one, less those that this statement is, plus 1. Both count the longest
        path over all edges, agree on chains, and differ for a leaf that is taken late. The edge to the conclusion is no step.
        """
        useful, away = {CONCLUSION}, dict.fromkeys(range(len(self.statements)), 0)
        order = self._order()
        for node in reversed(order):
            targets = [target for source, target in self.edges if source == node and target in useful]
            if targets:
                useful.add(node)
                away[node] = max(0 if target == CONCLUSION else away[target] + 1 for target in targets)
        useful.discard(CONCLUSION)
        if self.counted == "root":
            far = max(away[node] for node in useful)
            return tuple(1 + far - away[node] if node in useful else 0 for node in range(len(self.statements)))
        found: dict[int, int] = {}
        for node in (node for node in order if node in useful):
            found[node] = 1 + max((found[source] for source, target in self.edges if target == node), default=0)
        return tuple(found.get(node, 0) for node in range(len(self.statements)))

    @property
    def useful(self) -> tuple[bool, ...]:
        """Whether the conclusion can be reached from each statement."""
        return tuple(height > 0 for height in self.heights)

    @property
    def statement_texts(self) -> tuple[str, ...]:
        """The text of each statement."""
        return tuple(self.text[start:end] for start, end in self.statements)

    @property
    def item(self) -> Item:
        """The question alone, for scorers."""
        return Item(self.id, self.text, self.choices, self.answer, self.tags.get("task", ""), self.group, self.tags)

    @property
    def fingerprint(self) -> str:
        """Content hash of the tree."""
        return fingerprint(self)


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
