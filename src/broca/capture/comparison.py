"""What is kept of a comparison of two runs, and what it comes to: a reducer over pairs, and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from broca.capture import patterns
from broca.capture.reduce import Floats, Gather, Moments
from broca.capture.spread import Components, Spread
from broca.errors import StatisticsError
from broca.sites import Site
from broca.stats.degenerate import degenerate

SHIFTS = ("cosine", "distance", "relative_distance")
"""Of the states at a point: cosine, L2 norm of the difference, and that divided by the norm of the clean state. Each also
``_robust``: with the coordinates of massive activations left out."""
ROBUST = (*SHIFTS, *(f"{name}_robust" for name in SHIFTS))
LOGITS = ("kl", "same_first", "same_top")
"""KL divergence of the clean distribution from the perturbed one in nats, the share of points with the same first token, and
the share of the top tokens that both have."""


@dataclass(frozen=True, slots=True, eq=False)
class Meaning:
    """What the axes of a comparison are."""

    sites: tuple[Site, ...]
    classes: tuple[str, ...]
    queries: tuple[str, ...]
    """The classes from which attention is looked at."""
    segments: tuple[str, ...]
    components: int
    massive: NDArray[np.bool_]
    """``(site, unit)``: coordinates that are left out of what is robust."""


@dataclass(slots=True)
class Comparison:
    """A reducer; add comparisons in the order of the pairs."""

    meaning: Meaning
    shifts: dict[str, Moments] = field(default_factory=dict)
    """By class, ``(site, figure)``."""
    differences: dict[str, Spread] = field(default_factory=dict)
    """By class."""
    logits: dict[str, Moments] = field(default_factory=dict)
    lens: dict[str, Moments] = field(default_factory=dict)
    """By class, ``(site, figure)``."""
    heads: dict[str, Moments] = field(default_factory=dict)
    """By query class, ``(layer, head, figure)``."""
    rows: Gather = field(default_factory=Gather)
    """``(pair, class, site, 2)``: cosine and relative distance in float32."""
    tokens: Gather = field(default_factory=Gather)
    """``(pair, 2)``: how many tokens the clean and the perturbed text have."""

    def update(self, values: Mapping[str, NDArray[Any]]) -> None:
        """Take in pairs: arrays that begin with (pair, class), NaN where a pair has no such class; `compare` makes them."""
        part = Comparison(self.meaning)
        for name, at in (
            ("shifts", Moments),
            ("differences", Spread),
            ("logits", Moments),
            ("lens", Moments),
            ("heads", Moments),
        ):
            classes = self.meaning.queries if name == "heads" else self.meaning.classes
            for c, own in enumerate(classes if name in values else ()):
                reducer = at()
                kept = values[name][:, c]
                # Layers without attention are NaN for every pair; a class that a pair has not is NaN throughout.
                reducer.update(kept[~np.isnan(kept).all(tuple(range(1, kept.ndim)))])
                getattr(part, name)[own] = reducer
        part.rows.update(values["shifts"][..., [0, 2]].astype(np.float32))
        part.tokens.update(values["tokens"])
        merged = self + part
        for name in (f.name for f in fields(self)):
            setattr(self, name, getattr(merged, name))

    def __add__(self, other: Self) -> Comparison:
        both = Comparison(self.meaning, rows=self.rows + other.rows, tokens=self.tokens + other.tokens)
        for name in ("shifts", "differences", "logits", "lens", "heads"):
            a, b = getattr(self, name), getattr(other, name)
            getattr(both, name).update(
                {key: a[key] + b[key] if key in a and key in b else (a | b)[key] for key in a | b}
            )
        return both

    def result(self) -> ComparedRuns:
        """The statistics.

        Raises:
            StatisticsError: if there were no pairs.
        """
        if not self.rows.parts:
            raise StatisticsError("There are no pairs to compare. Give at least one.")
        k, massive = self.meaning.components, self.meaning.massive
        seen = {name: spread for name, spread in self.differences.items() if spread.moments.count}
        components = {name: spread.result(k) for name, spread in seen.items()}
        return ComparedRuns(
            self.meaning,
            self,
            differences={name: spread.moments.mean.astype(np.float32) for name, spread in seen.items()},
            components=components,
            robust={name: spread.result(k, massive) for name, spread in seen.items()} if massive.any() else components,
            degenerate=self._degenerate(),
        )

    def _degenerate(self) -> dict[str, tuple[str, ...]]:
        """By figure, what makes it measure no layer; figures without fault are left out."""
        rows, tokens = self.rows.result(), self.tokens.result()
        counts = {
            "clean tokens": tokens[:, 0],
            "perturbed tokens": tokens[:, 1],
            "more tokens": tokens[:, 1] - tokens[:, 0],
        }
        found = {
            f"{name} at {own}": degenerate(rows[:, c, :, f], counts)
            for c, own in enumerate(self.meaning.classes)
            for f, name in enumerate(("cosine", "relative_distance"))
        }
        means = {
            name: tokens[:, 0].mean()
            for name, tokens in (("clean tokens", tokens), ("perturbed tokens", tokens[:, 1:]))
        }
        for own, moments in self.heads.items():
            for name, at in patterns.figure_places(self.meaning.segments).items():
                if moments.count and np.nanmax(np.abs(moments.mean[..., at])) > 0:
                    table = moments.mean[None, ..., at]
                    same = degenerate(
                        np.concatenate([table, table]), {key: np.full(2, mean) for key, mean in means.items()}
                    )
                    found[f"attention {name} from {own}"] = same
        return {name: why for name, why in found.items() if why}


@dataclass(frozen=True, slots=True, eq=False)
class ComparedRuns:
    """Two runs compared. What a class has no pair for is not there."""

    meaning: Meaning
    sums: Comparison
    """What can be added to the comparison of further pairs."""
    differences: Mapping[str, NDArray[np.float32]]
    """By class, ``(site, unit)``: perturbed minus clean, the mean over pairs."""
    components: Mapping[str, Components]
    """By class, the principal components of the differences at each site."""
    robust: Mapping[str, Components]
    """The same with massive coordinates left out."""
    degenerate: Mapping[str, tuple[str, ...]]
    """By figure, why it measures no layer: it is the same in each, or a number of tokens."""

    def points(self) -> pl.DataFrame:
        """A row for each site and class.

        Its columns: how many pairs; mean and standard deviation over them of each of `ROBUST`; the norm of the mean difference; how
        much the first components explain, on which coordinate the first one is largest, and its weight there.
        """
        return pl.DataFrame([self._point(c, i) for c in self.differences for i in range(len(self.meaning.sites))])

    def _point(self, own: str, i: int) -> dict[str, Any]:
        site, moments, wide, robust = (
            self.meaning.sites[i],
            self.sums.shifts[own],
            self.components[own],
            self.robust[own],
        )
        left_out = self.meaning.massive[i]
        mean = self.differences[own][i].astype(np.float64)
        return {
            **_site_columns(site),
            "class": own,
            "n": moments.count,
            **_both(ROBUST, moments.mean[i], moments.variance[i]),
            "mean_difference": float(np.linalg.norm(mean)),
            "mean_difference_robust": float(np.linalg.norm(np.where(left_out, 0, mean))),
            **{f"explained_{k + 1}": value for k, value in enumerate(wide.explained[i].tolist())},
            "explained_1_robust": float(robust.explained[i, 0]) if robust.explained.shape[1] else float("nan"),
            "coordinate": int(wide.coordinate[i]),
            "coordinate_share": float(wide.share[i]),
            "coordinate_massive": bool(left_out[wide.coordinate[i]]),
            "massive": int(left_out.sum()),
        }

    def logits(self) -> pl.DataFrame:
        """A row for each class: `LOGITS` of the model's own output; and for each site and class with the lens (``site`` set)."""
        rows = [
            {
                "site": "",
                "layer": None,
                "class": own,
                "n": moments.count,
                **_both(LOGITS, moments.mean, moments.variance),
            }
            for own, moments in self.sums.logits.items()
            if moments.count
        ]
        rows += [
            {
                **_site_columns(site),
                "class": own,
                "n": moments.count,
                **_both(LOGITS, moments.mean[i], moments.variance[i]),
            }
            for own, moments in self.sums.lens.items()
            if moments.count
            for i, site in enumerate(self.meaning.sites)
        ]
        return pl.DataFrame(rows, schema_overrides={"layer": pl.Int64})

    def heads(self) -> pl.DataFrame:
        """A row for each query class, layer and head: means and standard deviations over pairs.

        Of the divergence of the patterns, the entropies, and the attention paid to each segment in either run.
        """
        every = tuple(patterns.figure_places(self.meaning.segments))
        rows = [
            {"query": own, "layer": layer, "head": head, "n": moments.count}
            | _both(every, moments.mean[layer, head], moments.variance[layer, head])
            for own, moments in self.sums.heads.items()
            if moments.count
            for layer, head in np.ndindex(*moments.mean.shape[:2])
        ]
        return pl.DataFrame(rows)

    def pairs(self) -> pl.DataFrame:
        """A row for each pair, class and site that there is: cosine and relative distance, four digits of each.

        `pair` is its place in the list.
        """
        rows = self.sums.rows.result()
        n, classes, sites = rows.shape[:3]
        pair, own, site = (each.ravel() for each in np.indices((n, classes, sites)))
        names = [pl.Enum(self.meaning.classes), pl.Enum([str(site) for site in self.meaning.sites])]
        table = pl.DataFrame(
            {
                "pair": pair.astype(np.uint32),
                "class": pl.Series(np.array(self.meaning.classes)[own], dtype=names[0]),
                "site": pl.Series(np.array([str(s) for s in self.meaning.sites])[site], dtype=names[1]),
                "cosine": rows[..., 0].ravel(),
                "relative_distance": rows[..., 1].ravel(),
            }
        )
        return table.filter(pl.col("relative_distance").is_not_nan()).with_columns(
            pl.col("cosine").round(4), pl.col("relative_distance").round_sig_figs(4)
        )


def _site_columns(site: Site) -> dict[str, Any]:
    """A site's columns. The layer of what blocks leave is the block's; of what the first one begins with, -1."""
    return {"site": str(site), "layer": site.layer - (site.kind == "resid_pre")}


def _both(names: Sequence[str], mean: Floats, variance: Floats) -> dict[str, float]:
    """Columns of means and standard deviations."""
    sd = np.sqrt(variance)
    return {key: float(v) for i, name in enumerate(names) for key, v in ((name, mean[i]), (f"{name}_sd", sd[i]))}
