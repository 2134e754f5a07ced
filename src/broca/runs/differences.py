"""What is otherwise than when a run began, or in the run that lies where another was asked for; in words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from broca import __version__
from broca.errors import RunError
from broca.runs.reading import Run
from broca.runs.spec import Identity


def environment_changes(before: dict[str, Any], begun: dict[str, Any]) -> Iterator[str]:
    """What is otherwise than when the run began, and may show in its last digits."""
    before = {"broca": before.get("broca"), **before.get("environment", {})}
    present = {"broca": __version__, **begun["environment"]}
    for name, value in present.items():
        if before.get(name) != value:
            yield f"Resumed with {name} {value} after a start with {before.get(name)}: this run's cells mix both."


def other_run_error(found: Run, final: Path, identity: Identity) -> RunError:
    """The error for a directory that another study, model or data made."""
    place, differences = found.path, list[str]()
    with contextlib.suppress(RunError, KeyError, TypeError):
        manifest = found.manifest
        there = Identity(
            study=found.spec["study"],
            model=manifest["model"].get("identity")
            or {k: v for k, v in manifest["model"].items() if k in identity.model},
            data={name: value for name, value in manifest["data"].items() if name in identity.data},
        )
        differences = identity.differences(there)
    more = f"; and {len(differences) - 6} more" if len(differences) > 6 else ""
    what = f" ({'; '.join(differences[:6])}{more})" if differences else ""
    if place == final:
        return RunError(f"{final} was made by another spec{what}. Choose another path, or delete it.")
    return RunError(
        f"An unfinished run of another spec{what} is at {place}. Finish it with its own spec, choose another path, or "
        "discard it with resume=False."
    )
