from __future__ import annotations

from pathlib import Path

import pytest

from broca.errors import StimulusError, UnknownName
from broca.items import Contrast
from broca.stimuli.contrasts import CONTRASTS, contrast, options_of


@pytest.mark.parametrize("name", list(CONTRASTS))
def test_every_name_gives_a_contrast_with_a_source(name):
    found = contrast(name, n=4)
    assert isinstance(found, Contrast)
    assert found.name == name
    assert len(found.positive) == len(found.negative) == 4
    assert "Paradigm: " in found.source
    assert len({s.id for s in (*found.positive, *found.negative)}) == 8


def test_a_misspelt_name_and_a_missing_path():
    with pytest.raises(
        UnknownName, match=r"Contrast 'belive' is not known. Did you mean 'belief' or 'stories/belief'\?"
    ):
        contrast("belive")
    with pytest.raises(StimulusError, match=r"There is no file 'belief.csv'"):
        contrast("belief.csv")
    with pytest.raises(StimulusError, match=r"'gone' ends in 'nothing'"):
        contrast(Path("gone"))
    with pytest.raises(UnknownName, match=r"give the path of a table"):
        contrast("x" * 5000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": "12"}, "Option 'n' of contrast 'language' is '12'. Give a whole number."),
        ({"n": 1}, "is 1. Give 2 or more."),
        ({"n": True}, "whole number"),
        ({"seed": -1}, "Give a whole number from 0 to 4294967295."),
        ({"words": 3}, "Give 9 or more."),
    ],
)
def test_options_of_the_wrong_kind(options, message):
    with pytest.raises(StimulusError, match=message):
        contrast("language", **options)


def test_an_option_that_is_not_there():
    with pytest.raises(
        UnknownName,
        match=r"Contrast 'language': option 'sed' is not known. Did you mean 'seed'\? Known: n, seed, words",
    ):
        contrast("language", sed=1)


def test_the_options_that_a_contrast_takes(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\na,1\n")
    assert options_of("language") == ("n", "words", "seed")
    assert options_of(tmp_path / "a.csv") == ("positive", "negative", "columns")
    with pytest.raises(UnknownName, match=r"Did you mean 'pain'"):
        options_of("pian")
