"""What steering costs on top of the bare forward pass, and which fit finds an axis that was planted beside a stronger nuisance.

Ways of passing, interleaved in one process on texts of 128 tokens in batches of 8: bare; under an `LM` with nothing in force; steered at
one layer; steered at every layer; a direction projected out at every boundary of blocks.

Planted: pairs of points in 256 dimensions, shifted by 4 along one axis, their differences wandering with a deviation of 3 along another,
0.3 along all others, 64 pairs; 20 draws. Cosine of each fit with the axis, and AUROC on other pairs; beside them the centred component
that some tools take.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from ground import BATCH, SIZES, Row, arguments, interleaved, model, named, ratio, settle, texts, write

from broca.compat.directions.repeng import repeng_component
from broca.interventions import Steer
from broca.models.lm import LM
from broca.models.tokens import Batch
from broca.stats.axes import auroc, cosine, fit_axis
from broca.units import Direction

BOUNDS = {"small": {"one layer": 1.25, "every layer": 2.0}, "large": {"one layer": 1.05, "every layer": 1.15}}
N = {"small": 64, "large": 16}
PAIRS, UNITS, DRAWS = 64, 256, 20


@torch.no_grad()
def bare(module: Callable[..., Any], batches: Sequence[Batch]) -> None:
    for batch in batches:
        module(input_ids=batch.ids, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False)


def ways(lm: LM, n: int) -> dict[str, Callable[[], Any]]:
    batches = list(lm.batches(lm.tokenize(texts(n)), size=BATCH))
    draw = np.random.default_rng(0)
    sites = lm.anatomy.sites("resid_post")
    every = Direction({site: 0.1 * draw.normal(size=lm.anatomy.d_model) for site in sites}, model=lm.fingerprint)
    one = every.at(sites[len(sites) // 2])

    def under(*steers: Steer) -> Callable[[], None]:
        def run() -> None:
            with lm.under(*steers):
                for batch in batches:
                    lm.forward(batch)

        return run

    return {
        "bare": lambda: bare(lm.model, batches),
        "nothing in force": under(),
        "one layer": under(Steer(one)),
        "every layer": under(Steer(every)),
        "projected out everywhere": under(Steer(one, act="project", where="stream")),
    }


def planted(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Twice as many pairs as are fitted on, and the axis."""
    draw = np.random.default_rng(seed)
    basis = np.linalg.qr(draw.normal(size=(UNITS, 2)))[0]
    base = draw.normal(size=(2 * PAIRS, UNITS))
    wander = 3 / 2**0.5 * draw.normal(size=(2, 2 * PAIRS, 1)) * basis[:, 1]
    noise = 0.3 * draw.normal(size=(2, 2 * PAIRS, UNITS))
    return base + 4 * basis[:, 0] + wander[0] + noise[0], base + wander[1] + noise[1], basis[:, 0]


def found(method: str) -> tuple[float, float]:
    """|cosine| with the axis, and AUROC on pairs that were not fitted, in the mean over draws."""
    alike, apart = [], []
    for seed in range(DRAWS):
        a, b, axis = planted(seed)
        own = slice(PAIRS)
        fit: Any = method
        vector = (
            repeng_component(a[own], b[own])
            if method == "centred"
            else fit_axis(a[own], b[own], fit, paired=True).vector
        )
        alike.append(abs(cosine(vector, axis)))
        side = auroc(a[PAIRS:] @ vector, b[PAIRS:] @ vector)
        apart.append(side)
    return float(np.mean(alike)), float(np.mean(apart))


def main() -> None:
    given = arguments(__doc__).parse_args()
    load = settle(given.threads)
    rows: list[Row] = []
    for size in SIZES:
        lm = model(size)
        seconds = interleaved(ways(lm, N[size]), given.rounds)
        for name in list(seconds)[1:]:
            value = ratio(seconds[name], seconds["bare"])
            rows.append(Row(f"steered: {name}", named(lm), value, "x bare forward", BOUNDS[size].get(name)))
    for method in ("mean", "pca", "logistic", "leace", "centred"):
        alike, apart = found(method)
        least = 0.9 if method in ("mean", "pca", "leace") else None
        most = {"bound": 0.5, "side": "at most"} if method == "centred" else {"bound": least, "side": "at least"}
        rows.append(Row(f"planted axis: {method}, cosine", "synthetic", alike, "", **most))  # type: ignore[arg-type]
        rows.append(Row(f"planted axis: {method}, AUROC", "synthetic", apart, ""))
    write("directions", rows, load=load, rounds=given.rounds)


if __name__ == "__main__":
    main()
