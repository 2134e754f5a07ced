"""What breaks when a selection is gone, against matched controls?"""

from broca.specs.command import Command

COMMAND = Command(
    kind="causal",
    name="lesion",
    help="Lesion a selection, score abilities against matched random lesions, and climb the ladder.",
    spec="broca.instruments.lesion.spec:CausalTest",
    parts={
        "localizer": (
            *("contrast", "sites", "grain", "twins", "permutations", "also", "resamples", "lengths", "protect_massive"),
            "chat",
        )
    },
    options={"contrast_options": "localizer.options"},
    one_of=("contrast", "localizer", "units", "heads"),
    flags={"localizer": "--contrast or --localizer", "selection": "--units or --heads"},
)
