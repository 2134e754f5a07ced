"""Several items: what an ability is measured by."""

from __future__ import annotations

from typing import Any

from broca.items.above import frames
from broca.items.item import Item
from broca.markup import MOST, table


class Items(tuple[Item, ...]):
    """Items in order, as a tuple that can be made from a data frame, and shown as one."""

    __slots__ = ()

    @classmethod
    def from_frame(cls, frame: Any, *, answers: str = "auto", ability: str | None = None, name: str = "frame") -> Items:
        """Items from a data frame (polars or pandas), or from a list of dictionaries, with the columns that a file has.

        Args:
            frame: columns ``prompt``, ``choices`` and ``answer``; see `broca.stimuli.item_tables.table_items`.
            answers: whether an answer is an ``index``, a ``letter`` or the ``text`` of a choice; ``auto`` takes what only one reading
                allows.
            ability: the ability of all items, where the frame has no such column; `name` by default.
            name: what to call the frame, in errors too.

        Raises:
            StimulusError: if it is malformed or lacks columns, or a row has unusable choices or answer.
        """
        return cls(frames().items_of(frame, answers=answers, ability=ability, name=name))

    def frame(self) -> Any:
        """One row an item: id, ability, group, prompt, choices, answer; a polars data frame."""
        return frames().frame_of_items(self)

    def _repr_html_(self) -> str:
        abilities = ", ".join(dict.fromkeys(item.ability for item in self if item.ability))
        rows = [(item.id, item.prompt, " | ".join(item.choices), item.choices[item.answer]) for item in self[:MOST]]
        return table(f"{len(self)} items of {abilities}", ("id", "prompt", "choices", "answer"), rows, n=len(self))
