"""Which weights does an ability hang on?"""

from pathlib import Path

from broca.specs.command import Command, Extra

COMMAND = Command(
    kind="sensitivity",
    name="sensitivity",
    help="Score every weight by a task's gradients, leave out what plain text needs, mask, sweep, and climb the ladder.",
    spec="broca.instruments.sensitivity.spec:Sensitivity",
    question="Which weights does the ability hang on, more than matched random ones, and is it this ability alone?",
    examples=True,
    selection="mask",
    options={"windows_of": "reading.length"},
    extras=(
        Extra(
            "tree",
            Path,
            "Write cells as published too: a tree of CSV files and summary.csv, into this folder.",
            check="broca.compat.wu2025.tree:check_tree",
            done="broca.compat.wu2025.tree:write_cells",
        ),
    ),
)
