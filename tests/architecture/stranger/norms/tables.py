"""What it writes."""

from broca import specs

HEADS = specs.Schema(
    "heads",
    "a head",
    layer=specs.Int("block, from 0"),
    head=specs.Int("head, from 0"),
    norm=specs.Float("mean norm of what it writes", "L2"),
)
TABLES = (HEADS,)
