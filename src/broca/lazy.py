"""Rooms that open when something is asked of them: the stub beside a package's ``__init__.py`` lists its public names, once.

Each line of the stub, ``from HOME import NAME as NAME``, tells readers and type checkers what is there, and the package where to
fetch it when it is first used.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def homes(file: str) -> dict[str, str]:
    """The public names of the package whose ``__init__.py`` is `file`, and the module in which each is defined."""
    stub = ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8"))
    lines = [line for line in stub.body if isinstance(line, ast.ImportFrom)]
    return {alias.asname or alias.name: line.module or "" for line in lines for alias in line.names}


def lazy_names(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package (PEP 562), whose names are imported when they are first used.

    A line ``from broca import ROOM as ROOM`` of the stub is a package below.
    """
    where = homes(file)

    def fetch(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if where[name] == package:
            return import_module(f"{package}.{name}")
        value = getattr(import_module(where[name]), name)
        setattr(import_module(package), name, value)
        return value

    return fetch, lambda: sorted(where)
