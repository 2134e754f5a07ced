"""What a reader sees."""

from __future__ import annotations

from broca.evidence.blocks import facts, table
from broca.page.blocks import Block, Title, section
from broca.page.record import Record
from norms.tables import HEADS


def blocks(record: Record) -> list[Block]:
    settings = (("layer", "layer"), ("head", "head"), ("norm", "norm", "column"))
    found = table(HEADS, record.rows("heads"), "Heads", *settings)
    return [Title("Norms", "What heads write"), facts(record), *section("heads", "Heads by norm", found)]
