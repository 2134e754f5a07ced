"""A stranger's instrument, whole: how large is the z of each head?"""

from broca import specs

COMMAND = specs.Command(kind="norms", name="norms", help="Rank heads by the norm of z.", spec="norms.spec:Norms")
