"""Experts of mixtures: where they are, and their router's weights as one tensor of a site.

Transformers keeps a layer's experts in one module with 3-D parameters, ``(expert, row, column)``, which is given the tokens,
the experts chosen for each, and their weights. Code from elsewhere keeps a list of modules. Both are found by shape.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Experts:
    """The experts of one layer that share a router."""

    path: str
    """The module that holds them, relative to the block."""
    count: int
    routed: bool
    """Whether the module is given the chosen experts and their weights, so that single ones can be held out."""


def experts(block: nn.Module) -> tuple[Experts, ...]:
    """The groups of experts of a block; none where it is dense."""
    found = []
    for name, module in block.named_modules():
        if "expert" not in name.lower():
            continue
        if isinstance(module, nn.ModuleList) and len(module) > 1:
            found.append(Experts(name, len(module), routed=False))
        counts = [p.shape[0] for key, p in module.named_parameters(recurse=False) if p.ndim == 3]
        if len(counts) > 1:
            found.append(Experts(name, min(counts), _is_given_weights(module)))
    return tuple(found)


def _is_given_weights(module: nn.Module) -> bool:
    names = list(inspect.signature(module.forward).parameters)
    return len(names) >= 3 and "ind" in names[1] and "weight" in names[2]


def reroute_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any], edit: Callable[[Tensor], Tensor], shape: Any, count: int
) -> Any:
    """Arguments of an experts module with an edit of its router's weights, or None where nothing changes.

    The edit sees ``(batch, token, expert)``: each expert's weight, 0 where the router did not choose it. An expert that was not
    chosen is not run, whatever the edit says.

    Args:
        args: positional arguments of the module.
        kwargs: its keyword arguments.
        edit: given the weights, returns their replacement.
        shape: batch and tokens of the stream.
        count: how many experts there are.
    """
    names = [name for name in kwargs if "ind" in name or "weight" in name]
    index, weights = args[1:3] if len(args) >= 3 else (kwargs[names[0]], kwargs[names[1]])
    wide = max(count, int(index.max()) + 1) if index.numel() else count
    dense = torch.zeros(*index.shape[:-1], wide, dtype=weights.dtype, device=weights.device).scatter(-1, index, weights)
    before = dense[..., :count].reshape(*shape[:2], count)
    after = edit(before)
    if after is before:
        return None
    dense = torch.cat([after.reshape(*index.shape[:-1], count), dense[..., count:]], -1)
    chosen = dense.gather(-1, index)
    if len(args) >= 3:
        return (args[0], index, chosen, *args[3:]), kwargs
    return args, {**kwargs, names[1]: chosen}
