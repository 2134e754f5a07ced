"""The map rungs of directions on synthetic activations: sides by lot, by themselves and in groups; and a planted shift beside a nuisance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from broca.evidence.rungs import reliable, selective
from broca.stats.axes import auroc, held_out_places
from broca.stats.axis_draws import half_cosine, null_aurocs, shuffled_sides
from broca.stats.exchange import Sides, random_flags
from broca.stats.intervals import Interval

ALPHA, DEALS, UNITS, TEXTS = 0.05, 79, 48, 40
States = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """Activations of a kind."""

    name: str
    made: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray, tuple[list[str], list[str]]]]
    true: tuple[str, ...] = ()
    """Rungs that should pass."""


def _groups(size: int) -> tuple[list[str], list[str]]:
    return [f"a{i // size}" for i in range(TEXTS)], [f"b{i // size}" for i in range(TEXTS)]


def _noise(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, tuple[list[str], list[str]]]:
    """A stream that varies along few directions, sides by lot."""
    spread = np.geomspace(8, 0.2, UNITS)
    a, b = rng.normal(size=(2, TEXTS, UNITS)) * spread
    return a, b, _groups(1)


def _clustered(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, tuple[list[str], list[str]]]:
    """Four texts of each group, much alike: ten groups a side, sides by lot."""
    a, b, _ = _noise(rng)
    groups = _groups(4)
    offsets = rng.normal(size=(2, TEXTS // 4, UNITS)) * np.geomspace(16, 0.4, UNITS)
    return a + np.repeat(offsets[0], 4, axis=0), b + np.repeat(offsets[1], 4, axis=0), groups


def _shifted(
    size: float,
) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray, tuple[list[str], list[str]]]]:
    """A shift along an axis in which the stream varies less than in its first one."""

    def made(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, tuple[list[str], list[str]]]:
        a, b, groups = _noise(rng)
        axis = rng.normal(size=UNITS)
        return a + size * axis / np.linalg.norm(axis), b, groups

    return made


CASES = (
    Case("directions of noise", _noise),
    Case("directions of groups", _clustered),
    Case("a planted direction, as long as the stream's largest standard deviation", _shifted(8.0), ("selective",)),
    Case("a planted direction, twice as long", _shifted(16.0), ("selective", "reliable")),
)


def states(case: Case, rng: np.random.Generator) -> States:
    """*Selective* and *reliable* of one study."""
    a, b, groups = case.made(rng)
    sides, seed = Sides.of(len(a), len(b), groups=groups), int(rng.integers(1 << 31))
    places = held_out_places(a, b, groups, seed=seed)
    null = null_aurocs(a, b, sides, groups, DEALS, method="mean", seed=seed)
    apart = selective.axis(_interval(places, groups, rng), null, groups=sides.n_groups, alpha=ALPHA)
    names = [np.unique(each, return_inverse=True)[1] for each in groups]
    half = (names[0] % 2, names[1] % 2)
    both = np.concatenate(half)[:, None].astype(float)
    cosines = []
    for flags in random_flags(sides, DEALS, np.random.default_rng([seed, 1])):
        one, two = shuffled_sides(a, b, sides, flags)
        own = [part[:, 0].astype(int) for part in shuffled_sides(both[: len(a)], both[len(a) :], sides, flags)]
        enough = min(int((part == h).sum()) for part in own for h in (0, 1)) >= 2
        cosines.append(half_cosine(one, two, (own[0], own[1]), "mean") if enough else 0.0)
    return apart.state, reliable.axis(half_cosine(a, b, half, "mean"), np.array(cosines), alpha=ALPHA).state


def _interval(
    places: tuple[np.ndarray, np.ndarray], groups: tuple[list[str], list[str]], rng: np.random.Generator
) -> Interval:
    labels = np.array([*groups[0], *groups[1]])
    values, side = np.concatenate(places), np.repeat([True, False], [len(places[0]), len(places[1])])
    names = np.unique(labels)
    rows = {name: np.flatnonzero(labels == name) for name in names}
    found = []
    for _ in range(200):
        picked = np.concatenate([rows[name] for name in rng.choice(names, len(names))])
        if side[picked].any() and not side[picked].all():
            found.append(auroc(values[picked][side[picked]], values[picked][~side[picked]]))
    return Interval.of(auroc(*places), np.array(found), 1 - ALPHA)
