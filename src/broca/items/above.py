"""What lies above this room, and is met only when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def frames() -> Any:
    """What reads data frames, and makes them: `broca.stimuli.frames`."""
    return import_module("broca.stimuli.frames")
