"""Activations at chosen tokens of each text: all of them in one forward pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.capture.loop import in_order, look_up, refuse_nan
from broca.errors import StimulusError
from broca.models.lm import LM
from broca.models.tokens import Batch, Tokens
from broca.sites import Site


def at_places(
    lm: LM, tokens: Sequence[Tokens], sites: Sequence[Site], places: Sequence[Sequence[int]]
) -> dict[Site, NDArray[np.float32]]:
    """Activations ``(text, place, unit)`` at each site, under whatever is in force.

    Args:
        lm: the model.
        tokens: the texts.
        sites: where to look.
        places: for each text as many positions, 0 the first token, BOS counted.

    Raises:
        StimulusError: if there are not as many places in each text, or one lies outside of it.
        StatisticsError: if an activation is NaN or infinite.
        SiteUnavailable: if the model has no such site.
        GuardError: if an intervention in force never fired.
    """
    if len(places) != len(tokens) or len({len(some) for some in places}) > 1:
        raise StimulusError(
            f"{len(tokens)} texts have {sorted({len(some) for some in places})} places. Give each as many."
        )
    for text, some in zip(tokens, places, strict=True):
        if any(not 0 <= place < len(text) for place in some):
            raise StimulusError(f"Places {list(some)} are not all among the {len(text)} tokens of {text.text[:60]!r}.")
    at = torch.tensor(np.asarray(places, np.int64).reshape(len(tokens), -1))
    found = in_order(lm, tokens, lambda batch: _look(lm, batch, sites, at))
    refuse_nan(found, tokens, "Activations")
    return found


def _look(lm: LM, batch: Batch, sites: Sequence[Site], at: Tensor) -> dict[Site, Tensor]:
    columns = at[list(batch.index)].to(batch.ids.device) + batch.start[:, None]

    def select(values: Tensor) -> Tensor:
        return values[torch.arange(len(values), device=values.device)[:, None], columns.to(values.device)]

    return look_up(lm, batch, sites, select)
