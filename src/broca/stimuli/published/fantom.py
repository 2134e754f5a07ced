"""FANToM: beliefs of people who were or were not there for a part of a conversation (Kim et al., 2023, EMNLP)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from broca.errors import StimulusError
from broca.items import Item, fingerprint
from broca.stimuli.localizers import Style
from broca.stimuli.published.questions import check_items, item_id, question, text_of
from broca.stimuli.published.sources import records
from broca.stimuli.tables import Row, Table, short_repr

COLUMNS = frozenset({"full_context", "short_context", "beliefQAs"})
_HELD = {"tom:belief:inaccessible": "false", "tom:belief:accessible": "true"}


def fantom(
    path: str | Path,
    *,
    context: Literal["short", "full"] = "short",
    questions: Literal["all", "first"] = "all",
    belief: Literal["false", "true", "both"] = "both",
    order: Literal["first", "second", "both"] = "both",
    seed: int = 42,
    style: Style = "ours",
    tail: str = "Answer:",
) -> tuple[Item, ...]:
    """The belief questions, with the abilities ``false-belief`` (what was said is inaccessible) and ``true-belief``.

    Second-order questions have ``second-order-`` before these. Questions about one conversation share a group.

    Args:
        path: ``fantom_v1.json``.
        context: The part of the conversation that the question is about, or all of it.
        questions: All of each conversation, or the first alone.
        belief: Of somebody who missed the part, who did not, or either.
        order: What somebody believes; what somebody believes that another does.
        seed: Of the order of the right and the wrong answer, drawn for each question in turn, before any is left out.
        style: ``ours``: the answers are the choices. ``tl``: the prompt names the speakers and lists the answers.
        tail: How the prompt ends in the style ``tl``.

    Raises:
        StimulusError: An entry is malformed, or no question is left.
    """
    table = records(path)
    table.require(*sorted(COLUMNS))
    draws = random.Random(seed)  # noqa: S311 - the published order of the answers is drawn by this one
    items: list[Item] = []
    for row in table.rows:
        story = text_of(table, row, f"{context}_context", style)
        speakers = _speakers(table.text(row, "full_context"))
        if style == "tl" and not speakers:
            raise StimulusError(f"{table.at(row)}: nobody speaks in 'full_context'. Give lines such as 'Ann: Hello.'")
        for number, qa in _questions(table, row, first=questions == "first"):
            right, wrong = _answers(table, qa, style)
            options = draws.sample([right, wrong], 2)
            held = _HELD.get(table.word(qa, "question_type"))
            second = table.word(qa, "tom_type").startswith("second")
            if held is None or belief not in {"both", held} or order not in {"both", "second" if second else "first"}:
                continue
            label = "Story:" if style == "tl" else "Conversation:\n"
            items.append(
                question(
                    item_id(table, row, f":{number}"),
                    f"{label}{story}\nQuestion: {text_of(table, qa, 'question', style)}",
                    options,
                    options.index(right),
                    ability=f"{'second-order-' if second else ''}{held}-belief",
                    style=style,
                    context=_context(speakers),
                    tail=tail,
                    group=f"conversation-{fingerprint(table.word(row, 'full_context'))[:8]}",
                )
            )
    return check_items(table, items, belief=belief, order=order, questions=questions)


def _answers(table: Table, qa: Row, style: Style) -> tuple[str, str]:
    """The right one and the wrong one."""
    right, wrong = (text_of(table, qa, f"{which}_answer", style) for which in ("correct", "wrong"))
    if right.strip() == wrong.strip():
        raise StimulusError(f"{table.at(qa)}: both answers are {short_repr(right)}. Give two different ones.")
    return right, wrong


def _questions(table: Table, row: Row, *, first: bool) -> Iterator[tuple[int, Row]]:
    asked = row.cells["beliefQAs"]
    if not isinstance(asked, list) or not asked or not all(isinstance(qa, dict) for qa in asked):
        raise StimulusError(f"{table.at(row)}: 'beliefQAs' is {short_repr(asked)}. It must be a list of questions.")
    fields = ("question", "question_type", "tom_type", "correct_answer", "wrong_answer")
    for number, qa in enumerate(asked[:1] if first else asked, start=1):
        yield number, Row(f"{row.where}, question {number}", dict.fromkeys(fields) | qa)


def _speakers(conversation: str) -> list[str]:
    return sorted({line.partition(":")[0] for line in conversation.split("\n") if ":" in line})


def _context(speakers: list[str]) -> str:
    named = f"{', '.join(speakers[:-1])} and {speakers[-1]}" if len(speakers) > 1 else "".join(speakers)
    return (
        f"The following multiple choice question is based on a dialogue with the following characters: {named}. The "
        "question is related to Theory-of-Mind. Read the story and then answer the question. Choose the best answer among "
        "options provided."
    )
