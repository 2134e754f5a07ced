"""Capture and compare: a clean and a perturbed run of the same pairs, at aligned points, streamed.

Both runs of a pair share a forward pass, so that what differs between them is reduced where it is, and nothing is kept but
sums and two numbers a pair, site and class. As in `broca.capture.activations`, pairs are cut into shards of a fixed size,
and shards are added in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.capture import patterns
from broca.capture.comparison import ComparedRuns, Comparison, Meaning
from broca.capture.loop import SHARD, in_order
from broca.capture.massive import massive_coordinates
from broca.capture.pairs import AlignedPair, names
from broca.errors import StatisticsError, StimulusError
from broca.models.attention import watch_attention
from broca.models.fitting import batch_within
from broca.models.hooks import read_sites
from broca.models.lens import Lens
from broca.models.lens import lens as proved_lens
from broca.models.lm import LM
from broca.models.rows import Look
from broca.models.tokens import Batch, pad_tokens
from broca.sites import Site

ENTRIES = 1 << 22
"""Logits of either side that are compared at once: a vocabulary may have a quarter of a million."""
_TEXTS = 8
"""How many clean texts tell which coordinates are massive."""


def compare_pairs(
    lm: LM,
    pairs: Sequence[AlignedPair],
    *,
    sites: Sequence[Site] | None = None,
    attention: bool = True,
    queries: Sequence[str] = ("suffix", "answer"),
    lens: bool = False,
    components: int = 5,
    top: int = 10,
    size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ComparedRuns:
    """What a perturbation does to a model, per site, layer and head.

    Args:
        lm: the model; whatever interventions are in force apply to both runs.
        pairs: of one kind of perturbation; kinds are never pooled.
        sites: residual streams or others, each ``(batch, token, unit)`` and as wide as the model; the embeddings and what every
            block leaves when None.
        attention: compare attention too.
        queries: from which classes of points attention is looked at.
        lens: also compare what each residual stream would say if it were the last.
        components: how many principal components of the differences.
        top: of how many tokens the agreement is, besides the first.
        size: pairs a batch; half of the model's batch size when None.
        progress: called with (pairs done, pairs in all) after each shard.

    Raises:
        StimulusError: if there are no pairs, no points, or no `covers` where attention is compared.
        StatisticsError: if an activation is NaN or infinite.
        SiteUnavailable: if the model has no such site.
        GuardError: if attention cannot be read from this model.
        AnatomyError: if the lens cannot be proved.
    """
    meaning = _meaning(lm, pairs, sites, queries if attention else (), components)
    plan = _Plan(meaning, top, proved_lens(lm) if lens else None)
    kept = Comparison(plan.meaning)
    # The kernel is tapped once for all batches.
    with watch_attention(lm, Look(layers=()), lambda _: None) if meaning.queries else nullcontext():
        # Of both texts of a pair all logits are kept, and those at its points once more.
        longest = max(max(len(pair.clean), len(pair.perturbed)) for pair in pairs)
        size = batch_within(size or max(1, lm.batch_size // 2), 2 * longest, 8 * (lm.vocabulary or 0))
        for start in range(0, len(pairs), SHARD):
            part = pairs[start : start + SHARD]
            own = Comparison(plan.meaning)
            own.update(_shard(lm, part, plan, size))
            kept = kept + own
            if progress is not None:
                progress(start + len(part), len(pairs))
    return kept.result()


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is looked at."""

    meaning: Meaning
    top: int
    lens: Lens | None


def _meaning(
    lm: LM, pairs: Sequence[AlignedPair], sites: Sequence[Site] | None, queries: Sequence[str], components: int
) -> Meaning:
    classes = names(pairs, "points")
    if not classes:
        raise StimulusError(f"{len(pairs)} pairs have no points at which to compare the runs. Give at least one class.")
    if queries and not all(pair.covers for pair in pairs):
        raise StimulusError(
            "A pair says nothing about which tokens cover which, so attention cannot be carried from one run to the other. Give "
            "`covers`, or attention=False."
        )
    looked_from = tuple(name for name in queries if name in classes)
    if queries and not looked_from:
        raise StimulusError(
            f"Attention is to be looked at from {', '.join(queries)}, and points are of {', '.join(classes)}. Name some of these as "
            "`queries`, or give attention=False."
        )
    chosen = tuple(sites or (Site(0, "resid_pre"), *lm.anatomy.sites("resid_post")))
    widths = sorted({lm.anatomy.width(site) for site in chosen})
    if len(widths) > 1:
        raise StimulusError(f"The sites are {widths} units wide. Compare sites of one width at a time.")
    return Meaning(
        chosen,
        classes,
        looked_from,
        names(pairs, "segments"),
        components,
        np.stack([*massive_coordinates(lm, [pair.clean for pair in pairs[:_TEXTS]], chosen).values()]),
    )


def _shard(lm: LM, pairs: Sequence[AlignedPair], plan: _Plan, size: int) -> dict[str, NDArray[Any]]:
    """Figures of each pair, in order: see `_compare_batch`."""

    def step(picked: Batch) -> dict[str, Tensor]:
        return _compare_batch(lm, [pairs[i] for i in picked.index], plan)

    longer = [max(pair.clean, pair.perturbed, key=len) for pair in pairs]
    rows = in_order(lm, longer, step, size=size)
    rows["tokens"] = np.array([(len(pair.clean), len(pair.perturbed)) for pair in pairs])
    return rows


@torch.no_grad()
def _compare_batch(lm: LM, pairs: Sequence[AlignedPair], plan: _Plan) -> dict[str, Tensor]:
    """One forward pass of both runs: each entry ``(pair, class, ...)`` on the CPU, NaN where a pair has no such class."""
    n, meaning = len(pairs), plan.meaning
    texts = [*(pair.clean for pair in pairs), *(pair.perturbed for pair in pairs)]
    batch = pad_tokens(texts, range(2 * n), lm.pad, device=lm.device)
    points = _Points.of(pairs, meaning.classes, batch)
    states: dict[Site, Tensor] = {}
    reads = {site: (lambda x, site=site: states.__setitem__(site, points.at(x))) for site in meaning.sites}
    watch = patterns.Watch(lm, pairs, batch, meaning.queries, meaning.segments) if meaning.queries else None
    columns, where = points.columns.unique(return_inverse=True)
    short = {"logits_to_keep": columns} if "logits_to_keep" in lm.accepts else {}
    with (
        watch_attention(lm, watch.look, watch.show) if watch else nullcontext(),
        read_sites(lm.model, lm.anatomy, reads),
    ):
        logits = lm.call(batch, **short).logits
    lm.assert_fired()
    logits = replace(points, columns=where).at(logits) if short else points.at(logits)
    found = points.shifts([states[site] for site in meaning.sites], meaning)
    found["logits"] = points.means(_compare_logits(logits, plan.top))
    if plan.lens is not None:
        told = [_compare_logits(plan.lens(states[site]), plan.top) for site in meaning.sites]
        found["lens"] = points.means(torch.stack(told, 1))
    found = {name: values.cpu() for name, values in found.items()}
    return found | ({"heads": watch.table()} if watch else {})


@dataclass(frozen=True, slots=True, eq=False)
class _Points:
    """The points of a batch of pairs: clean ones, then their partners."""

    rows: Tensor
    columns: Tensor
    means_of: Tensor
    """``(pair x class, point)``: weights that sum to 1, or 0 where a pair has no such class."""
    n_classes: int

    @classmethod
    def of(cls, pairs: Sequence[AlignedPair], classes: Sequence[str], batch: Batch) -> _Points:
        start, n, device = batch.start.tolist(), len(pairs), batch.ids.device
        clean: list[tuple[int, int]] = []
        other: list[tuple[int, int]] = []
        owners: list[tuple[int, float]] = []
        for p, pair in enumerate(pairs):
            for c, name in enumerate(classes):
                places = pair.points.get(name, ((), ()))
                clean += [(p, start[p] + i) for i in places[0]]
                other += [(n + p, start[n + p] + j) for j in places[1]]
                owners += [(p * len(classes) + c, 1 / len(places[0])) for _ in places[0]]
        weights = torch.zeros(n * len(classes), len(owners), dtype=torch.float64)
        for point, (owner, weight) in enumerate(owners):
            weights[owner, point] = weight
        rows, columns = torch.tensor([*clean, *other], dtype=torch.long).reshape(-1, 2).T.to(device)
        return cls(rows, columns, weights.to(device), len(classes))

    def at(self, x: Tensor) -> Tensor:
        """``(batch, token, ...)`` at the points, clean ones first: ``(2 point, ...)``."""
        return x[self.rows.to(x.device), self.columns.to(x.device)].to(self.rows.device)

    def means(self, values: Tensor) -> Tensor:
        """``(point, ...)`` to means ``(pair, class, ...)``; NaN where a pair has no such class."""
        flat = values.to(self.means_of).reshape(len(values), -1)
        out = (self.means_of @ flat).masked_fill((self.means_of.sum(1) == 0)[:, None], torch.nan)
        return out.reshape(-1, self.n_classes, *values.shape[1:])

    def shifts(self, states: Sequence[Tensor], meaning: Meaning) -> dict[str, Tensor]:
        """``shifts`` ``(pair, class, site, figure)`` and ``differences`` ``(pair, class, site, unit)``."""
        clean, other = torch.stack([x.double() for x in states], 1).chunk(2)
        if not bool(clean.isfinite().all() and other.isfinite().all()):
            raise StatisticsError(
                "Activations are NaN or infinite. Load the model in float32 or bfloat16 (float16 overflows in many models)."
            )
        left_out = torch.tensor(meaning.massive, device=clean.device)
        figures = _shifts(clean, other)
        robust = (
            _shifts(clean.masked_fill(left_out, 0), other.masked_fill(left_out, 0))
            if meaning.massive.any()
            else figures
        )
        return {
            "shifts": self.means(torch.cat([figures, robust], -1)),
            "differences": self.means(other - clean),
        }


def _shifts(clean: Tensor, other: Tensor) -> Tensor:
    """Cosine, distance, and distance over the clean norm, of ``(..., unit)``; ``(..., figure)``."""
    size, distance = clean.norm(dim=-1), (other - clean).norm(dim=-1)
    cosine = (clean * other).sum(-1) / (size * other.norm(dim=-1))
    return torch.stack([cosine.clamp(-1, 1), distance, distance / size], -1)


def _compare_logits(logits: Tensor, top: int) -> Tensor:
    """KL of the clean distribution from the perturbed one, same first token, share of the same top ones.

    ``(2 point, vocabulary)`` to ``(point, figure)``.
    """
    few = max(1, ENTRIES // logits.shape[-1])
    sides = (side.split(few) for side in logits.chunk(2))
    return torch.cat([_compare_few(clean, other, top) for clean, other in zip(*sides, strict=True)])


def _compare_few(clean: Tensor, other: Tensor, top: int) -> Tensor:
    wide = clean.dtype if clean.dtype == torch.float64 else torch.float32
    clean, other = clean.to(wide).log_softmax(-1), other.to(wide).log_softmax(-1)
    kl = (clean.exp() * (clean - other)).sum(-1).clamp(min=0)
    first, second = (side.topk(min(top, side.shape[-1])).indices for side in (clean, other))
    shared = (first[:, :, None] == second[:, None]).any(-1).to(wide).mean(-1)
    return torch.stack([kl, (first[:, 0] == second[:, 0]).to(wide), shared], -1)
