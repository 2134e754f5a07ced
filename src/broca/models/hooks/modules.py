"""Hooks on modules by themselves, for what is no site."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from broca.models.hooks.suspension import sleeping

Watch = Callable[..., None]
"""Shown a module, its positional and its keyword arguments; after it ran, its output too."""


@contextmanager
def tap_modules(
    model: nn.Module,
    *,
    before: Mapping[str, Callable[[nn.Module, Any], Any]] | None = None,
    after: Mapping[str, Callable[[nn.Module, Any, Tensor], Any]] | None = None,
) -> Iterator[None]:
    """Run the body with modules, by their paths, shown to functions; what one returns, if not None, stands instead.

    The output that `after` is given is what the module computed itself, before any edit of it.

    Args:
        model: the model.
        before: given the module and its positional arguments.
        after: given the module, its positional arguments and its output.
    """
    handles = []
    try:
        for path, function in (before or {}).items():
            handles.append(model.get_submodule(path).register_forward_pre_hook(sleeping(function)))
        for path, function in (after or {}).items():
            handles.append(model.get_submodule(path).register_forward_hook(sleeping(function), prepend=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def watch_modules(
    *, before: Iterable[tuple[nn.Module, Watch]] = (), after: Iterable[tuple[nn.Module, Watch]] = ()
) -> Iterator[None]:
    """Run the body with modules shown to functions, behind every edit; nothing is changed.

    A module may come more than once: blocks may share one.

    Args:
        before: called before a module runs.
        after: called when it has run.
    """
    handles = []
    try:
        for module, watch in before:
            handles.append(module.register_forward_pre_hook(watch, with_kwargs=True))
        for module, watch in after:
            handles.append(module.register_forward_hook(watch, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()
