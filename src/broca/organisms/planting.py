"""Planted truth: units of which it is known what they respond to and what they do, put into any model.

Four kinds of unit, two by two: selective or not, causal or not. Each takes the place of a unit that the model hardly
uses. Units are planted in pairs of antagonists: the second writes the opposite of what the first writes, with noise of
its own. So each alone moves the metric, while together they pass on neither their mean nor the side of the text: the
rest of the model stays what it was, and no unit downstream becomes selective through them.

What was meant is not what counts. `selectivity` shows each text as either side, `ablation_effects` takes single units away, and
the truth is what these two measure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from broca.capture import Moments, capture
from broca.capture.gradient import output_gradients
from broca.capture.metrics import Metric, metric_values
from broca.errors import GuardError, SelectionError
from broca.interventions import Lesion
from broca.interventions.plant import Plant, Planting, output_weights
from broca.models.lm import LM
from broca.models.tokens import Tokens
from broca.sites import Site
from broca.stats.mean_tests import welch
from broca.units import UnitMask

Floats = NDArray[np.float64]
Unit = tuple[Site, int]

Cell = Literal["both", "selective", "causal", "neither"]
CELLS: tuple[Cell, ...] = get_args(Cell)

LARGEST = 0.25
"""Share of a site's units that may be replaced."""

ROUNDS, CLOSE = 4, 0.1
"""How often output weights are rescaled, and how near (in log units) the effect of ablating a pair's units must come."""


@dataclass(frozen=True, slots=True)
class Design:
    """What to plant."""

    pairs: int = 4
    """Pairs of units in each of the four cells."""
    d: float = 0.8
    """Cohen's d of a selective unit between the two sides."""
    effect: float = 1.0
    """What ablating a causal unit changes the metric by (root mean square), in standard deviations of the metric."""
    rest: float = 1.0
    """Mean activation of a planted unit, in its own standard deviations."""
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two antagonists at one site: the first writes `own` + gain x `along`, the second the opposite."""

    site: Site
    units: tuple[int, int]
    cell: Cell
    spread: float
    """Median standard deviation of the site's own units: what a planted unit varies by."""
    own: Floats
    """What the first unit wrote before, less its part along the metric's gradient, ``(output,)``."""
    along: Floats
    """The gradient, at the length that to first order has the wanted effect, ``(output,)``."""


@dataclass(frozen=True, eq=False)
class Bed:
    """Pairs ready to be planted, and the scale of the metric that they were made for."""

    pairs: tuple[Pair, ...]
    design: Design
    sides: Mapping[str, int]
    sd: float
    """Standard deviation of the metric over texts in the model as it was."""

    @property
    def cell_of(self) -> dict[Unit, Cell]:
        """What each unit is meant to be."""
        return {(pair.site, unit): pair.cell for pair in self.pairs for unit in pair.units}

    def plant(self, gains: Floats) -> Plant:
        """The intervention, with a gain for each pair: 1 is the first-order prediction of the effect, 0 is inert."""
        at = {}
        for site in sorted({pair.site for pair in self.pairs}):
            here = [(pair, gain) for pair, gain in zip(self.pairs, gains, strict=True) if pair.site == site]
            writes = [pair.own + gain * pair.along for pair, gain in here]
            shift = [self.design.d if pair.cell in ("both", "selective") else 0.0 for pair, _ in here]
            at[site] = Planting(
                units=np.array([unit for pair, _ in here for unit in pair.units]),
                spread=np.repeat([pair.spread for pair, _ in here], 2),
                shift=np.repeat(shift, 2),
                weights=np.stack([row for write in writes for row in (write, -write)]),
                rest=self.design.rest,
            )
        return Plant(at, self.sides, self.design.seed)


def prepare_bed(
    lm: LM,
    tokens: Sequence[Tokens],
    sites: Sequence[Site],
    metric: Metric,
    *,
    sides: Mapping[str, int],
    design: Design = Design(),
) -> Bed:
    """Choose the units that the model uses least, and what they are to write.

    Args:
        lm: the model.
        tokens: reference texts: activations, gradients and the metric's spread are taken from them.
        sites: where to plant, of kind `mlp_act` or `z`.
        metric: what causal units move.
        sides: which texts are on which side, by their `text_key`.
        design: what to plant.

    Raises:
        SiteUnavailable: if a site has no output weights that can be edited.
        SelectionError: if there are too few units.
        GuardError: if the metric is the same for every text, or nothing written at a site can move it.
    """
    sd = float(metric_values(lm, tokens, metric).std(ddof=1))
    if not sd > 0:
        raise GuardError(
            f"The metric is the same for all {len(tokens)} reference texts, so no unit can be seen to move it. Choose other "
            "answers, or texts that differ."
        )
    seen = capture(lm, tokens, sites, Moments)
    slopes = output_gradients(lm, tokens, sites, metric)
    chosen = _least_used(lm, seen, 4 * design.pairs)
    order = np.random.default_rng(design.seed).permutation(len(chosen))
    pairs = []
    for place, i in enumerate(order):
        site, units = chosen[i]
        slope, spread = slopes[site].mean, _spread(site, seen[site])
        steepness = float(np.linalg.norm(slope))
        if not steepness > 0:
            raise GuardError(f"Nothing that units at {site} write moves the metric. Choose other sites or answers.")
        own, up = output_weights(lm, site)[units[0]].double().cpu().numpy(), slope / steepness
        length = design.effect * sd / (spread * np.hypot(design.rest, 1) * steepness)
        pairs.append(Pair(site, units, CELLS[place % 4], spread, own - (own @ up) * up, length * up))
    return Bed(tuple(pairs), design, sides, sd)


def calibrate_gains(lm: LM, bed: Bed, tokens: Sequence[Tokens], metric: Metric) -> Floats:
    """The gain of each pair at which ablating one of its units has about the wanted effect, ``(pair,)``."""
    causal = np.array([pair.cell in ("both", "causal") for pair in bed.pairs])
    gains = causal.astype(np.float64)
    units = [(pair.site, unit) for pair in bed.pairs if pair.cell in ("both", "causal") for unit in pair.units]
    for _ in range(ROUNDS):
        with lm.under(bed.plant(gains)):
            effects = root_mean_square(ablation_effects(lm, tokens, units, metric)).reshape(-1, 2)
        missing = bed.design.effect * bed.sd / np.maximum(root_mean_square(effects), np.finfo(float).tiny)
        if (np.abs(np.log(missing)) < CLOSE).all():
            break
        gains[causal] *= np.clip(missing, 0.25, 4)
    return gains


def ablation_effects(lm: LM, tokens: Sequence[Tokens], units: Sequence[Unit], metric: Metric) -> Floats:
    """What the metric of each text changes by when a unit alone is held at 0, ``(unit, text)``."""
    before = metric_values(lm, tokens, metric)
    rows = np.empty((len(units), len(tokens)))
    for row, (site, unit) in zip(rows, units, strict=True):
        with lm.under(Lesion(UnitMask.of({site: [unit]}, n=lm.anatomy.width(site)))):
            row[:] = metric_values(lm, tokens, metric) - before
    return rows


def selectivity(lm: LM, plant: Plant, tokens: Sequence[Tokens], sites: Sequence[Site]) -> dict[Site, Floats]:
    """Cohen's d of every unit, ``(unit,)`` a site, between the same texts shown as one side and as the other.

    Noise and texts are the same on both sides, so a difference of means is the side's own doing, without sampling error.
    A unit that does not depend on the side has 0.
    """
    sides = []
    for show in (1, -1):
        with lm.under(replace(plant, show=show)):
            sides.append(capture(lm, tokens, sites, Moments))
    a, b = sides
    found = {s: welch(a[s].mean, a[s].variance, a[s].count, b[s].mean, b[s].variance, b[s].count) for s in sites}
    return {site: np.nan_to_num(test.d) for site, test in found.items()}


def root_mean_square(rows: Floats) -> Floats:
    """Over the last axis."""
    return np.sqrt(np.square(rows).mean(-1))


def _least_used(lm: LM, seen: Mapping[Site, Moments], count: int) -> list[tuple[Site, tuple[int, int]]]:
    """Pairs of the units with the least activation x output weights (root mean square x norm), spread over the sites."""
    order = {}
    for site, moments in seen.items():
        size = np.sqrt(moments.mean**2 + moments.m2 / moments.count)
        reach = torch.linalg.vector_norm(output_weights(lm, site), dim=1, dtype=torch.float64).cpu().numpy()
        order[site] = np.argsort(size * reach, kind="stable")
    room = {site: int(LARGEST * len(ranked)) // 2 for site, ranked in order.items()}
    if count > sum(room.values()):
        raise SelectionError(
            f"{2 * count} units are to be planted ({count // 4} pairs in each of 4 cells), and of the "
            f"{sum(map(len, order.values()))} units at {', '.join(map(str, order))} at most a quarter may be replaced. Plant "
            f"at most {sum(room.values()) // 4} pairs in each, or name more sites."
        )
    turns = ((site, turn) for turn in range(count) for site in order if turn < room[site])
    return [
        (site, (int(order[site][2 * turn]), int(order[site][2 * turn + 1])))
        for (site, turn), _ in zip(turns, range(count), strict=False)
    ]


def _spread(site: Site, moments: Moments) -> float:
    alive = moments.variance[moments.variance > 0]
    if not alive.size:
        raise GuardError(
            f"No unit at {site} varies over the reference texts. Choose other sites, or texts that differ."
        )
    return float(np.sqrt(np.median(alive)))
