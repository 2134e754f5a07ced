"""What to show: contrasts, items, and readers for files of either.

`broca.stimuli.contrasts.contrast`, `broca.stimuli.benchmarks.benchmark`, `broca.stimuli.trees.trees` and
`broca.stimuli.perturb.pairs` are the doors. The files behind them:
generators (`language`, `arithmetic`), stories of our own (`stories`), tables of the user's (`tables`, `label_tables`,
`answers`), formats of other laboratories (`localizers`, `tomi`), and what keeps them honest (`lengths`, `baselines`,
`orders`).
"""

from __future__ import annotations

from broca.lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)
