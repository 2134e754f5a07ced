"""What a localizer tried, and what its units were chosen on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broca.evidence.ledger import DataChoice, Ledger, look

if TYPE_CHECKING:
    from broca.instruments.localize.result import Localization


def ledger(found: Localization) -> Ledger:
    """The ledger of a localizer, whose selection is tested on the stimuli that made it by permutation, and on halves of them."""
    spec, selection = found.spec, found.selection
    looks = (
        look("contrasts", (found.label, *spec.also)),
        look("sites", (spec.sites,)),
        look(f"{spec.grain}s", (f"{selection['n_alive']} of them",), f"{selection['k']} of them"),
        look("percentages", (float(selection["percent"]),)),
    )
    half = spec.select_on == "half"
    chosen = DataChoice(
        f"the {spec.grain}s",
        f"{'half of ' if half else ''}the stimuli of {found.label}",
        f"{'the other half' if half else 'arrangements and halves of the same stimuli, which choose anew'}",
        apart=True,
    )
    return Ledger.of(spec, looks, [chosen])
