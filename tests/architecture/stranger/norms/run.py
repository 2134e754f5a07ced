"""The work: two halves of the stimuli, a norm of z for every head in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

import broca
from broca import capture, evidence, models
from broca.evidence.rungs import reliable
from norms.spec import Norms


@dataclass(frozen=True, eq=False)
class NormsResult:
    """Which heads have the largest z."""

    spec: Norms
    heads: pl.DataFrame
    selected: broca.UnitMask
    verdict: evidence.Verdict
    claim: str
    selection: Mapping[str, Any]
    model: Mapping[str, Any]
    guards: tuple[evidence.Guard, ...] = ()
    warnings: tuple[str, ...] = ()


def run(
    spec: Norms,
    lm: broca.LM,
    *,
    cache: broca.cache.Cache = broca.cache.no_cache,
    progress: broca.cache.Progress = broca.cache.silent,
) -> NormsResult:
    sites, texts = lm.anatomy.sites("z"), [*spec.stimuli.positive, *spec.stimuli.negative]
    halves = []
    for half in range(2):
        progress("reading heads", half, 2)

        def compute(half: int = half) -> dict[str, Any]:
            tokens = lm.tokenize([text.content for text in texts[half::2]], chat=spec.chat)
            found = capture.capture(lm, tokens, sites, capture.Moments, pool=models.Pool("mean"))
            square = {site: (m.mean**2 + m.variance).reshape(lm.anatomy.n_heads, -1) for site, m in found.items()}
            return {"norm": np.sqrt(np.stack([value.sum(1) for value in square.values()]))}

        key = {"cell": "norms", "half": half, "stimuli": spec.stimuli.fingerprint, "condition": list(lm.condition)}
        halves.append(cache(key, compute)["norm"])
    progress("reading heads", 2, 2)
    norm = (halves[0] + halves[1]) / 2
    choice = broca.select(dict(zip(sites, norm, strict=True)), broca.Select(percent=spec.percent), grain="head")
    rows = [(site.layer, head, norm[i, head]) for i, site in enumerate(sites) for head in range(norm.shape[1])]
    top = max(rows, key=lambda row: row[2])
    return NormsResult(
        spec=spec,
        heads=pl.DataFrame(rows, schema=["layer", "head", "norm"], orient="row"),
        selected=choice.mask,
        verdict=evidence.Verdict.of(reliable.ranking(*(half.ravel() for half in halves), choice.k, "heads", "stimuli")),
        claim=f"Head {top[0]}.{top[1]} of {lm.name} has the largest z: {top[2]:.3g}.",
        selection={"k": choice.k, "n_alive": choice.n_alive, "grain": "head", "site": "*.z"},
        model=evidence.model_summary(lm),
    )
