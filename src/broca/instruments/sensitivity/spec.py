"""Which weights does an ability hang on? Squared gradients, task minus general, swept, against matched random masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from broca.errors import SpecError, StimulusError
from broca.evidence.abilities import abilities
from broca.evidence.ability_spec import AbilitySpec
from broca.evidence.budget import WithBudget
from broca.evidence.ledger import SharedLevel
from broca.instruments.sensitivity import method
from broca.instruments.sensitivity.sources import general_texts, texts_of
from broca.instruments.sensitivity.sweep import swept
from broca.items import Item, Stimulus, fingerprint
from broca.page.shell import command
from broca.scoring import AnyScorer, Likelihood
from broca.scoring.windows import Recipe, Windows
from broca.specs.command import Call, Form
from broca.specs.expectation import Expected
from broca.specs.fields import Above0, Edit, Mode, Natural, ObjectiveName, Positive, Precision, Score
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
    TemplateUse,
)
from broca.specs.method import Sentence
from broca.specs.presets import fill_preset, preset
from broca.specs.spec import Need, Spec
from broca.stimuli.benchmarks import option_types
from broca.units.weight_draws import Match
from broca.units.weight_ranking import Scope, Ties


class Sensitivity(AbilitySpec, SharedLevel, WithBudget, Spec):
    """Score every weight by what a task's gradients say, take away those that matter to plain text, mask, test."""

    kind: Literal["sensitivity"] = "sensitivity"
    preset: Literal["wu2025"] | None = None
    """Do as Wu et al. (2025) did: a set of fields, each of which can be given otherwise."""
    task: str = "beliefs/false-belief"
    """The ability in question: a benchmark or a file of items. Its first ability is the own one."""
    others: Others = ()
    pilot: Pilot = ()
    general: str = "plain"
    """Texts whose sensitive weights are left alone."""
    perplexity_source: str | None = None
    """Texts of which perplexities are taken: all of them where `reading` joins them; `n_read` further ones of `general` when None."""
    controls: tuple[str, ...] = ()
    """Further items whose sensitive weights are left alone, such as the same stories with a question about reality."""
    source: str | None = None
    """Score weights by these texts instead of by a part of the task's items."""
    published: tuple[str, str] | None = None
    """Folders of score files as published (layer_0.pt, ...), of the task and of general text, instead of scoring."""
    choose_on: Literal["apart", "test"] = "apart"
    """Choose the fraction on items of its own, or as published on those that are tested."""
    options: Mapping[str, str | int | float | bool] = {}
    """Options of the benchmarks, such as n or seed."""
    n_items: Positive | None = None
    """Use this many items of each ability at most."""
    shares: tuple[Above0, Above0, Above0] = (0.4, 0.2, 0.4)
    """Parts of the own items: to score weights by, to choose the fraction on, to test on. Groups stay together."""
    n_score: Positive = 100
    """Samples of the task, and of each control, at most."""
    n_general: Positive = 100
    """Texts to score weights by."""
    n_read: Positive = 40
    """Texts to take perplexities of."""
    window: Positive = 128
    """Tokens of a text that is scored by."""
    windows: Literal["start", "random"] = "start"
    """Where a text is cut."""
    reading: Annotated[Windows, Sentence("scoring", method.reading)] = Windows()
    """How texts are cut for perplexity."""
    recipe: Recipe = "exact"
    """How a perplexity is averaged."""
    objective: ObjectiveName = "gold"
    """What is differentiated on the task's items."""
    score: Annotated[Score, Sentence("selection", method.score)] = "squared-gradient"
    """What a weight is ranked by: see `broca.specs.fields.Score`."""
    scope: Annotated[Scope, Sentence("selection", method.scope)] = "matrix"
    """Within what a fraction is taken."""
    dtype: Literal["float32", "bfloat16", "float16", "float64"] | None = None
    """What the model must have been loaded in; anything when None."""
    bos: Literal["with", "without"] = "with"
    """Score weights with or without the special tokens before a text."""
    precision: Precision = "float32"
    """Of the sums."""
    nonfinite: Literal["refuse", "keep"] = "refuse"
    """What to do about scores that are infinite or NaN."""
    mode: Mode = "auto"
    """One sample at a time, or batches with the same numbers."""
    halves: bool = True
    """Keep the sums of two halves of the samples apart: the rung 'reliable'. Takes a second copy of the sums."""
    layer_groups: Positive = 1
    """Pass over the samples so many times, each time with the sums of a part of the layers."""
    sums_on: str | None = None
    """Device of the sums; "cpu" spares a GPU."""
    sweep: str = "auto"
    """Fractions to mask: START:STOP:STEP, numbers with commas, or doublings from 2 weights of the smallest matrix."""
    arange: bool = False
    """Take the steps of a sweep as published, one more than meant."""
    control: Annotated[float, Field(gt=0, le=1)] | None = None
    """Fraction of each control's ranking that is left alone; the same as the task's when None."""
    ties: Ties = "index"
    """Exactly so many weights; or strictly those above the last of them in score, one fewer or less, as published."""
    top_up: bool = False
    """Fill up to the nominal size from further down the task's list."""
    edits: Annotated[
        tuple[Edit, ...],
        Field(min_length=1),
        Form(
            list[Literal["zero", "mean", "flip", "resample", "noise"]],
            lambda kinds: [{"kind": kind} for kind in kinds],
        ),
    ] = (Edit("zero"), Edit("mean"), Edit("resample"))
    """What masked weights become; the first is the claim, the others must agree in sign."""
    sizes: tuple[Above0, ...] = (0.5, 1.5)
    """Mask so many times the chosen fraction too: the effect must keep its sign."""
    nulls: Annotated[tuple[Match, ...], Field(min_length=1)] = ("matrix", "rows", "size", "general")
    """Families of random masks, the first of which makes the band; all must be beaten."""
    draws: Natural = 20
    """Random masks of each family at the chosen fraction. The smallest p that n draws can give is 1 / (n + 1)."""
    sweep_draws: Natural = 5
    """Random masks of the first family at every other fraction."""
    twins: Natural = 0
    """Score so many untrained twins likewise; 20 make the rung 'learned'."""
    perplexity_limit: Annotated[Above0, Sentence("selection", method.perplexity_limit)] = 1.05
    """Largest ratio of perplexities that counts as equal."""
    scorer: AnyScorer = Likelihood()
    """How an answer is judged."""
    chat: TemplateUse = "auto"
    gate: Gate = "stop"
    smallest_effect: SmallestEffect = None
    alpha: Alpha = 0.05
    claims: Claims = 1
    n_bootstrap: BootstrapSamples = 2000
    seed: Natural = 0
    """Seed of the parts of the items, of where texts are cut, of random masks, twins and the bootstrap."""
    budget_tokens: BudgetTokens = None
    budget_from: BudgetFrom = Field(default_factory=dict)
    expect: Expected = None

    renamed_result: ClassVar[Mapping[str, Mapping[str, str]]] = {"selection": {"m": "mask_fraction"}}
    needs: ClassVar[tuple[Need, ...]] = (
        Need(
            (
                *("source", "controls", "n_score", "score", "precision", "nonfinite", "mode", "halves"),
                *("layer_groups", "sums_on"),
            ),
            (),
            lambda spec: spec.published is None,
            "its folders hold the scores",
            beside="published",
        ),
        Need(("arange",), ("sweep=START:STOP:STEP",), lambda spec: ":" in spec.sweep),
        Need(("nulls",), ("draws=1 or more",), lambda spec: spec.draws or spec.sweep_draws),
        Need(
            ("sweep_draws",),
            ("sweep=of several fractions",),
            lambda spec: spec.sweep == "auto" or any(mark in spec.sweep for mark in ":,"),
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, given: Any) -> Any:
        return fill_preset(given) if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _possible(self) -> Sensitivity:
        if self.layer_groups > 1 and self.scope in ("kind", "global"):
            raise ValueError(
                f"layer_groups = {self.layer_groups} holds the sums of a few layers at a time, and scope {self.scope!r} ranks over "
                "all of them: use scope matrix, row or layer, or sums_on = 'cpu'"
            )
        if self.sweep != "auto":
            try:
                swept(self.sweep, published=self.arange)
            except SpecError as error:
                raise ValueError(str(error)) from error
        return self

    def preset_fields(self) -> Mapping[str, Any]:
        return preset(self.preset).fields if self.preset else {}

    @property
    def ability_names(self) -> tuple[str, ...]:
        return (self.task, *self.others)

    @property
    def names_beside(self) -> tuple[str, ...]:
        return self.controls

    @cached_property
    def control_items(self) -> dict[str, tuple[Item, ...]]:
        """The items of each further control."""
        if not self.controls:
            return {}
        return abilities(self.controls, self.options, self.n_items, beside=(self.task, *self.others))

    @cached_property
    def source_texts(self) -> tuple[Stimulus, ...]:
        """Texts that weights are scored by instead of items; none where there is no source."""
        return () if self.source is None else texts_of(self.source, self.n_score, self.seed)

    @cached_property
    def texts(self) -> tuple[tuple[Stimulus, ...], tuple[Stimulus, ...]]:
        """Texts to score weights by, and others to predict."""
        return general_texts(
            self.general,
            n=self.n_general,
            n_read=self.n_read,
            random=self.windows == "random",
            read_from=self.perplexity_source,
            joined=self.reading.texts == "joined",
        )

    def data_fingerprints(self) -> dict[str, str]:
        """Content hashes of items and texts: files may change under their names."""
        prints = self.item_fingerprints()
        prints |= {
            f"control {name}": fingerprint([i.fingerprint for i in own]) for name, own in self.control_items.items()
        }
        prints |= {f"source {self.source}": fingerprint(list(self.source_texts))} if self.source else {}
        return prints | {f"texts {self.general}": fingerprint([list(part) for part in self.texts])}

    def read(self) -> None:
        super().read()
        if self.sums_on is not None:
            from broca.models.placement import check_device

            check_device(self.sums_on)
        for folder in self.published or ():
            if not Path(folder).is_dir():
                raise StimulusError(f"{folder} is no folder. Give two folders of layer_0.pt, layer_1.pt, ...")

    @classmethod
    def option_types(cls, fields: Mapping[str, Any], /) -> tuple[Mapping[str, Any], ...]:
        sources = (
            fields.get("task", "beliefs/false-belief"),
            *fields.get("others", ()),
            *fields.get("controls", ()),
            *fields.get("pilot", ()),
        )
        return tuple(map(option_types, sources))

    @classmethod
    def command_fields(cls, fields: dict[str, Any], call: Call, /) -> dict[str, Any]:
        made = dict(fields)
        published = "preset" in fields
        if published and call.setting.loading.dtype != "auto":
            made["dtype"] = call.setting.loading.dtype
        if published and "reading" in fields:
            made["reading"] = {**fields["reading"], "texts": "joined"}
        if "chat" in fields and not published:
            made["scorer"] = {"kind": "likelihood", "chat": fields["chat"]}
        return made

    def following(self, call: Call, /) -> Sequence[str]:
        to = f"{Path(call.setting.model).name or 'model'}-masked"
        kept = {"to": to, **call.setting.kept_options(working=False, out=False)}
        return [command("export", call.run.path, options=kept)]
