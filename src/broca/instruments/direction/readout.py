"""What a direction is worth as a map: separation by layer, halves, shuffled sides, untrained twins, other contrasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from broca.errors import BrocaError
from broca.evidence.directions import ContrastValues, contrast_values
from broca.evidence.rungs import learned, reliable, selective
from broca.evidence.rungs.learned import TwinTask, in_twins
from broca.evidence.verdict import MAP, Rung
from broca.models.lm import LM
from broca.sites import Site
from broca.stats.axes import auroc, cosine, held_out_places
from broca.stats.axis_draws import half_cosine, null_aurocs, shuffled_sides
from broca.stats.exchange import Sides, random_flags
from broca.stats.intervals import Interval

if TYPE_CHECKING:
    from broca.instruments.direction.spec import DirectionTest
    from broca.instruments.direction.work import Work

BOOTSTRAP = 500
"""Resamplings of the groups for the interval of an AUROC."""


@dataclass(frozen=True, slots=True, eq=False)
class Separation:
    """How far apart the sides lie along axes that were fitted without the group of what is measured."""

    positive: np.ndarray
    negative: np.ndarray
    """Places of the stimuli of either side."""

    @property
    def auroc(self) -> float:
        """Share of pairs of texts that are told apart."""
        return auroc(self.positive, self.negative)

    @property
    def d(self) -> float:
        """Distance of the means in standard deviations (Cohen's d)."""
        a, b = self.positive, self.negative
        spread = np.sqrt((a.var(ddof=1) * (len(a) - 1) + b.var(ddof=1) * (len(b) - 1)) / (len(a) + len(b) - 2))
        return float((a.mean() - b.mean()) / spread) if spread > 0 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class MapValue:
    """What the direction is worth as a map."""

    rungs: tuple[Rung, ...]
    twins: pl.DataFrame | None


GIVEN = "The direction was given, and nothing was fitted."


def map_value(work: Work, site: Site) -> MapValue:
    """*Selective*, *reliable* and *learned* at the chosen site; not tested where no direction is fitted."""
    spec = work.spec
    if work.seen is None:
        return MapValue(tuple(Rung(name, "not tested", GIVEN, {}) for name in MAP), None)
    apart = separation(work.seen, site, spec)
    table = twins(work, apart.d, site) if spec.twins else None
    return MapValue((*map_rungs(work, work.seen, site, apart), learned_rung(spec, apart.d, table)), table)


def separation(seen: ContrastValues, site: Site, spec: DirectionTest) -> Separation:
    """Of the sides of a contrast at a site."""
    a, b = seen.rows(site)
    return Separation(
        *held_out_places(a, b, seen.groups, spec.method, paired=seen.paired and len(a) == len(b), seed=spec.seed)
    )


def layers(work: Work, chosen: Site) -> pl.DataFrame:
    """One row a site: separation on groups left out, cosine of halves, size, and cosine with the chosen one."""
    spec, seen, axes, rows = work.spec, work.seen, work.axes, []
    for site, axis in axes.items():
        apart = None if seen is None else separation(seen, site, spec)
        size, rho = float(np.linalg.norm(axis.vector)), work.whole.rho.get(site)
        rows.append(
            {
                "site": str(site), "layer": site.layer, "auroc": apart and apart.auroc, "d": apart and apart.d,
                "halves": None if seen is None else halves(seen, site, spec),
                "norm": size, "rho": rho, "share": size / rho if rho else None,
                "cosine": cosine(axis.vector, axes[chosen].vector) if axis.vector.shape == axes[chosen].vector.shape else None,
            }
        )  # fmt: skip
    return pl.DataFrame(
        rows, schema_overrides=dict.fromkeys(("auroc", "d", "halves", "rho", "share", "cosine"), pl.Float64)
    )


def halves(seen: ContrastValues, site: Site, spec: DirectionTest) -> float:
    """The cosine of the directions of two random halves of the groups; NaN where a half has too few stimuli."""
    a, b = seen.rows(site)
    half = (seen.sides[0].half, seen.sides[1].half)
    paired = seen.paired and np.array_equal(*half)
    try:
        return half_cosine(a, b, half, spec.method, paired=paired)
    except BrocaError:
        return float("nan")


def map_rungs(work: Work, seen: ContrastValues, site: Site, apart: Separation) -> tuple[Rung, Rung]:
    """*Selective* and *reliable*, at the chosen site, where the sides lie so far apart."""
    spec = work.spec
    a, b = seen.rows(site)
    sides = Sides.of(len(a), len(b), groups=seen.groups)
    if spec.permutations and sides.n_arrangements < 2 / spec.level:
        why = f"{sides.n_groups} groups can be dealt to the sides in {sides.n_arrangements} ways, too few for p ≤ {spec.level:g}."
        return Rung("selective", "undecided", why, {}), Rung("reliable", "undecided", why, {})
    found = _nulls(work, seen, site, sides)
    interval = _interval(apart, seen, spec)
    tells = selective.axis(interval, found["auroc"], groups=sides.n_groups, alpha=spec.level)
    return tells, reliable.axis(halves(seen, site, spec), found["cosine"], alpha=spec.level)


def _nulls(work: Work, seen: ContrastValues, site: Site, sides: Sides) -> Mapping[str, np.ndarray]:
    spec, lm = work.spec, work.lm
    a, b = seen.rows(site)
    key = {"cell": "shuffled directions", "site": str(site), "spec": spec.model_dump_json(include=set(_OF_NULLS)),
           "contrast": spec.stimuli.fingerprint, "condition": list(lm.condition)}  # fmt: skip

    def compute() -> dict[str, np.ndarray]:
        work.progress("shuffling sides", 0, 1)
        if not spec.permutations:
            return {"auroc": np.zeros(0), "cosine": np.zeros(0)}
        labels = (list(seen.groups[0]), list(seen.groups[1]))
        drawn = null_aurocs(a, b, sides, labels, spec.permutations, method=spec.method, seed=spec.seed)
        both = np.concatenate([seen.sides[0].half, seen.sides[1].half])[:, None].astype(float)
        cosines = []
        for flags in random_flags(sides, spec.permutations, np.random.default_rng([spec.seed, 1])):
            one, two = shuffled_sides(a, b, sides, flags)
            half = tuple(
                part[:, 0].astype(int) for part in shuffled_sides(both[: len(a)], both[len(a) :], sides, flags)
            )
            enough = min(int((part == h).sum()) for part in half for h in (0, 1)) >= 2
            cosines.append(half_cosine(one, two, (half[0], half[1]), spec.method) if enough else 0.0)
        work.progress("shuffling sides", 1, 1)
        return {"auroc": drawn, "cosine": np.array(cosines)}

    found = work.cache(key, compute)
    assert isinstance(found, dict)
    return found


_OF_NULLS = ("method", "pool", "permutations", "seed", "truncate", "chat")


def _interval(apart: Separation, seen: ContrastValues, spec: DirectionTest) -> Interval:
    """The AUROC with a percentile interval from resamplings of the groups."""
    labels = np.array([*seen.groups[0], *seen.groups[1]])
    names, codes = np.unique(labels, return_inverse=True)
    values = np.concatenate([apart.positive, apart.negative])
    side = np.repeat([True, False], [len(apart.positive), len(apart.negative)])
    draw, found = np.random.default_rng(spec.seed), []
    rows = [np.flatnonzero(codes == g) for g in range(len(names))]
    for _ in range(BOOTSTRAP):
        picked = np.concatenate([rows[g] for g in draw.integers(len(names), size=len(names))])
        on = side[picked]
        if on.any() and not on.all():
            found.append(auroc(values[picked][on], values[picked][~on]))
    return Interval.of(apart.auroc, np.array(found), 1 - spec.level) if found else Interval(apart.auroc, 0.0, 1.0)


# -- twins and other contrasts ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Twin(TwinTask):
    """Fitting the direction in a twin, at the same site."""

    site: Site

    def figures(self, twin: LM) -> dict[str, Any]:
        spec = self.spec
        try:
            seen = contrast_values(
                twin,
                spec.stimuli,
                [self.site],
                spec.pool,
                chat=spec.chat,
                truncate=spec.truncate,
                seed=spec.seed,
                norms=False,
            )
            return {
                "d_held_out": separation(seen, self.site, spec).d,
                "share_significant": None,
                "r": halves(seen, self.site, spec),
            }
        except BrocaError:
            # A twin in which nothing varies has no effect to speak of.
            return {"d_held_out": 0.0, "share_significant": None, "r": 0.0}

    def key(self, lm: LM, part: tuple[Any, int], /) -> dict[str, Any]:
        return {**super().key(lm, part), "site": str(self.site)}


def twins(work: Work, own: float, site: Site) -> pl.DataFrame:
    """The separation that each untrained twin's own direction gives; see `in_twins` for its rows."""
    spec = work.spec

    def report(done: int, total: int) -> None:
        work.progress("fitting in untrained twins", done, total)

    return in_twins(
        Twin(spec, site),
        work.lm,
        n=spec.enough_twins(spec.twins),
        seed=spec.seed,
        own=own,
        alpha=spec.level,
        cache=work.cache,
        progress=report,
    )


def learned_rung(spec: DirectionTest, own: float, table: pl.DataFrame | None) -> Rung:
    """*Learned*."""
    if table is None:
        return Rung("learned", "not tested", "Not compared with untrained twins (--twins 19).", {"d_held_out": own})
    return learned.axis(own, table, most=spec.enough_twins(spec.twins), alpha=spec.level)


def contrasts(work: Work, site: Site) -> pl.DataFrame:
    """One row a further contrast: the cosine of its direction with this one at the chosen site."""
    spec, rows = work.spec, []
    for name, stimuli in spec.further.items():
        seen = contrast_values(
            work.lm,
            stimuli,
            [site],
            spec.pool,
            chat=spec.chat,
            seed=spec.seed,
            norms=False,
            cache=work.cache,
            progress=work.progress,
        )
        alike = cosine(seen.axis(site, spec.method).vector, work.axes[site].vector)
        rows.append({"contrast": name, "cosine": alike, "halves": halves(seen, site, spec)})
    return pl.DataFrame(rows, schema={"contrast": pl.String, "cosine": pl.Float64, "halves": pl.Float64})
