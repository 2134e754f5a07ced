"""Do mistakes and rewordings cost answers, where, and what puts it right again?"""

from broca.specs.command import Command

COMMAND = Command(
    kind="perturb",
    name="perturb",
    help="Perturb texts, compare answers by item, and patch the runs whose answer turned; or score what was captured before.",
    spec="broca.instruments.perturb.spec:Perturb",
    question="Do mistakes and rewordings cost answers, where in the model is the damage done, and what puts it right again?",
    examples=True,
    features=True,
    inside={"capture": "broca.cli.captures:perturb", "score": "broca.cli.captures:score"},
)
