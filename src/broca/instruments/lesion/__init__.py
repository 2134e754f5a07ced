"""What breaks when a selection is gone, against matched controls?

The command is called by what is done to the model, ``lesion``; the study, `CausalTest`, by what it decides, and so is its kind, ``causal``.
"""

from broca.specs.command import Command, Part

COMMAND = Command(
    kind="causal",
    name="lesion",
    help="Lesion a selection, score abilities against matched random lesions, and climb the ladder.",
    spec="broca.instruments.lesion.spec:CausalTest",
    question="What breaks when the selected units are gone, beyond what matched random ones break, and is it this ability alone?",
    examples=True,
    features=True,
    parts={
        "localizer": Part(
            "localize",
            (
                *("contrast", "sites", "grain", "twins", "permutations", "also", "resamples", "lengths"),
                *("confounds", "protect_massive", "chat"),
            ),
        )
    },
    options={"contrast_options": "localizer.options"},
    one_of=("contrast", "localizer", "from_", "units", "heads"),
    flags={"localizer": "--contrast or --localizer", "selection": "--from, --units or --heads"},
)
