"""A budget as it is written, 20min or 2Mtokens, made into the tokens that a spec holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from broca.errors import SpecError
from broca.evidence.abilities import spread
from broca.evidence.budget import Choice, as_asked, choose
from broca.instruments.parts import plan_of
from broca.items import Item
from broca.page.words import duration
from broca.runs.costs import Cost, measure, rate_of
from broca.scoring.costs import count_tokens, sample_items
from broca.specs.cost import Plan
from broca.specs.savings import steps

if TYPE_CHECKING:
    from broca.models.lm import LM

_SECONDS = {"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600}
_TOKENS = {"tokens": 1, "ktokens": 1_000, "mtokens": 1_000_000}
_WRITTEN = re.compile(r"((?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?) ?([a-z]+)")


def read_budget(text: str) -> tuple[float | None, int | None]:
    """A time in seconds, or a number of tokens.

    Args:
        text: 90s, 20min, 1.5h, 800ktokens or 2Mtokens.

    Raises:
        SpecError: if it is none of these.
    """
    found = _WRITTEN.fullmatch(text.strip().lower())
    number, unit = (float(found[1].replace(",", "")), found[2]) if found else (0.0, "")
    if number > 0 and unit in _SECONDS:
        return number * _SECONDS[unit], None
    if number > 0 and unit in _TOKENS and (tokens := int(number * _TOKENS[unit])):
        return None, tokens
    raise SpecError(
        f"The budget is {text[:40]!r}. Give a time, such as 90s, 20min or 1.5h, or tokens, such as 2Mtokens."
    )


def set_budget(study: Any, lm: LM, budget: str, *, clock: Callable[[], float] = perf_counter) -> Any:
    """The same study with `budget_tokens`: what it reads at most if it is to be done within a budget on this machine.

    A time is made into tokens once, by a timed batch of the work of the study as it will be done: what follows depends on the tokens alone.

    Args:
        study: what is to be done.
        lm: on which model.
        budget: see `read_budget`.
        clock: the time, in seconds.

    Raises:
        SpecError: if it is no budget, the instrument keeps none, or it is too small for any test.
    """
    seconds, tokens = read_budget(budget)
    if "budget_tokens" not in type(study).model_fields:
        raise SpecError(f"{study.kind} does not say what it can do without, so it keeps no budget. Leave --budget out.")
    asked = as_asked(study).model_copy(update={"budget_tokens": None}).fit_to(lm)
    if tokens is not None:
        return asked.model_copy(update={"budget_tokens": tokens})
    assert seconds is not None
    plan = plan_of(asked.without_known(), lm)
    assert plan is not None
    cost = measure(plan, clock=clock)

    try:
        chosen = _within_time(asked, lm, cost, seconds)
        # A smaller study reads smaller batches, of which each token takes longer.
        for _ in range(TIMES):
            rate, _ = rate_of(chosen.plan.sample, clock)
            if rate <= ALIKE * cost.rate:
                break
            cost = replace(cost, rate=rate)
            chosen = _within_time(asked, lm, cost, seconds)
    except SpecError as error:
        raise SpecError(f"{error} All of it takes {duration(cost.seconds)} here, and {budget} were given.") from error
    return asked.model_copy(update={"budget_tokens": chosen.plan.tokens})


TIMES, ALIKE = 3, 1.05
"""Rates of what a time leaves are taken so often at most, and as long as they are that much slower than the last."""


def _within_time(asked: Any, lm: LM, cost: Cost, seconds: float) -> Choice:
    """How the study keeps a time at the rate of `cost`, and keeps it by its tokens alone."""

    def fits(plan: Plan) -> bool:
        return _seconds_of(plan, cost) <= seconds

    chosen = choose(asked, lm, fits)
    # What the tokens alone would choose may be slower than what the time chose: then there must be fewer.
    while not fits((again := choose(asked, lm, _within(chosen.plan.tokens))).plan):
        chosen = choose(asked, lm, _within(again.plan.tokens - 1))
    return chosen


FEWEST = 10
"""Items of each ability that scoring takes at least."""


def items_within(lm: LM, items: Sequence[Item], scorer: Any, budget: str, *, cell: int) -> list[Item]:
    """As many items of each ability as can be scored within a budget, spread over the whole list; all of them where they can.

    Args:
        lm: the model, under whatever is in force.
        items: of one ability or several.
        scorer: how.
        budget: see `read_budget`.
        cell: items in a call.

    Raises:
        SpecError: if it is no budget, or too small for `FEWEST` items of each ability.
    """
    seconds, tokens = read_budget(budget)
    abilities: dict[str, list[Item]] = {}
    for item in items:
        abilities.setdefault(item.ability, []).append(item)
    if seconds is not None:
        one = Plan((), sample_items(lm, items, scorer))
        tokens = int(seconds / measure(one).rate)
    assert tokens is not None
    most = max(map(len, abilities.values()))
    read = 0
    for n in steps(most, min(FEWEST, most)):
        some = [item for own in abilities.values() for item in spread(own, n)]
        of = {name: [item for item in some if item.ability == name] for name in abilities}
        read = sum(count_tokens(lm, own, scorer, cell=cell) for own in of.values())
        if read <= tokens:
            return some
    raise SpecError(
        f"The budget is too small: {min(FEWEST, most)} items of each ability read {read:,} tokens, and it allows {tokens:,}. Give more, or "
        "fewer abilities."
    )


def _within(tokens: int) -> Callable[[Plan], bool]:
    return lambda plan: plan.tokens <= tokens


def _seconds_of(plan: Plan, whole: Cost) -> float:
    """What a part of a study takes, by the rate of the whole; work that reads no tokens takes no longer than in the whole."""
    timed = {each.name: each for each in whole.phases}
    total = 0.0
    for each in plan.phases:
        same = timed.get(each.name)
        seconds = same.seconds if same is not None else 0.0
        assert not callable(seconds)
        total += each.read * each.weight * whole.rate + (seconds if each.seconds else 0.0) + each.models * whole.once
    return total
