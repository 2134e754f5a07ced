"""Units that are protected from being selected are said to be protected, and not to be dead."""

from __future__ import annotations

import torch

import broca
import zoo
from broca.items import Contrast, Stimulus


def test_protected_units_are_not_called_dead():
    lm = zoo.lm("llama")
    with torch.no_grad():  # a constant in one coordinate of the stream, far above all others
        lm.model.get_input_embeddings().weight[:, 5] += 4000.0
    made = (tuple(Stimulus(f"{side}{i}", f"the {side} {i}") for i in range(12)) for side in ("x", "y"))
    local = broca.Localize(
        contrast=Contrast("sides", *made), sites="0.resid_post", select={"count": 2}, protect_massive=True
    )
    found = local.run(lm)
    assert found.selection["n_protected"] == 1
    assert found.selection["n_dead"] == 0
    assert "1 of 32 units carry massive activations and were left out (protect_massive)." in found.warnings
    assert not [text for text in found.warnings if "never vary" in text]
    bare = local.model_copy(update={"protect_massive": False}).run(lm)
    assert bare.selection["n_protected"] == 0
    assert not [text for text in bare.warnings if "protect" in text]
