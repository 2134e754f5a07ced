"""What breaks when the selected units are gone, against matched controls, and is it this ability alone?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import polars as pl
from pydantic import Field, PrivateAttr, model_validator

from broca.cache.memo import Memo, Progress, forget, silent
from broca.evidence import agreement, guards
from broca.evidence.abilities import abilities, prompts
from broca.evidence.conditions import INTACT, Bench, FillName
from broca.evidence.maps import Floats
from broca.evidence.model import model_summary
from broca.evidence.rungs import causal as effects
from broca.evidence.rungs import specific as specificity
from broca.evidence.verdict import Guard, Verdict, fragment
from broca.instruments.lesion.plan import Plan, Side, candidates, planned
from broca.instruments.localize.study import Localization, Localize
from broca.interventions.lesion import Lesion, Positions, check_mask
from broca.items import Item, fingerprint
from broca.models.lm import LM
from broca.scoring import AnyScorer, Likelihood, chat_of
from broca.sites import Site
from broca.specs.spec import Above0, Level, Natural, Need, Percent, Positive, Spec
from broca.stimuli.baselines import baselines
from broca.units import UnitMask


class CausalTest(Spec):
    """Lesion a selection, score abilities, compare with matched random lesions, and climb the ladder."""

    kind: Literal["causal"] = "causal"
    localizer: Localize | None = None
    """The localizer whose selection is tested; its own `select` is replaced by `sides` and `dose`."""
    selection: UnitMask | None = None
    """Units or heads to test instead of a localizer's."""
    localizers: tuple[str, ...] = ()
    """Further contrasts for the localizer x ability matrix, localized like the first one."""
    items: str = "beliefs/false-belief"
    """The ability in question: a benchmark or a file of items."""
    others: tuple[str, ...] = ()
    """Other abilities, which a specific lesion leaves alone."""
    n_items: Positive | None = None
    """Score this many items of each ability at most, spread over the whole list."""
    options: Mapping[str, str | int | float | bool] = {}
    """Options of the benchmarks, such as n or seed."""
    scorer: AnyScorer = Likelihood()
    """How an answer is judged."""
    sides: Annotated[tuple[Side, ...], Field(min_length=1)] = ("top",)
    """Which ends of the ranking to lesion; the first one is the claim."""
    dose: Percent = 1.0
    """Percent of units (or heads) that the claim is about."""
    doses: tuple[Percent, ...] = ()
    """Further percentages, for the dose-response curve."""
    sizes: tuple[Above0, ...] = (0.5, 1.5)
    """Lesion so many times the main dose too: the effect must keep its sign."""
    draws: Natural = 200
    """Matched random lesions at the main dose. The smallest p that n draws can give is 1 / (n + 1)."""
    dose_draws: Natural = 20
    """Matched random lesions at each further dose."""
    match: tuple[Literal["layer", "size"], ...] = ("layer", "size")
    """What random lesions share with the selection: units (or heads) a layer, and size of activation, in up to ten bins of
    eight or more; a layer of few heads is one bin."""
    among: Literal["all", "rest"] = "rest"
    """Draw random units from all, or from those that are not selected."""
    fills: Annotated[tuple[FillName, ...], Field(min_length=1)] = ("zero", "mean", "resample")
    """What lesioned units are held at; the first one is the claim, the others must agree in sign."""
    positions: Positions = "all"
    """Lesion every token, or chosen ones."""
    gate: Literal["stop", "mark"] = "stop"
    """What to do when the intact model does not have the ability."""
    alpha: Level = 0.05
    n_bootstrap: Positive = 2000
    seed: Natural = 0
    """Seed of the random draws, of noise and resample fills, and of the bootstrap. 0 is a seed."""

    needs: ClassVar[tuple[Need, ...]] = (
        Need(
            ("dose", "doses", "sides", "sizes", "dose_draws", "localizers"),
            ("localizer",),
            lambda spec: spec.localizer is not None,
            "a given selection has no ranking",
            strict=True,
        ),
        Need(("dose_draws",), ("doses",), lambda spec: {*spec.doses} - {spec.dose}),
        Need(("match", "among"), ("draws=1 or more",), lambda spec: spec.draws or (spec.doses and spec.dose_draws)),
    )

    @model_validator(mode="after")
    def _one_source(self) -> CausalTest:
        if (self.localizer is None) == (self.selection is None):
            raise ValueError("give either a localizer or a selection to test, not both and not neither")
        return self

    _known: Localization | None = PrivateAttr(None)
    """What the main localizer found, where it was run before: it is not run again."""

    def knowing(self, found: Localization) -> CausalTest | None:
        """The same test, which takes its localizer's maps from a run of it on the same model and data.

        None where the localizer of this test would select otherwise.
        """
        main = _localizers(self)[0]
        if found.selection["n_alive"] >= 100 and found.spec.select.percent is found.spec.select.count is None:
            # The usual 1 percent, but for the one unit at least that a small model is left with.
            usual = replace(found.spec.select, percent=1.0)
            found = replace(
                found,
                spec=found.spec.model_copy(update={"select": usual}),
                selection={**found.selection, "percent": 1.0},
            )
        if found.spec != main:
            return None
        test = self.model_copy()
        test._known = found  # noqa: SLF001 - one of our own
        return test

    @cached_property
    def abilities(self) -> dict[str, tuple[Item, ...]]:
        """The items of each ability, the own one first.

        Raises:
            StimulusError: if a file is malformed, or two benchmarks share an ability.
            UnknownName: if no benchmark has this name.
        """
        return abilities((self.items, *self.others), self.options, self.n_items)

    def data_fingerprints(self) -> dict[str, str]:
        """Content hashes of items and stimuli: files may change under their names."""
        prints = {name: fingerprint([i.fingerprint for i in items]) for name, items in self.abilities.items()}
        for spec in _localizers(self):
            prints |= {
                spec.stimuli.name if name == "contrast" else name: own for name, own in spec.data_fingerprints().items()
            }
        return prints

    def read(self) -> None:
        super().read()
        for spec in _localizers(self):
            spec.read()

    def run(self, lm: LM, *, memo: Memo = forget, progress: Progress = silent) -> CausalResult:
        """Localize, lesion, score, compare.

        Raises:
            GuardError: if the model lacks the ability, or a lesion would measure its own hook.
            SelectionError: if nothing would be selected, or too few units are left for matched draws.
            StimulusError, UnknownName, SiteUnavailable: if what is asked for does not exist or is malformed.
        """
        if self.selection is not None:
            check_mask(lm, self.selection)
        chat = chat_of(self.scorer)
        items = tuple(item for group in self.abilities.values() for item in group)
        bench = Bench(lm, items, self.scorer, chat, memo)
        found = [
            self._known if self._known and i == 0 else spec.run(lm, memo=memo, progress=progress)
            for i, spec in enumerate(_localizers(self))
        ]
        size = None
        if self.selection is not None and "size" in self.match:
            size = bench.sizes(list(candidates(lm, self.selection)), self.selection.grain)
        plan = planned(self, lm, found, size)
        checks = guards.probe(lm, items, chat)
        passed = [guards.identity(lm, plan.mask, checks), guards.padding(lm), *guards.joins(lm, items, self.scorer)]
        (intact,) = bench.tables([INTACT])
        own = next(iter(self.abilities))
        can = intact.filter(pl.col("ability") == own)
        passed.append(guards.gate(can, self.abilities[own], own, alpha=self.alpha, stop=self.gate == "stop"))
        passed.append(guards.shortcut(intact, self.abilities, alpha=self.alpha))
        fills = bench.fills(self.fills, plan.sites, self.seed)
        passed.append(guards.effect(lm, Lesion(plan.mask, fills[self.fills[0]], self.positions), checks))
        scored = bench.tables(
            plan.conditions, fills, self.positions, lambda done, total: progress("scoring lesions", done, total)
        )
        scores = None
        if found:
            progress("attributing", 0, 1)
            ranked = found[0].t
            scores = agreement.attributed(
                lm, self.abilities[own], list(ranked), plan.mask.grain, scorer=self.scorer, chat=chat, memo=memo
            )
        return _result(self, lm, found, plan, pl.concat([intact, *scored]), passed=tuple(passed), scores=scores)


@dataclass(frozen=True, eq=False, repr=False)
class CausalResult:
    """What a causal test found: see `broca.reports` for the tables, `Localization` for the maps."""

    spec: CausalTest
    items: pl.DataFrame
    prompts: pl.DataFrame
    doses: pl.DataFrame
    matrix: pl.DataFrame
    baselines: pl.DataFrame
    flipped: pl.DataFrame
    selected: UnitMask
    verdict: Verdict
    guards: tuple[Guard, ...]
    warnings: tuple[str, ...]
    claim: str
    estimate: Mapping[str, Any]
    selection: Mapping[str, Any]
    model: Mapping[str, Any]
    citations: tuple[str, ...]
    dissociations: tuple[str, ...] = ()
    """Double dissociations between the localizers, in words."""
    layers: pl.DataFrame | None = None
    t: Mapping[Any, Floats] | None = None
    p: Mapping[Any, Floats] | None = None
    q: Mapping[Any, Floats] | None = None
    d: Mapping[Any, Floats] | None = None
    attribution: Mapping[Any, Floats] | None = None
    """What zeroing each unit alone does to the margin of the right answer, to first order."""
    contrast: Mapping[str, Any] | None = None
    reliability: Mapping[str, Any] | None = None
    twins: pl.DataFrame | None = None

    def __repr__(self) -> str:
        return f"CausalResult({self.claim})"

    def _repr_html_(self) -> str:
        return fragment(self.claim, [asdict(rung) for rung in self.verdict.rungs], self.verdict.sentence)


def _localizers(spec: CausalTest) -> list[Localize]:
    """The main localizer, selecting at the main dose on the first side, and its variants for other contrasts."""
    if spec.localizer is None:
        return []
    first = replace(spec.localizer.select, percent=spec.dose, count=None, side=spec.sides[0])
    main = spec.localizer.model_copy(update={"select": first})
    return [main, *(main.alone.model_copy(update={"contrast": name, "options": {}}) for name in spec.localizers)]


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
    causal = effects.causal(
        items, cell, [c.address for c in plan.main], [c.address for c in plan.sizes], own=own, alpha=spec.alpha
    )
    causal = causal.more(*effects.area(items, main, own=own))
    if local and scores:
        causal = causal.more(*agreement.agreement(local.t, scores, plan.mask))
    verdict = Verdict.of(
        *(rung for rung in (local.verdict.rungs if local else ()) if rung.name in ("selective", "reliable", "learned")),
        causal.refused(marked.get("gate")),
        specificity.specific(items, main, own=own, able=able, boot=boot).refused(marked.get("shortcut")),
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
        flipped=effects.flipped(items, texts, main),
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
        selection=local.selection if local else _given(plan.mask),
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


def _given(mask: UnitMask) -> dict[str, Any]:
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
