# The public names of broca.runs, with their types: loaded on first use.

from broca.runs.budget import set_budget as set_budget
from broca.runs.costs import forecast as forecast
from broca.runs.execution import run as run
from broca.runs.listing import list_runs as list_runs
from broca.runs.listing import open_runs as open_runs
from broca.runs.opening import open_run as open_run
from broca.runs.opening import run_around as run_around
from broca.runs.opening import spec_of as spec_of
from broca.runs.reading import Run as Run
from broca.runs.shards import open_raw as open_raw
from broca.runs.shards import write_raw as write_raw
from broca.runs.spec import Study as Study
from broca.runs.spec import read_spec as read_spec
