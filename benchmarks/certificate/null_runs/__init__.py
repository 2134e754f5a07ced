"""Whole runs where nothing is there, a module an instrument."""
