"""The command that says what a kind of error means."""

from __future__ import annotations

from broca.cli import terminal
from broca.errors import kinds
from broca.registry import unknown


def explain(short: str) -> None:
    """Say what a kind of error means: what causes it, and what to do.

    Args:
        short: The name in brackets at the end of a message, such as spec.
    """
    known = kinds()
    kind = known.get(short.strip("[]"))
    if kind is None:
        raise unknown("kind of error", short, tuple(known))
    pairs = [("error", f"{kind.__name__}: {kind.__doc__}"), ("causes", kind.cause), ("what to do", kind.remedy)]
    terminal.facts([*pairs, ("exit code", str(kind.exit_code))])
