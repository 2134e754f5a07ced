"""The only folder that knows Hugging Face: wiring, hooks, tokens, and the LM that holds them."""

from __future__ import annotations

from broca.lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)
