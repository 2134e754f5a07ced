"""The five rungs, a file each."""
