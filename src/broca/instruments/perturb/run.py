"""Do mistakes and rewordings cost answers; where in the model is the damage done; and what puts it right again?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl

from broca.cache.cache import Cache, Progress, no_cache, silent
from broca.errors import StimulusError
from broca.evidence.guards import joins
from broca.evidence.model import model_summary
from broca.evidence.verdict import PLACE, RUNGS, Rung, Verdict
from broca.instruments.perturb import answers as asked
from broca.instruments.perturb import summary as told
from broca.instruments.perturb.cases import CASES, FlippedPair, Left, flipped_pairs, table
from broca.instruments.perturb.comparison import Comparisons, comparisons
from broca.instruments.perturb.grid import BY_KIND, RECOVERY, Grid, Patches, grid
from broca.instruments.perturb.ledger import ledger
from broca.instruments.perturb.patterns import PATTERNS, patterns
from broca.instruments.perturb.probes import PROBES, TRANSFERS, ProbeTables, probe_sites
from broca.instruments.perturb.result import PerturbResult
from broca.instruments.perturb.selected_features import SelectedFeatures, selected_features
from broca.instruments.perturb.selection import UNITS, Choosing, Selection, select_units
from broca.instruments.perturb.spec import Perturb
from broca.instruments.perturb.stimuli import StudyTexts, Way, way_for
from broca.instruments.perturb.twins import TwinCases
from broca.models.lm import LM
from broca.page.words import count
from broca.scoring import Likelihood


def run(spec: Perturb, lm: LM, *, cache: Cache = no_cache, progress: Progress = silent) -> PerturbResult:
    """Ask, compare, patch, choose, and test the choice.

    Raises:
        StimulusError: if a text does not fit the model, or nothing can be perturbed.
        UnknownName: if there are no such items or kinds.
        SiteUnavailable: if features are to be chosen, and the model is held with no dictionary.
    """
    if spec.cases and spec.select == "features":
        lm.anatomy.sites("feature")
    progress("making texts and controls", 0, 1)
    texts = spec.texts(lm)
    progress("making texts and controls", 1, 1)
    way: Way = way_for(texts) if spec.answers == "auto" else spec.answers
    if way == "choices" and not texts.items:
        raise StimulusError(
            "Pairs from a file have no choices. Read answers from what is generated: answers='generated'."
        )
    answers = asked.answers(
        lm, texts, way, chat=spec.chat, max_new_tokens=spec.max_new_tokens, cache=cache, progress=progress
    )
    boot = {"n": spec.n_bootstrap, "seed": spec.seed}
    found = asked.by_kind(answers, texts.kinds, **boot)
    inside = comparisons(lm, texts, most=spec.compare, chat=spec.chat, cache=cache, progress=progress)
    told_apart = _probe(spec, lm, texts, cache, progress)
    turned, left = flipped_pairs(lm, texts, answers, way=way, chat=spec.chat, most=spec.cases, seed=spec.seed)
    cases = tuple(one for one in turned if not spec.pilot_data.holds_text(one.pair.clean, one.group))
    dropped, cases = len(turned) - len(cases), cases or turned
    patched = _patch(spec, Patches(lm, cases, cache, progress), texts, way, boot) if len(cases) > 1 else _nothing(left)
    return _result(spec, lm, _Seen(texts, way, answers, found, inside, told_apart, cases, left, dropped), patched)


def _probe(spec: Perturb, lm: LM, texts: StudyTexts, cache: Cache, progress: Progress) -> ProbeTables:
    if not spec.probes:
        return ProbeTables(pl.DataFrame(schema=PROBES), pl.DataFrame(schema=TRANSFERS))
    some = [pair for kind in texts.kinds for pair in [p for p in texts.pairs if p.kind == kind][: spec.probes]]
    return probe_sites(lm, some, chat=spec.chat, n_bootstrap=spec.n_bootstrap, cache=cache, progress=progress)


@dataclass(frozen=True, slots=True, eq=False)
class _After:
    """What patching gave."""

    grid: Grid | None
    patterns: pl.DataFrame
    selected: Selection
    warnings: tuple[str, ...]
    features: SelectedFeatures = field(default_factory=SelectedFeatures)


def _patch(spec: Perturb, patches: Patches, texts: StudyTexts, way: Way, boot: Mapping[str, int]) -> _After:
    made = grid(patches, threshold=spec.threshold, boot=boot)
    table, refused = patterns(patches, made, spec.patterns, boot)
    how = Choosing(
        spec.select,
        spec.rank,
        spec.percent,
        spec.smallest_effect,
        spec.enough_draws(spec.draws),
        spec.enough_twins(spec.twins or 0),
        TwinCases(texts, way, spec.chat, spec.max_new_tokens, spec.cases, spec.threshold, spec.seed),
        spec.level,
        boot,
    )
    selected = select_units(patches, made, how)
    return _After(made, table, selected, (refused,) if refused else (), selected_features(patches, selected))


def _nothing(left: Left) -> _After:
    why = f"{left.turned} answers turned, {left.used} of them can be patched: too few. Give more texts, or kinds that hurt."
    rungs = tuple(Rung(name, "not tested", why, {}) for name in RUNGS)
    return _After(None, pl.DataFrame(schema=PATTERNS), Selection(None, pl.DataFrame(schema=UNITS), rungs), ())


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What was shown and said."""

    texts: StudyTexts
    way: Way
    answers: pl.DataFrame
    kinds: pl.DataFrame
    inside: Comparisons
    probed: ProbeTables
    cases: tuple[FlippedPair, ...]
    left: Left
    dropped: int
    """Cases that share a group or a text with what was looked at before; all of them where no other is left."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """How many were left out."""
        if not self.dropped or self.why_undecided:
            return ()
        return (
            f"{count(self.dropped, 'case')} left out: they, or others of their groups, helped to choose what is tested.",
        )

    @property
    def why_undecided(self) -> str | None:
        """Why nothing is decided of the place: every case was looked at before."""
        return _LOOKED if self.dropped and self.dropped == len(self.cases) else None


_LOOKED = "Every case helped to choose what is tested on it: give texts that chose nothing."


def _patching(grid: Grid | None) -> dict[str, Any]:
    """Of a grid of patches: cases that counted, the share of whole passes' work that was spared, how well estimates rank it."""
    if grid is None:
        return {}
    return {
        "counted": int(grid.kept.sum()),
        "spared": float(1 - grid.work[0] / grid.work[1]),
        "agreement": grid.agreement,
    }


def _result(spec: Perturb, lm: LM, seen: _Seen, after: _After) -> PerturbResult:
    texts, answers, kinds, cases, left = seen.texts, seen.answers, seen.kinds, seen.cases, seen.left
    recovery = pl.DataFrame(schema=RECOVERY) if after.grid is None else after.grid.table
    guards = (
        told.gate(answers, texts, seen.way),
        *(joins(lm, tuple(texts.items.values()), Likelihood(chat=spec.chat)) if seen.way == "choices" else ()),
        *([seen.inside.guard] if seen.inside.guard else ()),
        *(after.grid.guards if after.grid else ()),
        *after.features.guards,
    )
    lost = np.array([]) if after.grid is None else after.grid.lost
    refused = next((guard.text for guard in guards if (guard.name, guard.state) == ("gate", "marked")), None)
    verdict = Verdict.of(
        *(
            rung.undecided_if(refused).undecided_if(seen.why_undecided) if rung.name in PLACE else rung
            for rung in after.selected.rungs
        )
    )
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
        ledger=ledger(spec, texts.kinds, after.selected, dropped=seen.dropped, apart=seen.why_undecided is None),
        guards=guards,
        warnings=(*told.warnings(kinds, left, texts), *seen.inside.warnings, *seen.warnings, *after.warnings, *lm.notes),
        claim=told.claim(lm.name, kinds, recovery, verdict.sentence if after.grid else ""),
        estimate=told.estimate(recovery),
        task={"items": spec.items, "texts": len(texts.clean), "pairs": len(texts.pairs), "controls": len(texts.controls),
              "wordings": len({pair.cluster for pair in texts.pairs}), "worst_case": asked.worst(answers, texts.kinds), **asdict(left), **_patching(after.grid)},
        model=model_summary(lm),
        citations=told.CITATIONS,
        selected=after.selected.mask,
        dictionaries=after.features.dictionaries,
        activations=after.features.activations,
    )  # fmt: skip
