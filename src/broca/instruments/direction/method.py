"""The sentences of the fields of a test of a direction that need more than their own value."""

from __future__ import annotations

from collections.abc import Sequence

from broca.page.words import count, enumeration, number
from broca.specs.method import Choices

METHODS = {
    "mean": "the difference between the means of the two sides",
    "pca": "the first component of plus and minus the differences between the sides (Zou et al., 2023)",
    "logistic": "the weights of a logistic regression of the side",
    "leace": "the direction that LEACE erases (Belrose et al., 2023)",
}


def method(how: str, choices: Choices) -> str:
    """How the direction was fitted, and where; or that it was given."""
    if (given := choices.field("direction")) is not None:
        return f"The direction was given ({given}), and nothing was fitted."
    where = "the last token" if choices.field("pool") == "last" else "the mean over all tokens"
    return f"At {choices.field('sites')}, read at {where} of each stimulus, the direction is {METHODS[how]}."


def tries(most: int, choices: Choices) -> str:
    """At which layer it was steered."""
    layer = choices.field("layer")
    chosen = f"chosen among {count(most, 'layer')} on groups of items that test nothing"
    return f"The layer that is steered was {'given' if layer is not None else chosen}."


def doses(points: Sequence[float], choices: Choices) -> str:
    """How far it was steered."""
    unit = (
        "in distances between the means of the two sides" if choices.field("direction") is None else "times the vector"
    )
    return f"Answers were scored under doses {enumeration([number(point) for point in points])}, {unit}."


def perplexity_limit(most: float, choices: Choices) -> str:
    """Which dose the claim is about."""
    return (
        "The claim is about the largest dose within these, as far as a few steps tell, at which and at whose negative text has at most "
        f"{number(most)} times the intact model's perplexity over {count(choices.field('n_text'), 'text')}."
    )


def draws(most: int, choices: Choices) -> str:
    """What steering was compared with."""
    if not most:
        return ""
    beside, fitted = choices.field("beside"), choices.field("direction") is None
    dealt = ", and as many fitted where sides were dealt at random" if fitted else ""
    more = f"; and with {number(beside)} of the same norm alone{dealt}" if beside else ""
    return (
        f"Steering was compared with at most {count(most, 'random direction')} of the same norm and share of variance, which ended when its "
        f"rank was plain{more}. The empirical p counts the observed effect among the draws (Phipson & Smyth, 2010)."
    )
