"""The ladder: what a map is worth, and what a place does, whatever instrument found it."""

from __future__ import annotations

from broca.lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)
