"""Keys and tokens are hidden by value: wherever text comes from outside, or leaves for a file or a terminal.

A server that refuses a key likes to print it; a log keeps what it is told. So what counts is not what a text looks like, but whether
a secret of this process stands in it, plain or as a URL, JSON, base64 or Python's `repr` would write it, of each of these too.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

HIDDEN = "(hidden)"

_NAMES = re.compile(r"(?:^|_)(?:TOKEN|KEY|SECRET|PASSWORD|PASSWD|PAT|CREDENTIALS?)(?:$|_)")
"""In the names of variables that hold a secret."""
_SHORTEST = 8
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=(.*)")


def hide_secrets(text: str, also: Iterable[str] = ()) -> str:
    """`text` without any secret of this process.

    Args:
        text: anything.
        also: further secrets, such as the password in an address.
    """
    for secret in sorted({*_forms(secrets()), *_forms(also)}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def without_secrets(value: Any) -> Any:
    """What JSON can say, with secrets hidden."""
    match value:
        case str():
            return hide_secrets(value)
        case Mapping():
            return {hide_secrets(str(key)): without_secrets(item) for key, item in value.items()}
        case list() | tuple():
            return [without_secrets(item) for item in value]
    return value


def secrets() -> set[str]:
    """The secrets that are configured: variables of the environment and of ``.env``, and the hub's stored token."""
    named = {**dotenv(), **os.environ}
    found = {value for name, value in named.items() if _NAMES.search(name.upper())}
    home = Path(os.environ.get("HF_TOKEN_PATH") or Path(os.environ.get("HF_HOME") or "~/.cache/huggingface") / "token")
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        found.add(home.expanduser().read_text(encoding="utf-8").strip())
    return {value for value in found if _is_secret(value)}


def dotenv(folder: Path | None = None) -> dict[str, str]:
    """The assignments of a ``.env`` in a folder: one a line, quotes around values taken off, comments and other lines left alone."""
    try:
        lines = ((folder or Path()) / ".env").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    found = {}
    for line in lines:
        if match := _LINE.fullmatch(line):
            name, value = match[1], match[2].strip()
            quoted = re.fullmatch(r"(['\"])(.*)\1(?:\s+#.*)?", value)
            found[name] = quoted[2] if quoted else re.split(r"(?<=\s)#", value)[0].strip()
    return found


def _is_secret(value: str) -> bool:
    """A key of local servers is often a word such as EMPTY, which is none and stands in texts."""
    if len(value) < _SHORTEST or (value.isalpha() and len(value) < 2 * _SHORTEST):
        return False
    return not os.path.exists(value)  # noqa: PTH110 - unlike Path.exists, never raises on a long one


def _forms(found: Iterable[str]) -> Iterator[str]:
    for secret in found:
        yield base64.b64encode(secret.encode(errors="surrogateescape")).decode()
        yield quote(secret, safe="", errors="surrogateescape")
        for form in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
            yield form
            yield repr(form)[1:-1]
            # What quotes stand around it is decided by the rest of the text.
            yield repr(form + "'\"")[1:-4]
            yield repr(form.encode(errors="surrogateescape"))[2:-1]
