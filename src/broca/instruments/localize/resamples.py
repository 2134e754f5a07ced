"""The map among those of other arrangements of the stimuli that selected, and the selections of stimuli drawn again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broca.cache.cache import Cache, Progress
from broca.evidence import confounds, resampling
from broca.evidence.maps import Values
from broca.evidence.stimuli import TokenizedSide
from broca.models.lm import LM
from broca.stats.stability import Stability

if TYPE_CHECKING:
    from broca.instruments.localize.spec import Localize

Resampled = tuple[resampling.MapPermutations | str | None, Stability | None]
"""The shuffled map, or why there can be none; and how alike the selections are: None where nobody asked."""


def resample(
    spec: Localize,
    lm: LM,
    sides: tuple[TokenizedSide, TokenizedSide],
    values: Values | None,
    *,
    cache: Cache,
    progress: Progress,
) -> Resampled:
    """What of both was asked for; values are None where neither was."""
    if values is None:
        return None, None
    a, b = sides
    tokens = (a.tokens, b.tokens)
    beside = confounds.covariates(spec.stimuli, tokens, length=spec.lengths, columns=spec.confounds)
    if spec.select_on == "half":
        on_a, on_b = a.half == 0, b.half == 0
        values = (
            {site: rows[on_a] for site, rows in values[0].items()},
            {s: rows[on_b] for s, rows in values[1].items()},
        )
        a, b, beside = a.part(on_a), b.part(on_b), beside and (beside[0][on_a], beside[1][on_b])
    shuffled = again = None
    if spec.permutations:
        shuffled = resampling.shuffle(
            lm,
            (a, b),
            values,
            {site: lm.anatomy.head_width(site) for site in values[0]} if spec.grain == "head" else None,
            covariates=beside,
            n=spec.permutations,
            seed=spec.seed,
            alpha=spec.level,
            cache=cache,
            progress=progress,
        )
    if spec.resamples:
        again = resampling.stability((a, b), values, spec.select, n=spec.resamples, seed=spec.seed)
    return shuffled, again
