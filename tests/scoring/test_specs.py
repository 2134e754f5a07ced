"""Scorers as fields of a study's spec."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from broca.scoring import AnyScorer, Generation, Likelihood, Permuted

ADAPTER = TypeAdapter(AnyScorer)


@pytest.mark.parametrize(
    "scorer",
    [
        Likelihood(norm="mean", options="letter", cue="So:"),
        Generation(max_new_tokens=3, match="contains", temperature=0.5, seed=0),
        Permuted(Generation(match="letter"), orders=4, seed=2),
        Permuted(Likelihood()),
    ],
)
def test_there_and_back_through_json(scorer):
    text = ADAPTER.dump_json(scorer)
    assert ADAPTER.validate_json(text) == scorer
    assert hash(ADAPTER.validate_json(text)) == hash(scorer)


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "likelihood", "nrom": "sum"},
        {"kind": "likelihood", "norm": "median"},
        {"kind": "vibes"},
        {"norm": "sum"},
        {"kind": "permuted", "scorer": {"kind": "permuted", "scorer": {"kind": "likelihood"}}},
        {"kind": "generation", "match": "fuzzy"},
    ],
)
def test_mistakes_are_refused(spec):
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(spec)


def test_the_kind_is_enough():
    assert ADAPTER.validate_python({"kind": "likelihood"}) == Likelihood()
