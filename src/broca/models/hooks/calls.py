"""Hooks on a whole model: what each of its calls is, what it is given besides, and what it puts out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from broca.errors import GuardError
from broca.models.hooks.suspension import suspensions
from broca.models.passes import Pass, running, step
from broca.models.tokens import Batch


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
    born = suspensions()
    open_passes: list[ExitStack] = []

    def before(_m: nn.Module, args: Any, kwargs: Any) -> None:
        if suspensions() > born:
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
        if suspensions() <= born:
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
def add_arguments(model: nn.Module, seen: Callable[[Any], None], **more: Any) -> Iterator[None]:
    """Run the body with `more` added to the arguments of every call of the model, and each output shown to `seen`."""
    born = suspensions()

    def before(_m: nn.Module, args: Any, kwargs: Any) -> Any:
        return None if suspensions() > born else (args, {**kwargs, **more})

    def after(_m: nn.Module, _args: Any, output: Any) -> None:
        if suspensions() <= born:
            seen(output)

    handles = [model.register_forward_pre_hook(before, with_kwargs=True), model.register_forward_hook(after)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
