"""Would the methods find what is there? Units planted in the user's own model, and every ranking against the truth.

The stimuli are dealt to two sides at random, so the model itself cannot tell the sides apart: what differs between them is
what was planted, and the rest of the model is what a method has to see through.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from broca.cache.memo import Memo, Progress, forget, silent
from broca.capture.gradient import measured
from broca.errors import GuardError
from broca.evidence.model import model_summary
from broca.evidence.verdict import Guard, Rung, Verdict, fragment
from broca.instruments.selftest import rankings
from broca.instruments.selftest.truth import Trial, ablations, grounded, tried
from broca.items import Contrast
from broca.models.lm import LM
from broca.models.tokens import Chat
from broca.organisms.planted import ROUNDS, Floats
from broca.page.numbers import number
from broca.sites import check_pattern
from broca.specs.spec import Above0, Level, Natural, Need, Positive, Spec
from broca.stimuli.contrasts import contrast as load_contrast

FOUND = 0.95
"""AUROC from which a method is said to find a truth."""


class Selftest(Spec):
    """Plant units of which the truth is known, and see which ranking methods find them."""

    kind: Literal["selftest"] = "selftest"
    contrast: str | Contrast = "language"
    """Where the stimuli come from. Both sides are mixed and dealt anew at random, so that only planted units differ."""
    options: Mapping[str, str | int | float | bool] = {}
    """Options of the contrast or of its reader, such as n or seed."""
    sites: str | None = None
    """Where to plant: LAYERS.mlp_act or LAYERS.z. All of mlp_act, or of z where the model has no mlp_act."""
    answers: tuple[str, str] | None = None
    """The metric is the logit of the first answer minus that of the second (first tokens). The two most likely tokens
    when None."""
    d: Above0 = 0.8
    """Effect size of a selective unit between the sides (Cohen's d)."""
    n: Annotated[int, Field(ge=5)] = 100
    """Stimuli on each side: 5 or more, since with fewer no ranking by t means anything."""
    effect: Above0 = 1.0
    """What ablating a causal unit moves the metric by, in standard deviations of the metric over stimuli."""
    pairs: Positive = 4
    """Pairs of units planted in each of the four cells, selective or not by causal or not."""
    rest: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    """Mean activation of planted units, in their standard deviations. Near 0, absolute activations hide them."""
    rivals: Natural = 224
    """The model's own units, drawn at random, that are ablated and ranked beside the planted ones."""
    reference: Annotated[int, Field(ge=4)] = 16
    """Stimuli on which the truth is measured; they are not among those that the methods see."""
    ds: tuple[Above0, ...] = ()
    """Further effect sizes, for the power surface."""
    ns: tuple[Annotated[int, Field(ge=5)], ...] = ()
    """Further numbers of stimuli on each side, for the power surface."""
    level: Level = 0.05
    """Level of the single test of which the power is told."""
    truncate: Positive | None = None
    """Keep this many tokens of each stimulus, BOS counted."""
    chat: Chat = "auto"
    """Whether to use the model's chat template: for chats only, never, or always."""
    seed: Natural = 0
    """Seed of the dealing, of the planted noise, of the rivals and of the random ranking."""

    needs: ClassVar[tuple[Need, ...]] = (Need(("level",), ("ds", "ns"), lambda spec: spec.ds or spec.ns),)

    @model_validator(mode="after")
    def _possible(self) -> Selftest:
        if self.sites is not None:
            check_pattern(self.sites)
        return self

    @cached_property
    def stimuli(self) -> Contrast:
        """The contrast itself.

        Raises:
            StimulusError: if its file is malformed.
            UnknownName: if no contrast has this name.
        """
        return self.contrast if isinstance(self.contrast, Contrast) else load_contrast(self.contrast, **self.options)

    def data_fingerprints(self) -> dict[str, str]:
        """Content hash of the stimuli."""
        return {"contrast": self.stimuli.fingerprint}

    def run(self, lm: LM, *, memo: Memo = forget, progress: Progress = silent) -> SelftestResult:
        """Plant, measure the truth, rank, compare.

        Raises:
            SiteUnavailable: if the model has no units with output weights of their own at these sites.
            SelectionError: if there are too few units to replace.
            StimulusError: if there are too few distinct stimuli.
            GuardError: if the metric does not vary, the planted units do not do what they are meant to, or the model does
                not come back as it was.
        """
        ground = grounded(self, lm)
        before = ground.weight_sums()
        trial = tried(self, ground, self.d, memo, progress)
        scores = rankings.rankings(trial, self.n, seed=self.seed, memo=memo, progress=progress)
        half = self.reference // 2
        with lm.under(trial.plant):
            seen = [*ground.positive[:half], *ground.negative[:half]]
            scores["ablation"] = np.full(len(ground.units), np.nan)
            scores["ablation"][trial.index] = ablations(ground, trial.units, seen, memo, progress)
        surface = []
        for d in self.ds or (self.d,) if self.ds or self.ns else ():
            other = trial if d == self.d else tried(self, ground, d, memo, progress)
            for n in self.ns or (self.n,):
                found = rankings.rankings(other, n, rankings.BRIEF, seed=self.seed, memo=memo, progress=progress)
                surface.append(rankings.power(other, n, found, self.level))
        if before != ground.weight_sums():
            raise GuardError(
                "Output weights are not what they were before planting. Load the model anew, and report its class."
            )
        return _result(self, trial, scores, surface)

    def forecast(self, lm: LM) -> float:
        """About how many seconds `run` will take on this machine, from the time of one batch.

        Raises:
            SiteUnavailable, StimulusError: as `run`.
        """
        ground = grounded(self, lm)
        measured(lm, ground.reference, ground.metric)
        start = time.perf_counter()
        measured(lm, ground.reference, ground.metric)
        batch = time.perf_counter() - start
        # A backward pass takes about as long as two forward ones; per stimulus and side the methods take 20 in all, those of
        # the power surface 8.
        trial = ROUNDS * (4 * self.pairs + 1) + 8 * self.pairs + self.rivals
        others = [d for d in self.ds if d != self.d]
        shown = 20 * self.n + 8 * sum(self.ns or (self.n,)) * (len(self.ds) or bool(self.ns))
        return batch * (trial * (1 + len(others)) + 8 * self.pairs + self.rivals + shown / self.reference)


@dataclass(frozen=True, eq=False, repr=False)
class SelftestResult:
    """What each method found of what was planted.

    `methods` has a row a truth and method (see `broca.instruments.selftest.rankings.table`); `units` a row a unit whose truth was
    measured: what it was planted as, its true d and effect, and its score by every method; `power` a row a d and n.
    """

    spec: Selftest
    methods: pl.DataFrame
    units: pl.DataFrame
    power: pl.DataFrame | None
    verdict: Verdict
    guards: tuple[Guard, ...]
    warnings: tuple[str, ...]
    claim: str
    method: str
    contrast: Mapping[str, Any]
    model: Mapping[str, Any]
    citations: tuple[str, ...]

    def __repr__(self) -> str:
        return f"SelftestResult({self.claim})"

    def _repr_html_(self) -> str:
        return fragment(self.claim, [asdict(rung) for rung in self.verdict.rungs], self.verdict.sentence)


def _result(
    spec: Selftest, trial: Trial, scores: Mapping[str, Floats], surface: list[dict[str, float]]
) -> SelftestResult:
    for truth, flags in (("selective", trial.selective), ("causal", trial.causal)):
        if not 0 < flags.sum() < len(flags):
            raise GuardError(
                f"{int(flags.sum())} of {len(flags)} units measure as {truth}, so no ranking can be held against that truth. "
                f"Give another {'d' if truth == 'selective' else 'effect'}, other answers or other sites."
            )
    lm, methods = trial.ground.lm, rankings.table(trial, scores)
    return SelftestResult(
        spec=spec,
        methods=methods,
        units=_units(trial, scores),
        power=pl.DataFrame(surface) if surface else None,
        verdict=_verdict(trial, scores, methods),
        guards=_guards(trial),
        warnings=(*_warnings(trial), *lm.notes),
        claim=_claim(spec, trial, methods),
        method=_method(spec, trial),
        contrast={"source": spec.stimuli.source},
        model=model_summary(lm),
        citations=_CITATIONS,
    )


def _units(trial: Trial, scores: Mapping[str, Floats]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "site": [str(site) for site, _ in trial.units],
            "unit": [unit for _, unit in trial.units],
            "planted": [trial.meant.get(unit, "") for unit in trial.units],
            "d": trial.difference,
            "effect": trial.effect,
            "selective": trial.selective,
            "causal": trial.causal,
            **{name: scores[name][trial.index] for name in rankings.METHODS},
        }
    )


def _verdict(trial: Trial, scores: Mapping[str, Floats], methods: pl.DataFrame) -> Verdict:
    aurocs = {(row["method"], row["truth"]): row["auroc"] for row in methods.iter_rows(named=True)}
    rungs = []
    for name, meant in rankings.METHODS.items():
        auroc = {truth: aurocs[name, truth] for truth in rankings.TRUTHS}
        top = rankings.first(trial, scores[name], meant or "selective")
        state = "not tested" if meant is None else "passed" if auroc[meant] >= FOUND else "failed"
        text = (
            f"Of its first {top['first']}, {top['respond']} respond, {top['move']} move the metric, {top['idle']} respond and do "
            f"nothing. AUROC {number(auroc['selective'])} (respond), {number(auroc['causal'])} (move)."
        )
        chance = "What chance gives. " if meant is None else ""
        rungs.append(
            Rung(name, state, chance + text, {f"auroc_{truth}": value for truth, value in auroc.items()} | top)
        )
    found = {
        words: [name for name, meant in rankings.METHODS.items() if meant and aurocs[name, truth] >= FOUND]
        for truth, words in (("selective", "Units that respond"), ("causal", "Units that move the metric"))
    }
    told = (f"{words} are found by {', '.join(names) or 'no method'}." for words, names in found.items())
    return Verdict(tuple(rungs), None, f"{' '.join(told)} (AUROC from {FOUND})")


def _claim(spec: Selftest, trial: Trial, methods: pl.DataFrame) -> str:
    def auroc(method: str, truth: str) -> float:
        return methods.filter(pl.col("method") == method, pl.col("truth") == truth)["auroc"].item()

    cells = list(trial.meant.values())
    return (
        f"{len(cells)} units planted in {trial.ground.lm.name} (d = {spec.d:g}, {spec.n} stimuli a side): |Welch t| tells those "
        f"that respond from {len(trial.units) - len(cells)} others with AUROC {number(auroc('|Welch t|', 'selective'))} and those "
        f"that move the metric with {number(auroc('|Welch t|', 'causal'))}; attribution {number(auroc('attribution', 'selective'))} "
        f"and {number(auroc('attribution', 'causal'))}."
    )


def _guards(trial: Trial) -> tuple[Guard, ...]:
    n, good = len(trial.meant), trial.as_meant
    own = np.arange(len(trial.units)) >= n
    text = (
        f"{good} of {n} planted units measure as what they were planted to be. Of the model's own, "
        f"{int((own & trial.selective).sum())} measure as selective and {int((own & trial.causal).sum())} as causal; the "
        "tables count what was measured."
    )
    return (
        Guard("planted", "passed" if good == n else "marked", text),
        Guard(
            "restored",
            "passed",
            "The planted units were taken out: all output weights sum up to the same bits as before.",
        ),
    )


def _warnings(trial: Trial) -> tuple[str, ...]:
    places, true = len(trial.ground.units) // 100, int(trial.selective.sum())
    if places >= true:
        return ()
    text = (
        f"1 % of {len(trial.ground.units)} units is {max(1, places)}, fewer than the {true} selective ones: recall at 1 % cannot "
        f"be above {max(1, places) / true:.2f}."
    )
    return (text,)


def _method(spec: Selftest, trial: Trial) -> str:
    right, foil = trial.ground.answers
    return (
        f"The stimuli of both sides of the contrast were mixed and dealt to two new sides at random, {spec.n} each. The metric "
        f"was the logit of {right!r} minus that of {foil!r}. {2 * spec.pairs} units were planted in each of four "
        f"cells, selective or not by causal or not, at {', '.join(map(str, trial.ground.sites))}, in place of units that the "
        f"model hardly used; a selective unit's two sides lay {spec.d:g} standard deviations apart, and ablating a causal unit "
        f"moved the metric by {spec.effect:g} of its standard deviations. They were planted in pairs that write opposites, so "
        "that the rest of the model cannot tell the sides apart. The truth is what was measured afterwards: d between the same "
        f"{spec.reference} stimuli shown as either side, and the change of the metric when a unit alone is held at zero, each "
        f"true from half of what was planted; so also for {len(trial.units) - len(trial.meant)} of the model's own units."
    )


_CITATIONS = (
    "Nanda (2023), Attribution patching: activation patching at industrial scale.",
    "Syed, Rager & Conmy (2023), Attribution patching outperforms automated circuit discovery, arXiv 2310.10348.",
    "AlKhamissi et al. (2025), The LLM language network, NAACL.",
    "Goodfellow (2015), Efficient per-example gradient computations, arXiv 1510.01799.",
)
