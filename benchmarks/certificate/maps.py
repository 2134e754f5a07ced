"""The selective rung on synthetic activations: sides by lot, clustered, of heads, with an opening of one side; and planted units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from broca.evidence.confounds import ends_match, refusal
from broca.evidence.duplicates import warn_of_near_duplicates
from broca.evidence.resampling import MapPermutations
from broca.evidence.rungs.selective import unit_map
from broca.items import Contrast, Stimulus
from broca.sites import Site
from broca.stats.discriminant import Discriminants, folds
from broca.stats.exchange import Arrangements, Sides, arrange
from broca.stats.permutation import MaxT
from broca.stats.true_discoveries import p_of_t
from broca.units import Select, select

ALPHA, ARRANGEMENTS, UNITS, PERCENT = 0.05, 199, 200, 5
SITE = Site(0, "z")
WORDS = [
    "river",
    "stone",
    "lamp",
    "wheel",
    "cloud",
    "garden",
    "silver",
    "window",
    "paper",
    "mirror",
    "bottle",
    "ladder",
    "candle",
    "button",
    "blanket",
    "hammer",
]


@dataclass(frozen=True, slots=True)
class MapCase:
    """Maps of a kind."""

    name: str
    state: Callable[[np.random.Generator], str]
    true: bool = False
    fails: bool = False
    """Whether there are stimuli enough to say that nothing is there."""
    before: str = ""


def _rung(tested: MaxT, grain: str, percent: float) -> str:
    (found,) = tested.result()
    arrangements = tested.arrangements
    p = {SITE: p_of_t(found.t, arrangements.sides)}
    assert found.pivots is not None
    shuffled = MapPermutations(p, {SITE: found.p_max}, found.pivots, found.critical(ALPHA), arrangements)
    chosen = select({SITE: np.abs(found.t)}, Select(percent=percent), grain=grain)
    return unit_map(p, chosen, shuffled, alpha=ALPHA).state


def _arranged(groups: tuple[Sequence[str], Sequence[str]], rng: np.random.Generator) -> Arrangements:
    seed = int(rng.integers(1 << 31))
    return arrange(Sides.of(len(groups[0]), len(groups[1]), groups=groups), n=ARRANGEMENTS, seed=seed, alpha=ALPHA)


def _alone(n: int) -> tuple[list[str], list[str]]:
    return [f"a{i}" for i in range(n)], [f"b{i}" for i in range(n)]


def _units(a: Any, b: Any, groups: tuple[Sequence[str], Sequence[str]], rng: np.random.Generator) -> str:
    test = MaxT(_arranged(groups, rng), calibrate=True)
    test.update(a, b)
    return _rung(test, "unit", PERCENT)


def lots(n: int, *, mixed: bool = False) -> Callable[[np.random.Generator], str]:
    """Sides that differ in nothing; `mixed` units hang together."""

    def state(rng: np.random.Generator) -> str:
        a, b = (_values(n, rng, mixed=mixed) for _ in range(2))
        return _units(a, b, _alone(n), rng)

    return state


def _values(n: int, rng: np.random.Generator, *, mixed: bool) -> Any:
    values = rng.normal(size=(n, UNITS))
    return values + (2 * rng.normal(size=(n, 5)) @ np.ones((5, UNITS)) / 5 if mixed else 0)


def features(n: int, rate: float = 0.05) -> Callable[[np.random.Generator], str]:
    """Sides that differ in nothing, of units that are 0 for all but some of the stimuli, as features of a dictionary are."""

    def state(rng: np.random.Generator) -> str:
        a, b = ((rng.random((n, UNITS)) < rate) * rng.lognormal(size=(n, UNITS)) for _ in range(2))
        return _units(a, b, _alone(n), rng)

    return state


def clustered(templates: int, fillings: int, *, labelled: bool = True) -> Callable[[np.random.Generator], str]:
    """Sides by lot, of fillings of a few templates; without labels only a warning can help."""

    def state(rng: np.random.Generator) -> str:
        sides = [np.repeat(rng.normal(size=(templates, UNITS)), fillings, 0) for _ in range(2)]
        a, b = (side + 0.5 * rng.normal(size=side.shape) for side in sides)
        names = tuple([f"{side}{i // fillings}" for i in range(templates * fillings)] for side in "ab")
        if labelled:
            return _units(a, b, names, rng)
        texts = [text for _ in "ab" for text in _fillings(templates, fillings, rng)]
        alone = _alone(templates * fillings)
        state = _units(a, b, alone, rng)
        warned = warn_of_near_duplicates("stimuli", texts, [*alone[0], *alone[1]])
        return f"{state}, warned" if warned else state

    return state


def _fillings(templates: int, fillings: int, rng: np.random.Generator) -> list[str]:
    shapes = [" ".join(rng.choice(WORDS, 12)) for _ in range(templates)]
    return [f"{shape} of {name}" for shape in shapes for name in (f"Ann{i}" for i in range(fillings))]


def heads(n: int = 32, k: int = 16, width: int = 8) -> Callable[[np.random.Generator], str]:
    """Sides by lot; the direction of every head is learned anew in each arrangement."""

    def state(rng: np.random.Generator) -> str:
        groups = _alone(n)
        a, b = (rng.normal(size=(n, k, width)) for _ in range(2))
        arrangements = _arranged(groups, rng)
        test = MaxT(arrangements, calibrate=True)
        test.update_refit(Discriminants(a, b, arrangements.sides, np.concatenate(folds(*groups))))
        return _rung(test, "head", 100 / k)

    return state


def opening(n: int = 30, size: float = 2.0) -> Callable[[np.random.Generator], str]:
    """One side begins with words that the other lacks, and units follow them."""

    def state(rng: np.random.Generator) -> str:
        a, b = (rng.normal(size=(n, UNITS)) for _ in range(2))
        a = a + size * (np.arange(UNITS) < UNITS / 4)
        found = _units(a, b, _alone(n), rng)
        begins = " ".join(rng.choice(WORDS, 3))
        texts = [[" ".join(rng.choice(WORDS, 12)) for _ in range(n)] for _ in range(2)]
        texts[0] = [f"{begins} {text}" for text in texts[0]]
        sides = [tuple(Stimulus(f"{s}{i}", text) for i, text in enumerate(side)) for s, side in zip("ab", texts, strict=True)]  # fmt: skip
        tokens = tuple([SimpleNamespace(ids=[*map(WORDS.index, t.split())]) for t in side] for side in texts)
        guard = ends_match(Contrast("opening", *sides), tokens, cut=False)  # type: ignore[arg-type]
        return "undecided" if found == "passed" and refusal([guard], length=False) else found

    return state


def planted(n: int, d: float, share: float = 0.1) -> Callable[[np.random.Generator], str]:
    """A share of the units differs by d standard deviations."""

    def state(rng: np.random.Generator) -> str:
        a, b = (rng.normal(size=(n, UNITS)) for _ in range(2))
        return _units(a + d * (np.arange(UNITS) < UNITS * share), b, _alone(n), rng)

    return state


CASES = (
    MapCase("sides by lot, 40 + 40 stimuli", lots(40)),
    MapCase("sides by lot, 150 + 150 stimuli", lots(150), fails=True),
    MapCase("sides by lot, features of which each fires for one stimulus in twenty", features(80)),
    MapCase("sides by lot, units that hang together", lots(40, mixed=True)),
    MapCase("sides by lot, 10 + 10 templates of 10, groups named", clustered(10, 10), before="60 of 60 (groups ignored)"),
    MapCase("sides by lot, 4 + 4 templates of 10, groups named", clustered(4, 10)),
    MapCase("sides by lot, 10 + 10 templates of 10, no groups, no warning", clustered(10, 10, labelled=False), before="60 of 60"),
    MapCase("sides by lot, 16 heads, 32 + 32 stimuli", heads(), before="8.5 % of 400"),
    MapCase("one side opens with three words", opening(), before="40 of 40"),
    MapCase("a tenth of the units, 1 standard deviation, 80 + 80", planted(80, 1.0), true=True),
)  # fmt: skip
