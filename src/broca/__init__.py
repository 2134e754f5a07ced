"""Find where an ability lives in a language model, take it away reversibly, and learn whether the claim survives.

Importing broca imports no torch: each public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "LM": "broca.models.lm",
    "Site": "broca.sites",
    "UnitMask": "broca.units",
    "Select": "broca.units",
    "select": "broca.units",
    "Stimulus": "broca.items",
    "Contrast": "broca.items",
    "Item": "broca.items",
    "PicturedText": "broca.items",
    "Message": "broca.items",
    "BrocaError": "broca.errors",
    "Lesion": "broca.interventions.lesion",
    "contrast": "broca.stimuli.contrasts",
    "benchmark": "broca.stimuli.benchmarks",
    "texts": "broca.stimuli.texts",
    "Likelihood": "broca.scoring.likelihood",
    "Generation": "broca.scoring.generation",
    "Sampled": "broca.scoring.sampling",
    "export": "broca.models.export",
    "Localize": "broca.instruments.localize.spec",
    "CausalTest": "broca.instruments.lesion.spec",
    "Sensitivity": "broca.instruments.sensitivity.spec",
    "WeightMask": "broca.interventions.weights",
    "WeightSet": "broca.units",
    "Probe": "broca.instruments.probe.spec",
    "EdgeLesion": "broca.interventions.edges",
    "Tree": "broca.items",
    "trees": "broca.stimuli.trees",
    "Perturb": "broca.instruments.perturb.spec",
    "Patch": "broca.interventions.patch",
    "PatternPatch": "broca.interventions.pattern",
    "Edit": "broca.items",
    "Pair": "broca.items",
    "pairs": "broca.stimuli.perturb",
    "perturb": "broca.stimuli.perturb",
    "Selftest": "broca.instruments.selftest.spec",
    "run": "broca.runs.run",
    "open_run": "broca.runs.reading",
    "open_runs": "broca.runs.listing",
    "list_runs": "broca.runs.listing",
    "report": "broca.reports.build",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'broca' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted((*_HOMES, "__version__"))
