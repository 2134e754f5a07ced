"""Directions from a contrast: what stands at each site while the stimuli are read, and the axis between the two sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from broca.cache.cache import Cache, Progress, no_cache, silent
from broca.capture.norms import mean_norms
from broca.evidence.maps import Floats, Values, cell, side_values
from broca.evidence.stimuli import TokenizedSide, tokenize_contrast
from broca.items import Contrast
from broca.models.lm import LM
from broca.models.pool import Pool
from broca.models.tokens import Tokens
from broca.sites import Site
from broca.sites import sites as site_names
from broca.specs.fields import Chat
from broca.stats.axes import Axis, Method, fit_axis
from broca.stimuli.contrasts import contrast as load_contrast
from broca.units.direction import Direction

Flags = NDArray[np.bool_]
Pooling = Literal["last", "mean"]
"""Read at a stimulus's last token, or as the mean over all of its own."""
NORMS = 64
"""Stimuli on which the length of what stands at a site is measured."""


@dataclass(frozen=True, slots=True, eq=False)
class ContrastValues:
    """What stands at some sites while the two sides of a contrast are read."""

    sides: tuple[TokenizedSide, TokenizedSide]
    values: Values
    """(stimulus, unit) at each site, of the positive and of the negative side."""
    rho: Mapping[Site, float]
    """Mean norm of what stands there at a token."""
    paired: bool

    @property
    def sites(self) -> list[Site]:
        """Where was looked."""
        return list(self.values[0])

    @property
    def groups(self) -> tuple[Sequence[str], Sequence[str]]:
        """Of the stimuli of each side."""
        return self.sides[0].groups, self.sides[1].groups

    def rows(self, site: Site, kept: tuple[Flags, Flags] | None = None) -> tuple[Floats, Floats]:
        """The values at a site, of both sides; of the stimuli that are kept, where that is said."""
        a, b = self.values[0][site], self.values[1][site]
        return (a, b) if kept is None else (a[kept[0]], b[kept[1]])

    def axis(self, site: Site, method: Method, kept: tuple[Flags, Flags] | None = None) -> Axis:
        """The axis at a site.

        Raises:
            StatisticsError: as `broca.stats.axes.fit_axis`.
        """
        a, b = self.rows(site, kept)
        return fit_axis(a, b, method, paired=self.paired and len(a) == len(b))


def contrast_values(
    lm: LM,
    contrast: Contrast,
    where: Sequence[Site],
    pool: Pooling,
    *,
    chat: Chat = "auto",
    truncate: int | None = None,
    seed: int = 0,
    norms: bool = True,
    cache: Cache = no_cache,
    progress: Progress = silent,
) -> ContrastValues:
    """Read a contrast, and keep what stands at some sites: 4 bytes a stimulus and unit.

    Args:
        lm: the model, with whatever is in force.
        contrast: the stimuli.
        where: the sites.
        pool: see `Pooling`.
        chat: whether to use the model's chat template.
        truncate: tokens of each stimulus that are kept.
        seed: of its random halves.
        norms: whether to measure how long what stands there is.
        cache: of the passes.
        progress: told what is done.

    Raises:
        StimulusError: if all stimuli are the same to the model, or too few.
        SiteUnavailable: if the model has no such site.
    """
    sides = tokenize_contrast(contrast, lm, chat=chat, truncate=truncate, seed=seed)
    values = side_values(
        lm,
        sides,
        where,
        Pool(pool),
        cache=cache,
        progress=lambda done, total: progress("reading the contrast", done, total),
    )
    every = [*sides[0].tokens, *sides[1].tokens]
    rho = norms_at(lm, every, where, cache=cache, progress=progress) if norms else {}
    return ContrastValues(sides, values, rho, contrast.paired)


def norms_at(
    lm: LM, every: Sequence[Tokens], where: Sequence[Site], *, cache: Cache, progress: Progress
) -> dict[Site, float]:
    """The mean norm of what stands at some sites at a token, over `NORMS` of these texts."""
    some = [every[i] for i in np.unique(np.linspace(0, len(every) - 1, min(NORMS, len(every))).astype(int))]
    found = cache(
        cell("norms", lm, some, where, Pool("mean")),
        lambda: {
            str(site): np.array([norm])
            for site, norm in mean_norms(
                lm, some, where, progress=lambda d, n: progress("measuring norms", d, n)
            ).items()
        },
    )
    assert isinstance(found, dict)
    return {site: float(found[str(site)][0]) for site in where}


def direction_of(axes: Mapping[Site, Axis], rho: Mapping[Site, float], *, model: str, **about: object) -> Direction:
    """A direction of axes.

    Args:
        axes: by site.
        rho: mean norm of what stands there.
        model: fingerprint of the model.
        about: where it comes from.
    """
    oblique = {site: axis.reader for site, axis in axes.items() if about.get("method") == "leace"}
    return Direction(
        {site: axis.vector for site, axis in axes.items()},
        oblique,
        {site: axis.origin for site, axis in axes.items()},
        {site: rho[site] for site in axes if site in rho},
        model,
        about,
    )


def fit_direction(
    lm: LM,
    contrast: Contrast | str,
    sites: str = "*.resid_post",
    *,
    method: Method = "mean",
    pool: Pooling = "last",
    chat: Chat = "auto",
    truncate: int | None = None,
    **options: object,
) -> Direction:
    """Fit a direction at every one of some sites, for use in a notebook; `broca direction` fits, steers and tests.

    Block outputs are read where the block hands them on: the last hidden state that transformers returns is normed already, and is
    another space.

    Args:
        lm: the model, with whatever is in force.
        contrast: two sets of stimuli, or the name of one of ours, or a file.
        sites: such as ``"12.resid_post"``; all blocks by default.
        method: see `broca.stats.axes.Method`.
        pool: which token of a stimulus is read, its last or the mean of all.
        chat: whether to use the model's chat template.
        truncate: tokens of each stimulus that are kept.
        options: of the contrast, where it is a name.

    Raises:
        StimulusError, UnknownName: if there is no such contrast, or it is malformed.
        SiteUnavailable: if the model has no such site.
        StatisticsError: if the sides have the same mean.
    """
    stimuli = contrast if isinstance(contrast, Contrast) else load_contrast(contrast, **options)
    where = site_names(sites, lm.anatomy.n_layers)
    found = contrast_values(lm, stimuli, where, pool, chat=chat, truncate=truncate)
    axes = {site: found.axis(site, method) for site in where}
    about = {
        "name": stimuli.name,
        "method": method,
        "pool": pool,
        "contrast": stimuli.fingerprint,
        "fitted_on": lm.name,
    }
    return direction_of(axes, found.rho, model=lm.fingerprint, **about)
