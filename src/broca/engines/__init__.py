"""Where the work runs, and what is remembered of it."""
