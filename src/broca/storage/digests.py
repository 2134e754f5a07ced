"""Content told by its digest."""

from __future__ import annotations

import hashlib


def digest(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()
