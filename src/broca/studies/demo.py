"""The study that `broca demo` runs: is there a belief network in the shipped small model?"""

from __future__ import annotations

from broca.studies.causal import CausalTest
from broca.studies.localize import Localize

DEMO = CausalTest(
    localizer=Localize(contrast="belief", sites="*.z", grain="head", twins=20),
    localizers=("multiple-demand-matched",),
    items="beliefs/false-belief",
    others=("beliefs/true-belief", "beliefs/photograph", "beliefs/reality", "beliefs/arithmetic-easy"),
    n_items=64,
    sides=("top", "bottom"),
    dose=12.5,
    doses=(6.25, 25.0),
    draws=20,
    dose_draws=8,
    match=(),
    fills=("zero", "mean", "resample"),
)
