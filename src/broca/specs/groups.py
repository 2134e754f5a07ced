"""Fields that several specs share, each with its meaning: a word means the same in all of them, and is described once.

A spec that takes one gives it a name and a default, and no docstring::

    alpha: Alpha = 0.05
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from broca.specs.command import Form
from broca.specs.fields import Chat, Level, Positive, Share, TemplateWhen
from broca.specs.method import Choices, Sentence

# stimuli

TemplateUse = Annotated[
    Chat,
    Field(
        description="Whether to use the model's chat template: for chats only, never, or always. --chat alone is always, --no-chat never."
    ),
    Form(TemplateWhen),
]
Truncation = Annotated[Positive | None, Field(description="Keep this many tokens of each stimulus, BOS counted.")]

# cost


def _budget(tokens: int | None, choices: Choices) -> str:
    """What a study was kept within, and what that took."""
    lowered = choices.field("budget_from") or {}
    fields = ", ".join(f"{name} (asked for: {_as_list(value)})" for name, value in lowered.items())
    took = f"; for it these were lowered: {fields}" if fields else ", which took nothing from it"
    return f"The study was kept within a budget of {tokens:,} tokens{took}." if tokens else ""


def _as_list(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


BudgetTokens = Annotated[
    Positive | None,
    Sentence("scoring", _budget),
    Field(
        description="Read so many tokens at most, counted beforehand; what is given up for it is lowered in the spec. --budget fills it in."
    ),
]
BudgetFrom = Annotated[
    Mapping[str, Any],
    Field(
        default_factory=dict,
        description="What a budget lowered, by field, as it was asked for. Filled in; needs budget_tokens.",
    ),
]

# controls

Alpha = Annotated[Level, Field(description="Level of each test: the share of true nulls that may be rejected.")]
Claims = Annotated[
    Positive,
    Field(
        description="How many claims share alpha, this one counted in: each is tested at alpha / claims, and draws and twins are raised to "
        "what that takes."
    ),
]
BootstrapSamples = Annotated[
    Positive, Field(description="Bootstrap samples that each interval is made of, drawn by the groups of items.")
]

# scoring

Others = Annotated[
    tuple[str, ...],
    Field(description="Other abilities, which a specific lesion leaves alone: benchmarks or files of items."),
]
Pilot = Annotated[
    tuple[str, ...],
    Field(
        description="Items by whose answers a percentage, side, dose or site was chosen beforehand: benchmarks or files. Whatever shares a "
        "group or a text with them tests nothing, and is counted; where that is every item of an ability, the rungs are undecided."
    ),
]
Gate = Annotated[
    Literal["stop", "mark"], Field(description="What to do when the intact model does not have the ability.")
]
SmallestEffect = Annotated[
    Share | None,
    Field(
        description="The smallest loss of accuracy that is of interest, as a share of 1; by default a fifth of what the intact model has "
        "above chance."
    ),
]
