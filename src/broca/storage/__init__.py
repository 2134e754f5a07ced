"""The only place that writes and parses: files whole or absent, locks that die with their holder, content told by its digest.

Whatever is kept goes through `write` or `replacing`; whatever is read back, through `parse`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broca.storage.digests import digest
from broca.storage.files import (
    filling,
    legible,
    probe,
    read,
    replacing,
    settle,
    write,
    write_json,
    writing,
)
from broca.storage.inside import inside, refuse_links
from broca.storage.lock import hold_lock, is_locked
from broca.storage.parse import parse_json, parse_toml, validate
from broca.storage.temporary import TEMPORARY, sweep

if TYPE_CHECKING:
    from broca.storage.tensors import Source, read_tensors, tensor_header, tensors_of

__all__ = [
    "TEMPORARY",
    "Source",
    "digest",
    "filling",
    "hold_lock",
    "inside",
    "is_locked",
    "legible",
    "parse_json",
    "parse_toml",
    "probe",
    "read",
    "read_tensors",
    "refuse_links",
    "replacing",
    "settle",
    "sweep",
    "tensor_header",
    "tensors_of",
    "validate",
    "write",
    "write_json",
    "writing",
]

_LATER = ("Source", "read_tensors", "tensor_header", "tensors_of")


def __getattr__(name: str) -> Any:
    """What needs pydantic is there when it is asked for: the command line answers before."""
    if name in _LATER:
        from broca.storage import tensors

        return getattr(tensors, name)
    raise AttributeError(name)
