"""What is said of a sensitivity study: its claim, its method, its warnings."""

from __future__ import annotations

import polars as pl

from broca.instruments.sensitivity.conditions import Masked
from broca.instruments.sensitivity.work import Trial, Work


def claim_text(work: Work, mask_fraction: float, claim: Masked) -> str:
    """What the claim is about: how many weights, chosen how."""
    assert claim.mask is not None
    against = ", ".join(dict.fromkeys((work.spec.general, *work.spec.controls)))
    return (
        f"{claim.mask.weights.count} of {claim.mask.weights.total} weights of {work.lm.name} (the {100 * mask_fraction:.3g} % of "
        f"{'each ' + work.spec.scope if work.spec.scope != 'global' else 'all weights'} most sensitive to {work.task.name}, "
        f"without those most sensitive to {against})"
    )


_SCORES = {
    "squared-gradient": "the sum of its squared gradients",
    "gradient-weight": "the sum of |weight × gradient| (SNIP)",
    "squared-gradient-weight": "the sum of its squared gradients times the squared weight",
    "activation-weight": "|weight| times the norm of its input (Wanda)",
}
_OBJECTIVES = {
    "gold": "the negative log-probability of the right answer",
    "contrast": "the log-odds of the right answer against the others",
    "expectation": "the log-probability of each option, weighted by the model's own probabilities",
    "last-token": "the negative log-probability of the prompt's last token",
    "full": "the mean negative log-probability of all tokens",
}


def method(work: Work, mask_fraction: float) -> str:
    """What was done, in the past tense."""
    spec, ranks = work.spec, work.chooser
    of = "taken from published files" if spec.published else f"{_SCORES[spec.score]} over {ranks.task.n} samples"
    controls = " and ".join(dict.fromkeys((spec.general, *spec.controls)))
    q = "as large a share" if spec.control is None else f"a share of {spec.control:g}"
    return (
        f"Each weight of every attention and MLP matrix was scored by {of} ({_OBJECTIVES[work.task.objective]}), sample by sample "
        f"in {spec.precision}. Of {'each ' + spec.scope if spec.scope != 'global' else 'all weights'} the share with the highest "
        f"scores was taken, without {q} of those that {controls} ranks first. The share {mask_fraction:g} was chosen from {len(work.fractions)} "
        f"fractions on {len(work.parts[1])} items, as the one that costs them most accuracy where perplexity stays within "
        f"{spec.perplexity_limit:g} times the intact model's, and tested on {len(work.own_items)} items"
        f"{', which are the same' if spec.choose_on == 'test' else ' that neither scored weights nor chose it'}. Perplexities are of "
        f"{spec.perplexity_source or f'further texts of {spec.general}'}."
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
