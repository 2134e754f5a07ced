"""Choosing units, and comparing choices.

A `UnitMask` says which units (or heads) of which sites are chosen. `select` makes one from scores, `random_like` makes
a control of the same size, matched on where its units are and how large they are. `WeightSet` and `WeightRanking` are the same
for single weights.
"""

from __future__ import annotations

from broca.units.draws import Draw, draw_like, random_like, subset
from broca.units.mask import Grain, Overlap, UnitMask
from broca.units.selection import Select, Selection, select
from broca.units.weight_ranking import WeightRanking
from broca.units.weights import WeightSet

__all__ = [
    "Draw",
    "Grain",
    "Overlap",
    "Select",
    "Selection",
    "UnitMask",
    "WeightRanking",
    "WeightSet",
    "draw_like",
    "random_like",
    "select",
    "subset",
]
