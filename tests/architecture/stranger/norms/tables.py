"""What it writes."""

from broca import specs

HEADS = specs.Schema(
    "heads",
    "a head",
    layer=specs.Int("block, from 0"),
    head=specs.Int("head, from 0"),
    norm=specs.Float("root mean square norm of its z", "L2"),
)
TABLES = (HEADS,)
