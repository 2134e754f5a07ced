"""What is said of a sensitivity study: its claim, its warnings."""

from __future__ import annotations

import polars as pl

from broca.instruments.sensitivity.conditions import Masked
from broca.instruments.sensitivity.trial import Trial
from broca.instruments.sensitivity.work import Work


def claim_text(work: Work, mask_fraction: float, claim: Masked) -> str:
    """What the claim is about: how many weights, chosen how."""
    assert claim.mask is not None
    against = ", ".join(dict.fromkeys((work.spec.general, *work.spec.controls)))
    return (
        f"{claim.mask.weights.count} of {claim.mask.weights.total} weights of {work.lm.name} (the {100 * mask_fraction:.3g} % of "
        f"{'each ' + work.spec.scope if work.spec.scope != 'global' else 'all weights'} most sensitive to {work.task.name}, "
        f"without those most sensitive to {against})"
    )


def warnings(work: Work, mask_fraction: float, sweep: pl.DataFrame, trial: Trial) -> tuple[str, ...]:
    """What a reader should know before believing the numbers."""
    found = list(work.lm.notes)
    row = sweep.filter(pl.col("mask_fraction") == mask_fraction).row(0, named=True)
    if row["smallest_k"] < 2:
        found.append(
            f"At the fraction {mask_fraction:g} the smallest matrix keeps {row['smallest_k']} weights: what a fraction means differs between matrices."
        )
    if row["realised"] < 0.5 * row["nominal"]:
        found.append(f"The controls took out most of the mask: {row['realised']} of {row['nominal']} weights are left.")
    if work.spec.precision == "float16" and str(work.lm.dtype) != "torch.float16":
        found.append(f"Sums are float16 as published, but the model is {work.lm.dtype}: load it with --dtype float16.")
    found += [
        f"Only {len(draws)} distinct random masks of the family {family} exist (asked: {work.draws})."
        for family, draws in trial.families.items()
        if len(draws) < work.draws
    ]
    return tuple(found)
