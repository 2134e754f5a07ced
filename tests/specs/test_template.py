"""What a chat template is told: one value in specs, keys and files."""

from __future__ import annotations

import json
import pickle

import pytest

from broca.errors import SpecError
from broca.instruments.localize.spec import Localize
from broca.specs.fields import Template, template, template_options, template_parts

TOLD = template("always", system="Be brief.", thinking=False)


def test_it_is_a_text_that_is_read_back():
    assert isinstance(TOLD, Template)
    assert template_parts(TOLD) == ("always", {"system": "Be brief.", "thinking": False})
    assert json.loads(json.dumps(TOLD)) == TOLD
    assert isinstance(pickle.loads(pickle.dumps(TOLD)), Template)
    study = Localize(contrast="pain", chat=TOLD)
    again = Localize.model_validate(json.loads(study.model_dump_json()))
    assert (again, type(again.chat)) == (study, Template)


def test_what_is_told_nothing_is_the_word_alone():
    assert template("auto") == "auto"
    assert template_parts("never") == ("never", {})
    assert template_options("auto") == {}
    assert template_options(str(TOLD)) == {"chat": "always", "system": "Be brief.", "thinking": False}


@pytest.mark.parametrize(
    "chat",
    [
        "sometimes",
        'always {"voice": "loud"}',
        "always {",
        'always {"system": 3}',
        'always {"thinking": 1}',
        "auto " + "[" * 9999,
        'never {"system": "x"}',
        3,
    ],
)
def test_anything_else_is_refused(chat):
    with pytest.raises(SpecError, match="chat"):
        Localize(contrast="pain", chat=chat)


def test_what_would_come_to_nothing_is_refused():
    with pytest.raises(SpecError, match="system and thinking is told to the chat template, and chat is never"):
        template("never", system="x", thinking=True)
    with pytest.raises(SpecError, match="system is empty"):
        template("always", system=" ")
