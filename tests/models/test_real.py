"""A real language model by its name."""

from __future__ import annotations

import pytest

import real
from broca.items import Message
from broca.models.lm import LM

CAPITAL = "The capital of France is"


@pytest.mark.slow
def test_a_real_model_by_name():
    lm = LM.load(real.smollm2(), device="cpu")
    assert "210 Q4_1, 1 Q8_0, of 272 tensors" in "".join(lm.notes)
    assert lm.generate([CAPITAL], max_new_tokens=1) == [" Paris"]
    turn = (Message("user", "What is the capital of France? Answer in one sentence."),)
    assert "Paris" in lm.generate([turn], max_new_tokens=12)[0]
    half = LM.load(real.smollm2(), dtype="bfloat16", device="cpu")
    assert half.generate([CAPITAL], max_new_tokens=1) == [" Paris"]
