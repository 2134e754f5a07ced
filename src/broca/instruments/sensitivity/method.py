"""The sentences of the fields of a sensitivity study that need more than their own value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broca.page.words import count, enumeration, number
from broca.specs.method import Choices

SCORES = {
    "squared-gradient": "the sum of its squared gradients",
    "gradient-weight": "the sum of |weight × gradient| (SNIP)",
    "squared-gradient-weight": "the sum of its squared gradients times the squared weight",
    "activation-weight": "|weight| times the norm of its input (Wanda)",
}
OBJECTIVES = {
    "gold": "the negative log-probability of the right answer",
    "contrast": "the log-odds of the right answer against the others",
    "expectation": "the log-probability of each option, weighted by the model's own probabilities",
    "last-token": "the negative log-probability of the prompt's last token",
    "full": "the mean negative log-probability of all tokens",
}


def score(how: str, choices: Choices) -> str:
    """What each weight was ranked by."""
    if choices.field("published"):
        return "The scores of the weights of every attention and MLP matrix were taken from published files."
    n = choices.result_part("selection").get("n_scored")
    samples = f"over {count(n, 'sample')}" if n else "over samples"
    return (
        f"Each weight of every attention and MLP matrix was scored by {SCORES[how]} {samples} "
        f"({OBJECTIVES[str(choices.field('objective'))]}), sample by sample in {choices.field('precision')}."
    )


def scope(within: str, choices: Choices) -> str:
    """Which weights were taken."""
    share = choices.field("control")
    controls = dict.fromkeys((choices.field("general"), *(choices.field("controls") or ())))
    return (
        f"Of {'all weights' if within == 'global' else f'each {within}'} the share with the highest scores was taken, without "
        f"{'as large a share' if share is None else f'a share of {number(share)}'} of those that {enumeration(list(map(str, controls)))} "
        "ranks first."
    )


def perplexity_limit(most: float, choices: Choices) -> str:
    """How large a share was masked, and on which items that was tested."""
    selection = choices.result_part("selection")
    share, fractions = selection.get("mask_fraction"), selection.get("n_fractions")
    of = f" from {count(fractions, 'fraction')}" if fractions else ""
    on = f" on {count(n, 'item')}" if (n := selection.get("n_choice")) else ""
    tested = count(n, "item") if (n := selection.get("n_tested")) else "items"
    same = choices.field("choose_on") == "test"
    return (
        f"The share{'' if share is None else f' {number(share)}'} was chosen{of}{on}, as the one that costs them most accuracy where "
        f"perplexity stays within {number(most)} times the intact model's, and tested on {tested}"
        f"{', which are the same' if same else ' that neither scored weights nor chose it'}."
    )


def reading(_: Mapping[str, Any], choices: Choices) -> str:
    """What perplexities are of."""
    source = choices.field("perplexity_source") or f"further texts of {choices.field('general')}"
    return f"Perplexities are of {source}."
