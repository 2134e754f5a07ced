# The public names of broca.models.hooks, with their types: loaded on first use.

from broca.models.hooks.calls import add_arguments as add_arguments
from broca.models.hooks.calls import decoding as decoding
from broca.models.hooks.gradients import take_gradients as take_gradients
from broca.models.hooks.gradients import watch_gradient as watch_gradient
from broca.models.hooks.modules import tap_modules as tap_modules
from broca.models.hooks.modules import watch_modules as watch_modules
from broca.models.hooks.places import Edit as Edit
from broca.models.hooks.places import Read as Read
from broca.models.hooks.places import Stop as Stop
from broca.models.hooks.places import copy_sites as copy_sites
from broca.models.hooks.places import edit_codes as edit_codes
from broca.models.hooks.places import edit_sites as edit_sites
from broca.models.hooks.places import read_codes as read_codes
from broca.models.hooks.places import read_sites as read_sites
from broca.models.hooks.suspension import suspend as suspend
from broca.models.hooks.suspension import suspensions as suspensions
