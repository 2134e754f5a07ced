"""Choosing units, and comparing choices.

A `UnitMask` says which units (or heads) of which sites are chosen. `select` makes one from scores, `random_like` makes
a control of the same size, matched on where its units are and how large they are. `WeightSet` and `WeightRanking` are the same
for single weights.
"""

from __future__ import annotations

from broca.lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)
