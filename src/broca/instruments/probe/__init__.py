"""Can the reasoning tree be read from attention, and is it the way to the answer?"""

from broca.specs.command import Command

COMMAND = Command(
    kind="probe",
    name="probe",
    help="Read reasoning trees from attention: S_P1 (which statements are useful) and S_P2 (in which step).",
    spec="broca.instruments.probe.spec:Probe",
    question="Can the reasoning tree be read from attention, and is it the way to the answer?",
    options={"estimator": "classifier.kind", "distance": "classifier.distance", "prune": "pruning"},
)
