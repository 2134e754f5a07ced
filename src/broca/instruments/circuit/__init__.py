"""Which edges of a model carry an answer, and does the circuit survive its controls?"""

from pathlib import Path
from typing import Literal

from broca.specs.command import Command, Extra

COMMAND = Command(
    kind="circuit",
    name="circuit",
    help="Score the edges between a model's parts, choose a circuit, and test what it suffices for and what it is needed for.",
    spec="broca.instruments.circuit.spec:Circuit",
    question="Which edges carry the answer: do they suffice, and are they needed?",
    examples=True,
    one_of=("edges", "percent"),
    extras=(
        Extra(
            "export",
            tuple[Literal["mib"], Path],
            "Write the ranking for other programs too: mib OUT makes an entry of MIB's circuit track in the folder OUT.",
            check="broca.instruments.circuit.entry:check_entry",
            done="broca.instruments.circuit.entry:write_entry",
        ),
    ),
)
