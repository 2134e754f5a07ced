"""What every instrument finds beside its tables and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from broca.evidence.ledger import Ledger
from broca.evidence.second_wording import SecondWording
from broca.evidence.verdict import Guard, Verdict, fragment
from broca.page.lookup import chart_named, table_named
from broca.page.record import Record
from broca.sites import Site
from broca.specs.parts import part_beside
from broca.units import UnitMask

if TYPE_CHECKING:
    import altair as alt


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Result:
    """A claim and its verdict, of a model, with what the guards saw; an instrument adds its tables, arrays and masks as fields."""

    verdict: Verdict
    guards: tuple[Guard, ...]
    warnings: tuple[str, ...]
    claim: str
    model: Mapping[str, Any]
    citations: tuple[str, ...]
    ledger: Ledger | None = None
    """What was claimed, tried and chosen; None where nothing is claimed."""
    second_wording: SecondWording | None = None
    """What the lesion costs where the same items are asked in other words; None where they come in one wording."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.claim})"

    def _repr_html_(self) -> str:
        return fragment(self.claim, [asdict(rung) for rung in self.verdict.rungs], self.verdict.sentence)

    def frame(self, name: str | None = None) -> pl.DataFrame:
        """A table of the result, by name; without one the first that the instrument declares.

        Raises:
            UnknownName: if there is no such table; it names those that there are.
        """
        declared = part_beside(_spec_class(self), "tables")
        return table_named(self._tables(), [each.name for each in getattr(declared, "TABLES", ())], name)

    def plot(self, name: str | None = None) -> alt.LayerChart:
        """A chart of the result's report, by name; without one the first.

        Raises:
            UnknownName: if there is no such chart; it names those that there are.
        """
        part = part_beside(_spec_class(self), "blocks")
        return chart_named(part.blocks(self._record()) if part else (), name)

    def _tables(self) -> dict[str, pl.DataFrame]:
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: table for name, table in own.items() if isinstance(table, pl.DataFrame) and table.height}

    def _record(self) -> Record:
        """As if it had been written to a run, and read again."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        arrays: dict[str, dict[Site, np.ndarray]] = {}
        for name, value in own.items():
            at = value.at if isinstance(value, UnitMask) else value
            if isinstance(at, Mapping) and at and all(isinstance(site, Site) for site in at):
                arrays[name] = {site: np.ravel(array) for site, array in sorted(at.items())}
        words = {name: _plain(value) for name, value in own.items() if name not in arrays and name != "spec"}
        spec = own.get("spec")
        study = spec.model_dump(mode="json", exclude_none=True) if spec is not None else {}
        model = {"name": self.model.get("name")}
        return Record(Path(), {"model": dict(self.model)}, study, model, words, self._tables(), arrays, {})


def _spec_class(result: Result) -> type:
    return type(getattr(result, "spec", result))


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
