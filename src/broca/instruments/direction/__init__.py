"""Does a direction of a contrast move what a model says, more than random directions do, while its text stays fluent?"""

from pathlib import Path

from broca.specs.command import Command, Extra

COMMAND = Command(
    kind="direction",
    name="direction",
    help="Fit a direction from a contrast, steer along it by doses, and climb the ladder against matched random directions.",
    spec="broca.instruments.direction.spec:DirectionTest",
    question="Does the direction of a contrast move what the model says, more than random directions do, while its text stays fluent?",
    examples=True,
    features=True,
    extras=(
        Extra(
            "export",
            Path,
            "Write the direction at the chosen layer into this file too: .safetensors, or .gguf for llama.cpp.",
            check="broca.instruments.direction.export:check_export",
            done="broca.instruments.direction.export:write_export",
        ),
    ),
)
