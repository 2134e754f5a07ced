"""Does a direction of a contrast move what a model says, more than random directions do, while its text stays fluent?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from broca.cache.cache import Cache, Progress, no_cache, silent
from broca.evidence.conditions import LesionScorer
from broca.evidence.contrast_map import stimulus_summary
from broca.evidence.duplicates import warn_of_near_duplicates
from broca.evidence.families import families
from broca.evidence.holding import examine, rungs
from broca.evidence.model import model_summary
from broca.evidence.rungs import causal as causal_rung
from broca.evidence.steering import ANSWER
from broca.evidence.trial import CITATIONS, Conduct
from broca.evidence.trial_scores import TrialScores
from broca.evidence.verdict import Guard, Rung, Verdict
from broca.instruments.direction import readout
from broca.instruments.direction import steering_trial as steering
from broca.instruments.direction.choosing import Chosen, Parts, choose
from broca.instruments.direction.ledger import ledger
from broca.instruments.direction.result import DirectionResult
from broca.instruments.direction.source import places, work_of
from broca.instruments.direction.spec import DirectionTest
from broca.instruments.direction.work import Work
from broca.models.lm import LM
from broca.page.numbers import number
from broca.scoring import chat_of
from broca.sites import Site
from broca.stimuli.lengths import length_match

OWN = (
    "Belrose et al. (2023), LEACE: perfect linear concept erasure in closed form, NeurIPS.",
    "Rimsky et al. (2024), Steering Llama 2 via contrastive activation addition, ACL.",
    "Turner et al. (2023), Activation addition: steering language models without optimization, arXiv 2308.10248.",
    "Zou et al. (2023), Representation engineering: a top-down approach to AI transparency, arXiv 2310.01405.",
    "Kendall (1938), Biometrika 30:81-93.",
)


def run(spec: DirectionTest, lm: LM, *, cache: Cache = no_cache, progress: Progress = silent) -> DirectionResult:
    """Fit, choose a layer and a dose, steer, compare.

    Raises:
        GuardError: if the model lacks the ability, or numbers overflow.
        SiteUnavailable: if the model has no such sites.
        StimulusError, UnknownName: if what is asked for does not exist, is malformed, or has too few groups.
        StatisticsError: if the sides of the contrast do not differ.
    """
    places(spec, lm)  # what is not there is said before anything is scored
    own = next(iter(spec.abilities))
    parts = Parts.of(spec.abilities[own], spec.seed)
    tested = {own: parts.testing, **{name: items for name, items in spec.abilities.items() if name != own}}
    bench = LesionScorer(
        lm, [i for group in tested.values() for i in group], spec.scorer, chat_of(spec.scorer), cache, progress
    )
    how = Conduct(
        ("zero",), "all", spec.gate, spec.alpha, spec.claims, spec.smallest_effect, n_bootstrap=spec.n_bootstrap, seed=spec.seed,
        what="steering",
    )  # fmt: skip
    examined = examine(bench, tested, how)
    work = work_of(spec, lm, parts, cache=cache, progress=progress)
    chosen = choose(work, parts.choosing)
    checks = steering.check_steering(bench, chosen)
    kept = {item.id for item in parts.testing}
    start = TrialScores(steering.trial(work, chosen), tested, examined.intact, how)
    scores = steering.hold(bench, start, chosen, examined, [item for item in spec.rewordings if item.id in kept])
    shown = steering.curve(work, replace(bench, items=parts.testing), chosen)
    texts = steering.samples(work, chosen)
    worth = readout.map_value(work, chosen.site)
    return _result(_Found(work, chosen, parts, scores, shown, texts, worth, (*examined.guards, *checks)))


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What was fitted, chosen and scored."""

    work: Work
    chosen: Chosen
    parts: Parts
    scores: TrialScores
    curve: steering.Curve
    texts: pl.DataFrame
    worth: readout.MapValue
    guards: tuple[Guard, ...]

    @property
    def site(self) -> Site:
        return self.chosen.site

    @property
    def dose(self) -> float:
        return self.chosen.used


def _result(found: _Found) -> DirectionResult:
    spec, lm, axes = found.work.spec, found.work.lm, found.work.axes
    scores, chosen = found.scores, found.chosen
    beside = families(scores, (steering.NORM, steering.SHUFFLED))
    shift = _shift(found)
    verdict = Verdict.of(*found.worth.rungs, *_place(spec, found, beside, shift))
    tables = scores.tables
    return DirectionResult(
        spec=spec,
        steered=_steering_summary(lm, found),
        vectors={site: axis.vector for site, axis in axes.items()},
        readers={site: axis.reader for site, axis in axes.items()},
        centres={site: axis.origin for site, axis in axes.items()},
        layers=readout.layers(found.work, found.site),
        tried=chosen.tried,
        curve=found.curve.table,
        families=beside,
        texts=found.texts,
        contrasts=readout.contrasts(found.work, found.site),
        twins=found.worth.twins,
        contrast=_contrast(found.work),
        shift=shift,
        verdict=verdict,
        guards=(*found.guards, _fluent(spec, found)),
        warnings=(*_warnings(spec, found), *lm.notes),
        claim=_claim(spec, lm, found, verdict.sentence),
        model=model_summary(lm),
        ledger=ledger(spec, chosen, found.parts, [*scores.abilities]),
        citations=(*OWN, *CITATIONS[:3]),
        **tables,
    )


def _contrast(work: Work) -> dict[str, Any]:
    """The stimuli in numbers; of a direction that was given its name alone."""
    if work.seen is None:
        return {"name": work.name}
    match = length_match(work.spec.stimuli, tokens=[len(each) for side in work.seen.sides for each in side.tokens])
    return stimulus_summary(work.spec.stimuli, match)


def _place(spec: DirectionTest, found: _Found, beside: pl.DataFrame, shift: Mapping[str, Any]) -> tuple[Rung, Rung]:
    """*Causal* and *specific*: steering against the right answer is to cost it what random directions do not."""
    causal, specific = rungs(found.scores, found.guards)
    toward = "the right answer" if found.chosen.toward == ANSWER else repr(found.chosen.toward)
    drawn = shift["random_median"]
    random = "" if drawn is None else f" (random directions {number(drawn)} in the median, in either sense)"
    causal = causal.more(
        f" At {found.dose:.3g} times the direction, towards and away, the log-odds of {toward} lie {number(shift['value'])} nats apart"
        f"{random}.",
        {"shift": shift["value"], "shift_random_median": shift["random_median"], "dose": found.dose},
    )
    if found.curve.trend is not None:
        causal = causal_rung.with_trend(causal, found.curve.trend, alpha=spec.level, about=f"the log-odds of {toward}")
    causal = causal_rung.against_families(causal, beside, spec.level, of="directions")
    broken = None if found.chosen.dose else "No dose leaves text fluent: what it does is done by breaking text."
    return causal.undecided_if(broken), specific.undecided_if(broken)


def _shift(found: _Found) -> dict[str, Any]:
    """How far apart log-odds lie at the dose and at its negative, and by their lines over the doses those of random directions of the curve."""
    own = found.curve.table.filter(pl.col("series") == "direction")
    low, intact, high = (own.filter(pl.col("dose") == at * found.dose)["log_odds"][0] for at in (-1, 0, 1))
    drawn = found.curve.table.filter((pl.col("series") == "random") & (pl.col("dose") != 0))
    apart = []
    for seed in drawn["seed"].unique().sort().to_list():
        x, y = (drawn.filter(pl.col("seed") == seed)[name].to_numpy() for name in ("dose", "log_odds"))
        # Through the intact model: a single dose, or doses of one sign, make a line too.
        apart.append(abs(2 * found.dose * float(x @ (y - intact) / (x @ x))))
    median = float(np.median(apart)) if apart else None
    return {"value": float(high - low), "unit": "nats", "dose": found.dose, "random_median": median}


def _steering_summary(lm: LM, found: _Found) -> dict[str, Any]:
    chosen, about = found.chosen, found.chosen.direction.about
    return {
        "site": str(chosen.site), "dose": chosen.dose, "toward": chosen.toward, "orientation": chosen.orientation,
        "norm": chosen.direction.norm[chosen.site], "model": lm.fingerprint,
        "model_type": str(getattr(lm.model.config, "model_type", "")),
        "rho": {str(site): value for site, value in found.work.whole.rho.items()},
        **{name: str(about.get(name) or "") for name in ("name", "method", "pool", "contrast", "fitted_on")},
    }  # fmt: skip


def _fluent(spec: DirectionTest, found: _Found) -> Guard:
    """Whether there is a dose at which text stays fluent, and what the largest costs."""
    table = found.curve.table.filter(pl.col("series") == "direction")
    worst = max(table.filter(pl.col("dose").abs() == spec.most)["perplexity_ratio"].to_list(), default=float("inf"))
    text = f"At the largest dose ({spec.most:g}) perplexity is {number(worst)} times the intact model's"
    if found.chosen.dose is None:
        low = spec.most / 64
        return Guard(
            "fluency",
            "marked",
            f"{text}, and at {low:.2g} still more than {spec.perplexity_limit:g} times: it breaks text.",
        )
    share = found.dose * found.chosen.direction.norm[found.site] / found.work.whole.rho[found.site]
    return Guard(
        "fluency",
        "passed",
        f"{text}; up to {found.dose:.3g} ({share:.1%} of the mean norm at the site) it is at most {spec.perplexity_limit:g} times, towards and away.",
    )


def _warnings(spec: DirectionTest, found: _Found) -> tuple[str, ...]:
    out = _of_stimuli(spec, found.work)
    out += [
        f"The intact model does not answer {name} better than chance, as far as these items can tell, so {name} says nothing about specificity."
        for name in found.scores.unable
    ]
    n = len(found.scores.trial.draws.conditions)
    if n < found.scores.trial.wanted:
        out.append(f"Only {n} random directions were drawn.")
    return tuple(out)


def _of_stimuli(spec: DirectionTest, work: Work) -> list[str]:
    """What is to be said of the stimuli; nothing where none were read."""
    if work.seen is None:
        return []
    contrast = spec.stimuli
    texts = [stimulus.text for stimulus in (*contrast.positive, *contrast.negative)]
    out = list(warn_of_near_duplicates("stimuli", texts, [*work.seen.groups[0], *work.seen.groups[1]]))
    if (fewest := min(len(contrast.positive), len(contrast.negative))) < 20:
        out.append("Fewer than 20 stimuli on a side: the direction will hang on which they are. 100 are good.")
    width = next(iter(work.axes.values())).vector.size
    if spec.method == "leace" and 2 * fewest <= width:
        out.append(
            f"Of {2 * fewest} stimuli LEACE takes away all that tells the sides apart, whatever it is: there are {width} units. Nothing follows "
            "for other stimuli; give several times as many."
        )
    return out


def _claim(spec: DirectionTest, lm: LM, found: _Found, sentence: str) -> str:
    cell = found.scores.cell
    toward = "right answers" if found.chosen.toward == ANSWER else repr(found.chosen.toward)
    side = "towards" if found.chosen.orientation > 0 else "away from"
    beside = ""
    if cell["random_median"] is not None:
        beside = f" (random directions of its norm and variance: to {cell['intact'] + cell['random_median']:.1%} in the median)"
    return (
        f"The {found.work.name} direction at {found.site} of {lm.name}, added {found.dose:.3g} times, moves answers {side} {toward}; against "
        f"the right answer it takes {found.scores.own} accuracy from {cell['intact']:.1%} to {cell['lesion']:.1%}{beside}, with perplexity "
        f"within {spec.perplexity_limit - 1:.0%}. {sentence}"
        if found.chosen.dose
        else f"No dose of the {found.work.name} direction at {found.site} of {lm.name} leaves text fluent. {sentence}"
    )
