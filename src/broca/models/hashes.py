"""What identifies a tokenizer. Without torch: a run's identity is known before a model is."""

from __future__ import annotations

import hashlib
from typing import Any


def tokenizer_hash(tokenizer: Any) -> str | None:
    """16 hex digits of a tokenizer's whole content and chat template; None without a tokenizer."""
    if tokenizer is None:
        return None
    backend = getattr(tokenizer, "backend_tokenizer", None)
    content = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    template = getattr(tokenizer, "chat_template", None)
    return hashlib.sha256(f"{content}\n{template}".encode("utf-8", "backslashreplace")).hexdigest()[:16]
