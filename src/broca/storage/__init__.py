"""The only place that writes and parses: files whole or absent, locks that die with their holder, content told by its digest.

Whatever is kept goes through `write` or `replacing`; whatever is read back, through `parse`.
"""

from __future__ import annotations

from broca.lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)
