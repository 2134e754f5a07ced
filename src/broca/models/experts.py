"""Experts of mixtures: where they are, and what each of them gives before the router's weights are applied.

Transformers keeps a layer's experts in one module with 3-D parameters, ``(expert, row, column)``; some classes, and code
from elsewhere, in a list of modules. Both are found by shape, not by name of the architecture.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from broca.models.anatomy import Anatomy


@dataclass(frozen=True, slots=True)
class Experts:
    """The experts of one layer that share a router."""

    path: str
    """The module that holds them."""
    count: int
    down: str | None
    """The 3-D parameter that writes, relative to `path`; None where each expert is a module."""


def experts(model: nn.Module, anatomy: Anatomy, layer: int) -> tuple[Experts, ...]:
    """The groups of experts of a layer; none where it is dense."""
    found = []
    block = model.get_submodule(f"{anatomy.path}.{layer}")
    for name, module in block.named_modules():
        own = {key: p for key, p in module.named_parameters(recurse=False) if p.ndim == 3 and p.shape[0] > 1}
        path = f"{anatomy.path}.{layer}.{name}"
        if isinstance(module, nn.ModuleList) and name.endswith("experts") and len(module) > 1:
            found.append(Experts(path, len(module), None))
        elif len(own) >= 2 and len({p.shape[0] for p in own.values()}) == 1 and "expert" in name.lower():
            down = next((key for key in own if "down" in key or key in ("w2", "output_linear")), None)
            found.append(Experts(path, next(iter(own.values())).shape[0], down))
    return tuple(found)
