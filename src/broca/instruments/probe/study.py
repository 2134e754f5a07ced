"""Can the reasoning tree be read from attention: which statements are useful, and in which step (Hou et al., 2023)?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal

import polars as pl
from pydantic import Field, model_validator

from broca.cache.memo import Memo, Progress, forget, silent
from broca.capture.features import Pooling, pooling
from broca.errors import StimulusError
from broca.evidence.abilities import abilities
from broca.evidence.guards import joins
from broca.evidence.model import model_summary
from broca.evidence.prepared import Prepared
from broca.evidence.verdict import Guard, Verdict, fragment
from broca.instruments.probe import findings as probe_findings
from broca.instruments.probe import head_maps, robustness, steps
from broca.instruments.probe import heads as probe_heads
from broca.instruments.probe import published as probe_published
from broca.instruments.probe.pruning import Pruning
from broca.instruments.probe.scores import Scored
from broca.instruments.probe.statements import Statements
from broca.items import Tree, fingerprint
from broca.models.lm import LM
from broca.models.tokens import Chat
from broca.specs.spec import Level, Natural, Need, Positive, Spec
from broca.stats.probing import Classifier
from broca.stimuli.corrupt import How as Corruption
from broca.stimuli.options import accepted
from broca.stimuli.trees import TREES, reader_of, trees
from broca.units import UnitMask

Several = Annotated[int, Field(ge=2)]


class Probe(Spec):
    """Read reasoning trees from attention, and say what the reading is worth."""

    kind: Literal["probe"] = "probe"
    task: str = "kth"
    """Trees: kth, rules, proofwriter, arc, entailment, or a file of trees."""
    options: Mapping[str, str | int | float | bool] = {}
    """Options of the generator or reader, such as k, m, depth, path, seed or shuffled."""
    n: Several = 1024
    """Trees to probe at most."""
    pooling: str | Pooling = "gpt2-paper"
    """How attention becomes features: heads, gpt2-paper, llama-code, llama-paper, or the steps themselves."""
    classifier: Classifier = Classifier()
    """What reads the features: k nearest neighbours, logistic regression or nearest centroid."""
    layers: Literal["all", "nested"] = "all"
    """Features of all layers, or of those that each fold chooses on the rows that train."""
    folds: Several = 5
    """Folds; a theory is never torn apart."""
    twins: Natural = 5
    """Random initialisations of the same architecture, seen through the same pipeline: what a score of 0 means."""
    permutations: Natural = 200
    """Shuffle the labels within each text this often."""
    maps: bool = True
    """Score each layer, each prefix of layers, and each head by itself."""
    pruning: Pruning | None = None
    """Take heads away in several orders, and see what the answers lose."""
    edges: bool = False
    """Hide a useful, or a matched useless, statement from the question, and see what the answers lose."""
    corruptions: tuple[Corruption, ...] = ()
    """Corrupt the trees, and see whether those that are read well stay right."""
    draws: Natural = 0
    """Lesion the heads that the probe points to, and so many matched random ones: the causal rung. 200 give a steady band."""
    percent: Annotated[float, Field(gt=0, lt=100)] = 10.0
    """Share of the heads that the probe points to."""
    others: tuple[str, ...] = ()
    """Other abilities, which a specific lesion of these heads leaves alone."""
    n_items: Several = 256
    """Trees set aside for lesions, pruning and cuts: none of them is probed."""
    published: bool = False
    """Score as the published code does too: its labels and prompts, features, classifier, folds and baseline, whatever is said here."""
    chat: Chat = "never"
    """Whether to use the model's chat template."""
    examples: Natural = 3
    """Trees to draw in the report."""
    alpha: Level = 0.05
    n_bootstrap: Positive = 2000
    seed: Natural = 0
    """Seed of folds, shuffles, twins, bootstrap and draws."""

    needs: ClassVar[tuple[Need, ...]] = (
        Need(("others",), ("draws=1 or more",), lambda spec: spec.draws),
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

    def data_fingerprints(self) -> dict[str, str]:
        """The content of a file of trees, and of other items: they may change under their names."""
        others = abilities(self.others, {}, None) if self.others else {}
        prints = {name: fingerprint([item.fingerprint for item in items]) for name, items in others.items()}
        if self.task in ("kth", "rules"):
            return prints
        prints[self.task] = fingerprint([tree.fingerprint for tree in self._trees(None)])
        if self.published:
            prints["published prompts"] = fingerprint([tree.fingerprint for tree in self.published_trees(None, 1)])
        return prints

    def read(self) -> None:
        super().read()
        self._trees(None)

    def _trees(self, lm: LM | None) -> tuple[Tree, ...]:
        given = dict(self.options)
        if self.task in TREES and "n" in accepted(TREES[self.task]):
            given = {"n": self.n + (self.n_items if self.lesions else 0), **given}
        return trees(self.task, tokenizer=lm.tokenizer if lm else None, **given)

    def published_trees(self, lm: LM | None, demos: int) -> tuple[Tree, ...]:
        """The trees of the published scores: with published labels and prompts, where the task has them.

        Args:
            lm: the model, whose numbers of one token `kth` takes.
            demos: solved questions before each prompt.
        """
        own = accepted(reader_of(self.task))
        kept = {name: value for name, value in (("paper_compat", True), ("demos", demos)) if name in own}
        few = {"n": self.n} if self.task in TREES and "n" in own else {}
        return trees(self.task, tokenizer=lm.tokenizer if lm else None, **{**few, **self.options, **kept})[: self.n]

    def divided(self, lm: LM) -> tuple[tuple[Tree, ...], tuple[Tree, ...]]:
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

    def run(self, lm: LM, *, memo: Memo = forget, progress: Progress = silent) -> ProbeResult:
        """Look at the attention, classify, compare, and lesion where asked to.

        Raises:
            StimulusError: if a tree does not fit the model, or there are too few.
            GuardError: if attention cannot be read from this model, or a lesion would measure its own hook.
            UnknownName: if there is no such task.
        """
        shown, held = self.divided(lm)
        work = steps.Work(self, lm, memo, progress)
        statements = Statements.of(shown)
        # before all else: its prompts are the longest, and may not fit the model
        published, missing = probe_published.published_scores(work) if self.published else ({}, ())
        seen = work.looked(statements)
        answers = robustness.correct(lm, shown, chat=self.chat, memo=memo)
        found = work.scored(seen)
        maps = work.mapped(found, seen)
        after = work.lesioned(held, seen, maps.get("head_scores"))
        robust = work.robust(found, statements, answers)
        tables = {**maps, **after.tables, **robust, "scores": probe_findings.score_table(found, published)}
        return _result(work, seen, found, answers, tables, after=after, missing=missing)


@dataclass(frozen=True, eq=False, repr=False)
class ProbeResult:
    """What a probe found. Tables that were not asked for are None."""

    spec: Probe
    scores: pl.DataFrame
    """One row a target ("useful", "step"): macro-F1, the probing score, their intervals, p, margin over the control task."""
    controls: pl.DataFrame
    probe_baselines: pl.DataFrame
    """What position, length and surface tell the same classifier, and what attention gains over them."""
    predictions: pl.DataFrame
    """Out-of-fold: one row a statement and target."""
    attention: pl.DataFrame
    """Mean attention by layer and place, size rank or step."""
    heads: pl.DataFrame
    """One row a head: entropy of its mean attention by place and, for numbers, by size rank (1 is even); how much more attention useful
    statements get, in standard deviations; its weight in a logistic probe of all heads."""
    drawn: pl.DataFrame
    """The statements of a few trees, with their attention, for pictures."""
    answers: pl.DataFrame
    links: pl.DataFrame
    verdict: Verdict
    guards: tuple[Guard, ...]
    warnings: tuple[str, ...]
    claim: str
    estimate: Mapping[str, Any] | None
    method: str
    task: Mapping[str, Any]
    model: Mapping[str, Any]
    citations: tuple[str, ...]
    selected: UnitMask | None = None
    """The heads that the probe points to; None where no score is defined."""
    layer_scores: pl.DataFrame | None = None
    head_scores: pl.DataFrame | None = None
    pruning: pl.DataFrame | None = None
    areas: pl.DataFrame | None = None
    edges: pl.DataFrame | None = None
    corruptions: pl.DataFrame | None = None
    corrupted: pl.DataFrame | None = None

    def __repr__(self) -> str:
        return f"ProbeResult({self.claim})"

    def _repr_html_(self) -> str:
        return fragment(self.claim, [asdict(rung) for rung in self.verdict.rungs], self.verdict.sentence)


def _result(
    work: steps.Work,
    seen: steps.Seen,
    found: Sequence[Scored],
    answers: pl.DataFrame,
    tables: Mapping[str, pl.DataFrame],
    *,
    after: probe_heads.After,
    missing: tuple[str, ...],
) -> ProbeResult:
    spec, lm, statements, kept = work.spec, work.lm, seen.statements, seen.kept
    reliable = head_maps.halves_agree(kept, statements, seed=spec.seed)
    causal = () if after.tested is None else after.tested.verdict.rungs
    verdict = Verdict.of(
        *probe_findings.rungs(found, reliable, alpha=spec.alpha),
        *(r for r in causal if r.name in ("causal", "specific")),
    )
    return ProbeResult(
        spec=spec,
        controls=pl.DataFrame([row for each in found for row in each.controls], schema=probe_findings.CONTROLS),
        probe_baselines=pl.DataFrame(
            [row for each in found for row in each.baselines], schema=probe_findings.BASELINES
        ),
        predictions=probe_findings.prediction_table(found, statements),
        attention=head_maps.attention_table(kept, statements, seen.layers),
        heads=probe_heads.head_table(kept, statements, seen.layers),
        drawn=probe_findings.drawn(spec.examples, found, statements, answers, kept=kept, layers=seen.layers),
        answers=answers,
        selected=after.mask,
        verdict=verdict,
        guards=(
            *probe_findings.guards_of(statements, answers, kept),
            *after.guards,
            *joins(lm, [tree.item for tree in statements.trees], Prepared(chat=spec.chat)),
        ),
        warnings=(*probe_findings.warnings(spec.twins, found), *missing, *after.warnings, *lm.notes),
        claim=probe_findings.claim(found, lm.name, spec.task, verdict.sentence),
        estimate=probe_findings.estimate(found),
        method=probe_findings.method(pooling(spec.pooling), spec.classifier, spec.folds, spec.twins, spec.permutations),
        task=probe_findings.described(spec.task, statements),
        model=model_summary(lm),
        citations=probe_findings.CITATIONS + (() if after.tested is None else after.tested.citations),
        **tables,  # type: ignore[arg-type]
    )
