"""Where things are printed: standard output and standard error, never a key or token."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.status import Status

from broca.storage.secrets import hide_secrets


class _Console(Console):
    """Texts are printed without the secrets that stand in them; those in tables are hidden where a table is made, before lines are broken."""

    def print(self, *objects: Any, **how: Any) -> None:
        super().print(*(hide_secrets(each) if isinstance(each, str) else each for each in objects), **how)

    def status(self, status: Any, **how: Any) -> Status:
        return super().status(hide_secrets(status) if isinstance(status, str) else status, **how)


out = _Console(highlight=False)
err = _Console(stderr=True, highlight=False)
