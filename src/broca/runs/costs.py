"""What a study will cost here: its tokens counted, and its minutes from the time of one batch of its own work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from broca.errors import BrocaError
from broca.instruments.parts import plan_of
from broca.page.words import count, duration, two_digits
from broca.specs.cost import Phase, Plan, Sample

if TYPE_CHECKING:
    from broca.models.lm import LM

SHORT, RUNS = 1.0, 3
"""A batch is timed again until so many seconds are spent, or so many times."""
EARLY = 0.8
"""A share of what a study may cost below which it is said what it costs as a rule."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a study, or of scoring; its phases with their seconds."""

    phases: tuple[Phase, ...]
    rate: float
    """Seconds a token, by a batch of the real work, on this machine as it was then."""
    once: float = 0.0
    """Seconds of what is done once for a model, by the first batch; 0 for a model that was used before."""

    @property
    def tokens(self) -> int:
        """That are read at most."""
        return round(sum(each.read for each in self.phases))

    @property
    def passes(self) -> int:
        """Readings of all texts of a step, at most, over all steps."""
        return max(1, round(sum(each.passes for each in self.phases if each.tokens)))

    @property
    def seconds(self) -> float:
        """At most."""
        return sum(map(self.seconds_of, self.phases))

    def seconds_of(self, phase: Phase) -> float:
        """Of one step, at most."""
        assert not callable(phase.seconds)
        return phase.read * phase.weight * self.rate + phase.seconds + phase.models * self.once

    @property
    def usual(self) -> float:
        """Seconds that it takes as a rule."""
        spared = sum((each.read - each.usual) * each.weight * self.rate for each in self.phases)
        return self.seconds - spared

    def words(self, step: Phase) -> str:
        """What one of the steps costs at most."""
        time = duration(self.seconds_of(step))
        return f"{two_digits(step.read)} tokens, {time}" if step.tokens else time

    @property
    def sentence(self) -> str:
        early = ""
        if self.usual < EARLY * self.seconds and duration(self.usual) != duration(self.seconds):
            early = f", {duration(self.usual)} where draws stop as they do for a selection like any other"
        read = f"about {two_digits(self.tokens)} tokens in {count(self.passes, 'pass', 'passes')}"
        return f"{read}, at most {duration(self.seconds)} on this machine{early}"


def forecast(study: Any, lm: LM, *, clock: Callable[[], float] = perf_counter) -> Cost | None:
    """What a study will cost on a model; None of an instrument that does not count, or where the study will say what is wrong with it.

    Takes about as long as two batches.

    Args:
        study: what is to be done.
        lm: on which model.
        clock: the time, in seconds.
    """
    try:
        plan = plan_of(study.fit_to(lm), lm)
        return None if plan is None else measure(plan, clock=clock)
    except BrocaError:
        return None


def measure(plan: Plan, *, clock: Callable[[], float] = perf_counter) -> Cost:
    """The plan with the time of its batch: once to warm up, in which what is done once for a model is done, then by the clock."""
    rate, once = rate_of(plan.sample, clock)
    return Cost(tuple(each.with_seconds for each in plan.phases), rate, once)


def rate_of(sample: Sample, clock: Callable[[], float] = perf_counter) -> tuple[float, float]:
    """Seconds a token, and those that the first run took beyond that.

    A batch that takes no time to speak of is timed several times, and the shortest counts: what else the machine does is no cost.
    """
    begin = clock()
    sample.run()
    start = last = clock()
    times: list[float] = []
    while len(times) < RUNS and (not times or last - start < SHORT):
        sample.run()
        now = clock()
        times.append(now - last)
        last = now
    return min(times) / max(1, sample.tokens), max(0.0, start - begin - min(times))
