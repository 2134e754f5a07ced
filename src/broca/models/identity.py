"""Who a model is: everything that its answers depend on, read anew whenever it is asked for.

The same weights under another config, with an adapter switched off, trained on for a step, or with somebody's hook on a layer are
another model, and no run, stored answer or worker of the one may stand for the other. Weights are hashed once; from then on their
versions and a few of their entries are watched, so that asking stays cheap.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from broca.models.decoding import inherited_settings
from broca.models.foreign import foreign_code
from broca.models.hashes import tokenizer_hash
from broca.models.quantisation import stored_weights
from broca.models.weight_hashes import weight_hash

_OUTWARD = ("_name_or_path", "transformers_version", "_commit_hash", "architectures", "dtype", "torch_dtype")
"""Fields of a config that say where it came from, or what stands in the identity by itself."""
_ENTRIES = 16
"""Entries of each weight that are looked at beside its version: `.data` can be written without a new version."""

Stamp = tuple[Any, ...]


@dataclass(slots=True, eq=False)
class _Known:
    """The hash of a model's weights, and their state when it was taken."""

    stamps: dict[str, Stamp]
    digest: str
    edits: int = 0
    """Edits in place under way, which put back what they change."""


_known: WeakKeyDictionary[nn.Module, _Known] = WeakKeyDictionary()


def identity(model: Any, tokenizer: Any = None, processor: Any = None) -> dict[str, Any]:
    """The parts of a model's identity, by name: its config as it is, hashes of what does not read well.

    Args:
        model: a transformers model.
        tokenizer: its tokenizer.
        processor: of a vision-language model.
    """
    return {
        "fingerprint": weights(model),
        "config": json.loads(json.dumps(_config(model.config), default=str)),
        "state": _hash(dict(_states(model))),
        "hooks": sorted(foreign_code(model)),
        "attention": sorted({str(one) for one in _kernels(model.config)}),
        "dtype": str(model.dtype).removeprefix("torch."),
        "generation": inherited_settings(model),
        "tokenizer": tokenizer_hash(tokenizer),
        "processor": None if processor is None else _hash(_processor(processor)),
    }


def weights(model: Any) -> str:
    """Hash of the weights as they are now (16 hex digits); of those before it, while an edit in place is in force."""
    found = _known.get(model)
    if found is not None and found.edits:
        return found.digest
    stamps = _stamps(model)
    if found is None or found.stamps != stamps:
        found = _Known(stamps, weight_hash(model))
        _known[model] = found
    return found.digest


@contextmanager
def restoring(model: Any) -> Iterator[None]:
    """Run the body, which edits weights in place and puts them back bit for bit: the model is who it was."""
    weights(model)
    known = _known[model]
    known.edits += 1
    try:
        yield
    finally:
        known.edits -= 1
        if not known.edits:
            known.stamps = _stamps(model)


def _stamps(model: Any) -> dict[str, Stamp]:
    """What changes when a weight does, by the weight's name."""
    return {name: _stamp(tensor) for name, tensor in stored_weights(model).items()}


def _stamp(tensor: Tensor) -> Stamp:
    shape = tuple(tensor.shape), tensor.dtype, str(tensor.device)
    if tensor.is_meta or type(tensor) not in (Tensor, nn.Parameter):
        return *shape, id(tensor)
    version = None if tensor.is_inference() else tensor._version  # noqa: SLF001 - the only name there is
    flat = tensor.detach().reshape(-1) if tensor.is_contiguous() else tensor.detach().flatten()
    some = flat[:: max(1, len(flat) // _ENTRIES)][:_ENTRIES].cpu() if len(flat) else flat.cpu()
    return *shape, tensor.data_ptr(), version, some.contiguous().view(torch.uint8).numpy().tobytes()


def _config(config: Any) -> Any:
    """A config and its parts, without what says where it came from."""

    def inner(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): inner(item) for key, item in value.items() if key not in _OUTWARD}
        return [inner(item) for item in value] if isinstance(value, list | tuple) else value

    return inner(config.to_dict())


def _kernels(config: Any) -> Iterator[Any]:
    """The attention kernels of a config and its parts."""
    yield getattr(config, "_attn_implementation", None)
    for name in getattr(config, "sub_configs", {}):
        if (part := getattr(config, name, None)) is not None:
            yield from _kernels(part)


def _states(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """What modules hold beside weights: their classes and settings, adapters in use, tables that no checkpoint has."""
    for name, module in model.named_modules():
        settings = {key: value for key, value in vars(module).items() if _plain(value) and not _passing(key)}
        adapters = {key: _as_list(getattr(module, key)) for key in _ADAPTERS if hasattr(type(module), key)}
        yield name, [type(module).__qualname__, settings, adapters]
    stretching = any(word in str(getattr(model.config, "rope_parameters", "")) for word in ("dynamic", "longrope"))
    lasting = set(model.state_dict())
    for name, table in model.named_buffers():
        # Rotary angles that stretch with the text are remade by the pass that needs them.
        if name not in lasting and not table.is_meta and not (stretching and "inv_freq" in name):
            yield f"buffer {name}", _bytes(table)


_ADAPTERS = ("active_adapters", "disable_adapters", "merged_adapters")
_PASSING = ("cache", "training", "gradient_checkpointing", "rope_deltas", "seen", "warn")
"""In the names of settings that passes change and answers do not depend on."""
_OUTSIDE = ("name_or_path", "kernel_config", "loss_type", "all_tied_weights_keys", "active_adapter")
"""Settings about files, kernels and training; and what stands among the adapters by another name."""


def _passing(name: str) -> bool:
    return name.startswith("_") or name in _OUTSIDE or any(part in name for part in _PASSING)


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(item) for key, item in value.items())
    return value is None or isinstance(value, bool | int | float | str)


def _as_list(value: Any) -> Any:
    return sorted(value) if isinstance(value, list | tuple | set) else value


def _processor(processor: Any) -> list[Any]:
    parts = (getattr(processor, name, None) for name in ("image_processor", "video_processor"))
    settings = [part.to_dict() for part in parts if part is not None and hasattr(part, "to_dict")]
    return [type(processor).__qualname__, settings, getattr(processor, "chat_template", None)]


def _bytes(tensor: Tensor) -> list[Any]:
    content = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return [str(tensor.dtype), list(tensor.shape), hashlib.sha256(content.tobytes()).hexdigest()]


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
