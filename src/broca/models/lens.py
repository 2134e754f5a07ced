"""The logit lens (nostalgebraist, 2020): what each layer's residual stream would say if it were the last.

What stands between the last block and the logits is found on a probe input, by following the tensor from module to module,
and proved: laid over the last layer, the lens must give the model's own logits. Otherwise it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from broca.errors import AnatomyError
from broca.models import hooks
from broca.models.compilation import eager
from broca.models.lm import LM
from broca.models.wiring.plain_text import plain_texts

_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""Largest relative error of the proof, by dtype."""


@dataclass(frozen=True, slots=True, eq=False)
class Lens:
    """From a residual stream to logits."""

    modules: tuple[nn.Module, ...]
    """In order: the final norm, the unembedding, and what else the model has there."""
    scale: float
    """What the model multiplies its logits by."""
    cap: float | None
    """What it caps them at, softly."""
    error: float
    """Relative error of the proof."""

    @torch.no_grad()
    def __call__(self, states: Tensor) -> Tensor:
        """``(..., unit)`` to logits ``(..., vocabulary)``, float32 or wider."""
        x = states
        for module in self.modules:
            x = module(x)
        x = x.to(torch.float64 if x.dtype == torch.float64 else torch.float32) * self.scale
        return x if self.cap is None else torch.tanh(x / self.cap) * self.cap


_lenses: WeakKeyDictionary[nn.Module, tuple[torch.dtype, Lens]] = WeakKeyDictionary()


def lens(lm: LM) -> Lens:
    """The lens of a model; proved once.

    Raises:
        AnatomyError: if what stands between the last block and the logits is not this model's modules in a row, a scale, and a
            soft cap.
    """
    cached = _lenses.get(lm.model)
    if cached is None or cached[0] != lm.dtype:
        with hooks.suspend():
            cached = (lm.dtype, _prove_lens(lm))
        _lenses[lm.model] = cached
    return cached[1]


@eager()
@torch.no_grad()
def _prove_lens(lm: LM) -> Lens:
    last, modules, logits = _follow_stream(lm)
    cap = getattr(lm.model.config.get_text_config(decoder=True), "final_logit_softcapping", None)
    wide = torch.float64 if logits.dtype == torch.float64 else torch.float32
    ours, theirs = Lens(tuple(modules), 1.0, None, 0.0)(last), logits.to(wide)
    error = scale = float("inf")
    if ours.shape == theirs.shape:
        inner, some = theirs, torch.ones_like(theirs, dtype=torch.bool)
        if cap is not None:  # near the cap a logit is all rounding
            some = theirs.abs() < 0.9 * cap
            inner = torch.atanh((theirs / cap).clamp(-0.9, 0.9)) * cap
        scale = float((inner * ours)[some].sum() / ours[some].square().sum())
        error = float((Lens(tuple(modules), scale, cap, 0.0)(last) - theirs).norm() / theirs.norm())
    if not error <= _TOLERANCE.get(lm.dtype, 1e-4):
        raise AnatomyError(
            f"The logit lens of {type(lm.model).__name__} cannot be proved: its last layer, sent through "
            f"{', '.join(type(m).__name__ for m in modules) or 'nothing'}, does not give the model's logits (relative error "
            f"{error:.1e}). Compare the runs without the lens."
        )
    # A scale that only differs from 1 by rounding is 1.
    return Lens(tuple(modules), 1.0 if abs(scale - 1) <= _TOLERANCE.get(lm.dtype, 1e-4) else scale, cap, error)


def _follow_stream(lm: LM) -> tuple[Tensor, list[nn.Module], Tensor]:
    """What the last block gives, the modules that it then goes through one after the other, and the logits."""
    stack: Any = lm.model.get_submodule(lm.anatomy.path)
    blocks = list(stack.children())
    inside = {module for block in blocks for module in block.modules()}
    state: dict[str, Tensor] = {}
    modules: list[nn.Module] = []

    def after_blocks(_module: nn.Module, _args: Any, _kwargs: Any, output: Any) -> None:
        state["last"] = state["x"] = output if isinstance(output, Tensor) else output[0]

    def after(module: nn.Module, args: Any, _kwargs: Any, output: Any) -> None:
        x = state.get("x")
        given = args[0] if args else None
        if x is None or not isinstance(given, Tensor) or not isinstance(output, Tensor):
            return
        if given.shape == x.shape and torch.equal(given, x):
            modules.append(module)
            state["x"] = output

    leaves = (m for m in lm.model.modules() if m not in inside and next(m.children(), None) is None)
    with hooks.watch_modules(after=[(blocks[-1], after_blocks), *((leaf, after) for leaf in leaves)]):
        ids = plain_texts(lm.model, lm.tokenizer, texts=1)
        logits = lm.model(input_ids=torch.tensor(ids, device=lm.device), use_cache=False).logits
    return state["last"], modules, logits
