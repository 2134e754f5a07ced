"""Would other stimuli, written for the same purpose, have found the same units?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from scipy.stats import hypergeom

from broca.cache.cache import Cache, Progress
from broca.models.lm import LM
from broca.page.numbers import number, p_value
from broca.stats.reliability import chance_overlap, correlation, overlap

if TYPE_CHECKING:
    from broca.instruments.localize.result import Localization
    from broca.instruments.localize.spec import Localize


def cross_contrast_agreement(
    spec: Localize, own: Localization, lm: LM, *, cache: Cache, progress: Progress
) -> pl.DataFrame:
    """One row a further contrast: correlation of the maps, and overlap of the selections beside that of random ones.

    Columns ``contrast``, ``r`` (Pearson, over units), ``shared``, ``dice``, ``chance_dice``, ``p`` (hypergeometric).
    """
    rows = []
    for done, name in enumerate(spec.also):
        progress("localizing with other stimuli", done, len(spec.also))
        other = spec.alone.model_copy(update={"contrast": name, "options": {}}).run(lm, cache=cache)
        t = [np.concatenate([each.t[site] for site in own.t]) for each in (own, other)]
        masks = [np.concatenate([each.selected.at[site] for site in own.t]) for each in (own, other)]
        alive = int((np.isfinite(t[0]) & np.isfinite(t[1])).sum())
        k = [int(mask.sum()) for mask in masks]
        found = overlap(*masks)
        rows.append(
            {
                "contrast": other.contrast["name"],
                "r": correlation(*t),
                "shared": int(found.shared),
                "dice": found.dice,
                "chance_dice": chance_overlap(k[0], k[1], alive).dice,
                "p": float(hypergeom.sf(found.shared - 1, alive, *k)),
            }
        )
    return pl.DataFrame(rows)


def in_words(table: pl.DataFrame) -> tuple[str, Mapping[str, float]]:
    """What the table says, as a sentence and as numbers."""
    told = [
        f"{row['contrast']} r = {number(row['r'])}, {number(row['dice'], '.0%')} shared (Dice; chance "
        f"{number(row['chance_dice'], '.1%')}, {p_value(row['p'])})"
        for row in table.iter_rows(named=True)
    ]
    numbers = {f"r_{row['contrast']}": row["r"] for row in table.iter_rows(named=True)}
    return f" With other stimuli: {'; '.join(told)}.", numbers
