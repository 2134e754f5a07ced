"""A tiny random model of any class that transformers has, made from the defaults of its config.

Sizes are shrunk by what fields are called, in sub-configs too. The number of layers is the smallest that shows every kind
of layer that the class mixes. What these rules get wrong stands in a table of its own.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, Literal, get_args

import torch

from broca.errors import ModelError
from broca.models.tiny_table import FIELDS
from broca.registry import unknown

Family = Literal["causal", "image"]
"""Which of transformers' mappings a class belongs to: causal language models, or image and text to text."""

VOCABULARY = 128
"""Ids of a tiny model: a tokenizer's from the front, those of images and the like from the end."""

LARGEST = 20_000_000
"""More parameters than this are not tiny: a field was overlooked."""

_GRID = 4
"""Patches in a row of an image."""

_SIZES: tuple[tuple[str, int], ...] = (
    (r"(\w+_)?vocab_size\w*|codebook_size|num_embeddings|num_centroids", VOCABULARY),
    (r"(max_|n_)(\w+_)?(positions?|position_embeddings|seq_len|ctx)|context_length|model_max_length", 256),
    (r"(num_|n_|moe_num_)?(local_|routed_)?experts", 4),
    (r"num_experts_per_tok(en)?|moe_top_?k|moe_k", 2),
    (r"(n_|num_|moe_num_)shared_experts|n_group|num_expert_group|topk_group", 1),
    (r"(\w+_)?rank", 8),
    (r"(mamba_d_|ssm_)?stat(e|e_size)|mamba_d_state", 8),
    (r"mamba_n_heads|mamba_num_heads|n_mamba_heads", 8),
    (r"(mamba_)?n_?groups|mamba_chunk_size|chunk_size", 2),
    (r"(\w+_)?(attention_heads|n_heads?|num_heads|num_key_heads|num_value_heads|resampler_heads)", 4),
    (r"qk_rope_head_dim", 8),
    (r"qk_head_dim", 24),
    (r"(\w+_)?(head_dim|d_head|d_kv|head_size|headdim|dim_head|kv_channels)", 16),
    (
        r"(\w+_)?(intermediate_size|ffn_dim|ffn_hidden_size|d_ff|dim_ff|dff|d_inner|n_inner|mlp_dim|feed_forward_size)",
        96,
    ),
    (r"intermediate_size_mlp|share_expert_dim|moe_hidden_size", 96),
    (r"router_hidden_size|hidden_size_per_layer_input", 32),
    (r"(\w+_)?(hidden_size|d_model|n_embd|(embed|emb|embedding|projection|hidden|output|out|in)_dim)", 64),
    (r"(\w+_)?(embedding_size|lru_width|dim_model|hidden_size_global)", 64),
    (r"num_position_embeddings|num_patches", _GRID**2),
    (r"first_k_dense_replace|num_dense_layers", 1),
)
_KV = re.compile(r"(\w+_)?(num_key_value_heads|num_kv_heads|kv_n_heads|num_query_groups)")
_DEPTH = re.compile(
    r"(\w+_)?(num_hidden_layers|n_layers?|num_layers|depth|num_blocks|num_global_layers)|\w*coder_layers|layers"
)
_ID = re.compile(r"\w+_(id|index)")
_LAYERS = re.compile(r"\w*(layers|index|indexes|indices|idxs|layer_ids)")
_ENDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1, "sep_token_id": 2}
_KEPT = ("id2label", "label2id", "dtype")


def tiny(kind: str, family: Family = "causal", *, seed: int = 0, attention: str | None = None) -> Any:
    """A model of transformers' class for `kind`, with weights large enough for every part to matter.

    Args:
        kind: a ``model_type``.
        family: which class of that type.
        seed: of the weights; torch's global generator is left as it was.
        attention: attention implementation ("sdpa", "eager"); transformers' own choice when None.

    Raises:
        UnknownName: if transformers has no such type.
        ModelError: if the class cannot be built from a shrunk config.
    """
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    if family not in get_args(Family):
        raise unknown("family", family, get_args(Family))
    auto = AutoModelForCausalLM if family == "causal" else AutoModelForImageTextToText
    config = tiny_config(kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            with torch.device("meta"):
                size = sum(p.numel() for p in auto.from_config(config).parameters())
            model = auto.from_config(config, attn_implementation=attention) if size <= LARGEST else None
        except Exception as error:
            raise _unbuilt(kind, error) from error
        if model is None:
            raise ModelError(f"{kind!r} has {size:,} parameters after shrinking: a field of its config was overlooked.")
        draw_weights(model, seed)
    return model.float().eval()


def draw_weights(model: torch.nn.Module, seed: int) -> None:
    """Draw weights anew, N(0, 0.2²), and add as much to vectors that are all the same, such as closed gates and scales."""
    draw = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point() and parameter.ndim > 1:
                parameter.normal_(std=0.2, generator=draw)
            elif parameter.is_floating_point() and parameter.numel() and (parameter == parameter.flatten()[0]).all():
                parameter.add_(torch.empty_like(parameter).normal_(std=0.2, generator=draw))


def tiny_config(kind: str) -> Any:
    """The config of `kind` with every size shrunk.

    Raises:
        UnknownName: if transformers has no such ``model_type``.
        ModelError: if the class refuses the shrunk fields.
    """
    from transformers import CONFIG_MAPPING

    if kind not in CONFIG_MAPPING:
        raise unknown("model_type", kind, tuple(CONFIG_MAPPING))
    try:
        config = _shrunk(CONFIG_MAPPING[kind], FIELDS.get(kind, {}))
        _renumber(config)
    except Exception as error:
        raise _unbuilt(kind, error) from error
    return config


def _unbuilt(kind: str, error: Exception) -> ModelError:
    if isinstance(error, ModelError):
        return error
    first = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), "")
    return ModelError(f"A tiny {kind!r} model cannot be built: {type(error).__name__}: {first}.")


def _shrunk(cls: Any, own: Mapping[str, Any], *, part: bool = False) -> Any:
    """An instance of a config class with its sizes shrunk; `own` are fields that the rules would get wrong."""
    from transformers import PreTrainedConfig

    default = _default(cls, own)
    declared = {field.name: _default_value(field) for field in dataclasses.fields(cls) if field.name not in _KEPT}
    layers = {name: size for name, size in declared.items() if _DEPTH.fullmatch(name) and _counts(size)}
    deep = max(layers.values(), default=0)
    few = 2 if part else _cover(default, deep)
    made: dict[str, Any] = {}
    for name, value in declared.items():
        inner = vars(default).get(name)
        if name in own and not isinstance(inner, PreTrainedConfig):
            made[name] = own[name]
        elif isinstance(inner, PreTrainedConfig):
            language = name in ("text_config", "thinker_config", "decoder", "llm_config", "language_config")
            made[name] = _shrunk(type(inner), own.get(name, {}), part=not language)
        elif name in layers:
            made[name] = min(value, few)
        elif _counts(value):
            made[name] = _size(name, value, declared)
        elif isinstance(value, Sequence) and not isinstance(value, str) and value:
            made[name] = _shrink_list(name, value, deep, few, declared)
        elif name in _ENDS:
            made[name] = _ENDS[name]
        elif name == "is_decoder" and not part:
            made[name] = True
    # Some fields are read by the model and declared by no class.
    made |= {name: value for name, value in own.items() if name not in declared and not isinstance(value, Mapping)}
    return cls(**_rotary(made, default))


def _default(cls: Any, own: Mapping[str, Any]) -> Any:
    """What the class is by default; some are valid only with fields of the table."""
    try:
        return cls()
    except Exception:  # noqa: BLE001 - each class validates in its own way
        return cls(**own)


def _default_value(field: Any) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return None if field.default_factory is dataclasses.MISSING else field.default_factory()


def _counts(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _cover(default: Any, deep: int) -> int:
    """How many layers show every kind that the class mixes: at least 3, at most 12."""
    few = 3
    for value in vars(default).values():
        if isinstance(value, list | tuple) and len(value) == deep:
            kinds = list(map(str, value))
            if len(set(kinds)) <= 4:
                few = max(few, *(kinds.index(kind) + 1 for kind in set(kinds)))
    return min(few, 12)


def _size(name: str, value: int, declared: Mapping[str, Any]) -> int:
    if name in _ENDS:
        return _ENDS[name]
    if name == "image_size":
        return _GRID * _patch(declared)
    if _KV.fullmatch(name):
        heads = next(
            (n for k, n in declared.items() if k in ("num_attention_heads", "n_heads", "num_heads") and _counts(n)), 0
        )
        return 1 if value == 1 else 4 if value == heads else 2
    return next((min(size, value) for rule, size in _SIZES if re.fullmatch(rule, name)), value)


def _patch(declared: Mapping[str, Any]) -> int:
    patch = declared.get("patch_size") or 14
    return patch if isinstance(patch, int) else patch[0]


def _shrink_list(name: str, value: Sequence[Any], deep: int, few: int, declared: Mapping[str, Any]) -> Sequence[Any]:
    """A list of one entry a layer is cut, one of layers is spread anew, one of sizes is shrunk."""
    if name == "image_size":
        return _like(value, [_GRID * _patch(declared)] * len(value))
    if len(value) == deep and not all(map(_counts, value[1:])):
        return value[:few]
    if deep and _LAYERS.fullmatch(name) and all(isinstance(i, int) and 0 <= i < deep for i in value):
        return _like(value, sorted({i * few // deep for i in value}))
    if all(map(_counts, value)):
        sizes = [_size(name, size, declared) for size in value]
        return _like(value, sizes[:few] if len(value) == deep else sizes)
    return value


def _like(value: Sequence[Any], items: list[Any]) -> Sequence[Any]:
    return tuple(items) if isinstance(value, tuple) else items


def _rotary(made: dict[str, Any], default: Any) -> dict[str, Any]:
    """The fields, with sections of rotary angles (time, height, width) cut to the width that heads now have."""
    rope = deepcopy(vars(default).get("rope_parameters"))
    found = [scope for scope in _scopes(rope) if scope.get("mrope_section")]
    if "rope_parameters" in made or not found:
        return made
    for scope in found:
        width = made.get("head_dim") or made["hidden_size"] // made["num_attention_heads"]
        share = scope.get("partial_rotary_factor") or made.get("partial_rotary_factor") or 1
        angles, sections = int(width * share) // 2, scope["mrope_section"]
        scope["mrope_section"] = [part * angles // sum(sections) for part in sections]
        scope["mrope_section"][0] += angles - sum(scope["mrope_section"])
    return {**made, "rope_parameters": rope}


def _scopes(rope: Any) -> Iterator[dict[str, Any]]:
    if isinstance(rope, dict):
        yield rope
        for inner in rope.values():
            yield from _scopes(inner)


def _renumber(config: Any) -> None:
    """Move ids beyond the vocabulary into it, from its end, the same for the same in every part."""
    moved: dict[int, int] = {}

    def new(old: Any) -> Any:
        if not _counts(old) or old < VOCABULARY:
            return old
        return moved.setdefault(old, VOCABULARY - 1 - len(moved))

    for part in _parts(config):
        for name, value in list(vars(part).items()):
            if _ID.fullmatch(name):
                setattr(part, name, [new(each) for each in value] if isinstance(value, list) else new(value))


def _parts(config: Any) -> Iterator[Any]:
    from transformers import PreTrainedConfig

    yield config
    for value in vars(config).values():
        if isinstance(value, PreTrainedConfig):
            yield from _parts(value)
