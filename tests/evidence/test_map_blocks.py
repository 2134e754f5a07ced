"""Blocks of maps: what is strong, dead or selected stays so."""

from __future__ import annotations

import numpy as np

from broca.evidence.map_blocks import head_grid
from broca.sites import Site


def test_heads_keep_their_numbers_and_marks():
    site = Site(0, "z")
    shown = head_grid("z", {site: np.array([2.0, -4.0, np.nan])}, {site: np.array([0, 1, 0])})
    ((name, cells),) = shown.rows
    assert (name, shown.columns) == ("0", ("0", "1", "2"))
    assert [(c.value, c.strength, c.framed, c.absent) for c in cells if c is not None] == [
        ("2.0", 0.5, False, False),
        ("−4.0", -1.0, True, False),
        ("dead", 0.0, False, True),
    ]
