"""The only files that register PyTorch hooks: read or rewrite the tensor at a site, then leave no trace.

Order is a promise. At each tap one hook stands first in line and runs every edit in the order it was applied; reads
stand last. So a read always sees what was written, and so do transformers' own output recorders, which stay on a
module for good once ``output_hidden_states=True`` has been asked.
"""

from broca.models.hooks.calls import add_arguments, decoding
from broca.models.hooks.gradients import take_gradients, watch_gradient
from broca.models.hooks.modules import tap_modules, watch_modules
from broca.models.hooks.places import Edit, Read, Stop, copy_sites, edit_sites, read_sites
from broca.models.hooks.suspension import suspend, suspensions

__all__ = [
    "Edit",
    "Read",
    "Stop",
    "add_arguments",
    "copy_sites",
    "decoding",
    "edit_sites",
    "read_sites",
    "suspend",
    "suspensions",
    "take_gradients",
    "tap_modules",
    "watch_gradient",
    "watch_modules",
]
