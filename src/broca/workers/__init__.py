"""Where the work runs; the bytes are the same whatever runs it.

* `Local`: this process, or several on this machine
* `Ray`: the workers of a Ray cluster
* `Slurm`: jobs of a Slurm cluster
"""

from __future__ import annotations

from broca.lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)
