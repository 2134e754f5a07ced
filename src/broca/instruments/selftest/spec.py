"""Would the methods find what is there? Units planted in the user's own model, and every ranking against the truth.

The stimuli are dealt to two sides at random, so the model itself cannot tell the sides apart: what differs between them is
what was planted, and the rest of the model is what a method has to see through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from broca.evidence.budget import WithBudget
from broca.items import Contrast
from broca.page.shell import command
from broca.sites import check_pattern
from broca.specs.command import Call
from broca.specs.fields import Above0, Level, Natural, Positive
from broca.specs.groups import BudgetFrom, BudgetTokens, TemplateUse, Truncation
from broca.specs.spec import Need, Spec
from broca.stimuli.contrasts import contrast as load_contrast
from broca.stimuli.contrasts import option_types


class Selftest(WithBudget, Spec):
    """Plant units of which the truth is known, and see which ranking methods find them."""

    kind: Literal["selftest"] = "selftest"
    contrast: str | Contrast = "language"
    """Where the stimuli come from. Both sides are mixed and dealt anew at random, so that only planted units differ."""
    options: Mapping[str, str | int | float | bool] = {}
    """Options of the contrast or of its reader, such as n or seed."""
    sites: str | None = None
    """Where to plant: LAYERS.mlp_act or LAYERS.z. All of mlp_act, or of z where the model has no mlp_act."""
    answers: tuple[str, str] | None = None
    """The metric is the logit of the first answer minus that of the second (first tokens). The two most likely tokens
    when None."""
    d: Above0 = 0.8
    """Effect size of a selective unit between the sides (Cohen's d)."""
    n: Annotated[int, Field(ge=5)] = 100
    """Stimuli on each side: 5 or more, since with fewer no ranking by t means anything."""
    effect: Above0 = 1.0
    """What ablating a causal unit moves the metric by, in standard deviations of the metric over stimuli."""
    pairs: Positive = 4
    """Pairs of units planted in each of the four cells, selective or not by causal or not."""
    rest: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    """Mean activation of planted units, in their standard deviations. Near 0, absolute activations hide them."""
    rivals: Natural = 224
    """The model's own units, drawn at random, that are ablated and ranked beside the planted ones."""
    reference: Annotated[int, Field(ge=4)] = 16
    """Stimuli on which the truth is measured; they are not among those that the methods see."""
    ds: tuple[Above0, ...] = ()
    """Further effect sizes, for the power surface."""
    ns: tuple[Annotated[int, Field(ge=5)], ...] = ()
    """Further numbers of stimuli on each side, for the power surface."""
    level: Level = 0.05
    """Level of the single test of which the power is told."""
    truncate: Truncation = None
    chat: TemplateUse = "auto"
    seed: Natural = 0
    """Seed of the dealing, of the planted noise, of the rivals and of the random ranking."""
    budget_tokens: BudgetTokens = None
    budget_from: BudgetFrom = Field(default_factory=dict)

    needs: ClassVar[tuple[Need, ...]] = (Need(("level",), ("ds", "ns"), lambda spec: spec.ds or spec.ns),)

    @model_validator(mode="after")
    def _possible(self) -> Selftest:
        if self.sites is not None:
            check_pattern(self.sites)
        return self

    @cached_property
    def stimuli(self) -> Contrast:
        """The contrast itself.

        Raises:
            StimulusError: if its file is malformed.
            UnknownName: if no contrast has this name.
        """
        return self.contrast if isinstance(self.contrast, Contrast) else load_contrast(self.contrast, **self.options)

    def data_fingerprints(self) -> dict[str, str]:
        """Content hash of the stimuli."""
        return {"contrast": self.stimuli.fingerprint}

    @classmethod
    def option_types(cls, fields: Mapping[str, Any], /) -> tuple[Mapping[str, Any], ...]:
        return (option_types(fields.get("contrast", "language")),)

    def following(self, call: Call, /) -> Sequence[str]:
        told = {name: call.given.get(name) for name in ("options", "columns", "truncate", "sites")}
        return [command("localize", call.setting.model, options={"contrast": self.contrast, **told, **call.same})]
