"""Which rows of a fused projection are which, found by what they do to the tensor that the block's next projection reads."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from broca.models.compilation import eager
from broca.models.hooks import tap_modules
from broca.models.placement import device_of
from broca.models.wiring.plain_text import plain_texts
from broca.units.weights import Indices


class _SeenError(Exception):
    """Ends the probing pass once the tensor wanted has been read."""


def qkv_rows(model: Any, module: str, reads: str) -> Mapping[str, Indices]:
    """The query, key and value rows of `module`; empty where they are not told apart cleanly.

    What attention writes for a lone token depends on its value alone; what it writes for the second of two tokens
    depends on the first one's key and value, never on its query. The projection's output is replaced by noise, so that
    no trained weight can saturate the softmax.
    """
    lone = _moves(model, module, reads, length=1)
    first = _moves(model, module, reads, length=2)
    if lone is None or first is None:
        return {}
    value, key = lone, first & ~lone
    query = ~(value | key)
    sizes = query.sum(), key.sum(), value.sum()
    if not (lone <= first).all() or 0 in sizes or sizes[1] != sizes[2] or sizes[0] % sizes[1]:
        return {}
    return {kind: np.flatnonzero(own) for kind, own in (("q", query), ("k", key), ("v", value))}


def gate_rows(model: Any, module: str, reads: str) -> Mapping[str, Indices]:
    """The gate and up rows of `module`: with the sign of the up half turned, the product changes sign and nothing else.

    Empty where neither half, nor every second row, does that.
    """
    given = _noise(model, module, 1)
    with torch.no_grad():
        before = _next_input(model, module, reads, given)
        rows = np.arange(given.shape[-1])
        for up in (rows >= len(rows) // 2, rows < len(rows) // 2, rows % 2 == 1, rows % 2 == 0):
            turned = torch.where(torch.from_numpy(up).to(given.device), -given, given)
            after = _next_input(model, module, reads, turned)
            if before is not None and after is not None and torch.equal(after, -before) and before.abs().max() > 0:
                return {"gate": np.flatnonzero(~up), "up": np.flatnonzero(up)}
    return {}


def _moves(model: Any, module: str, reads: str, *, length: int) -> Any:
    """Which rows of the projection at the first of `length` tokens move what attention writes at the last; ``(row,)``.

    By the plain formula of attention: a softmax over one token has a derivative of exactly 0, but what fused kernels make of it is of
    the size of rounding on some processors.
    """
    given = _noise(model, module, length).requires_grad_()
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        z = _next_input(model, module, reads, given)
        if z is None or not z.requires_grad:
            return None
        last = z.reshape(-1, z.shape[-1])[-1]
        weights = torch.linspace(1, 2, last.shape[-1], device=last.device, dtype=last.dtype)
        (gradient,) = torch.autograd.grad((last * weights).sum(), given)
    return (gradient.reshape(length, -1)[0] != 0).cpu().numpy()


def _noise(model: Any, module: str, length: int) -> Tensor:
    weight = model.get_submodule(module).weight
    rows = weight.shape[0] if isinstance(model.get_submodule(module), torch.nn.Linear) else weight.shape[1]
    draw = torch.Generator().manual_seed(0)
    return torch.randn(1, length, rows, generator=draw).to(weight.device, weight.dtype)


@eager()
def _next_input(model: Any, module: str, reads: str, given: Tensor) -> Tensor | None:
    """What `reads` is given when `module` puts out `given` on as many tokens."""
    seen: list[Tensor] = []

    def replace(_m: Any, _args: Any, output: Tensor) -> Tensor:
        return given.reshape(output.shape)

    def look(_m: Any, args: Any) -> None:
        seen.append(args[0])
        raise _SeenError

    with suppress(_SeenError), tap_modules(model, before={reads: look}, after={module: replace}):
        ids = plain_texts(model, texts=1, tokens=given.shape[1])
        model(input_ids=torch.tensor(ids, device=device_of(model)), use_cache=False)
    return seen[0] if seen else None
