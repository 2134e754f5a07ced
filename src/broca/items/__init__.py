"""What is shown to a model: stimuli, contrasts between two sets of them, items that have an answer, reasoning trees, perturbations.

Standard library only. Texts are plain strings, or chat messages that the model's own template renders.
"""

from __future__ import annotations

from broca.lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)
