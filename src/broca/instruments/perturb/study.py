"""Do mistakes and rewordings cost answers; where in the model is the damage done; and what puts it right again?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from broca.cache.memo import Memo, Progress, forget, silent
from broca.errors import StimulusError
from broca.evidence.guards import joins
from broca.evidence.model import model_summary
from broca.evidence.verdict import RUNGS, Guard, Rung, Verdict, fragment
from broca.instruments.perturb import answers as asked
from broca.instruments.perturb import summary as told
from broca.instruments.perturb.answers import Asking, Way
from broca.instruments.perturb.cases import CASES, Left, Turned, table, turned
from broca.instruments.perturb.comparison import Comparisons, comparisons
from broca.instruments.perturb.grid import BY_KIND, RECOVERY, Grid, Patches, grid
from broca.instruments.perturb.patterns import PATTERNS, By, patterns
from broca.instruments.perturb.probes import PROBES, TRANSFERS, Probed, probed
from broca.instruments.perturb.selection import UNITS, Choosing, Selected, What, selected
from broca.instruments.perturb.stimuli import Shown, shown
from broca.models.lm import LM
from broca.models.tokens import Chat
from broca.scoring import Likelihood
from broca.scoring.writer import writer
from broca.specs.faults import listed
from broca.specs.spec import Level, Natural, Need, Positive, Spec
from broca.stimuli.benchmarks import BENCHMARKS
from broca.stimuli.perturb import ALL, KINDS, REWRITTEN, Choice, Severity, is_pairs
from broca.stimuli.perturb.draws import check_kinds
from broca.units import UnitMask

__all__ = ["Perturb", "PerturbResult"]


class Perturb(Spec):
    """Perturb texts, compare the answers by item, and patch the runs that turned."""

    kind: Literal["perturb"] = "perturb"
    items: str = "sums"
    """Items by name, or a file of items or of pairs; typo files and paraphrase sets are known by their fields."""
    options: Mapping[str, str | int | float | bool] = {}
    """Options of the generator or reader, such as n, seed or path."""
    n: Positive = 200
    """Clean texts at most."""
    kinds: tuple[str, ...] = ()
    """Kinds of perturbation; all, or all that the file has, where none is named."""
    words: Positive = 1
    """How many words of a text are edited."""
    among: tuple[str, ...] = ()
    """Edit these words only."""
    min_letters: Positive = 3
    """Shorter words are left alone."""
    rewriter: str | None = None
    """An instruct model that writes the styles, instead of templates: directory, hub id, or its name on the server."""
    rewriter_server: str | None = None
    """Address of an OpenAI-compatible server on which the rewriter runs."""
    controls: bool = True
    """Beside each perturbed text ask a valid one with the same change in the number of tokens, where there is one."""
    answers: Literal["auto", "choices", "generated"] = "auto"
    """By the likelihood of an item's choices, or read from what is generated; auto takes choices where there are some."""
    max_new_tokens: Positive = 16
    """Of what is generated."""
    chat: Chat = "auto"
    """Whether to use the model's chat template."""
    compare: Natural = 64
    """Pairs of each kind whose runs are compared inside, at most; 0 compares none."""
    probes: Natural = 0
    """Pairs of each kind on which probes learn to tell clean from perturbed, beside baselines that know no model; 0 for none."""
    cases: Natural = 128
    """Texts whose answer turned that are patched, at most; 0 patches none."""
    threshold: Annotated[float, Field(ge=0)] = 0.5
    """What a case must have lost, in logits, to count in a share of recovery."""
    patterns: By = "heads"
    """Patch the attention patterns of whole layers, of heads too, or none."""
    select: What = "heads"
    """Choose heads or neurons that restore answers, and let the choice climb the ladder."""
    rank: Literal["patched", "estimated"] = "patched"
    """Rank heads by patching each, or by attribution patching: cheaper in large models."""
    percent: Annotated[float, Field(gt=0, lt=100)] = 12.5
    """Share of the heads or neurons to choose."""
    draws: Natural = 100
    """Random choices of the same size and layers."""
    twins: Natural = 5
    """Untrained networks of the same architecture."""
    alpha: Level = 0.05
    n_bootstrap: Positive = 2000
    examples: Natural = 6
    """Texts to show in the report."""
    seed: Natural = 0
    """Seed of edits, controls, cases, bootstrap, draws and twins."""

    needs: ClassVar[tuple[Need, ...]] = (
        Need(("rewriter_server",), ("rewriter",), lambda spec: spec.rewriter is not None, strict=True),
        Need(("max_new_tokens",), ("answers=generated",), lambda spec: spec.answers != "choices"),
        Need(
            ("threshold", "patterns", "select", "rank", "percent", "draws", "twins"),
            ("cases=1 or more",),
            lambda spec: spec.cases,
        ),
        Need(("rank",), ("select=heads",), lambda spec: spec.select == "heads", "neurons are always estimated"),
    )

    def data_fingerprints(self) -> dict[str, str]:
        """The content of a file of items or pairs, which may change under its name."""
        return {} if self.items in BENCHMARKS else {self.items: self.texts(None).fingerprint}

    def read(self) -> None:
        idle = self._unheard()
        if idle:
            raise StimulusError(idle)
        texts = self.texts(None)
        if self.max_new_tokens != 16 and self.answers == "auto" and asked.way_for(texts) == "choices":
            raise StimulusError(
                f"max_new_tokens is {self.max_new_tokens}, and the items of {self.items!r} have choices, so nothing is generated. "
                "Leave it out, or read answers from what is generated: answers = 'generated'."
            )

    def _unheard(self) -> str:
        """Which fields about words and styles these items leave nothing to do, in a sentence; nothing where all have."""
        usual = type(self).model_fields
        given = [
            name for name in ("words", "among", "min_letters", "rewriter") if getattr(self, name) != usual[name].default
        ]
        what = "does" if len(given) == 1 else "do"
        if given and self.items not in BENCHMARKS and is_pairs(self.items):
            return f"{listed(given)} {what} nothing here: {self.items} has its perturbed texts already. Leave out {listed(given)}."
        unwritten = [kind for kind in self.kinds if kind in REWRITTEN and kind not in ALL]
        if unwritten and not self.rewriter:
            return f"{listed(unwritten)} is written by a model: name an instruct model with rewriter."
        if self.rewriter and self.kinds and not set(self.kinds) & set(REWRITTEN):
            return f"rewriter does nothing here: it writes {', '.join(REWRITTEN)}, and kinds names none of them. Leave it out."
        edited = [name for name in given if name != "rewriter"]
        if edited and self.kinds and not set(self.kinds) & set(KINDS):
            return (
                f"{listed(edited)} {what} nothing here: {listed(self.kinds)} edit no words. Leave {listed(edited)} out."
            )
        return ""

    def texts(self, lm: LM | None) -> Shown:
        """What is shown; controls need a model, whose tokens they count.

        Raises:
            StimulusError: if the file is malformed, or nothing can be perturbed.
            UnknownName: if there are no such items or kinds.
        """
        check_kinds([kind for kind in self.kinds if kind not in REWRITTEN])
        kinds = self.kinds
        if lm is None and self.rewriter and kinds:  # what is not written yet cannot be shown; the clean texts can
            kinds = tuple(kind for kind in kinds if kind not in REWRITTEN) or ALL
        count = None if lm is None or not self.controls else (lambda text: len(lm.tokenize([text], chat="never")[0]))
        write = None if lm is None or self.rewriter is None else writer(self.rewriter, server=self.rewriter_server)
        return shown(
            self.items, self.options, write=write, kinds=kinds, severity=Severity(words=self.words),
            choice=Choice(min_letters=self.min_letters, among=frozenset(self.among)), n=self.n, seed=self.seed, n_tokens=count,
        )  # fmt: skip

    def run(self, lm: LM, *, memo: Memo = forget, progress: Progress = silent) -> PerturbResult:
        """Ask, compare, patch, choose, and test the choice.

        Raises:
            StimulusError: if a text does not fit the model, or nothing can be perturbed.
            UnknownName: if there are no such items or kinds.
        """
        texts = self.texts(lm)
        way: Way = asked.way_for(texts) if self.answers == "auto" else self.answers
        if way == "choices" and not texts.items:
            raise StimulusError(
                "Pairs from a file have no choices. Read answers from what is generated: answers='generated'."
            )
        answers = Asking(lm, way, self.chat, self.max_new_tokens, memo, progress).answers(texts)
        boot = {"n": self.n_bootstrap, "seed": self.seed}
        found = asked.by_kind(answers, texts.kinds, **boot)
        inside = comparisons(lm, texts, most=self.compare, chat=self.chat, memo=memo, progress=progress)
        told_apart = _probed(self, lm, texts, memo, progress)
        cases, left = turned(lm, texts, answers, way=way, chat=self.chat, most=self.cases, seed=self.seed)
        patched = _patched(self, Patches(lm, cases, memo, progress), boot) if len(cases) > 1 else _nothing(left)
        return _result(self, lm, _Seen(texts, way, answers, found, inside, told_apart, cases, left), patched)


def _probed(spec: Perturb, lm: LM, texts: Shown, memo: Memo, progress: Progress) -> Probed:
    if not spec.probes:
        return Probed(pl.DataFrame(schema=PROBES), pl.DataFrame(schema=TRANSFERS))
    some = [pair for kind in texts.kinds for pair in [p for p in texts.pairs if p.kind == kind][: spec.probes]]
    return probed(lm, some, chat=spec.chat, n_bootstrap=spec.n_bootstrap, memo=memo, progress=progress)


@dataclass(frozen=True, slots=True, eq=False)
class _After:
    """What patching gave."""

    grid: Grid | None
    patterns: pl.DataFrame
    selected: Selected
    warnings: tuple[str, ...]


def _patched(spec: Perturb, patches: Patches, boot: Mapping[str, int]) -> _After:
    made = grid(patches, threshold=spec.threshold, boot=boot)
    table, refused = patterns(patches, made, spec.patterns, boot)
    how = Choosing(spec.select, spec.rank, spec.percent, spec.draws, spec.twins, spec.alpha, boot)
    return _After(made, table, selected(patches, made, how), (refused,) if refused else ())


def _nothing(left: Left) -> _After:
    why = f"{left.turned} answers turned, {left.used} of them can be patched: too few. Give more texts, or kinds that hurt."
    rungs = tuple(Rung(name, "not tested", why, {}) for name in RUNGS)
    return _After(None, pl.DataFrame(schema=PATTERNS), Selected(None, pl.DataFrame(schema=UNITS), rungs), ())


@dataclass(frozen=True, eq=False, repr=False)
class PerturbResult:
    """What perturbations did, and what patches undid. Tables are empty where nothing was patched."""

    spec: Perturb
    kinds: pl.DataFrame
    """One row a kind: accuracy clean and perturbed by item, flips, drop rate, controls."""
    answers: pl.DataFrame
    """One row a text."""
    made: pl.DataFrame
    """One row a kind: how many texts were made, refused or impossible, and edit distances."""
    rewritten: pl.DataFrame
    """One row a text that the rewriter was asked for: who wrote, what came back, and whether it was kept."""
    compared_points: pl.DataFrame
    """One row a kind, site and class of tokens: how far the runs are apart there."""
    compared_heads: pl.DataFrame
    """One row a kind, query, layer and head: divergence of patterns, entropies, attention to each part of the text."""
    compared_logits: pl.DataFrame
    """One row a kind and class: divergence of what comes next, agreement of the likeliest tokens."""
    probes: pl.DataFrame
    """One row a kind, site, point and split: how well clean and perturbed are told apart, beside baselines that know no model."""
    transfers: pl.DataFrame
    """One row a site, point, kind that is learned and kind that is tested."""
    cases: pl.DataFrame
    """The texts that were patched."""
    recovery: pl.DataFrame
    """One row a patch of a layer and class of tokens."""
    recovery_kinds: pl.DataFrame
    """One row a kind of perturbation, layer and place of the residual stream: kinds are never pooled here."""
    units: pl.DataFrame
    """One row a head or neuron."""
    patterns: pl.DataFrame
    """One row a layer or head whose attention pattern was patched."""
    examples: pl.DataFrame
    """Texts to show: what was broken most, with tokens and edits."""
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

    def __repr__(self) -> str:
        return f"PerturbResult({self.claim})"

    def _repr_html_(self) -> str:
        return fragment(self.claim, [asdict(rung) for rung in self.verdict.rungs], self.verdict.sentence)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What was shown and said."""

    texts: Shown
    way: Way
    answers: pl.DataFrame
    kinds: pl.DataFrame
    inside: Comparisons
    probed: Probed
    cases: tuple[Turned, ...]
    left: Left


def _result(spec: Perturb, lm: LM, seen: _Seen, after: _After) -> PerturbResult:
    texts, answers, kinds, cases, left = seen.texts, seen.answers, seen.kinds, seen.cases, seen.left
    verdict = Verdict.of(*after.selected.rungs)
    recovery = pl.DataFrame(schema=RECOVERY) if after.grid is None else after.grid.table
    guards = (
        told.gate(answers, texts, seen.way),
        *(joins(lm, tuple(texts.items.values()), Likelihood(chat=spec.chat)) if seen.way == "choices" else ()),
        *([seen.inside.guard] if seen.inside.guard else ()),
        *(after.grid.guards if after.grid else ()),
    )
    lost = np.array([]) if after.grid is None else after.grid.lost
    return PerturbResult(
        spec=spec,
        kinds=kinds,
        answers=answers,
        made=texts.report,
        rewritten=texts.records,
        probes=seen.probed.scores,
        transfers=seen.probed.transfers,
        compared_points=seen.inside.points,
        compared_heads=seen.inside.heads,
        compared_logits=seen.inside.logits,
        cases=table(cases) if cases else pl.DataFrame(schema=CASES),
        recovery=recovery,
        recovery_kinds=pl.DataFrame(schema=BY_KIND) if after.grid is None else after.grid.kinds,
        units=after.selected.table,
        patterns=after.patterns,
        examples=told.examples(lm, cases, lost, spec.examples),
        verdict=verdict,
        guards=guards,
        warnings=(*told.warnings(kinds, left, texts), *seen.inside.warnings, *after.warnings, *lm.notes),
        claim=told.claim(lm.name, kinds, recovery, verdict.sentence if after.grid else ""),
        estimate=told.estimate(recovery),
        method=told.method(spec.items, texts, after.grid, left),
        task={"items": spec.items, "texts": len(texts.clean), "pairs": len(texts.pairs), "controls": len(texts.controls),
              "wordings": len({pair.cluster for pair in texts.pairs}), "worst_case": asked.worst(answers, texts.kinds), **asdict(left)},
        model=model_summary(lm),
        citations=told.CITATIONS,
        selected=after.selected.mask,
    )  # fmt: skip
