"""The hidden state in what a module is given, and in what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

_NAMES = ("hidden_states", "hidden", "x", "activations", "input")
"""Under which a block is given its hidden state."""


def tensor_of(value: Any) -> Tensor:
    """The hidden state in a module's input or output, which may be a tuple that starts with it."""
    return value if isinstance(value, Tensor) else value[0]


def with_tensor(value: Any, tensor: Tensor) -> Any:
    """`value` with its hidden state replaced."""
    if isinstance(value, list):
        return [tensor, *value[1:]]
    return tensor if isinstance(value, Tensor) else (tensor, *value[1:])


def stream_key(kwargs: Mapping[str, Any]) -> str:
    """The name under which a block is given its hidden state, where that is not its first positional argument."""
    known = (name for name in _NAMES if isinstance(kwargs.get(name), Tensor))
    return next(known, None) or next(
        (name for name, x in kwargs.items() if isinstance(x, Tensor) and x.is_floating_point() and x.ndim == 3),
        "hidden_states",
    )
