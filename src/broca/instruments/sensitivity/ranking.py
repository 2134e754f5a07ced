"""Rankings of all weights by what a set of samples says, one cell each: small, whatever the size of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from broca.cache.cache import Cache, Part, Progress, draft_of
from broca.capture.objectives import OBJECTIVES, AnsweredQuestion, ObjectiveName
from broca.capture.ranking import rank_weights
from broca.capture.samples import Sums
from broca.capture.weight_gradients import sensitivity
from broca.items import fingerprint
from broca.models.lm import LM
from broca.models.weight_matrices import Matrix
from broca.specs.fields import Mode, Precision, Score
from broca.units.weight_ranking import MatrixRanking, Scope, WeightRanking

FIELDS = ("index", "score", "rank")


@dataclass(frozen=True, slots=True)
class Scoring:
    """How weights are scored; the last four change no number beyond its last digits, or only how it is stored."""

    score: Score
    scope: Scope
    most: float
    halves: bool
    precision: Precision
    nonfinite: Literal["refuse", "keep"]
    mode: Mode
    layer_groups: int
    sums_on: str | None


@dataclass(frozen=True, slots=True)
class Ranking:
    """A ranking by all samples, and by each half of them."""

    whole: WeightRanking
    halves: tuple[WeightRanking, ...]
    r: float
    """Correlation of the halves' log scores within matrices; NaN without halves."""
    r_all: float
    """The same over all weights: high wherever matrices differ in scale."""
    n: int
    """Samples."""


def ranking(
    lm: LM,
    samples: Sequence[AnsweredQuestion],
    objective: ObjectiveName,
    matrices: Sequence[Matrix],
    how: Scoring,
    *,
    what: str,
    cache: Cache,
    progress: Progress,
) -> Ranking:
    """Score every weight by these samples and rank them.

    Raises:
        StatisticsError, GuardError, BrocaError: as `broca.capture.weight_gradients.sensitivity`.
    """
    addresses = {m.name: m.address for m in matrices}
    key = {
        "cell": "weight ranking by matrix",
        "samples": fingerprint([[a.question.shared.ids, a.question.options, a.answer] for a in samples]),
        "objective": objective,
        "score": [how.score, how.scope, how.most, how.halves, how.precision, how.nonfinite, how.mode],
        "matrices": fingerprint(list(addresses)),
        "condition": list(lm.condition),
    }

    def compute() -> Part:
        found: dict[str, list[Any]] = {}
        moments: list[np.ndarray] = []
        for i, group in enumerate(_groups(matrices, how.layer_groups)):
            draft = draft_of(cache, {**key, "group": i})
            sums = sensitivity(
                lm,
                samples,
                OBJECTIVES[objective],
                group,
                scores=(how.score,),
                halves=how.halves,
                mode=how.mode,
                precision=how.precision,
                nonfinite=how.nonfinite,
                sums_on=how.sums_on,
                draft=draft,
                progress=lambda done, total: progress(f"scoring weights by {what}", done, total),
            )
            for half in (None, 0, 1) if how.halves else (None,):
                for name, listed in _rank(lm, sums, group, how, half).lists.items():
                    found.setdefault(name, []).append(listed)
            moments += _moments(lm, sums, group, how) if how.halves else []
            if draft is not None:
                draft.drop()
        return _pack(found, np.array(moments).reshape(-1, 6))

    stored = cache(key, compute)
    assert isinstance(stored, dict)
    lists = _unpack(stored, list(addresses))
    rankings = [WeightRanking(each, addresses, how.scope, how.most) for each in lists]
    moments = stored["moments"]
    return Ranking(rankings[0], tuple(rankings[1:]), _within(moments), _correlation(moments.sum(0)), len(samples))


def _groups(matrices: Sequence[Matrix], n: int) -> list[list[Matrix]]:
    layers = sorted({m.address.layer for m in matrices})
    parts = [set(part.tolist()) for part in np.array_split(np.array(layers), min(n, len(layers)))]
    return [[m for m in matrices if m.address.layer in part] for part in parts]


def _rank(lm: LM, sums: Sums, group: Sequence[Matrix], how: Scoring, half: int | None) -> WeightRanking:
    of = {m.name: m for m in group}

    def values(name: str) -> Any:
        weight = lm.model.get_parameter(of[name].parameter)
        return sums.score(of[name], weight, how.score, half).float().cpu().numpy()

    return rank_weights(values, {m.name: m.address for m in group}, scope=how.scope, most=how.most)


def _moments(lm: LM, sums: Sums, group: Sequence[Matrix], how: Scoring) -> list[np.ndarray]:
    """Of each matrix count, sums, sums of squares and of products of both halves' log scores, where both are above 0."""
    found = []
    for m in group:
        weight = lm.model.get_parameter(m.parameter)
        a, b = (sums.score(m, weight, how.score, half).double().flatten() for half in (0, 1))
        both = (a > 0) & (b > 0) & a.isfinite() & b.isfinite()
        x, y = a[both].log(), b[both].log()
        parts = (x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum())
        found.append(np.array([float(both.sum()), *(float(part) for part in parts)]))
    return found


def _within(moments: np.ndarray) -> float:
    """Correlations of the matrices, pooled: Fisher's z, each weighed by the matrix's weights (Fisher, 1921)."""
    r = np.array([_correlation(each) for each in moments])
    known = np.isfinite(r)
    if not known.any():
        return float("nan")
    z = np.arctanh(np.clip(r[known], -1 + 1e-12, 1 - 1e-12))
    return float(np.tanh(np.average(z, weights=np.maximum(moments[known, 0] - 3, 1))))


def _correlation(moments: np.ndarray) -> float:
    n, x, y, xx, yy, xy = moments
    spread = (n * xx - x * x) * (n * yy - y * y)
    return float((n * xy - x * y) / np.sqrt(spread)) if n > 2 and spread > 0 else float("nan")


def _pack(found: Mapping[str, Sequence[MatrixRanking]], moments: np.ndarray) -> dict[str, np.ndarray]:
    """Lists of many matrices as a few long arrays."""
    arrays: dict[str, np.ndarray] = {"moments": moments}
    for half in range(len(next(iter(found.values())))):
        arrays[f"{half}.count"] = np.array([each[half].index.size for each in found.values()])
        for field in FIELDS:
            arrays[f"{half}.{field}"] = np.concatenate([getattr(each[half], field) for each in found.values()])
    return arrays


def _unpack(arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> list[dict[str, MatrixRanking]]:
    lists = []
    for half in range(sum(name.endswith(".count") for name in arrays)):
        cuts = np.cumsum(arrays[f"{half}.count"])[:-1]
        parts = [np.split(arrays[f"{half}.{field}"], cuts) for field in FIELDS]
        lists.append({name: MatrixRanking(*own) for name, *own in zip(names, *parts, strict=True)})
    return lists
