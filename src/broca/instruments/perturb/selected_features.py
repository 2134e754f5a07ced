"""What the dictionaries explain of the texts whose answers turned, and which of these texts fire the chosen features most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from broca.evidence import features
from broca.evidence.verdict import Guard
from broca.instruments.perturb.grid import Patches
from broca.instruments.perturb.selection import Selection


@dataclass(frozen=True, slots=True, eq=False)
class SelectedFeatures:
    """As a localizer of features tells it; nothing where none are chosen."""

    dictionaries: pl.DataFrame | None = None
    activations: pl.DataFrame | None = None
    guards: tuple[Guard, ...] = ()


def selected_features(patches: Patches, selection: Selection) -> SelectedFeatures:
    """Measured on both texts of every case: the clean one lends what the perturbed one is patched with.

    Args:
        patches: the cases.
        selection: of heads, neurons or features.
    """
    mask, lm = selection.mask, patches.lm
    if mask is None or not (sites := features.feature_sites(mask.sites)):
        return SelectedFeatures()
    shown = [(name, text) for one in patches.cases
             for name, text in (("clean", one.case.donor), ("perturbed", one.case.run))]  # fmt: skip
    labels, texts = zip(*shown, strict=True)
    measured = features.measure(lm, texts, sites, cache=patches.cache, progress=patches.progress)
    order = {site: np.zeros(lm.anatomy.width(site)) for site in sites}
    by_layer = {site.layer: site for site in sites}
    for layer, unit, share in selection.table.select("layer", "unit", "share").iter_rows():
        order[by_layer[layer]][unit] = share
    return SelectedFeatures(
        features.table(lm, measured),
        features.strongest(lm, texts, labels, mask, order=order, cache=patches.cache),
        features.guards(measured),
    )
