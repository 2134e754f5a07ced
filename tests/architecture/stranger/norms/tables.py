"""What it writes."""

from broca.specs.schema import Float, Int, Schema

HEADS = Schema(
    "heads",
    "a head",
    layer=Int("block, from 0"),
    head=Int("head, from 0"),
    norm=Float("mean norm of what it writes", "L2"),
)
TABLES = (HEADS,)
