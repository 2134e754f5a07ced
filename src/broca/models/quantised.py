"""Whether a model's weights are codes: packed by bitsandbytes, torchao, GPTQ and their like, however they came to be so.

Everything that reads or edits activations works on such a model. Weight edits, gradients of weights and twins do not.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


def quantised(model: Any) -> str | None:
    """How the weights are packed, in a word or two; None where they are plain numbers."""
    config = getattr(model.config, "quantization_config", None)
    if getattr(model, "hf_quantizer", None) is not None or config:
        method = config.get("quant_method") if isinstance(config, dict) else getattr(config, "quant_method", None)
        return str(getattr(method, "value", method) or "by its config")
    packed = (_packing(tensor) for module in model.modules() for tensor in _own(module))
    return next((name for name in packed if name), None)


def _own(module: nn.Module) -> list[Tensor]:
    """The weights of one layer: some packings store them as buffers."""
    found: list[Tensor] = [*module.parameters(recurse=False)]
    if "Linear" in type(module).__name__ and not isinstance(module, nn.Linear):
        found += [tensor for name, tensor in module.named_buffers(recurse=False) if "weight" in name]
    return found


def _packing(tensor: Tensor) -> str | None:
    if hasattr(tensor, "__tensor_flatten__"):
        return type(tensor).__name__
    return str(tensor.dtype).removeprefix("torch.") if not tensor.is_floating_point() or tensor.itemsize < 2 else None
