"""What breaks when the selected units are gone, against matched controls, and is it this ability alone?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from broca.cache.cache import Cache, Progress, no_cache, silent
from broca.evidence import agreement, effects, guards
from broca.evidence.abilities import prompts
from broca.evidence.conditions import INTACT, LesionScorer
from broca.evidence.maps import Floats
from broca.evidence.model import model_summary
from broca.evidence.rungs import causal as causal_rung
from broca.evidence.rungs import specific as specificity
from broca.evidence.verdict import Guard, Verdict
from broca.instruments.lesion.plan import Plan, candidates, plan_conditions
from broca.instruments.lesion.result import CausalResult
from broca.instruments.lesion.spec import CausalTest
from broca.instruments.localize.result import Localization
from broca.interventions.lesion import Lesion, check_mask
from broca.models.lm import LM
from broca.scoring import chat_of
from broca.sites import Site
from broca.stimuli.blind_rules import baselines
from broca.units import UnitMask


def run(spec: CausalTest, lm: LM, *, cache: Cache = no_cache, progress: Progress = silent) -> CausalResult:
    """Localize, lesion, score, compare.

    Raises:
        GuardError: if the model lacks the ability, or a lesion would measure its own hook.
        SelectionError: if nothing would be selected, or too few units are left for matched draws.
        StimulusError, UnknownName, SiteUnavailable: if what is asked for does not exist or is malformed.
    """
    if spec.selection is not None:
        check_mask(lm, spec.selection)
    chat = chat_of(spec.scorer)
    items = tuple(item for group in spec.abilities.values() for item in group)
    bench = LesionScorer(lm, items, spec.scorer, chat, cache)
    found = [
        spec.known if spec.known and i == 0 else each.run(lm, cache=cache, progress=progress)
        for i, each in enumerate(spec.every_localizer)
    ]
    size = None
    if spec.selection is not None and "size" in spec.match:
        size = bench.sizes(list(candidates(lm, spec.selection)), spec.selection.grain)
    plan = plan_conditions(spec, lm, found, size)
    checks = guards.probe(lm, items, chat)
    passed = [guards.identity(lm, plan.mask, checks), guards.padding(lm), *guards.joins(lm, items, spec.scorer)]
    (intact,) = bench.tables([INTACT])
    own = next(iter(spec.abilities))
    can = intact.filter(pl.col("ability") == own)
    passed.append(guards.gate(can, spec.abilities[own], own, alpha=spec.alpha, stop=spec.gate == "stop"))
    passed.append(guards.shortcut(intact, spec.abilities, alpha=spec.alpha))
    fills = bench.fills(spec.fills, plan.sites, spec.seed)
    passed.append(guards.effect(lm, Lesion(plan.mask, fills[spec.fills[0]], spec.positions), checks))
    scored = bench.tables(
        plan.conditions, fills, spec.positions, lambda done, total: progress("scoring lesions", done, total)
    )
    scores = None
    if found:
        progress("attributing", 0, 1)
        ranked = found[0].t
        scores = agreement.first_order_effects(
            lm, spec.abilities[own], list(ranked), plan.mask.grain, scorer=spec.scorer, chat=chat, cache=cache
        )
    return _result(spec, lm, found, plan, pl.concat([intact, *scored]), passed=tuple(passed), scores=scores)


def _result(
    spec: CausalTest,
    lm: LM,
    found: Sequence[Localization],
    plan: Plan,
    items: pl.DataFrame,
    *,
    passed: tuple[Guard, ...],
    scores: Mapping[Site, Floats] | None,
) -> CausalResult:
    own, boot = next(iter(spec.abilities)), {"n": spec.n_bootstrap, "seed": spec.seed}
    main = plan.main[0].address
    others = [c.address for c in plan.beside if c.name == "lesion" and c.localizer != plan.main[0].localizer]
    table = effects.matrix(items, [main, *others], own=own, boot=boot)
    cell = table.filter(pl.col("own")).row(0, named=True)
    able = [name for name in spec.abilities if name != own and _able(spec, items, name)]
    local = found[0] if found else None
    marked = {guard.name: guard.text for guard in passed if guard.state == "marked"}
    causal = causal_rung.lesion(
        items, cell, [c.address for c in plan.main], [c.address for c in plan.sizes], own=own, alpha=spec.alpha
    )
    causal = causal.more(*effects.area(items, main, own=own))
    if local and scores:
        causal = causal.more(*agreement.agreement(local.t, scores, plan.mask))
    verdict = Verdict.of(
        *(rung for rung in (local.verdict.rungs if local else ()) if rung.name in ("selective", "reliable", "learned")),
        causal.undecided_if(marked.get("gate")),
        specificity.lesion(items, main, own=own, able=able, boot=boot).undecided_if(marked.get("shortcut")),
    )
    dissociated = specificity.dissociations(items, [main, *others], own=own, able=able, boot=boot)
    texts = prompts(spec.abilities)
    unable = [name for name in spec.abilities if name != own and name not in able]
    return CausalResult(
        spec=spec,
        items=items,
        prompts=texts,
        doses=effects.doses(items),
        matrix=table,
        baselines=baselines([item for group in spec.abilities.values() for item in group]),
        flipped=effects.flipped_items(items, texts, main),
        selected=plan.mask,
        verdict=verdict,
        guards=(*(local.guards if local else ()), *passed),
        warnings=(
            *(local.warnings if local else lm.notes),
            *plan.warnings,
            *(
                f"The intact model does not answer {name} better than chance, as far as these items can tell, so {name} says nothing about specificity."
                for name in unable
            ),
        ),
        claim=effects.claim(cell, _what(plan, local, lm), own, verdict.sentence),
        estimate={
            "value": cell["effect"],
            "low": cell["low"],
            "high": cell["high"],
            "unit": "accuracy",
            "n": cell["n"],
        },
        selection=local.selection if local else _mask_summary(plan.mask),
        model=model_summary(lm),
        dissociations=dissociated,
        attribution=scores,
        citations=(*(local.citations if local else ()), *_CITATIONS),
        **({name: getattr(local, name) for name in _FROM_LOCALIZER} if local else {}),
    )


_FROM_LOCALIZER = ("layers", "t", "p", "q", "d", "contrast", "reliability", "twins")

_CITATIONS = (
    "McNemar (1947), Psychometrika 12:153-157.",
    "Phipson & Smyth (2010), Stat Appl Genet Mol Biol 9:39.",
    "Field & Welsh (2007), J R Stat Soc B 69:369-390.",
    "Zhang & Nanda (2024), Towards best practices of activation patching, ICLR.",
    "Syed, Rager & Conmy (2023), Attribution patching outperforms automated circuit discovery, arXiv 2310.10348.",
)


def _able(spec: CausalTest, items: pl.DataFrame, ability: str) -> bool:
    rows = items.filter((pl.col("condition") == "intact") & (pl.col("ability") == ability))
    return guards.gate(rows, spec.abilities[ability], ability, alpha=spec.alpha, stop=False).state == "passed"


def _what(plan: Plan, local: Localization | None, lm: LM) -> str:
    mask = plan.mask
    if local is None:
        return f"the given {mask.count} {mask.grain}s of {lm.name}"
    main = plan.main[0]
    return (
        f"the {main.side} {main.dose:g} % ({mask.count} of {local.selection['n_alive']} {mask.grain}s at "
        f"{local.selection['site']}) of the {main.localizer} localizer in {lm.name}"
    )


def _mask_summary(mask: UnitMask) -> dict[str, Any]:
    sites = ", ".join(str(site) for site in mask.at if mask.at[site].any())
    return {
        "k": mask.count,
        "n_units": mask.total,
        "n_alive": mask.total,
        "n_dead": 0,
        "n_protected": 0,
        "grain": mask.grain,
        "site": sites,
    }
