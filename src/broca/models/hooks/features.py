"""Edits and reads of a dictionary's features: encoded once in a pass, edited in order, and written back as one change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from broca.errors import GuardError
from broca.models.coding import Code, coder
from broca.models.wiring.anatomy import Anatomy, Tap
from broca.units.dictionary import Dictionary

Edit = Callable[[Tensor], Tensor]
Place = Callable[[Any, Edit], Any]
"""Puts an edit of the tensor at a site in its place; gives what takes it away."""


@dataclass(slots=True, eq=False)
class _FeaturePass:
    """The features of a dictionary in the pass under way, and what edits them."""

    dictionary: Dictionary
    edits: list[Edit] = field(default_factory=list)
    undo: list[Callable[[], None]] = field(default_factory=list)
    code: Code | None = None
    """What a transcoder has read in this pass."""
    written: Tensor | None = None
    """The tensor that the edits left at the target."""
    features: Tensor | None = None
    """The features that it stands for."""

    def read(self, x: Tensor) -> Tensor:
        """Keep the features of what a transcoder reads."""
        self.code = coder(self.dictionary, x).encode(x)
        return x

    def code_of(self, x: Tensor) -> Code:
        """The features that belong to a tensor at the target, as encoded."""
        if not self.dictionary.is_transcoder:
            return coder(self.dictionary, x).encode(x)
        code, self.code = self.code, None  # that of one pass is not that of the next
        if code is None:
            raise GuardError(
                f"{self.dictionary!r} reads {self.dictionary.source}, which did not run before {self.dictionary.target} in this pass."
            )
        return code

    def edit(self, x: Tensor) -> Tensor:
        """The tensor at the target under all edits."""
        code = self.code_of(x)
        after = code.features.clone()  # a node of its own, by which a gradient is told from that of what was encoded
        for edit in self.edits:
            after = edit(after)
        self.features, self.written = after, coder(self.dictionary, x).move(x, code, after)
        return self.written


_edited: WeakKeyDictionary[nn.Module, dict[Dictionary, _FeaturePass]] = WeakKeyDictionary()
"""What is edited in a model at present."""


@dataclass(frozen=True, slots=True)
class Where:
    """A model with its wiring, and how tensors of it are edited and read."""

    model: nn.Module
    anatomy: Anatomy
    edit_at: Place
    """Puts an edit behind those that are there."""
    read_at: Place
    """Puts a reader behind every edit."""

    def sources(self, own: _FeaturePass) -> list[Callable[[], None]]:
        """Have a transcoder read; nothing for what reads where it writes."""
        dictionary = own.dictionary
        return [self.read_at(self.anatomy.tap(dictionary.source), own.read)] if dictionary.is_transcoder else []

    def target(self, own: _FeaturePass) -> Tap:
        """Where a dictionary writes."""
        return self.anatomy.tap(own.dictionary.writes_to)


def append_edit(where: Where, layer: int, edit: Edit) -> Callable[[], None]:
    """Add an edit of the features of a layer; gives the step that takes it off again.

    Args:
        where: with a dictionary of the layer.
        layer: of the dictionary.
        edit: given features ``(batch, token, feature)``, returns others.
    """
    dictionary = where.anatomy.dictionary(layer)
    every = _edited.setdefault(where.model, {})
    if dictionary not in every:
        own = _FeaturePass(dictionary)
        own.undo = [*where.sources(own), where.edit_at(where.target(own), own.edit)]
        every[dictionary] = own
    coded = every[dictionary]
    coded.edits.append(edit)

    def undo() -> None:
        coded.edits.remove(edit)
        if not coded.edits:
            del every[dictionary]
            for step in reversed(coded.undo):
                step()

    return undo


def add_edit(where: Where, layer: int, edit: Callable[[Tensor, Code], Tensor]) -> list[Callable[[], None]]:
    """Replace what stands at a dictionary's target by what a function makes of it and its code; gives the steps that undo it.

    Features that were edited before are handed on as they were edited: nothing is encoded anew.
    """
    own = _FeaturePass(where.anatomy.dictionary(layer))
    return [*where.sources(own), where.edit_at(where.target(own), lambda x: edit(x, _latest_code(where, own, x)))]


def add_read(where: Where, layer: int, show: Callable[[Tensor, Code], Any]) -> list[Callable[[], None]]:
    """Show what stands at a dictionary's target, and the features that it is encoded to, behind every edit; gives the steps that undo it.

    Features that are edited are shown as they were edited: nothing is encoded anew.
    """
    own = _FeaturePass(where.anatomy.dictionary(layer))

    def read(x: Tensor) -> Tensor:
        show(x, _latest_code(where, own, x))
        return x

    return [*where.sources(own), where.read_at(where.target(own), read)]


def _latest_code(where: Where, own: _FeaturePass, x: Tensor) -> Code:
    """The features that a tensor at the target stands for: as edits left them, or as encoded."""
    edited = _edited.get(where.model, {}).get(own.dictionary)
    code = own.code_of(x)
    if edited is not None and edited.written is x and edited.features is not None:
        return replace(code, features=edited.features)
    return code
