"""What would stand in a unit's place: nothing, a value a unit, or its activation on another text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

from broca.errors import SiteUnavailable, StimulusError
from broca.models.hooks import copy_sites
from broca.models.lm import LM
from broca.models.tokens import Batch, Tokens, pad_tokens
from broca.sites import Site

Towards = Mapping[Site, NDArray[Any]] | Sequence[Tokens]
"""What would stand in a unit's place: a value a unit, ``(unit,)`` at each site, or its activation on another text."""

Positions = Literal["all", "last"]


def baseline_values(towards: Mapping[Site, NDArray[Any]] | None, sites: Sequence[Site]) -> dict[Site, Tensor]:
    """The value a unit at each site; 0 where None are given.

    Raises:
        SiteUnavailable: if a site has no values.
    """
    if towards is None:
        return {site: torch.zeros(()) for site in sites}
    if missing := [str(site) for site in sites if site not in towards]:
        raise SiteUnavailable(f"towards has no values at {missing[0]}. Give an array for every site asked for.")
    return {site: torch.tensor(towards[site]) for site in sites}


def on_texts(
    lm: LM, batch: Batch, sites: Sequence[Site], pairs: Sequence[Tokens], positions: Positions
) -> dict[Site, Tensor]:
    """The activations of each text's pair, ``(batch, token, unit)``, or ``(batch, 1, unit)`` of its last token."""
    other = pad_tokens([pairs[i] for i in batch.index], range(len(batch)), lm.pad, side=batch.side, device=lm.device)
    with copy_sites(lm.model, lm.anatomy, sites) as found:
        lm.call(other)
    if positions == "all":
        return found
    return {site: x[torch.arange(len(x)), other.last.to(x.device)][:, None] for site, x in found.items()}


def refuse_unpaired(tokens: Sequence[Tokens], pairs: Sequence[Tokens], positions: Positions) -> None:
    """Every text needs one other, of as many tokens where all of them are patched.

    Raises:
        StimulusError: if it has none, or one of another length.
    """
    if len(pairs) != len(tokens):
        raise StimulusError(f"{len(tokens)} texts come with {len(pairs)} to patch from. Give one for each.")
    for text, other in zip(tokens, pairs, strict=True):
        if positions == "all" and len(text) != len(other):
            raise StimulusError(
                f"{text.text[:60]!r} has {len(text)} tokens, the text to patch from {len(other)}. Give pairs of equal "
                'length, or patch the last token only: positions="last".'
            )
