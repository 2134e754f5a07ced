"""Find where an ability lives in a language model, take it away reversibly, and learn whether the claim survives.

Importing broca imports no torch: each public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from broca.lazy import lazy_names

DISTRIBUTION = "broca-interp"
"""What the package is called on the index."""
try:
    __version__ = version(DISTRIBUTION)
except PackageNotFoundError:
    # Source that was put on the path, and never installed.
    __version__ = "0+unknown"
__getattr__, __dir__ = lazy_names(__name__, __file__)
