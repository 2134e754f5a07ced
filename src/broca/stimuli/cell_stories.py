"""Cell tasks from stories written for this project: 40 of unexpected contents, 40 of transfer, 24 remarks.

Each story is told in eight ways: a false belief and three controls, each with both contents, or places, in both parts. In
half of the stories the label is read before the contents are named, and in half the old place is named last, so that neither
the first nor the last mention gives the answer away. Of each remark it is asked whether it is meant and whether its opposite
is, so that one who always says yes is right half the time on every scene, and on no cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from typing import Annotated, Literal

from pydantic import Field

from broca.errors import StimulusError
from broca.items import Item
from broca.stimuli.cell_items import FALSE_BELIEF, TASKS, cell_item, choose_items, irony_item
from broca.stimuli.stories import prompt
from broca.stimuli.tables import read_table

Form = Literal["completion", "question"]
"""Whether a prompt stops in the middle of a sentence, or asks; irony always asks."""

Story = dict[str, str]

_OBLIQUE = {"she": "her", "he": "him"}
_CONTENTS = (FALSE_BELIEF, "correct label", "informed", "open")
_TRANSFER = (FALSE_BELIEF, "no transfer", "informed", "present")


def cells(
    which: str = "all", /, *, n: Annotated[int, Field(ge=1)] | None = None, form: Form = "completion"
) -> tuple[Item, ...]:
    """The questions of these stories: 16 a story of contents or transfer, 4 a remark.

    Args:
        which: A task, an ability of `broca.stimuli.cell_items.ABILITIES`, or all.
        n: Stories of each task, the first n; all by default.
        form: How the belief is asked for.

    Raises:
        UnknownName: There is no such task or ability.
        StimulusError: More stories were asked for than a task has.
    """
    items: list[Item] = []
    for task in TASKS:
        if which == "all" or which.partition("-")[0] == task:
            for index, story in enumerate(_stories(task, n)):
                items += _irony(story) if task == "irony" else _TOLD[task](story, index, form)
    return choose_items(items, which)


def _stories(task: str, n: int | None) -> list[Story]:
    with resources.as_file(resources.files("broca.stimuli").joinpath("data", f"cells-{task}.jsonl")) as path:
        table = read_table(path)
    if n is not None and n > len(table.rows):
        raise StimulusError(f"{n} stories of {task} were asked for, and there are {len(table.rows)}. Ask for fewer.")
    return [{column: table.text(row, column) for column in table.columns} for row in table.rows[:n]]


def _contents(story: Story, index: int, form: Form) -> Iterator[Item]:
    choices = (story["a"], story["b"])
    she, c, name = story["pronoun"], story["container"], story["name"]
    asked = {
        "reality": (f"In truth the {c} holds", f"What does the {c} really hold?"),
        "belief": (f"{name} thinks that the {c} holds", f"What does {name} think that the {c} holds?"),
    }
    for scene in _CONTENTS:
        for swapped in (False, True):
            inside, other = reversed(choices) if swapped else choices
            label = inside if scene == "correct label" else other
            place = story["scene"].replace("{c}", c)
            named = f'The label on it says "{label}".'
            held = (
                f"What is in it is not {other} but {inside}." if index % 2 else f"The {c} holds {inside}, not {other}."
            )
            met = f"{story['meets'].replace('{c}', c)} {she.capitalize()} has never seen it before."
            text = " ".join(
                [place, *((named, held) if index % 2 else (held, named)), met, *_news(story, scene, inside)]
            )
            for question, wording in asked.items():
                believed = label if question == "belief" and scene == FALSE_BELIEF else inside
                yield cell_item(
                    story=story["id"],
                    scene=scene,
                    swapped=swapped,
                    question=question,
                    prompt=_with_question(text, wording, form),
                    choices=choices,
                    answer=choices.index(believed),
                    real=choices.index(inside),
                )


def _news(story: Story, scene: str, inside: str) -> tuple[str, ...]:
    """What the person learns of the contents."""
    she, c, friend = story["pronoun"], story["container"], story["friend"]
    if scene == "open":
        return (f"{she.capitalize()} opens the {c} and looks inside, and then reads the label.",)
    shut = f"{she.capitalize()} reads the label, but does not open the {c} and does not look inside."
    if scene != "informed":
        return (shut,)
    said = f'{friend[0].upper()}{friend[1:]} calls and says: "Never mind the label. It holds {inside}."'
    return (shut, f"{said} {story['name']} believes it.")


def _transfer(story: Story, index: int, form: Form) -> Iterator[Item]:
    choices = (story["a"], story["b"])
    name, thing, prep = story["name"], story["object"], story["prep"]
    asked = {
        "reality": (f"The {thing} is now {prep} the", f"Where is the {thing} now?"),
        "belief": (f"{name} will look for the {thing} {prep} the", f"Where will {name} look for the {thing}?"),
    }
    for scene in _TRANSFER:
        for swapped in (False, True):
            start, end = reversed(choices) if swapped else choices
            text = _move_story(story, scene, start, end, last=bool(index % 2))
            real = start if scene == "no transfer" else end
            for question, wording in asked.items():
                believed = start if question == "belief" and scene == FALSE_BELIEF else real
                yield cell_item(
                    story=story["id"],
                    scene=scene,
                    swapped=swapped,
                    question=question,
                    prompt=_with_question(text, wording, form) + (f" {prep} the" if form == "question" else ""),
                    choices=choices,
                    answer=choices.index(believed),
                    real=choices.index(real),
                )


def _move_story(story: Story, scene: str, start: str, end: str, *, last: bool) -> str:
    """The story; `last` says whether the place where the thing is not is named again at the end of its move."""
    name, other, thing, prep = story["name"], story["other"], story["object"], story["prep"]
    opening = story["scene"].replace("{x}", story["a"]).replace("{y}", story["b"])
    put = f"{name} puts the {thing} {prep} the {start}."
    gone = f"While {story['pronoun']} is gone,"
    moves = f"takes the {thing} and puts it {prep} the {end}."
    rest = f"It is no longer {prep} the {start}."
    told = (
        f"{other} calls {_OBLIQUE[story['pronoun']]} and says that the {thing} is now {prep} the {end}. "
        f"{name} believes {other}."
    )
    kept = (
        f"takes the {thing} and puts it back {prep} the {start}, and not {prep} the {end}."
        if last
        else f"takes the {thing} and tries it {prep} the {end}, but then puts it back {prep} the {start}."
    )
    moved = (f"{gone} {other} {moves}", *((rest,) if last else ()))
    parts = {
        FALSE_BELIEF: (story["away"], *moved),
        "no transfer": (story["away"], f"{gone} {other} {kept}"),
        "informed": (story["away"], *moved, told),
        "present": (f"{name} watches as {other} {moves}", *((rest,) if last else ()), story["away"]),
    }[scene]
    return " ".join([opening, put, *parts, story["back"]])


def _irony(story: Story) -> Iterator[Item]:
    for scene in ("ironic", "literal"):
        for question in ("agrees", "denies"):
            yield irony_item(
                story=story["id"],
                ironic=scene == "ironic",
                question=question,
                prompt=prompt(f"{story[scene]} {story['said']}", story[question]),
                yes=(scene == "literal") == (question == "agrees"),
            )


def _with_question(text: str, wording: tuple[str, str], form: Form) -> str:
    return f"{text} {wording[0]}" if form == "completion" else prompt(text, wording[1])


_TOLD = {"contents": _contents, "transfer": _transfer}
