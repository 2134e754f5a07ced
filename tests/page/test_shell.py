"""Commands as text: what is printed is read back as what was meant."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broca import cli
from broca.page.shell import YOURS, command, items_for

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda text: text.strip() == text)


def read(line: str) -> dict[str, object]:
    typed = shlex.split(line)
    assert typed[0] == "broca"
    _, bound, _ = cli.app.parse_args(typed[1:], exit_on_error=False, print_error=False)
    return dict(bound.arguments)


@given(contrast=WORDS, others=st.lists(WORDS, min_size=1, max_size=3), option=WORDS)
def test_any_value_comes_back(contrast, others, option):
    line = command(
        "lesion", "a model", options={"contrast": contrast, "others": others, "options": {"k": option}, "items": None}
    )
    found = read(line)
    assert found["model"] == "a model"
    assert found["contrast"] == contrast
    assert found["others"] == others
    assert found.get("items") is None
    assert found["options"] == {"k": option}


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"lengths": True, "protect_massive": False}, "broca localize m --lengths --no-protect-massive"),
        ({"sites": "*.z", "also": ()}, "broca localize m --sites '*.z'"),
        ({"seed": -1}, "broca localize m --seed=-1"),
        ({"also": ["a", "-b"]}, "broca localize m --also=a --also=-b"),
        ({"options": {"n": 3, "shuffled": True, "name": "x y"}}, "broca localize m --options.n 3 --options.shuffled true --options.name 'x y'"),
        ({"out": ""}, "broca localize m --out="),
    ],
)  # fmt: skip
def test_the_form_of_each_kind_of_value(options, line):
    assert command("localize", "m", options=options) == line


def test_items_are_ours_for_our_contrasts_and_the_readers_for_theirs():
    assert items_for("belief", organism=False)["items"] == "stories/belief"
    assert items_for("belief", organism=True)["items"] == "beliefs/false-belief"
    assert items_for("mine.csv", organism=True) == {"items": YOURS, "others": ()}
