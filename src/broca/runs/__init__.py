"""What is kept: a study executed into a directory, and read back."""

from __future__ import annotations

from broca.runs.listing import list_runs, open_runs
from broca.runs.reading import Run, open_run, run_around, spec_of
from broca.runs.run import run
from broca.runs.spec import Study, read_spec

__all__ = ["Run", "Study", "list_runs", "open_run", "open_runs", "read_spec", "run", "run_around", "spec_of"]
