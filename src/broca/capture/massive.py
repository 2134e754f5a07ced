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
