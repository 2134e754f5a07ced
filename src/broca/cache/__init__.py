"""Results of expensive steps, each remembered by what it depends on."""
