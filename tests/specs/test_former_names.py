"""What was called otherwise in the version before: it works, says its name of today, and a stored run is read by it."""

from __future__ import annotations

import logging
from typing import get_type_hints

import pytest

import broca
from broca.errors import SpecError
from broca.instruments import INSTRUMENTS
from broca.instruments.lesion.spec import CausalTest
from broca.instruments.localize.spec import Localize
from broca.runs.migration import study_of_today
from parity.test_golden import GOLDEN

FORMER = {kind: dict(INSTRUMENTS[kind].renamed) for kind in INSTRUMENTS}


def test_former_names_lead_to_fields_and_are_none_themselves():
    assert FORMER["causal"] == {"dose": "percent"}
    for kind, renamed in FORMER.items():
        assert set(renamed.values()) <= INSTRUMENTS[kind].model_fields.keys()
        assert not renamed.keys() & INSTRUMENTS[kind].model_fields.keys()


def test_a_field_is_taken_by_its_former_name_and_says_the_new_one(caplog):
    with caplog.at_level(logging.WARNING, "broca"):
        spec = CausalTest(localizer=Localize(contrast="belief"), dose=5)
    assert spec == CausalTest(localizer=Localize(contrast="belief"), percent=5)
    assert caplog.messages == ["dose is called percent now. The old name works in this version, and in none after it."]
    caplog.clear()
    assert CausalTest.model_validate(
        {"localizer": {"contrast": "belief", "pool": "mean", "pictures": "only"}}
    ).localizer
    assert ["pictures is called images" in text for text in caplog.messages] == [True]


def test_both_names_are_one_too_many():
    with pytest.raises(SpecError, match=r"dose is the former name of percent, and both are given\. Leave dose out\."):
        CausalTest(localizer=Localize(), dose=5, percent=5)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_run_of_the_version_before_is_read_by_the_names_of_today(name, caplog):
    run = broca.open_run(GOLDEN[name])
    caplog.clear()
    kind = INSTRUMENTS[run.manifest["kind"]]
    study = kind.model_validate(run.spec["study"])
    assert run.restore(get_type_hints(kind.work())["return"]).spec == study
    assert not caplog.messages
    assert not FORMER[run.manifest["kind"]].keys() & run.spec["study"].keys()
    if name == "sums-typos":
        assert run.spec["study"]["n_items"] == 120
    if name == "belief-heads":
        assert run.spec["study"]["percent"] == 12.5
        assert run.spec["study"]["localizer"]["images"] == "with"


def test_what_is_no_study_stays_as_it_is():
    fields = {"kind": "of a stranger", "dose": 1, "parts": [{"kind": 3}]}
    assert study_of_today(fields) == fields
    assert study_of_today(None) is None
