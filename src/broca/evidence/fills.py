"""What lesioned units are held at, measured on texts with the model intact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broca.capture.activations import capture
from broca.capture.reduce import Gather, Moments
from broca.errors import StimulusError
from broca.interventions.lesion import Fill, Keep, Mean, Noise, Resample, Zero
from broca.models.lm import LM
from broca.models.pool import Pool
from broca.models.rendering import Prompt
from broca.registry import unknown
from broca.sites import Site
from broca.specs.fields import Chat
from broca.units import UnitMask

Arrays = Mapping[str, NDArray[Any]]
"""An array for each site, by the site's name."""

MEANS, LAST = Pool("mean"), Pool("last")
"""Moments are over all tokens of a text, special ones left out; a donor is the value at its text's last token."""


def measure_fill(
    name: str,
    lm: LM,
    units: UnitMask | str,
    texts: Sequence[Prompt],
    *,
    chat: Chat = "auto",
    seed: int = 0,
) -> Fill:
    """A fill for `Lesion`, measured on texts.

    Args:
        name: "zero" or "keep", which need no texts; "mean", each unit's mean over all tokens; "noise", around it with the units'
            spread; "resample", the unit's value at the last token of another text.
        lm: the model, with whatever is in force.
        units: that are to be lesioned; as `Lesion` takes them.
        texts: prompts or chats; one or more.
        chat: whether to use the model's chat template.
        seed: of noise and of resampling.

    Raises:
        UnknownName: if there is no such fill.
        StimulusError: if there are no texts.
    """
    if name in (plain := {"zero": Zero, "keep": Keep}):
        return plain[name]()
    if name not in (known := ("mean", "noise", "resample")):
        raise unknown("fill", name, (*plain, *known))
    if not texts:
        raise StimulusError(f"The fill {name!r} is measured on texts, and none is given.")
    mask = UnitMask.from_text(units) if isinstance(units, str) else units
    sites, tokens = list(mask.sites), lm.tokenize([texts] if isinstance(texts, str) else texts, chat=chat)

    def moments() -> Arrays:
        return moments_at(lm, tokens, sites)

    return fills_of((name,), sites, seed, moments, lambda: donors_at(lm, tokens, sites))[name]


def moments_at(
    lm: LM, tokens: Sequence[Any], sites: Sequence[Site], *, progress: Callable[[int, int], None] | None = None
) -> Arrays:
    """Mean and variance of each unit, ``(2, unit)``; `progress` is told the texts done, of how many."""
    found = capture(lm, tokens, sites, Moments, pool=MEANS, progress=progress)
    return {str(site): np.stack([m.mean, m.variance]) for site, m in found.items()}


def donors_at(
    lm: LM, tokens: Sequence[Any], sites: Sequence[Site], *, progress: Callable[[int, int], None] | None = None
) -> Arrays:
    """Each unit's value in each text, ``(text, unit)``; `progress` as for `moments_at`."""
    found = capture(lm, tokens, sites, Gather, pool=LAST, progress=progress)
    return {str(site): each.result() for site, each in found.items()}


def fills_of(
    names: Sequence[str], sites: Sequence[Site], seed: int, moments: Callable[[], Arrays], donors: Callable[[], Arrays]
) -> dict[str, Fill]:
    """The fills of some names; what they need is measured when one of them needs it."""
    made: dict[str, Fill] = {"zero": Zero()}
    if "mean" in names or "noise" in names:
        found = moments()
        mean = {site: found[f"{site}"][0] for site in sites}
        std = {site: np.sqrt(found[f"{site}"][1]) for site in sites}
        made |= {"mean": Mean(mean), "noise": Noise(mean, std, seed=seed)}
    if "resample" in names:
        values = donors()
        made["resample"] = Resample({site: values[f"{site}"] for site in sites}, seed=seed)
    return {name: made[name] for name in names}
