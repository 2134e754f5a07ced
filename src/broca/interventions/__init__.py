"""Changing, reversibly: each intervention is one method, ``apply(lm) -> context manager``."""

from __future__ import annotations

from broca.lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)
