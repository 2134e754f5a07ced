"""Where the user's machine keeps what can be made again: the platform's own folder for caches, or the one that BROCA_CACHE names."""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "BROCA_CACHE"


def user_cache() -> Path:
    """The folder for what broca makes once and uses again; it may not be there yet."""
    if said := os.environ.get(VARIABLE):
        return Path(said).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "broca"
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "broca"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "broca"
