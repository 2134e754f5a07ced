"""The scorers that a spec can name."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field

from broca.scoring.generation import Generation
from broca.scoring.likelihood import Likelihood
from broca.scoring.orders import Permuted
from broca.scoring.sampling import Sampled
from broca.specs.fields import Chat

if TYPE_CHECKING:
    AnyScorer = Annotated[Likelihood | Generation | Permuted | Sampled, Field(discriminator="kind")]
else:
    _STRANGERS = tuple(each.load() for each in entry_points(group="broca.scorers"))
    AnyScorer = Annotated[Union[(Likelihood, Generation, Permuted, Sampled, *_STRANGERS)], Field(discriminator="kind")]
"""Every scorer that a study's spec can name, told apart by `kind`: ours, and those of packages with an entry point in
``broca.scorers``, whose modules import no torch."""


def chat_of(scorer: object) -> Chat:
    """Whether a scorer shows prompts through the model's chat template: what it says itself, or the scorer inside it."""
    inner = getattr(scorer, "scorer", None) or getattr(scorer, "reader", None) or scorer
    return getattr(inner, "chat", "auto")
