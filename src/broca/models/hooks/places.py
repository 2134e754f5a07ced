"""Edits and reads of the tensors at sites: edits first, in the order in which they were applied; reads last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from broca.models.coding import Code
from broca.models.hooks import features
from broca.models.hooks.suspension import suspensions
from broca.models.wiring.anatomy import Anatomy, Tap
from broca.models.wiring.experts import reroute_arguments
from broca.models.wiring.hidden_state import stream_key, tensor_of, with_tensor
from broca.sites import Site

Edit = Callable[[Tensor], Tensor]
"""Given the tensor at a site, ``(batch, token, unit)``, return its replacement."""

Read = Callable[[Tensor], None]
"""Shown the tensor at a site, ``(batch, token, unit)``."""


@dataclass(slots=True, eq=False)
class _Chain:
    """The edits at one side of one module, and the hook that runs them."""

    edits: list[Edit]
    handle: Handle


_chains: WeakKeyDictionary[nn.Module, dict[str, _Chain]] = WeakKeyDictionary()


class Stop(Exception):  # noqa: N818 - a signal, not an error
    """Raised by a read to end a forward pass early; `read_sites` swallows it."""


@contextmanager
def edit_sites(model: nn.Module, anatomy: Anatomy, edits: Mapping[Site, Edit]) -> Iterator[dict[Site, int]]:
    """Run the body with each edit in force at its site.

    Yields:
        how often each edit has run so far: the *fired* guard reads it.
    """
    fired = dict.fromkeys(edits, 0)
    undo: list[Callable[[], None]] = []

    born = suspensions()

    def counting_edit(site: Site, edit: Edit) -> Edit:
        def run(x: Tensor) -> Tensor:
            if suspensions() > born:
                return x
            fired[site] += 1
            return edit(x)

        return run

    try:
        for site, edit in edits.items():
            undo.append(_append_at(model, anatomy, site, counting_edit(site, edit)))
        yield fired
    finally:
        for step in reversed(undo):
            step()


@contextmanager
def read_sites(model: nn.Module, anatomy: Anatomy, reads: Mapping[Site, Read], *, stop: bool = False) -> Iterator[None]:
    """Run the body with each site's tensor shown to its reader.

    Args:
        model: the transformers model.
        anatomy: its wiring.
        reads: what to call at each site.
        stop: end each forward pass once every read has been made; the body must then expect no output, and ends
            there (`Stop` is swallowed). One forward pass a context.
    """
    undo: list[Callable[[], None]] = []
    waiting = set(reads)
    born = suspensions()

    def showing_edit(site: Site, show: Read) -> Edit:
        def run(x: Tensor) -> Tensor:
            if suspensions() > born:
                return x
            show(x)
            waiting.discard(site)
            if stop and not waiting:
                raise Stop
            return x

        return run

    try:
        for site, show in reads.items():
            undo += _add_read(model, anatomy, site, showing_edit(site, show))
        yield
    except Stop:
        if not stop:
            raise
    finally:
        for step in undo:
            step()


@contextmanager
def read_codes(
    model: nn.Module, anatomy: Anatomy, reads: Mapping[int, Callable[[Tensor, Code], None]]
) -> Iterator[None]:
    """Run the body with what stands at a dictionary's target, and its code, shown to a reader.

    Args:
        model: the transformers model.
        anatomy: its wiring, with dictionaries.
        reads: what to call at each layer.
    """
    undo: list[Callable[[], None]] = []
    born = suspensions()

    def showing(show: Callable[[Tensor, Code], None]) -> Callable[[Tensor, Code], None]:
        return lambda x, code: None if suspensions() > born else show(x, code)

    where = _features_of(model, anatomy)
    try:
        for layer, show in reads.items():
            undo += features.add_read(where, layer, showing(show))
        yield
    finally:
        for step in undo:
            step()


@contextmanager
def edit_codes(
    model: nn.Module, anatomy: Anatomy, edits: Mapping[int, Callable[[Tensor, Code], Tensor]]
) -> Iterator[dict[Site, int]]:
    """Run the body with what stands at a dictionary's target replaced by what a function makes of it and its code.

    Args:
        model: the transformers model.
        anatomy: its wiring, with dictionaries.
        edits: the function of each layer.

    Yields:
        how often each has run so far, by ``LAYER.feature``.
    """
    fired = {Site(layer, "feature"): 0 for layer in edits}
    undo: list[Callable[[], None]] = []
    born = suspensions()

    def counting(layer: int, edit: Callable[[Tensor, Code], Tensor]) -> Callable[[Tensor, Code], Tensor]:
        def run(x: Tensor, code: Code) -> Tensor:
            if suspensions() > born:
                return x
            fired[Site(layer, "feature")] += 1
            return edit(x, code)

        return run

    where = _features_of(model, anatomy)
    try:
        for layer, edit in edits.items():
            undo += features.add_edit(where, layer, counting(layer, edit))
        yield fired
    finally:
        for step in reversed(undo):
            step()


@contextmanager
def copy_sites(model: nn.Module, anatomy: Anatomy, sites: Iterable[Site]) -> Iterator[dict[Site, Tensor]]:
    """Run the body with the tensors at some sites kept: yields the copies, ``(batch, token, unit)``, of the last pass."""
    found: dict[Site, Tensor] = {}

    def keep(site: Site) -> Read:
        return lambda x: found.update({site: x.clone()})  # some blocks add to a tensor in place

    with read_sites(model, anatomy, {site: keep(site) for site in sites}):
        yield found


def _append_at(model: nn.Module, anatomy: Anatomy, site: Site, edit: Edit) -> Callable[[], None]:
    """Add an edit of what stands at a site, a tensor or the features of one; gives the step that takes it off again."""
    if site.kind != "feature":
        return _append(model, anatomy.tap(site), edit)
    return features.append_edit(_features_of(model, anatomy), site.layer, edit)


def _add_read(model: nn.Module, anatomy: Anatomy, site: Site, show: Edit) -> list[Callable[[], None]]:
    if site.kind != "feature":
        return [_read_behind(model, anatomy.tap(site), show)]
    return features.add_read(_features_of(model, anatomy), site.layer, lambda _, code: show(code.features))


def _features_of(model: nn.Module, anatomy: Anatomy) -> features.Where:
    return features.Where(model, anatomy, partial(_append, model), partial(_read_behind, model))


def _read_behind(model: nn.Module, tap: Tap, show: Edit) -> Callable[[], None]:
    return _hook(model, tap, show, first=False).remove


def _append(model: nn.Module, tap: Tap, edit: Edit) -> Callable[[], None]:
    """Add `edit` to the chain at `tap`; return the step that takes it off again."""
    module = model.get_submodule(tap.module)
    chains = _chains.setdefault(module, {})
    if tap.side not in chains:
        edits: list[Edit] = []

        def run(x: Tensor) -> Tensor:
            for step in edits:
                x = step(x)
            return x

        chains[tap.side] = _Chain(edits, _hook(model, tap, run, first=True))
    chain = chains[tap.side]
    chain.edits.append(edit)

    def undo() -> None:
        chain.edits.remove(edit)
        # The last one out takes the hook away: contexts need not close in the order in which they opened.
        if not chain.edits:
            chain.handle.remove()
            del chains[tap.side]

    return undo


def _hook(model: nn.Module, tap: Tap, edit: Edit, *, first: bool) -> Handle:
    module = model.get_submodule(tap.module)

    def on_output(_m: nn.Module, _args: Any, output: Any) -> Any:
        before = tensor_of(output)
        after = edit(before)
        return None if after is before else with_tensor(output, after)

    def on_input(_m: nn.Module, args: Any, kwargs: Any) -> Any:
        if args:
            after = edit(args[0])
            return None if after is args[0] else ((after, *args[1:]), kwargs)
        name = stream_key(kwargs)
        after = edit(kwargs[name])
        return None if after is kwargs[name] else (args, {**kwargs, name: after})

    if tap.side == "routing":
        return _routing(model.get_submodule(tap.block), module, tap.width, edit, first=first)
    if tap.side == "output":
        return module.register_forward_hook(on_output, prepend=first)
    return module.register_forward_pre_hook(on_input, with_kwargs=True, prepend=first)


class _Both:
    """Two handles as one."""

    def __init__(self, *handles: RemovableHandle) -> None:
        self.handles = handles

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()


Handle = RemovableHandle | _Both


def _routing(block: nn.Module, module: nn.Module, count: int, edit: Edit, *, first: bool) -> _Both:
    """Edit what a router gives its experts; the block says how the tokens that come in one row are to be told apart."""
    shape: list[Any] = []

    def enters(_m: nn.Module, args: Any, kwargs: Any) -> None:
        shape[:] = [(args[0] if args else kwargs[stream_key(kwargs)]).shape]

    def edit_arguments(_m: nn.Module, args: Any, kwargs: Any) -> Any:
        return reroute_arguments(args, kwargs, edit, shape[0], count)

    return _Both(
        block.register_forward_pre_hook(enters, with_kwargs=True),
        module.register_forward_pre_hook(edit_arguments, with_kwargs=True, prepend=first),
    )
