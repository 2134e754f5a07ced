"""The map of t over layers and units: an image at native resolution.

Colour is carried by opacity, so that the same image reads on a light and on a dark page: nothing at 0, full orange at
+limit, full blue at -limit (a pair that every common kind of colour vision tells apart). Dead units are grey.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from broca.reports.png import data_uri, indexed_png
from broca.sites import Site

WIDEST = 1024
"""Units that fit side by side on a page; a wider map gets an overview."""

LEVELS = 63
"""Steps of colour on each side of 0."""

POSITIVE, NEGATIVE, DEAD_GREY = (206, 92, 0), (35, 116, 187), (150, 150, 150)

_DEAD, _ABSENT = 2 * LEVELS + 1, 2 * LEVELS + 2

By = Mapping[Site, np.ndarray]


def palette() -> np.ndarray:
    """(129, 4) uint8: 63 blues, nothing, 63 oranges, the grey of the dead, nothing where a layer has no such unit."""
    strength = np.abs(np.arange(-LEVELS, LEVELS + 1)) / LEVELS
    colours = np.where(np.arange(-LEVELS, LEVELS + 1)[:, None] < 0, NEGATIVE, POSITIVE)
    scale = np.column_stack([colours, np.rint(255 * strength**0.8)])
    return np.vstack([scale, [*DEAD_GREY, 200], [0, 0, 0, 0]]).astype(np.uint8)


def limit(t: By) -> float:
    """Where the scale ends, on both sides of 0: the 99.9 % quantile of |t| over alive units, 1 if there is none."""
    alive = np.abs(np.concatenate([a[np.isfinite(a)] for a in t.values()]) if t else np.zeros(0))
    top = float(np.quantile(alive, 0.999)) if alive.size else 0.0
    return top if top > 0 else 1.0


def levels(t: By, end: float) -> np.ndarray:
    """(layer, unit) uint8 indices into `palette()`; rows are the sites in order, as wide as the widest."""
    out = np.full((len(t), max(len(a) for a in t.values())), _ABSENT, np.uint8)
    for row, values in enumerate(t.values()):
        steps = np.rint(np.clip(np.nan_to_num(values, nan=0.0) / end, -1, 1) * LEVELS) + LEVELS
        # Infinite t is the strongest there is, not a dead unit.
        out[row, : len(values)] = np.where(np.isnan(values), _DEAD, steps).astype(np.uint8)
    return out


def marks(selected: By, like: By) -> np.ndarray:
    """(layer, unit) uint8: 1 where a unit is selected, laid out as `levels`."""
    out = np.zeros((len(like), max(len(a) for a in like.values())), np.uint8)
    for row, site in enumerate(like):
        if site in selected:
            chosen = np.asarray(selected[site]) != 0
            out[row, : len(chosen)] = chosen
    return out


def strongest(pixels: np.ndarray, per: int) -> np.ndarray:
    """(layer, unit) indices with each `per` neighbours reduced to the one farthest from 0; grey only if all are dead.

    For marks (0 and 1) that is whether any is set.
    """
    height, width = pixels.shape
    padded = np.full((height, -(-width // per) * per), _ABSENT, np.uint8)
    padded[:, :width] = pixels
    groups = padded.reshape(height, -1, per)
    centre = LEVELS if pixels.max() > 1 else 0
    rank = np.where(groups < _DEAD, np.abs(groups.astype(int) - centre), np.where(groups == _DEAD, -1, -2))
    return np.take_along_axis(groups, rank.argmax(-1)[..., None], -1)[..., 0]


@dataclass(frozen=True, slots=True)
class UnitMap:
    """An image of one kind of site, and what its frame needs."""

    kind: str
    image: str
    """One pixel for each unit."""
    marks: str
    """A second image that lies on the first: black where a unit is selected. Empty when nothing is."""
    overview: str
    """A narrower image for a wide map, each pixel the strongest of `per_pixel` neighbours; else empty."""
    overview_marks: str
    per_pixel: int
    scale: str
    """The colours from -limit to +limit, as an image one pixel high."""
    end: float
    n_layers: int
    width: int
    n_dead: int
    n_selected: int
    row: int
    """Height of a layer on the page, in CSS pixels."""
    ticks: tuple[tuple[int, float], ...]
    """Layers to label, each with its place from the top in percent."""


def unit_map(kind: str, t: By, selected: By) -> UnitMap:
    """The image of `t` at the sites of one kind; arrays (unit,), NaN for a dead unit."""
    end, colours = limit(t), palette()
    drawn, chosen = levels(t, end), marks(selected, t)
    per = -(-chosen.shape[1] // WIDEST)
    layers = [site.layer for site in t]
    step = max(1, -(-len(layers) // 12))
    black = np.array([[0, 0, 0, 0], [0, 0, 0, 255]], np.uint8)
    ramp = np.arange(2 * LEVELS + 1, dtype=np.uint8)[None]
    return UnitMap(
        kind=kind,
        image=data_uri(indexed_png(drawn, colours)),
        marks=data_uri(indexed_png(chosen, black)) if chosen.any() else "",
        overview=data_uri(indexed_png(strongest(drawn, per), colours)) if per > 1 else "",
        overview_marks=data_uri(indexed_png(strongest(chosen, per), black)) if per > 1 and chosen.any() else "",
        per_pixel=per,
        scale=data_uri(indexed_png(ramp, colours)),
        end=end,
        n_layers=len(layers),
        width=chosen.shape[1],
        n_dead=sum(int(np.isnan(a).sum()) for a in t.values()),
        n_selected=int(chosen.sum()),
        row=min(24, max(5, 420 // len(layers))),
        ticks=tuple((layers[i], 100 * (i + 0.5) / len(layers)) for i in range(0, len(layers), step)),
    )
