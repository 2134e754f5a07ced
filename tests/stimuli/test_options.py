"""Options as a command line has them, and one set of them for several sources."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field

from broca.errors import UnknownName
from broca.stimuli import benchmarks, contrasts, trees
from broca.stimuli.options import deal, hints, parse_option


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("3", int, 3),
        ("3", str, "3"),
        ("3", str | int, 3),
        ("3", int | None, 3),
        ("null", int | None, None),
        ("3.5", float, 3.5),
        ("3", float, 3.0),
        ("1e3", int, 1000.0),  # what does not fit is left for the complaint
        ("true", bool, True),
        ("true", str, "true"),
        ("007", str, "007"),
        ("0123456789abcdef", str, "0123456789abcdef"),
        ("1234567890123456", str, "1234567890123456"),
        ("NaN", float, "NaN"),
        ("[1.2, 2.2]", tuple[float, ...], (1.2, 2.2)),
        ("[1, 2]", list[int], [1, 2]),
        ("[1]", str, "[1]"),
        ("letter", Literal["letter", "text"], "letter"),
        ("5", Annotated[int, Field(ge=2)], 5),
        ("1", Annotated[int, Field(ge=2)], 1),
        ("", str, ""),
        ("", int, ""),
        ('"1"', str, "1"),
    ],
)
def test_a_text_is_read_as_what_is_asked_for(text, hint, value):
    found = parse_option(text, hint)
    assert found == value
    assert type(found) is type(value)


def test_each_source_is_dealt_what_it_takes():
    takes = [("a", {"n": int, "seed": int}), ("b", {"n": int, "form": str})]
    assert deal({"n": 1, "form": "x"}, takes) == ({"n": 1}, {"n": 1, "form": "x"})
    with pytest.raises(UnknownName, match=r"Option of 'a' and 'b' 'sed' is not known. Did you mean 'seed'"):
        deal({"sed": 1}, takes)
    # One source complains itself, in the words of its reader.
    assert deal({"sed": 1}, takes[:1]) == ({"sed": 1},)


def test_the_types_of_options_are_known_for_everything_that_has_a_name():
    for registry, types in (
        (contrasts.CONTRASTS, contrasts.option_types),
        (benchmarks.BENCHMARKS, benchmarks.option_types),
        (trees.TREES, trees.option_types),
    ):
        for name in registry:
            assert types(name).keys() <= {*hints(registry[name]), "path", "shots"}
    assert "tokenizer" not in trees.option_types("kth")
    with pytest.raises(UnknownName):
        contrasts.option_types("nothing")
