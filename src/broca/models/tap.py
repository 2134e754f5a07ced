"""Putting a function in place of a model's attention kernel, for a while: the kernel still computes the output.

The only file that knows transformers' AttentionInterface. The function is registered once for each kernel that it can
stand for, together with that kernel's own mask function, so that the model's masks are what they were.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from broca.errors import GuardError
from broca.models import hooks
from broca.models.lm import LM
from broca.models.passes import Pass, current
from broca.models.rows import (
    Compute,
    Look,
    Places,
    Queries,
    RowReplacement,
    Rows,
    blocks,
    probabilities,
    query_places,
    replace_rows,
    rewritten,
    rows_at,
)

Show = Callable[[Rows], None]

Cut = Callable[[int, tuple[int, int, int]], Tensor | None]
"""Given a layer, and how many heads, queries and keys there are in the pass under way: which edges to cut,
``(batch, 1 or head, query, key)``, boolean; None where there are none."""

Swap = Callable[[int, tuple[int, int, int], Compute], RowReplacement | None]
"""Given what a cut is given and what computes the model's own rows: the rows to put in their place; None where there are none."""

BASES = ("sdpa", "eager")
"""The kernels that the tap can stand for: those whose mask it can read."""
_PREFIX = "broca_"


@dataclass(slots=True, eq=False)
class TapState:
    """A model whose kernel is tapped."""

    base: str
    looks: list[tuple[Look, Show, int]] = field(default_factory=list)
    cuts: list[tuple[Cut, int]] = field(default_factory=list)
    swaps: list[tuple[Swap, int]] = field(default_factory=list)
    audit: dict[int, float] | None = None
    """In a proof: the worst error of each layer."""
    shown: dict[int, Pass] = field(default_factory=dict)
    """The pass in which each layer was last shown."""
    _mask: tuple[Pass, Tensor] | None = None
    _places: tuple[tuple[Pass, int], dict[Queries, Places]] | None = None

    def places(self, rows: Queries, n_queries: int) -> Places:
        """Where the queries stand in the pass under way; worked out once a pass."""
        key = (current(), n_queries)
        if self._places is None or self._places[0] != key:
            self._places = (key, {})
        found = self._places[1]
        if rows not in found:
            found[rows] = query_places(rows, self.mask, n_queries)
        return found[rows]

    @property
    def mask(self) -> Tensor:
        """The mask of the pass under way, boolean and on the CPU; fetched once a pass."""
        shown = current()
        if self._mask is None or self._mask[0] is not shown:
            self._mask = (shown, shown.mask.cpu().bool())
        return self._mask[1]


_states: WeakKeyDictionary[nn.Module, TapState] = WeakKeyDictionary()
_homes: WeakKeyDictionary[nn.Module, tuple[TapState, int]] = WeakKeyDictionary()
"""For every module of a tapped model's blocks: its state and layer."""


def decoder_of(lm: LM) -> Any:
    """The innermost transformers model around the blocks: in a vision-language model, the language half."""
    from transformers import PreTrainedModel

    names = lm.anatomy.path.split(".")
    around = (lm.model.get_submodule(".".join(names[:n])) for n in range(len(names), -1, -1))
    return next((module for module in around if isinstance(module, PreTrainedModel)), lm.model)


def implementation_of(lm: LM) -> str:
    """The kernel that the model uses, tapped or not."""
    name = decoder_of(lm).config._attn_implementation or "eager"  # noqa: SLF001 - the only name there is
    return name.removeprefix(_PREFIX)


@contextmanager
def switch_tap(lm: LM) -> Iterator[TapState]:
    """Run the body with the decoder's kernel tapped."""
    if lm.model in _states:
        yield _states[lm.model]
        return
    decoder = decoder_of(lm)
    stack_of_blocks = lm.model.get_submodule(lm.anatomy.path)
    with _restore_attention(decoder.config):
        state = TapState(implementation_of(lm))
        homes = {module: (state, i) for i, block in enumerate(stack_of_blocks.children()) for module in block.modules()}
        try:
            _states[lm.model] = state
            _homes.update(homes)
            _set(decoder, state.base)
            yield state
        finally:
            for module in homes:
                _homes.pop(module, None)
            del _states[lm.model]


@contextmanager
def _restore_attention(config: Any) -> Iterator[None]:
    """Run the body, then put back the attention implementation of a config and its parts."""
    before = _implementations(config)
    try:
        yield
    finally:
        for part, implementation in before:
            part._attn_implementation = implementation  # noqa: SLF001 - the only name there is


def _implementations(config: Any) -> list[tuple[Any, str | None]]:
    """The attention implementation of a config and its parts, outermost first (setting one sets those within)."""
    parts = (getattr(config, name, None) for name in getattr(config, "sub_configs", {}))
    inner = [pair for part in parts if part is not None for pair in _implementations(part)]
    return [(config, config._attn_implementation), *inner]  # noqa: SLF001


def _set(decoder: Any, base: str) -> None:
    """Ask for the tap; a class that bypasses the interface stays as it is."""
    from transformers import AttentionInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface

    name = f"{_PREFIX}{base}"
    AttentionInterface.register(name, _tap)
    AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS[base])
    # Such a class makes transformers log a warning; lm.notes says it once, and says what is done instead.
    log = logging.getLogger("transformers.modeling_utils")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        decoder.set_attn_implementation(name)
    finally:
        log.setLevel(level)


def _tap(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, Tensor | None]:
    """What transformers calls in place of the kernel: the kernel's own result, without edges that are cut, rows swapped."""
    state, layer = _homes[module]
    causal, shape = _causal(module, options), (query.shape[1], query.shape[2], key.shape[2])
    for cut, born in tuple(state.cuts):
        gone = None if hooks.suspensions() > born else cut(layer, shape)
        if gone is not None:
            attention_mask = _without(attention_mask, gone.to(query.device), query.dtype, state.base, causal=causal)
    result = _kernel(module, state.base)(module, query, key, value, attention_mask, **options)
    causal = causal and state.base == "sdpa" and query.shape[2] > 1

    def compute(at: Tensor, heads: Sequence[int] | None) -> Tensor:
        return probabilities(query, key, attention_mask, at, causal=causal, heads=heads, options=options)

    output, own = result[0], compute
    for swap, born in tuple(state.swaps):
        with torch.no_grad():
            new = None if hooks.suspensions() > born else swap(layer, shape, own)
        if new is not None:
            output, own = rewritten(output, value, new), replace_rows(own, new)
    with torch.no_grad():
        if state.audit is not None:
            error = _unlike(compute(torch.arange(query.shape[2])[None], None), value, result[0], state.mask)
            state.audit[layer] = max(error, state.audit.get(layer, 0.0))
        _show_rows(state, layer, shape, own)
    return (output, *result[1:])


def _show_rows(state: TapState, layer: int, shape: tuple[int, int, int], compute: Compute) -> None:
    """Show a layer's rows to whoever looks."""
    # Differential attention calls the kernel twice with the same queries and keys: one call has one set of rows.
    if state.shown.get(layer) is current():
        return
    state.shown[layer] = current()
    for look, show, born in tuple(state.looks):
        if hooks.suspensions() <= born:
            for block in blocks(look, layer, state.places(look.rows, shape[1]), shape, compute):
                show(block)


def _without(mask: Tensor | None, gone: Tensor, dtype: torch.dtype, base: str, *, causal: bool) -> Tensor:
    """The mask with edges cut: what remains of a row is renormalised by the softmax itself."""
    if mask is None:
        queries, keys = gone.shape[-2:]
        seen = torch.ones(queries, keys, dtype=torch.bool, device=gone.device)
        mask = seen.tril(keys - queries)[None, None] if causal else seen[None, None]
    mask = mask[..., : gone.shape[-1]]
    if mask.dtype == torch.bool and base == "sdpa":
        return mask & ~gone
    least = torch.finfo(dtype).min
    if mask.dtype == torch.bool:  # eager kernels add their mask to the scores
        mask = torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, least)
    return mask.masked_fill(gone, least)


def _kernel(module: nn.Module, base: str) -> Callable[..., Any]:
    """The function that the model would itself call.

    Raises:
        GuardError: if it is not where transformers' classes keep it.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    home = sys.modules[type(module).__module__]
    interface = getattr(home, "ALL_ATTENTION_FUNCTIONS", ALL_ATTENTION_FUNCTIONS)
    kernel = getattr(home, "eager_attention_forward", None) if base == "eager" else interface[base]
    if kernel is None:
        raise GuardError(
            f"{type(module).__name__} keeps its {base!r} kernel where the tap cannot find it. Load the model with "
            "attn_implementation='sdpa', or read heads at 'z' sites."
        )
    return kernel


def _causal(module: nn.Module, options: Mapping[str, Any]) -> bool:
    given = options.get("is_causal")
    return bool(getattr(module, "is_causal", True) if given is None else given)


def _unlike(rows: Tensor, value: Tensor, output: Tensor, mask: Tensor) -> float:
    """Relative error of rows times values against the kernel's output ``(batch, token, head, unit)``, padding left out."""
    value = value.to(rows.dtype).repeat_interleave(rows.shape[1] // value.shape[1], 1)
    real = mask.to(rows.device)
    ours = (rows @ value[:, :, : rows.shape[-1]]).transpose(1, 2)[real]
    theirs = output.to(rows.dtype)[real]
    return float((ours - theirs).norm() / theirs.norm())


@contextmanager
def from_weights(lm: LM, look: Look, show: Show) -> Iterator[None]:
    """Run the body with `show` called for rows cut from the attention weights that the class itself returns.

    Raises:
        GuardError: if it returns none, or not one for each layer.
    """

    def see_output(output: Any) -> None:
        maps = getattr(output, "attentions", None) or ()
        if len(maps) != lm.anatomy.n_layers or not all(isinstance(each, Tensor) for each in maps):
            raise GuardError(
                f"{type(lm.model).__name__} bypasses transformers' attention interface and returns no attention "
                "weights, so rows cannot be read. Read heads at 'z' sites instead."
            )
        places = query_places(look.rows, current().mask.cpu().bool(), next(iter(maps)).shape[2])
        for layer, full in enumerate(maps):
            wide = full.dtype if full.dtype == torch.float64 else torch.float32

            def compute(at: Tensor, heads: Sequence[int] | None, full: Tensor = full, wide: Any = wide) -> Tensor:
                return rows_at(full if heads is None else full[:, list(heads)], at).to(wide)

            for block in blocks(look, layer, places, (full.shape[1], full.shape[2], full.shape[3]), compute):
                show(block)

    config = decoder_of(lm).config
    with _restore_attention(config), hooks.add_arguments(lm.model, see_output, output_attentions=True):
        # Falcon computes its weights by hand when they are asked for, but with the boolean mask of its sdpa kernel added
        # to the scores: every key is then seen. The mask must be made for eager attention too.
        config._attn_implementation = "eager"  # noqa: SLF001 - the only name there is
        yield
