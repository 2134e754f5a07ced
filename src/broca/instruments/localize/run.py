"""Which units, or heads, does a contrast select?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from broca.cache.cache import Cache, Progress, no_cache, silent
from broca.errors import SiteUnavailable
from broca.evidence import confounds, contrast_map, features, resampling
from broca.evidence.duplicates import warn_of_near_duplicates
from broca.evidence.maps import Maps, contrast_maps
from broca.evidence.model import model_summary
from broca.evidence.rungs import learned, reliable, selective
from broca.evidence.stimuli import Split, TokenizedSide, tokenize_contrast
from broca.evidence.verdict import Rung, Verdict
from broca.instruments.localize import agreement as across
from broca.instruments.localize import sinks, twins
from broca.instruments.localize.ledger import ledger
from broca.instruments.localize.resamples import Resampled, resample
from broca.instruments.localize.result import Localization
from broca.instruments.localize.spec import Localize
from broca.items import Contrast
from broca.models.lm import LM
from broca.models.pool import Pool
from broca.models.tokens import Tokens
from broca.sites import Site, sites
from broca.specs import presets
from broca.stimuli.lengths import length_match
from broca.units import Select, Selection, select


def run(spec: Localize, lm: LM, *, cache: Cache = no_cache, progress: Progress = silent) -> Localization:
    """Show the contrast, keep a statistic of every unit, select.

    Raises:
        SiteUnavailable: if the model has no such sites, or heads are asked of sites other than z.
        SelectionError: if nothing would be selected.
        StatisticsError: if an activation is NaN, or there are too few stimuli.
    """
    where, how = places(spec, lm)
    positive, negative = tokenize_contrast(
        spec.stimuli,
        lm,
        chat=spec.chat,
        truncate=spec.truncate,
        seed=spec.seed,
        advice=presets.preset(spec.preset).advice if spec.preset else "",
    )
    sides = (positive, negative)
    found, values = contrast_maps(
        lm,
        sides,
        where,
        Pool(spec.pool, spec.bos, spec.sinks or 0, spec.magnitude, spec.images),
        spec.grain,
        keep=bool(spec.permutations or spec.resamples),
        cache=cache,
        progress=lambda done, total: progress("localizing", done, total),
    )
    protected = contrast_map.massive_alive(found[0]) if spec.protect_massive else 0
    whole, splits = contrast_map.without_massive(found) if spec.protect_massive else found
    whole = whole if spec.select_on == "all" else splits["random"][0]
    read = [*positive.tokens, *negative.tokens]
    measured = features.measure(lm, read, where, cache=cache, progress=progress)
    selection = select(whole.t, how, grain=spec.grain)
    local = _localization(
        spec.model_copy(update={"select": how}),
        lm,
        selection,
        whole,
        splits,
        more=resample(spec, lm, sides, values, cache=cache, progress=progress),
        sides=sides,
        protected=protected,
    )
    local = replace(
        local,
        ledger=ledger(local),
        size={**local.size, **measured.likeness},
        guards=(*local.guards, *features.guards(measured)),
        dictionaries=features.table(lm, measured),
        activations=features.strongest(lm, read, _labels(sides), selection.mask, order=whole.t, cache=cache),
    )
    return _with_comparisons(spec, local, lm, cache=cache, progress=progress)


def _labels(sides: tuple[TokenizedSide, TokenizedSide]) -> list[str]:
    """The side of each stimulus."""
    return [name for name, side in zip(("positive", "negative"), sides, strict=True) for _ in side.tokens]


def _with_comparisons(spec: Localize, local: Localization, lm: LM, *, cache: Cache, progress: Progress) -> Localization:
    """With what other contrasts of the ability and untrained twins say of the map, where they are asked for."""
    if spec.also:
        table = across.cross_contrast_agreement(spec, local, lm, cache=cache, progress=progress)
        rungs = {rung.name: rung for rung in local.verdict.rungs}
        rungs["reliable"] = rungs["reliable"].more(*across.in_words(table))
        local = replace(local, across=table, verdict=Verdict.of(*rungs.values()))
    if not spec.twins:
        return local
    table = twins.twins(spec, local, lm, cache=cache, progress=progress)
    verdict = Verdict.of(
        *local.verdict.rungs,
        learned.unit_map(twins.figures(local), table, most=spec.enough_twins(spec.twins), alpha=spec.level),
    )
    return replace(local, twins=table, verdict=verdict, citations=(*local.citations, *learned.CITATIONS))


def with_sinks(spec: Localize, lm: LM) -> Localize:
    """The localizer with the number of sinks that its stimuli have in this model."""
    where, _ = places(spec, lm)
    return spec.model_copy(update={"sinks": sinks.sinks(spec, lm, where)})


def places(spec: Localize, lm: LM) -> tuple[tuple[Site, ...], Select]:
    """Where to look, and how to select there.

    Raises:
        SiteUnavailable: if the model has no such sites, or heads are asked of sites other than z.
        SelectionError: if no map could satisfy the selection: it is refused now, not after the last stimulus.
    """
    where = _sites(spec, lm)
    how = replace(spec.select, idle=sum(_widths(spec, lm, _idle_sites(spec, lm)).values()))
    every = {site: np.arange(float(n)) for site, n in _widths(spec, lm, where).items()}
    select(every, how, grain=spec.grain)
    return where, how


def _sites(spec: Localize, lm: LM) -> tuple[Site, ...]:
    where, images = sites(spec.sites, lm.anatomy.n_layers), _has_only_images(spec.stimuli)
    if spec.sites.startswith("*."):
        where = lm.anatomy.sites(where[0].kind, images=images)
    if idle := [site for site in where if not images and not lm.anatomy.blocks[site.layer].on_text]:
        raise SiteUnavailable(
            f"{', '.join(map(str, idle))}: these layers run beside pictures alone, and not every stimulus of "
            f"{spec.stimuli.name!r} has one. Leave them out ('*' does), or give every stimulus a picture."
        )
    for site in where:
        lm.anatomy.tap(site)
        if spec.grain == "head":
            lm.anatomy.head_width(site)
    if not where:
        raise SiteUnavailable(f"{spec.sites!r} names no site of this model.")
    return where


def _has_only_images(contrast: Contrast) -> bool:
    """Whether every stimulus has a picture."""
    return all(stimulus.images for stimulus in (*contrast.positive, *contrast.negative))


def _idle_sites(spec: Localize, lm: LM) -> list[Site]:
    """Sites of layers that ``*`` leaves out, because these stimuli do not run them."""
    if not spec.sites.startswith("*.") or _has_only_images(spec.stimuli):
        return []
    every = lm.anatomy.sites(sites(spec.sites, lm.anatomy.n_layers)[0].kind, images=True)
    return [site for site in every if not lm.anatomy.blocks[site.layer].on_text]


def _idle(spec: Localize, lm: LM) -> tuple[str, ...]:
    """Layers that these stimuli do not run, in words."""
    idle = [site.layer for site in _idle_sites(spec, lm)]
    counted = "count in the percentage, as published" if spec.select.base == "all" else "count in no percentage"
    text = (
        f"{len(idle)} of {lm.anatomy.n_layers} layers run beside pictures alone ({', '.join(map(str, idle))}); not every "
        f"stimulus has one, so their units are no candidates and {counted}."
    )
    return (text,) if idle else ()


def _cut(spec: Localize, tokens: Sequence[Tokens]) -> tuple[str, ...]:
    """Stimuli that truncation has made the same, in words."""
    both = (*spec.stimuli.positive, *spec.stimuli.negative)
    left, given = len({each.content for each in tokens}), len({stimulus.content for stimulus in both})
    if spec.truncate is None or left >= given:
        return ()
    text = f"Cut to {spec.truncate} tokens, {given} different stimuli are {left}; those alike tell nothing apart. Keep more (truncate)."
    return (text,)


def _widths(spec: Localize, lm: LM, where: Sequence[Site]) -> dict[Site, int]:
    """Units, or heads, of each site."""
    return {site: lm.anatomy.n_heads if spec.grain == "head" else lm.anatomy.width(site) for site in where}


def _localization(
    spec: Localize,
    lm: LM,
    selection: Selection,
    whole: Maps,
    splits: Mapping[Split, tuple[Maps, Maps]],
    *,
    more: Resampled,
    sides: tuple[TokenizedSide, TokenizedSide],
    protected: int,
) -> Localization:
    contrast, tokens = spec.stimuli, (sides[0].tokens, sides[1].tokens)
    match = length_match(contrast, tokens=[len(each) for side in tokens for each in side])
    ends = confounds.ends_match(contrast, tokens, cut=spec.truncate is not None)
    beside = (confounds.lengths_match(match), ends, *confounds.columns_match(contrast, spec.confounds))
    q = contrast_map.q_values(whole.p)
    shuffled, stability = more
    without = (*["length"] * spec.lengths, *spec.confounds)
    tells = selective.unit_map(q, selection, shuffled, alpha=spec.level, without=without)
    # What a confound adds helps a map to pass: one that failed all the same has failed.
    if (refused := confounds.refusal(beside, length=spec.lengths)) and tells.state in ("passed", "undecided"):
        tells = replace(tells, state="undecided", text=f"{tells.text} {refused}")
    repeats = reliable.unit_map(splits, spec.select, spec.grain, stability)
    return Localization(
        spec=spec,
        t=whole.t,
        p=whole.p,
        q=q,
        d=whole.d,
        size=whole.size,
        selected=selection.mask,
        layers=contrast_map.layers(whole, q, selection, spec.level),
        selection=_selection_summary(spec, selection, protected),
        reliability=repeats.numbers,
        contrast=contrast_map.stimulus_summary(contrast, match),
        model=model_summary(lm),
        verdict=Verdict.of(tells, repeats),
        guards=(
            contrast_map.varies(whole.t),
            contrast_map.massive_units(whole.size, selection),
            *sinks.guards(spec, lm, _sites(spec, lm)),
            *beside,
        ),
        warnings=(*contrast_map.warnings(contrast, selection, protected), *_warnings(spec, lm, sides)),
        claim=_claim(spec, lm, selection, tells),
        citations=(
            *contrast_map.citations(spec.grain, spec.preset),
            *(text for name, texts in resampling.CITATIONS.items() if getattr(spec, name) for text in texts),
        ),
        p_max=shuffled.p_max if isinstance(shuffled, resampling.MapPermutations) else None,
    )


def _warnings(spec: Localize, lm: LM, sides: tuple[TokenizedSide, TokenizedSide]) -> tuple[str, ...]:
    """What to know of the stimuli, as this model reads them, and of the model."""
    positive, negative = sides
    texts = [s.text for s in (*spec.stimuli.positive, *spec.stimuli.negative)]
    alike = warn_of_near_duplicates("stimuli", texts, [*positive.groups, *negative.groups])
    return (*_cut(spec, [*positive.tokens, *negative.tokens]), *alike, *_idle(spec, lm), *lm.notes)


def _claim(spec: Localize, lm: LM, selection: Selection, tells: Rung) -> str:
    """What was selected, and how much of it tells the sides apart, in one sentence."""
    hits = tells.numbers.get("significant_selected")
    whose = f"the {selection.k} selected {selection.mask.noun}s at {spec.sites} of {lm.name}"
    if hits is None:
        return f"Whether {whose} tell {spec.stimuli.name} stimuli from their controls is undecided."
    how = f"family-wise, α = {spec.level:g}" if spec.permutations else f"Benjamini-Hochberg, q = {spec.level:g}"
    return f"{hits} of {whose} tell {spec.stimuli.name} stimuli from their controls ({how})."


def _selection_summary(spec: Localize, selection: Selection, protected: int) -> dict[str, object]:
    """How many of how many were chosen, and how."""
    return {
        "percent": 100 * selection.k / selection.n_alive,
        **{name: getattr(selection, name) for name in ("k", "n_units", "n_alive")},
        "n_dead": selection.n_dead - protected,
        "n_protected": protected,
        **{name: value for name, value in asdict(spec.select).items() if value is not None},
        "site": spec.sites,
        "grain": selection.mask.noun,
    }
