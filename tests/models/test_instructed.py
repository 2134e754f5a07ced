"""Chats behind a system message, and templates that switch thinking on and off."""

from __future__ import annotations

import copy

import pytest

import zoo
from broca.errors import StimulusError
from broca.items import Message
from broca.models.rendering import render
from broca.specs.fields import template

PLAIN = "{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}[assistant]"
SWITCH = PLAIN + "{% if NAME is defined and not NAME %} <no thoughts>{% endif %}"


@pytest.fixture
def tokenizer():
    made = copy.deepcopy(zoo.tokenizer())
    made.chat_template = PLAIN
    return made


def test_a_system_message_stands_before_each_chat(tokenizer):
    told = template("always", system="Be brief.")
    assert render(tokenizer, "Where?", chat=told).text == "[system] Be brief. [user] Where? [assistant]"
    chat = (Message("user", "Where?"),)
    assert (
        render(tokenizer, chat, chat=template(system="Be brief.")).text
        == "[system] Be brief. [user] Where? [assistant]"
    )
    with pytest.raises(StimulusError, match=r"A chat has a system message of its own \('Be long.'\)"):
        render(tokenizer, (Message("system", "Be long."), *chat), chat=told)


@pytest.mark.parametrize("name", ["enable_thinking", "thinking"])
def test_thinking_is_told_by_the_name_that_the_template_has(tokenizer, name):
    tokenizer.chat_template = SWITCH.replace("NAME", name)
    assert render(tokenizer, "Where?", chat=template("always", thinking=False)).text.endswith("<no thoughts>")
    for chat in (template("always", thinking=True), "always"):
        assert render(tokenizer, "Where?", chat=chat).text.endswith("[assistant]")


def test_what_would_do_nothing_is_refused(tokenizer):
    with pytest.raises(StimulusError, match="This chat template has no switch for thinking"):
        render(tokenizer, "Where?", chat=template("always", thinking=False))
    with pytest.raises(StimulusError, match=r"system would do nothing: 'Where\?' is plain text"):
        render(tokenizer, "Where?", chat=template("auto", system="Be brief."))
