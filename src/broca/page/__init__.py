"""What a reader sees, as data: blocks, numbers in words, commands to type. No HTML, no terminal, no instrument."""

from __future__ import annotations

from broca.lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)
