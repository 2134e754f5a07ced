"""The ladder: what a map is worth, and what a place does, whatever instrument found it."""
