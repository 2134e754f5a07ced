"""What a causal test tried and what it was chosen on, and the items that are left out because they chose."""

from __future__ import annotations

from collections.abc import Sequence

from broca.evidence.ledger import DataChoice, Ledger, look
from broca.evidence.overlap import ChoosingData, OtherData, texts_of
from broca.evidence.selector import Ranking
from broca.evidence.trial import TrialScores
from broca.instruments.lesion.spec import CausalTest
from broca.items import fingerprint
from broca.page.words import count, enumeration


def choosing_data(spec: CausalTest) -> ChoosingData:
    """What the selection was chosen on: the texts that localized it, or the groups of the run that selected it."""
    main = next(iter(spec.every_localizer), None)
    groups = spec.origin.groups if spec.origin else ()
    return ChoosingData(texts_of(getattr(main, "stimuli", None)), frozenset(groups))


def reuse_reason(spec: CausalTest, data: OtherData, ability: str) -> str | None:
    """Why nothing is decided on an ability: what is tested was chosen on its items. None where other data test it."""
    if (why := data.reason(ability)) or spec.origin is None or spec.origin.groups:
        return why
    own = fingerprint([item.fingerprint for item in spec.abilities[ability]])
    if own not in spec.origin.data.values():
        return None
    return (
        f"The {spec.origin.instrument} run that selected was shown the items of {ability} too, and does not say which of them chose: give "
        "items that chose nothing."
    )


def drop_warnings(data: OtherData) -> tuple[str, ...]:
    """What was left out because it had chosen, in words."""
    if not data.dropped:
        return ()
    return (
        f"{count(data.dropped, 'item')} left out: they, or others of their groups, helped to choose what is lesioned.",
    )


def ledger(spec: CausalTest, data: OtherData, scores: TrialScores, found: Sequence[Ranking]) -> Ledger:
    """The ledger of a test.

    Args:
        spec: the test.
        data: what it was tested on.
        scores: of the trial.
        found: what its localizers found, the main one first.
    """
    selection = spec.selection if spec.selection is not None else scores.trial.mask
    main = next(iter(spec.every_localizer), None)
    ranked = main is not None
    looks = (
        look("localizers", (each.label for each in found)),
        look("sites", (getattr(main, "sites", "") or (found[0].selection["site"] if found else ""),))
        if ranked
        else None,
        look("sides", spec.sides) if ranked else None,
        look("percentages", (spec.percent, *spec.doses)) if ranked else None,
        look("sizes", (1.0, *spec.sizes)) if ranked else None,
        look("fills", spec.fills, "their mean"),
    )
    return Ledger.of(spec, looks, [_choice(spec, data, selection.grain, [each.label for each in found])])


def _choice(spec: CausalTest, data: OtherData, grain: str, localizers: Sequence[str]) -> DataChoice:
    tested = enumeration([*data.abilities])
    apart = not any(reuse_reason(spec, data, ability) for ability in data.abilities)
    if localizers:
        on = f"the texts of the contrast {localizers[0]}"
    elif spec.origin is not None:
        on = f"what the {spec.origin.instrument} run {spec.origin.hash[:6]} was shown"
    else:
        on = "nothing that the spec names: the selection was given"
    return DataChoice(f"the {grain}s", on, f"items of {tested}", apart, data.dropped)
