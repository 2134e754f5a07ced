"""What a run on the hub is called: ``hf://user/name``, with ``@revision`` where one is meant."""

from __future__ import annotations

import re
from dataclasses import dataclass

from broca.errors import RunError

SCHEME = "hf://"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")


@dataclass(frozen=True, slots=True)
class Address:
    """A dataset repository of the hub, at a revision."""

    name: str
    """``user/name``."""
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``user/name``, ``hf://user/name`` or either with ``@revision``.

        Raises:
            RunError: if it is none of these.
        """
        name, _, revision = text.removeprefix(SCHEME).partition("@")
        wrong = (
            not _NAME.fullmatch(name)
            or ".." in name
            or (revision and (not _REVISION.fullmatch(revision) or ".." in revision))
        )
        if wrong or (not revision and text.endswith("@")):
            raise RunError(f"{text[:120]!r} is no address of a run on the hub. Write user/name, or user/name@revision.")
        return cls(name, revision or None)

    def __str__(self) -> str:
        return f"{SCHEME}{self.name}" + (f"@{self.revision}" if self.revision else "")


def is_address(text: str) -> bool:
    """Whether a text means a run on the hub, and no place on the disk."""
    return text.startswith(SCHEME)
