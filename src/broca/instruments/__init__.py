"""The instruments, one folder each: the only place where stimuli, capture, interventions and scoring meet."""

from broca.registry import Registry

INSTRUMENTS = Registry(
    "study",
    {
        "localize": "broca.instruments.localize.study:Localize",
        "causal": "broca.instruments.lesion.study:CausalTest",
        "sensitivity": "broca.instruments.sensitivity.study:Sensitivity",
        "probe": "broca.instruments.probe.study:Probe",
        "perturb": "broca.instruments.perturb.study:Perturb",
        "selftest": "broca.instruments.selftest.study:Selftest",
    },
)
"""By the `kind` of a spec."""
