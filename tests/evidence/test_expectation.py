"""What was expected of a run stands beside what was found, and a run that is otherwise ends with a code of its own."""

from __future__ import annotations

import pytest

import broca
from broca.errors import SpecError
from broca.evidence.expectation import predictions
from broca.specs.expectation import Expectation

RESULT = {
    "verdict": {"rungs": [{"name": "causal", "state": "passed"}, {"name": "specific", "state": "undecided"}]},
    "estimate": {"value": -0.3, "unit": "accuracy"},
}


@pytest.mark.parametrize(
    ("expect", "met"),
    [
        ({"causal": "passed"}, [True]),
        ({"causal": "passed", "specific": "failed"}, [True, False]),
        ({"learned": "not tested", "loss": (0.1, 1.0)}, [True, True]),
        ({"loss": (0.31, 1.0)}, [False]),
        ({}, []),
        (None, []),
    ],
)
def test_each_prediction_is_met_or_not(expect, met):
    assert [each.met for each in predictions(expect, RESULT)] == met


def test_a_loss_that_nobody_measured_is_not_met():
    (found,) = predictions({"loss": (0.0, 1.0)}, {"estimate": {"value": 0.9, "unit": "macro-F1"}})
    assert (found.met, found.found) == (False, "no loss of accuracy was measured")


def test_an_expectation_is_part_of_what_is_hashed():
    plain, expecting = (broca.Localize(contrast="belief", **more) for more in ({}, {"expect": {"selective": "passed"}}))
    assert plain.model_dump_json() != expecting.model_dump_json()
    assert expecting.expect == Expectation(selective="passed")


def test_a_range_that_runs_backwards_is_refused():
    with pytest.raises(SpecError, match="least first"):
        broca.Localize(contrast="belief", expect={"loss": (0.5, 0.1)})
