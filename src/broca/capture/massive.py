"""Which coordinates carry massive activations, looked for at every token: they sit at the first one, where no pooled figure sees them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from broca.capture.loop import look
from broca.models.lm import LM
from broca.models.tokens import Batch, Tokens
from broca.sites import Site
from broca.stats.massive import massive

FIRST = 4
"""Tokens at the start of a text that may be sinks."""


def sink_tokens(lm: LM, tokens: Sequence[Tokens], sites: Sequence[Site]) -> int:
    """How many tokens at the start of most texts, special ones not counted, carry massive activations at some site.

    Where a model has no BOS its first word takes the part of one (Sun et al., 2024). 0 where more than `FIRST` do in a row: then
    a coordinate is massive at every token.

    Args:
        lm: the model.
        tokens: a few texts.
        sites: where to look.
    """
    seen: dict[Site, list[list[bool]]] = {site: [] for site in sites}

    def step(batch: Batch) -> dict[Site, list[list[bool]]]:
        flags: dict[Site, list[list[bool]]] = {}

        def read(values: Tensor, site: Site) -> None:
            if values.shape[:2] != batch.mask.shape:  # tokens of their own, such as those of a vision tower
                return
            starts = zip(batch.start.tolist(), batch.tokens, strict=True)
            first = [values[row, start + own.prefix :][: FIRST + 1] for row, (start, own) in enumerate(starts)]
            flags[site] = [[bool(massive(row).units.any()) for row in rows.float().cpu().numpy()] for rows in first]

        look(lm, batch, {site: lambda values, site=site: read(values, site) for site in sites})
        return flags

    for _, flags in lm.each(tokens, step):
        for site, rows in flags.items():
            seen[site] += rows
    return max((_leading(rows) for rows in seen.values() if rows), default=0)


def _leading(rows: Sequence[Sequence[bool]]) -> int:
    """Places at the start at which more than half of the rows are set; 0 where these go on."""
    for n in range(FIRST + 1):
        if 2 * sum(len(row) > n and row[n] for row in rows) <= len(rows):
            return n
    return 0


def massive_coordinates(lm: LM, tokens: Sequence[Tokens], sites: Sequence[Site]) -> dict[Site, NDArray[np.bool_]]:
    """Of each site, ``(unit,)`` whether a unit is massive on any token of the texts, special ones too (Sun et al., 2024).

    Args:
        lm: the model.
        tokens: a few texts.
        sites: where to look.
    """
    found: dict[Site, NDArray[np.bool_]] = {}

    def step(batch: Batch) -> dict[Site, NDArray[np.bool_]]:
        flags: dict[Site, NDArray[np.bool_]] = {}
        real = batch.mask.bool()

        def read(values: Tensor, site: Site) -> None:
            # Parts beside the text, such as a vision tower, have tokens of their own, none of them padding.
            text = values.shape[:2] == real.shape
            rows = values[real.to(values.device)] if text else values.reshape(-1, values.shape[-1])
            flags[site] = massive(rows.float().cpu().numpy()).units

        look(lm, batch, {site: lambda values, site=site: read(values, site) for site in sites})
        return flags

    for _, flags in lm.each(tokens, step):
        for site, on in flags.items():
            found[site] = found.get(site, np.zeros_like(on)) | on
    return {site: found[site] for site in sites}
