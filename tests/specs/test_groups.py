"""Every field of every spec says what it means, and a word that specs share is described once."""

from __future__ import annotations

from collections import defaultdict

import pytest
from pydantic.fields import FieldInfo

from broca.instruments import INSTRUMENTS
from broca.specs import groups

SHARED = {
    name: next(each.description for each in value.__metadata__ if isinstance(each, FieldInfo))
    for name, value in vars(groups).items()
    if hasattr(value, "__metadata__")
}


@pytest.mark.parametrize("kind", list(INSTRUMENTS))
def test_every_field_says_what_it_means(kind):
    fields = {name: info for name, info in INSTRUMENTS[kind].model_fields.items() if name != "kind"}
    assert [name for name, info in fields.items() if not info.description] == []


def test_shared_words_are_shared():
    users = defaultdict(set)
    for kind in INSTRUMENTS:
        for info in INSTRUMENTS[kind].model_fields.values():
            users[info.description].add(kind)
    own = {name: users[said] for name, said in SHARED.items() if name not in ("Chat", "Level", "Positive")}
    assert len(own) >= 6
    assert {name for name, kinds in own.items() if len(kinds) < 2} == set()
