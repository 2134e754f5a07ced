"""On which device a model computes: its weights may lie elsewhere between passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from broca.errors import ModelError

SPREAD = ("balanced", "sequential", "balanced_low_0")
"""Names of accelerate's ways to spread a model."""
_NO_PLACE = ("meta", "disk")


def check_device(device: str | Mapping[str, Any]) -> None:
    """Refuse a device that is not here, before anything is read.

    Raises:
        ModelError: naming the devices that are here.
    """
    if isinstance(device, str):
        if device not in ("auto", *SPREAD):
            _check(device, device)
        return
    for place in device.values():
        if place != "disk":
            _check(f"cuda:{place}" if isinstance(place, int) and torch.cuda.is_available() else place, place)


def _check(device: Any, given: Any) -> None:
    try:
        kind = torch.device(device)
        torch.empty(0, device=kind)
        if kind.type == "cpu" and kind.index:
            raise ValueError("torch counts one CPU, whatever it has")  # noqa: TRY301 - refused like any other
    except Exception as error:
        here = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        here += ["mps"] if torch.backends.mps.is_available() else []
        here += ["xpu"] if torch.xpu.is_available() else []
        raise ModelError(
            f"There is no device {given!r} here that torch can use. There is {', '.join(here)}; 'auto' takes a GPU where there is one, "
            "and 'balanced' spreads a model over what there is."
        ) from error
    if kind.type in _NO_PLACE:
        raise ModelError(
            f"The device {given!r} holds no numbers, so nothing can be computed there. Give cpu, cuda, mps or auto."
        )


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
