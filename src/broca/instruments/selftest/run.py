"""Would the methods find what is there? Units planted in the user's own model, and every ranking against the truth.

The stimuli are dealt to two sides at random, so the model itself cannot tell the sides apart: what differs between them is
what was planted, and the rest of the model is what a method has to see through.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from broca.cache.cache import Cache, Progress, no_cache, silent
from broca.errors import GuardError
from broca.evidence.model import model_summary
from broca.evidence.verdict import Guard, Rung, Verdict
from broca.instruments.selftest import rankings
from broca.instruments.selftest.result import SelftestResult
from broca.instruments.selftest.spec import Selftest
from broca.instruments.selftest.truth import PlantedTrial, ablations, run_trial, set_up
from broca.models.lm import LM
from broca.organisms.planting import Floats
from broca.page.numbers import number

FOUND = 0.95
"""AUROC from which a method is said to find a truth."""


def run(spec: Selftest, lm: LM, *, cache: Cache = no_cache, progress: Progress = silent) -> SelftestResult:
    """Plant, measure the truth, rank, compare.

    Raises:
        SiteUnavailable: if the model has no units with output weights of their own at these sites.
        SelectionError: if there are too few units to replace.
        StimulusError: if there are too few distinct stimuli.
        GuardError: if the metric does not vary, the planted units do not do what they are meant to, or the model does
            not come back as it was.
    """
    ground = set_up(spec, lm)
    before = ground.weight_sums()
    trial = run_trial(spec, ground, spec.d, cache, progress)
    scores = rankings.rankings(trial, spec.n, seed=spec.seed, cache=cache, progress=progress)
    half = spec.reference // 2
    with lm.under(trial.plant):
        seen = [*ground.positive[:half], *ground.negative[:half]]
        scores["ablation"] = np.full(len(ground.units), np.nan)
        scores["ablation"][trial.index] = ablations(ground, trial.units, seen, cache, progress)
    surface = []
    for d in spec.ds or (spec.d,) if spec.ds or spec.ns else ():
        other = trial if d == spec.d else run_trial(spec, ground, d, cache, progress)
        for n in spec.ns or (spec.n,):
            found = rankings.rankings(other, n, rankings.BRIEF, seed=spec.seed, cache=cache, progress=progress)
            surface.append(rankings.power(other, n, found, spec.level))
    if before != ground.weight_sums():
        raise GuardError(
            "Output weights are not what they were before planting. Load the model anew, and report its class."
        )
    return _result(spec, trial, scores, surface)


def _result(
    spec: Selftest, trial: PlantedTrial, scores: Mapping[str, Floats], surface: list[dict[str, float]]
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


def _units(trial: PlantedTrial, scores: Mapping[str, Floats]) -> pl.DataFrame:
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


def _verdict(trial: PlantedTrial, scores: Mapping[str, Floats], methods: pl.DataFrame) -> Verdict:
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


def _claim(spec: Selftest, trial: PlantedTrial, methods: pl.DataFrame) -> str:
    def auroc(method: str, truth: str) -> float:
        return methods.filter(pl.col("method") == method, pl.col("truth") == truth)["auroc"].item()

    cells = list(trial.meant.values())
    return (
        f"{len(cells)} units planted in {trial.ground.lm.name} (d = {spec.d:g}, {spec.n} stimuli a side): |Welch t| tells those "
        f"that respond from {len(trial.units) - len(cells)} others with AUROC {number(auroc('|Welch t|', 'selective'))} and those "
        f"that move the metric with {number(auroc('|Welch t|', 'causal'))}; attribution {number(auroc('attribution', 'selective'))} "
        f"and {number(auroc('attribution', 'causal'))}."
    )


def _guards(trial: PlantedTrial) -> tuple[Guard, ...]:
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


def _warnings(trial: PlantedTrial) -> tuple[str, ...]:
    places, true = len(trial.ground.units) // 100, int(trial.selective.sum())
    if places >= true:
        return ()
    text = (
        f"1 % of {len(trial.ground.units)} units is {max(1, places)}, fewer than the {true} selective ones: recall at 1 % cannot "
        f"be above {max(1, places) / true:.2f}."
    )
    return (text,)


def _method(spec: Selftest, trial: PlantedTrial) -> str:
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
