from __future__ import annotations

from pathlib import Path

import pytest

import zoo
from broca.evidence.first_prompt import FIRST, LAST, of_item, of_text
from broca.evidence.prompt_blocks import first_prompt
from broca.items import Item
from broca.models.lm import LM
from broca.page.blocks import Tokens, every
from broca.page.record import Record
from broca.scoring import Generation, Likelihood


@pytest.fixture(scope="module")
def lm():
    return LM.wrap(zoo.build("llama", positions=1024), zoo.tokenizer())


def line(told):
    record = Record(Path("run"), {"prompt": told}, {}, {}, {}, {}, {}, {})
    (shown,) = [block for block in every(first_prompt(record)) if isinstance(block, Tokens)]
    return shown.lines[0].tokens


def test_an_item_is_shown_with_its_answer_where_choices_are_priced(lm):
    item = Item("q1", "where is the ball?", ("box", "bag"), 1)
    told = of_item(lm, item, Likelihood())
    (question,) = Likelihood().questions(lm, [item])
    assert told["tokens"] == [lm.tokenizer.decode([i]) for i in (*question.shared.ids, *question.options[1])]
    assert "".join(token.text for token in line(told) if token.role == "edited").strip() == "bag"
    assert sum(token.role == "unmatched" for token in line(told)) == question.shared.prefix == told["special"]
    assert of_item(lm, item, Generation())["answer"] == 0


def test_a_long_prompt_is_shown_at_both_ends(lm):
    told = of_text(lm, "long", "where is the ball? " * 200, chat="never")
    assert len(told["tokens"]) == FIRST + LAST
    (tokens,) = lm.tokenize(["where is the ball? " * 200], chat="never")
    assert told["left_out"] == len(tokens) - FIRST - LAST
    assert f"{told['left_out']:,} tokens" in line(told)[FIRST].text


def test_a_run_that_kept_none_has_no_section():
    assert first_prompt(Record(Path("run"), {}, {}, {}, {}, {}, {}, {})) == []
