"""Which units, or heads, does a contrast select?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import model_validator

from broca.cache.memo import Memo, Progress, forget, silent
from broca.errors import SiteUnavailable, StimulusError
from broca.evidence import resampling as resampled
from broca.evidence.maps import Floats, Maps, head_maps, unit_maps
from broca.evidence.model import model_summary
from broca.evidence.rungs import learned
from broca.evidence.rungs import selective as findings
from broca.evidence.stimuli import Split, shown
from broca.evidence.verdict import Guard, Verdict, fragment
from broca.instruments.localize import agreement as across
from broca.instruments.localize import twins
from broca.items import Contrast
from broca.models.lm import LM
from broca.models.pool import Magnitude, Pool
from broca.models.tokens import Chat, Tokens
from broca.sites import Site, check_pattern, sites
from broca.specs import presets
from broca.specs.spec import Level, Natural, Need, Positive, Spec
from broca.stimuli.contrasts import contrast as load_contrast
from broca.stimuli.contrasts import options_of
from broca.stimuli.lengths import length_match
from broca.units import Grain, Select, Selection, UnitMask, select


class Localize(Spec):
    """Find the units, or the heads, that a contrast selects."""

    kind: Literal["localize"] = "localize"
    contrast: str | Contrast = "belief"
    """Name of a contrast, a file or folder of one, or a Contrast."""
    options: Mapping[str, str | int | float | bool] = {}
    """Options of the contrast or of its reader, such as seed or answers."""
    preset: str | None = None
    """Fill in what a published localizer did: tl-abs, tl-signed or ll. Fields that you give win."""
    sites: str = "*.resid_post"
    """Where to look, as LAYERS.KIND: "*.resid_post", "8-15.mlp_act", "*.z"."""
    grain: Grain = "unit"
    """Rank units by Welch's t, or heads (slices of z) by their cross-validated linear-discriminant t."""
    pool: Literal["last", "mean"] = "last"
    """How the tokens of a stimulus become one value for each unit. Padding never counts."""
    bos: Literal["with", "without"] = "without"
    """Whether special tokens before the text count in a mean. They carry attention sinks."""
    sinks: Natural = 0
    """How many further tokens at the start to leave out of a mean."""
    pictures: Literal["with", "without", "only"] = "with"
    """Whether the tokens that stand for pictures count in a mean, or no others do."""
    magnitude: Magnitude = "signed"
    """Compare activations as they are, by the absolute value of their mean, or by the mean of their absolute values."""
    truncate: Positive | None = None
    """Keep this many tokens of each stimulus, BOS counted."""
    chat: Chat = "auto"
    """Whether to use the model's chat template: for chats only, never, or always."""
    select: Select = Select()
    """Which units to take from the ranking."""
    select_on: Literal["all", "half"] = "all"
    """Test and select on all stimuli, or on the first half only, so that the other half is untouched."""
    permutations: Natural = 0
    """Shuffle the sides this often (pairs and groups together) for family-wise p by max-T. Units only."""
    resamples: Natural = 0
    """Draw the stimuli again this often, and see how alike the selections are; 100 or more. Units only."""
    also: tuple[str, ...] = ()
    """Further contrasts for the same ability: how alike are their maps and selections? Each costs one localization."""
    lengths: bool = False
    """Regress out the length of each stimulus in tokens, and count what remains. Units only."""
    protect_massive: bool = False
    """Never select units with massive activations, which every task needs."""
    twins: Natural = 0
    """Compare with this many untrained twins of the model; 20 or more make the rung *learned*. Each costs one localization."""
    alpha: Level = 0.05
    """Level of the Benjamini-Hochberg correction over all units."""
    seed: Natural = 0
    """Seed of the split into halves."""

    needs: ClassVar[tuple[Need, ...]] = (
        Need(("bos", "sinks", "pictures"), ("pool=mean",), lambda spec: spec.pool == "mean", strict=True),
        Need(
            ("permutations", "resamples", "lengths"),
            ("grain=unit",),
            lambda spec: spec.grain == "unit",
            "a head's statistic is itself learned from the labels",
            strict=True,
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        return presets.filled(given) if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _possible(self) -> Localize:
        check_pattern(self.sites)
        return self

    def preset_fields(self) -> Mapping[str, Any]:
        return presets.PRESETS[self.preset] if self.preset else {}

    @cached_property
    def stimuli(self) -> Contrast:
        """The contrast itself.

        Raises:
            StimulusError: if its file is malformed.
            UnknownName: if no contrast has this name.
        """
        if isinstance(self.contrast, Contrast):
            return self.contrast
        known = options_of(self.contrast) if self.preset else ()
        shown = {name: value for name, value in presets.OPTIONS.items() if name in known}
        return load_contrast(self.contrast, **(shown | dict(self.options)))

    @property
    def alone(self) -> Localize:
        """The same localizer without its twins and resamplings: what is done to each twin, and for other contrasts."""
        return self.model_copy(update={"twins": 0, "permutations": 0, "resamples": 0, "lengths": False, "also": ()})

    @property
    def _pooling(self) -> Pool:
        return Pool(self.pool, self.bos, self.sinks, self.magnitude, self.pictures)

    def data_fingerprints(self) -> dict[str, str]:
        """Content hashes of the stimuli: a file may change under its name."""
        further = {f"also {name}": load_contrast(name).fingerprint for name in self.also}
        return {"contrast": self.stimuli.fingerprint} | further

    def read(self) -> None:
        super().read()
        if self.pictures != "with" and not any(s.images for s in (*self.stimuli.positive, *self.stimuli.negative)):
            raise StimulusError(
                f"pictures is {self.pictures!r}, and no stimulus of {self.stimuli.name!r} has a picture. Leave it out."
            )

    def run(self, lm: LM, *, memo: Memo = forget, progress: Progress = silent) -> Localization:
        """Show the contrast, keep a statistic of every unit, select.

        Raises:
            SiteUnavailable: if the model has no such sites, or heads are asked of sites other than z.
            SelectionError: if nothing would be selected.
            StatisticsError: if an activation is NaN, or there are too few stimuli.
        """
        where = _sites(self, lm)
        how = replace(self.select, idle=sum(_widths(self, lm, _idle_sites(self, lm)).values()))
        # A selection that no map could satisfy is refused now, not after the last stimulus.
        every = {site: np.arange(float(n)) for site, n in _widths(self, lm, where).items()}
        select(every, how, grain=self.grain)
        positive, negative = shown(
            self.stimuli,
            lm,
            chat=self.chat,
            truncate=self.truncate,
            seed=self.seed,
            advice=presets.ADVICE.get(self.preset or "", ""),
        )
        look = unit_maps if self.grain == "unit" else head_maps
        found = look(
            lm,
            positive,
            negative,
            where,
            self._pooling,
            memo=memo,
            progress=lambda done, total: progress("localizing", done, total),
        )
        protected = findings.massive_alive(found[0]) if self.protect_massive else 0
        whole, splits = findings.without_massive(found) if self.protect_massive else found
        whole = whole if self.select_on == "all" else splits["random"][0]
        selection = select(whole.t, how, grain=self.grain)
        more = resampled.resampled(
            lm,
            (positive, negative),
            where,
            self._pooling,
            how,
            permutations=self.permutations,
            resamples=self.resamples,
            lengths=self.lengths,
            seed=self.seed,
            alpha=self.alpha,
            memo=memo,
            progress=progress,
        )
        own = self.model_copy(update={"select": how})
        tokens = (*positive.tokens, *negative.tokens)
        local = _localization(own, lm, selection, whole, splits, more=more, tokens=tokens, protected=protected)
        if self.also:
            table = across.across(self, local, lm, memo=memo, progress=progress)
            rungs = {rung.name: rung for rung in local.verdict.rungs}
            rungs["reliable"] = rungs["reliable"].more(*across.in_words(table))
            local = replace(local, across=table, verdict=Verdict.of(*rungs.values()))
        if not self.twins:
            return local
        table = twins.twins(self, lm, memo=memo, progress=progress)
        verdict = Verdict.of(*local.verdict.rungs, learned.learned(twins.figures(local), table))
        return replace(local, twins=table, verdict=verdict, citations=(*local.citations, *learned.CITATIONS))


@dataclass(frozen=True, eq=False, repr=False)
class Localization:
    """What a localizer found; each mapping has one array a site, one entry a unit or head.

    `t` is the statistic (Welch's t, or LD-t for heads), `p` its two-sided p, `q` the Benjamini-Hochberg adjusted p over
    all live units, `d` the effect size in standard deviations. NaN marks a dead unit: one that never varies.
    """

    spec: Localize
    t: Mapping[Site, Floats]
    p: Mapping[Site, Floats]
    q: Mapping[Site, Floats]
    d: Mapping[Site, Floats]
    size: Mapping[Site, Floats]
    selected: UnitMask
    layers: pl.DataFrame
    selection: Mapping[str, Any]
    reliability: Mapping[str, Any]
    contrast: Mapping[str, Any]
    model: Mapping[str, Any]
    verdict: Verdict
    guards: tuple[Guard, ...]
    warnings: tuple[str, ...]
    claim: str
    citations: tuple[str, ...]
    twins: pl.DataFrame | None = None
    across: pl.DataFrame | None = None
    """How alike the maps and selections of the further contrasts are."""
    p_max: Mapping[Site, Floats] | None = None
    """Family-wise p by max-T, where permutations were asked for."""

    def __repr__(self) -> str:
        s = self.selection
        return f"Localization({self.contrast['name']}: {s['k']} of {s['n_alive']} {self.spec.grain}s at {s['site']})"

    def _repr_html_(self) -> str:
        return fragment(self.claim, [asdict(rung) for rung in self.verdict.rungs], self.verdict.sentence)

    def select(self, **how: Any) -> UnitMask:
        """Other units of the same ranking: the fields of `Select`, e.g. ``percent=1`` or ``count=64, side="bottom"``.

        Raises:
            SelectionError: if nothing would be selected.
        """
        return select(
            self.t, replace(self.spec.select, **({"percent": None, "count": None} | how)), grain=self.spec.grain
        ).mask

    @property
    def alive(self) -> dict[Site, NDArray[np.bool_]]:
        """Which units have a statistic."""
        return {site: np.isfinite(values) for site, values in self.t.items()}


def _sites(spec: Localize, lm: LM) -> tuple[Site, ...]:
    where, images = sites(spec.sites, lm.anatomy.n_layers), _pictured(spec.stimuli)
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


def _pictured(contrast: Contrast) -> bool:
    """Whether every stimulus has a picture."""
    return all(stimulus.images for stimulus in (*contrast.positive, *contrast.negative))


def _idle_sites(spec: Localize, lm: LM) -> list[Site]:
    """Sites of layers that ``*`` leaves out, because these stimuli do not run them."""
    if not spec.sites.startswith("*.") or _pictured(spec.stimuli):
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
    left, given = len({each.content for each in tokens}), len({stimulus.shown for stimulus in both})
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
    more: resampled.Resampled,
    tokens: Sequence[Tokens],
    protected: int,
) -> Localization:
    contrast, match = spec.stimuli, length_match(spec.stimuli, tokens=[len(each) for each in tokens])
    q = findings.adjusted(whole.p)
    selective = findings.selective(
        whole.p,
        q,
        selection,
        sides=(len(contrast.positive), len(contrast.negative)),
        alpha=spec.alpha,
        more=more,
    )
    reliable = findings.reliable(splits, spec.select, spec.grain, more.stability)
    return Localization(
        spec=spec,
        t=whole.t,
        p=whole.p,
        q=q,
        d=whole.d,
        size=whole.size,
        selected=selection.mask,
        layers=findings.layers(whole, q, selection, spec.alpha),
        selection={
            "percent": 100 * selection.k / selection.n_alive,
            **{name: getattr(selection, name) for name in ("k", "n_units", "n_alive")},
            "n_dead": selection.n_dead - protected,
            "n_protected": protected,
            **{name: value for name, value in asdict(spec.select).items() if value is not None},
            "site": spec.sites,
            "grain": spec.grain,
        },
        reliability=reliable.numbers,
        contrast=findings.described(contrast, match),
        model=model_summary(lm),
        verdict=Verdict.of(selective, reliable),
        guards=(findings.varies(whole.t), findings.massive_units(whole.size, selection), findings.lengths_match(match)),
        warnings=(*findings.warnings(contrast, selection, protected), *_cut(spec, tokens), *_idle(spec, lm), *lm.notes),
        claim=(
            f"{selective.numbers['significant_selected']} of the {selection.k} selected {spec.grain}s at {spec.sites} of "
            f"{lm.name} tell {contrast.name} stimuli from their controls (Benjamini-Hochberg, q = {spec.alpha})."
        ),
        citations=(
            *findings.citations(spec.grain, spec.preset),
            *(text for name, text in resampled.CITATIONS.items() if getattr(spec, name)),
        ),
        p_max=more.p_max or None,
    )
