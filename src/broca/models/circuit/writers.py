"""What each part of a model writes to the residual stream in one pass: enough to tell what every head adds, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from broca.errors import SiteUnavailable
from broca.models.circuit.parts import CircuitParts, LayerParts
from broca.models.hooks import read_sites, tap_modules
from broca.models.lm import LM
from broca.models.tokens import Batch
from broca.sites import Site

_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 2e-2}
"""Largest relative error of a post-norm taken for a scale of each token, by dtype."""


@dataclass(slots=True, eq=False)
class Written:
    """What one pass wrote: tensors of the model's dtype, in the width in which they are small."""

    lm: LM
    parts: CircuitParts
    input: Tensor | None = None
    """``(batch, token, channel)``"""
    z: dict[int, Tensor] = field(default_factory=dict)
    """What the projection behind the heads is given, by layer, ``(batch, token, head x width)``."""
    after: dict[int, Tensor] = field(default_factory=dict)
    """For each layer with a post-norm, by what the norm multiplies each channel at each token, ``(batch, token, channel)``; where heads of
    several runs are mixed, ``(head, batch, token, channel)``."""
    mlp: dict[int, Tensor] = field(default_factory=dict)

    def heads(self, layer: int) -> Tensor:
        """What each head of a layer adds to the stream, ``(head, batch, token, channel)``; biases are nobody's."""
        return added_by_heads(self.lm, self.parts, layer, self.z[layer], self.after.get(layer))

    @property
    def bytes(self) -> int:
        every = [self.input, *self.z.values(), *self.after.values(), *self.mlp.values()]
        return sum(x.numel() * x.element_size() for x in every if x is not None)


def head_weights(lm: LM, parts: CircuitParts, layer: int) -> Tensor:
    """The weights by which each head writes, ``(head, width, channel)``, as they are now."""
    output = parts.layers[layer].output
    weight = output.of(lm.model.get_parameter(output.parameter))
    n = parts.graph.n_heads
    return weight.view(weight.shape[0], n, weight.shape[1] // n).permute(1, 2, 0)


def added_by_heads(lm: LM, parts: CircuitParts, layer: int, z: Tensor, after: Tensor | None = None) -> Tensor:
    """What each head adds, ``(head, batch, token, channel)``, where `z` is what the projection behind them is given."""
    n = parts.graph.n_heads
    x = z.view(*z.shape[:-1], n, z.shape[-1] // n)
    out = torch.einsum("bshe,hed->hbsd", x, head_weights(lm, parts, layer)) * parts.layers[layer].attention_scale
    return out if after is None else out * after


def differences(one: Written, other: Written) -> Tensor:
    """For each writer what it wrote in `other` beyond what it wrote in `one`, ``(writer, batch, token, channel)``."""
    assert one.input is not None
    assert other.input is not None
    found = [(other.input - one.input)[None]]
    for layer, parts in enumerate(one.parts.layers):
        if parts.post_norm is None:
            found.append(added_by_heads(one.lm, one.parts, layer, other.z[layer] - one.z[layer]))
        else:
            found.append(other.heads(layer) - one.heads(layer))
        found.append((other.mlp[layer] - one.mlp[layer])[None] * parts.mlp_scale)
    return torch.cat(found)


@contextmanager
def keep_written(lm: LM, parts: CircuitParts) -> Iterator[Written]:
    """Run the body, one forward pass, with what every part writes kept."""
    kept, given = Written(lm, parts), dict[int, Tensor]()
    reads: dict[Site, Callable[[Tensor], None]] = {Site(0, "resid_pre"): lambda x: setattr(kept, "input", x.clone())}
    before: dict[str, Callable[[nn.Module, Any], Any]] = {}

    def take_z(layer: int) -> Callable[[nn.Module, Any], None]:
        return lambda _m, args: kept.z.update({layer: args[0].clone()})

    def take_mlp(layer: int) -> Callable[[Tensor], None]:
        return lambda x: kept.mlp.update({layer: x.clone()})

    def take_norm(layer: int) -> Callable[[nn.Module, Any], None]:
        return lambda _m, args: given.update({layer: args[0]})

    def take_after(layer: int) -> Callable[[Tensor], None]:
        return lambda x: kept.after.update({layer: post_scale(lm, parts.layers[layer], given.pop(layer), x)})

    for layer, own in enumerate(parts.layers):
        before[own.output.module] = take_z(layer)
        reads[Site(layer, "mlp_out")] = take_mlp(layer)
        if own.post_norm is not None:
            before[own.post_norm] = take_norm(layer)
            reads[Site(layer, "attn_out")] = take_after(layer)
    with ExitStack() as open_:
        open_.enter_context(tap_modules(lm.model, before=before))
        open_.enter_context(read_sites(lm.model, lm.anatomy, reads))
        yield kept


@torch.no_grad()
def run_written(lm: LM, parts: CircuitParts, batch: Batch) -> Written:
    """What every part writes in one pass over a batch."""
    with keep_written(lm, parts) as written:
        lm.last_logits(batch)
    return written


def mix(own: Written, other: Written, writers: Iterable[int]) -> Written:
    """What was written in `own`, but for some parts, that wrote what they wrote in `other`.

    Args:
        own: what all others wrote.
        other: what these wrote.
        writers: by their places in the graph.
    """
    n = own.parts.graph.n_heads
    made = Written(own.lm, own.parts, own.input, dict(own.z), dict(own.after), dict(own.mlp))
    for writer in writers:
        layer, head = divmod(writer - 1, n + 1)
        if writer == 0:
            made.input = other.input
        elif head == n:
            made.mlp[layer] = other.mlp[layer]
        else:
            z = made.z[layer].unflatten(-1, (n, -1)).clone()
            z[..., head, :] = other.z[layer].unflatten(-1, (n, -1))[..., head, :]
            made.z[layer] = z.flatten(-2)
            if layer in made.after:
                each, theirs = (x.after[layer].expand(n, *x.z[layer].shape[:2], -1) for x in (made, other))
                made.after[layer] = torch.cat([each[:head], theirs[head : head + 1], each[head + 1 :]])
    return made


def post_scale(lm: LM, own: LayerParts, given: Tensor, out: Tensor) -> Tensor:
    """By what a norm multiplied what it was given, ``(batch, token, channel)``: a number a token, times one a channel.

    So what each head adds behind the norm is its share of what the norm gave, and the shares add up to it.

    Raises:
        SiteUnavailable: if the norm does anything else, such as taking a mean away.
    """
    module = lm.model.get_submodule(own.post_norm or "")
    wide = given.double()
    gain = module.forward(torch.ones_like(given[:1, :1])).double()
    scaled = wide * gain
    factor = (scaled * out.double()).sum(-1, keepdim=True) / scaled.square().sum(-1, keepdim=True).clamp(min=1e-300)
    off = float((factor * scaled - out.double()).detach().norm() / out.double().detach().norm().clamp(min=1e-300))
    if off > _TOLERANCE.get(out.dtype, 1e-2):
        raise SiteUnavailable(
            f"{own.post_norm} of {lm.name} does more than scale what its heads write, so that no head's share of it can be told. "
            "Patch whole sites instead."
        )
    return (factor * gain).to(out.dtype)
