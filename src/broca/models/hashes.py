"""What identifies a tokenizer. Without torch: a run's identity is known before a model is."""

from __future__ import annotations

import hashlib
import re
from typing import Any

_PER_CALL = re.compile(r'"truncation":.*?,"added_tokens":', re.DOTALL)
"""How a fast tokenizer was last asked to cut and pad: a trace of calls, not what it is."""


def tokenizer_hash(tokenizer: Any) -> str | None:
    """16 hex digits of a tokenizer's whole content and chat template; None without a tokenizer."""
    if tokenizer is None:
        return None
    backend = getattr(tokenizer, "backend_tokenizer", None)
    whole = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    content = _PER_CALL.sub('"added_tokens":', whole, count=1)
    template = getattr(tokenizer, "chat_template", None)
    return hashlib.sha256(f"{content}\n{template}".encode("utf-8", "backslashreplace")).hexdigest()[:16]
