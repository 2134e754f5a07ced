"""The ledger of a study: the claims that share its level, what was looked at, and what was chosen on which data. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from broca.items import fingerprint


class SharedLevel:
    """A spec with `alpha` and `claims` inherits this: the level of each claim, and how many draws and twins that level takes."""

    if TYPE_CHECKING:
        alpha: float
        claims: int

    @property
    def level(self) -> float:
        """Of each claim."""
        return self.alpha / self.claims

    def enough_draws(self, draws: int) -> int:
        """Matched draws at most: as many as allow each claim the rank that `draws` allow a single one, or fewer where these suffice."""
        from broca.stats.stopping import draws_needed

        return max(draws, min(self.claims * (draws + 1) - 1, draws_needed(self.level))) if draws else 0

    def enough_twins(self, twins: int) -> int:
        """Untrained twins at most: where `twins` allow a single claim a p of alpha, as many as allow each one its level."""
        from broca.stats.stopping import fewest_draws

        return max(twins, fewest_draws(self.level)) if twins >= fewest_draws(self.alpha) else twins


@dataclass(frozen=True, slots=True)
class Look:
    """One choice of a study, with every value of it that was tried."""

    what: str
    """In the plural: "sides", "fractions"."""
    values: tuple[str, ...]
    """Those that were tried, the first one first."""
    claim: str
    """Which of them the claim is about."""


@dataclass(frozen=True, slots=True)
class DataChoice:
    """Something that was chosen by looking at data, and whether other data test it."""

    what: str
    """In words: "the units"."""
    on: str
    """The data, in words."""
    tested_on: str
    """What tests it, in words."""
    apart: bool
    """Whether nothing that chose is among what tests."""
    dropped: int = 0
    """Items that were left out of the test because they, or their group, had chosen."""
    groups: tuple[str, ...] = ()
    """Digests of the groups that chose, see `group_digest`, where a later test can meet them again."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What a study claims, tried and chose."""

    claims: int
    """How many claims share alpha."""
    alpha: float
    level: float
    """Of each claim."""
    draws: int
    """Matched draws at most."""
    twins: int
    """Untrained twins at most."""
    looks: tuple[Look, ...] = ()
    choices: tuple[DataChoice, ...] = ()

    @classmethod
    def of(cls, spec: Any, looks: Iterable[Look | None], choices: Iterable[DataChoice] = ()) -> Self:
        """The ledger of a spec with a `SharedLevel`; looks that are None are left out."""
        return cls(
            spec.claims,
            spec.alpha,
            spec.level,
            spec.enough_draws(getattr(spec, "draws", 0)),
            spec.enough_twins(getattr(spec, "twins", 0)),
            tuple(look for look in looks if look is not None),
            tuple(choices),
        )


def look(what: str, values: Iterable[object], claim: object = None) -> Look | None:
    """A look at some values; None where there was none to look at.

    Args:
        what: in the plural.
        values: those that were tried; each counts once.
        claim: the value that the claim is about; the first one where nothing is said.
    """
    words = tuple(dict.fromkeys(_word(value) for value in values))
    return Look(what, words, words[0] if claim is None else _word(claim)) if words else None


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def group_digest(cluster: str) -> str:
    """What stands for a group where its name would be too long: 8 hex digits."""
    return fingerprint(cluster)[:8]


def group_digests(things: Iterable[Any]) -> tuple[str, ...]:
    """Those of the groups of items, stimuli, pairs or trees, sorted."""
    return tuple(sorted({group_digest(thing.cluster) for thing in things}))


def chosen_groups(ledger: Any) -> tuple[str, ...]:
    """The groups that chose, of a ledger as ``result.json`` has it; none where it is of a version without one."""
    choices: Sequence[Any] = (ledger or {}).get("choices") or ()
    return tuple(sorted({digest for choice in choices for digest in choice.get("groups") or ()}))
