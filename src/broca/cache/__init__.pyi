# The public names of broca.cache, with their types: loaded on first use.

from broca.cache.cache import Cache as Cache
from broca.cache.cache import Progress as Progress
from broca.cache.cache import no_cache as no_cache
from broca.cache.cache import silent as silent
from broca.cache.mapping import Task as Task
from broca.cache.mapping import map_cached as map_cached
