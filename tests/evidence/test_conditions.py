"""What a condition puts in force."""

from __future__ import annotations

import pytest

from broca.evidence.conditions import INTACT, WeightMasking
from broca.instruments.sensitivity.conditions import INTACT as NO_WEIGHTS


@pytest.mark.parametrize("intact", [INTACT, NO_WEIGHTS])
def test_the_intact_condition_masks_no_weight_whatever_it_is_beside(intact):
    assert WeightMasking()(intact) == ()
