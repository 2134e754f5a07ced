"""How units, heads and groups of heads are written: ``0.4,1.2`` and ``3.mlp_act:0,2 5.mlp_act:1``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import numpy as np

from broca.errors import SelectionError
from broca.sites import Site
from broca.units.layout import Array

Grain = Literal["unit", "head", "group"]
"""What is chosen: single coordinates of a site, whole heads of a `z`, or those of its heads that share a key-value head."""

OPEN = 1 << 20
"""The width of a site of a selection that was written before its model was known: more than any has; see `broca.units.choices.fit`."""


def parse_heads(text: str, *, n_heads: int, n_layers: int | None = None) -> dict[Site, list[int]]:
    """The heads of each layer that a text names, LAYER.HEAD with commas between.

    Raises:
        SelectionError: if the text is of another form, or a head does not exist.
    """
    chosen: dict[Site, list[int]] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})\.(\d{1,9})\s*", part)
        if match is None:
            raise SelectionError(f"{part.strip()!r} is not a head. Write LAYER.HEAD with commas between: '0.4,1.2'.")
        layer, head = int(match[1]), int(match[2])
        if head >= n_heads or layer >= (layer + 1 if n_layers is None else n_layers):
            layers = "" if n_layers is None else f"layers 0 to {n_layers - 1}, each with "
            raise SelectionError(f"There is no head {layer}.{head}. This model has {layers}heads 0 to {n_heads - 1}.")
        chosen.setdefault(Site(layer, "z"), []).append(head)
    return chosen


def parse_units(text: str) -> tuple[dict[Site, list[int]], Grain]:
    """The units of each site that a text names, LAYER.KIND:UNITS with spaces between, and their grain.

    Raises:
        SelectionError: if the text is of another form, or mixes grains.
    """
    chosen: dict[Site, list[int]] = {}
    grains: set[Grain] = set()
    for part in text.split():
        place, _, units = part.partition(":")
        layer, _, kind = place.partition(".")
        grain: Grain = "head" if kind == "head" else "group" if kind == "group" else "unit"
        if not re.fullmatch(r"\d{1,9}(,\d{1,9})*", units):
            raise SelectionError(f"{part!r} names no units. Write LAYER.KIND:UNITS, as '3.experts:0,2 5.experts:1'.")
        site = Site.parse(place if grain == "unit" else f"{layer}.z")
        chosen.setdefault(site, []).extend(map(int, units.split(",")))
        grains.add(grain)
    if len(grains) != 1:
        raise SelectionError(f"{text!r} chooses {' and '.join(sorted(grains)) or 'nothing'}. Write units of one grain.")
    return chosen, grains.pop()


def names(at: Mapping[Site, Array], grain: Grain) -> list[str]:
    """Each choice as it is written: ``23.4`` for a head, ``20.resid_post:507`` for a unit, ``3.group:1`` for a group.

    Args:
        at: flags of each site, ``(n,)``.
        grain: what they are of.
    """
    form = {"head": "{0.layer}.{1}", "group": "{0.layer}.group:{1}", "unit": "{0}:{1}"}[grain]
    return [form.format(site, i) for site, flags in at.items() for i in np.flatnonzero(flags)]
