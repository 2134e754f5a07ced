"""What a map is worth when its stimuli are shuffled, or drawn again.

Both need the pooled activations themselves, so memory grows with the stimuli: 4 bytes a stimulus and unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broca.cache.cache import Cache, Json, Progress
from broca.cache.mapping import map_cached
from broca.errors import StatisticsError
from broca.evidence.maps import Floats, Values, by_head
from broca.evidence.stimuli import TokenizedSide
from broca.models.lm import LM
from broca.sites import Site
from broca.stats.confounds import residuals
from broca.stats.discriminant import Discriminants, folds
from broca.stats.exchange import Arrangements, Sides, arrange
from broca.stats.permutation import MaxT
from broca.stats.stability import Stability, bootstrap_overlap
from broca.stats.true_discoveries import p_of_t
from broca.units import Select, select

CITATIONS = {
    "permutations": (
        "Westfall & Young (1993), Resampling-based multiple testing.",
        "Blain, Thirion & Neuvial (2022), NeuroImage 260:119492.",
    ),
    "resamples": ("Efron (1979), Ann Stat 7:1-26.",),
    "lengths": ("Anderson & Robinson (2001), Aust NZ J Stat 43:75-88.",),
}

DISTINCT = 1 - 1e-9
"""R² of the side on covariates from which on these tell the sides apart completely."""


@dataclass(frozen=True, slots=True, eq=False)
class MapPermutations:
    """The map among those of other arrangements of the sides, over all units of all sites."""

    p: Mapping[Site, Floats]
    """Two-sided p by Student's t: what the bound on true discoveries is read from; NaN for dead units."""
    p_max: Mapping[Site, Floats]
    """Family-wise p."""
    pivots: Floats
    """(arrangement,) what calibrates the bound."""
    critical: float
    """The statistic that a unit must exceed to be significant family-wise."""
    arrangements: Arrangements
    overlap: float = 0.0
    """R² of the side on what was regressed out."""


@dataclass(frozen=True, eq=False)
class Shuffling:
    """The task of comparing one site's values, of either side, with those of every arrangement."""

    arrangements: Arrangements
    fold: NDArray[np.int64] | None = None
    """(stimulus,) of both sides, where values are of heads, whose directions are learned anew in every arrangement."""
    covariates: tuple[Floats, Floats] | None = None
    """(stimulus, covariate) of each side, to be regressed out."""

    def key(self, _lm: LM, part: tuple[NDArray[Any], NDArray[Any]], /) -> dict[str, Json]:
        of = self.arrangements
        arrays = [*part, of.flags, of.sides.a, of.sides.b, *(self.covariates or ())]
        arrays += [] if self.fold is None else [self.fold]
        data: list[Json] = [sha256(each.tobytes()).hexdigest() for each in arrays]
        return {"cell": "calibrated max-T", "data": data, "shape": list(part[0].shape)}

    def __call__(self, _lm: LM, part: tuple[NDArray[Any], NDArray[Any]], /) -> dict[str, NDArray[Any]]:
        a, b = part
        if self.covariates is not None:
            rest_a, rest_b, _ = residuals(a.reshape(len(a), -1), b.reshape(len(b), -1), *self.covariates)
            a, b = rest_a.reshape(a.shape), rest_b.reshape(b.shape)
        test = MaxT(self.arrangements, calibrate=True)
        if self.fold is None:
            test.update(a, b)
        else:
            test.update_refit(Discriminants(a, b, self.arrangements.sides, self.fold))
        return test.arrays


def shuffle(
    lm: LM,
    sides: tuple[TokenizedSide, TokenizedSide],
    values: Values,
    heads: Mapping[Site, int] | None,
    *,
    covariates: tuple[Floats, Floats] | None,
    n: int,
    seed: int,
    alpha: float,
    cache: Cache,
    progress: Progress,
) -> MapPermutations | str:
    """The map among those of other arrangements; or, where too few are possible for alpha, why and what would do.

    Args:
        lm: the model.
        sides: positive and negative stimuli; those of a group move together.
        values: their pooled activations.
        heads: the width of a head at each site, where heads are what was ranked.
        covariates: (stimulus, covariate) of each side, to be regressed out.
        n: arrangements.
        seed: of random ones.
        alpha: a level that p must be able to reach.
        cache: of the sites.
        progress: told what is done.
    """
    groups = (sides[0].groups, sides[1].groups)
    try:
        arrangements = arrange(Sides.of(*map(len, groups), groups=groups), n=n, seed=seed, alpha=alpha)
        overlap = 0.0
        if covariates is not None:
            nothing = [np.zeros((len(each), 1)) for each in groups]
            overlap = residuals(nothing[0], nothing[1], *covariates)[2]
    except StatisticsError as error:
        return str(error)
    task = Shuffling(arrangements, None if heads is None else np.concatenate(folds(*groups)), covariates)
    parts = [
        tuple(side[site] if heads is None else by_head(side[site], heads[site]) for side in values)
        for site in values[0]
    ]
    test = MaxT(arrangements, calibrate=True)
    for found in map_cached(task, parts, lm, cache, lambda done, total: progress("shuffling", done, total)):  # type: ignore[arg-type]
        assert isinstance(found, dict)
        test.include(found)
    tested = dict(zip(values[0], test.result(), strict=True))
    whole = next(iter(tested.values()))
    assert whole.pivots is not None
    p = {site: p_of_t(part.t, arrangements.sides) for site, part in tested.items()}
    p_max = {site: part.p_max for site, part in tested.items()}
    return MapPermutations(p, p_max, whole.pivots, whole.critical(alpha), arrangements, overlap)


def stability(
    sides: tuple[TokenizedSide, TokenizedSide], values: Values, how: Select, *, n: int, seed: int
) -> Stability:
    """How alike the selections are that bootstrap samples of the stimuli make."""
    first, second = values
    sites = list(first)
    cuts = np.cumsum([first[site].shape[1] for site in sites])[:-1]

    def choose(t: NDArray[Any]) -> NDArray[np.bool_]:
        chosen = select(dict(zip(sites, np.split(t, cuts), strict=True)), how).mask
        return np.concatenate([chosen.at[site] for site in sites])

    joined = (np.concatenate([side[site] for site in sites], axis=1) for side in (first, second))
    groups = (np.asarray(sides[0].groups), np.asarray(sides[1].groups))
    return bootstrap_overlap(*joined, choose=choose, groups=groups, n=n, seed=seed)
