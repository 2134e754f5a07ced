"""A stranger's instrument, whole: how much does each head write?"""

from broca import specs

COMMAND = specs.Command(kind="norms", name="norms", help="Rank heads by how much they write.", spec="norms.spec:Norms")
