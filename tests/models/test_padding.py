"""Batch composition and padding side change nothing, on every decoder class."""

from __future__ import annotations

import pytest
import torch

import zoo
from broca.models import hooks, limits

TEXTS = [("Ann put the key in the box. Bo took it " * 2)[: 3 + 4 * i] for i in range(16)]
pytestmark = pytest.mark.filterwarnings("ignore:.*[Rr]o[Pp][Ee].*")  # tiny contexts do not fit published rope factors


def _next(lm, *, size, side):
    logits = torch.zeros(len(TEXTS), zoo.VOCABULARY)
    for batch, rows in lm.each(lm.tokenize(TEXTS), lm.next_logits, size=size, side=side):
        logits[list(batch.index)] = rows
    return logits


@pytest.mark.parametrize("name", zoo.CONFIGS)
def test_batch_size_and_side_change_no_logit(name):
    lm = zoo.lm(name)
    alone = _next(lm, size=1, side="left")
    assert alone.std() > 0.01
    for size, side in ((16, "left"), (16, "right"), (5, "right")):
        torch.testing.assert_close(_next(lm, size=size, side=side), alone, rtol=0, atol=1e-5)


# Mixtures of experts multiply by weights of routing in single precision: transformers computes none in double.
@pytest.mark.parametrize("name", [n for n, config in zoo.CONFIGS.items() if "num_experts_per_tok" not in config])
def test_in_double_precision_texts_of_different_lengths_share_a_batch(name):
    """Parts that a class computes in single precision round; that is no fault of padding."""
    lm = zoo.lm(name)
    lm.model.double()
    assert [limits.pads(lm, side) for side in ("left", "right")] == [True, True]


def test_how_far_padding_moves_a_logit_is_measured_in_the_models_own_precision():
    lm = zoo.lm("gpt2")
    lm.model.double()
    with hooks.suspend():
        assert max(limits._shift(lm, side) for side in ("left", "right")) < 1e-12
