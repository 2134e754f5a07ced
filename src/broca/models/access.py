"""Where models come from and lie: the ecosystem's own variables, and the two keys of older projects' ``.env`` files.

``HF_TOKEN``, ``HF_HOME`` and the token that ``hf auth login`` stores are huggingface_hub's own affair. Where they say nothing,
``HF_ACCESS_TOKEN`` and ``CACHE_DIR`` do: from the environment, or from a file ``.env`` in the working directory. A token is
handed to the hub and to nobody else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*")


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
    return {**_read(folder or Path()), **{name: os.environ[name] for name in names if os.environ.get(name)}}


def hidden(text: str) -> str:
    """`text` without any token that is known here."""
    from huggingface_hub import get_token

    said = settings()
    for secret in (get_token(), said.get("HF_TOKEN"), said.get("HF_ACCESS_TOKEN")):
        if secret:
            text = text.replace(secret, "(token)")
    return text


def _read(folder: Path) -> dict[str, str]:
    """The assignments of a ``.env``: one a line, quotes around values taken off, comments and other lines left alone."""
    try:
        lines = (folder / ".env").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    found = {}
    for line in lines:
        if match := _LINE.fullmatch(line):
            name, value = match[1], match[2]
            quoted = re.fullmatch(r"(['\"])(.*)\1(?:\s+#.*)?", value)
            found[name] = quoted[2] if quoted else re.split(r"\s+#", value)[0].strip()
    return found
