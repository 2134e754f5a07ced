"""Attribution patching of pairs whose tokens stand at different places: the cheap first pass of a patch grid (Nanda, 2023).

One donor pass and one pass with its backward estimate every patch at once, to first order. What the estimate ranks high is
then patched; how well it agrees with patching is itself a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.capture.gradient import differentiate
from broca.capture.metrics import Metric
from broca.errors import StatisticsError, StimulusError
from broca.models.fitting import GRAPH, LIMIT, batch_within
from broca.models.hooks import copy_sites
from broca.models.lm import LM
from broca.models.tokens import Batch, Tokens, pad_tokens
from broca.sites import Site

Places = Mapping[str, Sequence[tuple[int, int]]]
"""For each class of tokens, positions in the donor and in the text, BOS counted."""


@dataclass(frozen=True, slots=True)
class Lent:
    """A text, the donor beside it, and which of their tokens belong together."""

    run: Tokens
    donor: Tokens
    places: Places


def attribute_patches(
    lm: LM,
    pairs: Sequence[Lent],
    groups: Mapping[Site, int],
    metric: Metric,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, dict[Site, NDArray[np.float64]]]:
    """What the metric would gain, to first order, were each group of units patched: ``(donor - own) * gradient``, summed.

    Args:
        lm: the model.
        pairs: the texts that are run, with their donors.
        groups: for each site into how many equal slices of units the sum is cut: 1 for the whole site, the number of heads
            for heads of `z`, the width for single units.
        metric: see `broca.capture.gradient.Metric`.
        progress: called with (texts done, texts in all) after each batch.

    Returns:
        for each class of tokens and site ``(text, group)``; NaN where a text has no tokens of the class.

    Raises:
        StimulusError: if units cannot be cut into so many groups.
        SiteUnavailable, GuardError: if the model has no such site, or does not run it exactly once.
        StatisticsError: if a gradient is NaN or infinite.
    """
    for site, n in groups.items():
        if n < 1 or lm.anatomy.width(site) % n:
            raise StimulusError(f"{site}: {lm.anatomy.width(site)} units cannot be cut into {n} equal groups.")
    classes = list(dict.fromkeys(name for pair in pairs for name in pair.places))
    found = {name: {site: np.full((len(pairs), n), np.nan) for site, n in groups.items()} for name in classes}
    done = 0

    def step(batch: Batch) -> list[tuple[str, Site, list[int], Tensor]]:
        some = [pairs[i] for i in batch.index]
        lent, starts = _donors(lm, [pair.donor for pair in some], list(groups))
        own, gradients = differentiate(lm, batch, lm.anatomy, list(groups), metric)
        out = []
        for name in classes:
            columns = _columns(batch, starts, [pair.places.get(name, ()) for pair in some])
            rows = sorted(set(columns.row))
            for site, n in groups.items():
                gains = columns.sum_gains(lent[site], own[site], gradients[site], n)[rows]
                _refuse_nan(site, gains)
                out.append((name, site, rows, gains))
        return out

    longest = max((max(len(pair.run), len(pair.donor)) for pair in pairs), default=1)
    widths = GRAPH * lm.anatomy.n_layers * lm.anatomy.d_model + 3 * sum(map(lm.anatomy.width, groups))
    size = batch_within(lm.batch_size, longest, 4 * widths, limit=2 * LIMIT)
    for batch, parts in lm.each([pair.run for pair in pairs], step, size=size):
        where = np.array(batch.index)
        for name, site, rows, gains in parts:
            found[name][site][where[rows]] = gains.cpu().numpy()
        done += len(batch)
        if progress is not None:
            progress(done, len(pairs))
    return found


@dataclass(frozen=True, slots=True)
class _Columns:
    """Tokens that belong together in two padded batches: the row, the column in the texts', that in the donors'."""

    n: int
    row: list[int]
    into: list[int]
    of: list[int]

    def sum_gains(self, lent: Tensor, own: Tensor, gradient: Tensor, groups: int) -> Tensor:
        """Every row's gain, ``(batch, group)`` in float64."""
        row, into, of = (
            torch.tensor(each, dtype=torch.long, device=own.device) for each in (self.row, self.into, self.of)
        )
        gain = (lent[row, of].double() - own[row, into].double()) * gradient[row, into].double()
        total = torch.zeros(self.n, groups, dtype=torch.float64, device=own.device)
        return total.index_add_(0, row, gain.view(len(row), groups, own.shape[-1] // groups).sum(-1))


def _columns(batch: Batch, starts: Sequence[int], places: Sequence[Sequence[tuple[int, int]]]) -> _Columns:
    made = _Columns(len(batch), [], [], [])
    for row, (own, theirs, pairs) in enumerate(zip(batch.start.tolist(), starts, places, strict=True)):
        for donor, at in pairs:
            made.row.append(row)
            made.into.append(own + at)
            made.of.append(theirs + donor)
    return made


def _donors(lm: LM, donors: Sequence[Tokens], sites: Sequence[Site]) -> tuple[dict[Site, Tensor], list[int]]:
    """What they hold at each site, padded on the left, and where each begins."""
    batch = pad_tokens(donors, range(len(donors)), lm.pad, device=lm.device)
    with copy_sites(lm.model, lm.anatomy, sites) as values:
        lm.next_logits(batch)
    return values, batch.start.tolist()


def _refuse_nan(site: Site, gains: Tensor) -> None:
    if not torch.isfinite(gains).all():
        raise StatisticsError(
            f"Gradients at {site} are NaN or infinite. Load the model in float32 or bfloat16: float16 overflows in many models."
        )
