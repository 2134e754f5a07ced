"""What a path carries: the margin of every pair with that path alone patched."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.models.circuit.pairs import CounterfactualPair, margins
from broca.models.circuit.parts import circuit_parts
from broca.models.circuit.paths import Through, path_logits
from broca.models.circuit.writers import run_written
from broca.models.lm import LM
from broca.models.tokens import Batch
from broca.units.edge_paths import edge_paths


def path_margins(
    lm: LM,
    pairs: Sequence[CounterfactualPair],
    paths: Sequence[str],
    *,
    through: Through = "nothing",
    size: int | None = None,
) -> NDArray[np.float64]:
    """The margin of every pair, in logits, with one path patched from its counterfactual, for each path: ``(path, pair)``.

    A path of one edge is the edge patched alone (`circuit_margins`). See `broca.models.circuit.paths`.

    Args:
        lm: the model; interventions in force apply to texts and counterfactuals alike.
        pairs: texts with their counterfactuals.
        paths: such as ``a0.h1->a2.h0<q>->logits``; see `broca.units.edge_paths.edge_paths`, which says how many an open first part makes.
        through: whether MLPs between the steps of a path carry on what they hear.
        size: pairs a batch; `lm.batch_size` when None.

    Raises:
        SiteUnavailable: if the model's edges cannot be told apart.
        SelectionError: if there is no such path.
    """
    parts = circuit_parts(lm)
    wanted = edge_paths(parts.graph, paths)
    found = np.zeros((len(wanted), len(pairs)))

    def step(batch: Batch) -> Tensor:
        some = [pairs[i] for i in batch.index]
        other = run_written(lm, parts, lm.pad_batch([pair.counterfactual for pair in some], side=batch.side))
        own = run_written(lm, parts, batch)
        rows = [margins(path_logits(batch, path, own, other, through), some) for path in wanted]
        return torch.stack(rows).double().cpu()

    for batch, values in lm.each([pair.clean for pair in pairs], step, size=size):
        found[:, list(batch.index)] = values.numpy()
    return found
