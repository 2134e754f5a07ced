"""Where the work runs; the bytes are the same whatever runs it.

* `Local`: this process, or several on this machine
* `Ray`: the workers of a Ray cluster
"""

from broca.workers.cluster import Ray
from broca.workers.engine import Engine
from broca.workers.local import Local

__all__ = ["Engine", "Local", "Ray"]
