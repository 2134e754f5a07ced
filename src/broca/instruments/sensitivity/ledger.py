"""What a sensitivity study tried, and what its weights and their fraction were chosen on."""

from __future__ import annotations

from broca.evidence.ledger import DataChoice, Ledger, group_digests, look
from broca.evidence.pilot import pilot_choice
from broca.instruments.sensitivity.work import Work
from broca.page.words import count


def ledger(work: Work, mask_fraction: float) -> Ledger:
    """The ledger of a study that chose a fraction.

    Args:
        work: the study.
        mask_fraction: the fraction.
    """
    spec, (scored, choosing, _) = work.spec, work.parts
    apart = spec.choose_on == "apart"
    looks = (
        look("fractions", work.fractions, mask_fraction),
        look("edits", (edit.name for edit in spec.edits), "their mean"),
        look("sizes", (1.0, *spec.sizes)),
        look("families of random masks", spec.nulls, "all"),
    )
    tested = f"{count(len(work.own_items), 'item')} of {work.own}"
    weights = f"{count(len(scored), 'item')} of {work.own}" if scored else work.task.name
    choices = (
        DataChoice("the ranking of the weights", weights, tested, apart=True, groups=group_digests(scored)),
        DataChoice(
            "the fraction", f"{count(len(choosing), 'item')} of {work.own}" if apart else "the items that test it", tested, apart,
            groups=group_digests(choosing),
        ),
        *pilot_choice(spec.pilot, tested, *work.other_data),
    )  # fmt: skip
    return Ledger.of(spec, looks, choices)
