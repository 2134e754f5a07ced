"""A study within a budget of tokens: what it gives up, and how its verdict says so.

What may be given up, and in which order, the instrument says (`broca.specs.savings`). Of all ways that keep the budget that one is
taken which gives up least and still has the power that a plan asks for, or else the one with the most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pydantic import ValidationError

from broca.errors import SpecError
from broca.evidence.verdict import Rung
from broca.items import fingerprint
from broca.page.words import enumeration
from broca.specs.cost import Plan
from broca.specs.parts import part_beside
from broca.specs.savings import Saving, value_of, with_values

if TYPE_CHECKING:
    from broca.models.lm import LM

ENOUGH = 0.8
"""Power above which more of it is no reason to give up something else."""
SAME = 0.02
"""Powers that differ by less, which is what simulations differ by, count as the same."""

Fits = Callable[[Plan], bool]

_known: WeakKeyDictionary[Any, dict[str, dict[str, Any]]] = WeakKeyDictionary()
"""What was chosen, by model, and by spec and data."""


class WithBudget:
    """Of a spec with `budget_tokens` and `budget_from`: it is fitted to its budget, and its verdict says what that took."""

    if TYPE_CHECKING:
        budget_tokens: int | None
        budget_from: Mapping[str, Any]

    def fit_to(self, lm: Any, /) -> Any:
        """The same study within its budget, see `within_budget`."""
        return within_budget(super().fit_to(lm), lm)  # type: ignore[misc]

    def run(self, lm: Any, **how: Any) -> Any:
        """Do it, within its budget."""
        study: Any = self.fit_to(lm)
        found = super(WithBudget, study).run(lm, **how)  # type: ignore[misc]
        return with_reasons(found, study, lm) if study.budget_from else found


def within_budget(study: Any, lm: LM) -> Any:
    """The study as its budget allows it: fields lowered, and what they were in `budget_from`.

    It depends on the spec, the texts and the model alone, and on no clock: the same spec is always lowered alike, also one that was
    lowered before.

    Args:
        study: a spec with `budget_tokens`.
        lm: on which model.

    Raises:
        SpecError: if the budget is too small for any test; `budget_from` stands without a budget; or the instrument keeps none.
    """
    if study.budget_tokens is None:
        if study.budget_from:
            raise SpecError("budget_from says what a budget lowered, and there is no budget_tokens. Leave it out.")
        return study
    asked = as_asked(study)
    known = _known.setdefault(lm.model, {})
    key = asked.model_dump_json() + fingerprint(dict(getattr(asked, "data_fingerprints", dict)()))
    if key not in known:
        known[key] = dict(choose(asked, lm, lambda plan: plan.tokens <= asked.budget_tokens).fields)
    before = {name: _plain(value) for name, value in _asked_values(asked, lm) if name in known[key]}
    return with_values(asked.model_copy(update={"budget_from": before}), known[key])


def as_asked(study: Any) -> Any:
    """The study as it was before its budget lowered anything.

    Raises:
        SpecError: if `budget_from` names no field, or no value of one.
    """
    try:
        return with_values(study, study.budget_from).model_copy(update={"budget_from": {}})
    except (AttributeError, KeyError, ValidationError) as error:
        raise SpecError(
            f"budget_from is {dict(study.budget_from)!r}, which are no fields of this study and what they were. Leave it out."
        ) from error


@dataclass(frozen=True, slots=True)
class Choice:
    """A way to keep a budget."""

    fields: Mapping[str, Any]
    """What is lowered, and to what."""
    plan: Plan
    power: float = 1.0


def choose(asked: Any, lm: LM, fits: Fits) -> Choice:
    """The way to keep a budget that gives up least and has power enough; or else, of those with the most power, that which gives up least.

    Args:
        asked: the study as it was asked for.
        lm: on which model.
        fits: whether what a study costs is within the budget.

    Raises:
        SpecError: if the instrument keeps no budget, or if none of its tests fits.
    """
    study, part = asked.without_known(), part_beside(type(asked), "cost")
    offered = getattr(part, "savings", None)
    if part is None or offered is None:
        raise SpecError(f"{asked.kind} does not say what it can do without, so it keeps no budget. Leave it out.")
    if fits(plan := part.cost(study, lm)):
        return Choice({}, plan)
    found: list[Choice] = []
    for choice in _ways(study, lm, part, tuple(offered(study, lm)), fits):
        found.append(choice)
        if choice.power >= ENOUGH:
            return choice
    if not found:
        raise SpecError(_too_small(study, lm, part, tuple(offered(study, lm))))
    most = max(each.power for each in found)
    return next(each for each in found if each.power >= most - SAME)


def _ways(study: Any, lm: LM, part: Any, savings: Sequence[Saving], fits: Fits) -> Iterator[Choice]:
    """All ways that fit, each with as much of the fine field as it leaves room for, those that give up least first."""
    fine = next((each for each in savings if each.fine), None)
    room = fine.values if fine is not None else (None,)
    coarse = [each for each in savings if each is not fine]
    # The last field changes fastest in a product: what costs a verdict least is given up first.
    for values in product(*(each.values for each in reversed(coarse))):
        fields = dict(zip([each.field for each in reversed(coarse)], values, strict=True))

        def attempt(i: int, fields: dict[str, Any] = fields) -> tuple[dict[str, Any], Plan]:
            own = fields if fine is None else {**fields, fine.field: room[i]}
            return own, part.cost(with_values(study, own), lm)

        best, low, high = attempt(len(room) - 1), 0, len(room) - 1
        if not fits(best[1]):
            continue
        while low < high:
            middle = (low + high) // 2
            if fits((found := attempt(middle))[1]):
                best, high = found, middle
            else:
                low = middle + 1
        own, plan = best
        lowered = {each.field: own[each.field] for each in savings if own[each.field] != each.values[0]}
        yield Choice(lowered, plan, _power(part, with_values(study, lowered), lm, fine, room[high]))


def _power(part: Any, study: Any, lm: LM, fine: Saving | None, left: Any) -> float:
    """Of what is left; without a plan of power the share of the fine field that is left."""
    if hasattr(part, "power"):
        return part.power(study, lm)
    return 1.0 if fine is None else min(1.0, left / (fine.enough or fine.values[0]))


def _too_small(study: Any, lm: LM, part: Any, savings: Sequence[Saving]) -> str:
    plan = part.cost(with_values(study, {each.field: each.values[-1] for each in savings}), lm)
    least = enumeration([each.words(each.values[-1]) for each in savings if len(each.values) > 1])
    with_least = f" with {least}" if least else ""
    return (
        f"The budget is too small for any test: the least that decides something reads {plan.tokens:,} tokens{with_least}. "
        "Give more (--budget), or ask for less."
    )


def _asked_values(asked: Any, lm: LM) -> Iterator[tuple[str, Any]]:
    for each in part_beside(type(asked), "cost").savings(asked.without_known(), lm):  # type: ignore[union-attr]
        yield each.field, each.values[0]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def given_up(study: Any, lm: LM) -> dict[str, Saving]:
    """What a budget lowered in a study, by field."""
    savings = part_beside(type(study), "cost").savings(as_asked(study).without_known(), lm)  # type: ignore[union-attr]
    return {each.field: each for each in savings if each.field in study.budget_from}


def what_is_left(study: Any, lm: LM, rung: str | None = None) -> str:
    """What a budget left of what was asked for, in words: all of it, or what weakens a rung; nothing where it left everything."""
    lowered = given_up(study, lm)
    return enumeration(
        [each.words(value_of(study, field)) for field, each in lowered.items() if rung is None or rung in each.rungs]
    )


def with_reasons(found: Any, study: Any, lm: LM) -> Any:
    """A result that says what the budget took, in a warning, and in each rung that is undecided or not tested for want of it."""
    warning = f"Within its budget of {study.budget_tokens:,} tokens the study has {what_is_left(study, lm)}."

    def reason(rung: Rung) -> Rung:
        left = what_is_left(study, lm, rung.name) if rung.state in ("undecided", "not tested") else ""
        return replace(rung, text=f"{rung.text} The reason may be the budget, which left {left}.") if left else rung

    verdict = replace(found.verdict, rungs=tuple(map(reason, found.verdict.rungs)))
    return replace(found, verdict=verdict, warnings=(warning, *found.warnings))
