"""A stranger's intervention, scorer, benchmark and reducer: a file each."""
