"""Names to lazily loaded things, with near-match errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from broca.errors import UnknownName


class Registry:
    """A name, and the ``module:attribute`` that is imported when somebody first asks for it."""

    def __init__(self, what: str, entries: dict[str, str], *, group: str = "") -> None:
        """Names of ours, and those of other packages.

        Args:
            what: what the names are of, for errors.
            entries: ``module:attribute`` by name.
            group: the entry points by which other packages add names; a name of ours stays ours.
        """
        self.what = what
        found = entry_points(group=group) if group else ()
        self._entries = {each.name: each.value for each in found} | entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> Any:
        if name not in self._entries:
            raise unknown(self.what, name, tuple(self._entries))
        module, _, attribute = self._entries[name].partition(":")
        return getattr(import_module(module), attribute)


def unknown(what: str, name: str, known: tuple[str, ...], hint: str = "") -> UnknownName:
    """The error for a name that is not among `known`, with near matches."""
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    guess = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return UnknownName(
        f"{what} {name!r} is not known.{guess} Known: {', '.join(sorted(known))}.{' ' + hint if hint else ''}"
    )


ORGANISMS = Registry(
    "organism",
    dict.fromkeys(
        ("beliefs", "routed", "shortcut", "kth", "rules", "sums", "induction"), "broca.organisms:organism_path"
    ),
)
"""Shipped small models: what gives the directory of each, found without importing the rooms above."""

COMPAT = Registry(
    "format of an earlier project",
    {
        "task-file": "broca.compat.wu2025.tasks:TASK_FILE",
        "score-chunks": "broca.compat.wu2025.chunks:Chunks",
        "circuit": "broca.compat.circuits.read:read_circuit",
        "dictionary": "broca.compat.dictionaries.read:read_dictionary",
        "direction": "broca.compat.directions.read:read_direction",
        "control-vector": "broca.compat.directions.gguf:write_control_vector",
        "cell-table": "broca.compat.wu2025.results:published_cells",
    },
)
"""File formats of earlier projects, by what they are for: the rooms that use them know no project by its name."""

PRESETS = Registry(
    "preset",
    {
        "tl-abs": "broca.compat.tomechanisms:TL_ABS",
        "tl-signed": "broca.compat.tomechanisms:TL_SIGNED",
        "ll": "broca.compat.tomechanisms:LL",
        "wu2025": "broca.compat.wu2025.preset:WU2025",
    },
)
"""What earlier projects chose, as `broca.specs.presets.Preset`."""
