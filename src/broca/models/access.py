"""Where models come from and lie: the ecosystem's own variables, and the two keys of older projects' ``.env`` files.

``HF_TOKEN``, ``HF_HOME`` and the token that ``hf auth login`` stores are huggingface_hub's own affair. Where they say nothing,
``HF_ACCESS_TOKEN`` and ``CACHE_DIR`` do: from the environment, or from a file ``.env`` in the working directory. A token is
handed to the hub and to nobody else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from broca.storage.secrets import dotenv


def access() -> dict[str, Any]:
    """Arguments for loaders of the hub: ``token`` and ``cache_dir``, each only where the hub's own variables leave it open."""
    from huggingface_hub import get_token

    said = settings()
    found: dict[str, Any] = {}
    token = said.get("HF_TOKEN") or said.get("HF_ACCESS_TOKEN")
    if token and not get_token():
        found["token"] = token
    if said.get("CACHE_DIR") and not {"HF_HOME", "HF_HUB_CACHE"} & os.environ.keys():
        found["cache_dir"] = said["CACHE_DIR"]
    return found


def settings(folder: Path | None = None) -> Mapping[str, str]:
    """What ``.env`` in the working directory and the environment say; the environment wins."""
    names = ("HF_TOKEN", "HF_ACCESS_TOKEN", "CACHE_DIR")
    return {**dotenv(folder), **{name: os.environ[name] for name in names if os.environ.get(name)}}
