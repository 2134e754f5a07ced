"""What breaks when the selected units are gone, against matched controls, and is it this ability alone?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import Field, PrivateAttr, model_validator

from broca.errors import SpecError
from broca.evidence.ability_spec import AbilitySpec
from broca.evidence.budget import WithBudget, within_budget
from broca.evidence.ledger import SharedLevel
from broca.evidence.selector import Origin, Ranking, Selector
from broca.instruments import INSTRUMENTS
from broca.instruments.lesion import method
from broca.instruments.lesion.options import options_dealt
from broca.instruments.lesion.source import fields_of_run
from broca.instruments.selectors import USUAL, AnySelection, AnySelector
from broca.page.shell import flag
from broca.scoring import AnyScorer, Likelihood
from broca.specs.command import Call
from broca.specs.expectation import Expected
from broca.specs.faults import idle
from broca.specs.fields import Above0, FillName, Natural, Percent, Positions, Positive
from broca.specs.groups import (
    Alpha,
    BootstrapSamples,
    BudgetFrom,
    BudgetTokens,
    Claims,
    Gate,
    Others,
    Pilot,
    SmallestEffect,
)
from broca.specs.method import Sentence
from broca.specs.spec import Need, Spec
from broca.units import WeightSet, fit
from broca.units.ranks import Side


class CausalTest(AbilitySpec, SharedLevel, WithBudget, Spec):
    """Lesion a selection, score abilities, compare with matched random lesions, and climb the ladder."""

    kind: Literal["causal"] = "causal"
    localizer: AnySelector | None = None
    """The localizer whose selection is tested; its own `select` is replaced by `sides` and `percent`, its `claims` by those of the test."""
    selection: AnySelection | None = None
    """Units, heads or weights to test instead of a localizer's."""
    origin: Origin | None = None
    """The run that selected them, with what it found of the map: `--from` fills it in."""
    localizers: tuple[str, ...] = ()
    """Further contrasts for the localizer x ability matrix, localized like the first one."""
    items: Annotated[str, Sentence("scoring", "The ability was tested with {}.")] = "beliefs/false-belief"
    """The ability in question: a benchmark or a file of items."""
    others: Annotated[Others, Sentence("scoring", method.others)] = ()
    pilot: Annotated[Pilot, Sentence("scoring", method.pilot)] = ()
    n_items: Annotated[Positive | None, Sentence("scoring", method.n_items)] = None
    """Score this many items of each ability at most, spread over the whole list."""
    options: Mapping[str, str | int | float | bool] = {}
    """Options of the benchmarks, such as n or seed."""
    scorer: Annotated[AnyScorer, Sentence("scoring", method.scorer, ("kind",))] = Likelihood()
    """How an answer is judged."""
    sides: Annotated[tuple[Side, ...], Field(min_length=1), Sentence("lesion", method.sides)] = ("top",)
    """Which ends of the ranking to lesion; the first one is the claim."""
    percent: Annotated[Percent, Sentence("lesion", method.percent)] = 1.0
    """Share of the units (or heads) that the claim is about: the localizer's own selection is replaced by it."""
    doses: tuple[Percent, ...] = ()
    """Further percentages, for the dose-response curve."""
    sizes: Annotated[tuple[Above0, ...], Sentence("lesion", method.sizes)] = (0.5, 1.5)
    """Lesion so many times that share too: the effect must keep its sign."""
    draws: Annotated[Natural, Sentence("lesion", method.draws)] = 200
    """Matched random lesions of the claim's size at most: drawing stops as soon as the decision is all but certain."""
    dose_draws: Natural = 20
    """Matched random lesions at each further dose."""
    match: tuple[Literal["layer", "size"], ...] = ("layer", "size")
    """What random lesions share with the selection: units (or heads) a layer, and size of activation, in up to ten bins of
    eight or more; a layer of few heads is one bin."""
    among: Literal["all", "rest"] = "all"
    """Draw random units from all, or from those that are not selected: then the causal rung stays undecided."""
    fills: Annotated[tuple[FillName, ...], Field(min_length=1), Sentence("lesion", method.fills)] = (
        "zero",
        "mean",
        "resample",
    )
    """What lesioned units are held at; the first one is the claim, the others must agree in sign."""
    positions: Positions = "all"
    """Lesion every token, or chosen ones."""
    gate: Gate = "stop"
    smallest_effect: SmallestEffect = None
    alpha: Alpha = 0.05
    claims: Claims = 1
    n_bootstrap: Annotated[BootstrapSamples, Sentence("scoring", method.bootstrap)] = 2000
    seed: Natural = 0
    """Seed of the random draws, of noise and resample fills, and of the bootstrap. 0 is a seed."""
    budget_tokens: BudgetTokens = None
    budget_from: BudgetFrom = Field(default_factory=dict)
    expect: Expected = None

    renamed: ClassVar[Mapping[str, str]] = {"dose": "percent"}
    needs: ClassVar[tuple[Need, ...]] = (
        Need(
            ("percent", "doses", "sides", "sizes", "dose_draws", "localizers"),
            ("localizer",),
            lambda spec: spec.localizer is not None,
            "a given selection has no ranking",
            strict=True,
        ),
        Need(
            ("positions", "among"),
            (),
            lambda spec: not isinstance(spec.selection, WeightSet),
            "weights are masked for every token, and draws are of others",
            beside="selection",
            strict=True,
        ),
        Need(("dose_draws",), ("doses",), lambda spec: {*spec.doses} - {spec.percent}),
        Need(("match", "among"), ("draws=1 or more",), lambda spec: spec.draws or (spec.doses and spec.dose_draws)),
    )

    @model_validator(mode="after")
    def _one_source(self) -> CausalTest:
        if (self.localizer is None) == (self.selection is None):
            raise ValueError("give either a localizer or a selection to test, not both and not neither")
        if self.origin is not None and self.selection is None:
            raise ValueError(
                "origin says which run selected what is given as selection, and none is given. Leave it out"
            )
        if getattr(self.localizer, "budget_tokens", None) is not None:
            raise ValueError("budget_tokens of the localizer would do nothing: give it to the test")
        return self

    _known: Any = PrivateAttr(None)

    def knowing(self, found: Any) -> CausalTest | None:
        """The same test, which takes its localizer's maps from a run of it on the same model and data.

        None where the localizer of this test would select otherwise.
        """
        usual = self.every_localizer[0].usual(found)
        if usual is None:
            return None
        test = self.model_copy()
        test._known = usual  # noqa: SLF001 - one of our own
        return test

    @property
    def known_ranking(self) -> Ranking | None:
        """What the main localizer found, where it was run before: it is not run again."""
        return self._known

    def without_known(self) -> CausalTest:
        """The same test, which runs its localizer itself."""
        test = self.model_copy()
        test._known = None  # noqa: SLF001 - one of our own
        return test

    def elsewhere(self) -> CausalTest:
        """The same test of another model than the run was made on, which says nothing of this one's map."""
        return self.model_copy(update={"origin": None})

    def fit_to(self, lm: Any) -> CausalTest:
        """The same test, its selection of this model, within its budget.

        Raises:
            SelectionError: if the model has no such unit or head.
            SiteUnavailable: if the model has no such site.
            SpecError: if its budget is too small for any test.
        """
        chosen = None if self.selection is None else fit(self.selection, lm.anatomy)
        fitted = self if chosen is self.selection else self.model_copy(update={"selection": chosen})
        return within_budget(fitted, lm)

    @property
    def every_localizer(self) -> list[Selector]:
        """The main localizer, selecting its percentage on the first side, and its variants for other contrasts."""
        if self.localizer is None:
            return []
        given = cast("AnySelector", self.localizer)
        if "claims" in type(given).model_fields:
            given = given.model_copy(update={"claims": self.claims})
        main = cast("Selector", given).selecting(self.percent, self.sides[0])
        return [main, *(main.beside(name) for name in self.localizers)]

    def data_fingerprints(self) -> dict[str, str]:
        """Content hashes of items and stimuli: files may change under their names."""
        prints = self.item_fingerprints()
        for spec in self.every_localizer:
            prints |= {
                spec.label if name == "contrast" else name: own for name, own in spec.data_fingerprints().items()
            }
        return prints

    def read(self) -> None:
        super().read()
        for spec in self.every_localizer:
            spec.read()

    @classmethod
    def command_fields(cls, fields: dict[str, Any], call: Call, /) -> dict[str, Any]:
        own, of = dict(fields), dict(fields.get("localizer", {}))
        own.pop("localizer", None)
        if "chat" in of:
            own["scorer"] = {"kind": "likelihood", "chat": of["chat"]}
        which = next((name for name in ("localizer", "from_", "units", "heads") if name in call.given), None)
        if which is None:
            given = INSTRUMENTS[USUAL].command_fields({"contrast": "belief", **of}, call)
            return options_dealt(own, given)
        unheard = ["contrast_options" if name == "options" else name for name in of if name != "chat"]
        if unheard:
            raise SpecError(idle([*map(flag, unheard)], ["--contrast"], beside=flag(which)))
        run = call.runs.get(which)
        again = {} if run is None else fields_of_run(run, own, ranked=which == "localizer")
        return {**options_dealt(own, None), **again}
