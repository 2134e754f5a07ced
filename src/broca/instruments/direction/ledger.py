"""What the test of a direction tried, and what its layer and dose were chosen on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broca.evidence.ledger import DataChoice, Ledger, look
from broca.page.words import enumeration

if TYPE_CHECKING:
    from broca.instruments.direction.choosing import Chosen, Parts
    from broca.instruments.direction.spec import DirectionTest


def ledger(spec: DirectionTest, chosen: Chosen, parts: Parts, abilities: list[str]) -> Ledger:
    """The ledger of a test.

    Args:
        spec: the test.
        chosen: its layer and dose.
        parts: of the own items.
        abilities: on which it was tested.
    """
    looks = (
        look("layers", chosen.tried["site"], str(chosen.site)),
        look("ways to fit", (spec.method,) if spec.fits else ()),
        look("doses", sorted(spec.doses), f"{chosen.dose:g}" if chosen.dose else "none"),
    )
    tested = f"other items of {enumeration(abilities)}"
    choices = [
        DataChoice("the dose", "perplexities of texts", tested, apart=True),
        DataChoice(
            "the layer, and what positive doses move towards",
            f"half of the groups of {spec.items}",
            tested,
            apart=True,
            groups=parts.groups,
        ),
    ]
    return Ledger.of(spec, looks, choices if spec.layer is None or spec.toward is None else choices[:1])
