"""Compiled models: run as they were before compilation, since a compiled graph does not see the hooks of later."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def strip_compilation(model: Any) -> Any:
    """The module inside what `torch.compile` made of it; any other as it is."""
    return getattr(model, "_orig_mod", model)


def is_compiled(model: Any) -> bool:
    """Whether the model, or a part of it, was compiled."""
    return any(
        hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        for module in model.modules()
    )


@contextmanager
def eager() -> Iterator[None]:
    """Run the body without any compiled graph: each module runs its own code, with the hooks that it has now."""
    if "torch._dynamo" not in sys.modules:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield
