"""Which weights of a model a training may change: all, one kind of part, or low-rank additions to them."""

from __future__ import annotations

import warnings
from typing import Any, Literal, get_args

import torch

from broca.errors import ModelError
from broca.models.wiring.anatomy import Anatomy
from broca.registry import unknown

Part = Literal["full", "attention", "mlp", "norm", "lora"]

LORA = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.0}
"""The rank and scale of Hou et al. (2023)."""


def trainable(model: Any, anatomy: Anatomy, part: Part, *, seed: int = 0) -> Any:
    """The model with gradients for `part` alone; another object for "lora", see `merge_adapters`.

    Attention and MLP are what the proved wiring says; norms are every module whose class is called so, the last one too.

    Args:
        model: a transformers model; changed in place.
        anatomy: its wiring.
        part: what may learn.
        seed: of the additions of "lora"; torch's global generator is left as it was.

    Raises:
        UnknownName: if there is no such part.
        ModelError: if the model has no weights there, or "lora" is asked for without peft.
    """
    if part not in get_args(Part):
        raise unknown("Part", part, get_args(Part))
    if part == "lora":
        return _low_rank(model, seed)
    chosen = {id(weight) for module in _modules(model, anatomy, part) for weight in module.parameters()}
    for weight in model.parameters():
        weight.requires_grad_(id(weight) in chosen)
    if not chosen:
        raise ModelError(f"This model has no weights of its own in {part!r}. Train another part.")
    return model


def merge_adapters(model: Any) -> Any:
    """A plain transformers model again: low-rank additions merged into the weights."""
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model


def _modules(model: Any, anatomy: Anatomy, part: Part) -> list[torch.nn.Module]:
    if part == "full":
        return [model]
    if part == "norm":
        return [module for module in model.modules() if "norm" in type(module).__name__.lower()]
    kind = "attn_out" if part == "attention" else "mlp_out"
    paths = [
        f"{anatomy.path}.{layer}.{name.split('.')[0]}"
        for layer, block in enumerate(anatomy.blocks)
        if (name := getattr(block, kind)) is not None
    ]
    return [model.get_submodule(path) for path in paths]


def _low_rank(model: Any, seed: int) -> Any:
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ModelError(
            "Training part 'lora' needs peft. Install it with `pip install 'broca-interp[lora]'`."
        ) from error
    transposed = any(type(module).__name__ == "Conv1D" for module in model.modules())
    options = {"task_type": "CAUSAL_LM", "fan_in_fan_out": transposed, **LORA}
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for a name that it renames
        torch.manual_seed(seed)
        try:
            return get_peft_model(model, LoraConfig(**options))
        except ValueError:  # peft knows no targets for this architecture
            return get_peft_model(model, LoraConfig(target_modules="all-linear", **options))
