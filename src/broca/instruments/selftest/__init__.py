"""Would the methods find what is there?"""

from broca.specs.command import Command

COMMAND = Command(
    kind="selftest",
    name="selftest",
    help="Plant units of which the truth is known, see which methods find them, and take them out again.",
    spec="broca.instruments.selftest.spec:Selftest",
    question="Would the methods find what is there, if it were there?",
    works=False,
)
