"""What every instrument finds beside its tables and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from broca.evidence.verdict import Guard, Verdict, fragment


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Result:
    """A claim and its verdict, of a model, with what the guards saw; an instrument adds its tables, arrays and masks as fields."""

    verdict: Verdict
    guards: tuple[Guard, ...]
    warnings: tuple[str, ...]
    claim: str
    model: Mapping[str, Any]
    citations: tuple[str, ...]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.claim})"

    def _repr_html_(self) -> str:
        return fragment(self.claim, [asdict(rung) for rung in self.verdict.rungs], self.verdict.sentence)
