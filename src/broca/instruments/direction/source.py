"""Where a direction comes from: it is fitted from a contrast, or given as a file or as a feature of a dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from broca.cache.cache import Cache, Progress
from broca.errors import SiteUnavailable
from broca.evidence.directions import ContrastValues, contrast_values, direction_of, norms_at
from broca.evidence.fills import LAST, donors_at
from broca.evidence.maps import cell
from broca.evidence.steering import common_choices
from broca.instruments.direction.choosing import Parts, fluency_of
from broca.instruments.direction.spec import DirectionTest
from broca.instruments.direction.work import Work
from broca.interventions.steer import Steer
from broca.items import Item
from broca.models.lm import LM
from broca.registry import COMPAT
from broca.scoring import chat_of
from broca.sites import Site, sites
from broca.stats.axes import Axis
from broca.units.direction import Direction


def given_direction(spec: DirectionTest, lm: LM) -> Direction | None:
    """The direction of the file or feature that was named; None where one is to be fitted.

    Raises:
        SelectionError: if there is no such file or feature, or it is of another model.
        SiteUnavailable: if the model has no such site, or no dictionary of the feature's layer.
    """
    if spec.direction is None:
        return None
    if spec.feature is not None:
        layer, number = spec.feature
        return lm.anatomy.dictionary(layer).direction(number, lm)
    found = Steer(COMPAT["direction"](spec.direction, lm)).for_model(lm).direction
    return replace(found, about={"name": Path(spec.direction).stem, **found.about})


def places(spec: DirectionTest, lm: LM) -> tuple[Site, ...]:
    """Where to fit; or where the direction that was given has vectors.

    Raises:
        SelectionError: as `given_direction`.
        SiteUnavailable: if the model has no such site, or steering is asked for at another layer.
    """
    if (given := given_direction(spec, lm)) is not None:
        where, what = given.sites, repr(given)
    else:
        where, what = sites(spec.sites, lm.anatomy.n_layers), f"{spec.sites!r} of this model"
        if spec.sites.startswith("*."):
            where = lm.anatomy.sites(where[0].kind)
    for site in where:
        lm.anatomy.tap(site)
    if spec.layer is not None and spec.layer not in {site.layer for site in where}:
        raise SiteUnavailable(f"layer = {spec.layer} is none of the sites {what}. Choose one of those.")
    return where


def work_of(spec: DirectionTest, lm: LM, parts: Parts, *, cache: Cache, progress: Progress) -> Work:
    """Fit, or take what was given.

    Args:
        spec: the study.
        lm: the model.
        parts: the items: those that test fit nothing.
        cache: of the passes.
        progress: told what is done.

    Raises:
        SelectionError: as `given_direction`.
        SiteUnavailable: as `places`.
        StimulusError: if the stimuli of the contrast are all the same to the model, or too few.
        StatisticsError: if the sides of the contrast do not differ.
    """
    where = places(spec, lm)
    given = given_direction(spec, lm)
    if given is not None:
        return _work_of_given(spec, lm, given, parts, cache=cache, progress=progress)
    seen = contrast_values(
        lm,
        spec.stimuli,
        where,
        spec.pool,
        chat=spec.chat,
        truncate=spec.truncate,
        seed=spec.seed,
        cache=cache,
        progress=progress,
    )
    axes = axes_without(seen, frozenset(item.cluster for item in parts.testing), spec)
    contrast = spec.stimuli
    about: dict[str, Any] = {"name": contrast.name, "method": spec.method, "pool": spec.pool, "contrast": contrast.fingerprint,
                             "fitted_on": lm.name}  # fmt: skip
    whole = direction_of(axes, seen.rho, model=lm.fingerprint, **about)
    rest = {site: _about_means(*seen.rows(site)) for site in axes}
    return Work(spec, lm, whole, axes, rest, seen, fluency_of(spec, lm), cache, progress)


def _work_of_given(
    spec: DirectionTest, lm: LM, direction: Direction, parts: Parts, *, cache: Cache, progress: Progress
) -> Work:
    """The direction as it is, beside what stands at its sites where the prompts that choose end, about the means of their answers."""
    where = [site for site in direction.sites if spec.layer in (None, site.layer)]
    tokens = lm.tokenize([item.content for item in parts.choosing], chat=chat_of(spec.scorer))

    def report(done: int, total: int) -> None:
        progress("reading prompts", done, total)

    found = cache(
        cell("steered prompts", lm, tokens, where, LAST), lambda: dict(donors_at(lm, tokens, where, progress=report))
    )
    assert isinstance(found, dict)
    rho = norms_at(lm, tokens, where, cache=cache, progress=progress) | {
        site: value for site, value in direction.rho.items() if site in where
    }
    whole = replace(direction.at(*where), rho=rho)
    zero = {site: np.zeros(vector.size) for site, vector in whole.vectors.items()}
    axes = {
        site: Axis(whole.vectors[site].astype(np.float64), whole.reader(site), whole.centres.get(site, zero[site]))
        for site in where
    }
    rest = {site: _about_means(*_by_answer(found[str(site)], parts.choosing)) for site in where}
    return Work(spec, lm, whole, axes, rest, None, fluency_of(spec, lm), cache, progress)


def _by_answer(rows: np.ndarray, items: Sequence[Item]) -> list[np.ndarray]:
    """The rows of each right answer, where all items have the same choices: a direction that answers hang on parts them as sides do."""
    answers = np.array([item.choices[item.answer].strip() if common_choices(items) else "" for item in items])
    return [rows[answers == answer] for answer in np.unique(answers)]


def _about_means(*rows: np.ndarray) -> np.ndarray:
    return np.concatenate([part - part.mean(0) for part in rows]).astype(np.float64)


def axes_without(seen: ContrastValues, groups: frozenset[str], spec: DirectionTest) -> dict[Site, Axis]:
    """The axis at each site, fitted without the stimuli of these groups; with all where too few would be left.

    Args:
        seen: the contrast.
        groups: of the items that test.
        spec: the method.
    """
    kept = tuple(np.array([group not in groups for group in of]) for of in seen.groups)
    if min(int(each.sum()) for each in kept) < 4:
        kept = tuple(np.ones_like(each) for each in kept)
    return {site: seen.axis(site, spec.method, (kept[0], kept[1])) for site in seen.sites}
