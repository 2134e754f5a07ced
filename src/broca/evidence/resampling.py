"""What a map is worth when its stimuli are shuffled, drawn again, or told apart by their length.

All three need the pooled activations themselves, so memory grows with the stimuli: 4 bytes a stimulus and unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from broca.cache.cache import Cache, Json, Progress
from broca.cache.mapping import map_cached
from broca.evidence.maps import Floats, stimulus_values
from broca.evidence.stimuli import TokenizedSide
from broca.models.lm import LM
from broca.models.pool import Pool
from broca.sites import Site
from broca.stats.confounds import partial_welch
from broca.stats.exchange import Arrangements, Sides, arrange
from broca.stats.permutation import MaxT
from broca.stats.stability import Stability, bootstrap_overlap
from broca.units import Select, select

CITATIONS = {
    "permutations": "Westfall & Young (1993), Resampling-based multiple testing.",
    "resamples": "Efron (1979), Ann Stat 7:1-26.",
    "lengths": "MacKinnon & White (1985), J Econometrics 29:305-325.",
}


@dataclass(frozen=True, slots=True)
class Resampling:
    """What was asked for; the rest is None or empty."""

    p_max: Mapping[Site, Floats] = field(default_factory=dict)
    """Family-wise p of every unit (max-T over all units of all sites)."""
    scheme: str = ""
    """What was shuffled: stimuli, groups, pairs, mixed."""
    n: int = 0
    """Arrangements."""
    stability: Stability | None = None
    p_length: Mapping[Site, Floats] = field(default_factory=dict)
    """p of Welch's t after regressing out the length of each stimulus in tokens."""


NOTHING = Resampling()


@dataclass(frozen=True, eq=False)
class Shuffling:
    """The task of comparing one site's values, of either side, with those of every arrangement."""

    arrangements: Arrangements

    def key(self, _lm: LM, part: tuple[NDArray[Any], NDArray[Any]], /) -> dict[str, Json]:
        of = self.arrangements
        arrays = (*part, of.flags, of.sides.a, of.sides.b)
        return {"cell": "max-T", "data": [sha256(each.tobytes()).hexdigest() for each in arrays]}

    def __call__(self, _lm: LM, part: tuple[NDArray[Any], NDArray[Any]], /) -> dict[str, NDArray[Any]]:
        test = MaxT(self.arrangements)
        test.update(*part)
        return test.arrays


def resample(
    lm: LM,
    sides: tuple[TokenizedSide, TokenizedSide],
    sites: Sequence[Site],
    pool: Pool,
    how: Select,
    *,
    permutations: int,
    resamples: int,
    lengths: bool,
    seed: int,
    alpha: float,
    cache: Cache,
    progress: Progress,
) -> Resampling:
    """Shuffle, resample, and regress out lengths.

    Args:
        lm: the model.
        sides: positive and negative stimuli; those of a group are shuffled and drawn together.
        sites: where to look.
        pool: how tokens become one value.
        how: the selection whose stability is asked.
        permutations: arrangements of the sides; 0 for none.
        resamples: bootstrap samples of the stimuli; 0 for none.
        lengths: whether to regress out lengths.
        seed: of arrangements and samples.
        alpha: a level that p must be able to reach.
        cache: of the pass over the stimuli.
        progress: told what is done.

    Raises:
        StatisticsError: if there are too few stimuli or groups; the message says how many would do.
    """
    if not (permutations or resamples or lengths):
        return NOTHING
    first, second = stimulus_values(
        lm, *sides, sites, pool, cache=cache, progress=lambda done, total: progress("looking again", done, total)
    )
    groups = (np.asarray(sides[0].groups), np.asarray(sides[1].groups))
    made: dict[str, Any] = {}
    if permutations:
        arrangements = arrange(Sides.of(*map(len, groups), groups=groups), n=permutations, seed=seed, alpha=alpha)
        test, task = MaxT(arrangements), Shuffling(arrangements)
        parts = [(first[site], second[site]) for site in sites]
        for found in map_cached(task, parts, lm, cache, lambda done, total: progress("shuffling", done, total)):
            assert isinstance(found, dict)
            test.include(found)
        tested = test.result()
        made |= {"p_max": {site: part.p_max for site, part in zip(sites, tested, strict=True)}}
        made |= {"scheme": tested[0].scheme, "n": len(arrangements)}
    if resamples:
        made["stability"] = _stability(first, second, groups, how, n=resamples, seed=seed)
    if lengths:
        tokens = [np.array([len(text) for text in side.tokens], np.float64) for side in sides]
        made["p_length"] = {site: partial_welch(first[site], second[site], *tokens).p for site in sites}
    return Resampling(**made)


def _stability(
    first: Mapping[Site, NDArray[Any]],
    second: Mapping[Site, NDArray[Any]],
    groups: tuple[NDArray[Any], NDArray[Any]],
    how: Select,
    *,
    n: int,
    seed: int,
) -> Stability:
    sites = list(first)
    cuts = np.cumsum([first[site].shape[1] for site in sites])[:-1]

    def choose(t: NDArray[Any]) -> NDArray[np.bool_]:
        chosen = select(dict(zip(sites, np.split(t, cuts), strict=True)), how).mask
        return np.concatenate([chosen.at[site] for site in sites])

    joined = (np.concatenate([side[site] for site in sites], axis=1) for side in (first, second))
    return bootstrap_overlap(*joined, choose=choose, groups=groups, n=n, seed=seed)
