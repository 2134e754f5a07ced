"""Which units, or heads, does a contrast select?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from broca.errors import StimulusError
from broca.evidence.budget import WithBudget, as_asked, within_budget
from broca.evidence.ledger import SharedLevel
from broca.instruments.localize import method
from broca.instruments.localize.after import lesion_options
from broca.items import Contrast
from broca.page.shell import command
from broca.sites import check_pattern
from broca.specs import presets
from broca.specs.command import Call, Form
from broca.specs.expectation import Expected
from broca.specs.fields import Level, Magnitude, Natural
from broca.specs.groups import BudgetFrom, BudgetTokens, Claims, TemplateUse, Truncation
from broca.specs.method import Sentence
from broca.specs.spec import Need, Spec
from broca.stimuli.contrasts import contrast as load_contrast
from broca.stimuli.contrasts import option_types, options_of
from broca.units import Grain, Select
from broca.units.selection import percent_of


class Localize(SharedLevel, WithBudget, Spec):
    """Find the units, or the heads, that a contrast selects."""

    kind: Literal["localize"] = "localize"
    contrast: str | Contrast = "belief"
    """Name of a contrast, a file or folder of one, or a Contrast."""
    options: Mapping[str, str | int | float | bool] = {}
    """Options of the contrast or of its reader, such as seed or answers."""
    preset: Annotated[str | None, Form(Literal["tl-abs", "tl-signed", "ll"])] = None
    """Fill in what a published localizer did: tl-abs, tl-signed or ll. Fields that you give win."""
    sites: Annotated[str, Sentence("comparison", "Activations were read at {}.")] = "*.resid_post"
    """Where to look, as LAYERS.KIND: "*.resid_post", "8-15.mlp_act", "*.z". Heads are at "*.z" where nothing else is said."""
    grain: Annotated[Grain, Form(Literal["unit", "head"]), Sentence("comparison", method.TESTS)] = "unit"
    """Rank units by Welch's t, or heads (slices of z) by their cross-validated linear-discriminant t."""
    pool: Annotated[Literal["last", "mean"], Sentence("comparison", method.pooling)] = "last"
    """How the tokens of a stimulus become one value for each unit. Padding never counts."""
    bos: Annotated[Literal["with", "without"], Sentence("comparison", method.BOS)] = "without"
    """Whether special tokens before the text count in a mean. They carry attention sinks."""
    sinks: Annotated[Natural | None, Sentence("comparison", method.sinks)] = None
    """How many further tokens at the start to leave out of a mean. Where nothing is said, those that carry massive activations, as the first
    word of a text does in a model without BOS."""
    images: Literal["with", "without", "only"] = "with"
    """Whether the tokens that stand for images count in a mean, or no others do."""
    magnitude: Annotated[Magnitude, Sentence("comparison", method.MAGNITUDES)] = "signed"
    """Compare activations as they are, by the absolute value of their mean, or by the mean of their absolute values."""
    truncate: Annotated[Truncation, Sentence("comparison", method.cut)] = None
    chat: TemplateUse = "auto"
    select: Annotated[Select, Sentence("selection", method.selection, ("percent", "count", "side", "within"))] = (
        Select()
    )
    """Which units to take from the ranking."""
    select_on: Literal["all", "half"] = "all"
    """Test and select on all stimuli, or on the first half only, so that the other half is untouched."""
    permutations: Annotated[Natural, Sentence("comparison", method.arrangements)] = 1000
    """Shuffle the sides this often, groups and pairs together: the rung *selective*. 0 for none."""
    resamples: Natural = 0
    """Draw the stimuli again this often, and see how alike the selections are; 100 or more. Units only."""
    also: Annotated[tuple[str, ...], Sentence("comparison", method.further)] = ()
    """Further contrasts for the same ability: how alike are their maps and selections? Each costs one localization."""
    lengths: bool = False
    """Regress out the length of each stimulus, in tokens, words and characters, before the sides are shuffled."""
    confounds: tuple[str, ...] = ()
    """Columns of the stimuli's table that may differ between the sides, regressed out likewise: numbers as they are, words by class."""
    protect_massive: bool = False
    """Never select units with massive activations, which every task needs."""
    twins: Annotated[Natural, Sentence("comparison", method.twins)] = 0
    """Compare with this many untrained twins of the model; 20 or more make the rung *learned*. Each costs one localization."""
    alpha: Annotated[Level, Sentence("comparison", method.ALPHA)] = 0.05
    """Level of the tests over all units."""
    claims: Claims = 1
    seed: Natural = 0
    """Seed of the split into halves, and of arrangements."""
    budget_tokens: BudgetTokens = None
    budget_from: BudgetFrom = Field(default_factory=dict)
    expect: Expected = None

    renamed: ClassVar[Mapping[str, str]] = {"pictures": "images"}
    needs: ClassVar[tuple[Need, ...]] = (
        Need(("bos", "sinks", "images"), ("pool=mean",), lambda spec: spec.pool == "mean", strict=True),
        Need(
            ("resamples",),
            ("grain=unit",),
            lambda spec: spec.grain == "unit",
            "a head's statistic is itself learned from the labels",
            strict=True,
        ),
        Need(("lengths", "confounds"), ("permutations=1 or more",), lambda spec: spec.permutations, strict=True),
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        heads = {"sites": "*.z"} if given.get("grain") in ("head", "group") else {}
        return presets.fill_preset({**heads, **given})

    @model_validator(mode="after")
    def _possible(self) -> Localize:
        check_pattern(self.sites)
        return self

    def preset_fields(self) -> Mapping[str, Any]:
        return presets.preset(self.preset).fields if self.preset else {}

    @cached_property
    def stimuli(self) -> Contrast:
        """The contrast itself.

        Raises:
            StimulusError: if its file is malformed.
            UnknownName: if no contrast has this name.
        """
        if isinstance(self.contrast, Contrast):
            return self.contrast
        usual = presets.preset(self.preset).options if self.preset else {}
        known = options_of(self.contrast) if usual else ()
        shown = {name: value for name, value in usual.items() if name in known}
        return load_contrast(self.contrast, **(shown | dict(self.options)))

    @property
    def label(self) -> str:
        """What it is called in tables: its contrast."""
        return self.stimuli.name

    def selecting(self, percent: float, side: str) -> Localize:
        """The same, with this share of this end of its ranking as its selection."""
        return self.model_copy(update={"select": replace(self.select, percent=percent, count=None, side=side)})  # type: ignore[arg-type]

    def beside(self, contrast: str) -> Localize:
        """The same for another contrast, alone."""
        return self.alone.model_copy(update={"contrast": contrast, "options": {}})

    def first_prompt(self, lm: Any, /) -> Mapping[str, Any] | None:
        first = self.stimuli.positive[0]
        return import_module("broca.evidence.first_prompt").of_text(
            lm, first.id, first.content, chat=self.chat, truncate=self.truncate
        )

    def fit_to(self, lm: Any, /) -> Localize:
        """The same localizer within its budget, with the number of sinks that its texts have in this model where none was given."""
        if self.pool != "mean" or self.sinks is not None:
            return within_budget(self, lm)
        return within_budget(import_module(f"{__package__}.run").with_sinks(self, lm), lm)

    def fits(self, lm: Any) -> None:
        """Refuse sites that the model does not have, and a selection that no map could satisfy: SiteUnavailable, SelectionError."""
        import_module(f"{__package__}.run").places(self, lm)

    def usual(self, found: Any) -> Any:
        """What a run of it found, a `Localization`; None where the run was of another spec.

        The usual 1 percent is the same as no percentage, but for the one unit at least that a small model is left with.
        """
        if found.selection["n_alive"] >= 100 and found.spec.select.percent is found.spec.select.count is None:
            spec = found.spec.model_copy(update={"select": replace(found.spec.select, percent=1.0)})
            found = replace(found, spec=spec, selection={**found.selection, "percent": 1.0})
        plain = as_asked(found.spec).model_copy(update={"budget_tokens": None})
        return found if plain == self else None

    @classmethod
    def taken_from(cls, run: Any, /) -> tuple[dict[str, Any], float, str | None]:
        """Of a finished run the fields without what it selected, and of that the percentage and the side.

        What is selected is said by the two alone, so that the same test has one name, however it was asked for.
        """
        spec, found = run.spec["study"], run.result["selection"]
        spec = {
            name: value
            for name, value in (spec | spec.get("budget_from", {})).items()
            if not name.startswith("budget_")
        }
        chosen = dict(spec.get("select", {}))
        percent, side, _ = (chosen.pop(name, None) for name in ("percent", "side", "count"))
        if percent is None:
            percent = percent_of(found["k"], found["n_alive"])
        return {**spec, "select": chosen}, percent, side

    @property
    def alone(self) -> Localize:
        """The same localizer without its twins and resamplings: what is done to each twin, and for other contrasts."""
        plain = {"twins": 0, "permutations": 0, "resamples": 0, "lengths": False, "confounds": (), "also": ()}
        return self.model_copy(update=plain)

    def data_fingerprints(self) -> dict[str, str]:
        """Content hashes of the stimuli: a file may change under its name."""
        further = {f"also {name}": load_contrast(name).fingerprint for name in self.also}
        return {"contrast": self.stimuli.fingerprint} | further

    def read(self) -> None:
        super().read()
        if self.images != "with" and not any(s.images for s in (*self.stimuli.positive, *self.stimuli.negative)):
            raise StimulusError(
                f"images is {self.images!r}, and no stimulus of {self.stimuli.name!r} has an image. Leave it out."
            )

    @classmethod
    def option_types(cls, fields: Mapping[str, Any], /) -> tuple[Mapping[str, Any], ...]:
        return (option_types(fields.get("contrast", "belief")),)

    @classmethod
    def command_fields(cls, fields: dict[str, Any], call: Call, /) -> dict[str, Any]:
        # With a dictionary it is features that are looked at, where nothing else is said.
        asked = "sites" in fields or fields.get("grain", "unit") != "unit"
        return fields if asked or not call.kept_options.get("features") else {**fields, "sites": "*.feature"}

    def following(self, call: Call, /) -> Sequence[str]:
        model = call.setting.model
        shown = lesion_options(str(self.contrast), call.given.get("options", {}), model)
        return [command("lesion", model, options={"localizer": call.run.path, **shown, **call.same})]
