"""Scores of edges: what the margin of an answer loses when one reader hears one writer as a counterfactual run has it.

To first order by one backward pass (attribution patching of edges, Syed et al., 2023), along the line from the counterfactual's input to
the text's own (integrated gradients, Hanna et al., 2024), along the lines between what each layer writes in the two runs, or exactly,
by one run an edge. Positive: patching it costs margin.

By any of the gradients, a writer's edges sum to its own score as a node; along the inputs, the edges that leave ``input`` sum to what the
whole counterfactual costs. The sum over all edges is neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.capture.gradient import differentiate, without_weight_gradients
from broca.errors import StatisticsError, StimulusError
from broca.models.circuit.catching import catch_readers
from broca.models.circuit.pairs import CounterfactualPair, margins
from broca.models.circuit.parts import CircuitParts, circuit_parts
from broca.models.circuit.patching import patch_known
from broca.models.circuit.writers import Written, differences, run_written
from broca.models.hooks import Edit, edit_sites
from broca.models.limits import has_gradients
from broca.models.lm import LM
from broca.models.rerun import record
from broca.models.tokens import Batch
from broca.sites import Site

Method = Literal["eap", "eap-ig", "ig-activations", "exact"]
Rule = Literal["midpoint", "left"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EdgeScoring:
    """How edges are scored."""

    method: Method = "eap-ig"
    """eap: the gradient at the text itself; eap-ig: its mean along the inputs; ig-activations: its mean along what each layer's heads, or
    its MLP, write; exact: one run an edge."""
    steps: int = 5
    """Points on each line."""
    rule: Rule = "midpoint"
    """Where they lie: in the middle of each step, or, as EAP-IG has it, at its start, from the counterfactual on."""

    @property
    def points(self) -> tuple[float, ...]:
        """Of a line from the counterfactual (0) to the text (1)."""
        return tuple((k + (0.5 if self.rule == "midpoint" else 0.0)) / self.steps for k in range(self.steps))


def score_edges(
    lm: LM, pairs: Sequence[CounterfactualPair], how: EdgeScoring = EdgeScoring(), *, size: int | None = None
) -> Floats:
    """The score of every edge for every pair, ``(pair, edge)``, in logits; edges as in `broca.units.graph.EdgeGraph.edges`.

    Memory holds one batch of activations, and the scores: give pairs in parts where both would not fit.

    Args:
        lm: the model; interventions in force apply to texts and counterfactuals alike.
        pairs: of as many tokens on either side.
        how: method, and points on its line.
        size: pairs a batch; `lm.batch_size` when None.

    Raises:
        SiteUnavailable: if the model's edges cannot be told apart.
        StatisticsError: if a gradient is NaN or infinite.
    """
    parts = circuit_parts(lm)
    found = np.zeros((len(pairs), parts.graph.n_edges))
    if how.method != "exact":
        has_gradients(lm)
    writer, reader = torch.from_numpy(parts.graph.edges.T)

    def step(batch: Batch) -> Tensor:
        some = [pairs[i] for i in batch.index]
        if how.method == "exact":
            return _exact(lm, parts, batch, some, range(parts.graph.n_edges))
        return _estimates(lm, parts, batch, some, how)[:, writer, reader]

    for batch, scores in lm.each([pair.clean for pair in pairs], step, size=size):
        found[list(batch.index)] = scores.numpy()
    _refuse_nan(found)
    return found


def score_exactly(
    lm: LM, pairs: Sequence[CounterfactualPair], edges: Sequence[int], *, size: int | None = None
) -> Floats:
    """What the margin loses when one edge alone is patched, ``(pair, edge)``, for some edges: one run an edge and batch."""
    parts = circuit_parts(lm)
    found = np.zeros((len(pairs), len(edges)))

    def step(batch: Batch) -> Tensor:
        return _exact(lm, parts, batch, [pairs[i] for i in batch.index], edges)

    for batch, scores in lm.each([pair.clean for pair in pairs], step, size=size):
        found[list(batch.index)] = scores.numpy()
    return found


def token_scores(
    lm: LM, pair: CounterfactualPair, edges: Sequence[int], how: EdgeScoring = EdgeScoring("eap")
) -> Floats:
    """Where in a text each of some edges has its score, ``(edge, token)``: what `score_edges` sums over tokens.

    Args:
        lm: the model.
        pair: a text with its counterfactual.
        edges: by their places.
        how: any method but exact.

    Raises:
        SiteUnavailable, StatisticsError: as `score_edges`.
    """
    parts, batch = circuit_parts(lm), lm.pad_batch([pair.clean])
    has_gradients(lm)
    wanted = [(row, *parts.graph.edges[edge].tolist()) for row, edge in enumerate(edges)]
    found = np.zeros((len(wanted), len(pair.clean)))
    for readers, _, apart, gradients in _first_order(lm, parts, batch, [pair], how):
        for row, writer, reader in wanted:
            if readers.start <= reader < readers.stop:
                g = gradients[reader - readers.start, 0]
                found[row] -= (apart[0, writer] * g.to(apart)).sum(-1).double().cpu().numpy()
    _refuse_nan(found)
    return found


def node_scores(scores: Floats, parts: CircuitParts) -> dict[str, Floats]:
    """The score of every writer, by name: the sum over the edges that leave it, which is what patching it costs to first order."""
    writer = parts.graph.edges[:, 0]
    return {name: scores[..., writer == i].sum(-1) for i, name in enumerate(parts.graph.writers)}


def score_nodes(
    lm: LM, pairs: Sequence[CounterfactualPair], how: EdgeScoring = EdgeScoring(), *, size: int | None = None
) -> dict[str, Floats]:
    """What `node_scores` sums up, ``(pair,)`` by writer, without scoring an edge: the gradient at what each layer writes is enough.

    Args:
        lm: the model.
        pairs: of as many tokens on either side.
        how: any method but exact.
        size: pairs a batch.

    Raises:
        StimulusError: if the method is exact: patch all edges that leave a writer instead.
        SiteUnavailable, StatisticsError: as `score_edges`.
    """
    if how.method == "exact":
        raise StimulusError(
            "Nodes have no gradient to be exact: patch all edges that leave one (broca.interventions.circuit_margins)."
        )
    parts = circuit_parts(lm)
    has_gradients(lm)
    found = np.zeros((len(pairs), len(parts.graph.writers)))

    def step(batch: Batch) -> Tensor:
        return _node_estimates(lm, parts, batch, [pairs[i] for i in batch.index], how)

    for batch, scores in lm.each([pair.clean for pair in pairs], step, size=size):
        found[list(batch.index)] = scores.numpy()
    _refuse_nan(found)
    return dict(zip(parts.graph.writers, found.T, strict=True))


def _node_estimates(
    lm: LM, parts: CircuitParts, batch: Batch, some: Sequence[CounterfactualPair], how: EdgeScoring
) -> Tensor:
    """``(pair, writer)`` in float64 on the CPU."""
    own = run_written(lm, parts, batch)
    other = run_written(lm, parts, _donors(lm, batch, some))
    graph, real = parts.graph, batch.mask.bool().to(lm.device)[..., None]
    with torch.no_grad():
        apart = differences(own, other)
    sites = [Site(0, "resid_pre")]
    for layer in range(graph.n_layers):
        sites += [Site(layer, "attn_out"), Site(layer, "mlp_out")]
    total = torch.zeros(len(some), len(graph.writers), dtype=torch.float64)
    passes = list(_passes(own, other, how))
    for edits in passes:
        with edit_sites(lm.model, lm.anatomy, edits):
            _, gradients = differentiate(lm, batch, lm.anatomy, sites, lambda logits, _: margins(logits, some))
        for site, gradient in gradients.items():
            layer, heard = site.layer, torch.where(real, gradient, 0)
            if site.kind == "resid_pre":
                where, scale = slice(0, 1), 1.0
            elif site.kind == "attn_out":
                where, scale = graph.heads_of(layer), parts.layers[layer].attention_scale
            else:
                at = graph.mlp_of(layer)
                where, scale = slice(at, at + 1), parts.layers[layer].mlp_scale
            gain = torch.where(real, apart[where], 0).flatten(2) * heard.flatten(1)
            total[:, where] -= (gain.sum(-1) / scale).T.double().cpu()
    return total / len(passes)


def _refuse_nan(scores: Floats) -> None:
    if not np.isfinite(scores).all():
        raise StatisticsError(
            "Scores of edges are NaN or infinite. Load the model in float32 or bfloat16: float16 overflows in many models."
        )


@torch.no_grad()
def _exact(
    lm: LM, parts: CircuitParts, batch: Batch, some: Sequence[CounterfactualPair], edges: Sequence[int]
) -> Tensor:
    """``(pair, edge)``: one run an edge, of the blocks and tokens that it can change."""
    graph, donors = parts.graph, _donors(lm, batch, some)
    apart = differences(run_written(lm, parts, batch), run_written(lm, parts, donors))
    recorded = record(lm, batch)
    same = (batch.ids == donors.ids).all(0).cpu().numpy()
    start = int(np.argmin(same)) if recorded.way == "cached" else 0  # before it, nothing differs
    before, apart = margins(recorded.logits, some), apart[:, :, start:]
    found = torch.zeros(len(some), len(edges), dtype=torch.float64)
    for column, edge in enumerate(edges):
        with patch_known(lm, parts, graph.mask([edge]), apart):
            logits = recorded.again({}, start=start, layer=int(graph.layers[edge, 1]))
        found[:, column] = (before - margins(logits, some)).double().cpu()
    return found


def _donors(lm: LM, batch: Batch, some: Sequence[CounterfactualPair]) -> Batch:
    return lm.pad_batch([pair.counterfactual for pair in some], side=batch.side)


def _estimates(
    lm: LM, parts: CircuitParts, batch: Batch, some: Sequence[CounterfactualPair], how: EdgeScoring
) -> Tensor:
    """``(pair, writer, reader)`` in float64 on the CPU."""
    total = torch.zeros(len(some), len(parts.graph.writers), len(parts.graph.readers), dtype=torch.float64)
    for readers, n, apart, gradients in _first_order(lm, parts, batch, some, how):
        g = gradients.permute(1, 2, 3, 0).flatten(1, 2)
        total[:, :n, readers] -= torch.bmm(apart[:, :n].flatten(2), g.to(apart)).cpu()
    return total


def _first_order(
    lm: LM, parts: CircuitParts, batch: Batch, some: Sequence[CounterfactualPair], how: EdgeScoring
) -> Iterator[tuple[slice, int, Tensor, Tensor]]:
    """What scores are products of, pass by pass and layer by layer.

    Yields:
        which readers, how many writers they hear, what writers wrote apart, ``(pair, writer, token, channel)``, and the gradients as
        readers hear the stream, ``(reader, pair, token, channel)``, each a share of the mean over passes.
    """
    own = run_written(lm, parts, batch)
    other = run_written(lm, parts, _donors(lm, batch, some))
    with torch.no_grad():
        real = batch.mask.bool().to(lm.device)
        apart = differences(own, other).masked_fill_(~real[None, :, :, None], 0).transpose(0, 1).contiguous()
    passes = list(_passes(own, other, how))
    for edits in passes:
        with torch.enable_grad(), without_weight_gradients(lm.model), catch_readers(lm, parts, edits) as caught:
            value = margins(lm.last_logits(batch), some).sum() / len(passes)
        for readers, n, gradients in caught.readers(value, real):
            yield readers, n, apart, gradients


def _passes(own: Written, other: Written, how: EdgeScoring) -> Iterator[Mapping[Site, Edit]]:
    """What stands at sites in each pass whose gradient counts."""
    if how.method == "eap":
        yield {}
        return
    if how.method == "eap-ig":
        for point in how.points:
            yield {Site(0, "resid_pre"): _mix(own.input, other.input, point)}
        return
    for layer in range(-1, len(own.parts.layers)):
        lines = (
            {Site(0, "resid_pre"): (own.input, other.input)}
            if layer < 0
            else {
                Site(layer, "z"): (own.z[layer], other.z[layer]),
                Site(layer, "mlp_out"): (own.mlp[layer], other.mlp[layer]),
            }
        )
        for site, (mine, theirs) in lines.items():
            for point in how.points:
                yield {site: _mix(mine, theirs, point)}


def _mix(own: Tensor | None, other: Tensor | None, point: float) -> Edit:
    assert own is not None
    assert other is not None
    mixed = other + point * (own - other)
    return lambda _x: mixed
