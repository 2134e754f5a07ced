"""Edge patching: chosen readers hear chosen writers as another run had them, and all others as they are now.

What a reader hears is the stream plus, for each edge that is patched, what the writer wrote in the other run less what it writes now
(Hanna et al., 2024; Conmy et al., 2023). With every edge patched the pass is the other run's; with all edges of one writer it is plain
activation patching of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from broca.models.circuit.catching import StreamWatch, weights_of
from broca.models.circuit.parts import CircuitParts
from broca.models.circuit.writers import Written, added_by_heads, post_scale
from broca.models.hooks import Edit, edit_sites, read_sites, tap_modules
from broca.models.lm import LM
from broca.sites import Site
from broca.units.graph import KINDS, EdgeMask

Donor = Callable[[Tensor], Written | None]
"""Given what enters the first block, what the other run wrote; None where this pass is left alone."""


@dataclass(slots=True, eq=False)
class _Patching:
    """One pass with edges patched."""

    lm: LM
    parts: CircuitParts
    off: Tensor
    """Which edges are patched, ``(writer, reader)``."""
    donor: Donor
    other: Written | None = None
    apart: Tensor | None = None
    """For each writer what it wrote in the other run less what it wrote now, ``(writer, batch, token, channel)``."""
    streams: dict[tuple[int, str], Tensor] = field(default_factory=dict)
    given: dict[int, Tensor] = field(default_factory=dict)

    @property
    def graph(self) -> Any:
        return self.parts.graph

    def enter(self, x: Tensor) -> Tensor:
        """The pass begins."""
        self.other = self.donor(x)
        if self.other is not None:
            assert self.other.input is not None
            self.apart = x.new_zeros(len(self.graph.writers), *x.shape)
            self.apart[0] = self.other.input - x
        return x

    def take_heads(self, layer: int, z: Tensor) -> None:
        if self.other is None or self.apart is None or self.parts.layers[layer].post_norm is not None:
            if self.other is not None:
                self.given[layer] = z
            return
        self.apart[self.graph.heads_of(layer)] = added_by_heads(self.lm, self.parts, layer, self.other.z[layer] - z)

    def take_normed(self, layer: int, before: Tensor, out: Tensor) -> None:
        """Behind a post-norm the shares of the heads are known."""
        if self.other is None or self.apart is None:
            return
        scale = post_scale(self.lm, self.parts.layers[layer], before, out)
        now = added_by_heads(self.lm, self.parts, layer, self.given.pop(layer), scale)
        self.apart[self.graph.heads_of(layer)] = self.other.heads(layer) - now

    def take_mlp(self, layer: int, out: Tensor) -> None:
        if self.other is not None and self.apart is not None:
            own = self.other.mlp[layer] - out
            self.apart[self.graph.mlp_of(layer)] = own * self.parts.layers[layer].mlp_scale

    def heard(self, readers: slice) -> tuple[Tensor, Tensor] | None:
        """Which of some readers have an edge patched, and by how much the stream differs for each of them; None where none has."""
        if self.apart is None:
            return None
        off = self.off[:, readers]
        which = off.any(0).nonzero()[:, 0]
        if not len(which):
            return None
        apart = self.apart[: int(off.any(1).nonzero()[-1]) + 1]
        # Of several readers with the same edges patched, one sum.
        kinds, back = torch.unique(off[: len(apart), which].T, dim=0, return_inverse=True)
        flat = kinds.to(apart) @ apart.flatten(1)
        return which, flat.view(len(kinds), *apart.shape[1:])[back]

    def project(self, layer: int, module: str, output: Tensor) -> Tensor | None:
        """The output of a projection with what its patched heads hear."""
        own, graph = self.parts.layers[layer], self.graph
        start, made = graph.attention_of(layer).start, None
        for kind in KINDS:
            matrix, n = own.heads[kind], graph.n_heads if kind == "q" else graph.n_groups
            readers, start = slice(start, start + n), start + n
            if matrix.module != module or (found := self.heard(readers)) is None:
                continue
            which, apart = found
            heard = self.norm(own.attention_norm, self.streams[layer, "attention"] + apart)
            weight = weights_of(self.lm, matrix, n)[which]
            values = torch.einsum("nbsd,ned->bsne", heard, weight)
            rows = torch.arange(output.shape[-1], device=output.device)
            rows = rows if matrix.rows is None else rows[torch.as_tensor(matrix.rows, device=output.device)]
            rows = rows.view(n, -1)[which]
            bias = getattr(self.lm.model.get_submodule(module), "bias", None)
            if bias is not None:
                values = values + bias.detach()[rows]
            made = output.clone() if made is None else made
            made[..., rows.flatten()] = values.flatten(2).reshape(*output.shape[:-1], -1)
        return made

    def feed(self, layer: int, args: Any) -> Any:
        """What the MLP is given with what it hears."""
        at = self.graph.reader_mlp(layer)
        found = self.heard(slice(at, at + 1))
        if found is None:
            return None
        heard = self.norm(self.parts.layers[layer].mlp_norm, self.streams[layer, "mlp"] + found[1][0])
        return (heard.reshape(args[0].shape), *args[1:])

    def leave(self, x: Tensor) -> Tensor:
        """The last stream with what the logits hear."""
        last = len(self.graph.readers) - 1
        found = self.heard(slice(last, last + 1))
        self.apart = self.other = None
        self.streams.clear()
        return x if found is None else x + found[1][0]

    def norm(self, module: str | None, x: Tensor) -> Tensor:
        return x if module is None else self.lm.model.get_submodule(module).forward(x)


@contextmanager
def patch_edges(lm: LM, parts: CircuitParts, off: EdgeMask, donor: Donor) -> Iterator[dict[Site, int]]:
    """Run the body with edges patched in every pass.

    Args:
        lm: the model.
        parts: its readers and writers.
        off: the edges that are patched.
        donor: gives what the other run wrote.

    Yields:
        how often the last stream was patched or passed, as edits of sites are counted.
    """
    own = _Patching(lm, parts, torch.from_numpy(off.matrix).to(lm.device), donor)
    with ExitStack() as open_:
        ends: dict[Site, Edit] = {Site(0, "resid_pre"): own.enter, _last(parts): own.leave}
        fired = open_.enter_context(edit_sites(lm.model, lm.anatomy, ends))
        before, after, reads = _writing(own)
        more_before, more_after = _reading(own)
        open_.enter_context(tap_modules(lm.model, before=StreamWatch(parts, own.streams).before))
        open_.enter_context(tap_modules(lm.model, before=before | more_before, after=after | more_after))
        open_.enter_context(read_sites(lm.model, lm.anatomy, reads))
        yield fired


@contextmanager
def patch_known(lm: LM, parts: CircuitParts, off: EdgeMask, apart: Tensor) -> Iterator[None]:
    """Run the body, one pass that may begin at the first patched reader, with edges patched whose writers are all as they were.

    Args:
        lm: the model.
        parts: its readers and writers.
        off: the edges that are patched: no patched reader stands before a patched writer, as is so of one edge.
        apart: what each writer wrote in the other run beyond what it wrote in this one, ``(writer, batch, token, channel)``.
    """
    own = _Patching(lm, parts, torch.from_numpy(off.matrix).to(lm.device), lambda _x: None, apart=apart)
    with ExitStack() as open_:
        open_.enter_context(edit_sites(lm.model, lm.anatomy, {_last(parts): own.leave}))
        before, after = _reading(own)
        open_.enter_context(tap_modules(lm.model, before=StreamWatch(parts, own.streams).before))
        open_.enter_context(tap_modules(lm.model, before=before, after=after))
        yield


def _last(parts: CircuitParts) -> Site:
    return Site(len(parts.layers) - 1, "resid_post")


def _reading(own: _Patching) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is done before and after modules that read: nothing where no edge into them is patched."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for layer, each in enumerate(own.parts.layers):
        if own.off[:, own.graph.attention_of(layer)].any():
            for module in dict.fromkeys(matrix.module for matrix in each.heads.values()):
                after[module] = _projecting(own, layer, module)
        if own.off[:, own.graph.reader_mlp(layer)].any():
            before |= dict.fromkeys(each.mlp, _feeding(own, layer))
    return before, after


def _writing(own: _Patching) -> tuple[dict[str, Any], dict[str, Any], dict[Site, Any]]:
    """What is done before and after modules that write, and with what is read at sites: nothing where no edge from them is patched."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    reads: dict[Site, Any] = {}
    graph, writes = own.graph, own.off.any(1)
    for layer, each in enumerate(own.parts.layers):
        if writes[graph.heads_of(layer)].any():
            before[each.output.module] = _taking_z(own, layer)
            if each.post_norm is not None:
                after[each.post_norm] = _taking_normed(own, layer)
        if writes[graph.mlp_of(layer)]:
            reads[Site(layer, "mlp_out")] = _taking_mlp(own, layer)
    return before, after, reads


def _projecting(own: _Patching, layer: int, module: str) -> Callable[[nn.Module, Any, Tensor], Tensor | None]:
    return lambda _m, _args, output: own.project(layer, module, output)


def _feeding(own: _Patching, layer: int) -> Callable[[nn.Module, Any], Any]:
    return lambda _m, args: own.feed(layer, args)


def _taking_z(own: _Patching, layer: int) -> Callable[[nn.Module, Any], None]:
    return lambda _m, args: own.take_heads(layer, args[0])


def _taking_normed(own: _Patching, layer: int) -> Callable[[nn.Module, Any, Tensor], None]:
    return lambda _m, args, out: own.take_normed(layer, args[0], out)


def _taking_mlp(own: _Patching, layer: int) -> Callable[[Tensor], None]:
    return lambda x: own.take_mlp(layer, x)
