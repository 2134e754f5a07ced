"""Runs given to others and taken from them, through dataset repositories of the hub."""
