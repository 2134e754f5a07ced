"""Weight masks: set chosen weights to something else, reversibly.

In place, which costs a gather and a scatter of the chosen entries and nothing in the forward pass; or as a sparse term
added to what each module computes, so that every row of a batch can have a mask of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from broca.errors import GuardError, SelectionError, SiteUnavailable
from broca.items import fingerprint
from broca.models.hooks import tap_modules
from broca.models.identity import restoring
from broca.models.lm import LM
from broca.models.weight_matrices import Matrix, matrices
from broca.specs.fields import Edit
from broca.units.weights import WeightSet


@dataclass(frozen=True, eq=False)
class WeightMask:
    """Chosen weights, and what they become.

    Args:
        weights: which ones.
        edit: what stands in their place.

    Raises:
        SelectionError: if nothing is chosen.
    """

    weights: WeightSet
    edit: Edit = field(default_factory=Edit)

    def __post_init__(self) -> None:
        if not self.weights.count:
            raise SelectionError("A mask of zero weights changes nothing. Choose at least one weight.")

    @property
    def count(self) -> int:
        """How many weights are masked."""
        return self.weights.count

    @property
    def fingerprint(self) -> str:
        return fingerprint(["weight mask", self.weights.fingerprint, asdict(self.edit)])

    reads_prompt = False
    reads_ahead = False

    @contextmanager
    def apply(self, lm: LM) -> Iterator[None]:
        """Put the mask in force, in place; every weight comes back bit for bit.

        Raises:
            SelectionError: if the weights were chosen in another model.
            SiteUnavailable: if weights are quantised, offloaded or tied.
        """
        known = own_matrices(lm, self.weights)
        kept: list[tuple[Tensor, tuple[Tensor, ...], Tensor]] = []
        with restoring(lm.model):
            try:
                # All are computed before any is set: matrices fused in one parameter must not see each other's edits.
                for matrix in known:
                    weight = lm.model.get_parameter(matrix.parameter).detach()
                    where = _where(matrix, self.weights.at[matrix.name], weight)
                    kept.append((weight, where, weight[where]))
                new = [
                    edited_values(matrix, weight, self.weights.at[matrix.name], self.edit)
                    for matrix, (weight, _, _) in zip(known, kept, strict=True)
                ]
                for (weight, where, _), values in zip(kept, new, strict=True):
                    weight[where] = values
                yield
            finally:
                for weight, where, before in reversed(kept):
                    weight[where] = before

    def save(self, path: str | Path) -> Path:
        """Write the weights and the edit; see `broca.units.weight_files`."""
        return WeightSet(
            self.weights.at, self.weights.addresses, {**self.weights.about, "edit": asdict(self.edit)}
        ).save(path)

    @classmethod
    def load(cls, path: str | Path, *, model: str | None = None) -> WeightMask:
        """Read what `save` wrote; a file without an edit zeroes.

        Args:
            path: of the file.
            model: the fingerprint of the model that it is for; None asks no questions.

        Raises:
            SelectionError: if the file is missing, damaged, something else, or another model's.
        """
        weights = WeightSet.load(path, model=model)
        return cls(weights, Edit(**weights.about.get("edit", {})))


@dataclass(frozen=True, eq=False)
class WeightDeltas:
    """Several masks at once, one for each row of a batch: ``y = W x + D_row x``, with D the few entries that a mask changes.

    Args:
        masks: the masks.
        rows: for each row of a batch the place of its mask in `masks`, or -1 for none. A forward pass may have a multiple
            of so many rows (options or beams of one prompt follow each other).
    """

    masks: Sequence[WeightMask]
    rows: tuple[int, ...]

    @property
    def fingerprint(self) -> str:
        return fingerprint(["weight deltas", [mask.fingerprint for mask in self.masks], list(self.rows)])

    reads_prompt = False
    reads_ahead = False

    @contextmanager
    def apply(self, lm: LM) -> Iterator[None]:
        """Put the deltas in force; no weight is touched.

        Raises:
            SelectionError: as `WeightMask`.
            SiteUnavailable: if a mask reaches experts of a mixture, whose tokens have lost their rows.
        """
        of: dict[str, list[tuple[int, Tensor, Tensor, Tensor]]] = {}
        for at, mask in enumerate(self.masks):
            for matrix in own_matrices(lm, mask.weights):
                if matrix.expert is not None:
                    raise SiteUnavailable(f"{matrix.name}: an expert sees tokens without their rows. Mask it in place.")
                weight = lm.model.get_parameter(matrix.parameter).detach()
                index = mask.weights.at[matrix.name]
                new = edited_values(matrix, weight, index, mask.edit)
                delta = new - weight[_where(matrix, index, weight)]
                row, column = np.divmod(index, matrix.address.columns)
                row = row if matrix.rows is None else matrix.rows[row]
                rows, columns = (torch.tensor(each, device=weight.device) for each in (row, column))
                of.setdefault(matrix.module, []).append((at, rows, columns, delta))
        with tap_modules(lm.model, after={path: self._adding(parts) for path, parts in of.items()}):
            yield

    def _adding(
        self, parts: Sequence[tuple[int, Tensor, Tensor, Tensor]]
    ) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def add(_m: nn.Module, args: Any, output: Tensor) -> Tensor:
            n = len(self.rows)
            x = args[0]
            x, y = x.reshape(n, -1, x.shape[-1]), output.clone().reshape(n, -1, output.shape[-1])
            for at, row, column, delta in parts:
                own = [i for i, mask in enumerate(self.rows) if mask == at]
                if own:
                    y[own] = y[own].index_add(2, row, x[own][..., column] * delta)
            return y.reshape(output.shape)

        return add


def own_matrices(lm: LM, weights: WeightSet) -> list[Matrix]:
    """The model's matrices that hold chosen weights.

    Raises:
        SelectionError: if the weights were chosen in another model.
    """
    made_on = weights.about.get("model")
    if made_on is not None and made_on != lm.fingerprint:
        raise SelectionError(
            f"These weights were chosen in a model with the fingerprint {made_on}, this one's is {lm.fingerprint}. The same "
            "places in another model mean nothing: score this one."
        )
    known = {matrix.name: matrix for matrix in matrices(lm.model, lm.anatomy)}
    for name in weights.at:
        if name not in known or known[name].address != weights.addresses[name]:
            has = known[name].address if name in known else "no such matrix"
            raise SelectionError(
                f"{name} is {weights.addresses[name]} in the mask, and this model has {has}. Score this model."
            )
    return [known[name] for name in weights.at]


def edited_values(matrix: Matrix, weight: Tensor, index: Any, edit: Edit) -> Tensor:
    """What the chosen entries of a matrix become, ``(k,)`` in the weight's dtype."""
    table = matrix.of(weight)
    flat = table.reshape(-1)
    chosen = torch.tensor(index, device=weight.device)
    old = flat[chosen]
    match edit.kind:
        case "zero":
            return torch.zeros_like(old)
        case "flip":
            return -old
        case "scale" if edit.about == "zero":
            return edit.alpha * old
        case "resample":
            return flat[torch.tensor(_partners(index, matrix.address.columns, edit.seed), device=weight.device)]
    mean, deviation = _spread(flat, old, edit)
    if edit.kind == "noise":
        draw = torch.Generator().manual_seed(edit.seed)
        noise = torch.randn(len(old), generator=draw, dtype=torch.float64).to(old.device)
        return (mean + deviation * noise).to(old.dtype)
    return (mean + (edit.alpha if edit.kind == "scale" else 0.0) * (old.double() - mean)).to(old.dtype)


def _spread(flat: Tensor, old: Tensor, edit: Edit) -> tuple[float, float]:
    """Mean and deviation of the weights that are not chosen, or the mean of all with the chosen ones as 0."""
    total = flat.sum(dtype=torch.float64) - old.sum(dtype=torch.float64)
    n = len(flat) - (len(old) if edit.mean_of == "others" else 0)
    if not n:
        raise GuardError("All weights of a matrix are chosen, so there are no others to take a mean of. Choose fewer.")
    mean = float(total / n)
    if edit.kind != "noise":
        return mean, 0.0
    square = flat.double().square().sum() - old.double().square().sum()
    return mean, float((square / n - mean**2).clamp(min=0).sqrt())


def _partners(index: Any, columns: int, seed: int) -> Any:
    """For each chosen entry another one of its row that is not chosen; a row that is all chosen keeps its own values, moved."""
    draw = np.random.default_rng(seed)
    found = np.empty(len(index), np.int64)
    rows = np.asarray(index) // columns
    for row in np.unique(rows):
        own = np.asarray(index)[rows == row] % columns
        rest = np.setdiff1d(np.arange(columns), own)
        found[rows == row] = row * columns + draw.choice(rest if rest.size else own, own.size)
    return found


def _where(matrix: Matrix, index: Any, weight: Tensor) -> tuple[Tensor, ...]:
    places = np.unravel_index(matrix.places(index, tuple(weight.shape)), tuple(weight.shape))
    return tuple(torch.tensor(each, device=weight.device) for each in places)
