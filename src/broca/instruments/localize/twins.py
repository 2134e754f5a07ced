"""What a localizer finds in twins of the model that have learned nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from broca.cache.cache import Cache, Progress
from broca.errors import BrocaError, SelectionError
from broca.evidence.rungs.learned import TwinTask, in_twins
from broca.models.lm import LM

if TYPE_CHECKING:
    from broca.instruments.localize.result import Localization
    from broca.instruments.localize.spec import Localize


def twins(spec: Localize, found: Localization, lm: LM, *, cache: Cache, progress: Progress) -> pl.DataFrame:
    """The localizer's figures, beside what it found in the model, in each twin: effect size of its selection on held-out stimuli, share of significant units, split-half r.

    See `in_twins` for its rows.
    """

    def report_progress(done: int, total: int) -> None:
        progress("localizing in untrained twins", done, total)

    return in_twins(
        Twin(spec.alone), lm, n=spec.enough_twins(spec.twins), seed=spec.seed, own=figures(found)["d_held_out"], alpha=spec.level,
        cache=cache, progress=report_progress,
    )  # fmt: skip


@dataclass(frozen=True)
class Twin(TwinTask):
    """Localizing in a twin."""

    def figures(self, twin: LM) -> dict[str, Any]:
        try:
            return figures(self._run(twin))
        except BrocaError:
            # A twin in which nothing varies has no effect to speak of.
            return {"d_held_out": 0.0, "share_significant": 0.0, "r": 0.0}

    def _run(self, twin: LM) -> Localization:
        """Of few units that vary, as of a dictionary's features where nothing was learned, the percentage may be none: then of the first.

        Without an effect of its own the twin would be passed by any noise that happens to be positive.
        """
        try:
            return self.spec.run(twin)
        except SelectionError:
            first = replace(self.spec.select, percent=None, count=1)
            return self.spec.model_copy(update={"select": first}).run(twin)


def figures(found: Localization) -> dict[str, Any]:
    """What of a localization is compared with twins."""
    selective = {rung.name: rung for rung in found.verdict.rungs}["selective"]
    return {
        "d_held_out": found.reliability.get("d_held_out"),
        "share_significant": selective.numbers["share_significant"],
        "r": found.reliability.get("r"),
    }
