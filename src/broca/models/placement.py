"""On which device a model computes: its weights may lie elsewhere between passes."""

from __future__ import annotations

from typing import Any

import torch


def device_of(model: Any) -> torch.device:
    """The device that the model's input goes to.

    Offloaded weights are nowhere (on "meta") between passes; accelerate's hooks know where they are computed with.
    """
    first = next(model.parameters()).device
    if first.type != "meta":
        return first
    hooks = (getattr(module, "_hf_hook", None) for module in model.modules())
    places = (getattr(hook, "execution_device", None) for hook in hooks)
    return torch.device(next((place for place in places if place is not None), "cpu"))
