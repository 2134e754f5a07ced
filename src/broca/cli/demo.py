"""The studies that `broca demo` runs: what do two heads of a real model do, and is there a belief network in the shipped small ones?"""

from __future__ import annotations

from broca.instruments.lesion.spec import CausalTest
from broca.instruments.localize.spec import Localize
from broca.instruments.perturb.spec import Perturb
from broca.instruments.probe.spec import Probe, Pruning
from broca.instruments.sensitivity.spec import Sensitivity
from broca.interventions.weights import Edit
from broca.stimuli.sums import WORDS

REAL_MODEL = "smollm2"
REAL = CausalTest(
    selection="23.4,29.1",  # type: ignore[arg-type] - a mask is read from what is written
    items="facts/capitals",
    others=("facts/languages", "recall/capitals", "grammar/agreement"),
    n_items=60,
    draws=19,
    fills=("zero", "mean"),
)
"""In a real language model: two heads through which a country leaves its own word. Without them, what of its capital? Of its language? Of
capitals that only have to be repeated?"""

DEMO = CausalTest(
    localizer=Localize(contrast="belief", sites="*.z", grain="head", twins=19),
    localizers=("multiple-demand-matched",),
    items="beliefs/false-belief",
    others=("beliefs/true-belief", "beliefs/photograph", "beliefs/reality", "beliefs/arithmetic-easy"),
    n_items=64,
    sides=("top", "bottom"),
    percent=12.5,
    doses=(6.25, 25.0),
    draws=20,
    dose_draws=8,
    match=(),
    fills=("zero", "mean", "resample"),
)
"""In `beliefs`: heads that tell stories about beliefs from stories about pictures."""

ROUTED = CausalTest(
    # Stories in which a belief goes out of date are longer.
    localizer=Localize(
        contrast="beliefs/outdated", options={"detail": 0.0}, sites="*.z", grain="head", lengths=True, twins=19
    ),
    items="beliefs/false-belief",
    # Arithmetic has too few wordings to be compared by them.
    others=("beliefs/photograph", "beliefs/reality", "beliefs/memory"),
    options={"detail": 0.0},
    n_items=64,
    percent=5.0,
    doses=(10.0,),
    draws=20,
    dose_draws=8,
    match=(),
)
"""In `routed`, whose belief answers were taught to known places: the head that tells outdated beliefs from others."""

WEIGHTS = Sensitivity(
    task="beliefs/false-belief",
    others=("beliefs/photograph", "beliefs/reality"),
    general="beliefs/memory",
    n_items=40,
    n_general=40,
    n_read=20,
    objective="contrast",
    score="gradient-weight",
    scope="global",
    sweep="0.008,0.032",
    sizes=(0.5,),
    edits=(Edit("zero"), Edit("resample")),
    nulls=("rows",),
    sweep_draws=0,
)
"""In `beliefs`: weights that false belief hangs on, and the memory of what was told does not."""

TREES = Probe(
    task="kth",
    options={"k": 2, "m": 8},
    n=512,
    n_items=64,
    permutations=100,
    pruning=Pruning(levels=(25.0, 50.0, 75.0), fills=("zero",), modes=("remove",)),
    edges=True,
    draws=100,
)
"""In `kth`, which says the second smallest number of a list: is the way to it readable from attention, and is it the way?"""

TYPOS = Perturb(
    n_items=120,
    kinds=("keyboard", "transpose", "delete", "substitute", "case", "homoglyph", "repeat-word"),
    among=tuple(sorted(WORDS)),
    compare=16,
    cases=60,
    draws=40,
)
"""In `sums`, which has never seen a mistake: what mistakes in the word that counts cost, and where the clean run's values undo them."""
