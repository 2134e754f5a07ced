"""One batch run many times with small changes: what a change cannot reach is not computed again.

A change at layer l and token t leaves every block below l and every token before t as they were. So the blocks below
hand on what they handed on before, the tokens before come from the cache, and a grid of patches costs a fraction of its
forward passes. Before its first use on a model the short way is proved against whole passes; where a class does not
allow it (a cache that cannot be cut, blocks that pass on more than a hidden state), passes are whole, and `lm.notes`
says so.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from broca.errors import GuardError, StimulusError
from broca.models import hooks
from broca.models.fitting import INCAPABLE, is_out_of_memory
from broca.models.lm import LM
from broca.models.proofs import proof
from broca.models.skipping import first_block, skip_blocks
from broca.models.tokens import Batch
from broca.models.wiring.hidden_state import tensor_of, with_tensor
from broca.sites import Site

Way = Literal["cached", "skipped", "whole"]
"""Blocks below and tokens before are spared; blocks alone; nothing."""

Change = Callable[[Tensor, int], Tensor]
"""Given the tensor at a site, ``(batch, token, unit)``, and the column of the batch that its first token is, its replacement."""

_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""Largest difference of a logit, relative to the largest one: other shapes are rounded in another order."""


@dataclass(slots=True, eq=False)
class Work:
    """How much was computed, in tokens times blocks, and how much whole passes would have taken."""

    done: int = 0
    whole: int = 0
    passes: int = 0
    """Runs of the model, the recordings counted."""

    def __add__(self, other: Work) -> Work:
        return Work(self.done + other.done, self.whole + other.whole, self.passes + other.passes)

    @property
    def saved_share(self) -> float:
        """The share of the work of whole passes that was spared."""
        return 1 - self.done / self.whole if self.whole else 0.0


@dataclass(slots=True, eq=False)
class RecordedBatch:
    """A batch as the model ran it, and what is needed to run it again from the middle."""

    lm: LM
    batch: Batch
    logits: Tensor
    """Next-token logits after each text's last token, ``(batch, vocabulary)``, float32."""
    way: Way
    work: Work
    outputs: list[Any] = field(repr=False)
    """What each block returned."""
    cache: Any = field(repr=False, default=None)
    _cut: dict[int, Any] = field(default_factory=dict, repr=False)

    def again(self, changes: Mapping[Site, Change], *, start: int = 0, layer: int | None = None) -> Tensor:
        """The logits after the last token, ``(batch, vocabulary)`` in float32, with changes made.

        Args:
            changes: what is changed at each site; each must leave columns before `start` alone.
            start: the first column of the batch that is changed.
            layer: the first block that is changed, by something else than `changes` that is in force now and was not when the
                batch was recorded.

        Raises:
            SiteUnavailable: if the model has no such site.
            GuardError: if a change never ran.
        """
        lm, width = self.lm, self.batch.ids.shape[1]
        start = min(start, width - 1) if self.way == "cached" else 0
        first = [first_block(site) for site in changes] + ([] if layer is None else [layer])
        below = min(first, default=lm.anatomy.n_layers) if self.way != "whole" else 0
        self.work.passes += 1
        self.work.done += (lm.anatomy.n_layers - below) * (width - start) * len(self.batch)
        self.work.whole += lm.anatomy.n_layers * width * len(self.batch)
        edits = {site: _edit(change, start) for site, change in changes.items()}
        with (
            skip_blocks(lm, [_from(output, start) for output in self.outputs[:below]]),
            hooks.edit_sites(lm.model, lm.anatomy, edits) as fired,
        ):
            logits = _logits(lm, self.batch, start, self._before(start), spared=below)[0]
        silent = [str(site) for site, times in fired.items() if not times]
        if silent:
            raise GuardError(f"The change at {', '.join(silent)} never ran: this forward pass skips these modules.")
        return logits

    def _before(self, start: int) -> Any:
        """A cache of the tokens before `start`; runs that share it do not see each other."""
        if not start:
            return None
        if start not in self._cut:
            cut = _twin(self.cache)
            cut.crop(start - self.batch.ids.shape[1])  # so many tokens fewer
            self._cut[start] = cut
        return _twin(self._cut[start])


def record(lm: LM, batch: Batch, *, way: Way | None = None, work: Work | None = None) -> RecordedBatch:
    """Run a batch, and keep what later runs of it can spare. Whatever interventions are in force apply, then as now.

    Args:
        lm: the model.
        batch: padded on the left.
        way: insist on one instead of the fastest that was proved for this model.
        work: where to count.

    Raises:
        StimulusError: if the batch is padded on the right.
    """
    if batch.side != "left":
        raise StimulusError("Texts that are run again end in the same column. Pad them on the left.")
    way = way or _way(lm, batch)
    if way == "cached" and any(it.reads_prompt for it in lm.interventions):
        way = "skipped"  # what takes all that passes for the prompt must see the whole of it
    return _record(lm, batch, way, work or Work())


def _record(lm: LM, batch: Batch, way: Way, work: Work) -> RecordedBatch:
    outputs: list[Any] = [None] * lm.anatomy.n_layers

    def keep(layer: int) -> Callable[[nn.Module, Any, Any], None]:
        def after(_module: nn.Module, _args: Any, output: Any) -> None:
            outputs[layer] = output

        return after

    blocks = (
        {f"{lm.anatomy.path}.{layer}": keep(layer) for layer in range(lm.anatomy.n_layers)} if way != "whole" else {}
    )
    with hooks.tap_modules(lm.model, after=blocks):  # before any edit in force, which runs again with the block
        logits, cache = _logits(lm, batch, 0, None, keep=way == "cached")
    work.passes += 1
    work.done += lm.anatomy.n_layers * batch.ids.numel()
    work.whole += lm.anatomy.n_layers * batch.ids.numel()
    return RecordedBatch(lm, batch, logits, way, work, outputs, cache)


def _logits(lm: LM, batch: Batch, start: int, cache: Any, *, keep: bool = False, spared: int = 0) -> tuple[Tensor, Any]:
    short = {"logits_to_keep": 1} if "logits_to_keep" in lm.accepts else {}
    part = Batch(batch.ids[:, start:], batch.mask, batch.positions[:, start:], batch.index, batch.tokens)
    behind = {"past_key_values": cache} if cache is not None else {}
    output = lm.call(part, past=start, spared=spared, use_cache=keep or cache is not None, **behind, **short)
    return output.logits[:, -1].float(), getattr(output, "past_key_values", None)


def _from(output: Any, start: int) -> Callable[[], Any]:
    """What a block returned, from a column on."""
    return lambda: with_tensor(output, tensor_of(output)[:, start:])


def _edit(change: Change, start: int) -> hooks.Edit:
    return lambda values: change(values, start)


def _twin(cache: Any) -> Any:
    """A cache with the same tensors; what is added to one is not in the other."""
    made = copy.copy(cache)
    made.layers = [copy.copy(layer) for layer in cache.layers]
    return made


# -- the proof -----------------------------------------------------------------------------------------------------

_proved: WeakKeyDictionary[nn.Module, tuple[Way, int]] = WeakKeyDictionary()


def _way(lm: LM, batch: Batch) -> Way:
    """The fastest way that gives the logits of whole passes; looked into once for each model, and again for longer texts.

    A sliding window lets a cache be cut as long as texts are shorter than it.
    """
    way: Way
    way, width = _proved.get(lm.model, ("cached", 0))
    if width < batch.ids.shape[1] and (way != "whole" or not width):
        with hooks.suspend():
            of = [len(batch), batch.ids.shape[1]]
            way = proof(lm, "runs from the middle", of, lambda: _prove(lm, batch), "cached")
        _proved[lm.model] = way, batch.ids.shape[1]
    return way


def _prove(lm: LM, batch: Batch) -> Way:
    """Compare with whole passes: a block's output halved from the middle token on, in the middle and in the last block."""
    start = batch.ids.shape[1] // 2
    sites = {Site(layer, "resid_post") for layer in (lm.anatomy.n_layers // 2, lm.anatomy.n_layers - 1)}

    def halve_end(values: Tensor, first: int) -> Tensor:
        return torch.cat([values[:, : start - first], values[:, start - first :] / 2], 1)

    whole = _record(lm, batch, "whole", Work())
    expected = [whole.again({site: halve_end}, start=start) for site in sites]
    off = []
    ways: tuple[Way, ...] = ("cached", "skipped")
    for way in ways:
        try:
            tried = _record(lm, batch, way, Work())
            found = [tried.again({site: halve_end}, start=start) for site in sites]
        except INCAPABLE as error:
            if is_out_of_memory(error):
                raise
            off.append(f"{way}: {type(error).__name__}")
            continue
        worst = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True))
        if worst <= _TOLERANCE.get(lm.dtype, 5e-2):
            break
        off.append(f"{way}: logits off by {worst:.1e} of the largest")
    else:
        way = "whole"
    if way != "cached":
        spared = "only blocks below a change" if way == "skipped" else "nothing"
        note = f"Patching: of this model {spared} can be spared from running again ({'; '.join(off)})."
        lm.notes = [*(other for other in lm.notes if not other.startswith("Patching: of this model")), note]
    return way
