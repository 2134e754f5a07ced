"""OpenToM: longer stories in which something is moved while somebody may or may not look (Xu et al., 2024, ACL)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from broca.errors import StimulusError
from broca.items import Item, fingerprint
from broca.stimuli.localizers import Style
from broca.stimuli.published.questions import check_items, item_id, question, text_of
from broca.stimuli.published.sources import records
from broca.stimuli.tables import Row, Table, short_repr

COLUMNS = frozenset({"question.question", "question.answer", "question.type", "plot_info.original_place", "observed"})
_ORDERS = {"location-fo": "first", "location-so": "second"}
_YES_NO = ("Yes", "No")


def opentom(
    path: str | Path,
    *,
    questions: Literal["location", "yes-no", "both"] = "location",
    order: Literal["first", "second", "both"] = "first",
    belief: Literal["false", "true", "both"] = "both",
    perspective: Literal["observer", "any"] = "observer",
    gold: Literal["file", "original"] = "file",
    text: Literal["narrative", "plot"] = "narrative",
    drop: list[int] = [],  # noqa: B006 - read, never changed
    seed: int = 42,
    style: Style = "ours",
) -> tuple[Item, ...]:
    """The questions about places, with the abilities ``false-belief`` (the move was not observed) and ``true-belief``.

    Those that are answered by yes or no have ``-yes-no`` behind, second-order ones ``second-order-`` before. Questions about
    attitudes, fullness and accessibility are left out.

    Args:
        path: ``opentom.json``, or another list of the same form.
        questions: Where is it; is it still there; or both.
        order: What somebody thinks, or thinks that another does.
        belief: False where the observer did not see the move, true where he did, or either.
        perspective: Questions from the observer's perspective alone, or from anybody's.
        gold: The answer of the file; or, for places, always the original one, as in Jamaa et al. (2025).
        text: The long story, or its plot.
        drop: Rows to leave out, counted from 0.
        seed: Of the order of the two answers, drawn for all places first, then for yes and no, whichever are asked for.
        style: ``ours``: the answers are the choices. ``tl``: the prompt lists them, and letters are the choices.

    Raises:
        StimulusError: A row is malformed, its answer is none of the two, or no row is left.
    """
    table = records(path)
    table.require(*sorted(COLUMNS), text, "plot_info.move_to_place")
    found: dict[str, list[tuple[Row, str]]] = {"location": [], "yes-no": []}
    for row in (row for n, row in enumerate(table.rows) if n not in drop):
        asked = _ORDERS.get(table.word(row, "question.type"))
        kind = "yes-no" if table.word(row, "question.answer") in _YES_NO else "location"
        held = "true" if _is_observed(table, row) else "false"
        if asked is None or order not in {"both", asked} or belief not in {"both", held}:
            continue
        if perspective == "any" or _of_observer(table, row):
            ability = f"{'second-order-' if asked == 'second' else ''}{held}-belief"
            found[kind].append((row, f"{ability}-yes-no" if kind == "yes-no" else ability))
    draws = np.random.RandomState(seed)
    # drawn for both kinds, whichever is asked for: an item is the same with and without the others beside it
    flips = {kind: draws.rand(len(rows)) < 0.5 for kind, rows in found.items()}
    items = [
        _item(table, row, _answers(table, row, kind, gold, style), text, style, ability=ability, swapped=bool(swapped))
        for kind in found
        if questions in {"both", kind}
        for (row, ability), swapped in zip(found[kind], flips[kind], strict=True)
    ]
    return check_items(table, items, questions=questions, order=order, belief=belief, perspective=perspective)


def _item(
    table: Table,
    row: Row,
    answers: tuple[tuple[str, str], int],
    text: str,
    style: Style,
    *,
    ability: str,
    swapped: bool,
) -> Item:
    options, answer = answers
    story = text_of(table, row, text, style)
    return question(
        item_id(table, row),
        f"Story: {story}\nQuestion: {text_of(table, row, 'question.question', style)}",
        options[::-1] if swapped else options,
        1 - answer if swapped else answer,
        ability=ability,
        style=style,
        group=f"story-{fingerprint(story.strip())[:8]}",
    )


def _answers(table: Table, row: Row, kind: str, gold: str, style: Style) -> tuple[tuple[str, str], int]:
    said = table.word(row, "question.answer")
    if kind == "yes-no":
        return _YES_NO, _YES_NO.index(said)
    first, second = (text_of(table, row, f"plot_info.{place}_place", style) for place in ("original", "move_to"))
    places = (first, second)
    if first.strip() == second.strip():
        raise StimulusError(
            f"{table.at(row)}: both places are {short_repr(places[0])}. Give two, or leave the row out by drop."
        )
    return places, 0 if gold == "original" else _place(table, row, said, places)


def _place(table: Table, row: Row, said: str, places: Sequence[str]) -> int:
    exact = [i for i, place in enumerate(places) if place.strip().casefold() == said.casefold()]
    within = [i for i, place in enumerate(places) if place.strip().casefold() in said.casefold()]
    if len(exact) == 1 or len(within) == 1:
        return (exact or within)[0]
    raise StimulusError(
        f"{table.at(row)}: the answer {short_repr(said)} is not one of the places {short_repr(list(places))}. Mend it, leave the row "
        "out by drop, or take gold='original'."
    )


def _is_observed(table: Table, row: Row) -> bool:
    value = row.cells["observed"]
    if not isinstance(value, bool):
        raise StimulusError(f"{table.at(row)}: 'observed' is {short_repr(value)}. It must be true or false.")
    return value


def _of_observer(table: Table, row: Row) -> bool:
    """Whether the question is asked from the perspective of the one who may not have seen the move."""
    named = re.search(r"from (\w+)['’]s? perspective", table.word(row, "question.question"), re.IGNORECASE)
    return named is not None and named[1].casefold() == table.word(row, "plot_info.observer").casefold()
