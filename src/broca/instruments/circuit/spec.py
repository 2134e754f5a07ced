"""Which edges of a model carry an answer, what does the circuit suffice for, and what is it needed for?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from broca.evidence.ability_spec import AbilitySpec
from broca.evidence.budget import WithBudget
from broca.evidence.ledger import SharedLevel
from broca.instruments.circuit import method as method_words
from broca.items import fingerprint
from broca.page.shell import YOURS, command
from broca.scoring import Likelihood
from broca.specs.command import Call
from broca.specs.expectation import Expected
from broca.specs.fields import Natural, Percent, Positive
from broca.specs.groups import (
    Alpha,
    BootstrapSamples,
    BudgetFrom,
    BudgetTokens,
    Claims,
    Gate,
    Others,
    SmallestEffect,
    TemplateUse,
)
from broca.specs.method import Sentence
from broca.specs.spec import Need, Spec
from broca.stimuli.benchmarks import option_types
from broca.stimuli.counterfactuals import check_way


class Circuit(AbilitySpec, SharedLevel, WithBudget, Spec):
    """Score edges, choose a circuit, keep it alone and take it away."""

    kind: Literal["circuit"] = "circuit"
    items: Annotated[str, Sentence("stimuli", method_words.items)] = "ioi"
    """The ability in question: a benchmark or a file of items."""
    options: Mapping[str, str | int | float | bool] = {}
    """Options of the benchmarks, such as n or seed."""
    n_items: Positive | None = 128
    """Use this many items of each ability at most, spread over the whole list."""
    others: Others = ()
    counterfactual: Annotated[str, Sentence("stimuli", method_words.counterfactual)] = "auto"
    """What a patched edge carries: the run of a text with another right answer. The item's own, both choices exchanged in the text, or
    another item of as many tokens: own, exchange, other; auto takes the first of these that there is. Or a kind of perturbation."""
    margin: Annotated[Literal["counterfactual", "choices"], Sentence("comparison", method_words.margin)] = (
        "counterfactual"
    )
    """What the right answer's first token is taken against: that of the counterfactual's answer, or the best of the item's other choices,
    as likelihood scores them."""
    method: Annotated[
        Literal["eap", "eap-ig", "ig-activations", "exact"], Sentence("comparison", method_words.method)
    ] = "eap-ig"
    """How edges are scored: by the gradient at the text, its mean along the inputs, or along what each layer writes, or one run an edge."""
    steps: Positive = 5
    """Points along each line."""
    rule: Literal["midpoint", "left"] = "midpoint"
    """Where these lie: in the middle of each step; or at its start, as EAP-IG was published."""
    rescore: Natural = 0
    """Score so many of the highest edges again by one run each, and rank them by that."""
    ranking: Annotated[Literal["absolute", "signed"], Sentence("selection", method_words.ranking)] = "absolute"
    """Whether the circuit takes edges by the size of their scores, or as signed, those that support the answer first. Curves show both."""
    edges: Positive | None = None
    """How many edges the circuit has."""
    percent: Percent | None = None
    """The same as a share of all edges."""
    faithful: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Without either, the smallest of the published sizes that alone keeps this share of the margin, in the items that choose."""
    paths: Annotated[tuple[str, ...], Sentence("lesion", method_words.paths)] = ()
    """Paths to patch, each by itself, such as a0.h1->m2->logits; an asterisk in the first part stands for any letters. They choose nothing."""
    through: Literal["nothing", "mlps"] = "nothing"
    """What lies between the steps of a path and carries on what it hears: nothing, so that a step is an edge; or MLPs."""
    random_curves: Natural = 5
    """Random circuits beside each size of the curve, matched on size and layers."""
    minimal: Natural = 50
    """Edges of the circuit, from the weakest on, that are taken out of it one at a time."""
    draws: Annotated[Natural, Sentence("lesion", method_words.draws)] = 200
    """Matched random circuits that are kept alone at most, and taken away where there are others: drawing stops as soon as the decision is all but certain."""
    twins: Natural = 19
    """Untrained networks of the same architecture at most, each with a circuit of its own."""
    gate: Gate = "stop"
    smallest_effect: SmallestEffect = None
    chat: TemplateUse = "auto"
    alpha: Alpha = 0.05
    claims: Claims = 1
    n_bootstrap: BootstrapSamples = 2000
    seed: Natural = 0
    """Seed of the halves, counterfactuals, random circuits, bootstrap and twins."""
    expect: Expected = None
    budget_tokens: BudgetTokens = None
    budget_from: BudgetFrom = Field(default_factory=dict)

    renamed: ClassVar[Mapping[str, str]] = {"n": "n_items"}
    needs: ClassVar[tuple[Need, ...]] = (
        Need(
            ("steps", "rule"),
            ("method=eap-ig", "method=ig-activations"),
            lambda spec: spec.method in ("eap-ig", "ig-activations"),
        ),
        Need(
            ("rescore",), (), lambda spec: spec.method != "exact", "every edge has its own run already", beside="method"
        ),
        Need(("through",), ("paths",), lambda spec: spec.paths),
        Need(
            ("faithful",),
            (),
            lambda spec: spec.edges is None and spec.percent is None,
            "the size is given",
            beside="edges",
        ),
    )

    @model_validator(mode="after")
    def _one_size(self) -> Circuit:
        if self.edges is not None and self.percent is not None:
            raise ValueError("give the circuit's size as edges or as percent, not as both")
        check_way(self.counterfactual)
        return self

    @property
    def scorer(self) -> Likelihood:
        """How answers are judged under a circuit."""
        return Likelihood(chat=self.chat)

    def data_fingerprints(self) -> dict[str, str]:
        """Content hashes of the items: files may change under their names."""
        return {name: fingerprint([item.fingerprint for item in items]) for name, items in self.abilities.items()}

    @classmethod
    def option_types(cls, fields: Mapping[str, Any], /) -> tuple[Mapping[str, Any], ...]:
        return tuple(option_types(name) for name in (fields.get("items", "ioi"), *fields.get("others", ())))

    def following(self, call: Call, /) -> Sequence[str]:
        if "selected" not in call.run.masks:
            return []
        return [command("lesion", call.setting.model, options={"from_": call.run.path, "items": YOURS, **call.same})]
