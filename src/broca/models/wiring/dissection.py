"""Reading a decoder: where its blocks are, and which modules write to the residual stream.

Nothing here knows an architecture by name. On plain texts every block must be *proved*: what comes out is what went in
plus what its writers write, each times a constant, between norms if it has any (``broca.models.wiring.proof``). Then the writers
are told apart by what they are: attention, a recurrent or convolutional mixer of tokens, an MLP. A wiring that fails its
proof is refused at load, instead of silently lesioning the wrong tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from broca.errors import AnatomyError, ModelError
from broca.models.compilation import eager
from broca.models.wiring.anatomy import Anatomy, Block
from broca.models.wiring.experts import experts
from broca.models.wiring.proof import Way, ways
from broca.models.wiring.recording import Probe, Seen, probe, streams_of
from broca.models.wiring.roles import Part, parts_of
from broca.models.wiring.vision import vision_of

_LISTS = ("layers", "layer", "h", "blocks", "block")
"""What lists of blocks are called; beside them there may be lists of cross attention, say."""


@eager()
def dissect(
    model: nn.Module,
    parts: Mapping[str, str | None] | None = None,
    path: str | None = None,
    *,
    tokenizer: Any = None,
) -> Anatomy:
    """Find a decoder's parts and prove the finding on plain texts.

    Args:
        model: a transformers language model.
        parts: for an architecture that is not found by itself: module paths relative to the block for `attn_out`,
            `mlp_out`, `z` and `mlp_act`. They are proved like found ones.
        path: module path of the list of blocks, where it is not the decoder's own.
        tokenizer: the model's, of whose words the texts are made; without one, ids spread over the vocabulary are shown.

    Raises:
        AnatomyError: if no list of blocks is found, the residual identity does not hold, or `parts` name what is not
            there.
    """
    config: Any = model.config.get_text_config(decoder=True)  # type: ignore[operator,union-attr]
    stack_path = path or _stack(model, getattr(config, "num_hidden_layers", None))
    stack = dict(model.named_modules()).get(stack_path)
    if not isinstance(stack, nn.ModuleList):
        raise AnatomyError(f"{stack_path!r} is no list of blocks of {type(model).__name__}. Give a ModuleList's path.")
    for block in stack:
        _spelt(block, parts or {})
    shown = probe(model, stack, tokenizer)
    width = (
        getattr(config, "hidden_size", 0)
        if all(_several(seen, config) for seen in shown.seen)
        else _sound(model, shown)
    )
    heads = getattr(config, "num_attention_heads", None) or 0
    heads = heads if isinstance(heads, int) else 0
    kinds = getattr(config, "layer_types", None) or ()
    kinds = kinds if len(kinds) == len(stack) else (None,) * len(stack)
    seen = [_only_given(each, parts) for each in shown.seen]
    proved = ways(list(stack.children()), seen, width=width, by_hand=parts is not None)
    return Anatomy(
        path=stack_path,
        blocks=tuple(
            _wire(block, each, way, parts, kind, on_text=layer in shown.text)
            for layer, (block, each, way, kind) in enumerate(zip(stack.children(), seen, proved, kinds, strict=True))
        ),
        n_heads=heads,
        n_kv_heads=getattr(config, "num_key_value_heads", None)
        or (1 if getattr(config, "multi_query", False) else heads),
        d_model=width,
        positions=shown.positions,
        vision=vision_of(model, stack_path),
    )


def _several(seen: Seen, config: Any) -> bool:
    """Whether a block carries several streams, as wide together as the config says that one is."""
    width = getattr(config, "hidden_size", None)
    return isinstance(width, int) and streams_of(seen, width) is not None


def _sound(model: nn.Module, shown: Probe) -> int:
    """The width of the stream, if it is one: finite, ``(batch, token, unit)``, the same before and after each block."""
    name = type(model).__name__
    for layer, seen in enumerate(shown.seen):
        if seen.pre is None or seen.post is None or seen.pre.shape != seen.post.shape:
            raise AnatomyError(f"{name}: block {layer} does not take one hidden state and give one of the same shape.")
        odd = seen.pre.ndim != 3 or seen.pre.shape[0] != 1 or (shown.tokens and seen.pre.shape[1] != shown.tokens)
        if odd or seen.streams > 1:
            raise AnatomyError(
                f"{name}: between blocks there is no single residual stream (batch, token, unit), but "
                f"{max(seen.streams, 1)} of shape {tuple(seen.pre.shape)} for one text of {shown.tokens} tokens. Its sites "
                "would not be what their names say."
            )
        if not all(torch.isfinite(text.post).all() for text in (seen, *seen.more) if text.post is not None):
            dtype = str(seen.post.dtype).removeprefix("torch.")
            other = {"float16": "bfloat16 or float32", "bfloat16": "float32"}.get(dtype)
            why = f"are damaged, or overflow in {dtype}: load it in {other}, or" if other else "are damaged:"
            raise ModelError(
                f"{name} gives NaN or infinite activations after layer {layer}, on a plain text. Its weights {why} get it again."
            )
    assert shown.seen[0].pre is not None
    return shown.seen[0].pre.shape[-1]


def _spelt(block: nn.Module, parts: Mapping[str, str | None]) -> None:
    """Refuse hand-given parts that would be overlooked in silence."""
    kinds = ("attn_out", "mlp_out", "z", "mlp_act")
    modules = [name for name, _ in block.named_modules() if name]
    for given, name, known in (*((k, k, kinds) for k in parts), *((k, n, modules) for k, n in parts.items() if n)):
        if name not in known:
            near = get_close_matches(name, known, n=2) or known[:4]
            raise AnatomyError(
                f"{type(block).__name__}: {name!r}, given for {given}, is not one of its parts. Near: {', '.join(near)}."
            )


def _stack(model: nn.Module, n_layers: int | None) -> str:
    """The path of the decoder's list of blocks: with an entry per layer, the largest of several."""
    paths = {module: name for name, module in model.named_modules()}
    own = getattr(model, "get_decoder", lambda: None)()
    inside = f"{paths[own]}." if paths.get(own) else ""
    every = {n: m for n, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m)}
    lists = {n: m for n, m in every.items() if n.startswith(inside)} or every
    fitting = {n: m for n, m in lists.items() if len(m) == n_layers}
    if not fitting and inside:
        # Some configs count otherwise than the list does: sub-layers, say, or an encoder's layers.
        outermost = min((name.count(".") for name in lists), default=0)
        fitting = {name: m for name, m in lists.items() if name.count(".") == outermost}
    if not fitting:
        raise AnatomyError(
            f"{type(model).__name__} has no list of {n_layers} blocks. Name it: LM.wrap(model, tokenizer, "
            "anatomy=broca.models.wiring.dissection.dissect(model, path='...'))."
        )

    def size(name: str) -> tuple[bool, int]:
        return name.rpartition(".")[2] in _LISTS, sum(p.numel() for p in fitting[name].parameters())

    return max(fitting, key=size)


def _only_given(seen: Seen, given: Mapping[str, str | None] | None) -> Seen:
    """What was seen of the modules that a person named alone; all of it where nobody did."""
    if given is not None:
        for text in (seen, *seen.more):
            wanted = {given.get("attn_out"), given.get("mlp_out")}
            text.outputs = {name: x for name, x in text.outputs.items() if name in wanted}
    return seen


def _wire(
    block: nn.Module,
    seen: Seen,
    way: Way,
    given: Mapping[str, str | None] | None,
    layer_type: str | None,
    *,
    on_text: bool,
) -> Block:
    """The block's way of the stream, and what its writers are."""
    if "streams" in way.form:
        seen.outputs |= seen.thin
        seen.inputs |= seen.thin_inputs
    scales = [scale for step in way.steps for _, scale in step.writers]
    groups = [group for group in experts(block) if group.routed] if given is None else []
    mixture = groups[0] if len(groups) == 1 else None
    common = max(scales) - min(scales) <= 1e-2 * abs(scales[0])
    writers = tuple(name for step in way.steps for name, _ in step.writers)
    part = parts_of(block, seen, writers, layer_type) if given is None else _by_hand(seen, given)
    return Block(
        attn_out=part.attn_out,
        mlp_out=part.mlp_out,
        z=part.z,
        mlp_act=part.mlp_act,
        ssm_out=part.ssm_out,
        ssm=part.ssm,
        experts=mixture.path if mixture else None,
        widths=({"experts": mixture.count} if mixture else {})
        | {kind: seen.shapes[name][-1] for kind in ("z", "mlp_act", "ssm") if (name := getattr(part, kind))},
        scale=sum(scales) / len(scales) if common else float("nan"),
        error=max(step.error for step in way.steps),
        steps=way.steps,
        others=tuple(name for name in writers if name not in (part.attn_out, part.mlp_out, part.ssm_out)),
        heads=part.heads,
        on_text=on_text,
        **way.form,
    )


def _by_hand(seen: Seen, given: Mapping[str, str | None]) -> Part:
    batched = {
        kind: name for kind in ("z", "mlp_act") if (name := given.get(kind)) and len(seen.shapes.get(name, ())) == 3
    }
    return Part(given.get("attn_out"), given.get("mlp_out"), batched.get("z"), batched.get("mlp_act"))
