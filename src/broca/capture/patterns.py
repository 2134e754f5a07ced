"""Attention of a clean and a perturbed run of the same pairs, compared while it is looked at; no map is kept.

Clean rows are carried to the perturbed run's keys through the alignment before they are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from broca.capture.pairs import AlignedPair
from broca.errors import SiteUnavailable
from broca.models.lm import LM
from broca.models.rows import Look, Rows
from broca.models.tokens import Batch

FIGURES = ("divergence", "entropy_clean", "entropy_perturbed")
"""Jensen-Shannon divergence of the rows (0 to log 2), and the entropy of each; in nats. Before the masses."""


@dataclass(slots=True)
class _Cells:
    """A sparse table on its way to a dense one: a tensor is too slow to be filled cell by cell."""

    places: list[tuple[int, int, int]] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def put(self, places: Sequence[tuple[int, int, int]], *values: float) -> None:
        """A value for each place, or one for all."""
        self.places += places
        self.values += values if len(values) == len(places) else values * len(places)

    def fill_table(self, *shape: int) -> Tensor:
        table = torch.zeros(shape)
        if self.places:
            table[tuple(torch.tensor(self.places).T)] = torch.tensor(self.values, dtype=table.dtype)
        return table


@dataclass(slots=True, eq=False)
class Watch:
    """Shown the rows of a batch of pairs, clean texts first; keeps figures of each pair, query class and head."""

    lm: LM
    pairs: Sequence[AlignedPair]
    batch: Batch
    queries: Sequence[str]
    segments: Sequence[str]
    look: Look = field(init=False)
    found: dict[int, Tensor] = field(default_factory=dict)
    """By layer, ``(pair, head, query class, figure)``."""
    _seen: dict[int, int] = field(default_factory=dict)
    _weights: Tensor = field(init=False)
    _masses: Tensor = field(init=False)
    _moves: Tensor = field(init=False)

    def __post_init__(self) -> None:
        places = [[pair.points.get(name, ((), ())) for name in self.queries] for pair in self.pairs]
        # A pair without any such query is looked at from its last token, which then counts for no class.
        rows = [tuple(i for place in own for i in place[side]) or (-1,) for side in (0, 1) for own in places]
        self.look = Look(tuple(rows))
        device, start = self.batch.ids.device, self.batch.start.tolist()
        n, width = len(self.pairs), self.batch.ids.shape[1]
        weights, masses, moves = _Cells(), _Cells(), _Cells()
        for p, (pair, own) in enumerate(zip(self.pairs, places, strict=True)):
            begins, behind, at = start[p], start[n + p], 0
            for c, (clean, _) in enumerate(own):
                weights.put([(p, c, at + i) for i in range(len(clean))], 1 / max(1, len(clean)))
                at += len(clean)
            for g, name in enumerate(self.segments):
                clean, other = pair.segments.get(name, ((), ()))
                masses.put([(p, begins + i, g) for i in clean], 1)
                masses.put([(n + p, behind + j, g) for j in other], 1)
            shares = [1 / len(others) for others in pair.covers for _ in others]
            moves.put([(p, begins + i, behind + j) for i, others in enumerate(pair.covers) for j in others], *shares)
        self._weights = weights.fill_table(n, len(self.queries), max(map(len, rows))).to(device)
        self._masses = masses.fill_table(2 * n, width, len(self.segments)).to(device)
        self._moves = moves.fill_table(n, width, width).to(device)

    def show(self, seen: Rows) -> None:
        """Take in a block of queries of one layer."""
        weights = seen.weights
        if weights.shape[1] != self.lm.anatomy.n_heads:
            raise SiteUnavailable(
                f"{seen.layer}.pattern: layer {seen.layer} has {weights.shape[1]} heads where the model has "
                f"{self.lm.anatomy.n_heads}, so heads of different layers are no table. Compare with attention=False."
            )
        known = weights.masked_fill(~seen.real.to(weights.device)[:, None, :, None], 0)
        figures = self._figures(known, seen.at.to(weights.device))
        at = self._seen.get(seen.layer, 0)
        self._seen[seen.layer] = at + weights.shape[2]
        share = self._weights[:, :, at : at + weights.shape[2]].to(weights)
        # Filling, and queries of no class, may be undefined and must not meet a zero weight in a product.
        figures = figures.masked_fill((share.sum(1) == 0)[:, None, :, None], 0)
        part = torch.einsum("pcq,phqf->phcf", share, figures)
        self.found[seen.layer] = self.found[seen.layer] + part if seen.layer in self.found else part

    def _figures(self, weights: Tensor, at: Tensor) -> Tensor:
        """``(pair, head, query, figure)`` of rows ``(text, head, query, key)``."""
        n = len(self.pairs)
        mass = weights @ self._masses[:, None].to(weights)
        shares = weights / weights.sum(-1, keepdim=True)
        entropy = torch.special.entr(shares).sum(-1)
        keys = torch.arange(weights.shape[-1], device=weights.device)
        moved = (shares[:n] @ self._moves[:, None].to(weights)).masked_fill(keys > at[n:, None, :, None], 0)
        moved = moved / moved.sum(-1, keepdim=True)
        # Half the sum of two entropies from that of the mixture: the same as the mean divergence from it (Lin, 1991).
        between = torch.special.entr((moved + shares[n:]) / 2).sum(-1)
        divergence = (between - (torch.special.entr(moved).sum(-1) + entropy[n:]) / 2).clamp(min=0)
        every = [divergence, entropy[:n], entropy[n:], *mass[:n].unbind(-1), *mass[n:].unbind(-1)]
        return torch.stack(every, -1)

    def table(self) -> Tensor:
        """``(pair, query class, layer, head, figure)``; NaN where a pair has no such query, or a layer no attention."""
        layers = self.lm.anatomy.n_layers
        shape = next(iter(self.found.values())).shape
        out = torch.full((shape[0], shape[2], layers, shape[1], shape[3]), float("nan"), dtype=torch.float64)
        for layer, figures in self.found.items():
            out[:, :, layer] = figures.transpose(1, 2).double().cpu()
        has = torch.tensor([[bool(p.points.get(c, ((), ()))[0]) for c in self.queries] for p in self.pairs])
        return torch.where(has[:, :, None, None, None], out, torch.nan)


def masses(segments: Sequence[str]) -> tuple[str, ...]:
    """The names of the figures that follow `FIGURES`: attention to each segment in the clean run, then in the perturbed one."""
    return tuple(f"{name}_{side}" for side in ("clean", "perturbed") for name in segments)


def figure_places(segments: Sequence[str]) -> Mapping[str, int]:
    """Each figure's place."""
    return {name: i for i, name in enumerate((*FIGURES, *masses(segments)))}
