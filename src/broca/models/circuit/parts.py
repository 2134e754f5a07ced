"""Which modules of a decoder read its residual stream and which write to it, head by head.

Built on the proved wiring (`broca.models.wiring`), and by values alone: the norm before a reader is the module that was given the
stream and gave what the reader was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from broca.errors import SiteUnavailable
from broca.models.hooks import suspend
from broca.models.lm import LM
from broca.models.weight_matrices import Matrix, matrices
from broca.models.wiring.recording import Seen, probe
from broca.sites import Site
from broca.units.graph import KINDS, EdgeGraph

_LIKE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float16: 5e-3}
"""Largest relative error of a proof by values, by dtype."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerParts:
    """One layer: module paths from the model's root."""

    attention_norm: str | None
    """Between the stream and queries, keys and values; None where they read it as it is."""
    heads: Mapping[str, Matrix]
    """The projections to queries, keys and values, by kind."""
    output: Matrix
    """The projection of the heads' values back."""
    post_norm: str | None
    """A norm between that and the stream."""
    attention_scale: float
    mlp_norm: str | None
    mlp: tuple[str, ...]
    """The modules of the MLP that read what its norm gives."""
    mlp_scale: float


@dataclass(frozen=True, slots=True, eq=False)
class CircuitParts:
    """Readers and writers of a model."""

    graph: EdgeGraph
    layers: tuple[LayerParts, ...]


_found: WeakKeyDictionary[nn.Module, CircuitParts] = WeakKeyDictionary()


def circuit_parts(lm: LM) -> CircuitParts:
    """The parts of a model, found once.

    Raises:
        SiteUnavailable: naming the layer and what of it is not known: several streams, writers that are neither attention nor MLP,
            norms on the stream itself, projections that are neither Linear nor Conv1D.
    """
    if lm.model not in _found:
        with suspend(), torch.no_grad():
            _found[lm.model] = _find(lm)
    return _found[lm.model]


def _find(lm: LM) -> CircuitParts:
    stack = lm.model.get_submodule(lm.anatomy.path)
    seen = probe(lm.model, stack, lm.tokenizer).seen
    by_layer: list[list[Matrix]] = [[] for _ in seen]
    for matrix in matrices(lm.model, lm.anatomy):
        by_layer[matrix.address.layer].append(matrix)
    found = [_layer(lm, layer, each, by_layer[layer]) for layer, each in enumerate(seen)]
    anatomy = lm.anatomy
    graph = EdgeGraph(anatomy.n_heads, anatomy.n_kv_heads, tuple(parallel for _, parallel in found))
    return CircuitParts(graph, tuple(each for each, _ in found))


def _layer(lm: LM, layer: int, seen: Seen, own: list[Matrix]) -> tuple[LayerParts, bool]:
    block, path = lm.anatomy.blocks[layer], f"{lm.anatomy.path}.{layer}"
    no = _Refusal(lm, layer)
    scales = {name: scale for step in block.steps for name, scale in step.writers}
    if block.streams > 1 or not block.on_text or any(step.norm or step.carry != 1 for step in block.steps):
        raise no("its stream is not one sum of what is written to it")
    if block.attn_out is None or block.mlp_out is None or block.z is None or block.others or block.ssm_out:
        raise no("it has other writers than one attention and one MLP, each with a tensor of its own")
    if block.channels:
        raise no("what is written is scaled channel by channel")
    heads = _heads(lm, own, no)
    output = next((matrix for matrix in own if matrix.module == f"{path}.{block.z}"), None)
    if output is None or not output.whole:
        raise no("the projection behind its heads is neither Linear nor Conv1D")
    lm.anatomy.head_width(Site(layer, "z"))
    pre, wrote = seen.pre, seen.outputs[block.attn_out]
    assert pre is not None
    middle = pre + scales[block.attn_out] * wrote.reshape(pre.shape)
    read = [seen.inputs.get(matrix.module.removeprefix(f"{path}.")) for matrix in heads.values()]
    norm = _norm(lm, path, seen, read, pre)
    if norm is None:
        raise no("its queries, keys and values read neither the stream nor a norm of it")
    projections = {matrix.module.removeprefix(f"{path}.") for matrix in heads.values()}
    reading = _mlp(lm, path, seen, block.z, projections, streams=(pre, middle))
    if reading is None:
        raise no("its MLP reads neither the stream nor a norm of it")
    projected = seen.outputs.get(block.z)
    post = None if projected is not None and _same(projected, wrote) else block.attn_out
    if post is not None and not _same(seen.inputs.get(post), projected):
        raise no("between its heads and the stream there is more than a projection and a norm")
    mlp_norm, mlp, parallel = reading
    return LayerParts(
        attention_norm=norm or None,
        heads=heads,
        output=output,
        post_norm=None if post is None else f"{path}.{post}",
        attention_scale=scales[block.attn_out],
        mlp_norm=mlp_norm or None,
        mlp=mlp,
        mlp_scale=scales[block.mlp_out],
    ), parallel


@dataclass(frozen=True, slots=True)
class _Refusal:
    lm: LM
    layer: int

    def __call__(self, why: str) -> SiteUnavailable:
        return SiteUnavailable(
            f"Layer {self.layer} of {self.lm.name} has no edges that can be told apart: {why}. Patch whole sites instead, or take "
            "another model."
        )


def _heads(lm: LM, own: list[Matrix], no: _Refusal) -> dict[str, Matrix]:
    """The projections by kind, whose rows are those of head after head."""
    found = {matrix.address.kind: matrix for matrix in own if matrix.address.kind in KINDS and matrix.expert is None}
    if set(found) != set(KINDS):
        raise no("its queries, keys and values are not three projections of the stream")
    for kind, n in zip(KINDS, (lm.anatomy.n_heads, lm.anatomy.n_kv_heads, lm.anatomy.n_kv_heads), strict=True):
        if not n or found[kind].address.rows % n:
            raise no(f"the {found[kind].address.rows} rows of its {kind} are not {n} heads")
    return {kind: found[kind] for kind in KINDS}


def _norm(lm: LM, path: str, seen: Seen, read: list[Tensor | None], stream: Tensor) -> str | None:
    """The norm between the stream and what was read: nothing where there is none, None where it is something else."""
    if any(each is None or not _equal(each, read[0]) for each in read):
        return None
    if _same(read[0], stream):
        return ""
    for name, out in seen.outputs.items():
        if _equal(out, read[0]) and _same(seen.inputs.get(name), stream):
            module = lm.model.get_submodule(f"{path}.{name}")
            if _same(module.forward(seen.inputs[name]), out):
                return f"{path}.{name}"
    return None


def _mlp(
    lm: LM, path: str, seen: Seen, z: str, projections: set[str], *, streams: tuple[Tensor, Tensor]
) -> tuple[str, tuple[str, ...], bool] | None:
    """The norm before the MLP, its modules that read, and whether it reads what the heads read; None where that is not seen."""
    attention = z.rpartition(".")[0]
    modules = dict(lm.model.get_submodule(path).named_modules())
    norms = {name for name in seen.outputs if not any(p.ndim > 1 for p in modules[name].parameters())}
    outermost = sorted((name for name in seen.inputs if name not in norms), key=lambda name: name.count("."))
    reads: dict[str, tuple[str, bool]] = {}
    for name in outermost:
        if (attention and f"{name}.".startswith(f"{attention}.")) or f"{attention}.".startswith(f"{name}."):
            continue
        if any(name.startswith(f"{each}.") for each in reads) or name in projections:
            continue
        for parallel, stream in ((False, streams[1]), (True, streams[0])):
            norm = _norm(lm, path, seen, [seen.inputs[name]], stream)
            if norm is not None:
                reads[name] = (norm, parallel)
                break
    if len(set(reads.values())) != 1:
        return None
    norm, parallel = next(iter(reads.values()))
    return norm, tuple(f"{path}.{name}" for name in reads), parallel


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    return a is not None and b is not None and a.numel() == b.numel() and a.reshape(b.shape).equal(b)


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    """Whether two are one tensor, up to rounding."""
    if a is None or b is None or a.numel() != b.numel():
        return False
    off = (a.reshape(b.shape).double() - b.double()).norm() / b.double().norm().clamp(min=1e-300)
    return float(off) <= _LIKE.get(b.dtype, 1e-4)
