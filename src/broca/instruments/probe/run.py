"""Can the reasoning tree be read from attention: which statements are useful, and in which step (Hou et al., 2023)?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from broca.cache.cache import Cache, Progress, no_cache, silent
from broca.evidence.duplicates import warn_of_near_duplicates
from broca.evidence.guards import joins
from broca.evidence.ledger import Ledger
from broca.evidence.model import model_summary
from broca.evidence.token_cache import TokenCachedLikelihood
from broca.evidence.trial import CITATIONS
from broca.evidence.verdict import Verdict
from broca.instruments.probe import findings as probe_findings
from broca.instruments.probe import head_maps, robustness, steps
from broca.instruments.probe import heads as probe_heads
from broca.instruments.probe import published_probe as probe_published
from broca.instruments.probe.ledger import ledger, other_data
from broca.instruments.probe.result import ProbeResult
from broca.instruments.probe.scores import TargetScore
from broca.instruments.probe.spec import Probe
from broca.instruments.probe.statements import Statements
from broca.items import Tree
from broca.models.lm import LM


def run(spec: Probe, lm: LM, *, cache: Cache = no_cache, progress: Progress = silent) -> ProbeResult:
    """Look at the attention, classify, compare, and lesion where asked to.

    Raises:
        StimulusError: if a tree does not fit the model, or there are too few.
        GuardError: if attention cannot be read from this model, or a lesion would measure its own hook.
        UnknownName: if there is no such task.
    """
    shown, held = spec.split_trees(lm)
    work = steps.Work(spec, lm, cache, progress)
    statements = Statements.of(shown)
    # before all else: its prompts are the longest, and may not fit the model
    published, missing = probe_published.published_scores(work) if spec.published else ({}, ())
    seen = work.read_attention(statements)
    answers = robustness.correct(lm, shown, chat=spec.chat, cache=cache, progress=progress)
    found = work.score_targets(seen)
    maps = work.map_scores(found, seen)
    data = other_data(spec, held, lm) if spec.draws else None
    after = work.lesion(held, seen, maps.get("head_scores"), data[-1] if data else None)
    robust = work.robust(found, statements, answers)
    tables = {**maps, **after.tables, **robust, "scores": probe_findings.score_table(found, published)}
    made = ledger(spec, shown, held, seen.layers, data)
    return _result(work, seen, found, answers, tables, after=after, made=made, missing=missing)


def _alike(trees: Sequence[Tree]) -> tuple[str, ...]:
    return warn_of_near_duplicates("texts", [tree.text for tree in trees], [tree.cluster for tree in trees])


def _result(
    work: steps.Work,
    seen: steps.Seen,
    found: Sequence[TargetScore],
    answers: pl.DataFrame,
    tables: Mapping[str, pl.DataFrame],
    *,
    after: probe_heads.After,
    made: Ledger,
    missing: tuple[str, ...],
) -> ProbeResult:
    spec, lm, statements, kept = work.spec, work.lm, seen.statements, seen.kept
    reliable = head_maps.halves_agree(kept, statements, seed=spec.seed)
    verdict = Verdict.of(*probe_findings.rungs(found, reliable, alpha=spec.level), *after.rungs)
    return ProbeResult(
        spec=spec,
        controls=pl.DataFrame([row for each in found for row in each.controls], schema=probe_findings.CONTROLS),
        probe_baselines=pl.DataFrame(
            [row for each in found for row in each.baselines], schema=probe_findings.BASELINES
        ),
        predictions=probe_findings.prediction_table(found, statements),
        attention=head_maps.attention_table(kept, statements, seen.layers),
        heads=probe_heads.head_table(kept, statements, seen.layers),
        drawn=probe_findings.plot_rows(spec.examples, found, statements, answers, kept=kept, layers=seen.layers),
        answers=answers,
        selected=after.mask,
        verdict=verdict,
        ledger=made,
        guards=(
            *probe_findings.guards_of(statements, answers, kept),
            *after.guards,
            *joins(lm, [tree.item for tree in statements.trees], TokenCachedLikelihood(chat=spec.chat)),
        ),
        warnings=(*probe_findings.warnings(found), *missing, *after.warnings, *_alike(statements.trees), *lm.notes),
        claim=probe_findings.claim(found, lm.name, spec.task, verdict.sentence),
        estimate=probe_findings.estimate(found),
        task=probe_findings.task_summary(spec.task, statements),
        model=model_summary(lm),
        citations=probe_findings.CITATIONS + (CITATIONS if after.rungs else ()),
        **tables,  # type: ignore[arg-type]
    )
