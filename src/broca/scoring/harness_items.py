"""Multiple-choice tasks of lm-eval as items, so that instruments take them by name: the very requests that lm-eval would ask."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from broca.errors import StimulusError
from broca.items import Item
from broca.scoring.harness import check_tasks, sentences_of, tasks_in

PREFIX = "lm-eval/"
"""What stands before a task's name where a benchmark is named."""

Limit = Annotated[int, Field(ge=1)]


def task_items(name: str, *, limit: Limit | None = None, include: str | None = None) -> tuple[Item, ...]:
    """The documents of a task as items, each choice behind the context and the delimiter of the task.

    Args:
        name: ``lm-eval/`` and a name that lm-eval knows, of one task.
        limit: documents at most, the first ones.
        include: a folder of further task files.

    Raises:
        SpecError: lm-eval is not installed, knows no such task, or its data cannot be had.
        StimulusError: the task is a group of tasks or not one of multiple choice, or a document has no right choice.
    """
    task_name = name.removeprefix(PREFIX)
    manager = _manager(task_name, include)
    with sentences_of([task_name]):
        found = list(manager.load([task_name])["tasks"].values())
    if len(found) != 1 or found[0].get_config("output_type") != "multiple_choice":
        raise StimulusError(
            f"{task_name} is not one task of multiple choice. Give one that is, or --lm-eval {task_name}."
        )
    task = found[0]
    with sentences_of([task_name]):
        task.build_all_requests(limit=limit, rank=0, world_size=1)
        return tuple(_item(task_name, task, number, own) for number, own in _by_document(task.instances).items())


def _manager(name: str, include: str | None) -> Any:
    """What knows the task: the given folder alone where it has it, since to look through all that lm-eval knows takes seconds.

    Raises:
        SpecError: as `check_tasks`.
    """
    if (
        include is not None
        and Path(include).is_dir()
        and find_spec("lm_eval")
        and (own := tasks_in(include)).match_tasks([name])
    ):
        return own
    return check_tasks([name], include=include)[1]


def _by_document(instances: Any) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for instance in instances:
        found.setdefault(instance.doc_id, []).append(instance)
    return found


def _item(name: str, task: Any, number: int, instances: list[Any]) -> Item:
    document = instances[0].doc
    listed = task.doc_to_choice(document)
    # further requests, without their context, are for a metric of lm-eval's own
    asked = [instance.args for instance in instances[: len(listed)]]
    gold = task.doc_to_text(document) if task.multiple_input else task.doc_to_target(document)
    right = listed.index(gold) if gold in listed else gold
    if isinstance(right, bool) or not isinstance(right, int) or not 0 <= right < len(asked):
        raise StimulusError(f"{name}, document {number}: {gold!r} is none of its {len(listed)} choices.")
    contexts = {context for context, _ in asked}
    if len(contexts) == 1:
        return Item(f"{name}:{number}", asked[0][0], tuple(said for _, said in asked), right, name)
    choices = tuple(context + said for context, said in asked)
    return Item(f"{name}:{number}", choices[0], choices, right, name, passages=tuple(((c, s),) for c, s in asked))
