"""Which units, or heads, does a contrast select?"""

from broca.specs.command import Command

COMMAND = Command(
    kind="localize",
    name="localize",
    help="Rank every unit, or head, by a contrast, and select.",
    spec="broca.instruments.localize.spec:Localize",
    question="Which units, or heads, does this contrast select, and is that map worth anything?",
    examples=True,
    features=True,
    ranks=True,
    options={name: f"select.{name}" for name in ("percent", "count", "side", "within")},
)
