"""What kind of weights a mask takes: their lines, their rotary frequencies, what they do to queries, keys and sinks.

And super weights, the single weights that a mask must not owe its effect to.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import structural_rank
from scipy.stats import spearmanr
from torch import Tensor

from broca.interventions.weights import WeightMask
from broca.models.attention import watch_attention
from broca.models.hooks import tap_modules
from broca.models.lm import LM
from broca.models.rows import Look, Rows
from broca.models.tokens import Tokens, pad_tokens
from broca.models.weight_matrices import Matrix, matrices
from broca.units.weights import WeightSet

Floats = NDArray[np.float64]

SHIFT = 0.01
"""A change of the attention to the first token that counts as a displaced sink (Wu et al., 2025)."""
SPIKE = 50.0
"""A super weight's activations stand out from the median by this factor (Yu et al., 2024)."""


def lines(weights: WeightSet) -> pl.DataFrame:
    """One row a matrix that is hit: masked weights, rows, columns, the fewest lines that hold all of them, and the rank of the pattern.

    The fewest rows and columns that cover all entries are as many as the largest set of entries no two of which share one
    (König, 1931). k entries in general position need k lines; entries of one outlier row need 1.
    """
    found = []
    for name, index in weights.at.items():
        row, column = weights.lines(name)
        rows, r = np.unique(row, return_inverse=True)
        columns, c = np.unique(column, return_inverse=True)
        pattern = csr_array((np.ones(index.size), (r, c)), shape=(rows.size, columns.size))
        small = min(rows.size, columns.size) <= 2000
        rank = int(np.linalg.matrix_rank(pattern.toarray())) if small else None
        found.append((name, index.size, rows.size, columns.size, int(structural_rank(pattern)), rank))
    schema = {"matrix": pl.String, **dict.fromkeys(("k", "rows", "columns", "lines", "rank"), pl.Int64)}
    return pl.DataFrame(found, schema=schema, orient="row")


@dataclass(frozen=True, slots=True)
class Rotary:
    """How a model rotates queries and keys."""

    angles: Floats
    """Angle a token, one a frequency, as the model uses them: base and scaling included."""
    pairs: Literal["halves", "neighbours"]
    """Feature j turns with j + n / 2, or with its neighbour."""

    def frequency(self, feature: NDArray[np.int64]) -> NDArray[np.int64]:
        """The frequency that each feature of a head belongs to; -1 for those that are not rotated (partial rotary)."""
        n = len(self.angles)
        at = feature % n if self.pairs == "halves" else feature // 2
        return np.where(feature < 2 * n, at, -1)


def rotary(lm: LM) -> Rotary | None:
    """A model's rotation, read from its own buffer and its own function; None for models that do not rotate."""
    buffers = [buffer for name, buffer in lm.model.named_buffers() if name.rpartition(".")[2].endswith("inv_freq")]
    if not buffers:
        return None
    module = sys.modules[type(lm.model).__module__]
    turn = getattr(module, "rotate_half", None) or getattr(module, "rotate_every_two", None)
    n = 2 * len(buffers[0])
    turned = turn(torch.arange(1.0, n + 1)[None, None, None])[0, 0, 0] if turn else torch.zeros(n)
    return Rotary(buffers[0].double().cpu().numpy(), "neighbours" if float(turned[0]) == -2.0 else "halves")


def frequencies(lm: LM, weights: WeightSet, tokens: Sequence[Tokens]) -> pl.DataFrame | None:
    """One row a layer, kind (q or k) and frequency: masked weights, and the activation norm of its features.

    Columns: layer, kind, frequency, angle, masked (weights in rows of that frequency), norm (of the features before
    rotation over all tokens and heads), spearman (of masked and norm over the layer's frequencies; null where either is
    constant). None where the model does not rotate, or has no q and k of its own.
    """
    found, known = rotary(lm), _heads(lm)
    if found is None or not known:
        return None
    width = next(iter(known.values()))[1]
    norms = _feature_norms(lm, known, tokens)
    rows = []
    for name, (matrix, _) in known.items():
        at = found.frequency(weights.lines(name)[0] % width) if name in weights.at else np.zeros(0, np.int64)
        masked = np.bincount(at[at >= 0], minlength=len(found.angles))
        features = found.frequency(np.arange(width))
        square = (norms[name].reshape(-1, width) ** 2).sum(0)
        norm = np.sqrt(np.bincount(features[features >= 0], square[features >= 0], minlength=len(found.angles)))
        varies = np.ptp(masked) > 0 and np.ptp(norm) > 0
        rho = float(spearmanr(masked, norm)[0]) if varies else None  # type: ignore[arg-type]
        rows += [
            (matrix.address.layer, matrix.address.kind, j, float(angle), int(masked[j]), float(norm[j]), rho)
            for j, angle in enumerate(found.angles)
        ]
    columns = ["layer", "kind", "frequency", "angle", "masked", "norm", "spearman"]
    types = [pl.Int64, pl.String, pl.Int64, pl.Float64, pl.Int64, pl.Float64, pl.Float64]
    return pl.DataFrame(rows, schema=dict(zip(columns, types, strict=True)), orient="row")


def _heads(lm: LM) -> dict[str, tuple[Matrix, int]]:
    """The q and k matrices by name, with the width of a head; none where a layer has no such matrices (MLA)."""
    every = [m for m in matrices(lm.model, lm.anatomy) if m.address.kind in ("q", "k")]
    groups = {m.address.kind: m.address.rows for m in every}
    if set(groups) != {"q", "k"} or not lm.anatomy.n_heads or groups["q"] % lm.anatomy.n_heads:
        return {}
    width = groups["q"] // lm.anatomy.n_heads
    return {m.name: (m, width) for m in every}


def _read_projections(lm: LM, known: Mapping[str, tuple[Matrix, int]], tokens: Sequence[Tokens], show: Any) -> None:
    """Show what each q or k matrix gives each text: called with its name and ``(token, row)``."""
    by_module: dict[str, list[Matrix]] = {}
    for matrix, _ in known.values():
        by_module.setdefault(matrix.module, []).append(matrix)

    def watch(parts: Sequence[Matrix]) -> Any:
        def see(_m: Any, _args: Any, output: Tensor) -> None:
            flat = output.detach().reshape(-1, output.shape[-1]).double().cpu()
            for part in parts:
                show(part.name, flat if part.rows is None else flat[:, torch.tensor(part.rows)])

        return see

    with tap_modules(lm.model, after={path: watch(parts) for path, parts in by_module.items()}):
        for i in range(len(tokens)):
            lm.call(pad_tokens(tokens, [i], lm.pad, device=lm.device))


def _feature_norms(lm: LM, known: Mapping[str, tuple[Matrix, int]], tokens: Sequence[Tokens]) -> dict[str, Floats]:
    total = {name: np.zeros(matrix.address.rows) for name, (matrix, _) in known.items()}

    def add(name: str, values: Tensor) -> None:
        total[name] += values.square().sum(0).numpy()

    _read_projections(lm, known, tokens, add)
    return {name: np.sqrt(values) for name, values in total.items()}


def geometry(lm: LM, mask: WeightMask, tokens: Sequence[Tokens]) -> pl.DataFrame | None:
    """One row a layer and state (clean or masked): how queries stand to the first token's key and to the others, before rotation.

    Columns: layer, state, norm_q, norm_first, norm_others (means), cosine_first, cosine_others (means over queries after the
    first, heads and texts; others: with the mean of the keys between). None where a model has no q and k of its own.
    """
    known = _heads(lm)
    if not known:
        return None
    width = next(iter(known.values()))[1]
    rows = []
    for state in ("clean", "masked"):
        seen: dict[tuple[int, str], list[Tensor]] = {}

        def keep(name: str, values: Tensor, seen: dict[tuple[int, str], list[Tensor]] = seen) -> None:
            address = known[name][0].address
            seen.setdefault((address.layer, address.kind), []).append(values.view(len(values), -1, width))

        with ExitStack() as stack:
            if state == "masked":
                stack.enter_context(lm.under(mask))
            _read_projections(lm, known, tokens, keep)
        # A layer that borrows another one's keys has none of its own.
        for layer in sorted(layer for layer, kind in seen if kind == "q" and (layer, "k") in seen):
            pairs = zip(seen[layer, "q"], seen[layer, "k"], strict=True)
            found = np.array([_angles(q, k) for q, k in pairs if len(q) > 2])
            rows.append((layer, state, *found.mean(0).tolist()))
    names = ["norm_q", "norm_first", "norm_others", "cosine_first", "cosine_others"]
    return pl.DataFrame(rows, schema=["layer", "state", *names], orient="row").sort("layer", maintain_order=True)


def _angles(q: Tensor, k: Tensor) -> list[float]:
    """Mean norms and cosines of one text; both ``(token, head, unit)``, keys shared by runs of query heads."""
    k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
    first = k[:1].expand(len(q) - 2, -1, -1)
    between = k[1:].cumsum(0)[:-1] / torch.arange(1, len(k) - 1)[:, None, None]
    late = q[2:]
    cosine = torch.nn.functional.cosine_similarity
    values = (
        late.norm(dim=-1),
        k[0].norm(dim=-1),
        k[1:].norm(dim=-1),
        cosine(late, first, -1),
        cosine(late, between, -1),
    )
    return [float(value.mean()) for value in values]


def sinks(lm: LM, mask: WeightMask, tokens: Sequence[Tokens]) -> pl.DataFrame:
    """One row a layer: attention to the first token before and after, and the share of displaced sinks, by two definitions.

    Columns: layer, clean, masked (mean attention of later queries to the first token), displaced (share of queries and heads
    whose attention to it moves by more than `SHIFT`), dethroned (share of those that attended most to it and no longer do).
    """
    rows: dict[int, list[list[float]]] = {}
    for i in range(len(tokens)):
        batch = pad_tokens(tokens, [i], lm.pad, device=lm.device)
        seen: list[dict[int, Tensor]] = [{}, {}]
        for state in (0, 1):

            def keep(shown: Rows, into: dict[int, Tensor] = seen[state]) -> None:
                into[shown.layer] = (
                    torch.cat([into[shown.layer], shown.weights], 2) if shown.layer in into else shown.weights
                )

            with ExitStack() as stack:
                if state:
                    stack.enter_context(lm.under(mask))
                stack.enter_context(watch_attention(lm, Look(rows="all"), keep))
                lm.call(batch)
        for layer, before in seen[0].items():
            a, b = before[0, :, 1:].double(), seen[1][layer][0, :, 1:].double()
            throne = a.argmax(-1) == 0
            moved = ((b[..., 0] - a[..., 0]).abs() > SHIFT).double().mean()
            lost = (throne & (b.argmax(-1) != 0)).sum() / max(1, int(throne.sum()))
            values = (a[..., 0].mean(), b[..., 0].mean(), moved, lost)
            rows.setdefault(layer, []).append([float(value) for value in values])
    table = [(layer, *np.mean(values, 0).tolist()) for layer, values in sorted(rows.items())]
    return pl.DataFrame(table, schema=["layer", "clean", "masked", "displaced", "dethroned"], orient="row")


def super_weights(lm: LM, tokens: Sequence[Tokens], *, spike: float = SPIKE) -> pl.DataFrame:
    """Single weights of a down projection where its largest input meets its largest output (Yu et al., 2024).

    Columns: matrix, layer, row, column, weight, input, output (largest absolute activations), and by how much they stand out
    of the median of their kind; where both do by `spike`, the weight is listed, the most extreme first.
    """
    found: list[tuple[Any, ...]] = []
    down = {m.module: m for m in matrices(lm.model, lm.anatomy) if m.address.kind == "down" and m.expert is None}

    def watch(matrix: Matrix) -> Any:
        def see(_m: Any, args: Any, output: Tensor) -> None:
            x, y = (t.detach().reshape(-1, t.shape[-1]).abs().double().amax(0) for t in (args[0], output))
            column, row = int(x.argmax()), int(y.argmax())
            weight = float(matrix.of(lm.model.get_parameter(matrix.parameter).detach())[row, column])
            out_of = [float(t.max() / t.median().clamp(min=1e-30)) for t in (x, y)]
            found.append(
                (matrix.name, matrix.address.layer, row, column, weight, float(x.max()), float(y.max()), *out_of)
            )

        return see

    with tap_modules(lm.model, after={path: watch(matrix) for path, matrix in down.items()}):
        for i in range(len(tokens)):
            lm.call(pad_tokens(tokens, [i], lm.pad, device=lm.device))
    names = ["matrix", "layer", "row", "column", "weight", "input", "output", "input_spike", "output_spike"]
    table = pl.DataFrame(found, schema=names, orient="row")
    listed = table.filter((pl.col("input_spike") >= spike) & (pl.col("output_spike") >= spike))
    best = listed.sort("output_spike", descending=True).unique(
        ["matrix", "row", "column"], keep="first", maintain_order=True
    )
    return best.filter(pl.col("weight").abs() > math.ulp(0.0))


def super_weight_mask(lm: LM, found: pl.DataFrame) -> WeightSet:
    """The listed super weights as a choice of weights: what to mask as a positive control."""
    every = {m.name: m.address for m in matrices(lm.model, lm.anatomy)}
    at = {
        name: np.array([row * every[name].columns + column for row, column in own.select("row", "column").iter_rows()])
        for (name,), own in found.group_by("matrix", maintain_order=True)
    }
    return WeightSet(at, every, {"model": lm.fingerprint})  # type: ignore[arg-type]
