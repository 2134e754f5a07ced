"""What stands beside a spec in the folder of its instrument."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType


def part_beside(spec: type, name: str) -> ModuleType | None:
    """The module `name` of the package in which a spec is defined; None where it has none."""
    package = spec.__module__.rpartition(".")[0]
    if not package or find_spec(f"{package}.{name}") is None:
        return None
    return import_module(f"{package}.{name}")
