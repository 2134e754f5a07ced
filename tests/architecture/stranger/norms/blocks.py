"""What a reader sees."""

from __future__ import annotations

from broca import evidence, page
from norms.tables import HEADS


def blocks(record: page.Record) -> list[page.Block]:
    settings = (("layer", "layer"), ("head", "head"), ("norm", "norm", "column"))
    found = evidence.table(HEADS, record.rows("heads"), "Heads", *settings)
    return [
        page.Title("Norms", "Heads by the norm of z"),
        evidence.facts(record),
        *page.section("heads", "Heads by norm", found),
    ]
