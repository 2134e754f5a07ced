"""Changing, reversibly: each intervention is one method, ``applied(lm) -> context manager``."""

from broca.interventions.lesion import Fill, Keep, Lesion, Mean, Noise, Positions, Resample, Zero

__all__ = ["Fill", "Keep", "Lesion", "Mean", "Noise", "Positions", "Resample", "Zero"]
