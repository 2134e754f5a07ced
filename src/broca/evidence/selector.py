"""What localize, sensitivity, probe and perturb are to the causal test: who ranks a model's parts, or selected some of them.

A `Selector` is a spec whose run gives a `Ranking`, of which any share can be selected. An instrument says that it is one in its
`Command` (`ranks`); the causal test finds it there by name, and imports none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from broca.evidence.verdict import Guard, Rung, Verdict

MAP_RUNGS = ("selective", "reliable", "learned")
"""What a map is worth; the other rungs say what the place does."""

if TYPE_CHECKING:
    from broca.evidence.maps import Floats
    from broca.sites import Site
    from broca.units import UnitMask


class Ranking(Protocol):
    """What a selector found: a number for every unit or head, and what the map is worth."""

    @property
    def t(self) -> Mapping[Site, Floats]:
        """The statistic that ranks."""
        ...

    @property
    def size(self) -> Mapping[Site, Floats]:
        """How large each unit's activation is, for matched draws."""
        ...

    @property
    def alive(self) -> Mapping[Site, Any]:
        """Which units have a statistic."""
        ...

    @property
    def selection(self) -> Mapping[str, Any]:
        """What was selected, in numbers: `n_alive` and `site` among them."""
        ...

    @property
    def label(self) -> str:
        """What it is called in the tables."""
        ...

    @property
    def verdict(self) -> Verdict: ...

    @property
    def guards(self) -> tuple[Guard, ...]: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...

    @property
    def citations(self) -> tuple[str, ...]: ...

    def select(self, **how: Any) -> UnitMask:
        """Units of this ranking: the fields of `broca.units.Select`."""
        ...


class Selector(Protocol):
    """A spec that ranks what it looks at."""

    kind: str

    @property
    def label(self) -> str:
        """What it is called in the tables."""
        ...

    def selecting(self, percent: float, side: str) -> Self:
        """The same, with this share of this end of its ranking as its selection."""
        ...

    def beside(self, contrast: str) -> Self:
        """The same for another contrast, without what only the claim needs."""
        ...

    def fits(self, lm: Any, /) -> None:
        """Refuse what the model does not have, before anything is scored: SiteUnavailable, SelectionError."""
        ...

    def usual(self, found: Any, /) -> Any:
        """What a run of it found, its selection said as this spec says it; None where it is of another spec."""
        ...

    def data_fingerprints(self) -> Mapping[str, str]: ...

    def read(self) -> None: ...

    def run(self, lm: Any, **how: Any) -> Any:
        """Rank: a `Ranking`."""
        ...

    @classmethod
    def command_fields(cls, fields: dict[str, Any], call: Any, /) -> dict[str, Any]: ...

    @classmethod
    def taken_from(cls, run: Any, /) -> tuple[dict[str, Any], float, str | None]:
        """Of a finished run the fields of its spec without what it selected, and of that the percentage and the side."""
        ...


@dataclass(frozen=True, slots=True)
class Origin:
    """The finished run whose selection is tested: what its map is worth was found there, and is not found again."""

    instrument: str
    hash: str
    """Of the run."""
    rungs: tuple[Rung, ...]
    """The rungs *selective*, *reliable* and *learned* that it tested."""
    data: Mapping[str, str]
    """Content hashes of what it was shown."""
    groups: tuple[str, ...] = ()
    """Digests of the groups that it chose on: items of theirs are left out of the test."""
