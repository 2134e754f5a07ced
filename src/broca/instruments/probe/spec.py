"""Can the reasoning tree be read from attention: which statements are useful, and in which step (Hou et al., 2023)?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from broca.errors import StimulusError
from broca.evidence.abilities import abilities
from broca.evidence.budget import WithBudget, within_budget
from broca.evidence.ledger import SharedLevel
from broca.instruments.probe import method
from broca.items import Tree, fingerprint
from broca.page.shell import command
from broca.specs.command import Call, Form
from broca.specs.cost import LARGE
from broca.specs.expectation import Expected
from broca.specs.fields import FillName, Natural, Several
from broca.specs.groups import Alpha, BootstrapSamples, BudgetFrom, BudgetTokens, Claims, Others, Pilot, TemplateUse
from broca.specs.method import Sentence
from broca.specs.pooling import Pooling, pooling
from broca.specs.spec import Need, Spec
from broca.stats.probing import Classifier
from broca.stimuli.corruption import How as Corruption
from broca.stimuli.options import option_names
from broca.stimuli.trees import TREES, option_types, reader_of, trees

if TYPE_CHECKING:
    from broca.models.lm import LM


MANY, FEW = 1024, 128
"""Trees that are probed of a small model and of a large one, where no number is asked for: 1,024, in it and in 19 twins, would take that one hours."""

Order = Literal["place", "size", "probe", "gradient"]
Mode = Literal["remove", "keep"]


class Pruning(BaseModel):
    """How heads are pruned."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    levels: tuple[float, ...] = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0)
    """Percent of all heads."""
    orders: tuple[Order, ...] = ("place", "size", "probe", "gradient")
    """Heads that look at fixed places first (low entropy by place); that choose by size (low entropy by size rank); that weigh most in
    a logistic probe; whose removal changes the margin of the right answer most, to first order."""
    draws: Natural = 20
    """Random orders, for the band."""
    modes: tuple[Mode, ...] = ("remove", "keep")
    """Take the first heads of an order away, or keep them alone."""
    fills: tuple[FillName, ...] = ("zero", "mean", "resample")
    """What pruned heads are held at; random orders are run with the first one."""
    count: Literal["share", "published"] = "share"
    """So many heads as the percentage says; or one more than its whole part, as in the published code: 15, 29, 44, ... of 144."""

    @model_validator(mode="after")
    def _some(self) -> Pruning:
        if (
            not self.levels
            or not all(0 < level < 100 for level in self.levels)
            or list(self.levels) != sorted({*self.levels})
        ):
            raise ValueError(f"levels are {self.levels}: give them in rising order, between 0 and 100 percent")
        if not self.fills or not self.modes:
            raise ValueError("give at least one fill and one mode")
        return self


class Probe(SharedLevel, WithBudget, Spec):
    """Read reasoning trees from attention, and say what the reading is worth."""

    kind: Literal["probe"] = "probe"
    task: str = "kth"
    """Trees: kth, rules, proofwriter, arc, entailment, or a file of trees."""
    options: Mapping[str, str | int | float | bool] = {}
    """Options of the generator or reader, such as k, m, depth, path, seed or shuffled. There is no --shots: attention is read among the
    statements of one tree, and those who read ProofWriter or ARC as published have solved questions before it as demos."""
    n: Several | None = None
    """Trees to probe at most; when None 1,024, or 128 of a model of more than 20 million parameters."""
    pooling: Annotated[
        str | Pooling,
        Form(Literal["heads", "gpt2-paper", "llama-code", "llama-paper"]),
        Sentence("comparison", method.pooling, ("query", "span", "heads", "order", "scale")),
    ] = "gpt2-paper"
    """How attention becomes features: heads, gpt2-paper, llama-code, llama-paper, or the steps themselves."""
    classifier: Annotated[Classifier, Sentence("comparison", method.classifier, ("kind", "k", "distance"))] = (
        Classifier()
    )
    """What reads the features: k nearest neighbours, logistic regression or nearest centroid."""
    layers: Literal["all", "nested"] = "all"
    """Features of all layers, or of those that each fold chooses on the rows that train."""
    folds: Several = 5
    """Folds; a theory is never torn apart."""
    twins: Annotated[Natural, Sentence("comparison", method.twins)] = 19
    """Random initialisations of the same architecture, seen through the same pipeline: what a score of 0 means."""
    permutations: Annotated[Natural, Sentence("comparison", method.permutations)] = 200
    """Shuffle the labels within each text this often."""
    maps: bool = True
    """Score each layer, each prefix of layers, and each head by itself."""
    pruning: Annotated[Pruning | None, Form(bool, lambda asked: {} if asked else None)] = None
    """Take heads away in several orders, and see what the answers lose."""
    edges: bool = False
    """Hide a useful, or a matched useless, statement from the question, and see what the answers lose."""
    corruptions: tuple[Corruption, ...] = ()
    """Corrupt the trees, and see whether those that are read well stay right."""
    draws: Natural = 0
    """Lesion the heads that the probe points to, and so many matched random ones: the causal rung. 200 give a steady band."""
    percent: Annotated[float, Field(gt=0, lt=100)] = 10.0
    """Share of the heads that the probe points to."""
    others: Others = ()
    pilot: Pilot = ()
    n_items: Several = 256
    """Trees set aside for lesions, pruning and cuts: none of them is probed."""
    published: bool = False
    """Score as the published code does too: its labels and prompts, features, classifier, folds and baseline, whatever is said here."""
    chat: TemplateUse = "never"
    examples: Natural = 3
    """Trees to draw in the report."""
    alpha: Alpha = 0.05
    claims: Claims = 1
    n_bootstrap: Annotated[BootstrapSamples, Sentence("comparison", method.bootstrap)] = 2000
    seed: Natural = 0
    """Seed of folds, shuffles, twins, bootstrap and draws."""
    budget_tokens: BudgetTokens = None
    budget_from: BudgetFrom = Field(default_factory=dict)
    expect: Expected = None

    needs: ClassVar[tuple[Need, ...]] = (
        Need(("others", "pilot"), ("draws=1 or more",), lambda spec: spec.draws),
        Need(("n_items",), ("draws=1 or more", "edges", "pruning"), lambda spec: spec.lesions),
        Need(("classifier.k",), ("classifier.kind=knn",), lambda spec: spec.classifier.kind == "knn"),
        Need(("classifier.c",), ("classifier.kind=logistic",), lambda spec: spec.classifier.kind == "logistic"),
        Need(
            ("classifier.distance", "classifier.standardise"),
            ("classifier.kind=knn", "classifier.kind=centroid"),
            lambda spec: spec.classifier.kind != "logistic",
        ),
    )

    @model_validator(mode="after")
    def _possible(self) -> Probe:
        pooling(self.pooling)
        return self

    @property
    def lesions(self) -> bool:
        """Whether trees must be set aside for them."""
        return bool(self.pruning or self.edges or self.draws)

    def fit_to(self, lm: Any, /) -> Probe:
        """The same probe, with as many trees as the model's size allows where no number was asked for; all that the options name, if they do."""
        if self.n is not None:
            return within_budget(self, lm)
        named = self.options.get("n")
        usual = FEW if lm.n_parameters > LARGE else MANY
        fitted = self.model_copy(update={"n": named if isinstance(named, int) and named > 1 else usual})
        return within_budget(fitted, lm)

    def data_fingerprints(self) -> dict[str, str]:
        """The content of a file of trees, and of other items: they may change under their names."""
        others = abilities(self.others, {}, None) if self.others else {}
        prints = {name: fingerprint([item.fingerprint for item in items]) for name, items in others.items()}
        if self.pilot:
            prints["pilot"] = fingerprint([tree.fingerprint for tree in self.pilot_trees(None)])
        if self.task in ("kth", "rules"):
            return prints
        prints[self.task] = fingerprint([tree.fingerprint for tree in self._trees(None)])
        if self.published:
            prints["published prompts"] = fingerprint([tree.fingerprint for tree in self.published_trees(None, 1)])
        return prints

    def first_prompt(self, lm: Any, /) -> Mapping[str, Any] | None:
        tree = self._trees(lm)[0]
        return import_module("broca.evidence.first_prompt").of_text(lm, tree.id, tree.text, chat=self.chat)

    def read(self) -> None:
        super().read()
        self._trees(None)

    def _trees(self, lm: LM | None) -> tuple[Tree, ...]:
        given = dict(self.options)
        if self.task in TREES and "n" in option_names(TREES[self.task]):
            given = {"n": (self.n or MANY) + (self.n_items if self.lesions else 0), **given}
        return trees(self.task, tokenizer=lm.tokenizer if lm else None, **given)

    def pilot_trees(self, lm: LM | None) -> tuple[Tree, ...]:
        """The trees that were looked at before: tasks or files, with the options that each takes."""
        found: list[Tree] = []
        for name in self.pilot:
            takes = option_names(reader_of(name))
            own = {key: value for key, value in self.options.items() if key in takes}
            found += trees(name, tokenizer=lm.tokenizer if lm else None, **own)
        return tuple(found)

    def published_trees(self, lm: LM | None, demos: int) -> tuple[Tree, ...]:
        """The trees of the published scores: with published labels and prompts, where the task has them.

        Args:
            lm: the model, whose numbers of one token `kth` takes.
            demos: solved questions before each prompt.
        """
        own = option_names(reader_of(self.task))
        kept = {name: value for name, value in (("paper_compat", True), ("demos", demos)) if name in own}
        few = {"n": self.n or MANY} if self.task in TREES and "n" in own else {}
        return trees(self.task, tokenizer=lm.tokenizer if lm else None, **{**few, **self.options, **kept})[: self.n]

    def split_trees(self, lm: LM) -> tuple[tuple[Tree, ...], tuple[Tree, ...]]:
        """The trees that are probed, and those set aside for lesions, of other theories; at most a third of all.

        Raises:
            StimulusError: if there are too few theories, or a file is malformed.
        """
        every = self._trees(lm)
        if not self.lesions:
            return every[: self.n], ()
        aside = min(self.n_items, len(every) // 3)
        names = [tree.cluster for tree in every]
        held = set(names[len(every) - aside :])
        shown = tuple(tree for tree, name in zip(every, names, strict=True) if name not in held)[: self.n]
        last = tuple(tree for tree, name in zip(every, names, strict=True) if name in held)
        if len(shown) < 2 or not last:
            raise StimulusError(
                f"{len(every)} trees of {len(set(names))} theories are too few to set some aside for lesions. Give more."
            )
        return shown, last

    @classmethod
    def option_types(cls, fields: Mapping[str, Any], /) -> tuple[Mapping[str, Any], ...]:
        return tuple(option_types(name) for name in (fields.get("task", "kth"), *fields.get("pilot", ())))

    def following(self, call: Call, /) -> Sequence[str]:
        if self.pruning and self.edges and self.draws:
            return ()
        asked = {
            "task": self.task,
            **call.given,
            **call.kept_options,
            "prune": True,
            "edges": True,
            "draws": self.draws or 200,
        }
        return [command("probe", call.setting.model, options=asked)]
