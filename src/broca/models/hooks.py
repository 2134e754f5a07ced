"""The one place that touches PyTorch hooks: read or rewrite the tensor at a site, then leave no trace.

Order is a promise. At each tap one hook stands first in line and runs every edit in the order it was applied; reads
stand last. So a read always sees what was written, and so do transformers' own output recorders, which stay on a
module for good once ``output_hidden_states=True`` has been asked.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from broca.errors import GuardError
from broca.models.anatomy import Anatomy, Tap, tensor_of, with_tensor
from broca.models.experts import rerouted
from broca.models.passes import Pass, running, step
from broca.models.probing import stream_key
from broca.models.tokens import Batch
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
_depth: ContextVar[int] = ContextVar("suspensions around the running code", default=0)


class Stop(Exception):  # noqa: N818 - a signal, not an error
    """Raised by a read to end a forward pass early; `read` swallows it."""


@contextmanager
def edited(model: nn.Module, anatomy: Anatomy, edits: Mapping[Site, Edit]) -> Iterator[dict[Site, int]]:
    """Run the body with each edit in force at its site.

    Yields:
        how often each edit has run so far: the *fired* guard reads it.
    """
    fired = dict.fromkeys(edits, 0)
    undo: list[Callable[[], None]] = []

    born = _depth.get()

    def counted(site: Site, edit: Edit) -> Edit:
        def run(x: Tensor) -> Tensor:
            if _depth.get() > born:
                return x
            fired[site] += 1
            return edit(x)

        return run

    try:
        for site, edit in edits.items():
            undo.append(_append(model, anatomy.tap(site), counted(site, edit)))
        yield fired
    finally:
        for step in reversed(undo):
            step()


@contextmanager
def read(model: nn.Module, anatomy: Anatomy, reads: Mapping[Site, Read], *, stop: bool = False) -> Iterator[None]:
    """Run the body with each site's tensor shown to its reader.

    Args:
        model: the transformers model.
        anatomy: its wiring.
        reads: what to call at each site.
        stop: end each forward pass once every read has been made; the body must then expect no output, and ends
            there (`Stop` is swallowed). One forward pass a context.
    """
    handles: list[Handle] = []
    waiting = set(reads)
    born = _depth.get()

    def shown(site: Site, show: Read) -> Edit:
        def run(x: Tensor) -> Tensor:
            if _depth.get() > born:
                return x
            show(x)
            waiting.discard(site)
            if stop and not waiting:
                raise Stop
            return x

        return run

    try:
        for site, show in reads.items():
            tap = anatomy.tap(site)
            handles.append(_hook(model, tap, shown(site, show), first=False))
        yield
    except Stop:
        if not stop:
            raise
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def held(model: nn.Module, anatomy: Anatomy, sites: Iterable[Site]) -> Iterator[dict[Site, Tensor]]:
    """Run the body with the tensors at some sites kept: yields the copies, ``(batch, token, unit)``, of the last pass."""
    found: dict[Site, Tensor] = {}

    def keep(site: Site) -> Read:
        return lambda x: found.update({site: x.clone()})  # some blocks add to a tensor in place

    with read(model, anatomy, {site: keep(site) for site in sites}):
        yield found


@contextmanager
def decoding(
    model: nn.Module, batch: Batch, counted: Callable[[Pass], AbstractContextManager[None]]
) -> Iterator[Callable[..., Tensor]]:
    """Run the body, which generates from a batch, with each forward pass told what it is.

    Args:
        model: the transformers model.
        batch: the prompts, padded on the left.
        counted: what each pass stands in, such as the guard that counts edits.

    Yields:
        a stopping criterion for transformers' `generate`, which stops nothing: by it the columns that are read are known.
    """
    read = batch.ids.shape[1]
    born = _depth.get()
    open_passes: list[ExitStack] = []

    def before(_m: nn.Module, args: Any, kwargs: Any) -> None:
        if _depth.get() > born:
            return
        ids = kwargs.get("input_ids", args[0] if args else None)
        if not isinstance(ids, Tensor):
            raise GuardError(
                f"{type(model).__name__} generates without token ids, so nothing says which tokens pass. Score its options instead."
            )
        entered = ExitStack()
        shown = entered.enter_context(running(step(batch, ids, read)))
        entered.enter_context(counted(shown))
        open_passes.append(entered)

    def after(_m: nn.Module, _args: Any, _kwargs: Any, _output: Any) -> None:
        if _depth.get() <= born:
            open_passes.pop().close()

    def criterion(ids: Tensor, *_: Any, **__: Any) -> Tensor:
        nonlocal read
        read = ids.shape[1]
        return ids.new_zeros(len(ids), dtype=torch.bool)

    handles = [
        model.register_forward_pre_hook(before, with_kwargs=True, prepend=True),
        model.register_forward_hook(after, with_kwargs=True),
    ]
    try:
        yield criterion
    finally:
        for handle in handles:
            handle.remove()
        for entered in reversed(open_passes):  # a pass that failed
            entered.__exit__(*sys.exc_info())


@contextmanager
def asked(model: nn.Module, seen: Callable[[Any], None], **more: Any) -> Iterator[None]:
    """Run the body with `more` added to the arguments of every call of the model, and each output shown to `seen`."""
    born = _depth.get()

    def before(_m: nn.Module, args: Any, kwargs: Any) -> Any:
        return None if _depth.get() > born else (args, {**kwargs, **more})

    def after(_m: nn.Module, _args: Any, output: Any) -> None:
        if _depth.get() <= born:
            seen(output)

    handles = [model.register_forward_pre_hook(before, with_kwargs=True), model.register_forward_hook(after)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def tapped(
    model: nn.Module,
    *,
    before: Mapping[str, Callable[[nn.Module, Any], Any]] | None = None,
    after: Mapping[str, Callable[[nn.Module, Any, Tensor], Any]] | None = None,
) -> Iterator[None]:
    """Run the body with modules, by their paths, shown to functions; what one returns, if not None, stands instead.

    For what is no site: the output that `after` is given is what the module computed itself, before any edit of it.

    Args:
        model: the model.
        before: given the module and its positional arguments.
        after: given the module, its positional arguments and its output.
    """
    born, handles = _depth.get(), []

    def awake(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *shown: None if _depth.get() > born else function(*shown)

    try:
        for path, function in (before or {}).items():
            handles.append(model.get_submodule(path).register_forward_pre_hook(awake(function)))
        for path, function in (after or {}).items():
            handles.append(model.get_submodule(path).register_forward_hook(awake(function), prepend=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def suspensions() -> int:
    """How many `suspended` contexts surround the running code."""
    return _depth.get()


@contextmanager
def suspended() -> Iterator[None]:
    """Run the body as if no edit or read had been asked for outside it: for guards that must probe the bare model.

    Nothing outside notices: no counter moves, no reader sees the probe, no generator of a noisy edit is drawn from.
    """
    token = _depth.set(_depth.get() + 1)
    try:
        yield
    finally:
        _depth.reset(token)


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

    def given(_m: nn.Module, args: Any, kwargs: Any) -> Any:
        return rerouted(args, kwargs, edit, shape[0], count)

    return _Both(
        block.register_forward_pre_hook(enters, with_kwargs=True),
        module.register_forward_pre_hook(given, with_kwargs=True, prepend=first),
    )
