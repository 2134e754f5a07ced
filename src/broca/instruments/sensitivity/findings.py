"""What came of a sensitivity study: its tables, its rungs, its claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import polars as pl

from broca.errors import GuardError, SiteUnavailable, StimulusError
from broca.evidence import guards
from broca.evidence.model import model_summary
from broca.evidence.rungs import causal as causal_rung
from broca.evidence.trial import Conduct
from broca.evidence.trial_scores import TrialScores
from broca.evidence.verdict import Guard, Verdict
from broca.instruments.sensitivity import nulls as nulls_of
from broca.instruments.sensitivity import words
from broca.instruments.sensitivity.conditions import INTACT, Masked, fraction, repetition_cells, score_conditions
from broca.instruments.sensitivity.ledger import ledger
from broca.instruments.sensitivity.profile import frequencies, geometry, lines, sinks
from broca.instruments.sensitivity.result import SensitivityResult
from broca.instruments.sensitivity.trial import Trial
from broca.instruments.sensitivity.work import Work
from broca.interventions.weights import WeightMask
from broca.items import Item
from broca.scoring.sampling import Sampled
from broca.stimuli.cell_items import accuracies, is_cell
from broca.units.weights import WeightSet

PROFILED = 8
"""Texts on which attention sinks and activation norms are looked at."""

CITATIONS = (
    "Wu et al. (2025), How large language models encode theory-of-mind, npj Artificial Intelligence.",
    "Wei et al. (2024), Assessing the brittleness of safety alignment via pruning and low-rank modifications, ICML.",
    "Kunstner et al. (2019), Limitations of the empirical Fisher approximation, NeurIPS.",
    "Fisher (1935), The design of experiments.",
    "Phipson & Smyth (2010), Stat Appl Genet Mol Biol 9:39.",
    "Field & Welsh (2007), J R Stat Soc B 69:369-390.",
)


def result(work: Work) -> SensitivityResult:
    """Score, choose, mask, compare: see `Sensitivity.run`."""
    spec, lm, own = work.spec, work.lm, work.own
    every = tuple(item for group in work.scored_items.values() for item in group)
    checks = guards.probe(lm, every, spec.chat)
    passed = [guards.padding(lm), *guards.joins(lm, every, spec.scorer)]
    told = work.step_progress("scoring the intact model")
    intact = score_conditions(lm, every, [INTACT], scorer=spec.scorer, cache=work.cache, progress=told)
    can = intact.filter(pl.col("ability") == own)
    passed.append(guards.gate(can, work.scored_items[own], own, alpha=spec.alpha, stop=spec.gate == "stop"))
    passed.append(guards.shortcut(intact, work.scored_items, alpha=spec.alpha))
    mask_fraction, sweep = work.choice()
    trial = work.trial(mask_fraction)
    claim, mask = trial.claim, trial.mask.weights
    passed += [guards.restoration(lm, trial.mask, checks), guards.effect(lm, trial.mask, checks)]
    scores = _scores(work, trial, every, intact)
    perplexity, windows = work.perplexities([INTACT, claim, *trial.sweep, *trial.families[spec.nulls[0]]])
    passed.append(nulls_of.predictability_guard(perplexity, lm.model.get_input_embeddings().weight.shape[0]))
    passed.append(nulls_of.fluent(perplexity, claim.address, spec.perplexity_limit))
    families = {
        family: {key: value for key, value in group[0].address.items() if key != "seed"}
        for family, group in trial.families.items()
        if group
    }
    nulls = nulls_of.families(scores.items, families, claim.address, own)
    verdict = _climb(work, scores, nulls=nulls, passed=passed)
    return SensitivityResult(
        spec=spec,
        mask=WeightSet(mask.at, mask.addresses, {**mask.about, "edit": asdict(trial.mask.edit)}),
        windows=windows,
        perplexity=perplexity,
        sweep=sweep,
        modules=modules(work, trial.mask),
        nulls=nulls,
        verdict=verdict,
        ledger=ledger(work, mask_fraction),
        guards=tuple(passed),
        warnings=(*words.warnings(work, mask_fraction, sweep, trial), *work.other_data[-1].warnings),
        claim=scores.in_words(words.claim_text(work, mask_fraction, claim), verdict.sentence),
        selection=_selection(work, mask_fraction, mask),
        model=model_summary(lm),
        citations=CITATIONS,
        **_profile(work, claim),
        **scores.tables,
        published=_published_cells(work, mask_fraction, claim, trial.sweep),
        cells=_cells(work, scores.items),
    )


def _scores(work: Work, trial: Trial, every: Sequence[Item], intact: pl.DataFrame) -> TrialScores:
    """The mask and what it is compared with, then random masks until they have decided."""
    spec = work.spec
    how = Conduct(
        gate=spec.gate,
        alpha=spec.alpha,
        claims=spec.claims,
        smallest_effect=spec.smallest_effect,
        n_bootstrap=spec.n_bootstrap,
        seed=spec.seed,
    )

    def score(conditions: Sequence[Masked], what: str) -> pl.DataFrame:
        progress = work.step_progress(what)
        return score_conditions(work.lm, every, conditions, scorer=spec.scorer, cache=work.cache, progress=progress)

    items = pl.concat([intact, score(trial.conditions, "scoring masks")])
    scores = TrialScores(trial.whole, work.scored_items, items, how)
    scores = scores.until_decided(lambda draws, _: score(draws, "scoring random masks"))
    told = work.step_progress("scoring the second wording")

    def reword(lesions: Sequence[Masked]) -> pl.DataFrame:
        conditions = [INTACT, *lesions]
        return score_conditions(
            work.lm, work.rewordings, conditions, scorer=spec.scorer, cache=work.cache, progress=told
        )

    return scores.with_rewordings(work.rewordings, reword)


_CHOSEN = (
    "The fraction was chosen on the items that test it (choose_on = test): choose it on others (choose_on = apart)."
)


def _climb(work: Work, scores: TrialScores, *, nulls: pl.DataFrame, passed: Sequence[Guard]) -> Verdict:
    """The whole ladder; *causal* and *specific* from the trial's table."""
    mask, marked = scores.trial.mask, {guard.name: guard.text for guard in passed if guard.state == "marked"}
    causal = scores.causal()
    if nulls.height > 1:  # a single family is that of the matched draws
        causal = causal_rung.against_families(causal, nulls, work.spec.level)
    causal = causal.more(*scores.area())
    specific = scores.specific()
    data = work.other_data[-1]
    looked = [data.reason(name) for name in data.abilities]
    chosen = _CHOSEN if work.spec.choose_on == "test" else looked[0]
    for why in (
        chosen,
        next(filter(None, looked), None),
        marked.get("gate"),
        marked.get("shortcut"),
        marked.get("general texts"),
    ):
        specific = specific.undecided_if(why)
    specific = specific.failed_if(marked.get("perplexity"))
    mask_fraction = fraction(scores.trial.claim)
    return Verdict.of(
        work.selective(mask.weights),
        work.reliable(mask_fraction),
        *([work.learned_rung(mask_fraction)] if work.spec.twins else []),
        causal.undecided_if(marked.get("gate")).undecided_if(chosen),
        specific,
    )


def modules(work: Work, mask: WeightMask) -> pl.DataFrame:
    """One row a matrix: masked weights, those that the controls took out, rows and columns hit, and how large they are."""
    mask_fraction = float(mask.weights.about["mask_fraction"])
    nominal = work.chooser.task.whole.top(mask_fraction, ties=work.spec.ties)
    rows = []
    for matrix in work.matrices:
        weight = matrix.of(work.lm.model.get_parameter(matrix.parameter).detach()).float().abs()
        index = mask.weights.at.get(matrix.name)
        masked = float(weight.flatten()[index.copy()].mean()) if index is not None else None
        rows.append((matrix.name, len(nominal.at.get(matrix.name, ())), float(weight.mean()), masked))
    schema = {"matrix": pl.String, "n_task": pl.Int64, "mean_abs": pl.Float64, "mean_abs_masked": pl.Float64}
    more = pl.DataFrame(rows, schema=schema, orient="row")
    shape = lines(mask.weights).select("matrix", "lines", "rank")
    table = mask.weights.by_matrix()
    for part in (more, shape):
        table = table.join(part, on="matrix", how="left", maintain_order="left")
    return table


def _profile(work: Work, claim: Masked) -> dict[str, pl.DataFrame | None]:
    """What the mask does beside the score: its rotary frequencies, and what becomes of queries, keys and attention sinks."""
    assert claim.mask is not None
    tokens = work.lm.tokenize([text.text for text in work.spec.texts[1][:PROFILED]], truncate=work.spec.window)
    tokens = [text for text in tokens if len(text) > 2]
    told = work.step_progress("looking at what is masked")
    told(0, 3)
    found = {"frequencies": frequencies(work.lm, claim.mask.weights, tokens)}
    told(1, 3)
    found["geometry"] = geometry(work.lm, claim.mask, tokens)
    told(2, 3)
    try:
        found["sinks"] = sinks(work.lm, claim.mask, tokens)
    except (GuardError, SiteUnavailable):
        found["sinks"] = None  # this class does not show its attention
    told(3, 3)
    return found


def _selection(work: Work, mask_fraction: float, mask: WeightSet) -> dict[str, Any]:
    return {
        "k": mask.count,
        "n_units": mask.total,
        "n_alive": mask.total,
        "n_dead": 0,
        "grain": "weight",
        "site": f"{len(mask.at)} of {len(mask.addresses)} matrices",
        "mask_fraction": mask_fraction,
        "nominal": work.chooser.task.whole.nominal(mask_fraction),
        "n_scored": work.chooser.task.n,
        "n_fractions": len(work.fractions),
        "n_choice": len(work.parts[1]),
        "n_tested": len(work.own_items),
    }


def _cells(work: Work, items: pl.DataFrame) -> pl.DataFrame | None:
    """Cells by condition, where the items are of whole cells."""
    asked = [item for group in work.scored_items.values() for item in group if is_cell(item)]
    if not asked:
        return None
    try:
        return accuracies(asked, items, by=("condition", "localizer", "side", "dose", "fill", "seed"))
    except StimulusError:
        return None  # parts of cells were left out of the test: their share means nothing


def _published_cells(work: Work, mask_fraction: float, claim: Masked, sweep: Sequence[Masked]) -> pl.DataFrame | None:
    """Sampled cells of every fraction, where answers are sampled and the items are of whole cells."""
    asked = [item for group in work.scored_items.values() for item in group if is_cell(item)]
    if not asked or not isinstance(work.spec.scorer, Sampled):
        return None
    masked = {mask_fraction: claim} | {fraction(c): c for c in sweep}
    # A fraction that selects nothing is the intact model, as it was published.
    every = {each: masked.get(each, INTACT) for each in work.fractions}
    try:
        return repetition_cells(work.lm, asked, every, scorer=work.spec.scorer, cache=work.cache)
    except StimulusError:
        return None
