"""What breaks when the selected units are gone, against matched controls, and is it this ability alone?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from broca.cache.cache import Cache, Progress, no_cache, silent
from broca.evidence import agreement, features
from broca.evidence.conditions import LesionScorer
from broca.evidence.duplicates import warn_of_near_duplicate_items
from broca.evidence.holding import examine, forces, hold, rungs, trial_of
from broca.evidence.maps import Floats
from broca.evidence.model import model_summary
from broca.evidence.overlap import OtherData
from broca.evidence.selector import MAP_RUNGS, Ranking
from broca.evidence.token_effects import token_effects
from broca.evidence.trial import CITATIONS, Conduct, LesionTrial
from broca.evidence.trial_scores import TrialScores
from broca.evidence.verdict import Guard, Verdict
from broca.instruments.lesion.ledger import ledger, other_data, reuse_reason
from broca.instruments.lesion.plan import ranked_trial
from broca.instruments.lesion.result import CausalResult
from broca.instruments.lesion.spec import CausalTest
from broca.interventions.lesion import check_mask
from broca.models.lm import LM
from broca.scoring import chat_of
from broca.sites import Site
from broca.units import Choice, UnitMask, WeightSet


def run(spec: CausalTest, lm: LM, *, cache: Cache = no_cache, progress: Progress = silent) -> CausalResult:
    """Localize, lesion, score, compare.

    Raises:
        GuardError: if the model lacks the ability, or a lesion would measure its own hook.
        SelectionError: if nothing would be selected, or too few units are left for matched draws.
        StimulusError, UnknownName, SiteUnavailable: if what is asked for does not exist or is malformed.
    """
    without, data = other_data(spec)
    items = tuple(item for group in data.abilities.values() for item in group)
    bench = LesionScorer(lm, items, spec.scorer, chat_of(spec.scorer), cache, progress)
    how = Conduct(
        spec.fills,
        spec.positions,
        spec.gate,
        spec.alpha,
        spec.claims,
        spec.smallest_effect,
        n_bootstrap=spec.n_bootstrap,
        seed=spec.seed,
    )
    for each in spec.every_localizer:
        each.fits(lm)
    if isinstance(spec.selection, UnitMask):
        check_mask(lm, spec.selection)
    examined = examine(bench, data.abilities, how)
    found: list[Ranking] = [
        spec.known_ranking if spec.known_ranking and i == 0 else each.run(lm, cache=cache, progress=progress)
        for i, each in enumerate(spec.every_localizer)
    ]
    if spec.selection is None:
        trial = ranked_trial(spec, found)
    else:
        trial = trial_of(
            bench, spec.selection, how, draws=spec.enough_draws(spec.draws), match=spec.match, among=spec.among
        )
    kept = {item.id for item in data.abilities[next(iter(data.abilities))]}
    scores, passed = hold(
        bench,
        trial,
        data.abilities,
        how,
        examined=examined,
        rewordings=[item for item in spec.rewordings if item.id in kept],
    )
    effects = None
    if found:
        effects = agreement.first_order_effects(
            lm,
            data.abilities[scores.own],
            list(found[0].t),
            trial.mask.grain,
            scorer=spec.scorer,
            chat=bench.chat,
            cache=cache,
            progress=progress,
        )
    made = _result(spec, lm, found, scores, data=(without, data), passed=passed, attribution=effects)
    made = replace(made, token_effects=token_effects(bench, scores, forces(bench, scores.trial, how)))
    return _with_features(made, bench, trial.mask)


def _with_features(made: CausalResult, bench: LesionScorer, mask: Choice) -> CausalResult:
    """With what the dictionaries explain of the items, and the prompts that fire the lesioned features most."""
    sites = features.feature_sites(mask.sites) if isinstance(mask, UnitMask) else []
    if not sites or not isinstance(mask, UnitMask):
        return made
    measured = bench.feature_statistics(sites)
    labels = [item.ability for item in bench.items]
    return replace(
        made,
        guards=(*made.guards, *features.guards(measured)),
        dictionaries=features.table(bench.lm, measured),
        activations=features.strongest(bench.lm, bench.tokens, labels, mask, order=made.t, cache=bench.cache),
    )


def _result(
    spec: CausalTest,
    lm: LM,
    found: Sequence[Ranking],
    scores: TrialScores,
    *,
    data: tuple[OtherData, OtherData],
    passed: tuple[Guard, ...],
    attribution: Mapping[Site, Floats] | None,
) -> CausalResult:
    local, trial = found[0] if found else None, scores.trial
    more = [agreement.agreement(local.t, attribution, trial.mask)] if local and attribution else []
    maps: dict[str, Any] = {name: getattr(local, name, None) for name in _FROM_LOCALIZER} if local else {}
    below = local.verdict.rungs if local else spec.origin.rungs if spec.origin else ()
    causal, specific = rungs(scores, passed, more=more)
    tested = data[-1]
    reasons = [reuse_reason(spec, tested, name) for name in tested.abilities]
    verdict = Verdict.of(
        *(rung for rung in below if rung.name in MAP_RUNGS),
        causal.undecided_if(_REST if spec.among == "rest" else None).undecided_if(reasons[0]),
        specific.undecided_if(next(filter(None, reasons), None)),
    )
    return CausalResult(
        spec=spec,
        selected=trial.mask if spec.selection is None else spec.selection,
        verdict=verdict,
        guards=(*(local.guards if local else ()), *passed),
        warnings=(
            *(local.warnings if local else lm.notes),
            *trial.warnings(spec.level),
            *tested.warnings,
            *warn_of_near_duplicate_items(tested.abilities),
            *(
                f"The intact model does not answer {name} better than chance, as far as these items can tell, so {name} says nothing about specificity."
                for name in scores.unable
            ),
        ),
        claim=scores.in_words(_what(spec, trial, local, lm), verdict.sentence),
        selection=_summary(spec.selection) if spec.selection is not None else local.selection if local else {},
        model=model_summary(lm),
        dissociations=scores.dissociations(),
        attribution=attribution,
        ledger=ledger(spec, data, scores, found),
        citations=(*(local.citations if local else ()), *CITATIONS),
        **scores.tables,
        **maps,
    )


_REST = "Draws came from the other units alone (among = rest), and the p of draws holds for draws from all."
_FROM_LOCALIZER = ("layers", "t", "p", "q", "d", "contrast", "reliability", "twins")


def _what(spec: CausalTest, trial: LesionTrial[Any], local: Ranking | None, lm: LM) -> str:
    if spec.selection is not None:
        parts = f"{spec.selection.count} {spec.selection.noun}s"
        by = f" that {spec.origin.instrument} selected" if spec.origin else ""
        return f"the {parts}{by} of {lm.name}" if by else f"the given {parts} of {lm.name}"
    assert local is not None
    main, mask = trial.claim, trial.mask
    return (
        f"the {main.side} {main.dose:g} % ({mask.count} of {local.selection['n_alive']} {mask.noun}s at "
        f"{local.selection['site']}) of the {main.localizer} localizer in {lm.name}"
    )


def _summary(chosen: Choice) -> dict[str, Any]:
    """A selection that was given, in numbers."""
    if isinstance(chosen, WeightSet):
        where = f"{len(chosen.at)} of {len(chosen.addresses)} matrices"
    else:
        where = ", ".join(str(site) for site in chosen.at if chosen.at[site].any())
    total = chosen.total
    numbers = {"k": chosen.count, "n_units": total, "n_alive": total, "n_dead": 0, "n_protected": 0}
    return {**numbers, "grain": chosen.noun, "site": where}
