"""Where the work runs, and what is remembered of it.

* `Local`: this process, or several on this machine
* `Ray`: the workers of a Ray cluster
"""

from broca.engines.cluster import Ray
from broca.engines.local import Local
from broca.engines.worker import Engine

__all__ = ["Engine", "Local", "Ray"]
