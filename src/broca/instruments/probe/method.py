"""The sentences of a probe's fields that need more than their own value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from broca.page.words import count
from broca.specs.method import Choices
from broca.specs.pooling import PRESETS, Pooling
from broca.stats.probing import Classifier

QUERIES = {
    "last": "the question's last token",
    "max": "the maximum over the question's tokens",
    "mean": "the mean over the question's tokens",
}


def pooling(how: str | Mapping[str, Any], _: Choices) -> str:
    """What became of attention rows."""
    steps = PRESETS[how] if isinstance(how, str) else Pooling(**{**how, "order": tuple(how["order"])})
    words = {
        "query": QUERIES[steps.query],
        "span": f"the {steps.span} over a statement's tokens",
        "heads": "the mean over heads" if steps.heads == "mean" else "every head",
    }
    order = ", then ".join(words[step] for step in steps.order)
    scale = ", divided by the largest value of each text" if steps.scale == "example" else ""
    return (
        "Attention from each question to each statement was read beside the model's own kernel and pooled in this order: "
        f"{order}{scale}."
    )


def classifier(how: Classifier | Mapping[str, Any], choices: Choices) -> str:
    """What read the features, and on which rows."""
    own = how if isinstance(how, Classifier) else Classifier(**how)
    metric = "Manhattan" if own.distance == "l1" else "Euclidean"
    kinds = {
        "knn": f"{own.k} nearest neighbours weighted by distance ({metric})",
        "logistic": "multinomial logistic regression",
        "centroid": "the nearest centroid",
    }
    return (
        f"The classifier was {kinds[own.kind]} in {choices.field('folds')} folds of whole theories, beside a control task: "
        "one random label for each distinct statement (Hewitt & Liang, 2019)."
    )


def twins(most: int, _: Choices) -> str:
    """What a score of 0 means."""
    if not most:
        return "Scores are macro-F1."
    return (
        f"Scores are macro-F1 F as (F - R) / (1 - R), where R is the mean of at most {count(most, 'random initialisation')} of the same "
        "architecture seen through the same pipeline (Hou et al., 2023)."
    )


def permutations(n: int, _: Choices) -> str:
    """What p counts."""
    words = f"p counts {count(n, 'shuffle')} of the labels within each text (Phipson & Smyth, 2010)."
    return words if n else ""


def bootstrap(samples: int, _: Choices) -> str:
    """What intervals resample."""
    return f"Intervals are 95 % of {count(samples, 'bootstrap sample')} of theories (Field & Welsh, 2007)."
