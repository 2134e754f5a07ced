"""What is expected of a study before it is run: part of its spec, and so of its hash. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from broca.specs.command import Form

State = Literal["passed", "failed", "undecided", "not tested"]
"""Of a rung. *Failed* is evidence of absence; *undecided* is neither, and its text says what would decide it."""


class Expectation(BaseModel):
    """States of rungs, and a range for the loss; what is left out is not predicted."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    selective: State | None = None
    reliable: State | None = None
    learned: State | None = None
    causal: State | None = None
    specific: State | None = None
    loss: tuple[Annotated[float, Field(ge=-1, le=1)], Annotated[float, Field(ge=-1, le=1)]] | None = None
    """Least and greatest accuracy that the own ability loses, as shares of 1: ``[0.1, 1.0]``."""

    @model_validator(mode="after")
    def _in_order(self) -> Expectation:
        if self.loss is not None and self.loss[0] > self.loss[1]:
            raise ValueError(f"loss is {list(self.loss)}: give the least first, then the greatest")
        return self


def _from_words(words: Mapping[str, str]) -> dict[str, Any]:
    """``{"loss": "0.1,1"}`` as it is in a spec file."""
    return {name: text.split(",") if name == "loss" else text for name, text in words.items()}


Expected = Annotated[
    Expectation | None,
    Form(dict[str, str], _from_words),
    Field(
        description="What is expected of the run: states of rungs and a range for the loss. Where it is otherwise, the command ends with "
        "code 3."
    ),
]
