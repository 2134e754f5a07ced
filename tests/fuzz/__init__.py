"""Fuzzing: every reader of a file that somebody gives, on files that nobody would. See ``make fuzz``."""
