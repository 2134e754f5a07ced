"""Chat templates of strangers: rendered as transformers renders them, and bounded whatever they do."""

from __future__ import annotations

import os
import time

import pytest

import zoo
from broca.errors import StimulusError
from broca.items import Message
from broca.models import templates
from broca.models.rendering import render

TURNS = [{"role": "system", "content": "be brief"}, {"role": "user", "content": 'hi "there" é \U0001f600 \ud800'[:-1]}]

SOUND = [
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}</s>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
    "{{ bos_token }}{% for m in messages %}{{ '[INST] ' + m['content'] | trim + ' [/INST]' }}{% endfor %}{{ eos_token }}",
    "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{{ ns.n }}{% endfor %}{{ messages | tojson }}",
    "{%- for m in messages %}\n  {%- if loop.first %}{% continue %}{% endif %}\n{{ m.content.upper() }}\n{%- endfor %}",
    "{% generation %}{{ messages[-1].content }}{% endgeneration %}{{ strftime_now('%Y')[:2] }}",
    "{% macro show(m) %}{{ m.role | capitalize }}: {{ m.content }}{% endmacro %}{% for m in messages %}{{ show(m) }}{% endfor %}",
]

HOSTILE = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}",
    "a long string": "{{ 'x' * 10**10 }}",
    "long strings in a list": "{% set ns = namespace(x=['ab']) %}{% for i in range(64) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "a wide number": "{{ '%0999999999d' % 1 }}",
    "a tower of powers": "{{ 10 ** (10 ** 10) }}",
    "a macro that calls itself": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "nesting": "{% if 1 %}" * 2000 + "{% endif %}" * 2000,
    "centred": "{{ 'x' | center(9999999999) }}",
    "indented": "{{ 'x\nx' | indent(9999999999) }}",
    "lipsum": "{{ lipsum(n=99999999) }}",
    "writes for ever": "{% for a in range(99999) %}{{ 'x' * 99999 }}{% endfor %}",
    "a file": "{% include '/etc/passwd' %}",
    "a class": "{{ ''.__class__.__mro__[1].__subclasses__() | string }}{{ raise_exception('reached') }}",
    "a global": "{{ cycler.__init__.__globals__.os.system('true') }}",
    "no template": "{% for %}",
}


SLOW = ("a tower of powers", "lipsum")
"""Those that are killed as loops are, and cost as many seconds."""


@pytest.fixture
def tokenizer():
    return zoo.tokenizer.__wrapped__()


@pytest.mark.parametrize("template", SOUND)
@pytest.mark.parametrize("prompt", [True, False])
def test_a_chat_is_what_transformers_makes_of_it(tokenizer, template, prompt):
    tokenizer.chat_template = template
    ours = templates.chat_text(tokenizer, TURNS, add_generation_prompt=prompt)
    assert ours == tokenizer.apply_chat_template(TURNS, tokenize=False, add_generation_prompt=prompt)
    final = [*TURNS, {"role": "assistant", "content": "so far"}]
    try:
        theirs = tokenizer.apply_chat_template(final, tokenize=False, continue_final_message=True)
    except ValueError as error:
        with pytest.raises(StimulusError, match=str(error)[:40]):
            templates.chat_text(tokenizer, final, continue_final_message=True)
    else:
        assert templates.chat_text(tokenizer, final, continue_final_message=True) == theirs


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in HOSTILE])
def test_a_hostile_template_is_a_sentence_within_bounds(tokenizer, monkeypatch, name):
    monkeypatch.setattr(templates, "SECONDS", 1.0)
    tokenizer.chat_template = HOSTILE[name]
    began = time.perf_counter()
    with pytest.raises(StimulusError, match=r"chat template (fails|refuses)") as caught:
        render(tokenizer, (Message("user", "hi"),))
    assert time.perf_counter() - began < 20  # a process is started anew after a kill
    assert len(str(caught.value)) < 1000
    tokenizer.chat_template = SOUND[0]
    assert render(tokenizer, (Message("user", "hi"),)).text.startswith("<|user|>\nhi")


def test_a_forked_process_has_a_child_of_its_own(tokenizer):
    tokenizer.chat_template = SOUND[0]
    templates.chat_text(tokenizer, TURNS)
    ready, done = os.pipe()
    child = os.fork()
    if not child:
        text = templates.chat_text(tokenizer, [{"role": "user", "content": "in the fork"}])
        os.write(done, text.encode())
        os._exit(0)
    os.close(done)
    assert b"in the fork" in os.read(ready, 1000)
    os.waitpid(child, 0)
    assert "again" in templates.chat_text(tokenizer, [{"role": "user", "content": "again"}])


def test_several_templates_without_a_default_are_told(tokenizer):
    tokenizer.chat_template = {"a": "x", "b": "y"}
    with pytest.raises(StimulusError, match="no one chat template"):
        templates.chat_text(tokenizer, TURNS)
