"""The only files that register PyTorch hooks: read or rewrite the tensor at a site, then leave no trace.

Order is a promise. At each tap one hook stands first in line and runs every edit in the order it was applied; reads
stand last. So a read always sees what was written, and so do transformers' own output recorders, which stay on a
module for good once ``output_hidden_states=True`` has been asked.
"""

from __future__ import annotations

from broca.lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)
