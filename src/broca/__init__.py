"""Find where an ability lives in a language model, take it away reversibly, and learn whether the claim survives.

Importing broca imports no torch: each public name is loaded when it is first used.
"""

from __future__ import annotations

from broca.lazy import lazy_names

__version__ = "0.1.0"
__getattr__, __dir__ = lazy_names(__name__, __file__)
