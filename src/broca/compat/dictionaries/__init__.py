"""Dictionaries of other programs: SAELens, Gemma Scope, EleutherAI's sparsify. What is read is a `broca.units.dictionary.Dictionary`."""
