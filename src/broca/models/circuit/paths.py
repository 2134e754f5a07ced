"""Path patching: one run's value goes on along a path alone, and every part beside it is as it was (Wang et al., 2023).

Step by step: the readers of a step hear, with all else as in the text's own run, what the parts before them wrote; what their own parts
then write is what the next step hears. So a path of one step is an edge, and a path costs a run a step. Between two steps MLPs may carry
on what they hear while all heads stay as they were, which is what is patched in the paper on indirect objects: one run more a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from broca.models.circuit.patching import patch_edges
from broca.models.circuit.writers import Written, keep_written, mix
from broca.models.tokens import Batch
from broca.units.edge_paths import EdgePath
from broca.units.graph import EdgeGraph, EdgeMask

Through = Literal["nothing", "mlps"]
"""What lies between the steps of a path and carries on what it hears."""


@torch.no_grad()
def path_logits(batch: Batch, path: EdgePath, own: Written, other: Written, through: Through = "nothing") -> Tensor:
    """The logits after the last tokens of a batch, with one path patched.

    Args:
        batch: of texts.
        path: see `EdgePath`.
        own: what the texts wrote.
        other: what their counterfactuals wrote.
        through: whether MLPs between the steps carry on what they hear.
    """
    changed: Sequence[int] = path.senders
    heard = mix(own, other, changed)
    for step in range(len(path.steps) - 1):
        heard = _carry(batch, heard, changed) if through == "mlps" else heard
        made = own
        for readers in path.blocks_of(step):
            made = mix(made, _run(batch, heard, _into(path.graph, readers)), _writers(path.graph, readers))
        heard, changed = made, _writers(path.graph, path.steps[step])
    heard = _carry(batch, heard, changed) if through == "mlps" else heard
    with patch_edges(own.lm, own.parts, _into(path.graph, path.steps[-1]), lambda _x: heard):
        return own.lm.last_logits(batch)


def _carry(batch: Batch, heard: Written, changed: Sequence[int]) -> Written:
    """With MLPs that hear what is changed, and each other, while all else is as it was."""
    graph, still = heard.parts.graph, set(changed)
    layers = [layer for layer in range(graph.n_layers) if graph.mlp_of(layer) not in still]
    carrying = [graph.mlp_of(layer) for layer in layers]
    into = _into(graph, [graph.reader_mlp(layer) for layer in layers])
    from_others = ~np.isin(graph.edges[:, 0], carrying)
    return mix(heard, _run(batch, heard, EdgeMask(graph, into.on & from_others)), carrying)


def _run(batch: Batch, heard: Written, off: EdgeMask) -> Written:
    """What every part writes where some edges carry what was written before."""
    lm, parts = heard.lm, heard.parts
    with patch_edges(lm, parts, off, lambda _x: heard), keep_written(lm, parts) as now:
        lm.last_logits(batch)
    return now


def _writers(graph: EdgeGraph, readers: Iterable[int]) -> list[int]:
    """The parts that readers belong to."""
    return list(dict.fromkeys(writer for reader in readers for writer in graph.writers_of(reader)))


def _into(graph: EdgeGraph, readers: Iterable[int]) -> EdgeMask:
    """Every edge into some readers."""
    return EdgeMask(graph, np.isin(graph.edges[:, 1], list(readers)))
