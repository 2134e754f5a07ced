"""Directions as safetensors: one tensor a site and table, and what is known of them as JSON in the header."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import BaseModel, Field

from broca.errors import BrocaError, SelectionError
from broca.sites import Site
from broca.units.own_files import check_fingerprint, read_own, write_own

FORMAT, VERSION = "broca-direction", 1
TABLES = ("vectors", "readers", "centres")


class Like(Protocol):
    """What is written, and has been read: a `broca.units.direction.Direction`."""

    @property
    def rho(self) -> Mapping[Site, float]: ...

    @property
    def model(self) -> str: ...

    @property
    def about(self) -> Mapping[str, Any]: ...

    @property
    def fingerprint(self) -> str: ...


D = TypeVar("D", bound=Like)


def save(direction: Like, path: Path) -> Path:
    """Write it under a temporary name, then rename."""
    said = {
        "fingerprint": direction.fingerprint,
        "model": direction.model,
        "rho": {str(site): value for site, value in direction.rho.items()},
        "about": dict(direction.about),
    }
    tensors = {f"{table}/{site}": v for table in TABLES for site, v in getattr(direction, table).items()}
    return write_own(path, FORMAT, VERSION, tensors, said)


class _About(BaseModel):
    """What a file says of its direction."""

    fingerprint: str
    model: str
    rho: Mapping[str, Annotated[float, Field(allow_inf_nan=False)]]
    about: Mapping[str, Any]


def load(make: Callable[..., D], path: Path) -> D:
    """Read a direction, and check it against its own fingerprint.

    Raises:
        SelectionError: if the file is missing, damaged, or something else.
    """
    said, tensors = read_own(
        path, FORMAT, VERSION, _About, noun="direction", writer="Direction.save",
        elsewhere=" Files of other programs are read by broca.read_direction.",
    )  # fmt: skip
    tables: dict[str, dict[Site, Any]] = {name: {} for name in TABLES}
    try:
        for name, values in tensors.items():
            table, _, site = name.partition("/")
            if table not in tables or values.dtype != "float32":
                raise SelectionError(f"it holds {name[:60]!r} of {values.dtype}")
            tables[table][Site.parse(site)] = values
        rho = {Site.parse(site): value for site, value in said.rho.items()}
        direction = make(**tables, rho=rho, model=said.model, about=said.about)
    except BrocaError as error:
        raise SelectionError(f"{path} is damaged: {error}") from error
    check_fingerprint(path, direction.fingerprint, said.fingerprint)
    return direction
