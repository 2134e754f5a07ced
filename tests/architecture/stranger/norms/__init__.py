"""A stranger's instrument, whole: how much does each head write?"""

from broca.specs.command import Command

COMMAND = Command(kind="norms", name="norms", help="Rank heads by how much they write.", spec="norms.spec:Norms")
