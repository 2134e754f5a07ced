"""Selections as they are written on a command line: heads, units, a mask file, or what a finished run selected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from broca.errors import SelectionError

if TYPE_CHECKING:
    from broca.models.lm import LM
    from broca.units import UnitMask

FORMS = {
    "units": 'Units of a mask file, those that a run selected, or those written as "3.experts:0,2 5.experts:1" (layer.kind:units; kinds '
    "of sites, head, or group for heads that share a key-value head).",
    "heads": 'Heads, as "0.4,1.2" (layer.head).',
}
"""The forms, and what each is."""


def read_mask(which: str, text: str) -> UnitMask:
    """A selection as far as it can be read without the model: its file, a run's, or its form, of open width.

    Raises:
        SelectionError: if there is no such file, or the text is of another form.
    """
    from broca.units import UnitMask
    from broca.units.notation import OPEN

    if which == "heads":
        return UnitMask.heads(text, n_heads=OPEN)
    return UnitMask.parse(text, n=lambda *_: OPEN) if _is_written(text) else _read_selection(text)


def _is_written(text: str) -> bool:
    import os

    if not text.strip():
        raise SelectionError("--units names nothing. Give a mask file, a run, or units such as '3.mlp_act:0,2'.")

    return ":" in text and not os.path.exists(text)  # noqa: PTH110 - unlike Path.exists, never raises on an overlong name


def _read_selection(text: str) -> UnitMask:
    """The mask of a file, or what a run selected."""
    from broca.runs import open_run
    from broca.units import UnitMask

    return open_run(text).units() if Path(text).is_dir() else UnitMask.load(text)


def selection_of(lm: LM, which: str, text: str) -> UnitMask:
    """Heads or units that were given, of this model.

    Raises:
        SelectionError: if the text is of another form, or a head does not exist.
        SiteUnavailable: if the model has no such site.
    """
    from broca.units import fit

    return fit(read_mask(which, text), lm.anatomy)
