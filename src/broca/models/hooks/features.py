"""Edits and reads of a dictionary's features: encoded once in a pass, edited in order, and written back as one change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from broca.errors import GuardError
from broca.models.coding import Code, coder
from broca.models.wiring.anatomy import Anatomy
from broca.units.dictionary import Dictionary

Edit = Callable[[Tensor], Tensor]
Place = Callable[[Any, Edit], Any]
"""Puts an edit of the tensor at a site in its place; gives what takes it away."""


@dataclass(slots=True, eq=False)
class _Coded:
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
        if self.code is None:
            raise GuardError(
                f"{self.dictionary!r} reads {self.dictionary.source}, which did not run before {self.dictionary.target} in this pass."
            )
        return self.code

    def edit(self, x: Tensor) -> Tensor:
        """The tensor at the target under all edits."""
        code = self.code_of(x)
        after = code.features.clone()  # a node of its own, by which a gradient is told from that of what was encoded
        for edit in self.edits:
            after = edit(after)
        self.features, self.written = after, coder(self.dictionary, x).move(x, code, after)
        return self.written


_edited: WeakKeyDictionary[nn.Module, dict[Dictionary, _Coded]] = WeakKeyDictionary()
"""What is edited in a model at present."""


def append_edit(model: nn.Module, anatomy: Anatomy, layer: int, edit: Edit, edit_at: Place, read_at: Place) -> Callable[[], None]:
    """Add an edit of the features of a layer; gives the step that takes it off again.

    Args:
        model: the transformers model.
        anatomy: its wiring, with the dictionary.
        layer: of the dictionary.
        edit: given features ``(batch, token, feature)``, returns others.
        edit_at: puts an edit of a tensor behind those that are there.
        read_at: puts a reader behind every edit.
    """
    dictionary = anatomy.dictionary(layer)
    every = _edited.setdefault(model, {})
    if dictionary not in every:
        own = _Coded(dictionary)
        if dictionary.is_transcoder:
            own.undo.append(read_at(anatomy.tap(dictionary.source), own.read))
        own.undo.append(edit_at(anatomy.tap(dictionary.writes_to), own.edit))
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


def add_edit(
    anatomy: Anatomy, layer: int, edit: Callable[[Tensor, Code], Tensor], edit_at: Place, read_at: Place
) -> list[Callable[[], None]]:
    """Replace what stands at a dictionary's target by what a function makes of it and its code; gives the steps that undo it.

    Args:
        anatomy: its wiring, with the dictionary.
        layer: of the dictionary.
        edit: given the tensor at the target and its code, returns another tensor.
        edit_at: puts an edit of a tensor behind those that are there.
        read_at: puts a reader behind every edit.
    """
    own = _Coded(anatomy.dictionary(layer))
    undo = [read_at(anatomy.tap(own.dictionary.source), own.read)] if own.dictionary.is_transcoder else []
    return [*undo, edit_at(anatomy.tap(own.dictionary.writes_to), lambda x: edit(x, own.code_of(x)))]


def add_read(
    model: nn.Module, anatomy: Anatomy, layer: int, show: Callable[[Tensor, Code], Any], read_at: Place
) -> list[Callable[[], None]]:
    """Show what stands at a dictionary's target, and the features that it is encoded to, behind every edit.

    Features that are edited are shown as they were edited: nothing is encoded anew.

    Args:
        model: the transformers model.
        anatomy: its wiring, with the dictionary.
        layer: of the dictionary.
        show: given the tensor at the target, and its code.
        read_at: puts a reader behind every edit.
    """
    own = _Coded(anatomy.dictionary(layer))

    def read(x: Tensor) -> Tensor:
        edited = _edited.get(model, {}).get(own.dictionary)
        code = own.code_of(x)
        if edited is not None and edited.written is x and edited.features is not None:
            code = Code(edited.features, code.scale, code.shift, code.skipped)
        show(x, code)
        return x

    undo = [read_at(anatomy.tap(own.dictionary.source), own.read)] if own.dictionary.is_transcoder else []
    return [*undo, read_at(anatomy.tap(own.dictionary.writes_to), read)]
