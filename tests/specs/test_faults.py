"""What is wrong with a field is a sentence of ours: which field, what was given, what would be right."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from broca.errors import BrocaError, SpecError
from broca.instruments import INSTRUMENTS
from broca.specs.faults import sentences, short_repr
from broca.storage import legible

RAW = re.compile(
    r"Input should|\[type=|errors\.pydantic|valid (?:string|integer|number|list|dict)|Extra inputs|Field required"
)
"""Words that are pydantic's own."""


@dataclass(frozen=True)
class Part:
    percent: float = 1.0
    side: Literal["top", "bottom"] = "top"
    __pydantic_config__ = ConfigDict(extra="forbid")


class Whole(BaseModel):
    model_config = ConfigDict(extra="forbid")
    n: Annotated[int, Field(ge=1)] = 1
    limit: Annotated[float, Field(lt=5)] = 1
    flag: bool = False
    names: tuple[str, ...] = ()
    some: Annotated[tuple[int, ...], Field(min_length=1)] = (1,)
    pair: tuple[int, int] = (1, 2)
    either: str | int | bool = 1
    part: Part = Part()
    word_or_part: str | Part = ""
    table: dict[str, int] = {}
    must: int


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"must": 1, "n": 0}, "n is 0. Give 1 or more."),
        ({"must": 1, "limit": 5}, "limit is 5. Give less than 5."),
        ({"must": 1, "n": 2.5}, "n is 2.5. Give a whole number."),
        ({"must": 1, "flag": "maybe"}, "flag is 'maybe'. Give true or false."),
        ({"must": 1, "names": "x"}, "names is 'x'. Give a list."),
        ({"must": 1, "names": ["x", 3]}, "names[1] is 3. Give a text."),
        ({"must": 1, "some": ()}, "some is (). Give at least 1 value."),
        ({"must": 1, "some": ("x",)}, "some[0] is 'x'. Give a whole number."),
        ({"must": 1, "pair": (1,)}, "pair[1] is missing. Give it."),
        ({"must": 1, "word_or_part": {"side": "botom"}}, "word_or_part.side is 'botom'. Did you mean 'bottom'? Choose one of top, bottom."),
        ({"must": 1, "either": [1]}, "either is [1]. Give a text or a whole number or true or false."),
        ({"must": 1, "part": 3}, "part is 3. Give a table of fields."),
        ({"must": 1, "part": {"side": "botom"}}, "part.side is 'botom'. Did you mean 'bottom'? Choose one of top, bottom."),
        ({"must": 1, "part": {"percnt": 3}}, "There is no field 'part.percnt'. Did you mean 'percent'? The fields are percent, side."),
        ({"must": 1, "table": {"a": "x"}}, "table.a is 'x'. Give a whole number."),
        ({}, "must is missing. Give it."),
        ({"must": 1, "nn": 2}, "There is no field 'nn'. Did you mean 'n'?"),
        ({"must": "x", "n": 0}, "n is 0. Give 1 or more. must is 'x'. Give a whole number."),
    ],
)  # fmt: skip
def test_a_sentence_for_each_fault(fields, told):
    with pytest.raises(ValidationError) as caught:
        Whole(**fields)
    text = sentences(caught.value, Whole)
    assert text == told or ("There is no field" in told and text.startswith(told))
    assert not RAW.search(text)


WRONG = (object(), "no such word", [1, "x"], {"a": {"b": 1}}, -1, 2.5, float("nan"), None)


@pytest.mark.parametrize("kind", list(INSTRUMENTS))
def test_no_field_of_any_study_answers_in_pydantics_words(kind):
    study = INSTRUMENTS[kind]
    told = []
    for field in study.model_fields:
        for value in WRONG:
            try:
                study(**{field: value})
            except BrocaError as error:
                told.append((type(error), f"{kind}.{field} = {value!r}: {error}"))
    assert not [text for _, text in told if RAW.search(text)]
    assert sum(error is SpecError for error, _ in told) > len(study.model_fields)


def test_what_is_long_is_cut_between_words_and_its_length_told():
    text = short_repr("word " * 100)
    assert len(text) < 110
    assert text.endswith("word … (500 characters)")
    assert short_repr("x" * 500) == "… (500 characters)"
    assert short_repr(3) == "3"
    assert legible("a/b") == "a/b"
    assert legible("a\0b") == r"'a\x00b'"
    assert len(legible("x" * 500)) < 210
