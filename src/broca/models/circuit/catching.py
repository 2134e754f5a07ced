"""Gradients at what each part of a model reads of the residual stream, from one backward pass through its activations.

Nothing is added to the stream: what queries, keys and values are, what the MLP is given, and the last stream are caught, each by itself,
and the way back through the projection of each head and through the norm is then gone by itself. So branches never mix, also where
they share a norm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from broca.errors import StatisticsError
from broca.models.circuit.parts import CircuitParts
from broca.models.hooks import Edit, edit_sites, tap_modules
from broca.models.lm import LM
from broca.models.weight_matrices import Matrix
from broca.sites import Site
from broca.units.graph import KINDS


@dataclass(slots=True, eq=False)
class Caught:
    """What was read in one pass with a graph."""

    lm: LM
    parts: CircuitParts
    projected: dict[str, Tensor] = field(default_factory=dict)
    """What each projection to queries, keys or values gave, by module."""
    streams: dict[tuple[int, str], Tensor] = field(default_factory=dict)
    """The stream before attention and before the MLP, by layer."""
    mlp: dict[tuple[int, str], Tensor] = field(default_factory=dict)
    """What each module of the MLP was given, by layer and module."""
    last: Tensor | None = None

    def readers(self, total: Tensor, real: Tensor) -> Iterator[tuple[slice, int, Tensor]]:
        """The gradient of a number with respect to the stream as each reader hears it.

        Args:
            total: the number.
            real: which tokens are no padding, ``(batch, token)``: what comes back to others, which may be NaN, is left out.

        Yields:
            which readers, how many writers they hear, and the gradients, ``(reader, batch, token, channel)``.

        Raises:
            StatisticsError: if one is NaN or infinite.
        """
        assert self.last is not None
        wanted = {(): self.last} | self.projected | self.mlp
        gradients = torch.autograd.grad(total, list(wanted.values()), allow_unused=True)
        found: dict[Any, Tensor] = {
            name: _without_padding(x, g, real) for (name, x), g in zip(wanted.items(), gradients, strict=True)
        }
        graph, last = self.parts.graph, found.pop(())
        _refuse_nan(last)
        for layer in range(graph.n_layers):
            yield graph.attention_of(layer), graph.before(layer), self._heads(layer, found)
            at = graph.reader_mlp(layer)
            yield slice(at, at + 1), graph.before_mlp(layer), self._mlp(layer, found)
        yield slice(len(graph.readers) - 1, len(graph.readers)), len(graph.writers), last[None]

    def _heads(self, layer: int, found: Mapping[Any, Tensor]) -> Tensor:
        """At the stream, of every query, key and value of a layer."""
        own = self.parts.layers[layer]
        graph, parts = self.parts.graph, []
        for kind in KINDS:
            matrix = own.heads[kind]
            n = graph.n_heads if kind == "q" else graph.n_groups
            rows = rows_of(matrix, found[matrix.module])
            rows = rows.reshape(*rows.shape[:-1], n, rows.shape[-1] // n)
            parts.append(torch.einsum("bsne,ned->nbsd", rows, weights_of(self.lm, matrix, n)))
        return self._through(own.attention_norm, self.streams[layer, "attention"], torch.cat(parts))

    def _mlp(self, layer: int, found: Mapping[Any, Tensor]) -> Tensor:
        own, stream = self.parts.layers[layer], self.streams[layer, "mlp"]
        total = sum((found[layer, module].reshape(stream.shape) for module in own.mlp), torch.zeros_like(stream))
        return self._through(own.mlp_norm, stream, total[None])

    def _through(self, norm: str | None, stream: Tensor, gradient: Tensor) -> Tensor:
        """Back through a norm."""
        if norm is None:
            return gradient
        with torch.enable_grad():
            given = stream.detach().expand(gradient.shape).clone().requires_grad_()
            out = self.lm.model.get_submodule(norm).forward(given)
            (back,) = torch.autograd.grad(out, given, gradient.to(out.dtype))
        return back


@contextmanager
def catch_readers(lm: LM, parts: CircuitParts, edits: Mapping[Site, Edit] | None = None) -> Iterator[Caught]:
    """Run the body, one pass with a graph, with what every part reads caught; what enters the first block starts the graph.

    Args:
        lm: the model.
        parts: its readers.
        edits: what stands at sites instead, in force before anything is caught.
    """
    caught = Caught(lm, parts)
    before: dict[str, Callable[[nn.Module, Any], Any]] = {}
    after: dict[str, Callable[[nn.Module, Any, Tensor], Any]] = {}
    watch = StreamWatch(parts, caught.streams)
    for layer, own in enumerate(parts.layers):
        for module in dict.fromkeys(matrix.module for matrix in own.heads.values()):
            after[module] = _catch_projection(caught, module)
        for module in own.mlp:
            before[module] = _catch_input(caught, layer, module)

    def start(x: Tensor) -> Tensor:
        return x.detach().requires_grad_()

    def end(x: Tensor) -> Tensor:
        caught.last = x
        return x.clone()

    # An edit of a projection's output is made on what it gave; what is caught is what the heads are given.
    ends: dict[Site, Edit] = {Site(0, "resid_pre"): start, Site(len(parts.layers) - 1, "resid_post"): end}
    with ExitStack() as open_:
        if edits:
            open_.enter_context(edit_sites(lm.model, lm.anatomy, edits))
        open_.enter_context(edit_sites(lm.model, lm.anatomy, ends))
        open_.enter_context(tap_modules(lm.model, before=watch.before))
        open_.enter_context(tap_modules(lm.model, before=before, after=after))
        yield caught


def _catch_projection(caught: Caught, module: str) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    def catch(_m: nn.Module, _args: Any, output: Tensor) -> Tensor:
        caught.projected[module] = output
        return output.clone()  # some blocks scale queries in place

    return catch


def _catch_input(caught: Caught, layer: int, module: str) -> Callable[[nn.Module, Any], Any]:
    def catch(_m: nn.Module, args: Any) -> Any:
        own = args[0].clone()
        caught.mlp[layer, module] = own
        return (own.clone(), *args[1:])

    return catch


@dataclass(slots=True, eq=False)
class StreamWatch:
    """Hooks that keep the stream as the readers of each layer are given it."""

    parts: CircuitParts
    streams: dict[tuple[int, str], Tensor]

    @property
    def before(self) -> dict[str, Callable[[nn.Module, Any], Any]]:
        """By module: the norms before readers, or the readers themselves where there is none."""
        wanted: dict[str, list[tuple[int, str]]] = {}
        for layer, own in enumerate(self.parts.layers):
            first = own.heads["q"].module
            for name, at in ((own.attention_norm or first, "attention"), (own.mlp_norm or own.mlp[0], "mlp")):
                wanted.setdefault(name, []).append((layer, at))
        return {name: self._keep(keys) for name, keys in wanted.items()}

    def _keep(self, keys: list[tuple[int, str]]) -> Callable[[nn.Module, Any], None]:
        def keep(_module: nn.Module, args: Any) -> None:
            for key in keys:
                self.streams[key] = args[0]

        return keep


def rows_of(matrix: Matrix, x: Tensor) -> Tensor:
    """Those outputs of a projection that are a matrix's own."""
    return x if matrix.rows is None else x[..., torch.as_tensor(matrix.rows, device=x.device)]


def weights_of(lm: LM, matrix: Matrix, n: int) -> Tensor:
    """The weights of a projection head by head, ``(head, width, channel)``, as they are now."""
    weight = matrix.of(lm.model.get_parameter(matrix.parameter).detach())
    return weight.reshape(n, weight.shape[0] // n, weight.shape[1])


def _without_padding(x: Tensor, gradient: Tensor | None, real: Tensor) -> Tensor:
    """A gradient with nothing at padding; one that there is none of is 0."""
    if gradient is None:
        return torch.zeros_like(x)
    return torch.where(real.to(x.device).reshape(*real.shape, 1), gradient.reshape(*real.shape, -1), 0).reshape(x.shape)


def _refuse_nan(gradient: Tensor) -> None:
    if not torch.isfinite(gradient).all():
        raise StatisticsError(
            "Gradients at the last residual stream are NaN or infinite. Load the model in float32 or bfloat16: float16 overflows in many "
            "models."
        )
