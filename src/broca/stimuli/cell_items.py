"""Theory-of-mind tasks whose unit is the cell: one story in one scene, right only if all its questions are.

Tasks are unexpected contents, unexpected transfer (Kosinski, 2024) and irony. Only false-belief cells need a mind; in the
control cells whoever reports what is really there is right. A model that does just that gets 75 % of all cells, so false
belief and controls are abilities of their own, and what shortcuts score stands beside each number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from broca.errors import StimulusError
from broca.items import Item
from broca.registry import unknown
from broca.stimuli.blind_rules import REPORTERS

TASKS = ("contents", "transfer", "irony")
KINDS = {
    "contents": ("contents-false-belief", "contents-true-belief", "contents-reality"),
    "transfer": ("transfer-false-belief", "transfer-true-belief", "transfer-reality"),
    "irony": ("irony-ironic", "irony-literal"),
}
"""Abilities by task: the question about the belief in false-belief cells and in control cells, and the one about reality."""
ABILITIES = tuple(ability for abilities in KINDS.values() for ability in abilities)

FALSE_BELIEF = "false belief"
"""The scene that needs a mind; every other scene of contents and transfer is a control."""

_TAGS = ("task", "story", "scene", "order", "question")


def cell_item(
    *,
    story: str,
    scene: str,
    swapped: bool,
    question: str,
    prompt: str,
    choices: tuple[str, ...],
    answer: int,
    real: int,
) -> Item:
    """One question of a cell of contents or transfer.

    Args:
        story: Id of the story, ``task-number``; its items share it as their group.
        scene: ``false belief``, or the name of a control.
        swapped: Whether the two contents, or places, have changed parts.
        question: ``reality`` or ``belief``.
        prompt: Ends where the answer would come.
        choices: The two contents, or places.
        answer: Index of the right choice.
        real: Index of what is really there.
    """
    task = story.partition("-")[0]
    held = "false" if scene == FALSE_BELIEF else "true"
    return _item(
        f"{task}-{held}-belief" if question == "belief" else f"{task}-reality",
        {
            "task": task,
            "story": story,
            "scene": scene,
            "order": "swapped" if swapped else "plain",
            "question": question,
        },
        prompt=prompt,
        choices=choices,
        answer=answer,
        more={"reality": choices[real]},
    )


def irony_item(*, story: str, ironic: bool, question: str, prompt: str, yes: bool) -> Item:
    """One yes-or-no question about a remark in an ironic or a literal scene.

    Args:
        story: Id of the story.
        ironic: Whether the remark is meant ironically.
        question: Which of the story's questions.
        prompt: Ends where the answer would come.
        yes: The right answer.
    """
    scene = "ironic" if ironic else "literal"
    tags = {"task": "irony", "story": story, "scene": scene, "order": "plain", "question": question}
    return _item(f"irony-{scene}", tags, prompt=prompt, choices=("Yes", "No"), answer=0 if yes else 1)


def _item(ability: str, tags: dict[str, str], *, more: dict[str, str] | None = None, **rest: object) -> Item:
    name = ":".join(tags[tag].replace(" ", "-") for tag in _TAGS[1:])
    return Item(id=name, ability=ability, group=tags["story"], tags=tags | (more or {}), **rest)  # type: ignore[arg-type]


def choose_items(items: Iterable[Item], which: str) -> tuple[Item, ...]:
    """The items of a task or an ability, or of ``all``; within a task false belief first, otherwise in the order given.

    Raises:
        UnknownName: `which` is neither.
    """
    if which not in ("all", *TASKS, *ABILITIES):
        raise unknown("Cell task or ability", which, ("all", *TASKS, *ABILITIES))
    wanted = KINDS.get(which, ABILITIES if which == "all" else (which,))
    return tuple(
        sorted((item for item in items if item.ability in wanted), key=lambda item: wanted.index(item.ability))
    )


def is_cell(item: Item) -> bool:
    """Whether an item is a question of a cell."""
    return all(tag in item.tags for tag in _TAGS)


def cells(items: Sequence[Item], rows: pl.DataFrame, by: Sequence[str] = ()) -> pl.DataFrame:
    """One row a cell: right where all its questions are.

    Args:
        items: Questions of whole cells; others are left out.
        rows: What a scorer gave for them: ``id`` and ``correct``, and the columns `by`.
        by: Further columns that tell one scoring of an item from another, such as ``repetition``.

    Returns:
        The columns `by`, ``task``, ``story``, ``scene``, ``order``, ``kind`` (``false-belief`` or ``control``; of irony
        the scene), ``questions`` and ``correct``.

    Raises:
        StimulusError: An item was not scored, or scored twice.
    """
    asked = [item for item in items if is_cell(item)]
    schema = [(column, pl.String) for column in ("id", *_TAGS, "kind")]
    table = pl.DataFrame(
        [(item.id, *(item.tags[tag] for tag in _TAGS), _kind(item)) for item in asked], schema=schema, orient="row"
    )
    joined = rows.select("id", "correct", *by).join(table, on="id", how="inner", maintain_order="left")
    runs = joined.select(by).n_unique() if by else 1
    if not asked or joined.height != len(asked) * runs or joined.select("id", *by).is_duplicated().any():
        raise StimulusError(
            f"{joined.height} of the rows belong to the {len(asked)} questions of cells that are given; each question needs "
            f"one row{' for each ' + ' and '.join(by) if by else ''}. Score all items of the cells, once."
        )
    keys = (*by, "task", "story", "scene", "order", "kind")
    return joined.group_by(keys, maintain_order=True).agg(
        questions=pl.len().cast(pl.Int64), correct=pl.col("correct").all()
    )


def accuracies(items: Sequence[Item], rows: pl.DataFrame, by: Sequence[str] = ()) -> pl.DataFrame:
    """The share of cells that are right, kind by kind and for all, beside what shortcuts get.

    Args:
        items: As for `cells`.
        rows: As for `cells`.
        by: As for `cells`.

    Returns:
        The columns `by`, ``task``, ``kind`` (a kind of cell; ``all`` of them; ``story``, which is right where all its cells
        are, as Kosinski (2024) counts), ``n``, ``accuracy``, and one column a shortcut, null where it has no answer.

    Raises:
        StimulusError: As for `cells`.
    """
    found = _sum_cells(cells(items, rows, by), by)
    for name, report in REPORTERS.items():
        said = [(item.id, report(item) == item.answer) for item in items if is_cell(item) and report(item) is not None]
        able = {name for name, _ in said}
        table = pl.DataFrame(said, schema={"id": pl.String, "correct": pl.Boolean}, orient="row")
        column = name.replace("-", "_")
        if not said:
            found = found.with_columns(pl.lit(None, pl.Float64).alias(column))
            continue
        scored = _sum_cells(cells([item for item in items if item.id in able], table), ())
        found = found.join(
            scored.select("task", "kind", pl.col("accuracy").alias(column)),
            on=("task", "kind"),
            how="left",
            maintain_order="left",
        )
    return found


def _kind(item: Item) -> str:
    if item.tags["task"] == "irony":
        return item.tags["scene"]
    return "false-belief" if item.tags["scene"] == FALSE_BELIEF else "control"


def _sum_cells(table: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Accuracy for each kind of cell, for all cells, and for whole stories."""
    right = {"n": pl.len().cast(pl.Int64), "accuracy": pl.col("correct").mean()}
    keys = [*by, "task"]
    stories = table.group_by([*keys, "story"], maintain_order=True).agg(pl.col("correct").all())
    parts = [
        table.group_by([*keys, "kind"], maintain_order=True).agg(**right),
        *(
            part.group_by(keys, maintain_order=True).agg(**right).with_columns(kind=pl.lit(name))
            for name, part in (("all", table), ("story", stories))
        ),
    ]
    columns = [*keys, "kind", "n", "accuracy"]
    joined = pl.concat([part.select(columns) for part in parts])
    order = joined.select(keys).unique(maintain_order=True).with_row_index("_at")
    return (
        joined.join(order, on=keys, maintain_order="left", nulls_equal=True)
        .sort("_at", maintain_order=True)
        .drop("_at")
    )
