"""The only place where stimuli, capture, interventions and scoring meet."""

from broca.registry import Registry

STUDIES = Registry(
    "study",
    {
        "localize": "broca.studies.localize:Localize",
        "causal": "broca.studies.causal:CausalTest",
        "sensitivity": "broca.studies.sensitivity:Sensitivity",
        "probe": "broca.studies.probe:Probe",
        "perturb": "broca.studies.perturb:Perturb",
        "selftest": "broca.studies.selftest:Selftest",
    },
)
"""By the `kind` of a spec."""
