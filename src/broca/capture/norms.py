"""How long what stands at a site is: the mean L2 norm over the tokens of texts, without the first one.

The first token of a text, special or not, carries activations that are tens of times as long as any other's (Sun et al., 2024, *Massive
activations*): with it the mean would say how short the texts are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from broca.capture.activations import every_site
from broca.capture.loop import look_up, shards
from broca.models.lm import LM
from broca.models.pool import pool_tokens
from broca.models.tokens import Batch, Tokens
from broca.sites import Site


def mean_norms(
    lm: LM, tokens: Sequence[Tokens], sites: Sequence[Site], *, progress: Callable[[int, int], None] | None = None
) -> dict[Site, float]:
    """The mean norm at each site: each text counts alike, and so does each of its tokens.

    Args:
        lm: the model; whatever interventions are in force apply.
        tokens: the texts.
        sites: where to look.
        progress: called with (texts done, texts in all) after each shard.

    Raises:
        SiteUnavailable: if the model has no such site.
        StatisticsError: if an activation is NaN or infinite, naming site and text.
    """

    def step(batch: Batch) -> dict[Site, Tensor]:
        weights = _later_tokens(batch)

        def norms(values: Tensor) -> Tensor:
            wide = values.to(torch.float64 if values.dtype == torch.float64 else torch.float32)
            return pool_tokens(wide.norm(dim=-1, keepdim=True), weights)

        return every_site(look_up(lm, batch, sites, norms), sites, batch)

    total, done = dict.fromkeys(sites, 0.0), 0
    for rows in shards(lm, tokens, step, "Norms"):
        for site, values in rows.items():
            total[site] += float(values.sum(dtype="float64"))
        done += len(next(iter(rows.values())))
        if progress is not None:
            progress(done, len(tokens))
    return {site: value / len(tokens) for site, value in total.items()}


def _later_tokens(batch: Batch) -> Tensor:
    """``(batch, token)`` weights that sum to 1 in each row, over all tokens but the first and special ones; or over the last alone."""
    weights = torch.zeros(batch.ids.shape, dtype=torch.float32)
    for row, (tokens, start) in enumerate(zip(batch.tokens, batch.start.tolist(), strict=True)):
        first = min(max(tokens.prefix, 1), len(tokens) - 1)
        weights[row, start + first : start + len(tokens)] = 1 / (len(tokens) - first)
    return weights.to(batch.ids.device)
