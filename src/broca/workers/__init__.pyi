# The public names of broca.workers, with their types: loaded on first use.

from broca.workers.cluster import Ray as Ray
from broca.workers.engine import Engine as Engine
from broca.workers.local import Local as Local
from broca.workers.slurm import Slurm as Slurm
