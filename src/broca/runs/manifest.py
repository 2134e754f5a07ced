"""What a run says of itself: ``manifest.json``, the lines of its log and the index of a folder, each read through a schema.

A manifest carries a seal, the SHA-256 of its own content, and the SHA-256 of every other file that is part of the result. A seal
tells damage and careless changes, not forgery: whoever writes a new one is believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from broca import __version__
from broca.errors import BrocaError, RunError
from broca.runs.formats import canonical
from broca.runs.store import corrupt, parse_json
from broca.storage import digest, validate

SCHEMA = 2
"""Of manifests. Those of schema 1 carry no seal."""

SEAL = "seal"

_AGAIN = "Delete the run's directory and run its spec again."


class _Told(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class Written(_Told):
    """One file of a run, as it was written."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: str


class ModelEntry(_Told):
    """The model of a run."""

    name: str | None = None


class Manifest(_Told):
    """What every manifest says."""

    kind: str
    hash: str
    model: ModelEntry
    data: dict[str, Any]
    broca: str | None = None
    environment: dict[str, Any] = {}


class Begun(Manifest):
    """What that of an unfinished run says."""

    status: Literal["partial"]
    files: dict[str, Written] = {}


class FinishedManifest(Manifest):
    """What that of a finished run says."""

    status: Literal["finished"]
    files: dict[str, Written]
    created: str
    seconds: float
    warnings: list[str] = []


def _aware(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a time without a zone")
    return text


class Event(_Told):
    """A line of a log."""

    time: Annotated[str, AfterValidator(_aware)]
    event: str
    text: str | None = None
    state: str | None = None


class Row(_Told):
    """A line of a listing."""

    name: str
    kind: str | None = None
    status: Literal["finished", "partial", "broken"]
    model: str | None = None
    contrast: str | None = None
    verdict: str | None = None
    why: str | None = None
    created: str | None = None
    seconds: float | None = None


class IndexEntry(_Told):
    """A finished run as a listing saw it: its line, and the size and time of change of each file that the line rests on."""

    row: Row
    seen: dict[str, Annotated[list[int], Field(min_length=2, max_length=2)]]


class Index(_Told):
    """The finished runs of a folder by the names of their directories."""

    broca: str
    runs: dict[str, IndexEntry]


class CaptureManifest(_Told):
    """What the manifest of a folder of captures says."""

    rows: Annotated[list[str], Field(min_length=1)]
    shard: Annotated[int, Field(ge=1)]
    config_hash: str


def seal(told: Mapping[str, Any]) -> dict[str, Any]:
    """What is told, with the seal of its content."""
    content = {name: value for name, value in told.items() if name != SEAL}
    return content | {SEAL: digest(canonical(content).encode())}


def seal_fits(told: Mapping[str, Any]) -> bool:
    """Whether a seal is that of the content beside it."""
    try:
        return told.get(SEAL) == seal(told)[SEAL]
    except (RecursionError, ValueError):
        return False


def read_manifest(content: bytes, path: Path) -> tuple[dict[str, Any], str]:
    """What a manifest says, and what is wrong with its seal, where anything is.

    Raises:
        RunError: if it is none, or of a later broca.
    """
    told = parse_json(content, path)
    schema = told.get("schema", 1)
    if not isinstance(schema, int):
        raise corrupt(path, f"its schema is {str(schema)[:40]!r}")
    if schema > SCHEMA:
        raise RunError(
            f"{path.parent} was written by a later broca ({str(told.get('broca'))[:40]}). Upgrade broca to open it."
        )
    if (schema <= 1 and SEAL not in told) or seal_fits(told):
        return told, ""
    made = str(told.get("broca"))[:40]
    version = "" if made == __version__ else f" (it says that broca {made!r} wrote it, and this is {__version__})"
    return told, f"it does not match its own checksum{version}"


def check(told: Any, kind: type[BaseModel], path: Path, error: type[BrocaError] = RunError) -> None:
    """See that values have the shape of a schema.

    Raises:
        BrocaError: of the class `error`, naming the place.
    """
    validate(told, kind, name=f"{path} is corrupt", error=error, advice=_AGAIN)
