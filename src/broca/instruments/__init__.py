"""The instruments, one folder each: the only place where stimuli, capture, interventions and scoring meet."""

from broca.registry import Registry

INSTRUMENTS = Registry(
    "study",
    {
        "localize": "broca.instruments.localize.spec:Localize",
        "causal": "broca.instruments.lesion.spec:CausalTest",
        "sensitivity": "broca.instruments.sensitivity.spec:Sensitivity",
        "probe": "broca.instruments.probe.spec:Probe",
        "perturb": "broca.instruments.perturb.spec:Perturb",
        "selftest": "broca.instruments.selftest.spec:Selftest",
    },
)
"""By the `kind` of a spec."""
