"""The other half of a vision-language model: the blocks of its vision tower, and the connector to the language stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

_TOWERS = ("vision", "visual", "image_encoder", "vit")
_CONNECTORS = (
    "multi_modal_projector",
    "modality_projection",
    "connector",
    "merger",
    "aligner",
    "mm_projector",
    "embed_vision",
    "vision_embed_tokens",
    "language_projection",
    "image_to_text_projection",
)


@dataclass(frozen=True, slots=True)
class Vision:
    """Where the parts are; None where there is none."""

    path: str | None
    """The tower's list of blocks."""
    n_blocks: int
    width: int
    """Units of a block's output."""
    connector: str | None


def vision_of(model: nn.Module, stack: str) -> Vision | None:
    """The vision tower and the connector of a model whose language blocks are at `stack`; None in a text model.

    The tower's blocks are the longest list in a module named for vision, the largest of equals.
    """
    lists = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
        and len(module)
        and name != stack
        and any(key in part for part in name.lower().split(".") for key in _TOWERS)
    }
    if not lists:
        return None
    path = max(lists, key=lambda name: (len(lists[name]), sum(p.numel() for p in lists[name].parameters())))
    named = (name for name, _ in model.named_modules() if not name.startswith(f"{path}.") and name != stack)
    found = [name for name in named if name.rpartition(".")[2] in _CONNECTORS]
    return Vision(path, len(lists[path]), _width(lists[path][0]), min(found, key=lambda n: n.count("."), default=None))


def _width(block: Any) -> int:
    """The width of a block's stream: that of its first norm."""
    norms = (m for n, m in block.named_modules() if "norm" in n.rpartition(".")[2].lower() or n.startswith("ln"))
    sizes = (w.shape[0] for m in norms if (w := getattr(m, "weight", None)) is not None)
    return next(sizes, 0)
