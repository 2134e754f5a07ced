"""What is shown to a model: stimuli, contrasts between two sets of them, items that have an answer, reasoning trees, perturbations.

Standard library only. Texts are plain strings, or chat messages that the model's own template renders.
"""

from broca.items.item import (
    Contrast,
    Item,
    Message,
    Passage,
    PicturedText,
    Span,
    Stimulus,
    Text,
    as_text,
    cluster,
    fingerprint,
    picture_hash,
)
from broca.items.pair import Edit, Pair, apply_edits
from broca.items.tree import CONCLUSION, Tree

__all__ = [
    "CONCLUSION",
    "Contrast",
    "Edit",
    "Item",
    "Message",
    "Pair",
    "Passage",
    "PicturedText",
    "Span",
    "Stimulus",
    "Text",
    "Tree",
    "apply_edits",
    "as_text",
    "cluster",
    "fingerprint",
    "picture_hash",
]
