"""The instruments, one folder each: a question, the work that answers it, and what a reader sees of the answer.

They are found through the entry point group ``broca.instruments``: the name of an entry is the `kind` of the instrument's spec, its
value a package whose `COMMAND` says where the spec is and how it is called. Importing such a package imports nothing heavy.
"""

from __future__ import annotations

import logging
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules

from broca.registry import Registry
from broca.specs.command import Command

GROUP = "broca.instruments"


def _places() -> dict[str, str]:
    """The packages of all instruments, by the names of their entries.

    Those that lie here are known by their place too: an editable installation hears of a new entry only when it is made again.
    """
    here = {each.name: f"{__name__}.{each.name}" for each in iter_modules(__path__) if each.ispkg}
    named = {each.name: each.value for each in entry_points(group=GROUP)}
    return {name: place for name, place in here.items() if place not in named.values()} | named


def _commands() -> dict[str, Command]:
    found: dict[str, Command] = {}
    for name, place in _places().items():
        try:
            command = import_module(place).COMMAND
        except Exception as error:  # noqa: BLE001 - somebody else's package
            logging.getLogger("broca").warning(
                "The instrument %s (%s) could not be read: %s. Mend or uninstall it.", name, place, error
            )
            continue
        found[command.kind] = command
    return dict(sorted(found.items()))


COMMANDS = _commands()
"""How each instrument is called, by the `kind` of its spec."""

INSTRUMENTS = Registry("study", {kind: command.spec for kind, command in COMMANDS.items()})
"""The class of each spec, by its `kind`."""
