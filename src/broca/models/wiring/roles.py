"""What a writer to the residual stream is: attention, a recurrent or convolutional mixer of tokens, or an MLP.

A writer that is a norm or a short convolution stands for the module whose output it was given. The tensor behind a writer
(`z`, `mlp_act`, `ssm`) is what its output projection reads: the innermost module whose output is the writer's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from broca.models.wiring.recording import Seen

_PROJECTIONS = {
    "attn": ("o_proj", "out_proj", "c_proj", "dense", "attention.out_proj", "wo", "proj"),
    "ssm": ("out_proj", "o_proj", "linear_out", "output", "proj"),
    "mlp": ("down_proj", "c_proj", "fc_out", "dense_4h_to_h", "fc2", "w2", "output_linear", "proj_down"),
}
_RECURRENT = ("a_log", "conv1d", "dt_bias", "dt_proj", "time_decay", "rg_lru", "fgate_preact", "conv")
_QUERIES = ("q", "qkv", "query", "wqkv", "c_attn", "query_key_value", "qkv_proj", "q_proj", "q_a_proj", "q_lin", "wq")
_ATTENTION = ("att", "cross")
_CROSS = ("cross", "encoder_att", "encdec", "encoder_decoder")
_MIXERS = ("mamba", "ssm", "recurrent", "mixer", "linear_attn", "conv", "lstm", "temporal", "rwkv", "operator")
_MLPS = ("mlp", "ffn", "feed", "ff", "moe", "fc", "expert", "intermediate", "output", "dense", "channel")
_RECURRENT_TYPES = ("linear", "mamba", "recurrent", "conv", "rwkv", "ssm")


@dataclass(frozen=True, slots=True)
class Part:
    """The modules of a block that carry sites; None where there is no such single tensor."""

    attn_out: str | None = None
    mlp_out: str | None = None
    z: str | None = None
    mlp_act: str | None = None
    ssm_out: str | None = None
    ssm: str | None = None
    heads: int | None = None


def parts_of(block: nn.Module, seen: Seen, writers: tuple[str, ...], layer_type: str | None) -> Part:
    """The parts of a block whose writers are proved. A role that two writers share belongs to neither.

    Args:
        block: the block.
        seen: its record.
        writers: modules that write to its stream.
        layer_type: what the config calls the layer ("full_attention", "linear_attention", "mamba", ...), if it does.
    """
    modules = dict(block.named_modules())
    found: dict[str, list[tuple[str, str]]] = {"attn": [], "ssm": [], "mlp": []}
    for writer in writers:
        owner = _owner(writer, seen, modules)
        role = _role(owner, modules[owner], layer_type)
        if role:
            found[role].append((writer, owner))
    # Beside attention to the text itself, attention to an encoder's states has no site of its own.
    own = [pair for pair in found["attn"] if not any(key in pair[1].lower() for key in _CROSS)]
    found["attn"] = own or found["attn"]
    paths: dict[str, Any] = {}
    for role, (out, inner) in {
        "attn": ("attn_out", "z"),
        "ssm": ("ssm_out", "ssm"),
        "mlp": ("mlp_out", "mlp_act"),
    }.items():
        if len(found[role]) != 1:
            continue
        writer, owner = found[role][0]
        # Some blocks (OPT, Llama 4) flatten (batch, token, unit) before the MLP: no tensor there has a batch to edit.
        whole = seen.pre is not None and seen.outputs[writer].ndim >= min(3, seen.pre.ndim)
        paths[out] = writer if whole else None
        projection = _projection(owner, role, seen, modules) if whole else None
        paths[inner] = projection if projection and len(seen.shapes.get(projection, ())) == 3 else None
        if role == "attn":
            paths["heads"] = _heads(owner, modules)
    return Part(**paths)


def _owner(writer: str, seen: Seen, modules: Mapping[str, nn.Module]) -> str:
    """The module that computed what a writer hands on: itself, or what a norm after it was given."""
    if writer not in seen.inputs or _projects(modules[writer]) or _deep(modules[writer]):
        return writer
    given = seen.inputs[writer]
    for name in sorted(seen.outputs, key=lambda name: name.count(".")):
        out = seen.outputs[name]
        if name != writer and out.numel() == given.numel() and out.reshape(given.shape).equal(given):
            return name
    return writer


def _deep(module: nn.Module) -> bool:
    return sum(1 for _ in module.modules()) > 2


def _projects(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return weight is not None and getattr(weight, "ndim", 0) == 2


def _role(name: str, module: nn.Module, layer_type: str | None) -> str | None:
    """attn, ssm, mlp; None where neither structure nor name says."""
    parts = {
        part.lower() for path, _ in (*module.named_modules(), *module.named_parameters()) for part in path.split(".")
    }
    last = name.lower().split(".")
    recurrent = layer_type is not None and any(kind in layer_type for kind in _RECURRENT_TYPES)
    recurrent = recurrent or any("lstm" in piece for piece in last)
    mixes = any(key in piece for key in (*_ATTENTION, *_MIXERS) for piece in last)
    asks = bool(parts & set(_QUERIES))
    if (mixes or asks) and not (last[0] in ("mlp", "ffn") or "channel" in last[0]):
        if asks and not recurrent and not parts & {"a_log", "dt_bias", "time_decay"}:
            return "attn"
        if recurrent or parts & set(_RECURRENT) or any("conv" in part for part in parts):
            return "ssm"
        if any(key in piece for key in _ATTENTION for piece in last):
            return "ssm" if any("time_" in part for part in parts) else "attn"
        if not parts & {"up_proj", "gate_proj", "gate", "experts", "down_proj"}:
            return "ssm"
    return "mlp" if any(key in piece for key in (*_MLPS, "mixer") for piece in last) else None


def _projection(owner: str, role: str, seen: Seen, modules: Mapping[str, nn.Module]) -> str | None:
    """The module that reads the tensor behind a writer."""
    if _projects(modules[owner]):
        return owner
    for name in _PROJECTIONS[role]:
        if f"{owner}.{name}" in modules and f"{owner}.{name}" in seen.shapes:
            return f"{owner}.{name}"
    out = seen.outputs.get(owner)
    inner = (name for name in seen.outputs if name.startswith(f"{owner}.") and _projects(modules[name]))
    return next((name for name in inner if out is not None and seen.outputs[name].equal(out)), None)


def _heads(owner: str, modules: Mapping[str, nn.Module]) -> int | None:
    """The number of heads that the attention module, or one around it, gives."""
    names = owner.split(".")
    for n in range(len(names), 0, -1):
        module = modules[".".join(names[:n])]
        for name in ("num_heads", "num_attention_heads", "n_heads", "n_head"):
            if isinstance(value := getattr(module, name, None), int):
                return value
    return None
