"""Whether a model's weights are codes: packed by bitsandbytes, torchao, GPTQ and their like, however they came to be so.

Everything that reads or edits activations works on such a model. Weight edits, gradients of weights and twins do not; nor do, in
one case, gradients of activations.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from broca.errors import GuardError
from broca.models.gguf import FLOATS


def packing_of(model: Any) -> str | None:
    """How the weights are packed, in a word or two; None where they are plain numbers."""
    config = getattr(model.config, "quantization_config", None)
    if getattr(model, "hf_quantizer", None) is not None or config:
        method = config.get("quant_method") if isinstance(config, dict) else getattr(config, "quant_method", None)
        return str(getattr(method, "value", method) or "by its config")
    packed = (_packing(tensor) for module in model.modules() for tensor in _own(module))
    return next((name for name in packed if name), None)


def unpacking_note(config: Any) -> str | None:
    """Of a model whose weights were unpacked from GGUF, what they were packed as; None where they were plain numbers."""
    types = (getattr(config, "gguf", None) or {}).get("types", {})
    packed = {name: n for name, n in types.items() if name not in FLOATS}
    if not packed:
        return None
    parts = ", ".join(f"{n} {name}" for name, n in packed.items())
    return (
        f"The weights come from GGUF, quantised ({parts}, of {sum(types.values())} tensors), and are unpacked: what is found is "
        "found in these values, not in those of the model that they were made from."
    )


def stored_weights(model: Any) -> dict[str, Tensor]:
    """The weights by name, as `state_dict` has them; read without it where asking for it would change the model.

    On a CPU, bitsandbytes (0.50) lays 4-bit codes out anew for its forward pass, and back again, in another order, when they are
    to be written.
    """
    if not _four_bits_on_cpu(model):
        return {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    found = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    for name, value in list(found.items()):
        state = getattr(value, "quant_state", None)
        found |= {f"{name}.{part}": own for part, own in (state.as_dict(packed=True) if state else {}).items()}
    return found


def _four_bits_on_cpu(model: Any) -> bool:
    first = next((m for m in model.modules() if type(m).__name__ == "Linear4bit"), None)
    return first is not None and next(first.parameters()).device.type == "cpu"


def refuse_gradients(model: Any) -> None:
    """Refuse gradients where they would be zeros that pass for results.

    Raises:
        GuardError: if the model's layers are packed in 4 bits by bitsandbytes (0.50), on a CPU.
    """
    if _four_bits_on_cpu(model):
        raise GuardError(
            "bitsandbytes' 4-bit layers give no gradient on a CPU, and do not say so. Load the model on a GPU, in 8 bits, or "
            "unquantised."
        )


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
