"""The tables of a localizer."""

from broca.evidence.tables import FEATURES, MAPS
from broca.specs.schema import Float, Int, Schema, Text

ACROSS = Schema(
    "across",
    "a further contrast",
    contrast=Text("its name"),
    r=Float("Pearson correlation of the two maps, over units"),
    shared=Int("units that both select"),
    dice=Float("overlap of the two selections", "share of 1"),
    chance_dice=Float("that of two random selections as large", "share of 1"),
    p=Float("hypergeometric, of an overlap at least as large"),
)

TABLES = (*MAPS, ACROSS, *FEATURES)
