"""What a causal test tried and what it was chosen on, and the items that are left out because they chose."""

from __future__ import annotations

from collections.abc import Sequence

from broca.evidence.ledger import DataChoice, Ledger, look
from broca.evidence.overlap import ChoosingData, OtherData, texts_of, without_choosing
from broca.evidence.pilot import pilot_choice, pilot_data
from broca.evidence.selector import Ranking
from broca.evidence.trial_scores import TrialScores
from broca.instruments.lesion.spec import CausalTest
from broca.items import fingerprint
from broca.page.words import enumeration


def choosing_data(spec: CausalTest) -> ChoosingData:
    """What the selection was chosen on: the texts that localized it, or the groups of the run that selected it."""
    main = next(iter(spec.every_localizer), None)
    groups = spec.origin.groups if spec.origin else ()
    return ChoosingData(texts_of(getattr(main, "stimuli", None)), frozenset(groups))


def other_data(spec: CausalTest) -> tuple[OtherData, OtherData]:
    """The items without those that chose the selection, and without those that were looked at before, too."""
    data = without_choosing(spec.abilities, choosing_data(spec))
    return data, data.without(pilot_data(spec.pilot_items))


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


def ledger(
    spec: CausalTest, data: tuple[OtherData, OtherData], scores: TrialScores, found: Sequence[Ranking]
) -> Ledger:
    """The ledger of a test.

    Args:
        spec: the test.
        data: see `other_data`: what it was tested on, last.
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
    without, tested = data
    chosen = _choice(spec, without, selection.grain, [each.label for each in found])
    return Ledger.of(spec, looks, [chosen, *pilot_choice(spec.pilot, chosen.tested_on, without, tested)])


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
